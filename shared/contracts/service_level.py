"""Service level under its named definitions, side by side, from the same counts.

An = answered, An≤ = answered within T, Ab = abandoned, Ab≤ and Ab> = within and after T, S = short
abandons. The first five are ICMI's; `live` also counts who waits beyond T as failed. A definition
whose denominator is 0 has no value: None, never 0 or 1.
"""

import msgspec
from msgspec.structs import asdict

SHORT_ABANDON_S = 5.0


class Counts(msgspec.Struct, gc=False):
    """`offered` counts answered, abandoned, still waiting and `closed_unanswered` ones; the last are
    in no definition, and shown so that nobody overlooks them."""

    offered: int = 0
    answered: int = 0
    answered_within: int = 0
    abandoned: int = 0
    abandoned_within: int = 0
    abandoned_short: int = 0
    waiting: int = 0
    waiting_beyond: int = 0
    closed_unanswered: int = 0

    def wait(self, *, beyond: bool) -> None:
        """Count one that still waits; `beyond`: it has done so for more than the threshold."""
        self.offered += 1
        self.waiting += 1
        self.waiting_beyond += beyond


class Levels(msgspec.Struct, gc=False):
    """The share of each named definition; None where nothing can be said."""

    abandons_in_time_succeed: float | None
    abandons_ignored: float | None
    abandons_fail: float | None
    early_abandons_ignored: float | None
    short_abandons_succeed: float | None
    live: float | None


def levels_of(counts: Counts) -> Levels:
    """All definitions of the same counts."""
    return Levels(*[part / whole if whole else None for part, whole in shares(counts).values()])


def service_levels(counts: Counts) -> dict[str, float | None]:
    """The same by name."""
    return asdict(levels_of(counts))


def shares(counts: Counts) -> dict[str, tuple[int, int]]:
    """Each named definition -> (successes, all of them): for who sums over several counts."""
    # In the order of `Levels`.
    an, within = counts.answered, counts.answered_within
    ab, ab_within = counts.abandoned, counts.abandoned_within
    ab_beyond = ab - ab_within
    return {
        "abandons_in_time_succeed": (within + ab_within, an + ab),
        "abandons_ignored": (within, an),
        "abandons_fail": (within, an + ab),
        "early_abandons_ignored": (within, an + ab_beyond),
        "short_abandons_succeed": (within + counts.abandoned_short, an + ab),
        "live": (within, an + ab_beyond + counts.waiting_beyond),
    }
