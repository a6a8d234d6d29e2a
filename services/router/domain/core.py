"""The router's core: one workspace as `shared.contracts.core.Core` (see there for the contract).

An input is applied in three steps: what is due by itself (`due.run`), the input, and then dispatch
until everything rests (`due.rest`). Where to read on: «who gets this task» is dispatch.py, the life of
a task tasks.py and lifecycle.py, what messages mean conversations.py.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import repeat
from operator import attrgetter
from typing import Any, cast

import msgspec

from services.router.domain import (
    clocks,
    commands,
    config_inputs,
    configuration,
    conversations,
    counts,
    due,
    estimates,
    ladders,
    loading,
    merges,
    offers,
    opening,
    presence,
    refusals,
    task_shape,
    tasks,
    views,
)
from services.router.domain import commands as cmd
from services.router.domain.shapes import ShownPresence
from services.router.domain.state import Meta, Task
from services.router.domain.workspace import Workspace, pack, unpack
from shared.contracts.core import BEHIND, LIVE, Entity, Input, Outcome
from shared.contracts.problems import Refused

VERSION = "6"
_encode = msgspec.json.Encoder().encode
_place = attrgetter("kind", "key")
_META = ("meta", "meta")

Handler = Callable[[Any, Any], Any]


class RouterFactory:
    service = "router"
    version = VERSION

    def create(self, workspace: str, seed: int) -> "RouterCore":
        return RouterCore(workspace, seed)

    def heeds(self, event_type: str) -> bool:
        return True


class RouterCore(Workspace):
    """The workspace with its inputs. Views, explanations and invariants take it as a Workspace."""

    __slots__ = ("_stale", "_taken", "replies")

    def __init__(self, name: str, seed: int) -> None:
        super().__init__(name, seed)
        self._stale = False
        self._taken = 0  # the last input whose changes were taken
        self.replies = True  # whether commands are answered; a simulation reads no answers

    @property
    def last_seq(self) -> int:
        self._ready()
        return self.meta.seq

    def apply(self, now_us: int, number: int, what: Input) -> Outcome:
        if self._stale:
            self._ready()
        meta = self.meta
        assert now_us >= meta.now_us, "time goes back"
        self.begin(now_us)
        if what.kind == "command":
            return self._command(now_us, number, what)
        meta.now_us, meta.number = now_us, number
        due.run(self)
        self._take(what)
        due.rest(self)
        return self._outcome(b"")

    def wake_at_us(self) -> int | None:
        self._ready()
        return None if self.meta.behind or not self.timers else self.timers[0][0]

    def changes(self) -> list[Entity]:
        if self.meta.number != self._taken:  # every input changes it
            self.dirty["meta"]["meta"] = self.meta
        found: list[Entity] = []
        for kind, changed in self.dirty.items():
            if changed:
                found.extend(_entities(kind, changed, self.forgotten[kind], kind in self.removed))
        self.discard_changes()
        return found

    def discard_changes(self) -> None:
        """They are stored, or need not be. What is kept for those who look is bounded here, once a
        batch."""
        super().discard_changes()
        self._taken = self.meta.number
        if len(self.uncounted) > counts.UNCOUNTED_MAX:
            counts.forget(self)
        if len(self.unranked) > estimates.UNRANKED_MAX:
            estimates.rank_all(self)

    def load(self, entities: Iterable[Entity]) -> None:
        for entity in entities:
            if entity.body is not None and entity.open:
                self.stored[entity.kind][entity.key] = unpack(entity.kind, entity.body)
        self._stale = True

    def dump(self) -> list[Entity]:
        self._ready()
        found = [
            Entity(kind, key, pack(entity))
            for kind, entities in self.stored.items()
            for key, entity in entities.items()
        ]
        found.sort(key=_place)
        return found

    # -- inside

    def prepare(self) -> Iterator[None]:
        """See shared.contracts.core.Prepared."""
        if self._stale:
            self._stale = False
            self._clear()
            self._taken = self.meta.number
            yield from loading.slices(self)

    def _ready(self) -> None:
        """Derive, once, what follows from the entities loaded."""
        if self._stale:
            self._stale = False
            self._rebuild()
            self._taken = self.meta.number

    def _rebuild(self) -> None:
        self._clear()
        loading.derive(self)

    def _clear(self) -> None:
        self.meta = cast("Meta", self.stored["meta"].get("meta") or Meta())
        self.stored["meta"]["meta"] = self.meta
        self.begin(self.meta.now_us)
        self.reset_derived()

    def _take(self, what: Input) -> None:
        """Apply an input that is no command."""
        if what.kind == "event":
            if what.name.startswith("interaction."):
                conversations.on_event(self, what.name, what.body, what.id, what.time_us)
            else:
                clocks.on_event(self, what.name, what.body)
        elif what.kind == "config":
            config_inputs.on_input(self, what.name, what.body)
        elif what.kind == "lifecycle":
            self._lifecycle(what)

    def _lifecycle(self, what: Input) -> None:
        if what.name == BEHIND:
            if not self.meta.behind:
                self.meta.behind = True
                self.meta.behind_us = self.meta.turned_us = self.meta.now_us
        elif what.name == LIVE:
            if self.meta.behind:
                due.go_live(self)
        elif what.name in (commands.PRESENCE_LAPSED, commands.PRESENCE_RETURNED):
            agent = msgspec.json.decode(what.body, type=commands.Presence).agent
            lapsed = what.name == commands.PRESENCE_LAPSED
            (presence.lapse if lapsed else presence.give_back)(self, agent)

    def _command(self, now_us: int, number: int, what: Input) -> Outcome:
        """Handlers refuse before they change anything. What came due before a command that is then
        refused is undone: it happens again with the next input. KeyError and msgspec.DecodeError
        are faults of the shell that made the input."""
        handler, command = _HANDLERS[what.name], cmd.decode(what.name, what.body)
        meta, timers = self.meta, self.timers
        if timers and timers[0][0] <= now_us and not meta.behind:
            made = self._after_timers(now_us, number, handler, command)
        else:
            before_us, before = meta.now_us, meta.number
            meta.now_us, meta.number = now_us, number
            try:
                made = handler(self, command)
            except Refused:
                assert not self.touched and not self.events, "changed before it refused"
                meta.now_us, meta.number = before_us, before
                raise
        due.rest(self)
        return self._outcome(_reply(self, made) if self.replies else b"")

    def _after_timers(
        self, now_us: int, number: int, handler: Handler, command: cmd.Command
    ) -> Any:
        """What the handler made of the command, once all that came due before it has happened. Only a
        refusal that this brought about costs a rebuild; the runtime lets timers ring before commands,
        so that there it is not even asked."""
        try:
            refusals.check(self, command)
        except Refused:
            self.begin(self.meta.now_us)  # as if nobody had asked
            raise
        undo = Undo(self)
        self.meta.now_us, self.meta.number = now_us, number
        try:
            due.run(self)
            made = handler(self, command)
        except Refused:
            undo.back()
            self._rebuild()
            raise
        self.undo = None
        return made

    def _outcome(self, reply: bytes) -> Outcome:
        touched = self.touched
        for queue in self.stirred:
            touched.append(f"queue:{queue}")
        if self.events:
            touched.append("journal")
        return Outcome(reply, self.events, touched, self.config)


class Undo:
    """The state before an input, entity by entity, as far as the input changes it."""

    def __init__(self, core: RouterCore) -> None:
        self._core = core
        self._dirty = {kind: dict(changed) for kind, changed in core.dirty.items()}
        self._forgotten = {kind: set(left) for kind, left in core.forgotten.items()}
        self._before: dict[tuple[str, str], bytes | None] = {_META: pack(core.meta)}
        core.undo = self._before

    def back(self) -> None:
        core = self._core
        core.undo = None
        for (kind, key), body in self._before.items():
            if body is None:
                core.stored[kind].pop(key, None)
            else:
                core.stored[kind][key] = unpack(kind, body)
        core.dirty = {
            kind: {
                key: None if entity is None else core.stored[kind].get(key, entity)
                for key, entity in changed.items()
            }
            for kind, changed in self._dirty.items()
        }
        core.forgotten = self._forgotten


def _entities(
    kind: str, changed: dict[str, Any], left: set[str], removed: bool
) -> Iterable[Entity]:  # fmt: skip
    """What is to be stored, by key; `removed`: some are gone for good. The loop over them is left to C:
    there are four to an input."""
    keys = sorted(changed)
    entities = map(changed.__getitem__, keys)
    if removed:
        bodies = [None if entity is None else pack(entity) for entity in entities]
    else:
        bodies = map(pack, entities)
    opens = [key not in left for key in keys] if left else repeat(True)
    return map(Entity, repeat(kind), keys, bodies, opens)


def _reply(core: RouterCore, made: Any) -> bytes:
    return _encode(task_shape.shown(core, made) if isinstance(made, Task) else made)


# -- commands


def _decline(core: RouterCore, command: cmd.DeclineOffer) -> Task:
    task = offers.decline(core, command.agent, command.offer, command.reason, command.retry_us)
    ladders.review(core, task)
    return task


def _accept(core: RouterCore, command: cmd.AcceptOffer) -> Task:
    return offers.accept(core, command.agent, command.offer)


def _set_presence(core: RouterCore, command: cmd.SetPresence) -> ShownPresence:
    return views.show_presence(presence.set_presence(core, command))


def _escalate(core: RouterCore, command: cmd.EscalateTask) -> Task:
    task = tasks.find(core, command)
    ladders.escalate(core, task, command.level)
    return task


def _cancel(core: RouterCore, command: cmd.CancelTask) -> Task:
    task = tasks.find(core, command)
    tasks.cancel(core, task, command.reason)
    return task


_HANDLERS: dict[str, Handler] = {
    "PutResource": configuration.put,
    "DeleteResource": configuration.delete,
    "MergeCustomer": merges.merge,
    "UnmergeCustomer": merges.unmerge,
    "SetPresence": _set_presence,
    "AcceptOffer": _accept,
    "DeclineOffer": _decline,
    "CreateTask": opening.create,
    "CompleteTask": tasks.complete,
    "CloseTask": tasks.close,
    "TransferTask": tasks.transfer,
    "RequeueTask": tasks.requeue,
    "HoldTask": tasks.hold,
    "ResumeTask": tasks.resume_command,
    "EscalateTask": _escalate,
    "AssignTask": tasks.assign,
    "ReprioritizeTask": tasks.reprioritize,
    "CancelTask": _cancel,
}
