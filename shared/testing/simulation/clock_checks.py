"""What the events of the SLA service must show: each clock once, each notice once, none early."""

import msgspec

from shared.contracts.instants import parse_instant
from shared.testing.simulation.hosts import Heard
from shared.testing.simulation.ledger import Ledger
from shared.testing.simulation.truth import Told

_LATE_US = 60_000_000


class SeenClock(msgspec.Struct):
    conversation: str
    metric: str
    due_us: int | None = None
    task: str | None = None
    ended: str = ""
    breached: bool = False
    warned: list[float] = []
    told: list[str] = []


class Wall:
    """The clocks of one workspace, rebuilt from what was published."""

    def __init__(self, workspace: str, ledger: Ledger) -> None:
        self.workspace = workspace
        self.ledger = ledger
        self.clocks: dict[tuple[str, int], SeenClock] = {}
        self.breaches = 0
        self.withdrawn = 0

    def complain(self, event: Told, what: str) -> None:
        self.ledger.complain(f"{self.workspace} sla {event.seq} {event.kind}: {what}")

    def follow(self, events: list[Told]) -> None:
        for event in events:
            self._one(event)

    def _one(self, event: Told) -> None:
        data, kind = event.data, event.kind.removeprefix("clock.")
        name = (data["clock_id"], data["cycle"])
        clock = self.clocks.get(name)
        if kind == "started":
            if clock is not None and not clock.ended:
                self.complain(event, "a clock starts twice")
            clock = self.clocks[name] = SeenClock(data["conversation_id"], data["metric"], told=[])
        elif clock is None:
            self.complain(event, "of a clock that never started")
            return
        if kind == "warning":
            self._warned(event, clock, data["level"])
        elif kind == "breached":
            self._breached(event, clock)
        elif kind == "corrected":
            self._corrected(event, clock)
        elif kind in ("met", "missed", "cancelled"):
            clock.ended = kind
        elif kind == "resumed":
            clock.ended = ""
        clock.told.append(kind)
        if kind != "breached":
            clock.due_us = parse_instant(data["due_at"]) if data["due_at"] else None
        clock.task = data["task_id"] or clock.task

    def _warned(self, event: Told, clock: SeenClock, level: float) -> None:
        if level in clock.warned:
            self.complain(event, f"warned at {level} twice")
        if clock.ended:
            self.complain(event, f"warned though {clock.ended}")
        clock.warned = [*clock.warned, level]

    def _breached(self, event: Told, clock: SeenClock) -> None:
        self.breaches += 1
        if clock.breached:
            self.complain(event, "breached twice")
        if clock.told[-2:] == ["breached", "corrected"]:
            self.complain(event, "withdrawn and told again, and nothing happened in between")
        if event.by_us < parse_instant(event.data["due_at"]):
            self.complain(event, "breached before it was due")
        clock.breached = True

    def _corrected(self, event: Told, clock: SeenClock) -> None:
        """What is withdrawn was told, and may be told again."""
        withdrawn, level = event.data["withdrawn"], event.data["level"] or 0.0
        if withdrawn == "breached":
            if not clock.breached:
                self.complain(event, "a breach is withdrawn that nobody was told")
            clock.breached = False
            self.withdrawn += 1
        elif withdrawn == "warning":
            left = [one for one in clock.warned if one <= level]
            if left == clock.warned:
                self.complain(event, f"a warning above {level} is withdrawn that nobody was told")
            clock.warned = left
            self.withdrawn += 1

    def finish(self, now_us: int, tasks: set[str]) -> None:
        """At rest: what was due has happened, and each task has its clocks."""
        for name, clock in self.clocks.items():
            overdue = clock.due_us is not None and clock.due_us < now_us - _LATE_US
            if overdue and not clock.ended and not clock.breached:
                self.ledger.complain(f"{self.workspace}: clock {name} is overdue and not breached")
        bound = {clock.task for clock in self.clocks.values() if clock.metric == "first_response"}
        for task in sorted(tasks - bound):
            self.ledger.complain(f"{self.workspace}: task {task} has no first-response clock")

    def compare(self, heard: dict[tuple[str, str], Heard], ledger: Ledger) -> None:
        """What the router has heard of its open tasks' clocks is what was told of them."""
        tasks = {task for task, _ in heard}
        told = {
            (clock.task, name): Heard(clock.due_us, max(clock.warned, default=0.0), clock.breached)
            for (name, _), clock in self.clocks.items()
            if not clock.ended and clock.task in tasks
        }
        for key in sorted(heard.keys() | told.keys(), key=str):
            one, other = heard.get(key), told.get(key)
            if one is not None and other is not None and one.warned is None:
                other = Heard(other.due_us)
            if one != other:
                ledger.complain(
                    f"{self.workspace}: the router has heard {one} of {key}, told was {other}"
                )
