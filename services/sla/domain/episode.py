"""The clocks of one stretch of work, from what happened: a fold over its events, in their order.

The same events in the same order give the same clocks; nothing else is remembered (API.md, «SLA»).
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from services.sla.domain.clock import OPEN, Clock, Ended, Hands, Served
from services.sla.domain.events import Event
from services.sla.domain.holds import Hold, lift_limit, noted, start_in_past
from services.sla.domain.policy import EVENTFUL, HUMAN, Book, Goal, Mode, Policy, Target
from services.sla.domain.work import Work, fold_work
from shared.contracts.instants import parse_instant
from shared.rules import Condition, Variables

WAITING = "waiting_on_customer"
LIFELONG = ("resolution", "first_resolution", "customer_wait", "agent_work")
RESPONSES = ("first_response", "next_response", "periodic_update", "time_to_assign")
CLOCKS_MAX = 64  # kept in memory of one episode; finished ones are dropped oldest first

_TASK_FIELDS_OF_EVENTS = ("channel", "queue", "language", "kind", "attributes", "tags")


class Facts(msgspec.Struct, gc=False):
    """What conditions see. `level` is the priority without what escalation added."""

    task: dict[str, Any] = {}
    customer: dict[str, Any] | None = None
    level: float = 0


class Episode(msgspec.Struct, gc=False):
    """The state of the fold. `awaiting_us`: the oldest customer message without an answer;
    `answered`: the first exchange is over; `ended`: how the work ended, while it has; `resume_us`:
    when a hold ends by itself; `timed_us`: when something last happened by itself; `holds`: when it
    was held, for clocks that a later policy starts in the past."""

    facts: Facts
    clocks: list[Clock] = []
    policy: tuple[str, int] | None = None
    chosen: bool = False
    created_us: int | None = None
    first_us: int | None = None
    awaiting_us: int | None = None
    agent_spoke_us: int | None = None
    answered: bool = False
    ended: str = ""
    cycles: dict[str, int] = {}
    resume_us: int | None = None
    timed_us: int = 0
    work: Work = msgspec.field(default_factory=Work)
    holds: tuple[Hold, ...] = ()


class Fold:
    """Applies events to an episode. `book` is the configuration it is pinned to; `books` gives the
    one that a `policy_changed` event names by its key. `shed`, where it is a list, takes the clocks
    that are let go of because there are many."""

    __slots__ = (
        "_at_us", "_book", "_books", "_event", "_hands", "_policy", "_variables", "episode", "shed",
    )  # fmt: skip

    def __init__(self, episode: Episode, book: Book, books: Callable[[str], Book]) -> None:
        self.episode = episode
        self._book = book
        self._books = books
        self._policy = _find(book, episode.policy)
        self._hands = Hands(book.windows)
        self._variables: Variables | None = None
        self._event: dict[str, Any] = {}
        self._at_us = 0
        self.shed: list[Clock] | None = None

    @property
    def policy(self) -> Policy | None:
        return self._policy

    def foreseen_policy(self) -> Policy | None:
        """The policy, or the one that the first event will choose by what is known without it."""
        if self.episode.chosen:
            return self._policy
        return self._book.choose(self._choosing())

    @property
    def hands(self) -> Hands:
        return self._hands

    def apply(self, event: Event) -> None:
        """One event. Its time must not be before the last one's."""
        self.advance(event.at_us - 1)
        self._take(event)

    def advance(self, now_us: int) -> None:
        """What happens by itself until now, in order: holds end, pauses reach their limit."""
        while (at_us := self.next_us()) is not None and at_us <= now_us:
            self.episode.timed_us = at_us
            for clock in self.open_clocks():
                lift_limit(self._hands, clock, at_us)
            if self.episode.resume_us is not None and self.episode.resume_us <= at_us:
                self._take(Event(at_us, "resumed"))

    def recount(self, at_us: int, calendar: str) -> None:
        """The open clocks of a calendar whose windows have changed count again from their start."""
        self.episode.timed_us = max(self.episode.timed_us, at_us)
        for clock in self.open_clocks():
            if any(span.calendar == calendar for span in clock.spans):
                self._hands.retarget(clock, at_us, "recompute", clock.goal, clock.calendar)
                clock.moved = "calendar_data"

    def next_us(self) -> int | None:
        """When something happens by itself next."""
        first = self.episode.resume_us
        for clock in self.episode.clocks:
            ends = clock.pause_ends_us
            if ends is not None and (first is None or ends < first) and clock.is_open:
                first = ends
        return first

    def _take(self, event: Event) -> None:
        episode = self.episode
        self._event = {**event.fields, "type": event.type}
        self._at_us = event.at_us
        self._variables = None
        self._note_facts(event)
        task = episode.facts.task
        held = str(task.get("hold_reason") or "held") if task.get("held") else None
        episode.holds = noted(episode.holds, event.at_us, held)
        if not episode.chosen:
            episode.chosen = True
            self._adopt(self._book.choose(self._choosing()))
        self._stop_named(event)
        _HANDLERS.get(event.type, _ignore)(self, event)
        self._start_named(event)
        self._hold_or_run(event.at_us)
        fold_work(episode.work, event.type, event.at_us, event.fields, held)
        self._attribute(_agent(event.fields) or task.get("agent_id"))

    def _attribute(self, agent_id: Any) -> None:
        """A clock that has just ended keeps whose figure it is; one that goes on forgets it."""
        task = self.episode.facts.task
        for clock in self.episode.clocks:
            if clock.is_open:
                clock.served = None
            elif clock.served is None:
                level = float(task.get("priority") or 0)
                clock.served = Served(task.get("queue"), agent_id, level)

    # What conditions see.

    def _vars(self) -> Variables:
        if self._variables is None:
            facts = self.episode.facts
            customer = facts.customer or {}
            values = {"task": facts.task, "customer": customer, "event": self._event}
            self._variables = Variables(EVENTFUL, values)
        return self._variables

    def _choosing(self) -> Variables:
        """What policies are chosen by: a priority that escalation raised is not among it."""
        facts = self.episode.facts
        if facts.task.get("priority") == facts.level:
            return self._vars()
        task = {**facts.task, "priority": facts.level}
        customer = facts.customer or {}
        return Variables(EVENTFUL, {"task": task, "customer": customer, "event": self._event})

    def _goal(self, target: Target) -> Goal:
        facts = self.episode.facts
        return target.goal_at(facts.level, facts.task.get("channel"))

    def _holds(self, condition: Condition | None) -> bool:
        return condition is not None and condition.evaluate(self._vars()).holds

    def _note_facts(self, event: Event) -> None:
        facts, fields, kind = self.episode.facts, event.fields, event.type
        task = facts.task
        if kind in ("task_created", "transferred"):
            task.update({name: fields[name] for name in _TASK_FIELDS_OF_EVENTS if name in fields})
            task["state"] = "assigned" if _agent(fields) else "pending"
            if "customer" in fields:
                facts.customer = fields["customer"]
        if kind in ("task_created", "priority_changed") and "priority" in fields:
            task["priority"] = fields["priority"]
            if fields.get("by") != "escalation":
                facts.level = float(fields["priority"])
        if kind in ("assigned", "transferred", "unassigned", "reopened"):
            task["agent_id"] = _agent(fields)
        if kind in _STATES:
            task["state"] = _STATES[kind]
        if kind == "resolved" and "tags" in fields:
            task["tags"] = fields["tags"]
        if kind in ("paused", "pending"):
            self.episode.resume_us = _until(event)
            task["held"] = True
            task["hold_reason"] = WAITING if kind == "pending" else fields.get("reason")
        elif kind in _RELEASES or (
            kind == "customer_message" and task.get("hold_reason") == WAITING
        ):
            task["held"], task["hold_reason"] = False, None
            self.episode.resume_us = None
        if kind == "customer_message" and task.get("state") == "wrapping":
            task["state"] = "assigned"

    # Policies.

    def _adopt(self, policy: Policy | None) -> None:
        self._policy = policy
        self.episode.policy = None if policy is None else (policy.id, policy.version)

    def _choose_again(self, at_us: int, mode: Mode | None = None, *, anew: bool = False) -> None:
        """Priority, queue or policies have changed: clocks follow. `anew`: also where the policy is
        the same, since its calendars may not be."""
        before = self._policy
        self._adopt(self._book.choose(self._choosing()))
        policy = self._policy
        if policy is None:
            self._end_all(at_us, "cancelled")
            return
        how = mode or policy.on_change
        for clock in self.open_clocks():
            self._follow(clock, policy, at_us, how, anew=anew or policy is not before)
        if policy is not before:
            self._start_missing(at_us, retroactive=how == "recompute")

    def _follow(
        self, clock: Clock, policy: Policy, at_us: int, how: Mode, *, anew: bool = False
    ) -> None:
        """An open clock takes the policy's goal and calendar where they are not the ones it has."""
        target = policy.find(clock.metric)
        if target is None:
            self._hands.end(clock, at_us, "cancelled")
            return
        goal = self._goal(target)
        calendar = policy.calendar_of(target, self._choosing())
        if anew or goal != clock.goal or calendar != clock.calendar:
            self._hands.retarget(clock, at_us, how, goal, calendar)
            clock.policy_id, clock.policy_version = policy.id, policy.version
            clock.moved = self._event["type"]

    def on_policy_changed(self, event: Event) -> None:
        """Other policies hold from here on; what has run until now counted on the hours there were."""
        for clock in self.open_clocks():
            self._hands.settle(clock, event.at_us)
        self._book = self._books(event.key)
        self._hands = Hands(self._book.windows)
        self._choose_again(event.at_us, event.fields.get("mode"), anew=True)

    def _start_missing(self, at_us: int, *, retroactive: bool) -> None:
        """Starts what a policy that came later asks for; retroactively from where it would have
        begun."""
        episode = self.episode
        if episode.ended:
            return

        def since(anchor: int | None) -> int:
            return anchor if retroactive and anchor is not None else at_us

        begun = episode.created_us if episode.created_us is not None else episode.first_us
        if begun is not None:
            task = episode.facts.task
            waits = task.get("state") == "pending" and not task.get("agent_id")
            for metric in (*LIFELONG, "time_to_assign") if waits else LIFELONG:
                if self._last(metric) is None or self._was_cancelled(metric):
                    self._start(metric, since(begun))
        if episode.awaiting_us is not None:
            self._await_answer(since(episode.awaiting_us))

    # Clocks.

    def open_clocks(self) -> list[Clock]:
        return [clock for clock in self.episode.clocks if clock.state in OPEN]

    def _open(self, metric: str) -> Clock | None:
        for clock in reversed(self.episode.clocks):
            if clock.metric == metric and clock.is_open:
                return clock
        return None

    def _last(self, metric: str) -> Clock | None:
        return next((c for c in reversed(self.episode.clocks) if c.metric == metric), None)

    def _was_cancelled(self, metric: str) -> bool:
        last = self._last(metric)
        return last is not None and last.state == "cancelled"

    def _start(self, metric: str, at_us: int) -> None:
        """A new cycle of a metric, where the policy has a target and none is open."""
        policy = self._policy
        target = None if policy is None else policy.targets.get(metric)
        if policy is not None and target is not None and self._open(metric) is None:
            self._begin(policy, target, at_us)

    def _begin(self, policy: Policy, target: Target, at_us: int) -> None:
        episode = self.episode
        cycle = episode.cycles.get(target.metric, 0) + 1
        episode.cycles[target.metric] = cycle
        goal, calendar = self._goal(target), policy.calendar_of(target, self._choosing())
        clock = Clock(
            target.metric, cycle, policy.id, policy.version, calendar, at_us, 0, goal, spans=[]
        )
        if at_us < self._at_us:
            because = partial(self._paused_when_held, target)
            most_us = target.pause_max_us
            start_in_past(self._hands, clock, episode.holds, because, most_us, self._at_us)
        else:
            self._hands.start(clock, self._paused_because(target))
            if clock.state == "paused":
                self._hands.bound_pause(clock, at_us, target.pause_max_us)
        episode.clocks.append(clock)
        if len(episode.clocks) > CLOCKS_MAX:
            self._shed_oldest()

    def _shed_oldest(self) -> None:
        """Lets go of the oldest clock that has ended; the last of each metric stays, for it tells
        what has been and may go on."""
        episode = self.episode
        for clock in episode.clocks:
            if not clock.is_open and clock.cycle < episode.cycles[clock.metric]:
                episode.clocks.remove(clock)
                if self.shed is not None:
                    self.shed.append(clock)
                return

    def _paused_when_held(self, target: Target, reason: str | None) -> str | None:
        """Why a clock would be paused were the task held for `reason` (None: not held)."""
        if target.pause is None:
            return None
        facts = self.episode.facts
        task = {**facts.task, "held": reason is not None, "hold_reason": reason}
        values = {"task": task, "customer": facts.customer or {}, "event": self._event}
        if not target.pause.evaluate(Variables(EVENTFUL, values)).holds:
            return None
        return reason or target.pause.source

    def _end(self, metric: str, at_us: int, how: Ended) -> None:
        clock = self._open(metric)
        if clock is not None:
            self._hands.end(clock, at_us, how)

    def _end_all(self, at_us: int, how: Ended) -> None:
        for clock in self.open_clocks():
            self._hands.end(clock, at_us, how)

    def _paused_because(self, target: Target) -> str | None:
        if not self._holds(target.pause):
            return None
        assert target.pause is not None
        task = self.episode.facts.task
        if task.get("held"):
            return str(task.get("hold_reason") or "held")
        return target.pause.source

    def _hold_or_run(self, at_us: int) -> None:
        """Pauses and resumes each open clock as its condition says now."""
        policy = self._policy
        for clock in self.open_clocks():
            target = None if policy is None else policy.find(clock.metric)
            if target is None or target.pause is None:
                because = None
            else:
                because = self._paused_because(target)
            if because is None and clock.state == "paused":
                self._hands.resume(clock, at_us)
            elif because is not None and clock.state == "paused":
                self._hands.pause_on(clock, at_us, because)
            elif because is not None and not clock.capped:
                assert target is not None
                self._hands.pause(clock, at_us, because, target.pause_max_us)

    def _stop_named(self, event: Event) -> None:
        for target in self._policy.named if self._policy else ():
            clock = self._open(target.metric)
            if clock is not None and self._holds(target.stop):
                self._hands.end(clock, event.at_us, "met")

    def _start_named(self, event: Event) -> None:
        policy = self._policy
        if policy is None or self.episode.ended in ("closed", "abandoned", "cancelled"):
            return
        for target in policy.named:
            if self._open(target.metric) is None and self._holds(target.start):
                self._begin(policy, target, event.at_us)

    # What each event means for the metrics.

    def _await_answer(self, at_us: int) -> None:
        """A customer waits: the first response where it is wanted and still due, else the next."""
        policy, episode = self._policy, self.episode
        if policy is None:
            return
        if "first_response" in policy.targets and not episode.answered:
            self._start("first_response", at_us)
        else:
            self._start("next_response", at_us)

    def _start_life(self, at_us: int) -> None:
        for metric in LIFELONG:
            if self._last(metric) is None:
                self._start(metric, at_us)
        if self._last("time_to_assign") is None:
            self._start("time_to_assign", at_us)

    def on_first(self, event: Event) -> None:
        episode = self.episode
        if episode.first_us is None:
            episode.first_us = event.at_us
            if not episode.ended and episode.created_us is None:
                self._start_life(event.at_us)

    def on_customer_message(self, event: Event) -> None:
        episode = self.episode
        if episode.awaiting_us is None:
            episode.awaiting_us = event.at_us
        self.on_first(event)
        if not episode.ended:
            self._await_answer(event.at_us)

    def on_agent_message(self, event: Event) -> None:
        episode = self.episode
        self.on_first(event)
        self.on_reply(event)
        episode.awaiting_us, episode.answered, episode.agent_spoke_us = None, True, event.at_us

    def on_bot_message(self, event: Event) -> None:
        self.on_first(event)
        self.on_reply(event)

    def on_reply(self, event: Event) -> None:
        """Ends the response clocks that count this kind of message as an answer."""
        episode = self.episode
        for metric in ("first_response", "next_response"):
            if self._open(metric) is not None and self._answers(metric, event.type):
                self._end(metric, event.at_us, "met")
                episode.awaiting_us, episode.answered = None, True
        if self._answers("periodic_update", event.type):
            self._end("periodic_update", event.at_us, "met")
            if not episode.ended:
                self._start("periodic_update", event.at_us)

    def _answers(self, metric: str, kind: str) -> bool:
        target = self._policy.targets.get(metric) if self._policy else None
        return kind in (HUMAN if target is None else target.answered_by)

    def on_task_created(self, event: Event) -> None:
        episode, at_us = self.episode, event.at_us
        if episode.ended:
            self._begin_anew(at_us)
            return
        if episode.created_us is None:
            episode.created_us = at_us
            for metric in (*LIFELONG, "time_to_assign"):
                provisional = self._open(metric)
                if provisional is not None and provisional.started_us != at_us:
                    episode.clocks.remove(provisional)
                    episode.cycles[metric] -= 1
            self._start_life(at_us)
        self._choose_again(at_us, "recompute")

    def _begin_anew(self, at_us: int) -> None:
        """A second task after the first has ended: every metric in a new cycle."""
        episode = self.episode
        episode.ended, episode.answered, episode.created_us = "", False, at_us
        self._choose_again(at_us, "recompute")
        for metric in (*LIFELONG, "time_to_assign"):
            self._start(metric, at_us)
        if episode.awaiting_us is not None:
            self._await_answer(at_us)

    def on_assigned(self, event: Event) -> None:
        self._end("time_to_assign", event.at_us, "met")

    def on_changed(self, event: Event) -> None:
        if event.fields.get("by") != "escalation":
            self._choose_again(event.at_us)

    def on_resolved(self, event: Event) -> None:
        episode, at_us = self.episode, event.at_us
        if not episode.ended:
            for metric in LIFELONG:
                self._end(metric, at_us, "met")
            for metric in RESPONSES:
                self._end(metric, at_us, "closed_unanswered")
        if event.type == "closed":
            self._end_all(at_us, "closed_unanswered")
        episode.ended = event.type

    def on_abandoned(self, event: Event) -> None:
        self._end_all(event.at_us, "abandoned" if event.type == "abandoned" else "cancelled")
        self.episode.ended = self.episode.ended or event.type

    def on_reopened(self, event: Event) -> None:
        episode, policy = self.episode, self._policy
        if not episode.ended:
            return
        because, episode.ended = episode.ended, ""
        if policy is None:
            return
        first = policy.targets.get("first_response")
        if first is not None and first.reopen == "new_cycle":
            episode.answered = False
            self._start("first_response", event.at_us)
        for target in policy.targets.values():
            self._reopen(target, event.at_us, because)
        if episode.awaiting_us is not None and self._open("first_response") is None:
            self._await_answer(event.at_us)

    def _reopen(self, target: Target, at_us: int, because: str) -> None:
        metric = target.metric
        answerable = metric in ("first_response", "next_response")
        if target.reopen == "new_cycle":
            if metric == "time_to_assign" or (metric in LIFELONG and metric != "first_resolution"):
                self._start(metric, at_us)
            return
        last = self._last(metric)
        if last is None or last.is_open or last.state == "cancelled":
            return
        if answerable and self.episode.awaiting_us is None:
            return
        if metric in RESPONSES and last.state not in ("closed_unanswered", "abandoned"):
            return
        self._hands.carry_on(last, at_us, because, self._paused_because(target))
        if last.state == "paused":
            self._hands.bound_pause(last, at_us, target.pause_max_us)
        policy = self._policy
        assert policy is not None
        pinned = (last.policy_id, last.policy_version) != (policy.id, policy.version)
        self._follow(last, policy, at_us, policy.on_change, anew=pinned)


