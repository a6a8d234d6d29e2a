"""A conversation's stretches of work (episodes) in the running core: events, pins and what was told.

An event in order costs one step of the fold; a late one, or a task that binds, derives the episode
again from its list. Both give the same clocks.
"""

from typing import Any

import msgspec

from services.sla.domain.clock import Clock
from services.sla.domain.derive import derive, facts_of
from services.sla.domain.episode import Episode, Fold
from services.sla.domain.events import Event
from services.sla.domain.library import Library
from services.sla.domain.policy import DEFAULT_LATENESS_S, Target
from shared.contracts.ids import derive as derive_id
from shared.contracts.instants import span_us

EPISODES_MAX = 8  # kept of one conversation
EVENTS_MAX = 400  # kept of one episode; older ones are folded into its base
EVENTS_KEPT = 200
KEYS_MAX = 1_000  # ids of events remembered of one episode
DAY_US = 86_400_000_000
RETENTION_US = 7 * DAY_US  # after the last event, when nothing is open


class Notice(msgspec.Struct, gc=False):
    """What has been told about a clock: warnings by level, and its breach."""

    warned: dict[str, int] = {}
    breached: bool = False


class Record(msgspec.Struct, gc=False):
    """An episode at rest. `key` names it for ever: the event that opened it, or its task.
    `base`: the fold's state before `events`, once old events have been folded away."""

    key: str
    book: int
    channel: str
    task: dict[str, Any]
    customer: dict[str, Any] | None = None
    task_id: str | None = None
    events: list[Event] = []
    seen: list[str] = []
    notices: dict[str, Notice] = {}
    base: Episode | None = None
    order: int = 0
    touched_us: int = 0


class Conversation(msgspec.Struct, gc=False):
    id: str
    channel: str
    episodes: list[Record] = []


_PACK = msgspec.msgpack.Encoder()
_UNPACK = msgspec.msgpack.Decoder(Conversation)
_EPISODE = msgspec.msgpack.Decoder(Episode)


def pack(conversation: Conversation) -> bytes:
    return _PACK.encode(conversation)


def unpack(body: bytes) -> Conversation:
    return _UNPACK.decode(body)


class Live:
    """An episode with its fold."""

    __slots__ = ("_ids", "_library", "conversation", "fold", "record", "workspace")

    def __init__(
        self, workspace: str, conversation: Conversation, record: Record, library: Library
    ) -> None:
        self.workspace = workspace
        self.conversation = conversation
        self.record = record
        self._library = library
        self._ids: dict[tuple[str, int], str] = {}
        self.fold = self._derived()

    @property
    def clocks(self) -> list[Clock]:
        return self.fold.episode.clocks

    @property
    def ended(self) -> bool:
        return bool(self.fold.episode.ended)

    @property
    def lateness_us(self) -> int:
        """How late an event may come and still count at its own time."""
        policy = self.fold.policy
        return span_us(DEFAULT_LATENESS_S) if policy is None else policy.lateness_us

    def clock_id(self, clock: Clock) -> str:
        name = self._ids.get((clock.metric, clock.cycle))
        if name is None:
            name = derive_id("clk", self.workspace, self.record.key, clock.metric, clock.cycle)
            self._ids[clock.metric, clock.cycle] = name
        return name

    def target(self, clock: Clock) -> Target | None:
        """What its policy asks of a clock now."""
        policy = self.fold.policy
        return None if policy is None else policy.find(clock.metric)

    def ended_us(self) -> int | None:
        """When the work ended, while it has."""
        if not self.ended:
            return None
        ends = [e.at_us for e in self.record.events if e.type in _ENDS]
        return max(ends, default=self.record.touched_us)

    def add(self, event: Event) -> bool:
        """Takes in an event; True when it did not come in order, so that all was derived again."""
        record = self.record
        if event.key:
            if event.key in record.seen:
                return False
            record.seen.append(event.key)
            del record.seen[:-KEYS_MAX]
        record.order += 1
        event = msgspec.structs.replace(event, order=record.order)
        late = bool(record.events) and event.sort_key < record.events[-1].sort_key
        if record.base is not None and late and event.at_us < record.events[0].at_us:
            event = msgspec.structs.replace(event, at_us=record.events[0].at_us)
        record.events.append(event)
        if late:
            record.events.sort(key=_sort_key)
            self.again()
        else:
            self.fold.apply(event)
        self._compact()
        return late

    def again(self) -> None:
        """Derives everything from the list."""
        self.fold = self._derived()

    def _derived(self) -> Fold:
        record = self.record
        book = self._library.book(record.book)
        if record.base is None:
            return derive(record.events, facts_of(record.task, record.customer), book, self._book)
        episode = _EPISODE.decode(_PACK.encode(record.base))
        fold = Fold(episode, book, self._book)
        for event in record.events:
            fold.apply(event)
        return fold

    def _book(self, key: str) -> Any:
        return self._library.book(int(key))

    def _compact(self) -> None:
        """Folds the oldest events into the base, so that a long conversation stays bounded."""
        record = self.record
        if len(record.events) <= EVENTS_MAX:
            return
        events = record.events
        record.events = events[:-EVENTS_KEPT]
        record.base = self._derived().episode
        record.events = events[-EVENTS_KEPT:]


_ENDS = frozenset({"resolved", "closed", "abandoned", "cancelled"})


def _sort_key(event: Event) -> tuple[int, int, int]:
    return event.sort_key
