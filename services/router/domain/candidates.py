"""Every agent held against a task, fast: the first condition that each fails, and who is nearest.

`capacity.conditions` states all conditions with their values, too slowly for thousands of agents;
`first_failure` finds the first that fails in the same order. A test holds one to the other.
"""

from collections import Counter
from heapq import nsmallest
from typing import NamedTuple

from services.router.domain import capacity
from services.router.domain.config import AgentQueue
from services.router.domain.desk import Desk
from services.router.domain.requirements import Requirement
from services.router.domain.state import Task
from services.router.domain.workspace import Workspace


class Candidate(NamedTuple):
    """`failure`: kind of the first condition that fails, None when the agent may have the task.
    `lacks`: how many of the conditions that only configuration can change."""

    desk: Desk
    failure: str | None
    lacks: int


class _Asked(NamedTuple):
    """What every agent is held against; `opened`: those of the queues that are open."""

    queues: frozenset[str]
    requires: tuple[Requirement, ...]
    opened: frozenset[str]


def candidates(ws: Workspace, task: Task) -> list[Candidate]:
    """All agents of the workspace, in the order of their ids' creation."""
    asked = _asked(ws, task)
    return [_candidate(ws, task, desk, asked) for desk in ws.desks.values()]


def _asked(ws: Workspace, task: Task) -> _Asked:
    queues = frozenset(task.queues)
    return _Asked(queues, capacity.active(task), queues - ws.closed_queues)


def nearest(found: list[Candidate], most: int) -> list[Desk]:
    """Those who lack least, present before absent, less loaded before more loaded."""

    groups: dict[tuple[int, bool], list[Candidate]] = {}
    for one in found:
        groups.setdefault((one.lacks, one.failure == "presence"), []).append(one)
    chosen: list[Desk] = []
    for place in sorted(groups):
        left = most - len(chosen)
        if left <= 0:
            break
        group = nsmallest(left, groups[place], key=lambda one: (one.desk.share, one.desk.id))
        chosen += [one.desk for one in group]
    return chosen


def reasons(found: list[Candidate]) -> dict[str, int]:
    """How many fail first under each kind of condition, the commonest first."""
    counted = Counter(one.failure for one in found if one.failure is not None)
    return dict(sorted(counted.items(), key=lambda entry: (-entry[1], entry[0])))


def first_failure(ws: Workspace, task: Task, desk: Desk) -> str | None:
    """Kind of the first of `capacity.conditions` that fails; None when all pass."""
    return _candidate(ws, task, desk, _asked(ws, task)).failure


def _candidate(ws: Workspace, task: Task, desk: Desk, asked: _Asked) -> Candidate:
    direct = task.target_agent == desk.id or desk.id in task.also
    own = desk.config.queues
    serves = direct or (
        bool(asked.queues) if own is None else any(entry.queue in asked.queues for entry in own)
    )
    unmet = [] if direct else [item for item in asked.requires if not item.met_by(desk.facts)]
    cap = desk.config.channels.get(task.channel, 0)
    lacks = len(unmet) + (not serves) + (cap <= 0)
    if not serves:
        return Candidate(desk, "queue", lacks)
    if not direct and not _serves_open(own, asked):
        return Candidate(desk, "closed", lacks)
    if unmet:
        return Candidate(desk, unmet[0].condition_text, lacks)
    if cap <= 0:
        return Candidate(desk, "channel", lacks)
    return Candidate(desk, _momentary(ws, task, desk, cap), lacks)


def _serves_open(own: tuple[AgentQueue, ...] | None, asked: _Asked) -> bool:
    if own is None or len(asked.opened) == len(asked.queues):
        return bool(asked.opened)
    return any(entry.queue in asked.opened for entry in own)


def _momentary(ws: Workspace, task: Task, desk: Desk, cap: int) -> str | None:
    if not desk.takes_work:
        return "presence"
    if desk.count.get(task.channel, 0) >= cap:
        return "channel_cap"
    if not capacity.has_room(ws, desk, task.channel):
        return "capacity"
    # Few come this far: what is between this agent and this task only.
    conditions = capacity.conditions(ws, task, desk)
    return next((one.kind for one in conditions if not one.passed), None)
