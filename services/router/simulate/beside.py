"""The port for what runs beside the simulated router: the SLA service's clocks, whose warnings and
breaches move ladders and whose deadlines order queues.

The composition (services/cli) gives it; services never import each other.
"""

from collections.abc import Callable
from typing import Protocol

import msgspec

from services.router.domain.config import Escalation, Queue
from services.router.simulate.scenario import Scenario
from shared.contracts.core import Emitted, Input


class Beside(Protocol):
    """One replication's clocks. Instants are microseconds since the epoch and never go back. Each call
    answers with the inputs of the router that it causes, in order."""

    def wake_us(self) -> int | None:
        """When something is due by itself."""
        ...

    def tick(self, now_us: int) -> list[Input]:
        """What is due happens."""
        ...

    def hear(self, now_us: int, what: Input) -> list[Input]:
        """What customers and agents say."""
        ...

    def follow(self, now_us: int, events: list[Emitted]) -> list[Input]:
        """What the router's journal says."""
        ...

    def figures(self) -> dict[str, dict[str, int]]:
        """Of each metric, how often each of `started, met, breached, warned` was told."""
        ...


OpenBeside = Callable[[int], Beside]
"""Opens the clocks of a replication, from its seed. Is sent to other processes."""


def is_needed(scenario: Scenario) -> bool:
    """Whether clocks can change what the router does: a level waits for one, or a queue goes by
    deadlines. Else they are left out, as they would cost more than the router itself."""
    return any(
        (one.kind == "escalation" and _awaits_clocks(one.body))
        or (one.kind == "queue" and by_deadline(one.body))
        for one in scenario.resources
    )


def _awaits_clocks(body: bytes) -> bool:
    ladder = msgspec.json.decode(body, type=Escalation)
    return any(level.when.sla is not None for level in ladder.levels)


def by_deadline(body: bytes) -> bool:
    """Whether a queue, as written, is in the order of deadlines."""
    return msgspec.json.decode(body, type=Queue).order == "deadline"
