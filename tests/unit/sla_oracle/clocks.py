"""Clocks as a state machine over events, each quantity counted anew from the stretches a clock ran.

Written from API.md («SLA», `sla-policies:evaluate`), DESIGN §2 «Clock» and the documented behaviour of
other systems; the sentence that a rule comes from stands beside it. Conditions are Python functions of
the facts; the tests send the CEL text that means the same. Instants are whole microseconds.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.unit.sla_oracle.calendars import Hours, is_holiday, text, us

# «Events of equal time act in this order, however sent.»
ORDER = (
    ("task_created",), ("customer_message",), ("agent_message", "agent_note", "bot_message", "auto_reply"),
    ("assigned",), ("transferred",), ("priority_changed",), ("policy_changed",), ("resumed",),
    ("reopened",), ("paused",), ("pending",), ("resolved",), ("closed",), ("abandoned",),
)  # fmt: skip
RANK = {kind: rank for rank, kinds in enumerate(ORDER) for kind in kinds}
WAITING = "waiting_on_customer"
# «Default continue for first_response and resolution, else new_cycle.»
CONTINUES = ("first_response", "resolution")
WHOLE = ("first_resolution", "resolution", "time_to_assign", "customer_wait", "agent_work")
# Zendesk: requester wait counts New + Open + On-hold, agent work New + Open.
MEANINGS = {
    "customer_wait": lambda facts: facts["hold_reason"] == WAITING,
    "agent_work": lambda facts: facts["held"],
}

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
                if not moves and due is not None and due <= end:
                    return due
            left = max(0, left - here)
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
        if span == self.base and hours is self.hours and not anew:
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


class Conversation:
    """All clocks of one conversation."""

    def __init__(
        self, policy: Policy, hours: dict[str, Hours], facts: Facts, events: list, now: int
    ):
        self.policy, self.hours, self.now = policy, hours, now
        self.facts: Facts = {"held": False, "hold_reason": None, "type": None, "open": True} | facts
        self.priority = self.facts["priority"]  # what targets go by: escalation never retargets
        self.clocks: list[Clock] = []
        known = [one for one in events if us(one["time"]) <= now]
        self.events = sorted(known, key=lambda one: (us(one["time"]), RANK[one["type"]]))
        created = [us(one["time"]) for one in self.events if one["type"] == "task_created"]
        self.created = created[0] if created else None
        self.answered = self.over = self.assigned = False
        self.begun: int | None = None
        self.history: list[tuple[int, bool, str | None]] = []
        self.waiting_since: int | None = None

    def run(self) -> list[dict[str, Any]]:
        for one in self.events:
            self.apply(us(one["time"]), one)
        order = {metric: place for place, metric in enumerate(self.policy.goals)}
        shown = [clock.shown(self.now) for clock in self.clocks]
        return sorted(shown, key=lambda one: (order.get(one["metric"], 99), one["cycle"]))

    # Clocks.

    def of(self, metric: str) -> list[Clock]:
        return [clock for clock in self.clocks if clock.metric == metric]

    def current(self, metric: str) -> Clock | None:
        found = self.of(metric)
        return found[-1] if found and found[-1].ended is None else None

    def span(self, goal: Goal) -> int:
        return goal.span(self.facts["channel"], self.priority)

    def calendar(self, goal: Goal) -> Hours:
        return self.hours[goal.calendar or self.policy.calendar]

    def start(self, metric: str, at: int) -> None:
        goal = self.policy.goals.get(metric)
        if goal is None or not self.policy.when(self.facts) or self.current(metric):
            return
        cycle = len(self.of(metric)) + 1
        clock = Clock(metric, cycle, at, goal, self.span(goal), self.calendar(goal))
        clock.policy = self.policy
        self.clocks.append(clock)
        self.replay(clock)

    def replay(self, clock: Clock) -> None:
        """A clock begun in the past takes the holds since then; other reasons for a pause as they are
        now (docs/sla.md)."""
        state: tuple[bool, str | None] = (False, None)
        for at, held, reason in self.history:
            if at > clock.started and not clock.stretches:
                self.turn(clock, clock.started, *state)
            state = (held, reason)
            if at > clock.started:
                self.turn(clock, at, held, reason)
        if not clock.stretches:
            self.turn(clock, clock.started, *state)

    def turn(self, clock: Clock, at: int, held: bool, reason: str | None) -> None:
        facts = self.facts | {"held": held, "hold_reason": reason}
        paused = (clock.goal.pause or MEANINGS.get(clock.metric, never))(facts)
        clock.turn(at, not paused, reason if paused and held else None)

    def finish(self, metric: str, at: int, state: str) -> None:
        clock = self.current(metric)
        if clock is not None:
            clock.end(at, state)

    def pauses(self, at: int) -> None:
        """«A clock pauses exactly while its `pause_when` holds.»"""
        held, reason = self.facts["held"], self.facts["hold_reason"]
        if not self.history or self.history[-1][1:] != (held, reason):
            self.history.append((at, held, reason))
        for clock in self.clocks:
            if clock.ended is None:
                self.turn(clock, at, held, reason)

    # Events.

    def apply(self, at: int, event: dict[str, Any]) -> None:
        kind = event["type"]
        self.facts["type"] = kind
        if kind == "task_created":
            self.on_task_created(at, event)
        if kind in ("customer_message", "agent_message", "bot_message", "task_created"):
            self.begin(at, kind)
        handler = getattr(self, f"on_{kind}", None)
        if handler is not None and kind != "task_created":
            handler(at, event)
        self.pauses(at)
        self.named(at)
        self.pauses(at)
        if kind in ("resolved", "closed", "abandoned"):
            self.shut(at, kind)
            self.facts |= {"held": False, "hold_reason": None}  # another status than on hold
            self.pauses(at)

    def begin(self, at: int, kind: str) -> None:
        """«`resolution` starts at `task_created` or, if none came, the first message»; «auto-replies
        start nothing»."""
        if self.begun is not None or (self.created is not None and kind != "task_created"):
            return
        self.begun = at
        for metric in WHOLE:
            self.start(metric, at)

    def on_task_created(self, at: int, event: dict[str, Any]) -> None:
        if "priority" in event:
            self.facts["priority"] = self.priority = event["priority"]
            self.changed(at, "recompute")

    def on_customer_message(self, at: int, event: dict[str, Any]) -> None:
        if self.facts["hold_reason"] == WAITING:
            self.on_resumed(at, event)
        if self.waiting_since is None:
            self.waiting_since = at
        if self.facts["open"]:
            self.exchange(at)

    def exchange(self, at: int) -> None:
        """The oldest unanswered message starts one clock; while the first response is still due, the
        next-response clock does not run (Zendesk)."""
        if "first_response" in self.policy.goals and not self.answered:
            self.start("first_response", at)  # «none on conversations that we began»
        elif not self.current("first_response"):
            self.start("next_response", at)

    def on_agent_message(self, at: int, event: dict[str, Any]) -> None:
        self.answered, self.waiting_since = True, None
        if not self.facts["open"]:
            return
        self.finish("first_response", at, "met")
        self.finish("next_response", at, "met")
        self.finish("periodic_update", at, "met")
        self.start("periodic_update", at)

    def on_assigned(self, at: int, event: dict[str, Any]) -> None:
        self.assigned = True
        if self.facts["open"]:
            self.finish("time_to_assign", at, "met")

    def on_transferred(self, at: int, event: dict[str, Any]) -> None:
        self.assigned = False  # it waits in a queue again; «transfer resets nothing»

    def on_priority_changed(self, at: int, event: dict[str, Any]) -> None:
        self.facts["priority"] = event["priority"]
        if event.get("by") != "escalation":
            self.priority = event["priority"]
            self.changed(at, self.policy.on_change)

    def on_policy_changed(self, at: int, event: dict[str, Any]) -> None:
        self.policy = event["parsed"]
        mode = event.get("mode", self.policy.on_change)
        self.changed(at, mode, anew=True)
        if self.facts["open"]:
            self.attach(at, retroactive=mode == "recompute")

    def attach(self, at: int, retroactive: bool) -> None:
        """«A target that a change brings begins where it would have begun (`recompute`), else at the
        change» (docs/sla.md; ServiceNow's retroactive start)."""
        if self.begun is not None:
            for metric in WHOLE:
                was = self.of(metric)
                if (was and was[-1].state != "cancelled") or (metric == "time_to_assign" and self.assigned):  # fmt: skip
                    continue
                self.start(metric, self.begun if retroactive else at)
        if self.waiting_since is not None:
            self.exchange(self.waiting_since if retroactive else at)

    def changed(self, at: int, mode: str, anew: bool = False) -> None:
        """«If the policy's `when` no longer matches, its open clocks are cancelled.»"""
        holds = self.policy.when(self.facts)
        for clock in self.clocks:
            goal = self.policy.goals.get(clock.metric)
            if clock.ended is not None:
                continue
            if goal is None or not holds:
                clock.end(at, "cancelled")
            else:
                clock.goal, clock.policy = goal, self.policy
                clock.retarget(at, self.span(goal), mode, self.calendar(goal), anew)

    def on_resumed(self, at: int, event: dict[str, Any]) -> None:
        self.facts |= {"held": False, "hold_reason": None}

    def on_paused(self, at: int, event: dict[str, Any]) -> None:
        self.facts |= {"held": True, "hold_reason": event.get("reason")}

    def on_pending(self, at: int, event: dict[str, Any]) -> None:
        self.facts |= {"held": True, "hold_reason": WAITING}

    def shut(self, at: int, kind: str) -> None:
        """«`closed` without `resolved` counts as resolved»; «solved without an answer: an explicit
        outcome `closed_unanswered`». Named clocks go on until their stop or the closing."""
        self.facts["open"] = False
        self.over = self.over or kind != "resolved"
        for clock in self.clocks:
            if clock.ended is not None or (clock.goal.named and kind == "resolved"):
                continue
            resolves = clock.metric in ("resolution", "first_resolution", "customer_wait", "agent_work")  # fmt: skip
            state = "met" if resolves else "closed_unanswered"
            clock.end(at, "abandoned" if kind == "abandoned" else state)

    def on_reopened(self, at: int, event: dict[str, Any]) -> None:
        if self.facts["open"]:
            return
        self.facts["open"], self.assigned = True, False
        self.over = False
        for metric, goal in self.policy.goals.items():
            if not goal.named:
                self.reopen(metric, goal, at)
        if self.waiting_since is not None:
            self.exchange(at)

    def reopen(self, metric: str, goal: Goal, at: int) -> None:
        done = self.of(metric)
        if metric == "first_resolution":  # «First resolution never reopens.»
            return
        how = goal.reopen or ("continue" if metric in CONTINUES else "new_cycle")
        last = done[-1] if done and done[-1].state != "cancelled" else None
        if how == "continue" and last is not None:
            # «A met first response stays met»: an answer is not taken back by a reopening.
            whole = metric in ("resolution", "customer_wait", "agent_work")
            silent = metric in ("first_response", "next_response") and self.waiting_since is None
            if (whole or last.satisfied is None) and not silent:
                last.resume(at)
                self.turn(last, at, self.facts["held"], self.facts["hold_reason"])
                anew = last.policy is not self.policy
                last.goal, last.policy = goal, self.policy
                last.retarget(at, self.span(goal), self.policy.on_change, self.calendar(goal), anew)
        elif metric in WHOLE or (metric == "first_response" and done and how == "new_cycle"):
            self.answered = self.answered and metric != "first_response"
            self.start(metric, at)

    def named(self, at: int) -> None:
        """«A start while it runs is ignored, one after its stop opens the next cycle»; stop goes
        before start (Jira Service Management)."""
        for name, goal in self.policy.goals.items():
            if not goal.named:
                continue
            if goal.stop(self.facts):
                self.finish(name, at, "met")
            elif goal.start(self.facts) and not self.over:
                self.start(name, at)
