"""Open clocks on their way to other policies, or to the new windows of a calendar, in portions."""

from collections.abc import Callable, Iterable
from functools import partial
from heapq import heapify, heappop, heappush
from typing import NamedTuple

import msgspec

from services.sla.domain.commands import MigratePolicy, RenewCalendar
from services.sla.domain.conversation import Conversation, Live, Rest
from services.sla.domain.former import Before
from services.sla.domain.library import Library, Shelved
from services.sla.domain.policy import Mode
from services.sla.domain.shelf import Shelf
from shared.contracts.core import ConfigWrite

MOVED_PER_INPUT = 40  # conversations that one input moves
LOOKED_AT_PER_INPUT = 5_000
GATHERED_PER_INPUT = 20_000  # names that one input puts in order
COUNTED_MAX = 5_000  # conversations, to count open clocks among
OPENED_MAX = 50  # of them, to count them
PREFIX = 6  # characters of a name that sort it roughly


class Portion(NamedTuple):
    """What one input does at most: conversations that it moves and looks at, names that it gathers."""

    moved: int = MOVED_PER_INPUT
    looked_at: int = LOOKED_AT_PER_INPUT
    gathered: int = GATHERED_PER_INPUT


class Move(msgspec.Struct, gc=False):
    """To the policies of `book` (`policy`, `mode`), or to the new windows that a `version` of a
    `calendar` got by the renewal number `edition`, as of `at_us`. `cursor`: the last conversation that
    it has reached; `gathering`: the inputs that it still waits while names are put in order, None
    before it begins. (An earlier release stored no version: any.)"""

    book: int
    at_us: int
    policy: str = ""
    mode: Mode | None = None
    calendar: str = ""
    version: int = 0
    edition: int = 0
    cursor: str = ""
    gathering: int | None = None

    def is_ahead_of(self, conversation: Conversation) -> bool:
        """Whether its new windows are still to reach a conversation."""
        if not self.calendar or conversation.edition >= self.edition:
            return False
        return conversation.id > self.cursor

    def may_concern(self, rest: Rest | None) -> bool:
        """Whether a conversation that says this of itself must be opened."""
        if rest is None:
            return True
        if self.calendar:
            return self.calendar in rest.calendars
        return self.policy in rest.policies


def runs_under(live: Live, policy: str) -> bool:
    return live.fold.policy is not None and live.fold.policy.id == policy


class Names:
    """The names after a cursor in their order, put in order a part at a time: a million at once would
    hold everybody up."""

    def __init__(self, names: list[str], cursor: str, most: int = GATHERED_PER_INPUT) -> None:
        self._names, self._cursor, self._most = names, cursor, most
        self._rough: dict[str, list[str]] = {}
        self._prefixes: list[str] = []
        self._sorted = ""  # the prefix whose names are a heap

    def gather(self) -> bool:
        """Puts some more in rough order; whether all are."""
        some = self._names[-self._most :]
        del self._names[-self._most :]
        for name in some:
            self.add(name)
        return not self._names

    def add(self, name: str) -> None:
        """One more, in its place."""
        if name <= self._cursor:
            return
        prefix = name[:PREFIX]
        alike = self._rough.get(prefix)
        if alike is None:
            self._rough[prefix] = [name]
            heappush(self._prefixes, prefix)
        elif prefix == self._sorted:
            heappush(alike, name)
        else:
            alike.append(name)

    def pop(self) -> str | None:
        """The next one, once all are gathered; None: no more."""
        while self._prefixes:
            prefix = self._prefixes[0]
            alike = self._rough[prefix]
            if prefix != self._sorted:
                heapify(alike)
                self._sorted = prefix
            while alike:
                name = heappop(alike)
                if name > self._cursor:  # else it was put away, and began again
                    self._cursor = name
                    return name
            del self._rough[heappop(self._prefixes)]
            self._sorted = ""
        return None


