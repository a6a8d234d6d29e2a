"""Service level under its named definitions, side by side, from the same counts.

An = answered, An≤ = answered within T, Ab = abandoned, Ab≤ and Ab> = within and after T, S = short
abandons. The first five are ICMI's; `live` also counts who waits beyond T as failed. A definition
whose denominator is 0 has no value: None, never 0 or 1.
"""

import msgspec

SHORT_ABANDON_S = 5.0
_WAITING = frozenset({"running", "paused"})


class Counts(msgspec.Struct):
    """`offered` counts answered, abandoned and still waiting ones; `closed_unanswered` is apart."""

    offered: int = 0
    answered: int = 0
    answered_within: int = 0
    abandoned: int = 0
    abandoned_within: int = 0
    abandoned_short: int = 0
    waiting: int = 0
    waiting_beyond: int = 0
    closed_unanswered: int = 0

    def add(self, state: str, elapsed_s: float, answered: bool, threshold_s: float) -> None:
        """Count one clock: its state, the open time until it ended (or now), whether answered."""
        within = elapsed_s <= threshold_s
        if state == "cancelled":
            return
        if state == "closed_unanswered":
            self.closed_unanswered += 1
            self.offered += 1
        elif state == "abandoned":
            self.offered += 1
            self.abandoned += 1
            self.abandoned_within += within
            self.abandoned_short += elapsed_s <= SHORT_ABANDON_S
        elif answered:
            self.offered += 1
            self.answered += 1
            self.answered_within += within
        elif state in _WAITING:
            self.offered += 1
            self.waiting += 1
            self.waiting_beyond += not within


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
