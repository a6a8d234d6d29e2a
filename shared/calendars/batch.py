"""Deadlines by the million: one calendar's window table as arrays (numpy), for benches and dry runs."""

from collections.abc import Sequence

import numpy
from numpy.typing import NDArray

from shared.contracts.windows import DAY_US, Expanded

Instants = NDArray[numpy.int64]  # microseconds
Given = Instants | Sequence[int]
UNKNOWN = -(2**63)  # what the table cannot tell: beyond its windows


class BatchTable:
    """`WindowTable` for arrays: the same answers, element by element; UNKNOWN stands for None."""

    __slots__ = (
        "_before", "_closes", "_days", "_ends", "_from", "_lo", "_offset", "_starts", "_until", "_wall",
    )  # fmt: skip

    def __init__(self, expanded: Expanded) -> None:
        self._lo = expanded.lo_us
        windows = numpy.array(expanded.windows or [(0, 0)], dtype=numpy.int64)
        self._starts = numpy.ascontiguousarray(windows[:, 0])
        self._ends = numpy.ascontiguousarray(windows[:, 1])
        lengths = self._ends - self._starts
        self._until = numpy.cumsum(lengths)
        self._before = self._until - lengths
        days = numpy.array(expanded.days or [(0, 0)], dtype=numpy.int64)[: len(expanded.days)]
        self._days, self._closes = days[:, 0].copy(), days[:, 1].copy()
        offsets = numpy.array(expanded.offsets or [(0, 0)], dtype=numpy.int64)
        self._from, self._offset = offsets[:, 0].copy(), offsets[:, 1].copy()
        before = numpy.concatenate([self._offset[:1], self._offset[:-1]])
        self._wall = self._from + numpy.maximum(before, self._offset)

    def open_before(self, at_us: Given) -> Instants:
        """Open time from the table's beginning to each instant."""
        at = numpy.asarray(at_us, dtype=numpy.int64)
        i = numpy.maximum(numpy.searchsorted(self._starts, at, side="right") - 1, 0)
        into = numpy.minimum(at, self._ends[i]) - self._starts[i]
        return self._before[i] + numpy.maximum(into, 0)

    def elapsed(self, start_us: Given, end_us: Given) -> Instants:
        """Open time between instants, pair by pair; 0 when the end is not after the start."""
        return numpy.maximum(self.open_before(end_us) - self.open_before(start_us), 0)

    def forward(self, start_us: Given, span_us: Given) -> Instants:
        """`WindowTable.forward`, pair by pair; spans must not be negative."""
        start = numpy.asarray(start_us, dtype=numpy.int64)
        span = numpy.asarray(span_us, dtype=numpy.int64)
        goal = self.open_before(start) + span
        i = numpy.searchsorted(self._until, goal, side="left")
        beyond = i == len(self._until)
        i = numpy.minimum(i, len(self._until) - 1)
        found = self._starts[i] + goal - self._before[i]
        if not span.all():
            found = numpy.where(span == 0, self._next_open(start), found)
            beyond = beyond & (span != 0)
        return numpy.where(beyond, UNKNOWN, found)

    def business_days(self, start_us: Given, days: int, *, end_of_day: bool = False) -> Instants:
        """`WindowTable.business_days`, start by start."""
        start = numpy.asarray(start_us, dtype=numpy.int64)
        if days == 0 and not end_of_day:
            return self._next_open(start)
        local = start + self._offset[_last(self._from, start)]
        day, time_of_day = numpy.divmod(local, DAY_US)
        if days > 0:
            i = numpy.searchsorted(self._days, day, side="right") + days - 1
        else:
            i = numpy.searchsorted(self._days, day, side="left") + days
        known = (i >= 0) & (i < len(self._days))
        if not known.any():
            return numpy.full(start.shape, UNKNOWN, dtype=numpy.int64)
        i = numpy.clip(i, 0, len(self._days) - 1)
        if end_of_day:
            return numpy.where(known, self._closes[i], UNKNOWN)
        wall = self._days[i] * DAY_US + time_of_day
        then = wall - self._offset[_last(self._wall, wall)]
        return numpy.where(known & (then >= self._lo), self._next_open(then), UNKNOWN)

    def _next_open(self, at: Instants) -> Instants:
        i = numpy.searchsorted(self._ends, at, side="right")
        beyond = i == len(self._ends)
        i = numpy.minimum(i, len(self._ends) - 1)
        return numpy.where(beyond, UNKNOWN, numpy.maximum(at, self._starts[i]))


def _last(edges: Instants, at: Instants) -> NDArray[numpy.intp]:
    """The last edge that is not after each instant (the first, where there is none)."""
    return numpy.maximum(numpy.searchsorted(edges, at, side="right") - 1, 0)
