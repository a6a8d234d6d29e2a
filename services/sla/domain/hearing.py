"""What the bus tells: messages and the router's words, each to the conversation that it is about."""

from functools import partial

from services.sla.domain.agents import Agents
from services.sla.domain.conversation import Live
from services.sla.domain.due import FORETOLD
from services.sla.domain.events import Event, no_earlier
from services.sla.domain.feedback import answer_of, feedback_row
from services.sla.domain.intake import (
    BEGINS,
    RETARGETS,
    Message,
    Told,
    message_of,
    task_events,
    told_of,
)
from services.sla.domain.running import Running
from shared.contracts.core import Input
from shared.contracts.instants import parse_instant, span_us
from shared.contracts.interactions import FEEDBACK


class Hearing:
    """Of one workspace."""

    def __init__(self, running: Running) -> None:
        self.agents = Agents(running.workspace)
        self._running = running
        self._episodes = running.episodes

    def take(self, what: Input) -> None:
        """An event."""
        if what.name.startswith("routing.task."):
            self._take_told(what.name, told_of(what.name, what.body))
        elif what.name.startswith("routing."):
            self._running.outcome.rows += self.agents.take(what.name, what.body)
        elif what.name == FEEDBACK:
            self._take_feedback(what)
        else:
            message = message_of(what.name, what.body, what.time_us)
            if message is not None:
                act = partial(self._take_message, message, what.id)
                self._running.hear(message.conversation_id, act)

    def _take_feedback(self, what: Input) -> None:
        answer = answer_of(what.body)
        if answer is None:
            return
        lives = self._running.lives.get(answer.conversation_id, [])
        about = [one for one in lives if answer.task_id in (None, one.record.task_id)]
        about = [one for one in about if one.record.task_id is not None]
        live = about[-1] if about else None
        row = feedback_row(self._running.workspace, answer, live, what.time_us)
        self._running.outcome.rows.append(row)

    def _take_message(self, message: Message, event_id: str) -> bool:
        name, now_us = message.conversation_id, self._running.now_us
        if message.kind == "agent_message" and name not in self._running.lives:
            at_us = min(message.time_us, message.received_us)
            event = Event(at_us, message.kind, 0, message.fields, event_id, message.late_us)
            self._episodes.begun.note(name, event, now_us)
            return False
        held = self._episodes.held(name, message.channel)
        live = self._episodes.home(held, message, event_id)
        if live is None:
            return False
        at_us = message.at_us(live.lateness_us)
        self._episodes.align(live, event_id, at_us)
        live.record.touched_us = now_us
        return self._add(
            live, Event(at_us, message.kind, 0, message.fields, event_id, message.late_us)
        )

    def _add(self, live: Live, event: Event) -> bool:
        """Takes in an event that has not been heard yet; whether it came late."""
        if live.has_heard(event):
            return False
        late = live.take(event)
        self._running.paces.heard(live, event)
        return late

    def _take_told(self, name: str, told: Told) -> None:
        running, episodes = self._running, self._episodes
        running.outcome.rows += self.agents.follow(name, told)
        if not told.conversation_id or not told.task_id:
            return
        if name == "routing.task.created.v1":
            act = partial(episodes.bind, told, running.now_us)
        elif name in ("routing.task.reopened.v1", "routing.task.message.v1"):
            reopened = name == "routing.task.reopened.v1"
            act = partial(episodes.join, told, running.now_us, reopened=reopened)
        else:
            act = partial(self._follow, name, told)
        running.hear(told.conversation_id, act, moved=name in RETARGETS)

    def _follow(self, name: str, told: Told) -> bool:
        live = self._episodes.of_task(told)
        if live is None:
            return False
        if name == "routing.task.estimate.v1":
            self._estimated(live, told)
            return False
        late = live.scheduled and name in BEGINS and self._episodes.begin(live, told)
        for event in task_events(name, told, live.fold.episode.facts.task.get("queue")):
            late = self._add(live, no_earlier(event, live.fold.episode.created_us or 0)) or late
        live.record.touched_us = self._running.now_us
        return late

    def _estimated(self, live: Live, told: Told) -> None:
        """The router says how long the task will wait: is that too long?"""
        if told.wait_s is None:
            return
        running = self._running
        live.record.estimate_us = parse_instant(told.at) + span_us(told.wait_s)
        teller = running.teller()
        for clock in live.clocks:
            if clock.state == "running" and clock.metric in FORETOLD:
                expected_us = running.paces.expected_us(live, clock, running.now_us)
                teller.looked(live, clock, expected_us)
