"""A tiny core for tests of the runtime: counters, timers, refusals and faults on request."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from shared.contracts.core import ConfigWrite, Emitted, Entity, Input, Outcome
from shared.contracts.problems import conflict
from shared.contracts.topics import ROUTING_EVENTS


class CounterBody(msgspec.Struct):
    """Body of events and commands: what to do with the counter `name`."""

    name: str = "c"
    add: int = 1
    after_us: int = 0  # a timer that adds one later
    raises: bool = False
    refuse: bool = False
    quiet: bool = False  # journal only
    config: str = ""  # write this resource
    big: int = 0  # pad the event with so many bytes


class CounterState(msgspec.Struct):
    """All of one workspace; small, so that it is one entity beside the counters."""

    seq: int = 0
    behind: bool = False
    timers: list[tuple[int, str]] = []
    heard: list[str] = []


class CounterCore:
    """See `shared.contracts.core.Core`. Event types: "count.added", "count.mode"."""

    def __init__(self, workspace: str, seed: int) -> None:
        self.workspace = workspace
        self.seed = seed
        self.counters: dict[str, int] = {}
        self.state = CounterState()
        self._changed: set[str] = set()

    @property
    def last_seq(self) -> int:
        return self.state.seq

    def apply(self, now_us: int, number: int, what: Input) -> Outcome:
        outcome = Outcome()
        self._ring(now_us, outcome)
        if what.kind == "lifecycle":
            self.state.behind = what.name == "behind"
            self._emit(outcome, "count.mode", {"mode": what.name, "number": number})
        elif what.kind == "config":
            self.state.heard.append(what.body.decode())
            self._emit(outcome, "count.config", {"kind": what.name})
        elif what.kind != "timer":
            self._count(now_us, what, outcome)
        return outcome

    def _count(self, now_us: int, what: Input, outcome: Outcome) -> None:
        body = msgspec.json.decode(what.body, type=CounterBody)
        if body.refuse:
            raise conflict("state", "The counter does not want to.")
        self._add(body.name, body.add, outcome, quiet=body.quiet, big=body.big)
        if body.raises:
            raise RuntimeError("told to fail, half done")
        if body.after_us:
            self.state.timers.append((now_us + body.after_us, body.name))
            self.state.timers.sort()
        if body.config:
            outcome.config.append(ConfigWrite("thing", body.config, what.body))
        outcome.reply = msgspec.json.encode({"value": self.counters[body.name]})

    def _ring(self, now_us: int, outcome: Outcome) -> None:
        while self.state.timers and self.state.timers[0][0] <= now_us:
            due_us, name = self.state.timers.pop(0)
            self._add(name, 1, outcome, due_us=due_us)

    def _add(
        self,
        name: str,
        amount: int,
        outcome: Outcome,
        *,
        due_us: int = 0,
        quiet: bool = False,
        big: int = 0,
    ) -> None:
        value = self.counters[name] = self.counters.get(name, 0) + amount
        self._changed.add(name)
        data = {"name": name, "value": value, "due_us": due_us, "pad": "x" * big}
        self._emit(outcome, "count.added", data, quiet=quiet)
        outcome.touched.append(f"counter:{name}")

    def _emit(
        self, outcome: Outcome, kind: str, data: Mapping[str, object], *, quiet: bool = False
    ) -> None:
        self.state.seq += 1
        topic = "" if quiet else ROUTING_EVENTS
        outcome.events.append(
            Emitted(self.state.seq, kind, topic, self.workspace, msgspec.json.encode(data))
        )

    def wake_at_us(self) -> int | None:
        return self.state.timers[0][0] if self.state.timers else None

    def changes(self) -> list[Entity]:
        names, self._changed = sorted(self._changed), set()
        return [*(self._counter(name) for name in names), self._whole()]

    def load(self, entities: Iterable[Entity]) -> None:
        for entity in entities:
            assert entity.body is not None
            if entity.kind == "counter":
                self.counters[entity.key] = int(entity.body)
            else:
                self.state = msgspec.json.decode(entity.body, type=CounterState)

    def dump(self) -> list[Entity]:
        return [*(self._counter(name) for name in sorted(self.counters)), self._whole()]

    def _counter(self, name: str) -> Entity:
        return Entity("counter", name, str(self.counters[name]).encode())

    def _whole(self) -> Entity:
        return Entity("whole", "", msgspec.json.encode(self.state))


UNHEEDED = "count.not"


class CounterFactory:
    """Cores of the service `service` (default "router")."""

    def __init__(self, service: str = "router", version: str = "1") -> None:
        self.service = service
        self.version = version

    def create(self, workspace: str, seed: int) -> CounterCore:
        return CounterCore(workspace, seed)

    def heeds(self, event_type: str) -> bool:
        return event_type != UNHEEDED


def counted(body: CounterBody | None = None, **changes: Any) -> bytes:
    """JSON of a CounterBody."""
    return msgspec.json.encode(msgspec.structs.replace(body or CounterBody(), **changes))
