"""What has ended, by outcome, as the counts that shares are made of: service level and compliance.

The named definitions of service level lie in `shared.contracts.service_level`.
"""

import msgspec

from services.sla.domain.ended import Sums
from shared.contracts.service_level import Counts


def counts_of(sums: Sums) -> Counts:
    """Counts of what has ended, which nobody waits for any more."""
    return Counts(
        offered=sums.answered + sums.abandoned + sums.unanswered,
        answered=sums.answered,
        answered_within=sums.answered_within,
        abandoned=sums.abandoned,
        abandoned_within=sums.abandoned_within,
        abandoned_short=sums.abandoned_short,
        closed_unanswered=sums.unanswered,
    )


class Kept(msgspec.Struct):
    """Who was in time. `missed` has those answered late, those closed unanswered after their breach
    and `breached_open`, which are open and breached; `running` are open, in time, and not judged."""

    met: int = 0
    missed: int = 0
    breached_open: int = 0
    closed_unanswered: int = 0
    abandoned: int = 0
    running: int = 0

    def wait(self, breached: bool) -> None:
        """Count one that is open."""
        self.missed += breached
        self.breached_open += breached
        self.running += not breached


def kept_of(sums: Sums) -> Kept:
    """What has ended, as it is judged."""
    return Kept(
        met=sums.met,
        missed=sums.answered - sums.met + sums.late,
        closed_unanswered=sums.unanswered,
        abandoned=sums.abandoned,
    )


def compliance(kept: Kept) -> float | None:
    """met / (met + missed); None where nothing was judged."""
    return share(kept.met, kept.met + kept.missed)


def share(part: int, whole: int) -> float | None:
    """None of nothing."""
    return part / whole if whole else None
