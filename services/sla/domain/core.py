"""The SLA service's core: the deterministic state machine of one workspace's clocks.

See `shared.contracts.core.Core`. Inputs: interactions and routing events, PutResource and
DeleteResource commands, configuration of the router (queues), timers, BEHIND and LIVE.
"""

import heapq
from collections.abc import Callable, Iterable

import msgspec

from services.sla.domain.agents import KIND as AGENT
from services.sla.domain.agents import Agents
from services.sla.domain.alarms import Alarm, alarm_event
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
    EPISODES_MAX,
    RETENTION_US,
    Conversation,
    Live,
    Record,
    pack,
    unpack,
)
from services.sla.domain.due import FORETOLD, NEVER_US, Due, due_on
from services.sla.domain.events import Event
from services.sla.domain.feedback import answer_of, feedback_row
from services.sla.domain.histogram import with_edges
from services.sla.domain.intake import Message, Told, message_of, task_events, told_of
from services.sla.domain.library import Library
from services.sla.domain.measures import clock_measure, nothing
from services.sla.domain.moves import Move, Moves
from services.sla.domain.notices import Seen, Teller, look
from services.sla.domain.pace import Paces
from services.sla.domain.policy import DEFAULT_LATENESS_S
from services.sla.domain.promises import Promise, edges_of
from services.sla.domain.rows import clock_row
from services.sla.domain.task_rows import work_rows, works
from shared.contracts import sla
from shared.contracts.core import BEHIND, LIVE, Emitted, Entity, Input, Outcome
from shared.contracts.instants import parse_instant, span_us
from shared.contracts.interactions import FEEDBACK
from shared.contracts.problems import invalid
from shared.contracts.topics import SLA_EVENTS

VERSION = "2"
DEFAULT_LATENESS_US = span_us(DEFAULT_LATENESS_S)
ALARM = "alarm"  # lifecycle input: what the watch over promises has found
_JSON = msgspec.json.Encoder()


class Meta(msgspec.Struct, gc=False):
    """What belongs to the workspace as a whole."""

    seq: int = 0
    behind: bool = False
    queues: dict[str, str] = {}
    moves: list[Move] = []
    edges: list[int] = []
    alarms: dict[str, Alarm] = {}


class _QueueBody(msgspec.Struct):
    calendar: str | None = None
    service_level: dict[str, Promise] | None = None


class _Configured(msgspec.Struct):
    id: str
    body: _QueueBody | None = None


