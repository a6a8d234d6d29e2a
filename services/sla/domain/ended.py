"""What has ended in a stretch of time, for one group: histograms that add up, and the numbers of them.

The roll-up keeps what `Ended` holds. Most questions need only its numbers (`Sums`), which the database adds
up; histograms are read where percentiles of several stretches are asked for.
"""

from collections.abc import Mapping, Sequence

import msgspec

from services.sla.domain.histogram import Histogram, Tally, merged
from services.sla.domain.measures import ABANDONED, MET, MISSED, UNANSWERED, UNANSWERED_LATE
from shared.contracts.service_level import SHORT_ABANDON_S

SHORT_ABANDON_US = round(SHORT_ABANDON_S * 1_000_000)


class Sums(msgspec.Struct, gc=False):
    """How many have ended and how. `met` of the answered were in time by the clock's target; `late` of
    the unanswered were closed after their breach. `…_within`: at most the threshold asked for."""

    answered: int = 0
    answered_us: int = 0
    answered_within: int = 0
    met: int = 0
    abandoned: int = 0
    abandoned_within: int = 0
    abandoned_short: int = 0
    unanswered: int = 0
    late: int = 0


class Ended(msgspec.Struct, gc=False):
    """Times of those answered, abandoned and closed unanswered; `met` and `late` as in `Sums`."""

    answered: Histogram
    abandoned: Histogram
    unanswered: Histogram
    met: int = 0
    late: int = 0

    def sums(self, threshold_us: int) -> Sums:
        """Exact where the threshold is an edge."""
        return Sums(
            self.answered.n,
            self.answered.sum_us,
            self.answered.at_most(threshold_us),
            self.met,
            self.abandoned.n,
            self.abandoned.at_most(threshold_us),
            self.abandoned.at_most(SHORT_ABANDON_US),
            self.unanswered.n,
            self.late,
        )

    @property
    def any(self) -> bool:
        return bool(self.answered.edges or self.abandoned.edges or self.unanswered.edges)

    def all(self) -> Histogram:
        return merged((self.answered, self.abandoned, self.unanswered))


NOTHING = Ended(Histogram(), Histogram(), Histogram())


class Gathered:
    """Rows of the roll-up, added up one after the other."""

    __slots__ = ("_abandoned", "_answered", "_late", "_met", "_unanswered")

    def __init__(self) -> None:
        self._met = self._late = 0
        self._answered, self._abandoned, self._unanswered = Tally(), Tally(), Tally()

    def add(
        self,
        met: int,
        late: int,
        answered_us: int,
        abandoned_us: int,
        buckets: Sequence[int],
        answered: Sequence[int],
        abandoned: Sequence[int],
        unanswered: Sequence[int],
    ) -> None:
        """A row; the arrays as the roll-up has them. Counts below 0 take back."""
        self._met += met
        self._late += late
        self._answered.add_upto(buckets, answered, answered_us)
        self._abandoned.add_upto(buckets, abandoned, abandoned_us)
        self._unanswered.add_upto(buckets, unanswered, 0)

    def ended(self) -> Ended:
        return Ended(
            self._answered.histogram(),
            self._abandoned.histogram(),
            self._unanswered.histogram(),
            self._met,
            self._late,
        )


def by_outcome(outcomes: Mapping[str, Histogram]) -> Ended:
    """From histograms by the outcome of measures."""

    def of(*names: str) -> Histogram:
        return merged(outcomes[name] for name in names if name in outcomes)

    return Ended(
        of(MET, MISSED),
        of(ABANDONED),
        of(UNANSWERED, UNANSWERED_LATE),
        of(MET).n,
        of(UNANSWERED_LATE).n,
    )
