"""Agents' time as the router tells it: presence and tasks in hand, in spans that never overlap.

A span ends with the next change; occupancy is summed over spans, never over counters.
"""

from typing import Any

import msgspec

from services.sla.domain.columns import Columns, names
from services.sla.domain.intake import Told
from shared.contracts.core import Entity, Row
from shared.contracts.instants import parse_instant

TABLE = "agent_span"
KIND = "agent"
CAPACITY = 100.0  # units, where the router does not say
UNITS = 100.0  # of a task, where the router does not say: one fills an agent

# (name, type, nullable)
COLUMNS: Columns = (
    ("workspace", "text", False),
    ("agent_id", "text", False),
    ("from_us", "instant", False),  # primary key with workspace and agent
    ("to_us", "instant", True),  # null while it lasts
    ("status", "text", False),
    ("tasks", "integer", False),  # assigned, in wrap-up or held for something of ours
    ("units", "double", False),  # of capacity that they take
    ("capacity", "double", False),
)
COLUMN_NAMES = names(COLUMNS)


class Desk(msgspec.Struct, gc=False):
    """An agent now. `tasks`: units by task; a task that waits for its customer is not among them
    but in `parked`."""

    status: str = "offline"
    since_us: int = 0
    tasks: dict[str, float] = {}
    parked: dict[str, float] = {}
    capacity: float = CAPACITY


class _Present(msgspec.Struct):
    at: str
    agent_id: str
    status: str = ""
    capacity: float | None = None


_PRESENT = msgspec.json.Decoder(_Present)
_PACK = msgspec.msgpack.Encoder()
_DESK = msgspec.msgpack.Decoder(Desk)
PRESENCE = "routing.agent.presence.v1"
_TASK = "routing.task."
_LEAVES = frozenset({"completed", "cancelled", "requeued"})
_KNOWN = _LEAVES | {"assigned", "held", "resumed", "wrapping", "transferred"}


class Agents:
    """All desks of a workspace."""

    def __init__(self, workspace: str) -> None:
        self._workspace = workspace
        self._desks: dict[str, Desk] = {}
        self._of_task: dict[str, str] = {}
        self._changed: set[str] = set()

    def desk(self, agent_id: str) -> Desk | None:
        return self._desks.get(agent_id)

    def take(self, name: str, body: bytes) -> list[Row]:
        """An event of the router that is no task's; the spans that it ends and begins."""
        return self._present(_PRESENT.decode(body)) if name == PRESENCE else []

    def follow(self, name: str, told: Told) -> list[Row]:
        """The same of a task's event."""
        kind = name[len(_TASK) : -len(".v1")]
        return self._task(kind, told) if kind in _KNOWN else []

    def _present(self, told: _Present) -> list[Row]:
        desk = self._desks.setdefault(told.agent_id, Desk(tasks={}, parked={}))
        before = self._row(told.agent_id, desk)
        desk.status = told.status
        if told.capacity is not None:
            desk.capacity = told.capacity
        return self._turn(told.agent_id, desk, before, parse_instant(told.at))

    def _task(self, kind: str, told: Told) -> list[Row]:
        task_id = told.task_id or ""
        owner = self._of_task.get(task_id)
        at_us = parse_instant(told.at)
        if kind == "assigned" and told.agent_id:
            parked = owner is not None and task_id in self._desks[owner].parked
            rows = self._leave(task_id, at_us) if owner not in (None, told.agent_id) else []
            return rows + self._enter(told.agent_id, task_id, told, at_us, parked)
        if owner is None:
            return []
        if kind in _LEAVES or (kind == "transferred" and told.mode == "blind"):
            return self._leave(task_id, at_us)
        return self._move(owner, task_id, kind, told, at_us)

    def _enter(
        self, agent_id: str, task_id: str, told: Told, at_us: int, parked: bool
    ) -> list[Row]:
        """`parked`: it waits for its customer still, with another agent."""
        desk = self._desks.setdefault(agent_id, Desk(tasks={}, parked={}))
        before = self._row(agent_id, desk)
        mine, other = (desk.parked, desk.tasks) if parked else (desk.tasks, desk.parked)
        other.pop(task_id, None)
        mine[task_id] = UNITS if told.units is None else told.units
        self._of_task[task_id] = agent_id
        return self._turn(agent_id, desk, before, at_us)

    def _leave(self, task_id: str, at_us: int) -> list[Row]:
        agent_id = self._of_task.pop(task_id)
        desk = self._desks[agent_id]
        before = self._row(agent_id, desk)
        desk.tasks.pop(task_id, None)
        desk.parked.pop(task_id, None)
        return self._turn(agent_id, desk, before, at_us)

    def _move(self, agent_id: str, task_id: str, kind: str, told: Told, at_us: int) -> list[Row]:
        desk = self._desks[agent_id]
        before = self._row(agent_id, desk)
        if kind == "held" and told.reason == "waiting_on_customer" and task_id in desk.tasks:
            desk.parked[task_id] = desk.tasks.pop(task_id)
        elif kind == "resumed" and task_id in desk.parked:
            desk.tasks[task_id] = desk.parked.pop(task_id)
        return self._turn(agent_id, desk, before, at_us)

    def _turn(self, agent_id: str, desk: Desk, before: dict[str, Any], at_us: int) -> list[Row]:
        """Ends the span before a change and begins the next; nothing where nothing changed."""
        self._changed.add(agent_id)
        at_us = max(at_us, desk.since_us)
        after = self._row(agent_id, desk)
        if after == before:
            return []
        rows: list[Row] = []
        if desk.since_us and desk.since_us < at_us:
            rows.append(Row(TABLE, {**before, "to_us": at_us}))
        desk.since_us = at_us
        rows.append(Row(TABLE, {**after, "from_us": at_us}))
        return rows

    def _row(self, agent_id: str, desk: Desk) -> dict[str, Any]:
        return {
            "workspace": self._workspace,
            "agent_id": agent_id,
            "from_us": desk.since_us,
            "to_us": None,
            "status": desk.status,
            "tasks": len(desk.tasks),
            "units": float(sum(desk.tasks.values())),
            "capacity": desk.capacity,
        }

    # At rest.

    def load(self, entity: Entity) -> None:
        assert entity.body is not None
        desk = self._desks[entity.key] = _DESK.decode(entity.body)
        for task_id in (*desk.tasks, *desk.parked):
            self._of_task[task_id] = entity.key

    def changes(self) -> list[Entity]:
        found = [self._entity(name) for name in sorted(self._changed)]
        self._changed = set()
        return found

    def dump(self) -> list[Entity]:
        return [self._entity(name) for name in sorted(self._desks)]

    def _entity(self, name: str) -> Entity:
        return Entity(KIND, name, _PACK.encode(self._desks[name]))
