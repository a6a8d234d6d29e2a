"""How many of a task's conditions an agent fails, for many tasks: what they share is judged once.

The same as counting what fails of `capacity.conditions`, a test holds one to the other.
"""

from collections.abc import Iterable
from typing import Any

from services.router.domain import capacity, slots
from services.router.domain.capacity import Condition
from services.router.domain.desk import Desk
from services.router.domain.requirements import Requirement
from services.router.domain.state import Task
from services.router.domain.workspace import Workspace


class Lacks:
    """Of one agent, as long as nothing changes."""

    def __init__(self, ws: Workspace, desk: Desk) -> None:
        self._ws = ws
        self._desk = desk
        self._absent = _failed(capacity.present(desk))
        self._delayed = any(entry.delay_s > 0 for entry in desk.config.queues or ())
        self._delays: dict[tuple[str, ...], float] = {}
        self._rooms: dict[str, int] = {}
        self._kinds: dict[Any, int] = {}
        self._met: dict[Requirement, bool] = {}

    def of(self, task: Task) -> int:
        direct = self._desk.id in slots.direct_to(self._ws, task)
        return (
            self._absent
            + self._room(task.channel)
            + self._kind(task, direct)
            + self._between(task, direct)
        )

    def _room(self, channel: str) -> int:
        found = self._rooms.get(channel)
        if found is None:
            found = _failed(capacity.room(self._ws, self._desk, channel))
            self._rooms[channel] = found
        return found

    def _kind(self, task: Task, direct: bool) -> int:
        """`capacity.configured`: the same for all tasks that ask the same."""
        kind = direct, tuple(task.queues), task.channel, capacity.active(task)
        found = self._kinds.get(kind)
        if found is None:
            found = self._kinds[kind] = self._asked(*kind)
        return found

    def _asked(
        self, direct: bool, queues: tuple[str, ...], channel: str, requires: tuple[Requirement, ...]
    ) -> int:  # fmt: skip
        desk = self._desk
        not_served = desk.config.channels.get(channel, 0) <= 0
        if direct:
            return int(not_served)
        served = capacity.serving(desk, queues, set()) is not None
        opened = capacity.is_open(self._ws, queues, desk, serves=served)
        unmet = [not self._meets(item) for item in requires]
        return not_served + (not served) + (not opened) + sum(unmet)

    def _meets(self, item: Requirement) -> bool:
        found = self._met.get(item)
        if found is None:
            found = self._met[item] = item.met_by(self._desk.facts)
        return found

    def _between(self, task: Task, direct: bool) -> int:
        """`capacity.pairing`: of most tasks at most the delay of his queue."""
        ws, desk = self._ws, self._desk
        apart = task.refused or task.never or task.agent_id or task.offers or desk.id in ws.drains
        if apart or capacity.kept_for(task) is not None:
            return _failed(capacity.pairing(ws, task, desk))
        if not self._delayed or direct:
            return 0
        return (ws.now - task.waiting_since_us) / 1e6 < self._delay_s(tuple(task.queues))

    def _delay_s(self, queues: tuple[str, ...]) -> float:
        found = self._delays.get(queues)
        if found is None:
            served = capacity.serving(self._desk, queues, self._ws.closed_queues)
            found = self._delays[queues] = 0.0 if served is None else served.delay_s
        return found


def _failed(conditions: Iterable[Condition]) -> int:
    return sum([not one.passed for one in conditions])
