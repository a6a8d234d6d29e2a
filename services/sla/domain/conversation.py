"""A conversation's stretches of work (episodes) in the running core: events, pins and what was told.

An event in order costs one step of the fold; a late one, or a task that binds, derives the episode
again from its list. Both give the same clocks.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from services.sla.domain.clock import Clock
from services.sla.domain.derive import derive, facts_of
from services.sla.domain.episode import SCHEDULED, Episode
from services.sla.domain.events import Event
from services.sla.domain.fold import Fold
from services.sla.domain.library import Shelved
from services.sla.domain.policy import DEFAULT_LATENESS_S, Book, Mode, Target
from shared.contracts.ids import derive as derive_id
from shared.contracts.instants import span_us

EPISODES_MAX = 8  # kept of one conversation
EVENTS_MAX = 400  # kept of one episode; older ones are folded into its base
EVENTS_KEPT = 200
KEYS_MAX = 1_000  # ids of events remembered of one episode


class Notice(msgspec.Struct, gc=False):
    """What has been told about a clock: warnings by level, its breach, levels of its ladder, and
    when a breach was predicted."""

    warned: dict[str, int] = {}
    breached: bool = False
    rungs: dict[str, int] = {}
    predicted_us: int | None = None
    looked: int = 0


class Record(msgspec.Struct, gc=False):
    """An episode at rest. `key` names it for ever: the event that opened it, or its task.
    `base`: the fold's state before `events`, once old events have been folded away; then `book` is
    the one in force there. `advanced_us`: what happens by itself has happened until here. `began`:
    we wrote first, as `ours` say: our messages that came before any of the customer's; once a message of
    the customer's is seen to be older, they are among `events`. `assigned_us`: the last assignment, `replied` since; `estimate_us`: when the
    router expects one."""

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
    advanced_us: int = 0
    began: bool = False
    assigned_us: int | None = None
    replied: bool = False
    estimate_us: int | None = None
    ours: list[Event] = []

    def books(self) -> list[int]:
        """The books it needs, one for each mention."""
        later = [book_of(e.key) for e in self.events if e.type == "policy_changed"]
        return [self.book, *later]


def clock_id(workspace: str, record: Record, metric: str, cycle: int) -> str:
    """The id of a clock of an episode, for ever."""
    return derive_id("clk", workspace, record.key, metric, cycle)


def book_of(key: str) -> int:
    """The book that a change of policies leads to, from its event's key: "<book>:<instant>"."""
    return int(key.partition(":")[0])


class Rest(msgspec.Struct, array_like=True, gc=False):
    """What must be known of a conversation without opening it: when something is due next (`due_us`,
    NEVER where nothing is), the books it is pinned to, one for each mention, the policies and
    calendars of its clocks, the queue where it waits, since when, and of each episode with open
    clocks its policy, its latest book and how many they are (by policy alone, or None, in what
    earlier releases stored)."""

    due_us: int
    books: list[int]
    policies: list[str] = []
    calendars: list[str] = []
    queue: str | None = None
    since_us: int = 0
    clocks: list[tuple[str, int, int]] | dict[str, int] | None = None


class Conversation(msgspec.Struct, gc=False):
    """`rest` is of the state as it was last packed; None in what earlier releases stored. `edition`:
    the renewals of calendars that there had been when it began, whose windows it has had since."""

    id: str
    channel: str
    episodes: list[Record] = []
    rest: Rest | None = None
    edition: int = -1


class _Resting(msgspec.Struct, gc=False):
    rest: Rest | None = None


_PACK = msgspec.msgpack.Encoder()
_RESTING = msgspec.msgpack.Decoder(_Resting)
_UNPACK = msgspec.msgpack.Decoder(Conversation)
_EPISODE = msgspec.msgpack.Decoder(Episode)


def pack(conversation: Conversation) -> bytes:
    return _PACK.encode(conversation)


def unpack(body: bytes) -> Conversation:
    return _UNPACK.decode(body)


def rest_of(body: bytes) -> Rest | None:
    """What a packed conversation says of itself, the rest of it passed over."""
    return _RESTING.decode(body).rest


