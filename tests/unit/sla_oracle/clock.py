"""One clock of the oracle: the stretches in which it ran or paused, and all that follows from them.

See `clocks` for the events that move it. Instants are whole microseconds.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.unit.sla_oracle.calendars import Hours, is_holiday, text, us

Facts = dict[str, Any]
Condition = Callable[[Facts], bool]


def never(_: Facts) -> bool:
    return False


@dataclass
class Goal:
    """A metric's target in a policy."""

    target_s: float
    by_priority: tuple[tuple[float, float], ...] = ()
    by_channel: dict[str, "Goal"] = field(default_factory=dict)
    pause: Condition | None = None
    reopen: str | None = None
    calendar: str = ""
    days: int | None = None  # «or `target_business_days`»
    end_of_day: bool = False
    start: Condition = never  # named clocks only
    stop: Condition = never
    named: bool = False

    def span(self, channel: str, priority: float) -> int:
        """The highest step that the priority reaches, of the channel's own target where it has one."""
        if channel in self.by_channel:
            return self.by_channel[channel].span(channel, priority)
        reached = [step for step in self.by_priority if step[0] <= priority]
        return round((max(reached)[1] if reached else self.target_s) * 1_000_000)


@dataclass
class Policy:
    goals: dict[str, Goal]
    calendar: str
    on_change: str = "recompute"
    when: Condition = lambda _: True


@dataclass
class Stretch:
    """From one instant to another, with what a clock did there."""

    start: int
    end: int | None
    running: bool
    because: str | None
    hours: Hours


