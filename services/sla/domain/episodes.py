"""The conversations in memory, their episodes, and which of them a message or a task belongs to."""

import msgspec

from services.sla.domain.begun import Begun
from services.sla.domain.conversation import EPISODES_MAX, Conversation, Live, Record
from services.sla.domain.events import Event
from services.sla.domain.intake import Message, Told
from services.sla.domain.library import Library
from services.sla.domain.policy import DEFAULT_LATENESS_S
from shared.contracts.instants import parse_instant, span_us

DEFAULT_LATENESS_US = span_us(DEFAULT_LATENESS_S)


class Episodes:
    """`conversations` at rest and `lives`, their episodes with folds, oldest first, under the same
    names; `begun`: what we wrote in conversations that are not there yet."""

    def __init__(self, workspace: str, library: Library) -> None:
        self.conversations: dict[str, Conversation] = {}
        self.lives: dict[str, list[Live]] = {}
        self.begun = Begun()
        self._workspace = workspace
        self._library = library

    def home(self, conversation: Conversation, message: Message, event_id: str) -> Live | None:
        """The episode that a message belongs to; a customer's opens one where none is open."""
        lives = self.lives[conversation.id]
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
        record = Record(event_id, self._library.number, message.channel, facts)
        return self.open(conversation, record, message.at_us(DEFAULT_LATENESS_US))

    def align(self, live: Live, event_id: str, at_us: int) -> None:
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

    def bind(self, told: Told, now_us: int) -> bool:
        """The router has named the task: facts are known now, the start is kept."""
        assert told.conversation_id is not None and told.task_id is not None
        conversation = self.conversation(told.conversation_id, told.channel)
        lives = self.lives[conversation.id]
        if any(live.record.task_id == told.task_id for live in lives):
            return False
        key = told.event_id or told.task_id
        live = next((one for one in lives if one.record.key == key), None)
        if live is None or live.record.task_id is not None:
            record = Record(key, self._library.number, told.channel, {})
            began_us = parse_instant(told.waiting_since or told.at)
            live = self.open(conversation, record, began_us)
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
        live.record.touched_us = now_us
        return False

    def _move(self, event_id: str | None, to: Live) -> None:
        """Takes the message that opened a task, and what followed it, from where it was put."""
        for live in self.lives[to.conversation.id]:
            moved = [e for e in live.record.events if event_id is not None and e.key == event_id]
            if live is to or not moved:
                continue
            taken = [e for e in live.record.events if e.type == "customer_message" and e.at_us >= moved[0].at_us]  # fmt: skip
            live.record.events = [e for e in live.record.events if e not in taken]
            live.again()
            to.record.events += taken
            to.record.seen += [e.key for e in taken]

    def join(self, told: Told, now_us: int, *, reopened: bool) -> bool:
        """A message belongs to a task that is already known; a reopening goes on from it."""
        live = self.of_task(told)
        if live is None or told.conversation_id is None:
            return False
        lives = self.lives[told.conversation_id]
        stray = next(
            (one for one in lives if one.record.key == told.event_id and one is not live), None
        )
        if stray is not None and stray.record.task_id is None:
            self.drop(stray)
            for event in stray.record.events:
                live.add(event)
        live.record.touched_us = now_us
        if not reopened:
            return False
        ended_us = live.ended_us()
        if ended_us is None:
            return False
        message = next((e.at_us for e in live.record.events if e.key == told.event_id), None)
        at_us = parse_instant(told.at) if message is None else message
        live.add(Event(max(at_us, ended_us + 1), "reopened", 0, {}, f"r{told.seq}"))
        return False

    def of_task(self, told: Told) -> Live | None:
        lives = self.lives.get(told.conversation_id or "", [])
        return next((live for live in lives if live.record.task_id == told.task_id), None)

    def conversation(self, name: str, channel: str) -> Conversation:
        found = self.conversations.get(name)
        if found is None:
            found = self.conversations[name] = Conversation(name, channel, episodes=[])
            self.lives[name] = []
        return found

    def open(self, conversation: Conversation, record: Record, first_us: int) -> Live:
        """A new episode that begins at `first_us`; ours from before decide whether we began."""
        record.began, answers = self.begun.take(conversation.id, first_us)
        record.events += answers
        record.seen += [event.key for event in answers]
        conversation.episodes.append(record)
        self._library.pin(record.book)
        live = Live(self._workspace, conversation, record, self._library)
        lives = self.lives[conversation.id]
        lives.append(live)
        ended = [one for one in lives if one.ended]
        if len(lives) > EPISODES_MAX and ended:
            self.drop(ended[0])
        return live

    def drop(self, live: Live) -> None:
        live.conversation.episodes.remove(live.record)
        self.lives[live.conversation.id].remove(live)
        self.unpin(live.record)

    def unpin(self, record: Record) -> None:
        for number in record.books():
            self._library.unpin(number)