class SlaCore:
    """One workspace. `conversations` holds those that are open or were lately."""

    def __init__(self, workspace: str, seed: int) -> None:
        self.workspace = workspace
        self.library = Library()
        self.conversations: dict[str, Conversation] = {}
        self.now_us = 0
        self._lives: dict[str, list[Live]] = {}
        self._meta = Meta()
        self.edges = with_edges(())
        self._agents = Agents(workspace)
        self._loaded: list[str] = []
        self._heap: list[tuple[int, str]] = []
        self._due: dict[str, int] = {}
        self._moves = Moves(self.library)
        self._paces = Paces()
        self._begun = Begun()
        self._changed: set[str] = set()
        self._closed: dict[str, Entity] = {}
        self._meta_changed = False
        self._outcome = Outcome()

    @property
    def last_seq(self) -> int:
        return self._meta.seq

    def apply(self, now_us: int, number: int, what: Input) -> Outcome:
        self._take_in_loaded()
        command = self._command(what) if what.kind == "command" else None
        self._outcome = Outcome(events=[], touched=[], config=[], rows=[])
        self.now_us = now_us
        if not self._meta.behind:
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
        if self._meta.behind:
            return None
        if self._moves.planned:
            return self.now_us
        while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def changes(self) -> list[Entity]:
        found = [*self.library.changes(), *self._closed.values()]
        found += [self._entity(name) for name in self._changed]
        found += [*self._paces.changes(), *self._begun.changes(), *self._agents.changes()]
        if self._meta_changed:
            found.append(self._meta_entity())
        self._changed, self._closed, self._meta_changed = set(), {}, False
        return sorted(found, key=lambda entity: (entity.kind, entity.key))

    def load(self, entities: Iterable[Entity]) -> None:
        for entity in self.library.load(entities):
            if entity.body is None or not entity.open:
                continue
            if entity.kind == "meta":
                self._meta = msgspec.msgpack.decode(entity.body, type=Meta)
                self._moves.load(self._meta.moves)
                self.library.queues = self._meta.queues
                self.edges = with_edges(self._meta.edges)
            elif entity.kind == "pace":
                self._paces.load(entity)
            elif entity.kind == "begun":
                self._begun.load(entity)
            elif entity.kind == AGENT:
                self._agents.load(entity)
            elif entity.kind == "conversation":
                self.conversations[entity.key] = unpack(entity.body)
                self._loaded.append(entity.key)

    def dump(self) -> list[Entity]:
        found = [*self.library.dump(), *self._agents.dump(), self._meta_entity()]
        found += [self._entity(name) for name in self.conversations]
        found += [*self._paces.dump(), *self._begun.dump()]
        return sorted(found, key=lambda entity: (entity.kind, entity.key))

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
            self._meta.moves = self._moves.planned
            self._meta_changed = True
        self.library.forget()

    def _move_some(self) -> None:
        if self._moves.portion(self._lives, self._move_one):
            self._meta.moves = self._moves.planned
            self._meta_changed = True

    def _move_one(self, move: Move, name: str) -> None:
        def carry_out() -> bool:
            for live in self._lives[name]:
                if move.concerns(live):
                    move.carry_out(live, self.now_us)
            return False

        self._with(name, carry_out)

    def _command(self, what: Input) -> Command:
        kind = COMMANDS.get(what.name)
        if kind is None:
            raise invalid("", "unknown_command", f"unknown command {what.name!r}")
        command = msgspec.json.decode(what.body, type=kind)
        self.library.check(command)
        return command

    def _turn(self, behind: bool) -> None:
        self._meta.behind = behind
        self._meta_changed = True
        if not behind:
            self._ring()

    def _take_config(self, what: Input) -> None:
        if what.name != "queue":
            return
        queue = msgspec.json.decode(what.body, type=_Configured)
        calendar = queue.body.calendar if queue.body else None
        if calendar is None:
            self._meta.queues.pop(queue.id, None)
        else:
            self._meta.queues[queue.id] = calendar
        self.library.queues = self._meta.queues
        self._meta_changed = True
        self._promise((queue.body and queue.body.service_level) or {})

    def _promise(self, promised: dict[str, Promise]) -> None:
        """Figures are exact at what a queue promises: its thresholds become edges of histograms."""
        added, rows = edges_of(self.workspace, promised, self._meta.edges)
        if added:
            self._meta.edges = [*self._meta.edges, *added]
            self.edges = with_edges(self._meta.edges)
            self._outcome.rows += rows

    def _alarm(self, alarm: Alarm) -> None:
        """A promise burns through what it may miss, or does so no longer: told once."""
        before = self._meta.alarms.get(alarm.key)
        if (before is not None) == alarm.firing:
            return
        if alarm.firing:
            alarm.since_us = self.now_us
            self._meta.alarms[alarm.key] = alarm
        else:
            del self._meta.alarms[alarm.key]
        self._meta.seq += 1
        self._meta_changed = True
        self._outcome.events.append(
            alarm_event(self.workspace, self._meta.seq, self.now_us, alarm, before)
        )
        self._outcome.touched.append("alarms")

    @property
    def alarms(self) -> list[Alarm]:
        """The promises that burn now."""
        return [self._meta.alarms[key] for key in sorted(self._meta.alarms)]

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
            self._with(message.conversation_id, lambda: self._take_message(message, what.id))

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
            at_us = message.at_us(DEFAULT_LATENESS_US)
            event = Event(at_us, message.kind, 0, message.fields, event_id)
            self._begun.note(message.conversation_id, event, self.now_us)
            return False
        conversation = self._conversation(message.conversation_id, message.channel)
        live = self._home(conversation, message, event_id)
        if live is None:
            return False
        at_us = message.at_us(live.lateness_us)
        self._align(live, event_id, at_us)
        self._touch(live)
        event = Event(at_us, message.kind, 0, message.fields, event_id, message.late_us)
        late = live.add(event)
        self._paces.heard(live, event)
        return late

    def _home(self, conversation: Conversation, message: Message, event_id: str) -> Live | None:
        """The episode that a message belongs to; a customer's opens one where none is open."""
        lives = self._lives[conversation.id]
        for live in reversed(lives):
            named = message.task_id is not None and live.record.task_id == message.task_id
            if named or live.record.key == event_id:
                return live
        last = lives[-1] if lives else None
        ended_us = last.ended_us() if last is not None else None
        if last is not None and (ended_us is None or message.at_us(last.lateness_us) <= ended_us):
            return last
        if message.kind != "customer_message":
            return last
        facts = {**message.facts, "priority": 0}
        record = Record(event_id, self.library.number, message.channel, facts)
        return self._open(conversation, record, message.at_us(DEFAULT_LATENESS_US))

    def _align(self, live: Live, event_id: str, at_us: int) -> None:
        """The router was heard before the message that opened its task: the task begins with it."""
        record = live.record
        if record.key != event_id:
            return
        created = next((e for e in record.events if e.type == "task_created"), None)
        if created is not None and created.at_us != at_us:
            record.events.remove(created)
            record.events.append(msgspec.structs.replace(created, at_us=at_us))
            record.events.sort(key=lambda event: event.sort_key)
            live.again()

    def _take_told(self, name: str, told: Told) -> None:
        assert told.conversation_id is not None
        if name == "routing.task.created.v1":
            self._with(told.conversation_id, lambda: self._bind(told))
        elif name in ("routing.task.reopened.v1", "routing.task.message.v1"):
            reopened = name == "routing.task.reopened.v1"
            self._with(told.conversation_id, lambda: self._join(told, reopened=reopened))
        else:
            self._with(told.conversation_id, lambda: self._follow(name, told))

    def _bind(self, told: Told) -> bool:
        """The router has named the task: facts are known now, the start is kept."""
        assert told.conversation_id is not None and told.task_id is not None
        conversation = self._conversation(told.conversation_id, told.channel)
        lives = self._lives[conversation.id]
        if any(live.record.task_id == told.task_id for live in lives):
            return False
        key = told.event_id or told.task_id
        live = next((one for one in lives if one.record.key == key), None)
        if live is None or live.record.task_id is not None:
            record = Record(key, self.library.number, told.channel, {})
            began_us = parse_instant(told.waiting_since or told.at)
            live = self._open(conversation, record, began_us)
            self._move(told.event_id, live)
        record = live.record
        record.task_id, record.customer = told.task_id, told.customer
        record.task = {
            "id": told.task_id,
            "kind": told.kind,
            "channel": told.channel,
            "language": told.language,
            "attributes": told.attributes,
            "queue": told.queue,
            "priority": told.priority,
        }
        opening = next((e.at_us for e in record.events if e.key == told.event_id), None)
        began_us = parse_instant(told.waiting_since or told.at) if opening is None else opening
        record.events.append(Event(began_us, "task_created", 0, {}, f"r{told.seq}"))
        record.events.sort(key=lambda event: event.sort_key)
        live.again()
        self._touch(live)
        return False

    def _move(self, event_id: str | None, to: Live) -> None:
        """Takes the message that opened a task, and what followed it, from where it was put."""
        for live in self._lives[to.conversation.id]:
            moved = [e for e in live.record.events if event_id is not None and e.key == event_id]
            if live is to or not moved:
                continue
            taken = [e for e in live.record.events if e.type == "customer_message" and e.at_us >= moved[0].at_us]  # fmt: skip
            live.record.events = [e for e in live.record.events if e not in taken]
            live.again()
            to.record.events += taken
            to.record.seen += [e.key for e in taken]

    def _join(self, told: Told, *, reopened: bool) -> bool:
        """A message belongs to a task that is already known; a reopening goes on from it."""
        live = self._of_task(told)
        if live is None or told.conversation_id is None:
            return False
        lives = self._lives[told.conversation_id]
        stray = next(
            (one for one in lives if one.record.key == told.event_id and one is not live), None
        )
        if stray is not None and stray.record.task_id is None:
            self._drop_episode(stray)
            for event in stray.record.events:
                live.add(event)
        self._touch(live)
        if not reopened:
            return False
        ended_us = live.ended_us()
        if ended_us is None:
            return False
        message = next((e.at_us for e in live.record.events if e.key == told.event_id), None)
        at_us = parse_instant(told.at) if message is None else message
        live.add(Event(max(at_us, ended_us + 1), "reopened", 0, {}, f"r{told.seq}"))
        return False

    def _follow(self, name: str, told: Told) -> bool:
        live = self._of_task(told)
        if live is None:
            return False
        if name == "routing.task.estimate.v1":
            self._estimated(live, told)
            return False
        late = False
        for event in task_events(name, told, live.fold.episode.facts.task.get("queue")):
            late = live.add(event) or late
            self._paces.heard(live, event)
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

    def _of_task(self, told: Told) -> Live | None:
        lives = self._lives.get(told.conversation_id or "", [])
        return next((live for live in lives if live.record.task_id == told.task_id), None)

    # Conversations.

    def _conversation(self, name: str, channel: str) -> Conversation:
        found = self.conversations.get(name)
        if found is None:
            found = self.conversations[name] = Conversation(name, channel, episodes=[])
            self._lives[name] = []
        return found

    def _open(self, conversation: Conversation, record: Record, first_us: int) -> Live:
        """A new episode that begins at `first_us`; ours from before decide whether we began."""
        record.began, answers = self._begun.take(conversation.id, first_us)
        record.events += answers
        record.seen += [event.key for event in answers]
        conversation.episodes.append(record)
        self.library.pin(record.book)
        live = Live(self.workspace, conversation, record, self.library)
        lives = self._lives[conversation.id]
        lives.append(live)
        ended = [one for one in lives if one.ended]
        if len(lives) > EPISODES_MAX and ended:
            self._drop_episode(ended[0])
        return live

    def _drop_episode(self, live: Live) -> None:
        live.conversation.episodes.remove(live.record)
        self._lives[live.conversation.id].remove(live)
        self._unpin(live.record)

    def _unpin(self, record: Record) -> None:
        for number in record.books():
            self.library.unpin(number)

    def _touch(self, live: Live) -> None:
        live.record.touched_us = self.now_us

    def _with(self, name: str, act: Callable[[], bool]) -> None:
        """Does something to a conversation and tells what it did to its clocks."""
        before = look(self._lives.get(name, ()))
        worked = works(self._lives.get(name, ()))
        late = act()
        if name not in self.conversations:
            return
        teller = Teller(self.now_us, self._emit)
        for seen in teller.tell(before, look(self._lives[name]), late=late):
            self._write(seen)
        self._outcome.rows += work_rows(worked, self._lives[name], self.edges, self.now_us)
        if not self._lives[name]:
            del self.conversations[name], self._lives[name]
            self._paces.follow(name, [])
            return
        self._changed.add(name)
        self._paces.follow(name, self._lives[name])
        self._schedule(name)

    def _write(self, seen: Seen) -> None:
        live, clock = seen.live, seen.clock
        if self._never_was(live, clock):
            clock.state = "cancelled"
            self._outcome.rows.append(nothing(self.workspace, live.clock_id(clock)))
        else:
            self._outcome.rows.append(clock_measure(live, clock, self.edges))
        self._outcome.rows.append(clock_row(live, clock, self.now_us))

    def _never_was(self, live: Live, clock: Clock) -> bool:
        """Whether what is known now says that a clock never began. One that only left memory,
        because there were many, stays in the figures."""
        if live not in self._lives[live.conversation.id]:
            return live.record.task_id is None
        return live.fold.episode.cycles.get(clock.metric, 0) < clock.cycle

    def _emit(self, live: Live, clock: Clock, event: sla.SlaEvent) -> None:
        self._meta.seq += 1
        self._meta_changed = True
        event.seq = self._meta.seq
        kind = sla.TYPE_OF[type(event)]
        data = _JSON.encode(event)
        key = live.conversation.id
        self._outcome.events.append(Emitted(event.seq, kind, SLA_EVENTS, key, data))
        self._outcome.touched += [f"conversation:{key}", "clocks"]

    # Timers.

    def _schedule(self, name: str) -> None:
        at_us = min(self._next(live) for live in self._lives[name])
        if at_us == NEVER_US:
            self._due.pop(name, None)
        elif self._due.get(name) != at_us:
            self._due[name] = at_us
            heapq.heappush(self._heap, (at_us, name))

    def _next(self, live: Live) -> int:
        """When something happens to an episode by itself: a warning, a breach, or it is put away."""
        found = [due.at_us for due in due_on(live)]
        own = live.fold.next_us()
        if own is not None:
            found.append(own)
        if found:
            return min(found)
        if any(clock.is_open for clock in live.clocks):
            return NEVER_US
        return live.record.touched_us + RETENTION_US

    def _ring(self) -> None:
        """What is due until now happens, in order of its time."""
        while self._heap and self._heap[0][0] <= self.now_us:
            at_us, name = heapq.heappop(self._heap)
            if self._due.get(name) == at_us:
                del self._due[name]
                self._ring_one(name, at_us)

    def _ring_one(self, name: str, at_us: int) -> None:
        if any(own is not None and own <= at_us for own in self._own(name)):
            self._with(name, lambda: self._advance(name, at_us))
        teller = Teller(self.now_us, self._emit)
        for live in list(self._lives[name]):
            told = [due for due in due_on(live) if due.at_us <= at_us]
            for due in told:
                self._tell(teller, live, due)
            if not told and self._next(live) <= at_us:
                self._put_away(live)
        if name in self.conversations:
            self._changed.add(name)
            self._schedule(name)

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
            self._drop_episode(live)
            return
        body = pack(live.conversation)
        self._closed[name] = Entity("conversation", name, body, open=False)
        self._changed.discard(name)
        del self.conversations[name], self._lives[name]
        self._paces.follow(name, [])
        self._unpin(live.record)

    # At rest.

    def _take_in_loaded(self) -> None:
        if not self._loaded:
            return
        names, self._loaded = self._loaded, []
        for name in names:
            conversation = self.conversations[name]
            lives = self._lives[name] = [
                Live(self.workspace, conversation, record, self.library)
                for record in conversation.episodes
            ]
            for live in lives:
                for number in live.record.books():
                    self.library.pin(number)
            self._paces.follow(name, lives)
            self._schedule(name)

    def _entity(self, name: str) -> Entity:
        return Entity("conversation", name, pack(self.conversations[name]))

    def _meta_entity(self) -> Entity:
        return Entity("meta", "meta", msgspec.msgpack.encode(self._meta))


class SlaFactory:
    """Makes the cores of the SLA service."""

    service = "sla"
    version = VERSION

    def create(self, workspace: str, seed: int) -> SlaCore:
        return SlaCore(workspace, seed)

    def heeds(self, event_type: str) -> bool:
        """Offers are the router's affair."""
        return not event_type.startswith("routing.offer.")