class Clock:
    def __init__(self, metric: str, cycle: int, at: int, goal: Goal, span: int, hours: Hours):
        self.metric, self.cycle, self.started, self.goal = metric, cycle, at, goal
        self.target, self.base, self.hours = span, span, hours
        self.stretches: list[Stretch] = []
        self.state, self.ended, self.satisfied = "running", None, None
        self.breached: int | None = None
        self.policy: Policy | None = None
        self.day_due: int | None = None
        if goal.days is not None:
            self.day_due = hours.business_days(at, goal.days, goal.end_of_day)
            assert self.day_due is not None
            self.target = self.base = hours.elapsed(at, self.day_due)

    # What it did.

    def turn(self, at: int, running: bool, because: str | None) -> None:
        last = self.stretches[-1] if self.stretches else None
        if last and last.end is None:
            if (last.running, last.because, last.hours) == (running, because, self.hours):
                return
            last.end = at
            if last.start == at:
                self.stretches.pop()
        self.stretches.append(Stretch(at, None, running, because, self.hours))

    def elapsed(self, now: int) -> int:
        return sum(one.hours.elapsed(one.start, min(one.end or now, now)) for one in self.stretches if one.running)  # fmt: skip

    @property
    def paused(self) -> bool:
        return bool(self.stretches) and not self.stretches[-1].running

    def reached(self, now: int) -> int | None:
        """The instant at which the target was used up, where that has come."""
        held = self.held_since(now)
        if self.day_due is not None and (held is None or self.day_due < held):
            return self.day_due if self.day_due <= now else None
        left = self.target
        for place, one in enumerate(self.stretches):
            if not one.running:
                continue
            end = now if one.end is None else min(one.end, now)
            here = one.hours.elapsed(one.start, end)
            if here >= left:
                due = one.hours.forward(one.start, left)
                # «A pause in the deadline's own instant moves it»; «out of hours nothing moves».
                moves = due is not None and due == end and self._pauses_after(place) and one.hours.is_open(due)  # fmt: skip
                moves = moves or (self.day_due is not None and held is not None and due is not None and due <= held)  # fmt: skip
                if not moves and due is not None and due <= end:
                    return due
            left = max(0, left - here)
        return None

    def held_since(self, now: int) -> int | None:
        """The first open time that was paused: until then a deadline by days holds, then what is left."""
        for one in self.stretches:
            opens = None if one.running else one.hours.next_open(one.start)
            if opens is not None and opens < (now if one.end is None else min(one.end, now)):
                return opens
        return None

    def _pauses_after(self, place: int) -> bool:
        after = self.stretches[place + 1 :]
        return bool(after) and not after[0].running

    def due(self, now: int) -> int | None:
        """«While paused `due_at` is null; one that ends while paused has its end + what was left.»"""
        if self.ended is None and self.paused:
            return None
        end = now if self.ended is None else self.ended
        found = self.reached(end)
        if found is not None:
            return found
        if self.day_due is not None and self.held_since(end) is None:
            return self.day_due
        return self.hours.forward(end, self.target - self.elapsed(end))

    def record(self, now: int) -> None:
        """«`breached_at = due_at` once now or `satisfied_at` is later»; the first that was stays."""
        end = now if self.ended is None else self.ended
        found = self.reached(end)
        if self.breached is None and found is not None and end > found:
            self.breached = found

    # What happens to it.

    def end(self, at: int, state: str) -> None:
        """«The state stays until the clock ends, then `missed` (or closed_unanswered, abandoned,
        cancelled, `breached_at` kept).»"""
        last = self.stretches[-1]
        last.end, self.ended = at, at
        self.record(at)
        self.state = state
        if state == "met":
            self.satisfied = at
            self.state = "met" if self.breached is None else "missed"

    def resume(self, at: int) -> None:
        """«`continue` resumes the same clock, the time between counts as paused.»"""
        assert self.ended is not None
        if self.ended < at:
            self.stretches.append(Stretch(self.ended, at, False, "closed", self.hours))
        self.ended = self.satisfied = None
        self.state = "running"

    def retarget(self, at: int, span: int, mode: str, hours: Hours, anew: bool = False) -> None:
        """A changed goal or calendar, by the policy's `on_change`; `anew`: another policy."""
        if (span == self.base or self.day_due is not None) and hours is self.hours and not anew:
            return
        self.record(at)
        used = self.elapsed(at)
        open_end = self.stretches[-1]
        if mode == "recompute":  # «Same start and pauses, new target.»
            self.target = span
            for one in self.stretches:
                one.hours = hours
        elif (
            mode == "forward"
        ):  # «Accrued time stays, the new target's clock starts at the change.»
            self.target = used + span
        elif mode == "reset":
            self.started, self.target = at, span
            self.stretches = [Stretch(at, None, open_end.running, open_end.because, hours)]
        elif mode == "proportional" and used < self.target:  # «Keeps the consumed fraction.»
            self.target = used + span * (self.target - used) // self.base
        self.base, self.hours = span, hours
        self.turn(at, open_end.running, open_end.because)

    # What is answered.

    def shown(self, now: int) -> dict[str, Any]:
        self.record(now)
        end = now if self.ended is None else self.ended
        state = self.state
        if self.ended is None:
            state = "paused" if self.paused else "running"
        elapsed = self.elapsed(end)
        return {
            "metric": self.metric, "cycle": self.cycle, "state": state,
            "started_at": text(self.started), "target_s": self.target / 1e6,
            "due_at": text(self.due(now)), "satisfied_at": text(self.satisfied),
            "breached_at": text(self.breached), "elapsed_s": elapsed / 1e6,
            "remaining_s": (self.target - elapsed) / 1e6, "ledger": self.ledger(end),
        }  # fmt: skip

    def ledger(self, end: int) -> list[dict[str, Any]]:
        """«Disjoint, cover the start to the end (or now), `seconds = to - from`; closed time within a
        pause is `closed`.»"""
        found: list[dict[str, Any]] = []
        for one in self.stretches:
            last = end if one.end is None else min(one.end, end)
            edges = sorted({one.start, last, *_edges(one.hours, one.start, last)})
            for a, b in zip(edges, edges[1:], strict=False):
                kind, because = _kind(one, a)
                if found and found[-1]["kind"] == kind and found[-1]["because"] == because:
                    found[-1]["to"] = b
                else:
                    found.append({"from": a, "to": b, "kind": kind, "because": because})
        return [one | {"from": text(one["from"]), "to": text(one["to"]), "seconds": (one["to"] - one["from"]) / 1e6} for one in found]  # fmt: skip


def _edges(hours: Hours, start: int, end: int) -> list[int]:
    """Openings, closings and local midnights between two instants."""
    found = [edge for window in hours.clipped(start, end) for edge in window]
    day = hours.local(start).date()
    while True:
        at = us(f"{day}T00:00:00", hours.zone.key)
        if at > end:
            return found
        found += [at] if at > start else []
        day = day.fromordinal(day.toordinal() + 1)


def _kind(one: Stretch, at: int) -> tuple[str, str | None]:
    if one.hours.is_open(at):
        return ("counted", None) if one.running else ("paused", one.because)
    day, body = one.hours.local(at).date(), one.hours.bodies[0]
    if str(day) not in body.get("overrides", {}) and is_holiday(body, day):
        return "holiday", None
    return "closed", None
