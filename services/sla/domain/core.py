"""The SLA service's core: the deterministic state machine of one workspace's clocks.

See `shared.contracts.core.Core`. Inputs: interactions and routing events, PutResource and
DeleteResource commands, configuration of the router (queues), timers, BEHIND and LIVE.
"""

from collections.abc import Callable, Iterable
from itertools import islice

import msgspec

from services.sla.domain.agenda import Agenda, next_on
from services.sla.domain.agents import KIND as AGENT
from services.sla.domain.agents import Agents
from services.sla.domain.alarms import Alarm
from services.sla.domain.begun import Begun
from services.sla.domain.clock import Clock
from services.sla.domain.commands import (
    COMMANDS,
    Command,
    DeleteResource,
    MigratePolicy,
    PutResource,
)
from services.sla.domain.conversation import (
    Live,
    Rest,
    pack,
)
from services.sla.domain.due import FORETOLD, NEVER_US, Due, due_on
from services.sla.domain.episodes import Episodes
from services.sla.domain.events import Event, no_earlier
from services.sla.domain.feedback import answer_of, feedback_row
from services.sla.domain.intake import (
    RETARGETS,
    Message,
    Told,
    message_of,
    task_events,
    told_of,
)
from services.sla.domain.library import Library
from services.sla.domain.measures import clock_measure, nothing
from services.sla.domain.meta import KIND as META
from services.sla.domain.meta import Common
from services.sla.domain.moves import Move, Moves
from services.sla.domain.notices import Seen, Teller, look
from services.sla.domain.pace import Paces, waits
from services.sla.domain.rows import clock_row
from services.sla.domain.task_rows import work_rows, works
from shared.contracts import sla
from shared.contracts.core import BEHIND, LIVE, Emitted, Entity, Input, Outcome
from shared.contracts.instants import parse_instant, span_us
from shared.contracts.interactions import FEEDBACK
from shared.contracts.problems import invalid
from shared.contracts.topics import SLA_EVENTS

VERSION = "3"
RUNG_PER_INPUT = 120  # conversations on which something is due; the others are the next input's
ALARM = "alarm"  # lifecycle input: what the watch over promises has found
_JSON = msgspec.json.Encoder()


