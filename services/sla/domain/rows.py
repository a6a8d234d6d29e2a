"""The read table of clocks: one row per clock, written with each change. Instants end in `_us`.

The table's other columns (when a row was written, say) are the store's.
"""

from typing import Any

from services.sla.domain.clock import Clock
from services.sla.domain.columns import Columns, names
from services.sla.domain.conversation import Live, Record
from shared.contracts.core import Row
from shared.contracts.instants import seconds

TABLE = "clock"

# (name, type, nullable); instants arrive as microseconds since the epoch, `timestamp` in SQL.
COLUMNS: Columns = (
    ("workspace", "text", False),
    ("id", "text", False),  # primary key with workspace
    ("conversation_id", "text", False),
    ("task_id", "text", True),
    ("metric", "text", False),
    ("cycle", "integer", False),
    ("state", "text", False),
    ("channel", "text", False),
    ("queue", "text", True),
    ("agent_id", "text", True),
    ("priority", "double", False),
    ("policy_id", "text", False),
    ("policy_version", "integer", False),
    ("calendar", "text", False),
    ("target_s", "double", False),
    ("started_us", "instant", False),
    ("due_us", "instant", True),  # null while paused
    ("satisfied_us", "instant", True),
    ("breached_us", "instant", True),
    ("ended_us", "instant", True),
    ("elapsed_s", "double", False),  # as of `updated_us`; final once ended
    ("warnings", "json", False),  # [{"level", "at_us"}]
    ("updated_us", "instant", False),
)
COLUMN_NAMES = names(COLUMNS)


def clock_row(live: Live, clock: Clock, now_us: int) -> Row:
    """The row of one clock as known at `now_us`."""
    record, hands, name = live.record, live.fold.hands, live.clock_id(clock)
    if (served := clock.served) is not None:
        queue, agent_id, priority = served.queue, served.agent_id, served.priority
    else:
        task = live.fold.episode.facts.task
        queue, agent_id = task.get("queue"), task.get("agent_id")
        priority = task.get("priority") or 0
    values: dict[str, Any] = {
        "workspace": live.workspace,
        "id": name,
        "conversation_id": live.conversation.id,
        "task_id": record.task_id,
        "metric": clock.metric,
        "cycle": clock.cycle,
        "state": clock.state,
        "channel": record.channel,
        "queue": queue,
        "agent_id": agent_id,
        "priority": priority,
        "policy_id": clock.policy_id,
        "policy_version": clock.policy_version,
        "calendar": clock.calendar,
        "target_s": seconds(clock.target_us),
        "started_us": clock.started_us,
        "due_us": clock.due_us,
        "satisfied_us": clock.satisfied_us,
        "breached_us": hands.breach(clock, now_us),
        "ended_us": clock.ended_us,
        "elapsed_s": seconds(hands.elapsed(clock, now_us)),
        "warnings": _warnings(record, name),
        "updated_us": now_us,
    }
    return Row(TABLE, values)


def _warnings(record: Record, name: str) -> list[dict[str, Any]]:
    notice = record.notices.get(name)
    if notice is None:
        return []
    return [{"level": float(level), "at_us": at} for level, at in sorted(notice.warned.items())]
