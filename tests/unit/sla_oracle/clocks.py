"""Clocks as a state machine over events, each quantity counted anew from the stretches a clock ran.

Written from API.md («SLA», `sla-policies:evaluate`), DESIGN §2 «Clock» and the documented behaviour of
other systems; the sentence that a rule comes from stands beside it. Conditions are Python functions of
the facts; the tests send the CEL text that means the same. Instants are whole microseconds.
"""

from typing import Any

from tests.unit.sla_oracle.calendars import Hours, us
from tests.unit.sla_oracle.clock import Clock, Facts, Goal, Policy, never

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
        self.holds = self.matches()
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
        if goal is None or not self.holds or self.current(metric):
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
        self.changed(at, event.get("mode", self.policy.on_change), anew=True)

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
        before, self.holds = self.holds, self.matches()
        for clock in self.clocks:
            goal = self.policy.goals.get(clock.metric)
            if clock.ended is not None:
                continue
            if goal is None or not self.holds:
                clock.end(at, "cancelled")
            else:
                clock.goal, clock.policy = goal, self.policy
                clock.retarget(at, self.span(goal), mode, self.calendar(goal), anew)
        if self.facts["open"] and (anew or self.holds > before):
            self.attach(at, retroactive=mode == "recompute")

    def matches(self) -> bool:
        """«A priority raised by escalation» chooses no other policy either."""
        return self.policy.when(self.facts | {"priority": self.priority})

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
        if not self.holds:
            return
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
