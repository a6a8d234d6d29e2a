"""What is simulated, resolved: every span in whole microseconds from the start, every list as long as
there are periods. `reading.py` makes it from what people write (scenario.yaml)."""

from bisect import bisect_right
from typing import Any, Literal

import msgspec

from services.router.domain.commands import ResourceKind
from services.router.simulate.distributions import PerPeriod

RANDOM_BITS = 2**63


class Written(msgspec.Struct, frozen=True):
    """A resource of the workspace, canonical JSON, in the order of applying. `pointer` is where it
    stands in what people wrote. `windows`: a calendar's open spans."""

    kind: ResourceKind | Literal["workspace", "calendar"]
    id: str
    body: bytes
    pointer: str
    windows: list[tuple[int, int]] = []


class Group(msgspec.Struct, frozen=True):
    """Agents who are alike: `agent` is the body of each, `count` how many are on duty in each period.
    `answer` None: an offer is accepted at once."""

    name: str
    agent: dict[str, Any]
    count: tuple[int, ...]
    answer: PerPeriod | None = None

    def agent_ids(self) -> list[str]:
        """Ids of all who are ever on duty; their order is the order of their numbers."""
        most = max(self.count)
        digits = len(str(most))
        return [f"{self.name}-{number:0{digits}}" for number in range(1, most + 1)]


class Poisson(msgspec.Struct, frozen=True, tag="poisson"):
    """`rate` in each period, arrivals per microsecond, before the day's busyness."""

    rate: tuple[float, ...]


class Regular(msgspec.Struct, frozen=True, tag="regular"):
    """One arrival every `every_us`, the first at the start; 0 in a period: none in it."""

    every_us: tuple[int, ...]


class Recorded(msgspec.Struct, frozen=True, tag="recorded"):
    """Arrivals as they were recorded, in order: the same in every replication."""

    at_us: tuple[int, ...]


class Retry(msgspec.Struct, frozen=True):
    """Whoever abandons comes again with `probability`, `after` a while. Both of the period in which
    he abandons."""

    probability: tuple[float, ...]
    after: PerPeriod


class ContactClass(msgspec.Struct, frozen=True):
    """One kind of contact. `message` is the event's data without conversation and instant. `service`
    by group; of the period in which service starts. `patience` None: waits for ever."""

    name: str
    message: dict[str, Any]
    arrivals: Poisson | Regular | Recorded
    service: dict[str, PerPeriod]
    patience: PerPeriod | None = None
    retry: Retry | None = None


class Busyness(msgspec.Struct, frozen=True):
    """One gamma factor a day on all Poisson rates."""

    shape: float
    mean: float


class Scenario(msgspec.Struct, frozen=True):
    """`ends_us`: ends of the periods; what they say holds on after the last. `lines` None: no limit."""

    name: str
    workspace: str
    resources: list[Written]
    groups: list[Group]
    classes: list[ContactClass]
    start_us: int
    horizon_us: int
    ends_us: tuple[int, ...]
    seed: int = 1
    replications: int = 10
    confidence: float = 0.95
    warm_up_us: int = 0
    drain: bool = True
    lines: int | None = None
    busyness: Busyness | None = None
    within_us: tuple[int, ...] = ()

    def period(self, at_us: int) -> int:
        """The period of an instant, counted from the start of the simulation."""
        return min(bisect_right(self.ends_us, at_us), len(self.ends_us) - 1)

    def span(self, period: int) -> tuple[int, int]:
        """A period's first instant and its end; the last ends with the horizon, if that is later."""
        first = self.ends_us[period - 1] if period else 0
        is_last = period == len(self.ends_us) - 1
        return first, max(self.ends_us[period], self.horizon_us if is_last else 0)

    def starts_us(self) -> list[int]:
        """Where each period but the first begins."""
        return list(self.ends_us[:-1])
