"""Histograms that add up: fixed buckets, so that any minutes, hours and queues can be summed.

A bucket is named by its upper edge and holds the values in (edge before, edge]. A count «at most T» is
exact wherever T is an edge: every whole second to 2 minutes, minute to 2 hours, hour to 3 days, day to
60 days, and each threshold that a queue declares. Elsewhere a bucket is at most 2.5 % wide, which is
the largest error of a percentile or a maximum (never too low).
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from math import ceil

import msgspec

S_US = 1_000_000
RELATIVE_ERROR = 0.025
LONGEST_US = 10**15  # over 31 years; longer values count as this

_FIRST_US = 10_000  # values up to 10 ms share a bucket
_STEPS = (*range(100, 200, 2), *range(200, 500, 5), *range(500, 1000, 10))


def _grid() -> tuple[int, ...]:
    edges = {0, _FIRST_US, LONGEST_US}
    unit = _FIRST_US // 100
    while unit * 100 < LONGEST_US:
        edges.update(step * unit for step in _STEPS)
        unit *= 10
    for unit_s, most in ((1, 120), (60, 120), (3600, 72), (86_400, 60)):
        edges.update(count * unit_s * S_US for count in range(1, most + 1))
    return tuple(sorted(edges))


GRID: tuple[int, ...] = _grid()
_ON_GRID = frozenset(GRID)


def on_grid(value_us: int) -> bool:
    """Whether counts up to a value are exact without a declared edge."""
    return value_us in _ON_GRID


def with_edges(declared: Iterable[int]) -> tuple[int, ...]:
    """The edges of a workspace: the grid and what its queues declare."""
    more = [edge for edge in declared if edge not in _ON_GRID]
    return tuple(sorted((*GRID, *more))) if more else GRID


def bucket_of(value_us: int, edges: tuple[int, ...] = GRID) -> int:
    """The upper edge of a value's bucket."""
    return edges[bisect_left(edges, min(max(value_us, 0), LONGEST_US))]


class Histogram(msgspec.Struct, gc=False):
    """Counts by upper edge, ascending, and the exact sum of the values."""

    edges: list[int] = []
    counts: list[int] = []
    sum_us: int = 0

    @property
    def n(self) -> int:
        return sum(self.counts)

    def at_most(self, limit_us: int) -> int:
        """How many values lie in buckets that end at or below the limit."""
        return sum(self.counts[: bisect_right(self.edges, limit_us)])

    def beyond(self, limit_us: int) -> int:
        return self.n - self.at_most(limit_us)

    def mean_s(self) -> float | None:
        """Exact; None of nothing."""
        n = self.n
        return self.sum_us / n / S_US if n else None

    def quantile_s(self, share: float) -> float | None:
        """As `quantiles_us`, of one share, in seconds."""
        return seconds(self.quantiles_us((share,))[0])

    def quantiles_us(self, shares: Iterable[float]) -> list[int | None]:
        """Of each share, the upper edge of the bucket that holds the value of rank
        ceil(share x n): at most 2.5 % above that value, never below it. None of nothing."""
        seen = list(accumulate(self.counts))
        if not seen or not seen[-1]:
            return [None for _ in shares]
        ranks = (max(1, ceil(share * seen[-1])) for share in shares)
        return [self.edges[bisect_left(seen, rank)] for rank in ranks]

    def max_us(self) -> int | None:
        """The upper edge of the last bucket with anything in it."""
        for edge, count in zip(reversed(self.edges), reversed(self.counts), strict=True):
            if count:
                return edge
        return None

    def max_s(self) -> float | None:
        return seconds(self.max_us())


def seconds(value_us: int | None) -> float | None:
    return None if value_us is None else value_us / S_US


def of_values(values_us: Iterable[int], edges: tuple[int, ...] = GRID) -> Histogram:
    """The histogram of some values."""
    counts: dict[int, int] = {}
    total = 0
    for value in values_us:
        edge = bucket_of(value, edges)
        counts[edge] = counts.get(edge, 0) + 1
        total += value
    return _of_counts(counts, total)


class Tally:
    """Histograms with common edges, added up one after the other."""

    __slots__ = ("_counts", "_sum_us")

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._sum_us = 0

    def add(self, part: Histogram) -> None:
        """Counts below 0 take back."""
        self._sum_us += part.sum_us
        known = self._counts
        if not known:
            known.update(zip(part.edges, part.counts, strict=True))
            return
        for edge, count in zip(part.edges, part.counts, strict=True):
            known[edge] = known.get(edge, 0) + count

    def add_upto(self, edges: Sequence[int], upto: Sequence[int], sum_us: int) -> None:
        """The same of counts that say how many lie in a bucket and in all below; `upto` may be empty."""
        self._sum_us += sum_us
        known, before = self._counts, 0
        for edge, total in zip(edges, upto, strict=False):
            if total != before:
                known[edge] = known.get(edge, 0) + total - before
                before = total

    def histogram(self) -> Histogram:
        """What was added, with no empty bucket."""
        return _of_counts(self._counts, self._sum_us)


def merged(parts: Iterable[Histogram]) -> Histogram:
    """The histogram of everything that the parts hold."""
    tally = Tally()
    for part in parts:
        tally.add(part)
    return tally.histogram()


def _of_counts(counts: Mapping[int, int], sum_us: int) -> Histogram:
    edges = sorted(edge for edge, count in counts.items() if count)
    return Histogram(edges, [counts[edge] for edge in edges], sum_us)
