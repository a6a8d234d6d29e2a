"""The customers of a simulated day: who wants an agent, and the classes that they come from."""

from services.router.simulate import streams
from services.router.simulate.centre import Voice
from services.router.simulate.distributions import Draw, PerPeriod
from services.router.simulate.scenario import Scenario

COMING, WAITING, SERVED, GONE = range(4)


class Contact:
    """A customer who wants an agent; he may try several times. `turn` counts his assignments."""

    __slots__ = (
        "agent", "arrived_us", "conversation", "counted", "kind", "message", "patience_us", "period",
        "state", "task", "tries", "turn",
    )  # fmt: skip

    def __init__(self, kind: int, number: int, patience_us: int | None) -> None:
        self.kind = kind
        self.conversation = f"c{number}"
        self.patience_us = patience_us
        self.state = COMING
        self.tries = self.turn = 0
        self.agent = self.task = self.message = ""
        self.arrived_us = self.period = 0
        self.counted = False


class ClassAtWork:
    """A class with its streams and compiled distributions in one replication."""

    def __init__(self, scenario: Scenario, place: int, number: int, busy: float) -> None:
        self.what = one = scenario.classes[place]
        self.voice = Voice(scenario, one)
        self.arrivals = streams.arrivals(scenario, one, number, busy)
        self.service = [
            draws(one.service[group.name]) if group.name in one.service else None
            for group in scenario.groups
        ]
        self.patience = draws(one.patience) if one.patience else None
        self.after = draws(one.retry.after) if one.retry else None
        self.of_service, self.of_patience, self.of_retry = (
            streams.stream(scenario, number, f"{purpose}:{one.name}")
            for purpose in ("service", "patience", "retry")
        )


def draws(distributions: PerPeriod) -> list[Draw]:
    return [one.draw() for one in distributions]
