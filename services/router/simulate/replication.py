"""One simulated day: events in the order of their instants, each an input of the production core.

At one instant, in this order: what the core does by itself, what its clocks do, the change of period, ends of service,
answers to offers, patience that runs out, arrivals. So a contact that finds an agent free at the very
instant when its patience ends is served, and an arrival finds the line that is given up at its instant.
"""

import heapq
from collections import deque
from itertools import count
from time import process_time
from typing import Any

import msgspec

from services.router.domain.config import Escalation
from services.router.simulate import streams
from services.router.simulate.beside import OpenBeside
from services.router.simulate.centre import Centre, opened
from services.router.simulate.contacts import (
    COMING,
    GONE,
    SERVED,
    WAITING,
    ClassAtWork,
    Contact,
    draws,
)
from services.router.simulate.scenario import Scenario
from services.router.simulate.staffing import Staffing
from services.router.simulate.tally import Sums, Tally
from shared.contracts import interactions
from shared.contracts.core import Entity, Input, Outcome
from shared.contracts.instants import SECOND_US
from shared.contracts.problems import Fault, Refused

PERIOD, COMPLETE, ACCEPT, GREET, ABANDON, ARRIVE = range(6)

DRAIN_MAX_US = 30 * 86_400 * SECOND_US  # after the horizon; what waits for ever is left there

_MISSED = "missed_offers"


