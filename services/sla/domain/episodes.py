"""The conversations in memory, their episodes, and which of them a message or a task belongs to."""

import msgspec

from services.sla.domain.begun import Begun
from services.sla.domain.clock import NEVER
from services.sla.domain.conversation import EPISODES_MAX, Conversation, Live, Record
from services.sla.domain.episode import SCHEDULED
from services.sla.domain.events import Event, no_earlier
from services.sla.domain.intake import Message, Told
from services.sla.domain.library import Library
from services.sla.domain.shelf import Held, Shelf
from shared.contracts.instants import parse_instant

MESSAGES = frozenset(
    {"customer_message", "agent_message", "agent_note", "bot_message", "auto_reply"}
)


def _by_time(lives: list[Live], message: Message) -> tuple[Live | None, bool]:
    """The episode in whose time a message falls, and whether it comes after its end (or there is
    none), so that a customer's begins another.

    One between the end of an episode and the beginning of the next: a customer's is the next one's
    first, anything else still belongs to the one before.
    """
    later: Live | None = None
    for live in reversed(lives):
        began_us = live.began_us()
        if began_us is None:
            later = live if live.scheduled else later
            continue
        at_us = message.at_us(live.lateness_us)
        if at_us >= began_us:
            ended_us = live.ended_us()
            after = ended_us is not None and at_us > ended_us
            if after and later is not None and message.kind == "customer_message":
                return later, False
            return live, after
        later = live
    return later, later is None


def _since(live: Live, event_id: str | None) -> int:
    """From when on the messages of an episode belong to a later task: all of one that is no task's,
    else what follows the message that opened the later one, or the end."""
    if live.record.task_id is None:
        return 0
    opening = next((e.at_us for e in live.record.events if event_id and e.key == event_id), None)
    ended_us = live.ended_us()
    if opening is not None:
        return opening
    return NEVER if ended_us is None else ended_us + 1