class SlaCore:
    """One workspace. `conversations`: the ids of those that are open or were lately."""

    def __init__(self, workspace: str, seed: int) -> None:
        self.workspace = workspace
        self.library = Library()
        self.now_us = 0
        self._episodes = Episodes(workspace, self.library)
        self.conversations = self._lives = self._episodes.lives
        self._begun = self._episodes.begun
        self._common = Common(workspace)
        self._agents = Agents(workspace)
        self._loaded: list[str] = []  # by an earlier release, to be opened
        self._places: list[tuple[str, str, int]] = []
        self._fresh = True  # nothing was loaded that is not in its order yet
        self._agenda = Agenda()
        self._moves = Moves(self.library)
        self._lives.former = self._moves.unreached
        self._paces = Paces()
        self._changed: set[str] = set()
        self._closed: dict[str, Entity] = {}
        self._outcome = Outcome()

    @property
    def last_seq(self) -> int:
        return self._common.seq

    def apply(self, now_us: int, number: int, what: Input) -> Outcome:
        self._take_in_loaded()
        command = self._command(what) if what.kind == "command" else None
        self._outcome = Outcome(events=[], touched=[], config=[], rows=[])
        self.now_us = now_us
        if not self._common.behind:
            self._ring()
            self._move_some()
        if command is not None:
            self._obey(command)
        elif what.kind == "event":
            self._take_event(what)
        elif what.kind == "config":
            self._take_config(what)
        elif what.kind == "lifecycle" and what.name in (BEHIND, LIVE):
            self._turn(what.name == BEHIND)
        elif what.kind == "lifecycle" and what.name == ALARM:
            self._alarm(msgspec.json.decode(what.body, type=Alarm))
        return self._outcome

    def wake_at_us(self) -> int | None:
        self._take_in_loaded()
        if self._common.behind:
            return None
        if self._moves.planned:
            return self.now_us
        return self._agenda.first_us()

    def changes(self) -> list[Entity]:
        found = [*self.library.changes(), *self._closed.values()]
        found += [self._entity(name) for name in sorted(self._changed)]
        for part in self._parts():
            found += part.changes()
        self._changed, self._closed = set(), {}
        self._lives.tidy()
        return sorted(found, key=lambda entity: (entity.kind, entity.key))

    def load(self, entities: Iterable[Entity]) -> None:
        for entity in self.library.load(entities):
            if entity.body is None or not entity.open:
                continue
            if entity.kind == META:
                self._common.load(entity)
                self._moves.load(self._common.moves)
                self.library.queues = self._common.queues
            elif entity.kind == "pace":
                self._paces.load(entity)
            elif entity.kind == "begun":
                self._begun.load(entity)
            elif entity.kind == AGENT:
                self._agents.load(entity)
            elif entity.kind == "conversation":
                self._lives.put(entity.key, entity.body)
                rest = self._lives.rest(entity.key)
                if rest is None:
                    self._loaded.append(entity.key)
                else:
                    self._place(entity.key, rest)

    def dump(self) -> list[Entity]:
        for name in self._changed:
            self._entity(name)
        bodies = [Entity("conversation", name, self._lives.body(name)) for name in self._lives]
        found = [*self.library.dump(), *bodies]
        for part in self._parts():
            found += part.dump()
        return sorted(found, key=lambda entity: (entity.kind, entity.key))

    def _parts(self) -> tuple[Common, Paces, Begun, Agents]:
        return self._common, self._paces, self._begun, self._agents

    @property
    def alarms(self) -> list[Alarm]:
        """The promises that burn now."""
        return self._common.alarms

    @property
    def edges(self) -> tuple[int, ...]:
        """Of the histograms that figures are made of, ascending."""
        return self._common.edges

    def lives(self, conversation_id: str) -> list[Live]:
        """The episodes of a conversation in memory, oldest first."""
        self._take_in_loaded()
        return self._lives.get(conversation_id, [])

    # Inputs.

    def _obey(self, command: Command) -> None:
        done = self._outcome
        if isinstance(command, PutResource):
            done.reply, done.config = self.library.put(command)
        elif isinstance(command, DeleteResource):
            done.reply, done.config = self.library.delete(command)
        else:
            if isinstance(command, MigratePolicy):
                reply = self._moves.migrate(command, self._lives, self.now_us)
            else:
                reply, done.config = self._moves.renew(command, self.now_us)
            done.reply = _JSON.encode(reply)
            self._common.plan(self._moves.planned)
        self.library.forget()

    def _move_some(self) -> None:
        if self._moves.portion(self._lives, self._move_one):
            self._common.plan(self._moves.planned)

    def _move_one(self, move: Move, name: str) -> None:
        def carry_out() -> bool:
            for live in self._lives.get(name, []):  # none: it was due to be put away
                if move.concerns(live):
                    move.carry_out(live, self.now_us)
            return False

        self._hear(name, carry_out, moved=True)

    def _command(self, what: Input) -> Command:
        kind = COMMANDS.get(what.name)
        if kind is None:
            raise invalid("", "unknown_command", f"unknown command {what.name!r}")
        command = msgspec.json.decode(what.body, type=kind)
        self.library.check(command)
        return command

    def _turn(self, behind: bool) -> None:
        self._common.turn(behind=behind)
        if not behind:
            self._ring()

    def _take_config(self, what: Input) -> None:
        if what.name == "queue":
            self._outcome.rows += self._common.take_queue(what.body)
            self.library.queues = self._common.queues

    def _alarm(self, alarm: Alarm) -> None:
        event = self._common.alarm(alarm, self.now_us)
        if event is not None:
            self._outcome.events.append(event)
            self._outcome.touched.append("alarms")

    def _take_event(self, what: Input) -> None:
        if what.name.startswith("routing."):
            self._outcome.rows += self._agents.take(what.name, what.body)
            told = told_of(what.name, what.body) if what.name.startswith("routing.task.") else None
            if told is not None and told.conversation_id and told.task_id:
                self._take_told(what.name, told)
            return
        if what.name == FEEDBACK:
            self._take_feedback(what)
            return
        message = message_of(what.name, what.body, what.time_us)
        if message is not None:
            self._hear(message.conversation_id, lambda: self._take_message(message, what.id))

    def _take_feedback(self, what: Input) -> None:
        answer = answer_of(what.body)
        if answer is None:
            return
        lives = self._lives.get(answer.conversation_id, [])
        about = [one for one in lives if answer.task_id in (None, one.record.task_id)]
        about = [one for one in about if one.record.task_id is not None]
        row = feedback_row(self.workspace, answer, about[-1] if about else None, what.time_us)
        self._outcome.rows.append(row)

    def _take_message(self, message: Message, event_id: str) -> bool:
        if message.kind == "agent_message" and message.conversation_id not in self.conversations:
            at_us = min(message.time_us, message.received_us)
            event = Event(at_us, message.kind, 0, message.fields, event_id, message.late_us)
            self._begun.note(message.conversation_id, event, self.now_us)
            return False
        held = self._episodes.held(message.conversation_id, message.channel)
        live = self._episodes.home(held, message, event_id)
        if live is None:
            return False
        at_us = message.at_us(live.lateness_us)
        self._episodes.align(live, event_id, at_us)
        self._touch(live)
        event = Event(at_us, message.kind, 0, message.fields, event_id, message.late_us)
        return self._add(live, event)

    def _add(self, live: Live, event: Event) -> bool:
        """Takes in an event that has not been heard yet; whether it came late."""
        if live.has_heard(event):
            return False
        late = live.take(event)
        self._paces.heard(live, event)
        return late

    def _take_told(self, name: str, told: Told) -> None:
        assert told.conversation_id is not None
        if name == "routing.task.created.v1":
            self._hear(told.conversation_id, lambda: self._episodes.bind(told, self.now_us))
        elif name in ("routing.task.reopened.v1", "routing.task.message.v1"):
            reopened, join = name == "routing.task.reopened.v1", self._episodes.join
            self._hear(told.conversation_id, lambda: join(told, self.now_us, reopened=reopened))
        else:
            moved = name in RETARGETS
            self._hear(told.conversation_id, lambda: self._follow(name, told), moved=moved)

    def _follow(self, name: str, told: Told) -> bool:
        live = self._episodes.of_task(told)
        if live is None:
            return False
        if name == "routing.task.estimate.v1":
            self._estimated(live, told)
            return False
        late = False
        for event in task_events(name, told, live.fold.episode.facts.task.get("queue")):
            late = self._add(live, no_earlier(event, live.fold.episode.created_us or 0)) or late
        self._touch(live)
        return late

    def _estimated(self, live: Live, told: Told) -> None:
        """The router says how long the task will wait: is that too long?"""
        if told.wait_s is None:
            return
        live.record.estimate_us = parse_instant(told.at) + span_us(told.wait_s)
        teller = Teller(self.now_us, self._emit)
        for clock in live.clocks:
            if clock.state == "running" and clock.metric in FORETOLD:
                teller.looked(live, clock, self._paces.expected_us(live, clock, self.now_us))

    # Conversations.

    def _touch(self, live: Live) -> None:
        live.record.touched_us = self.now_us

    def _hear(self, name: str, act: Callable[[], bool], *, moved: bool = False) -> None:
        """`_with`, after what is due on the conversation by now: where much is, its turn may not have
        come, and an answer must not end a clock whose warning is still to be told."""
        if not self._common.behind:
            for at_us in self._agenda.take_of(name, self.now_us):
                self._ring_one(name, at_us)
        self._with(name, act, moved=moved)

    def _with(self, name: str, act: Callable[[], bool], *, moved: bool = False) -> None:
        """Does something to a conversation and tells what it did to its clocks. `moved`: a change
        of their targets."""
        lives = self._lives.get(name, [])
        before, worked = look(lives), works(lives)
        by_itself = _by_itself(lives)
        late = act()
        if name not in self.conversations:
            return
        lives = self._lives[name]
        teller = Teller(self.now_us, self._emit)
        changed = teller.tell(before, look(lives), late=late, moved=moved)
        for seen in changed:
            self._write(seen)
        self._outcome.rows += work_rows(worked, lives, self.edges, self.now_us)
        if not lives:
            self._lives.remove(name)
            self._paces.follow(name, [])
            return
        self._changed.add(name)
        self._paces.follow(name, lives)
        if changed or late or moved or by_itself or _by_itself(lives) or not _runs(lives):
            self._schedule(name, lives)

    def _write(self, seen: Seen) -> None:
        live, clock = seen.live, seen.clock
        if live.never_was(clock):
            clock.state = "cancelled"
            self._outcome.rows.append(nothing(self.workspace, live.clock_id(clock)))
        else:
            self._outcome.rows.append(clock_measure(live, clock, self.edges))
        self._outcome.rows.append(clock_row(live, clock, self.now_us))

    def _emit(self, live: Live, clock: Clock, event: sla.SlaEvent) -> None:
        event.seq = self._common.next_seq()
        kind = sla.TYPE_OF[type(event)]
        data = _JSON.encode(event)
        key = live.conversation.id
        self._outcome.events.append(Emitted(event.seq, kind, SLA_EVENTS, key, data))
        self._outcome.touched += [f"conversation:{key}", "clocks"]

    # Timers.

    def _schedule(self, name: str, lives: list[Live]) -> None:
        self._agenda.put(name, min(next_on(live) for live in lives))

    def _ring(self) -> None:
        """What is due until now happens, in order of its time; no more of it than holds nobody up."""
        for at_us, name in islice(self._agenda.take(self.now_us), RUNG_PER_INPUT):
            self._ring_one(name, at_us)

    def _ring_one(self, name: str, at_us: int) -> None:
        if any(own is not None and own <= at_us for own in self._own(name)):
            self._with(name, lambda: self._advance(name, at_us))
        teller = Teller(self.now_us, self._emit)
        for live in list(self._lives[name]):
            told = [due for due in due_on(live) if due.at_us <= at_us]
            for due in told:
                self._tell(teller, live, due)
            if not told and next_on(live) <= at_us:
                self._put_away(live)
        if name in self.conversations:
            self._changed.add(name)
            self._schedule(name, self._lives[name])

    def _own(self, name: str) -> list[int | None]:
        return [live.fold.next_us() for live in self._lives[name]]

    def _advance(self, name: str, at_us: int) -> bool:
        for live in self._lives[name]:
            live.advance(at_us)
        return False

    def _tell(self, teller: Teller, live: Live, due: Due) -> None:
        clock = due.clock
        if due.kind == "breach":
            assert clock.due_us is not None
            teller.breached(live, clock, clock.due_us)
        elif due.kind == "warning":
            teller.warned(live, clock, due.level)
        elif due.rung is not None:
            teller.climbed(live, clock, due.rung)
        else:
            teller.looked(live, clock, self._paces.expected_us(live, clock, self.now_us))
            live.record.notices[live.clock_id(clock)].looked += 1
            return
        self._outcome.rows.append(clock_row(live, clock, self.now_us))

    def _put_away(self, live: Live) -> None:
        """Nothing has happened for long and nothing is open: history, which only reads look up."""
        name = live.conversation.id
        if len(self._lives[name]) > 1:
            self._episodes.drop(live)
            return
        body = pack(live.conversation)
        self._closed[name] = Entity("conversation", name, body, open=False)
        self._changed.discard(name)
        self._lives.remove(name)
        self._paces.follow(name, [])
        self._episodes.unpin(live.record)

    # At rest.

    def _place(self, name: str, rest: Rest) -> None:
        """A conversation that was stored: what it needs, where it waits, when it is due."""
        for number in rest.books:
            self.library.pin(number)
        if rest.queue is not None:
            self._places.append((name, rest.queue, rest.since_us))
        self._agenda.put_unsorted(name, rest.due_us)
        self._fresh = False

    def _take_in_loaded(self) -> None:
        if self._fresh and not self._loaded:
            return
        names, self._loaded = self._loaded, []
        for name in names:
            self._place(name, self._rest_of_old(name))
        places, self._places = self._places, []
        self._agenda.sort()
        self._paces.take_places(places)
        self._lives.tidy()
        self._fresh = True

    def _rest_of_old(self, name: str) -> Rest:
        """Of a conversation that an earlier release stored."""
        self._lives.tidy()
        return self._rest(name, min(map(next_on, self._lives[name]), default=NEVER_US))

    def _rest(self, name: str, due_us: int) -> Rest:
        """What is to be known of a conversation while it is packed."""
        lives = self._lives[name]
        books = [number for live in lives for number in live.record.books()]
        policies = {live.fold.policy.id for live in lives if live.fold.policy is not None}
        calendars = {span.calendar for live in lives for c in live.clocks for span in c.spans}
        queue, since_us = waits(lives) or (None, 0)
        clocks: dict[str, int] = {}
        for live in lives:
            if live.fold.policy is not None and (count := len(live.fold.open_clocks())):
                clocks[live.fold.policy.id] = clocks.get(live.fold.policy.id, 0) + count
        return Rest(due_us, books, sorted(policies), sorted(calendars), queue, since_us, clocks)

    def _entity(self, name: str) -> Entity:
        return Entity(
            "conversation",
            name,
            self._lives.pack(name, self._rest(name, self._agenda.due_us(name))),
        )


def _by_itself(lives: list[Live]) -> bool:
    """Whether something happens by itself: a hold ends, a pause reaches its limit."""
    return any(live.fold.next_us() is not None for live in lives)


def _runs(lives: list[Live]) -> bool:
    """Whether a clock runs, so that what is due next follows from the clocks alone."""
    return any(clock.state == "running" for live in lives for clock in live.clocks)


class SlaFactory:
    """Makes the cores of the SLA service."""

    service = "sla"
    version = VERSION

    def create(self, workspace: str, seed: int) -> SlaCore:
        return SlaCore(workspace, seed)

    def heeds(self, event_type: str) -> bool:
        """Offers are the router's affair."""
        return not event_type.startswith("routing.offer.")
