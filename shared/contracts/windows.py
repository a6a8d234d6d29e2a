"""Open hours as a table of UTC windows with prefix sums: business-time arithmetic without a calendar.

`shared.calendars` expands a calendar into an `Expanded`; the cores get it in their inputs and count
on a `WindowTable`. Windows are half-open, sorted, disjoint and never touch; instants and spans are
integer microseconds. Nothing is known before `lo_us` or from `hi_us` on: what would lie there is None.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Protocol

import msgspec

DAY_US = 86_400_000_000


class Expanded(msgspec.Struct, frozen=True, gc=False):
    """A calendar between two instants, as JSON that travels in inputs.

    windows   [[opens_us, closes_us], …]
    holidays  [[from_us, to_us, name], …]: local days that a holiday closes
    days      [[local day number since 1970-01-01, last closing us], …]: days with an opening
    offsets   [[from_us, UTC offset us], …]: of the calendar's zone, the first from `lo_us`
    """

    lo_us: int
    hi_us: int
    windows: list[tuple[int, int]] = []
    holidays: list[tuple[int, int, str]] = []
    days: list[tuple[int, int]] = []
    offsets: list[tuple[int, int]] = []


class Windows(Protocol):
    """What a clock needs of open hours."""

    def forward(self, start_us: int, span_us: int) -> int | None: ...
    def elapsed(self, start_us: int, end_us: int) -> int: ...
    def segments(self, start_us: int, end_us: int) -> list[tuple[int, int]]: ...
    def closures(self, start_us: int, end_us: int) -> list[tuple[int, int, str]]: ...
    def business_days(
        self, start_us: int, days: int, *, end_of_day: bool = False
    ) -> int | None: ...


class LocalTime:
    """Local wall time of a zone, from its UTC offsets: a gap shifts forward, of an overlap the first
    occurrence counts (RFC 5545, section 3.3.5; Python's fold=0)."""

    __slots__ = ("_from", "_offset", "_wall")

    def __init__(self, offsets: Sequence[tuple[int, int]]) -> None:
        self._from = [at for at, _ in offsets] or [0]
        self._offset = [offset for _, offset in offsets] or [0]
        before = [self._offset[0], *self._offset[:-1]]
        self._wall = [
            at + max(old, new)
            for at, old, new in zip(self._from, before, self._offset, strict=True)
        ]

    def of(self, at_us: int) -> int:
        """Microseconds of local wall time since 1970-01-01 00:00 there."""
        return at_us + self._offset[max(0, bisect_right(self._from, at_us) - 1)]

    def instant(self, local_us: int) -> int:
        """The instant that a wall time means."""
        return local_us - self._offset[max(0, bisect_right(self._wall, local_us) - 1)]


class WindowTable:
    """Counts open time in O(log n). Immutable."""

    __slots__ = ("_before", "_closes", "_days", "_ends", "_holidays", "_local", "_shift", "_starts", "hi_us", "lo_us")  # fmt: skip

    def __init__(self, expanded: Expanded) -> None:
        self.lo_us = expanded.lo_us
        self.hi_us = expanded.hi_us
        self._starts = [start for start, _ in expanded.windows]
        self._ends = [end for _, end in expanded.windows]
        self._before: list[int] = []
        total = 0
        for start, end in expanded.windows:
            self._before.append(total)
            total += end - start
        # Within a window, open time until then is the instant plus this.
        self._shift = [b - s for b, s in zip(self._before, self._starts, strict=True)]
        self._holidays = expanded.holidays
        self._days = [day for day, _ in expanded.days]
        self._closes = [closes for _, closes in expanded.days]
        self._local = LocalTime(expanded.offsets)

    def open_before(self, at_us: int) -> int:
        """Open time from the table's beginning to `at_us`."""
        i = bisect_right(self._starts, at_us) - 1
        if i < 0:
            return 0
        return self._shift[i] + min(at_us, self._ends[i])

    def elapsed(self, start_us: int, end_us: int) -> int:
        """Open time between two instants; 0 when the end is not after the start."""
        return max(0, self.open_before(end_us) - self.open_before(start_us))

    def forward(self, start_us: int, span_us: int) -> int | None:
        """The first instant by which `span_us` >= 0 of open time has passed since the start.

        A window used up exactly gives its closing; a span of 0 the next opening (or the start
        itself when open). None when the table ends before.
        """
        if span_us == 0:
            return self.next_open(start_us)
        i = bisect_right(self._starts, start_us) - 1
        goal = span_us
        if i >= 0:
            end = self._ends[i]
            if start_us + span_us <= end:
                return start_us + span_us
            goal += self._shift[i] + (start_us if start_us < end else end)
        i = bisect_left(self._before, goal, max(i, 0)) - 1
        if i < 0:
            return None
        at = goal - self._shift[i]
        return at if at <= self._ends[i] else None

    def backward(self, start_us: int, span_us: int) -> int | None:
        """The last instant from which `span_us` of open time passes until the start.

        A window used up exactly gives its opening; a span of 0 is as in `forward`.
        """
        if span_us == 0:
            return self.next_open(start_us)
        goal = self.open_before(start_us) - span_us
        if goal < 0:
            return None
        i = bisect_right(self._before, goal) - 1
        return self._starts[i] + goal - self._before[i]

    def is_open(self, at_us: int) -> bool:
        i = bisect_right(self._starts, at_us) - 1
        return i >= 0 and at_us < self._ends[i]

    def next_open(self, at_us: int) -> int | None:
        """`at_us` itself when open, else the next opening."""
        if self.is_open(at_us):
            return at_us
        i = bisect_left(self._starts, at_us)
        return self._starts[i] if i < len(self._starts) else None

    def next_close(self, at_us: int) -> int | None:
        """The first closing after `at_us`. A window that reaches the table's end has none."""
        i = bisect_right(self._ends, at_us)
        return self._ends[i] if i < len(self._ends) and self._ends[i] < self.hi_us else None

    def segments(self, start_us: int, end_us: int) -> list[tuple[int, int]]:
        """The windows within [start, end), clipped to it."""
        i = max(0, bisect_right(self._ends, start_us))
        found: list[tuple[int, int]] = []
        while i < len(self._starts) and self._starts[i] < end_us:
            found.append((max(start_us, self._starts[i]), min(end_us, self._ends[i])))
            i += 1
        return [(start, end) for start, end in found if start < end]

    def closures(self, start_us: int, end_us: int) -> list[tuple[int, int, str]]:
        """The holidays within [start, end), clipped to it, with their names."""
        i = bisect_right(self._holidays, start_us, key=lambda holiday: holiday[1])
        found: list[tuple[int, int, str]] = []
        while i < len(self._holidays) and self._holidays[i][0] < end_us:
            start, end, name = self._holidays[i]
            found.append((max(start_us, start), min(end_us, end), name))
            i += 1
        return found

    def business_days(self, start_us: int, days: int, *, end_of_day: bool = False) -> int | None:
        """The same local time `days` open days later (negative: earlier), or the next opening when
        closed then; with `end_of_day` that day's last closing. A day is open when a window opens on
        it. 0 days mean the start's own day (the next open one for `end_of_day`)."""
        day, time_of_day = divmod(self._local.of(start_us), DAY_US)
        if days == 0 and not end_of_day:
            return self.next_open(start_us)
        if days > 0:
            i = bisect_right(self._days, day) + days - 1
        else:
            i = bisect_left(self._days, day) + days
        if not 0 <= i < len(self._days):
            return None
        if end_of_day:
            return self._closes[i]
        then = self._local.instant(self._days[i] * DAY_US + time_of_day)
        # Days are known from before the table's beginning, their windows are not.
        return self.next_open(then) if then >= self.lo_us else None
