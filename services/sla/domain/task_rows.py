"""The read table of tasks: how each was answered, worked on and ended. Written with each change."""

from collections.abc import Iterable
from typing import Any

from msgspec.structs import astuple

from services.sla.domain.columns import GROUPED, Columns, names
from services.sla.domain.conversation import Live
from services.sla.domain.measures import work_measures
from shared.contracts.core import Row

TABLE = "task"

# (name, type, nullable); instants arrive as microseconds since the epoch.
COLUMNS: Columns = (
    ("workspace", "text", False),
    ("id", "text", False),  # the router's; primary key with workspace
    ("conversation_id", "text", False),
    ("customer_id", "text", True),
    *GROUPED,
    ("created_us", "instant", False),
    ("assigned_us", "instant", True),  # for the first time
    ("ended_us", "instant", True),
    ("ending", "text", False),  # empty while open, completed, abandoned, cancelled
    ("talk_us", "bigint", False),
    ("hold_us", "bigint", False),
    ("wrap_us", "bigint", False),
    ("reopened", "integer", False),
    ("replies", "integer", False),
    ("updated_us", "instant", False),
)
COLUMN_NAMES = names(COLUMNS)

Works = dict[str, tuple[Any, ...]]


def works(lives: Iterable[Live]) -> Works:
    """How far each task is, to compare with later, by what names its episode."""
    return {live.record.key: _shown(live) for live in lives}


def work_rows(
    before: Works, lives: Iterable[Live], edges: tuple[int, ...], now_us: int
) -> list[Row]:
    """Rows and measures of the tasks that are not as they were."""
    rows: list[Row] = []
    for live in lives:
        if live.record.task_id is None or before.get(live.record.key) == _shown(live):
            continue
        if live.fold.episode.work.created_us is not None:
            rows += [_row(live, now_us), *work_measures(live, edges)]
    return rows


def _shown(live: Live) -> tuple[Any, ...]:
    task = live.fold.episode.facts.task
    facts = (task.get("queue"), task.get("agent_id"), task.get("priority"), task.get("tags"))
    return (live.record.task_id, astuple(live.fold.episode.work), facts)


def _row(live: Live, now_us: int) -> Row:
    record, work, policy = live.record, live.fold.episode.work, live.fold.policy
    task = live.fold.episode.facts.task
    values: dict[str, Any] = {
        "workspace": live.workspace,
        "id": record.task_id,
        "conversation_id": live.conversation.id,
        "customer_id": (record.customer or {}).get("id"),
        "channel": record.channel,
        "queue": task.get("queue"),
        "agent_id": task.get("agent_id") or work.agent_id,
        "policy_id": policy.id if policy else None,
        "priority": float(task.get("priority") or 0),
        "tags": sorted(set(task.get("tags") or ())),
        "created_us": work.created_us,
        "assigned_us": work.first_us,
        "ended_us": work.ended_us,
        "ending": work.ending,
        "talk_us": work.talk_us,
        "hold_us": work.hold_us,
        "wrap_us": work.wrap_us,
        "reopened": work.reopened,
        "replies": work.replies,
        "updated_us": now_us,
    }
    return Row(TABLE, values)
