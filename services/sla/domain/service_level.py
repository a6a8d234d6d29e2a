"""What has ended, by outcome, as the counts that shares are made of: service level and compliance.

The named definitions of service level lie in `shared.contracts.service_level`.
"""

from collections.abc import Mapping

import msgspec

from services.sla.domain.histogram import Histogram
from services.sla.domain.measures import ABANDONED, MET, MISSED, UNANSWERED, UNANSWERED_LATE
from shared.contracts.service_level import SHORT_ABANDON_S, Counts

SHORT_ABANDON_US = round(SHORT_ABANDON_S * 1_000_000)
_NONE = Histogram()


def counts_of(ended: Mapping[str, Histogram], threshold_us: int) -> Counts:
    """Counts of what has ended, by outcome; exact where the threshold is an edge."""
    answers = [ended.get(MET, _NONE), ended.get(MISSED, _NONE)]
    abandons = ended.get(ABANDONED, _NONE)
    unanswered = ended.get(UNANSWERED, _NONE).n + ended.get(UNANSWERED_LATE, _NONE).n
    answered = sum(one.n for one in answers)
    return Counts(
        offered=answered + abandons.n + unanswered,
        answered=answered,
        answered_within=sum(one.at_most(threshold_us) for one in answers),
        abandoned=abandons.n,
        abandoned_within=abandons.at_most(threshold_us),
        abandoned_short=abandons.at_most(SHORT_ABANDON_US),
        closed_unanswered=unanswered,
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


def kept_of(ended: Mapping[str, Histogram]) -> Kept:
    """Counts of what has ended, by outcome."""
    late = ended.get(UNANSWERED_LATE, _NONE).n
    return Kept(
        met=ended.get(MET, _NONE).n,
        missed=ended.get(MISSED, _NONE).n + late,
        closed_unanswered=ended.get(UNANSWERED, _NONE).n + late,
        abandoned=ended.get(ABANDONED, _NONE).n,
    )


def compliance(kept: Kept) -> float | None:
    """met / (met + missed); None where nothing was judged."""
    return share(kept.met, kept.met + kept.missed)


def share(part: int, whole: int) -> float | None:
    """None of nothing."""
    return part / whole if whole else None
