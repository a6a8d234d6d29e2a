"""The clocks of one stretch of work, from what happened: a fold over its events, in their order.

The same events in the same order give the same clocks; nothing else is remembered (API.md, «SLA»).
"""

from typing import Any

from services.sla.domain.clock import OPEN, Hands, Served
from services.sla.domain.clocks import FROM_THE_START, LIFELONG, Clocks
from services.sla.domain.episode import SCHEDULED, agent_of, note
from services.sla.domain.events import Event
from services.sla.domain.holds import lift_limit, noted
from services.sla.domain.policy import HUMAN, Target
from services.sla.domain.work import fold_work

RESPONSES = ("first_response", "next_response", "periodic_update", "time_to_assign")


class Fold(Clocks):
    """Applies events to an episode."""

    __slots__ = ()

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
                target = None if self._policy is None else self._policy.find(clock.metric)
                if target is not None:
                    self._hands.bound_anew(clock, at_us, target.pause_max_us)
                clock.moved = "calendar_data"

    def next_us(self) -> int | None:
        """When something happens by itself next."""
        first = self.episode.resume_us
        for clock in self.episode.clocks:
            ends = clock.pause_ends_us
            if ends is not None and (first is None or ends < first) and clock.state in OPEN:
                first = ends
        return first

    def _take(self, event: Event) -> None:
        episode, at_us = self.episode, event.at_us
        self._event, self._variables = event, None
        note(episode, event)
        task = episode.facts.task
        held = str(task.get("hold_reason") or "held") if task.get("held") else None
        if held is not None or episode.holds:
            episode.holds = noted(episode.holds, at_us, held)
        if not episode.chosen:
            episode.chosen = True
            self._adopt(self._chosen())
        if self._policy is not None and self._policy.named:
            self._stop_named(event)
        _HANDLERS.get(event.type, _ignore)(self, event)
        if self._policy is not None and self._policy.named:
            self._start_named(event)
        if episode.clocks:
            self._hold_or_run(at_us)
        fold_work(episode.work, event.type, at_us, event.fields, held)
        self._attribute_wait()
        if episode.clocks:
            self._attribute(agent_of(event.fields) or task.get("agent_id"))

    def _attribute(self, agent_id: Any) -> None:
        """A clock that has just ended keeps whose figure it is; one that goes on forgets it."""
        for clock in self.episode.clocks:
            if clock.state in OPEN:
                clock.served = None
            elif clock.served is None:
                clock.served = self._served(agent_id)

    def _attribute_wait(self) -> None:
        """A wait that has just ended, too, whoever has the task later."""
        work = self.episode.work
        if work.wait_us is None:
            work.served = None
        elif work.served is None:
            work.served = self._served(work.agent_id)

    def _served(self, agent_id: Any) -> Served:
        task = self.episode.facts.task
        return Served(task.get("queue"), agent_id, float(task.get("priority") or 0))

    # What each event means for the metrics.

    def on_first(self, event: Event) -> None:
        episode = self.episode
        if episode.first_us is None:
            episode.first_us = event.at_us
            if self._lasts() and episode.created_us is None:
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
            if self._lasts():
                self._start("periodic_update", event.at_us)

    def _lasts(self) -> bool:
        """Whether the work has begun and not ended."""
        return not self.episode.ended and self.episode.facts.task.get("state") != SCHEDULED

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
            self._drop_provisional(at_us)
            self._start_life(at_us)
        self._choose_again(at_us, "recompute")

    def _drop_provisional(self, at_us: int) -> None:
        """Clocks of the task that began before it was known when it did."""
        episode = self.episode
        for clock in list(episode.clocks):
            lasts = clock.metric in FROM_THE_START
            if lasts and clock.state in OPEN and clock.started_us != at_us:
                episode.clocks.remove(clock)
                episode.cycles[clock.metric] -= 1

    def _start_life(self, at_us: int) -> None:
        for metric in self._targets(FROM_THE_START):
            if self._last(metric) is None:
                self._start(metric, at_us)

    def _begin_anew(self, at_us: int) -> None:
        """A second task after the first has ended: every metric in a new cycle."""
        episode = self.episode
        episode.ended, episode.answered, episode.created_us = "", False, at_us
        self._choose_again(at_us, "recompute")
        for metric in self._targets(FROM_THE_START):
            self._start(metric, at_us)
        if episode.awaiting_us is not None:
            self._await_answer(at_us)

    def on_assigned(self, event: Event) -> None:
        self._end("time_to_assign", event.at_us, "met")
        if "queue" in event.fields:
            self._choose_again(event.at_us)

    def on_changed(self, event: Event) -> None:
        if event.fields.get("by") != "escalation":
            self._choose_again(event.at_us)

    def on_policy_changed(self, event: Event) -> None:
        """Other policies hold from here on; what has run until now counted on the hours there were."""
        for clock in self.open_clocks():
            self._hands.settle(clock, event.at_us)
        for clock in self.episode.clocks:
            self._hands.keep_hours(clock, event.at_us, event.key)
        self.former = {**self.former, event.key: self._hands}
        self._book = self._books(event.key)
        self._hands = Hands(self._book.windows)
        self._choose_again(event.at_us, event.fields.get("mode"), anew=True)

    def on_resolved(self, event: Event) -> None:
        episode, at_us = self.episode, event.at_us
        if not episode.ended:
            self._end_each(LIFELONG, at_us, "met")
            self._end_each(RESPONSES, at_us, "closed_unanswered")
        if event.type == "closed":
            self._end_all(at_us, "closed_unanswered")
        if episode.ended in ("", "resolved"):
            episode.ended = event.type

    def on_abandoned(self, event: Event) -> None:
        self._end_all(event.at_us, "abandoned" if event.type == "abandoned" else "cancelled")
        if self.episode.ended in ("", "resolved"):
            self.episode.ended = event.type

    def on_reopened(self, event: Event) -> None:
        episode, policy = self.episode, self._policy
        if not episode.ended:
            return
        because, episode.ended = episode.ended, ""
        if policy is None:
            return
        first = policy.targets.get("first_response")
        anew = first is not None and first.reopen == "new_cycle"
        if anew and self._last("first_response") is not None:
            episode.answered = False
            self._start("first_response", event.at_us)
        for target in policy.targets.values():
            self._reopen(target, event.at_us, because)
        if episode.awaiting_us is not None and self._open("first_response") is None:
            self._await_answer(event.at_us)

    def _reopen(self, target: Target, at_us: int, because: str) -> None:
        metric = target.metric
        if metric == "first_resolution":  # the first is the first
            return
        answerable = metric in ("first_response", "next_response")
        last = self._last(metric)
        whole = metric == "time_to_assign" or metric in LIFELONG
        if target.reopen == "new_cycle" or last is None or last.state == "cancelled":
            if whole:
                self._start(metric, at_us)
            return
        if last.is_open:
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


_HANDLERS = {
    "customer_message": Fold.on_customer_message,
    "agent_message": Fold.on_agent_message,
    "agent_note": Fold.on_reply,
    "bot_message": Fold.on_bot_message,
    "auto_reply": Fold.on_reply,
    "task_created": Fold.on_task_created,
    "assigned": Fold.on_assigned,
    "transferred": Fold.on_changed,
    "identified": Fold.on_changed,
    "priority_changed": Fold.on_changed,
    "policy_changed": Fold.on_policy_changed,
    "resolved": Fold.on_resolved,
    "closed": Fold.on_resolved,
    "abandoned": Fold.on_abandoned,
    "cancelled": Fold.on_abandoned,
    "reopened": Fold.on_reopened,
}