class Moves:
    """The moves of one workspace, one after the other; `planned` and `edition`, the number of the last
    renewal of a calendar that moved clocks, are what is stored."""

    def __init__(self, library: Library, most: Portion) -> None:
        self.planned: list[Move] = []
        self.edition = 0
        self._library = library
        self._most = most
        self._names: Names | None = None

    def load(self, planned: list[Move], edition: int) -> None:
        self.planned, self.edition = planned, edition
        for move in planned:
            if move.book:
                self._library.pin(move.book)

    def migrate(self, command: MigratePolicy, lives: Shelf, now_us: int) -> dict[str, object]:
        """Plans a migration; the reply says how many open clocks move (null: too many to count
        within one input)."""
        library = self._library
        policy = library.find("sla_policy", command.id)
        assert policy is not None
        library.pin(library.number)
        move = Move(library.number, now_us, policy=command.id, mode=command.mode)
        self.planned = [*self.planned, move]
        clocks = self._open_clocks(move, lives)
        return {"id": policy.id, "version": policy.version, "mode": command.mode, "clocks": clocks}

    def renew(
        self, command: RenewCalendar, lives: Shelf, now_us: int
    ) -> tuple[dict[str, object], list[ConfigWrite]]:
        """Takes in a calendar's new windows; where they differ, its open clocks count again."""
        edition = self.edition + 1
        moves, writes = self._library.renew(command, edition)
        if moves:
            self.edition = edition
            move = Move(0, now_us, calendar=command.id, version=command.version, edition=edition)
            self.planned = [*self.planned, move]
            lives.review()
        return {"id": command.id, "version": command.version, "moves": moves}, writes

    # Which windows a conversation counts on.

    def view(self, conversation: Conversation) -> Shelved:
        """The configuration, with the windows from before each renewal that has not reached it."""
        if any(move.is_ahead_of(conversation) for move in self.planned):
            return Before(self._library, partial(self._former, conversation))
        return self._library

    def _former(self, conversation: Conversation, calendar: str, version: int) -> int | None:
        """The first renewal of a version that has not reached a conversation."""
        for move in self.planned:
            concerned = move.calendar == calendar and move.version in (0, version)
            if concerned and move.is_ahead_of(conversation):
                return move.edition
        return None

    def begun(self, conversation: Conversation) -> None:
        """A new one, which has the windows of now."""
        conversation.edition = self.edition
        if self._names is not None:
            self._names.add(conversation.id)

    # Moving.

    def concerns(self, move: Move, live: Live) -> bool:
        """Whether an episode has open clocks that must move, or ended ones that must be kept from
        being derived again from other windows."""
        books = live.record.books()
        if move.calendar:
            if not move.is_ahead_of(live.conversation) or move.calendar not in live.calendars():
                return False
            named = (move.calendar, move.version)
            return any(self._library.counts_on(book, *named) for book in books)
        if not any(clock.is_open for clock in live.clocks):
            return False
        return runs_under(live, move.policy) and max(books) < move.book

    def carry_out(self, move: Move, name: str, lives: Iterable[Live], now_us: int) -> None:
        """Reaches a conversation: what of it is concerned moves."""
        concerned = [live for live in lives if self.concerns(move, live)]
        move.cursor = name
        for live in concerned:
            if move.policy:
                live.change_policies(move.at_us, move.book, move.mode)
            else:
                live.recount(now_us, move.calendar)

    def portion(self, lives: Shelf, act: Callable[[Move, str], None]) -> bool:
        """Moves the next conversations, in order of their ids; False when nothing is planned. Which
        ones must follow from what is stored: whoever takes over goes on with the same."""
        if not self.planned:
            return False
        move = self.planned[0]
        names = self._names
        if names is None:
            names = self._names = Names(lives.names(), move.cursor, self._most.gathered)
        if move.gathering is None:
            move.gathering = max(0, len(lives) - 1) // self._most.gathered
        if move.gathering:
            move.gathering -= 1
            names.gather()
            return True
        while not names.gather():  # all at once only for who takes over
            pass
        self._move_next(move, names, lives, act)
        return True

    def _move_next(
        self, move: Move, names: Names, lives: Shelf, act: Callable[[Move, str], None]
    ) -> None:
        moved = looked = 0
        while moved < self._most.moved and looked < self._most.looked_at:
            name = names.pop()
            if name is None:
                self._end(move)
                return
            if name not in lives:
                continue
            looked += 1
            if move.may_concern(lives.rest(name)) and any(
                self.concerns(move, live) for live in lives[name]
            ):
                moved += 1
                act(move, name)
            move.cursor = name

    def _end(self, move: Move) -> None:
        """It has reached all; the next one may begin."""
        self.planned, self._names = self.planned[1:], None
        if move.book:
            self._library.unpin(move.book)
        if move.calendar:
            self._library.settled(move.edition)

    def _open_clocks(self, move: Move, lives: Shelf) -> int | None:
        """How many open clocks will move; None where they are too many to count within one input."""
        if len(lives) > COUNTED_MAX:
            return None
        found = opened = 0
        for name in lives.names():
            rest = lives.rest(name)
            if rest is not None and isinstance(rest.clocks, list):
                found += _moving(move, rest.clocks)
                continue
            opened += rest is not None or not lives.at_hand(name)
            if opened > OPENED_MAX:
                return None
            for live in lives[name]:
                if self.concerns(move, live):
                    found += len(live.fold.open_clocks())
        return found


def _moving(move: Move, clocks: list[tuple[str, int, int]]) -> int:
    """How many of the open clocks that a packed conversation tells of will move."""
    return sum(n for policy, book, n in clocks if policy == move.policy and book < move.book)
