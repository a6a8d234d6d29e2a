"""What figures count: one measure for each clock that has ended, and for each task's wait and work.

A measure is what a clock or a task contributes to the figures, whole: the store adds it, replaces it
or takes it back in the transaction of the input that changed it, so that figures follow every late
correction and no counter can drift.
"""

from typing import Any, NamedTuple

from services.sla.domain.clock import Clock
from services.sla.domain.columns import GROUPED, Columns, names
from services.sla.domain.conversation import Live
from services.sla.domain.histogram import bucket_of
from services.sla.domain.work import Work
from shared.contracts.core import Row

TABLE = "measure"
SPEED_OF_ANSWER = "speed_of_answer"
HANDLE_TIME = "handle_time"

# Outcomes. A clock that was closed without an answer after its breach is told from one in time, so that
# nobody makes a miss disappear by closing.
MET, MISSED, ABANDONED = "met", "missed", "abandoned"
UNANSWERED, UNANSWERED_LATE = "closed_unanswered", "closed_late"

# (name, type, nullable); `outcome` None takes the measure back.
COLUMNS: Columns = (
    ("workspace", "text", False),
    ("id", "text", False),
    ("metric", "text", False),
    ("outcome", "text", False),
    *GROUPED,
    ("started_us", "instant", False),
    ("due_us", "instant", True),
    ("ended_us", "instant", False),
    ("value_us", "bigint", False),  # open time
    ("bucket_us", "bigint", False),
    ("wall_us", "bigint", False),  # time by the clock on the wall
    ("wall_bucket_us", "bigint", False),
)
COLUMN_NAMES = names(COLUMNS)


class Whose(NamedTuple):
    """Who a measure counts for."""

    queue: str | None
    agent_id: str | None
    priority: float
    policy_id: str | None
    tags: list[str]


def whose_task(live: Live) -> Whose:
    """Who a task's wait and work count for, as it is now."""
    task, policy = live.fold.episode.facts.task, live.fold.policy
    return Whose(
        task.get("queue"),
        task.get("agent_id") or live.fold.episode.work.agent_id,
        float(task.get("priority") or 0),
        policy.id if policy else None,
        _tags(live),
    )


def _tags(live: Live) -> list[str]:
    tags = live.fold.episode.facts.task.get("tags")
    return sorted(set(tags)) if tags else []


def clock_measure(live: Live, clock: Clock, edges: tuple[int, ...]) -> Row:
    """What a clock contributes; nothing while it is open, and nothing when it was cancelled."""
    name = live.clock_id(clock)
    if clock.ended_us is None or clock.state == "cancelled" or clock.served is None:
        return nothing(live.workspace, name)
    outcome: str = clock.state
    if outcome == UNANSWERED and clock.breached_us is not None:
        outcome = UNANSWERED_LATE
    served = clock.served
    return _measure(
        live,
        name,
        clock.metric,
        outcome,
        Whose(served.queue, served.agent_id, served.priority, clock.policy_id, _tags(live)),
        (clock.started_us, clock.due_us, clock.ended_us),
        live.fold.hands.elapsed(clock, clock.ended_us),
        edges,
    )


def work_measures(live: Live, whose: Whose, edges: tuple[int, ...]) -> list[Row]:
    """What a task contributes: its wait once it is assigned or abandoned, its work once done."""
    work = live.fold.episode.work
    return [_answer(live, work, whose, edges), _handling(live, work, whose, edges)]


def _answer(live: Live, work: Work, whose: Whose, edges: tuple[int, ...]) -> Row:
    name = live.measure_id(SPEED_OF_ANSWER)
    wait_us, served = work.wait_us, work.served
    if served is not None:
        whose = whose._replace(
            queue=served.queue, agent_id=served.agent_id, priority=served.priority
        )
    if wait_us is None or work.created_us is None:
        return nothing(live.workspace, name)
    outcome = MET if work.first_us is not None else ABANDONED
    ended_us = max(work.created_us, work.created_us + wait_us)
    times = (work.created_us, None, ended_us)
    return _measure(live, name, SPEED_OF_ANSWER, outcome, whose, times, wait_us, edges)


def _handling(live: Live, work: Work, whose: Whose, edges: tuple[int, ...]) -> Row:
    name = live.measure_id(HANDLE_TIME)
    if work.ending != "completed" or work.first_us is None or work.ended_us is None:
        return nothing(live.workspace, name)
    times = (work.first_us, None, work.ended_us)
    return _measure(live, name, HANDLE_TIME, MET, whose, times, work.handle_us, edges)


def nothing(workspace: str, name: str) -> Row:
    """The measure of this id is taken back, if there is one."""
    return Row(TABLE, {"workspace": workspace, "id": name, "outcome": None})


def _measure(
    live: Live,
    name: str,
    metric: str,
    outcome: str,
    whose: Whose,
    times: tuple[int, int | None, int],
    value_us: int,
    edges: tuple[int, ...],
) -> Row:
    queue, agent_id, priority, policy_id, tags = whose
    started_us, due_us, ended_us = times
    wall_us = max(0, ended_us - started_us)
    bucket_us = bucket_of(value_us, edges)
    values: dict[str, Any] = {
        "workspace": live.workspace,
        "id": name,
        "metric": metric,
        "outcome": outcome,
        "channel": live.record.channel,
        "queue": queue,
        "agent_id": agent_id,
        "policy_id": policy_id,
        "priority": priority,
        "tags": tags,
        "started_us": started_us,
        "due_us": due_us,
        "ended_us": ended_us,
        "value_us": value_us,
        "bucket_us": bucket_us,
        "wall_us": wall_us,
        "wall_bucket_us": bucket_us if wall_us == value_us else bucket_of(wall_us, edges),
    }
    return Row(TABLE, values)