class Replication:
    """Simulates replication `number` once. Raises Refused where the scenario turns out to have a
    fault that only running it shows."""

    def __init__(
        self,
        scenario: Scenario,
        number: int,
        entities: list[Entity],
        open_beside: OpenBeside | None = None,
    ) -> None:
        self._scenario = scenario
        self._horizon_us = scenario.horizon_us
        seed = streams.seed_of(scenario.seed, number, "core")
        self.centre: Centre = opened(scenario, seed, entities)
        self._core = self.centre.core
        self._clocks = None if open_beside is None else open_beside(seed)
        self._core.writes = self._clocks is not None  # nobody else reads what events say
        self._told: deque[Input] = deque()  # by the clocks, and not yet heard by the router
        self._tally = Tally(scenario)
        self._ends: dict[str, int] = {}
        self._staffing = Staffing(scenario, self.centre, self._tally, self._ends)
        busy = streams.busyness(scenario, number)
        self._classes = [
            ClassAtWork(scenario, place, number, busy) for place in range(len(scenario.classes))
        ]
        self._answers = [
            None if group.answer is None else draws(group.answer) for group in scenario.groups
        ]
        self._of_answers = [
            streams.stream(scenario, number, f"answer:{group.name}") for group in scenario.groups
        ]
        self._greets = self._clocks is not None or _agents_must_speak(scenario)
        self._calendar: list[tuple[int, int, int, Any]] = []
        self._order = count()
        self._contacts: dict[str, Contact] = {}
        self._answering: set[str] = set()
        self._period = 0
        self._number = 0
        self._present = self._coming = 0
        self._last_us = 0
        self._does = (
            self._change, self._complete, self._accept, self._greet, self._abandon, self._arrive,
        )  # fmt: skip
        self._notes = {
            "routing.offer.created.v1": self._offered,
            "routing.task.assigned.v1": self._assigned,
            "routing.task.requeued.v1": self._requeued,
            "routing.task.cancelled.v1": self._cancelled,
        }

    def run(self) -> Sums:
        started = process_time()
        self._begin()
        while self._step():
            pass
        sums = self._end()
        sums.inputs = self.centre.inputs
        if self._clocks is not None:
            sums.clocks = self._clocks.figures()
        sums.cpu_s = process_time() - started
        return sums

    # -- the course of time

    def _begin(self) -> None:
        self._change(0)
        for period, start in enumerate(self._scenario.starts_us(), 1):
            self._at(start, PERIOD, period)
        for place in range(len(self._classes)):
            self._expect(place)

    def _at(self, at_us: int, what: int, whom: Any) -> None:
        heapq.heappush(self._calendar, (at_us, what, next(self._order), whom))

    def _step(self) -> bool:
        """Does what comes next; False when nothing does any more."""
        calendar, centre = self._calendar, self.centre
        wake = centre.wake_us()
        first = calendar[0][0] if calendar else None
        if self._clocks is not None:
            due = self._clock_due_us()
            if due is not None and all(one is None or due < one for one in (wake, first)):
                return self._ring(due)
        if wake is not None and (first is None or wake <= first):
            if wake >= self._horizon_us and wake >= self._limit_us():
                return False
            centre.now_us = max(centre.now_us, wake)
            self._note(centre.tick())
            return True
        if first is None or (first >= self._horizon_us and first >= self._limit_us()):
            return False
        at, what, _, whom = heapq.heappop(calendar)
        centre.now_us = at
        self._does[what](whom)
        return True

    def _clock_due_us(self) -> int | None:
        due = self._clocks.wake_us() if self._clocks is not None else None
        return None if due is None else due - self.centre.start_us

    def _ring(self, due_us: int) -> bool:
        """A clock has something to tell; False when nobody is left whom it could concern."""
        if due_us >= self._horizon_us and due_us >= self._limit_us():
            return False
        centre = self.centre
        centre.now_us = max(centre.now_us, due_us)
        assert self._clocks is not None
        self._told.extend(self._clocks.tick(centre.start_us + centre.now_us))
        self._note(Outcome())
        return True

    def _limit_us(self) -> int:
        """Until when the simulation goes on, as far as it is known now."""
        horizon = self._scenario.horizon_us
        if not self._scenario.drain or not (self._present or self._coming):
            return horizon
        return horizon + DRAIN_MAX_US

    def _end(self) -> Sums:
        scenario, now = self._scenario, self.centre.now_us
        cut = not scenario.drain or self._present > 0
        end = max(now, scenario.horizon_us)
        for contact in self._contacts.values():
            if contact.state == WAITING:
                self._tally.still_waiting(contact, end)
        self._staffing.close(end)
        last = max(self._last_us, self._staffing.last_us)
        return self._tally.close(end if cut or not last else last)

    # -- contacts

    def _expect(self, place: int) -> None:
        """The next arrival of the class."""
        at = next(self._classes[place].arrivals, None)
        if at is not None:
            self._coming += 1
            self._at(at, ARRIVE, place)

    def _arrive(self, who: int | Contact) -> None:
        self._coming -= 1
        if isinstance(who, int):
            self._expect(who)
            self._try(self._newcomer(who))
        else:
            self._try(who)

    def _newcomer(self, place: int) -> Contact:
        self._number += 1
        one = self._classes[place]
        patience = None
        if one.patience is not None:
            patience = one.patience[self._period](one.of_patience)
        return Contact(place, self._number, patience)

    def _try(self, contact: Contact) -> None:
        now = self.centre.now_us
        contact.tries += 1
        contact.arrived_us, contact.period = now, self._period
        contact.counted = self._tally.counts(now)
        self._tally.arrived(contact, contact.tries > 1)
        lines = self._scenario.lines
        if lines is not None and self._present >= lines:
            contact.state = GONE
            self._tally.blocked(contact)
            return
        self._present += 1
        contact.state = WAITING
        name = contact.conversation
        self._contacts[name] = contact
        contact.message = f"{name}-{contact.tries}"
        asks = self._classes[contact.kind].voice.asks(name, contact.message)
        self._say(contact, interactions.MESSAGE, asks, contact.message)
        if contact.state == WAITING and contact.patience_us is not None:
            self._at(now + contact.patience_us, ABANDON, (contact, contact.tries))

    def _abandon(self, whose: tuple[Contact, int]) -> None:
        contact, tries = whose
        if contact.state != WAITING or contact.tries != tries:
            return
        now = self.centre.now_us
        contact.state = GONE
        self._tally.abandoned(contact, now)
        message = f"{contact.message}-end"
        leaves = self._classes[contact.kind].voice.leaves(contact.conversation, message)
        self._say(contact, interactions.CONVERSATION_ENDED, leaves, message)
        self._departs(contact)
        self._retry(contact)

    def _retry(self, contact: Contact) -> None:
        one = self._classes[contact.kind]
        retry = one.what.retry
        if retry is None or one.after is None:
            return
        if one.of_retry.random() >= retry.probability[self._period]:
            return
        at = self.centre.now_us + one.after[self._period](one.of_retry)
        if at < self._scenario.horizon_us:
            self._coming += 1
            contact.state = COMING
            self._at(at, ARRIVE, contact)

    def _departs(self, contact: Contact) -> None:
        self._present -= 1
        self._last_us = self.centre.now_us
        del self._contacts[contact.conversation]

    # -- agents

    def _change(self, period: int) -> None:
        self._period = period
        for outcome in self._staffing.change(period):
            self._note(outcome)

    def _accept(self, offer_id: str) -> None:
        self._answering.discard(offer_id)
        offer = self._core.offers.get(offer_id)
        if offer is None:
            return
        if offer.state == "open":
            self._note(self.centre.accept(offer.agent_id, offer_id))
        elif offer.state == "expired":
            self._back(offer.agent_id)

    def _back(self, agent_id: str) -> None:
        """Who sees that he has missed offers and was set away says that he is there."""
        agent = self._core.agents[agent_id]
        if agent.status == "away" and agent.reason == _MISSED:
            self._note(self.centre.present(agent_id))

    def _greet(self, contact: Contact) -> None:
        message = f"{contact.message}-a{contact.turn}"
        answers = self._classes[contact.kind].voice.answers(contact.conversation, message)
        self._say(contact, interactions.MESSAGE, answers, message)

    def _complete(self, whose: tuple[Contact, int]) -> None:
        contact, turn = whose
        if contact.state != SERVED or contact.turn != turn:
            return
        for outcome in self._staffing.make_way(contact.agent):
            self._note(outcome)
        contact.state = GONE
        outcome = self.centre.complete(contact.agent, contact.task)
        self._ends.pop(contact.task, None)
        self._departs(contact)
        self._note(outcome)

    # -- what is said, and what the journal says

    def _say(self, contact: Contact, name: str, body: bytes, message: str) -> None:
        """The clocks hear it first; the router hears of them after what was said."""
        centre, clocks = self.centre, self._clocks
        if clocks is not None:
            now_us = centre.start_us + centre.now_us
            voice = self._classes[contact.kind].voice
            what = centre.said(name, voice.received(body, now_us), message)
            self._told.extend(clocks.hear(now_us, what))
        self._note(centre.event(name, body, message))

    def _note(self, outcome: Outcome) -> None:
        """React to what an input has caused."""
        self._react(outcome)
        clocks = self._clocks
        if clocks is None:
            return
        centre, told = self.centre, self._told
        now_us = centre.start_us + centre.now_us
        told.extend(clocks.follow(now_us, outcome.events))
        while told:
            outcome = centre.apply(told.popleft())
            self._react(outcome)
            told.extend(clocks.follow(now_us, outcome.events))

    def _react(self, outcome: Outcome) -> None:
        notes = self._notes
        called = self._core.called  # this input's own; the next input has another
        for event in outcome.events:
            react = notes.get(event.type)
            if react is not None:
                react(event.key)
        for agent_id in called:
            self._staffing.look(agent_id)

    def _offered(self, conversation: str) -> None:
        core = self._core
        task = core.tasks[core.conversations[conversation].task_id or ""]
        for offer_id in task.offers:
            if offer_id not in self._answering:
                self._answering.add(offer_id)
                group = self._staffing.group_of(core.offers[offer_id].agent_id)
                draws = self._answers[group]
                span = draws[self._period](self._of_answers[group]) if draws else 0
                self._at(self.centre.now_us + span, ACCEPT, offer_id)

    def _assigned(self, conversation: str) -> None:
        contact = self._contacts[conversation]
        task = self._core.tasks[self._core.conversations[conversation].task_id or ""]
        if task.agent_id is None:
            return
        now = self.centre.now_us
        group = self._staffing.group_of(task.agent_id)
        if contact.state == WAITING:
            self._tally.served(contact, now, group)
        contact.state, contact.agent, contact.task = SERVED, task.agent_id, task.id
        contact.turn += 1
        ends = now + self._service(contact.kind, group)
        self._ends[task.id] = ends
        self._at(ends, COMPLETE, (contact, contact.turn))
        if self._greets:
            self._at(now, GREET, contact)

    def _service(self, kind: int, group: int) -> int:
        one = self._classes[kind]
        draws = one.service[group]
        if draws is None:
            raise _unnamed(self._scenario, kind, group)
        return draws[self._period](one.of_service)

    def _requeued(self, conversation: str) -> None:
        """A ladder took it from its agent: what was done of it is lost."""
        contact = self._contacts.get(conversation)
        if contact is not None:
            contact.turn += 1
            self._ends.pop(contact.task, None)

    def _cancelled(self, conversation: str) -> None:
        """The queue is full; an abandoned contact has gone before."""
        contact = self._contacts.get(conversation)
        if contact is not None and contact.state == WAITING:
            contact.state = GONE
            self._tally.blocked(contact)
            self._present -= 1
            del self._contacts[conversation]


def _agents_must_speak(scenario: Scenario) -> bool:
    """Where an agent's silence has consequences, agents greet when they accept."""
    for one in scenario.resources:
        if one.kind == "escalation":
            ladder = msgspec.json.decode(one.body, type=Escalation)
            if any(level.when.agent_silent_s for level in ladder.levels):
                return True
        if one.kind == "queue" and msgspec.json.decode(one.body).get("response"):
            return True
    return False


def _unnamed(scenario: Scenario, kind: int, group: int) -> Refused:
    name = scenario.groups[group].name
    message = f"The group {name!r} got a contact, and service does not say how long it takes."
    pointer = f"/contacts/{kind}/service/by_group"
    return Refused("validation", message, errors=[Fault(pointer, "missing", message, name)])
