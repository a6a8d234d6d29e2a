"""One clock: spans in which it runs or pauses, and the deadline that follows from them.

Time counted is always derived from the spans and the open hours, never kept as a count that could
drift; `accrued_us` is only the sum over spans that have ended.
"""

from collections.abc import Callable
from typing import Literal

import msgspec

from services.sla.domain.policy import Goal, Mode
from shared.contracts.windows import Windows

State = Literal["running", "paused", "met", "missed", "closed_unanswered", "abandoned", "cancelled"]
Ended = Literal["met", "closed_unanswered", "abandoned", "cancelled"]
OPEN: tuple[State, ...] = ("running", "paused")
NEVER = 2**62
SPANS_MAX = 2_000  # of one clock; past it the older half becomes one


class Span(msgspec.Struct, array_like=True, gc=False):
    """A stretch of a clock's life; `to_us` None while it lasts. Half-open."""

    runs: bool
    from_us: int
    to_us: int | None
    because: str
    calendar: str


class Served(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Whose figure a clock is once it has ended, whatever becomes of its task later."""

    queue: str | None
    agent_id: str | None
    priority: float


class Clock(msgspec.Struct, gc=False):
    """`target_us`: open time after which it is due. `due_us`: None while paused (and when the
    deadline lies beyond all hours known). `breached_us`: a breach that has been recorded; it
    stays. `goal` is what the policy asked for when the target was last set. `paused_us`: open time
    of pauses that have ended; `pause_ends_us`: when a pause has used up what the policy allows;
    `capped`: it has, so that nothing pauses the clock any more. `settled_us`: what was counted in
    spans that have been made one. `overdue_us`: when it used up the target it has, once it was cut
    after that; the breach may be an earlier target's. `earlier`: (until, key), in order: spans that had
    ended until then counted on the hours from before the change of policies of that key."""

    metric: str
    cycle: int
    policy_id: str
    policy_version: int
    calendar: str
    started_us: int
    target_us: int
    goal: Goal
    state: State = "running"
    spans: list[Span] = []
    accrued_us: int = 0
    due_us: int | None = None
    breached_us: int | None = None
    satisfied_us: int | None = None
    ended_us: int | None = None
    day_due_us: int | None = None
    moved: str = ""
    paused_us: int = 0
    pause_ends_us: int | None = None
    capped: bool = False
    settled_us: int = 0
    served: Served | None = None
    overdue_us: int | None = None
    earlier: list[tuple[int, str]] = []

    @property
    def is_open(self) -> bool:
        return self.state in OPEN


class Hands:
    """What moves clocks: the open hours of every calendar, by its id."""

    __slots__ = ("of",)

    def __init__(self, of: Callable[[str], Windows]) -> None:
        self.of = of

    def start(self, clock: Clock, paused_because: str | None) -> None:
        """Begins the first span, and finds the target."""
        self._aim(clock, clock.goal, clock.started_us)
        self._begin(clock, clock.started_us, paused_because)

    def pause(self, clock: Clock, at_us: int, because: str, most_us: int | None = None) -> None:
        """Stops counting; what is left is kept. `most_us`: open time that pauses may take."""
        self.settle(clock, at_us)
        _close(clock, at_us)
        self._shorten(clock)
        clock.spans.append(Span(False, at_us, None, because, clock.calendar))
        clock.state, clock.due_us = "paused", None
        self.bound_pause(clock, at_us, most_us)

    def pause_on(self, clock: Clock, at_us: int, because: str) -> None:
        """It stays paused, from here on for another reason."""
        last = clock.spans[-1]
        if last.because == because:
            return
        clock.paused_us += self.of(last.calendar).elapsed(last.from_us, at_us)
        self._forget_day(clock, at_us)
        _close(clock, at_us)
        self._shorten(clock)
        clock.spans.append(Span(False, at_us, None, because, clock.calendar))

    def bound_pause(self, clock: Clock, at_us: int, most_us: int | None) -> None:
        """When the pause that begins must end by itself."""
        if most_us is not None:
            left = max(0, most_us - clock.paused_us)
            clock.pause_ends_us = self.of(clock.calendar).forward(at_us, left)

    def bound_anew(self, clock: Clock, at_us: int, most_us: int | None) -> None:
        """From here on pauses may take `most_us`, of another policy or on other hours. A pause that has
        taken it already ends now: what has passed is not taken back."""
        clock.capped = clock.capped and most_us is not None and clock.paused_us >= most_us
        if clock.state == "paused":
            clock.pause_ends_us = None
            self.bound_pause(clock, clock.spans[-1].from_us, most_us)
            if clock.pause_ends_us is not None:
                clock.pause_ends_us = max(clock.pause_ends_us, at_us)

    def resume(self, clock: Clock, at_us: int) -> None:
        """Counts on: the deadline is what was left from here, in open time."""
        last = clock.spans[-1]
        clock.paused_us += self.of(last.calendar).elapsed(last.from_us, at_us)
        clock.pause_ends_us = None
        self._forget_day(clock, at_us)
        _close(clock, at_us)
        self._run(clock, at_us)

    def end(self, clock: Clock, at_us: int, how: Ended) -> None:
        """Ends it for good (or until it is continued)."""
        if clock.state == "paused":
            self._forget_day(clock, at_us)
            clock.due_us = self._due(clock, at_us)
        self.settle(clock, at_us)
        _close(clock, at_us)
        clock.ended_us, clock.pause_ends_us = at_us, None
        if how == "met":
            clock.satisfied_us = at_us
            clock.state = "met" if clock.breached_us is None else "missed"
        else:
            clock.state = how

    def carry_on(self, clock: Clock, at_us: int, because: str, paused: str | None) -> None:
        """Continues an ended clock; the time between counts as paused."""
        assert clock.ended_us is not None
        if clock.ended_us < at_us:
            clock.spans.append(Span(False, clock.ended_us, at_us, because, clock.calendar))
        clock.ended_us = clock.satisfied_us = clock.due_us = None
        self._forget_day(clock, at_us)
        self._begin(clock, at_us, paused)

    def retarget(self, clock: Clock, at_us: int, mode: Mode, goal: Goal, calendar: str) -> None:
        """Gives an open clock another goal or calendar. A breach that was recorded stays."""
        self.settle(clock, at_us)
        if mode == "recompute":
            self._recompute(clock, goal, calendar)
        else:
            self._cut(clock, at_us, mode, goal, calendar)
        clock.goal, clock.calendar = goal, calendar
        if clock.state == "running":
            self._find_due(clock, clock.spans[-1].from_us)

    def elapsed(self, clock: Clock, now_us: int) -> int:
        """Open time counted until `now_us` (or its end)."""
        last = clock.spans[-1] if clock.spans else None
        if last is None or not last.runs or last.to_us is not None:
            return clock.accrued_us
        return clock.accrued_us + self.of(last.calendar).elapsed(last.from_us, now_us)

    def breach(self, clock: Clock, now_us: int) -> int | None:
        """The instant it was breached, as known at `now_us`."""
        if clock.breached_us is not None:
            return clock.breached_us
        if clock.state == "running" and clock.due_us is not None and now_us > clock.due_us:
            return clock.due_us
        return None

    def used_at(self, clock: Clock, share: float) -> int | None:
        """When a running clock has used a share of its target."""
        if clock.state != "running":
            return None
        last = clock.spans[-1]
        wanted = round(clock.target_us * share) - clock.accrued_us
        if wanted <= 0:
            return last.from_us
        return self.of(last.calendar).forward(last.from_us, wanted)

    def _begin(self, clock: Clock, at_us: int, paused_because: str | None) -> None:
        if paused_because is None:
            self._run(clock, at_us)
        else:
            clock.spans.append(Span(False, at_us, None, paused_because, clock.calendar))
            clock.state, clock.due_us = "paused", None

    def _run(self, clock: Clock, at_us: int) -> None:
        clock.spans.append(Span(True, at_us, None, "", clock.calendar))
        clock.state = "running"
        self._find_due(clock, at_us)

    def _find_due(self, clock: Clock, from_us: int) -> None:
        reached = self._reached(clock, from_us)
        clock.due_us = self._due(clock, from_us) if reached is None else reached

    def _reached(self, clock: Clock, at_us: int) -> int | None:
        """When a clock that resumes had used all its target, where no open time has passed since: a
        pause out of hours moves nothing, not even what is due at the closing."""
        if clock.accrued_us != clock.target_us or clock.day_due_us is not None:
            return None
        for span in reversed(clock.spans):
            if not span.runs or span.to_us is None:
                continue
            windows = self.of(span.calendar)
            if counted := windows.elapsed(span.from_us, span.to_us):
                reached = windows.forward(span.from_us, counted)
                if reached is None or self.of(clock.calendar).elapsed(reached, at_us):
                    return None
                return reached
        return None

    def _due(self, clock: Clock, from_us: int) -> int | None:
        left = clock.target_us - clock.accrued_us
        if clock.day_due_us is not None:
            return clock.day_due_us
        if left <= 0 and clock.overdue_us is not None:
            return clock.overdue_us
        if left < 0 and clock.breached_us is not None:
            return clock.breached_us
        return self.of(clock.calendar).forward(from_us, max(0, left))

    def settle(self, clock: Clock, at_us: int) -> None:
        """Records a breach that has happened, and counts a span that runs; it is as if cut here."""
        clock.breached_us = self.breach(clock, at_us)
        if clock.state == "running" and clock.due_us is not None and at_us > clock.due_us:
            clock.overdue_us = clock.due_us
        last = clock.spans[-1] if clock.spans else None
        if last is not None and last.runs and last.to_us is None:
            clock.accrued_us += self.of(last.calendar).elapsed(last.from_us, at_us)
            last.to_us = at_us

    def keep_hours(self, clock: Clock, at_us: int, key: str) -> None:
        """Other policies come: what it has counted stays as it was, save where all is counted again."""
        last = clock.spans[-1].to_us if clock.spans else 0
        if last is None or not clock.earlier or clock.earlier[-1][0] < last:
            clock.earlier = [*clock.earlier, (at_us, key)]

    def _forget_day(self, clock: Clock, at_us: int) -> None:
        """A deadline by days holds until open time was paused; then what is left counts."""
        last = clock.spans[-1] if clock.spans else None  # none: it ended as it began
        if last is None or clock.day_due_us is None:
            return
        if self.of(last.calendar).elapsed(last.from_us, at_us):
            clock.day_due_us = None

    def _aim(self, clock: Clock, goal: Goal, from_us: int) -> None:
        clock.day_due_us = None
        if goal.days is None:
            assert goal.span_us is not None
            clock.target_us = goal.span_us
            return
        windows = self.of(clock.calendar)
        due = windows.business_days(from_us, goal.days, end_of_day=goal.end_of_day)
        clock.day_due_us = due
        clock.target_us = NEVER if due is None else windows.elapsed(from_us, due)

    def _shorten(self, clock: Clock) -> None:
        """Keeps the ledger bounded: the older half of too many spans becomes one."""
        if len(clock.spans) < SPANS_MAX:
            return
        old, clock.spans = clock.spans[: SPANS_MAX // 2], clock.spans[SPANS_MAX // 2 :]
        last = old[-1].to_us
        assert last is not None
        clock.settled_us += sum(
            self.of(span.calendar).elapsed(span.from_us, span.to_us or 0)
            for span in old
            if span.runs
        )
        because = f"earlier history, {clock.settled_us / 1_000_000:g} s of it counted"
        clock.spans.insert(0, Span(False, old[0].from_us, last, because, clock.calendar))

    def _recompute(self, clock: Clock, goal: Goal, calendar: str) -> None:
        """The same start and pauses under the new goal."""
        for span in clock.spans:
            span.calendar = calendar
        clock.calendar = calendar
        self._aim(clock, goal, clock.started_us)
        windows = self.of(calendar)
        clock.accrued_us, clock.overdue_us, clock.earlier = clock.settled_us, None, []
        if clock.spans[-1].runs:
            clock.spans[-1].to_us = None
        for span in clock.spans:
            if span.to_us is None:
                break
            if not span.runs:
                if windows.elapsed(span.from_us, span.to_us):
                    clock.day_due_us = None
                continue
            left = clock.target_us - clock.accrued_us
            if left > 0:
                due = windows.forward(span.from_us, left)
                if due is not None and due < span.to_us:
                    clock.overdue_us = due
                    clock.breached_us = due if clock.breached_us is None else clock.breached_us
            clock.accrued_us += windows.elapsed(span.from_us, span.to_us)

    def _cut(self, clock: Clock, at_us: int, mode: Mode, goal: Goal, calendar: str) -> None:
        """A new stretch begins at the change, with what the mode leaves of the new goal."""
        left, used = clock.target_us - clock.accrued_us, clock.accrued_us
        # The share is one of the goal: after an earlier change the target is not.
        whole = clock.target_us if clock.goal.span_us is None else clock.goal.span_us
        last = clock.spans[-1]
        runs, because = last.runs, last.because
        if last.to_us is None:
            last.to_us = at_us
            clock.paused_us += self.of(last.calendar).elapsed(last.from_us, at_us)
        clock.calendar = calendar
        self._aim(clock, goal, at_us)
        if mode == "reset":
            clock.spans, clock.accrued_us, clock.started_us = [], 0, at_us
            clock.settled_us, clock.earlier = 0, []
            clock.paused_us, clock.capped = 0, False
        else:
            if mode == "proportional" and whole > 0:
                # An overdue clock has no share left: it stays as overdue.
                clock.target_us = clock.target_us * left // whole if left > 0 else left
                clock.day_due_us = None
            clock.target_us += used
        if mode != "proportional" or left > 0:
            clock.overdue_us = None
        _drop_empty(clock)
        clock.spans.append(Span(runs, at_us, None, because, calendar))


def _close(clock: Clock, at_us: int) -> None:
    if clock.spans and clock.spans[-1].to_us is None:
        clock.spans[-1].to_us = at_us
    _drop_empty(clock)


def _drop_empty(clock: Clock) -> None:
    while clock.spans and clock.spans[-1].to_us == clock.spans[-1].from_us:
        clock.spans.pop()
