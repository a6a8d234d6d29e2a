"""The read table of tasks: how each was answered, worked on and ended. Written with each change."""

from collections.abc import Iterable
from typing import Any

from msgspec.structs import astuple

from services.sla.domain.columns import GROUPED, Columns, names
from services.sla.domain.conversation import Live
from services.sla.domain.measures import Whose, whose_task, work_measures
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
    return {live.record.key: _shown(live) for live in lives if live.record.task_id is not None}


def work_rows(
    before: Works, after: Works, lives: Iterable[Live], edges: tuple[int, ...], now_us: int
) -> list[Row]:
    """Rows and measures of the tasks that are not as they were."""
    rows: list[Row] = []
    for live in lives:
        key, work = live.record.key, live.fold.episode.work
        if work.created_us is not None and before.get(key) != after.get(key):
            whose = whose_task(live)
            rows += [_row(live, whose, now_us), *work_measures(live, whose, edges)]
    return rows


def _shown(live: Live) -> tuple[Any, ...]:
    episode = live.fold.episode
    asked = episode.facts.task.get
    facts = (
        asked("queue"), asked("agent_id"), asked("priority"), asked("tags"), _customer_id(live)
    )  # fmt: skip
    return (live.record.task_id, astuple(episode.work), facts)


def _customer_id(live: Live) -> str | None:
    customer = live.fold.episode.facts.customer
    return None if customer is None else customer.get("id")


def _row(live: Live, whose: Whose, now_us: int) -> Row:
    record, work = live.record, live.fold.episode.work
    values: dict[str, Any] = {
        "workspace": live.workspace,
        "id": record.task_id,
        "conversation_id": live.conversation.id,
        "customer_id": _customer_id(live),
        "channel": record.channel,
        "queue": whose.queue,
        "agent_id": whose.agent_id,
        "policy_id": whose.policy_id,
        "priority": whose.priority,
        "tags": whose.tags,
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