class Episodes:
    """`conversations` at rest and `lives`, their episodes with folds, oldest first, under the same
    names; `begun`: what we wrote in conversations that are not there yet."""

    def __init__(self, workspace: str, library: Library) -> None:
        self.lives = Shelf(workspace, library)
        self.begun = Begun()
        self._workspace = workspace
        self._library = library

    def home(self, held: Held, message: Message, event_id: str) -> Live | None:
        """The episode that a message belongs to: the one it names, else by its time, so that it does
        not matter when it is heard; a customer's opens one where none is open."""
        for live in reversed(held.lives):
            named = message.task_id is not None and live.record.task_id == message.task_id
            if named or live.record.key == event_id:
                return live
        found, new = _by_time(held.lives, message)
        if not new or message.kind != "customer_message":
            return found
        facts = {**message.facts, "priority": 0}
        record = Record(event_id, self._library.number, message.channel, facts)
        return self.open(held, record)

    def align(self, live: Live, event_id: str, at_us: int) -> None:
        """The router was heard before the message that opened its task: the task begins with it."""
        record = live.record
        if record.key != event_id:
            return
        created = next((e for e in record.events if e.type == "task_created"), None)
        if created is not None and created.at_us != at_us:
            record.events.remove(created)
            record.events.append(msgspec.structs.replace(created, at_us=at_us))
            record.events = [no_earlier(e, at_us) if e.seq else e for e in record.events]
            record.events.sort(key=lambda event: event.sort_key)
            live.again()
            self._gather(live, event_id)

    def bind(self, told: Told, now_us: int) -> bool:
        """The router has named the task: facts are known now, the start is kept."""
        assert told.conversation_id is not None and told.task_id is not None
        held = self.held(told.conversation_id, told.channel)
        lives = held.lives
        if any(live.record.task_id == told.task_id for live in lives):
            return False
        key = told.event_id or told.task_id
        live = next((one for one in lives if one.record.key == key), None)
        if live is None or live.record.task_id is not None:
            record = Record(key, self._library.number, told.channel, {})
            live = self.open(held, record)
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
        if told.state == SCHEDULED:
            record.task["state"] = SCHEDULED
        else:
            events = [event for one in lives for event in one.record.events]
            opening = next((e.at_us for e in events if e.key == told.event_id), None)
            began_us = parse_instant(told.waiting_since or told.at) if opening is None else opening
            record.events.append(Event(began_us, "task_created", 0, {}, f"r{told.seq}"))
            record.events.sort(key=lambda event: event.sort_key)
        live.again()
        self._gather(live, told.event_id)
        live.record.touched_us = now_us
        return False

    def begin(self, live: Live, told: Told) -> bool:
        """Scheduled work begins to wait, under the policies in force now; whether that is heard late."""
        record = live.record
        if record.base is None and not live.clocks and record.books() == [record.book]:
            self._library.pin(self._library.number)
            self._library.unpin(record.book)
            record.book = self._library.number
            live.again()
        return live.add(Event(parse_instant(told.at), "task_created", 0, {}, f"r{told.seq}begun"))

    def _gather(self, to: Live, event_id: str | None) -> None:
        """Takes the messages that belong to a task from where they were put before it was known:
        the one that opened it and what followed, what nobody's task had, and what came after the end
        of the one before."""
        began_us = to.began_us()
        if began_us is None:
            return
        for live in list(self.lives[to.conversation.id]):
            if live is to or (
                live.record.task_id is not None and (live.began_us() or 0) > began_us
            ):
                continue
            since_us = _since(live, event_id)
            taken = [
                event
                for event in live.record.events
                if event.type in MESSAGES
                and event.at_us >= since_us
                and (event.at_us >= began_us or event.type == "customer_message")
            ]
            if live.record.task_id is None:
                to.record.ours += live.record.ours
                to.record.seen += [event.key for event in live.record.ours]
                live.record.ours = []
            if taken:
                self._hand_over(live, to, taken)
        if to.record.ours:
            to.again()

    def _hand_over(self, live: Live, to: Live, taken: list[Event]) -> None:
        live.record.events = [event for event in live.record.events if event not in taken]
        stays = live.record.task_id is not None
        if stays or any(event.type in MESSAGES for event in live.record.events):
            live.again()
        else:
            self.drop(live)
        for event in taken:
            to.add(event)

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
                if event.type in MESSAGES:  # its move to other policies was its own
                    live.add(event)
        live.record.touched_us = now_us
        if not reopened:
            return False
        ended_us = live.ended_us()
        if ended_us is None:
            return False
        message = next((e.at_us for e in live.record.events if e.key == told.event_id), None)
        decided_us = parse_instant(told.at)
        at_us = decided_us if message is None else min(message, decided_us)
        at_us = max(at_us, ended_us)
        live.add(Event(at_us, "reopened", 0, {}, f"r{told.seq}", seq=told.seq))
        return False

    def of_task(self, told: Told) -> Live | None:
        held = self.lives.find(told.conversation_id or "")
        for live in () if held is None else held.lives:
            if live.record.task_id == told.task_id:
                return live
        return None

    def held(self, name: str, channel: str) -> Held:
        """The conversation, a new one where there is none."""
        return self.lives.find(name) or self.lives.add(Conversation(name, channel, episodes=[]))

    def open(self, held: Held, record: Record) -> Live:
        """A new episode; ours from before decide whether we began."""
        conversation, lives = held.conversation, held.lives
        conversation.episodes.append(record)
        self._library.pin(record.book)
        live = Live(self._workspace, conversation, record, held.library)
        record.ours = self.begun.take(conversation.id, live.lateness_us)
        record.seen += [event.key for event in record.ours]
        lives.append(live)
        ended = [one for one in lives if one.ended]
        if len(lives) > EPISODES_MAX and ended:
            self.drop(ended[0])
        return live

    def drop(self, live: Live) -> None:
        live.conversation.episodes.remove(live.record)
        held = self.lives.find(live.conversation.id)
        assert held is not None
        held.lives.remove(live)
        held.shown = None
        self.unpin(live.record)

    def unpin(self, record: Record) -> None:
        for number in record.books():
            self._library.unpin(number)
