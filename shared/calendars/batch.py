"""Deadlines by the million: one calendar's window table as arrays (numpy), for benches and dry runs."""

from collections.abc import Sequence

import numpy
from numpy.typing import NDArray

from shared.contracts.windows import Expanded

Instants = NDArray[numpy.int64]  # microseconds
Given = Instants | Sequence[int]
UNKNOWN = -(2**63)  # what the table cannot tell: beyond its windows


class BatchTable:
    """`WindowTable` for arrays: the same answers, element by element; UNKNOWN stands for None."""

    def __init__(self, expanded: Expanded) -> None:
        windows = numpy.array(expanded.windows or [(0, 0)], dtype=numpy.int64)
        self._starts = numpy.ascontiguousarray(windows[:, 0])
        self._ends = numpy.ascontiguousarray(windows[:, 1])
        lengths = self._ends - self._starts
        self._until = numpy.cumsum(lengths)
        self._before = self._until - lengths

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

    def _next_open(self, at: Instants) -> Instants:
        i = numpy.searchsorted(self._ends, at, side="right")
        beyond = i == len(self._ends)
        i = numpy.minimum(i, len(self._ends) - 1)
        return numpy.where(beyond, UNKNOWN, numpy.maximum(at, self._starts[i]))
