"""Clocks of episodes that are alike, counted together: one is followed, the others are arrays of instants.

The rules are those of `services.sla.domain.clock`, restated for clocks whose spans begin and end with
events. What they do not cover is said to be doubtful, and looked at by itself.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy
from numpy.typing import NDArray

from services.sla.domain.clock import Clock, State
from services.sla.domain.policy import Goal, Mode
from shared.calendars.batch import UNKNOWN, BatchTable, Instants

SPANS_MAX = 8
Flags = NDArray[numpy.bool_]
Tables = Callable[
    [str, bool], BatchTable
]  # by calendar, and whether in its version after the change


class Stretch(NamedTuple):
    """A span of a clock between two of the instants of its episode, by their numbers; `until` None:
    it lasts."""

    runs: bool
    since: int
    until: int | None


class Before(NamedTuple):
    """An open clock before the change."""

    metric: str
    cycle: int
    state: State
    calendar: str
    goal: Goal
    stretches: tuple[Stretch, ...]

    @property
    def plain(self) -> bool:
        return len(self.stretches) == 1


class After(NamedTuple):
    """The same clock after it. `state` None: the change ends it."""

    state: State | None
    calendar: str
    goal: Goal
    mode: Mode


class Counted(NamedTuple):
    """Of one clock of many episodes, one by one: by how much it moves, and whether it is breached
    before and after. `due` and `new_due` are UNKNOWN while nothing is due; `doubtful`: look at the
    episode by itself."""

    due: Instants
    new_due: Instants
    by: Instants
    breached: Flags
    new_breached: Flags
    doubtful: Flags


def before_of(clock: Clock, times: Sequence[int]) -> Before | None:
    """An open clock in terms of the instants of its episode; None where it is not all said so."""
    numbers = {at_us: number for number, at_us in enumerate(times)}
    spans = clock.spans
    said = clock.settled_us == 0 and not clock.capped and clock.pause_ends_us is None
    days = clock.goal.days is not None
    if not said or clock.moved or not 0 < len(spans) <= SPANS_MAX or (days and len(spans) > 1):
        return None
    if any(span.calendar != clock.calendar or span.from_us not in numbers for span in spans):
        return None
    if any(span.to_us not in numbers for span in spans[:-1]) or spans[-1].to_us is not None:
        return None
    stretches = tuple(
        Stretch(span.runs, numbers[span.from_us], None if span.to_us is None else numbers[span.to_us])
        for span in spans
    )  # fmt: skip
    return Before(clock.metric, clock.cycle, clock.state, clock.calendar, clock.goal, stretches)


def after_of(clock: Clock, before: Before, mode: Mode) -> After | None:
    """What has become of a clock; None where it is not all said so."""
    if not clock.is_open:
        return After(None, clock.calendar, clock.goal, mode)
    if clock.pause_ends_us is not None or (clock.goal.days is not None and not before.plain):
        return None
    return After(clock.state, clock.calendar, clock.goal, mode)


def count(before: Before, after: After, at: Instants, now_us: int, tables: Tables) -> Counted:
    """Counts a clock of many episodes; `at[i]` are the instants number i of them all."""
    old = _Old(before, at, now_us, tables(before.calendar, False))
    if after.state is None:
        none = numpy.full(old.used.shape, UNKNOWN, dtype=numpy.int64)
        return Counted(old.shown, none, old.used * 0, old.breached, old.breached, old.doubtful)
    new = _New(before, after, at, now_us, old, tables(after.calendar, True))
    shown = new.due if after.state == "running" else numpy.full_like(new.due, UNKNOWN)
    both = (before.state, after.state) == ("running", "running")
    by = shown - old.shown if both else new.left - old.left
    return Counted(old.shown, shown, by, old.breached, new.breached, old.doubtful | new.doubtful)


def _settled(before: Before, at: Instants, table: BatchTable) -> Instants:
    """Open time counted in the spans that have ended."""
    found = numpy.zeros(at.shape[1], dtype=numpy.int64)
    for stretch in before.stretches:
        if stretch.runs and stretch.until is not None:
            found += table.elapsed(at[stretch.since], at[stretch.until])
    return found


def _aimed(goal: Goal, start: Instants, table: BatchTable) -> tuple[Instants, Instants | None]:
    """The targets of a goal, and its deadlines where they go by days."""
    if goal.days is None:
        return numpy.full(start.shape, goal.span_us, dtype=numpy.int64), None
    due = table.business_days(start, goal.days, end_of_day=goal.end_of_day)
    return table.elapsed(start, due), due


def _due(start: Instants, left: Instants, day_due: Instants | None, table: BatchTable) -> Instants:
    return table.forward(start, numpy.maximum(left, 0)) if day_due is None else day_due


class _Old:
    """As it stands: `shown` is UNKNOWN while it is paused."""

    def __init__(self, before: Before, at: Instants, now_us: int, table: BatchTable) -> None:
        runs = before.state == "running"
        since = at[before.stretches[-1].since]
        self.target, day_due = _aimed(before.goal, at[before.stretches[0].since], table)
        settled = _settled(before, at, table)
        now = numpy.full(since.shape, now_us, dtype=numpy.int64)
        self.used = settled + table.elapsed(since, now) if runs else settled
        self.left = self.target - self.used
        due = _due(since, self.target - settled, day_due, table)
        self.shown = due if runs else numpy.full_like(due, UNKNOWN)
        self.breached = (now > due) & runs
        self.doubtful = (due == UNKNOWN) | ((settled >= self.target) & (not before.plain))


class _New:
    """As it would stand: `due` were it running."""

    def __init__(
        self, before: Before, after: After, at: Instants, now_us: int, old: _Old, table: BatchTable
    ) -> None:
        self._now = numpy.full(old.used.shape, now_us, dtype=numpy.int64)
        self.doubtful: Flags = numpy.zeros(old.used.shape, dtype=bool)
        if after.mode == "recompute":
            self._recompute(before, after, at, table)
        else:
            self._cut(after, old, table)
        self.breached: Flags = old.breached | ((self._now > self.due) & (before.state == "running"))
        self.doubtful |= self.due == UNKNOWN

    def _recompute(self, before: Before, after: After, at: Instants, table: BatchTable) -> None:
        since = at[before.stretches[-1].since]
        target, day_due = _aimed(after.goal, at[before.stretches[0].since], table)
        settled = _settled(before, at, table)
        self.left = target - settled
        if before.state == "running":
            self.due = _due(since, self.left, day_due, table)
            self.left = self.left - table.elapsed(since, self._now)
        else:  # were it to run on, then from now on
            self.due = _due(self._now, self.left, None, table)
            self.doubtful |= day_due is not None and after.state == "running"
        self.doubtful |= (settled >= target) & (not before.plain)

    def _cut(self, after: After, old: _Old, table: BatchTable) -> None:
        goal, day_due = _aimed(after.goal, self._now, table)
        self.left = goal
        if after.mode != "proportional":
            self.due = _due(self._now, goal, day_due, table)
            return
        overdue = old.left < 0
        shares = zip(goal.tolist(), old.left.tolist(), old.target.tolist(), strict=True)
        found = [whole * left // of if left > 0 and of > 0 else left for whole, left, of in shares]
        self.left = numpy.array(found, dtype=numpy.int64)
        due = table.forward(self._now, numpy.maximum(self.left, 0))
        self.due = numpy.where(overdue, old.shown, due)
        self.doubtful |= (old.left == 0) | (old.target <= 0)
