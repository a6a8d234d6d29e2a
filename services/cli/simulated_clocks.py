"""The SLA service's core beside a simulated router: composition for `omniroute simulate`.

It hears what the router's events and the customers say, in virtual time, and tells the router what its
clocks do, as over the bus in production. At one instant the router's own timers come first.
"""

from collections import Counter
from typing import Any

import msgspec

from services.cli.apply.document import Document
from services.router.simulate import beside
from services.router.simulate.beside import OpenBeside
from services.router.simulate.scenario import Scenario
from services.sla.domain.commands import PutResource
from services.sla.domain.core import SlaCore, SlaFactory
from shared.calendars import expand
from shared.contracts.core import Emitted, Entity, Input, Outcome

_DUE = Input("timer", "due")
_PREFIX, _SUFFIX = "sla.clock.", ".v1"
_MOVE_LADDERS = frozenset({"warning", "breached", "corrected"})
_MOVE_QUEUES = frozenset(
    {"started", "bound", "moved", "paused", "resumed", "met", "cancelled"} | _MOVE_LADDERS
)
_COUNTED = {"started": "started", "met": "met", "breached": "breached", "warning": "warned"}
# Of the router's events those that clocks follow; estimates only foretell breaches.
_UNHEARD = "routing.task.estimate.v1"


class ClockMaker(msgspec.Struct, frozen=True):
    """Opens the clocks of a replication. `entities` of a core that knows calendars and policies;
    `told`: which events of clocks the router is to hear."""

    workspace: str
    entities: list[Entity]
    told: frozenset[str]

    def __call__(self, seed: int) -> "Clocks":
        core = SlaFactory().create(self.workspace, seed)
        core.load(self.entities)
        core.write_no_rows()
        return Clocks(core, self.told)


class Clocks:
    """See services.router.simulate.beside.Beside."""

    def __init__(self, core: SlaCore, told: frozenset[str]) -> None:
        self._core = core
        self._told = told
        self._number = 0
        self._counts: dict[str, Counter[str]] = {}

    def wake_us(self) -> int | None:
        return self._core.wake_at_us()

    def tick(self, now_us: int) -> list[Input]:
        return self._apply(now_us, _DUE)

    def hear(self, now_us: int, what: Input) -> list[Input]:
        return self._apply(now_us, what)

    def follow(self, now_us: int, events: list[Emitted]) -> list[Input]:
        found: list[Input] = []
        for event in events:
            if event.type.startswith("routing.task.") and event.type != _UNHEARD:
                found += self._apply(now_us, Input("event", event.type, event.data))
        return found

    def figures(self) -> dict[str, dict[str, int]]:
        return {metric: dict(self._counts[metric]) for metric in sorted(self._counts)}

    def _apply(self, now_us: int, what: Input) -> list[Input]:
        self._number += 1
        outcome = self._core.apply(now_us, self._number, what)
        return self._tell(outcome)

    def _tell(self, outcome: Outcome) -> list[Input]:
        found: list[Input] = []
        for event in outcome.events:
            name = event.type.removeprefix(_PREFIX).removesuffix(_SUFFIX)
            if name in _COUNTED:
                self._count(name, event.data)
            if name in self._told:
                found.append(Input("event", event.type, event.data))
        return found

    def _count(self, name: str, data: bytes) -> None:
        metric = _METRIC.decode(data).metric
        self._counts.setdefault(metric, Counter())[_COUNTED[name]] += 1


class _Metric(msgspec.Struct):
    metric: str


_METRIC = msgspec.json.Decoder(_Metric)


def clocks_for(document: Document | None, scenario: Scenario) -> OpenBeside | None:
    """None where no clock can change what the router does: then simulating costs nothing more."""
    if document is None or not document.of("sla_policy") or not beside.is_needed(scenario):
        return None
    queues = [one.body for one in scenario.resources if one.kind == "queue"]
    told = _MOVE_QUEUES if any(map(beside.by_deadline, queues)) else _MOVE_LADDERS
    return ClockMaker(scenario.workspace, _entities(document, scenario), told)


def metrics_of(document: Document | None) -> frozenset[str]:
    """What the workspace's policies measure."""
    policies = [] if document is None else [one.canonical for one in document.of("sla_policy")]
    named = [one["name"] for policy in policies for one in policy.get("named") or ()]
    return frozenset([*named, *(metric for one in policies for metric in one.get("targets") or ())])


def _entities(document: Document, scenario: Scenario) -> list[Entity]:
    core = SlaFactory().create(scenario.workspace, 0)
    resources = [(kind, one) for kind in ("calendar", "sla_policy") for one in document.of(kind)]
    for number, (kind, one) in enumerate(resources, 1):
        windows = expand(one.canonical, scenario.start_us) if kind == "calendar" else None
        core.apply(scenario.start_us, number, _put(kind, one.id, one.canonical, windows))
    return core.dump()


def _put(kind: Any, name: str, body: dict[str, Any], windows: Any) -> Input:
    raw = msgspec.Raw(msgspec.json.encode(body))
    command = PutResource(resource=kind, id=name, body=raw, windows=windows)
    return Input("command", "PutResource", msgspec.json.encode(command))