class Live:
    """An episode with its fold."""

    __slots__ = ("_ids", "_library", "_measure_ids", "conversation", "fold", "record", "workspace")

    def __init__(
        self, workspace: str, conversation: Conversation, record: Record, library: Shelved
    ) -> None:
        self.workspace = workspace
        self.conversation = conversation
        self.record = record
        self._library = library
        self._ids: dict[tuple[str, int], str] = {}
        self._measure_ids: dict[str, str] = {}
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
        policy = self.fold.foreseen_policy()
        return span_us(DEFAULT_LATENESS_S) if policy is None else policy.lateness_us

    def clock_id(self, clock: Clock) -> str:
        return self._ids.get((clock.metric, clock.cycle)) or self._named(clock)

    def measure_id(self, metric: str) -> str:
        """The id of what its task contributes to a metric, for ever."""
        name = self._measure_ids.get(metric)
        if name is None:
            name = derive_id("msr", self.workspace, self.record.key, metric)
            self._measure_ids[metric] = name
        return name

    def _named(self, clock: Clock) -> str:
        name = clock_id(self.workspace, self.record, clock.metric, clock.cycle)
        self._ids[clock.metric, clock.cycle] = name
        return name

    def never_was(self, clock: Clock) -> bool:
        """Whether what is known now says that a clock of this episode never began. One that only left
        memory, because there were many, was."""
        for record in self.conversation.episodes:
            if record is self.record:
                return self.fold.episode.cycles.get(clock.metric, 0) < clock.cycle
        return self.record.task_id is None

    def target(self, clock: Clock) -> Target | None:
        """What its policy asks of a clock now."""
        policy = self.fold.policy
        return None if policy is None else policy.find(clock.metric)

    @property
    def scheduled(self) -> bool:
        """Whether its work has yet to begin."""
        return self.fold.episode.facts.task.get("state") == SCHEDULED

    def began_us(self) -> int | None:
        """When its first message or event was; None while it has none."""
        first = self.fold.episode.first_us
        created = self.fold.episode.created_us
        if first is None or created is None:
            return first if created is None else created
        return min(first, created)

    def ended_us(self) -> int | None:
        """When the work ended, while it has."""
        if not self.ended:
            return None
        ends = [e.at_us for e in self.record.events if e.type in _ENDS]
        return max(ends, default=self.record.touched_us)

    def has_heard(self, event: Event) -> bool:
        return bool(event.key) and event.key in self.record.seen

    def add(self, event: Event) -> bool:
        """Takes in an event, if it is new; True when it did not come in order, so that all was derived
        again."""
        return not self.has_heard(event) and self.take(event)

    def take(self, event: Event) -> bool:
        """Takes in an event that is new, as `add`."""
        record = self.record
        if event.key:
            record.seen.append(event.key)
            del record.seen[:-KEYS_MAX]
        record.order += 1
        event = msgspec.structs.replace(event, order=record.order)
        events, at_us = record.events, event.at_us
        if not events or at_us <= events[-1].at_us or at_us <= self.fold.episode.timed_us:
            return self._put_in(event)
        events.append(event)
        self.fold.apply(event)
        self._compact()
        return False

    def _put_in(self, event: Event) -> bool:
        """One that may not be later than all before it: whether it is late."""
        record = self.record
        late = bool(record.events) and event.sort_key < record.events[-1].sort_key
        late = late or event.at_us <= self.fold.episode.timed_us
        if record.base is not None and event.at_us < (first := self._earliest()):
            event = msgspec.structs.replace(event, at_us=first)
        opens = record.base is None and self._opens(event)
        if opens and record.events and event.type == "agent_message":
            record.ours.append(event)
        else:
            record.events.append(event)
        if late or (opens and record.ours):
            record.events.sort(key=_sort_key)
            self.again()
        else:
            self.fold.apply(event)
        self._compact()
        return late

    def _opens(self, event: Event) -> bool:
        """Whether nothing that is known of the work is older."""
        events = self.record.events
        return not events or event.at_us < events[0].at_us

    def _earliest(self) -> int:
        """Nothing can happen before this any more: it is folded away."""
        record = self.record
        assert record.base is not None
        return record.events[0].at_us if record.events else record.base.timed_us

    def again(self) -> None:
        """Derives everything from the list."""
        if self.record.ours:
            self._place_ours()
        self.fold = self._derived()

    def _place_ours(self) -> None:
        """Of our messages, those that are no older than the customer's first answer it."""
        record = self.record
        first_us = min((e.at_us for e in record.events), default=None)
        if first_us is None:
            return
        answers = [event for event in record.ours if event.at_us >= first_us]
        record.ours = [event for event in record.ours if event.at_us < first_us]
        record.began = bool(record.ours)
        record.events += answers
        record.events.sort(key=_sort_key)

    def advance(self, now_us: int) -> None:
        """What happens by itself until now: holds end, pauses reach their limit."""
        self.record.advanced_us = now_us
        self.fold.advance(now_us)

    def change_policies(self, at_us: int, book: int, mode: Mode | None) -> None:
        """Moves to another book from `at_us` on."""
        fields = {} if mode is None else {"mode": mode}
        self._library.pin(book)
        self.add(Event(at_us, "policy_changed", 0, fields, f"{book}:{at_us}"))

    def calendars(self) -> set[str]:
        """Those that its clocks count, or counted, on: also where nothing but a deadline shows it."""
        episode = self.fold.episode
        found = set(episode.calendars)
        for clock in episode.clocks:  # of a base that an earlier release stored
            for span in clock.spans:
                found.add(span.calendar)
        return found

    def count_by(self, library: Shelved) -> None:
        """From here on the configuration, which says the same until now, is read there."""
        self._library = library
        self.fold.count_by(library.book(self.record.books()[-1]), _books(library))

    def recount(self, at_us: int, calendar: str) -> None:
        """The calendar's windows have changed: open clocks count again from their start, what has
        ended stays, also when an event comes late. A task that is not bound yet is derived from its
        first event anyway."""
        record = self.record
        if record.task_id is None and any(clock.is_open for clock in self.clocks):
            self.again()
            return
        episode = self.fold.episode
        if record.events:
            episode.timed_us = max(episode.timed_us, record.events[-1].at_us)
        if any(clock.is_open for clock in self.clocks):
            self.fold.recount(at_us, calendar)
        self._fold_away(record.events, episode)
        self.again()

    def _derived(self, *, whole: bool = True) -> Fold:
        record = self.record
        book, books = self._library.book(record.book), _books(self._library)
        if record.base is None:
            facts = facts_of(record.task, record.customer)
            fold = derive(record.events, facts, book, books, began=record.began)
        else:
            fold = Fold(_EPISODE.decode(_PACK.encode(record.base)), book, books)
            for event in record.events:
                fold.apply(event)
        if whole:
            fold.advance(record.advanced_us)
        return fold

    def _fold_away(self, events: list[Event], base: Episode) -> None:
        """`base` is the state after `events`, which need not be kept any more."""
        record = self.record
        changes = [book_of(e.key) for e in events if e.type == "policy_changed"]
        gone = {id(event) for event in events}
        record.base = _EPISODE.decode(_PACK.encode(base))
        record.events = [event for event in record.events if id(event) not in gone]
        if changes:
            before, record.book = record.book, changes[-1]
            for number in (before, *changes[:-1]):
                self._library.unpin(number)

    def _compact(self) -> None:
        """Folds the oldest events into the base, so that a long conversation stays bounded."""
        record = self.record
        if len(record.events) <= EVENTS_MAX:
            return
        events, old = record.events, record.events[:-EVENTS_KEPT]
        record.events = old
        base = self._derived(whole=False).episode
        record.events = events
        self._fold_away(old, base)


_ENDS = frozenset({"resolved", "closed", "abandoned", "cancelled"})


def _books(library: Shelved) -> Callable[[str], Book]:
    """The books by the keys of changes. It must not hold the episode, whose fold holds it: no
    conversation would leave memory before the collector of garbage finds the cycle."""
    return lambda key: library.book(book_of(key))


def _sort_key(event: Event) -> tuple[int, int, int, int, int]:
    return event.sort_key
