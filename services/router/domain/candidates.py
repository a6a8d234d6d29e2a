"""Every agent held against a task, fast: the first condition that each fails, and who is nearest.

`capacity.conditions` states all conditions with their values, too slowly for thousands of agents;
`first_failure` finds the first that fails in the same order. A test holds one to the other.
"""

from collections import Counter
from heapq import nsmallest
from typing import NamedTuple, cast

from services.router.domain import capacity, slots
from services.router.domain.config import AgentQueue
from services.router.domain.desk import Desk
from services.router.domain.requirements import Requirement
from services.router.domain.state import Task
from services.router.domain.workspace import Workspace

FITS_MAX = 32  # kinds of tasks whose fitting agents are kept
Groups = dict[tuple[int, bool], list[Desk]]


class Candidate(NamedTuple):
    """`failure`: kind of the first condition that fails, None when the agent may have the task.
    `lacks`: how many of the conditions that only configuration can change."""

    desk: Desk
    failure: str | None
    lacks: int


class Candidates(NamedTuple):
    """All agents of the workspace: how many fail first under each kind of condition, the commonest
    first, and who they are by (what they lack, whether they are absent)."""

    total: int
    admissible: int
    by_reason: dict[str, int]
    groups: Groups


class Fit(NamedTuple):
    """Agents who could have such tasks, with the channel's cap; of those who cannot, whatever they
    do, the counts and groups."""

    able: list[tuple[Desk, int]]
    counts: Counter[str]
    groups: Groups


class _Asked(NamedTuple):
    """What every agent is held against; `opened`: those of the queues that are open; `direct`: to whom
    the queues and requirements do not apply."""

    queues: frozenset[str]
    requires: tuple[Requirement, ...]
    opened: frozenset[str]
    direct: frozenset[str]


NOBODY = Candidates(0, 0, {}, {})


def candidates(ws: Workspace, task: Task) -> Candidates:
    """Every agent held against the task."""
    fit = _sort_out(ws, task) if slots.direct_to(ws, task) else _fit(ws, task)
    failures = [(_momentary(ws, task, desk, cap), desk) for desk, cap in fit.able]
    counts = Counter(failure for failure, _ in failures)
    admissible = counts.pop(None, 0)
    counts.update(fit.counts)
    groups = dict(fit.groups)
    present = [desk for failure, desk in failures if failure != "presence"]
    groups[0, False] = [*present, *groups.get((0, False), ())]
    groups[0, True] = [desk for failure, desk in failures if failure == "presence"]
    reasons = {name: counts[name] for name in sorted(counts, key=lambda n: (-counts[n], n or ""))}
    return Candidates(len(ws.desks), admissible, cast("dict[str, int]", reasons), groups)


def _fit(ws: Workspace, task: Task) -> Fit:
    """Kept for tasks that ask the same, until an agent or a queue is another."""
    key = (tuple(task.queues), task.channel, capacity.active(task))
    found: Fit | None = ws.fits.get(key)
    if found is None:
        if len(ws.fits) >= FITS_MAX:
            ws.fits.clear()
        found = ws.fits[key] = _sort_out(ws, task)
    return found


def _sort_out(ws: Workspace, task: Task) -> Fit:
    asked = _asked(ws, task)
    found = Fit([], Counter(), {})
    for desk in ws.desks.values():
        unable = _unable(task, desk, asked)
        if unable is None:
            found.able.append((desk, desk.config.channels.get(task.channel, 0)))
        else:
            found.counts[unable.failure or ""] += 1
            found.groups.setdefault((unable.lacks, False), []).append(desk)
    return found


def _asked(ws: Workspace, task: Task) -> _Asked:
    queues = frozenset(task.queues)
    direct = frozenset(slots.direct_to(ws, task))
    return _Asked(queues, capacity.active(task), queues - ws.closed_queues, direct)


def nearest(found: Candidates, most: int) -> list[Desk]:
    """Those who lack least, present before absent, less loaded before more loaded."""
    chosen: list[Desk] = []
    for place in sorted(found.groups):
        left = most - len(chosen)
        if left <= 0:
            break
        chosen += nsmallest(left, found.groups[place], key=lambda desk: (desk.share, desk.id))
    return chosen


def first_failure(ws: Workspace, task: Task, desk: Desk) -> str | None:
    """Kind of the first of `capacity.conditions` that fails; None when all pass."""
    return _candidate(ws, task, desk, _asked(ws, task)).failure


def _candidate(ws: Workspace, task: Task, desk: Desk, asked: _Asked) -> Candidate:
    unable = _unable(task, desk, asked)
    if unable is not None:
        return unable
    cap = desk.config.channels.get(task.channel, 0)
    return Candidate(desk, _momentary(ws, task, desk, cap), 0)


def _unable(task: Task, desk: Desk, asked: _Asked) -> Candidate | None:
    """None for an agent whom nothing but the moment can keep from the task."""
    direct = desk.id in asked.direct
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
    return Candidate(desk, "channel", lacks) if cap <= 0 else None


def _serves_open(own: tuple[AgentQueue, ...] | None, asked: _Asked) -> bool:
    if own is None or len(asked.opened) == len(asked.queues):
        return bool(asked.opened)
    return any(entry.queue in asked.opened for entry in own)


def _momentary(ws: Workspace, task: Task, desk: Desk, cap: int) -> str | None:
    if not desk.takes_work:
        return "presence"
    full = desk.count.get(task.channel, 0) >= cap
    if full or not capacity.has_room(ws, desk, task.channel):
        if capacity.is_wrapping_up(ws, desk, task.channel):
            return "wrap_up"
        return "channel_cap" if full else "capacity"
    # Few come this far: what is between this agent and this task only.
    conditions = capacity.conditions(ws, task, desk)
    return next((one.kind for one in conditions if not one.passed), None)