def _ignore(fold: Fold, event: Event) -> None:
    """Seen by conditions only."""


_STATES = {
    "assigned": "assigned",
    "unassigned": "pending",
    "wrapping": "wrapping",
    "resolved": "completed",
    "closed": "completed",
    "abandoned": "cancelled",
    "cancelled": "cancelled",
    "reopened": "pending",
}
_RELEASES = frozenset({"resumed", "resolved", "closed", "abandoned", "cancelled", "reopened"})
_HANDLERS = {
    "customer_message": Fold.on_customer_message,
    "agent_message": Fold.on_agent_message,
    "agent_note": Fold.on_reply,
    "bot_message": Fold.on_bot_message,
    "auto_reply": Fold.on_reply,
    "task_created": Fold.on_task_created,
    "assigned": Fold.on_assigned,
    "transferred": Fold.on_changed,
    "priority_changed": Fold.on_changed,
    "policy_changed": Fold.on_policy_changed,
    "resolved": Fold.on_resolved,
    "closed": Fold.on_resolved,
    "abandoned": Fold.on_abandoned,
    "cancelled": Fold.on_abandoned,
    "reopened": Fold.on_reopened,
}


def _agent(fields: dict[str, Any]) -> Any:
    return fields.get("agent_id") or fields.get("agent")


def _until(event: Event) -> int | None:
    """When a hold ends by itself: `until`, an instant after the event."""
    until = event.fields.get("until")
    at_us = parse_instant(until.upper()) if isinstance(until, str) else None
    return at_us if at_us is not None and at_us > event.at_us else None


def _find(book: Book, pinned: tuple[str, int] | None) -> Policy | None:
    if pinned is None:
        return None
    return next((p for p in book.policies if (p.id, p.version) == tuple(pinned)), None)
