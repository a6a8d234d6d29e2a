"""What the monitor of a running system looks at: waiting work beside an agent who may have it.

After each decision there is none (dispatch.py). Here some of the tasks that wait are held against some of
the agents who are free, by the conditions that explanations show and not by the pools that decide, so that
a fault of those would be seen. What keeps a free, capable agent and a task apart has a name and an end: a
look tells the name, and what has outlived its end.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import NamedTuple, TypeVar

from services.router.domain import capacity, dispatch, slots
from services.router.domain.desk import Desk
from services.router.domain.state import Task
from services.router.domain.workspace import Workspace

SCANNED_MAX = 2_000  # tasks, and agents, that a look passes over
JUDGED_MAX = 16  # tasks that wait, and agents who are free, that a look holds against each other
OUTLIVED_US = 60_000_000  # so long after its end a hold or drain that still lasts is a fault

EXEMPT = frozenset({"cool_down", "delay", "drain", "hold", "never_pair"})
"""Why a free, capable agent may not have a task that waits; kinds of `capacity.Condition`."""

T = TypeVar("T")


class Place(NamedTuple):
    """Where the next look begins, among tasks and among agents."""

    tasks: int = 0
    agents: int = 0


class Look(NamedTuple):
    """What one look saw. `overlooked`: (task, agent) of whom he may have it; `outlived`: (task, "hold"
    or "drain"); `kept_apart`: how many pairs each reason of `EXEMPT` keeps apart."""

    pairs: int
    overlooked: list[tuple[str, str]]
    outlived: list[tuple[str, str]]
    kept_apart: dict[str, int]
    following: Place


def look(ws: Workspace, place: Place) -> Look:
    """At the workspace as its last input left it, and at the moment of that input: what has become due
    since is not decided yet. A few milliseconds at the most, however large the workspace."""
    ws.begin(ws.meta.now_us)
    if ws.meta.behind or ws.catching_up:
        return Look(0, [], [], {}, place)
    tasks, next_task = _some(
        ws.tasks.values(), place.tasks, lambda one: dispatch.wants_offer(ws, one)
    )
    desks, next_desk = _some(ws.desks.values(), place.agents, lambda one: one.takes_work)
    overlooked: list[tuple[str, str]] = []
    apart: Counter[str] = Counter()
    for task, desk in _free_for(ws, tasks, desks):
        failed = {one.kind for one in capacity.conditions(ws, task, desk) if not one.passed}
        if not failed:
            overlooked.append((task.id, desk.id))
        elif failed <= EXEMPT:
            apart.update(failed)
    outlived = [(task.id, what) for task in tasks for what in _outlived(ws, task)]
    following = Place(next_task, next_desk)
    return Look(len(tasks) * len(desks), overlooked, outlived, dict(apart), following)


def still(ws: Workspace, pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those of the pairs of an earlier look that are overlooked now, too. (A large number of timers is
    worked off in several inputs; until the last of them work may wait beside a free agent.)"""
    ws.begin(ws.meta.now_us)
    return [pair for pair in pairs if _is_overlooked(ws, *pair)]


def _is_overlooked(ws: Workspace, task_id: str, agent_id: str) -> bool:
    task, desk = ws.tasks.get(task_id), ws.desks.get(agent_id)
    if task is None or desk is None or not dispatch.wants_offer(ws, task):
        return False
    return any(
        capacity.admissible(ws, *pair) for pair in _free_for(ws, [task], [desk]) if desk.takes_work
    )


def _some(found: Iterable[T], start: int, suits: Callable[[T], bool]) -> tuple[list[T], int]:
    """At most JUDGED_MAX that suit, of SCANNED_MAX from `start` on; and where to go on."""
    chosen: list[T] = []
    place = start
    for one in islice(found, start, start + SCANNED_MAX):
        place += 1
        if suits(one):
            chosen.append(one)
            if len(chosen) == JUDGED_MAX:
                return chosen, place
    return chosen, place if place == start + SCANNED_MAX else 0


def _free_for(
    ws: Workspace, tasks: Iterable[Task], desks: Iterable[Desk]
) -> Iterator[tuple[Task, Desk]]:
    """Pairs of a task and an agent who has room for it, and to whom one more offer of it may go."""
    for desk in desks:
        room = {name for name in desk.config.channels if capacity.has_room(ws, desk, name)}
        for task in tasks:
            if task.channel not in room:
                continue
            if slots.wants_more(ws, task) or desk.id in slots.direct_to(ws, task):
                yield task, desk


def _outlived(ws: Workspace, task: Task) -> Iterator[str]:
    ends = (("hold", task.hold_until_us), ("drain", task.drain_until_us))
    return (what for what, end in ends if end is not None and end + OUTLIVED_US < ws.now)
