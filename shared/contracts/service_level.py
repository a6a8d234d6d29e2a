"""Service level under its named definitions, side by side, from the same counts.

An = answered, An≤ = answered within T, Ab = abandoned, Ab≤ and Ab> = within and after T, S = short
abandons. The first five are ICMI's; `live` also counts who waits beyond T as failed. A definition
whose denominator is 0 has no value: None, never 0 or 1.
"""

import msgspec

SHORT_ABANDON_S = 5.0


class Counts(msgspec.Struct):
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


def service_levels(counts: Counts) -> dict[str, float | None]:
    """Each named definition -> share, None where nothing can be said."""
    found = shares(counts)
    return {name: part / whole if whole else None for name, (part, whole) in found.items()}


def shares(counts: Counts) -> dict[str, tuple[int, int]]:
    """Each named definition -> (successes, all of them): for who sums over several counts."""
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
