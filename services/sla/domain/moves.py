"""Open clocks on their way to other policies, or to the new windows of a calendar, in portions."""

from collections.abc import Callable

import msgspec

from services.sla.domain.commands import MigratePolicy, RenewCalendar
from services.sla.domain.conversation import Live, Rest
from services.sla.domain.library import Library
from services.sla.domain.policy import Mode
from services.sla.domain.shelf import Shelf
from shared.contracts.core import ConfigWrite

MOVED_PER_INPUT = 40  # conversations that one input moves
LOOKED_AT_PER_INPUT = 5_000
GATHERED_PER_INPUT = 20_000  # names that one input puts in order
COUNTED_MAX = 5_000  # conversations, to count open clocks among
OPENED_MAX = 50  # of them, to count them
PREFIX = 6  # characters of a name that sort it roughly


class Move(msgspec.Struct, gc=False):
    """To the policies of `book` (`policy`, `mode`), or to the new windows of `calendar` in the books
    `pages`, as of `at_us`. `cursor`: the last conversation that was looked at."""

    book: int
    at_us: int
    policy: str = ""
    mode: Mode | None = None
    calendar: str = ""
    pages: list[int] = []
    cursor: str = ""

    def concerns(self, live: Live) -> bool:
        """Whether an episode has open clocks that must move, or ended ones that must be kept from
        being derived again from other windows."""
        books = live.record.books()
        if self.calendar:
            return any(book in self.pages for book in books) and live.counts_on(self.calendar)
        if not any(clock.is_open for clock in live.clocks):
            return False
        return runs_under(live, self.policy) and max(books) < self.book

    def may_concern(self, rest: Rest | None) -> bool:
        """Whether a conversation that says this of itself must be opened."""
        if rest is None:
            return True
        if self.calendar:
            return self.calendar in rest.calendars
        return self.policy in rest.policies

    def carry_out(self, live: Live, now_us: int) -> None:
        if self.policy:
            live.change_policies(self.at_us, self.book, self.mode)
        else:
            live.recount(now_us, self.calendar)


def runs_under(live: Live, policy: str) -> bool:
    return live.fold.policy is not None and live.fold.policy.id == policy


class Names:
    """The names after a cursor in their order, put in order a part at a time: a million at once would
    hold everybody up."""

    def __init__(self, names: list[str], cursor: str) -> None:
        self._names, self._cursor = names, cursor
        self._rough: dict[str, list[str]] = {}
        self._order: list[str] | None = None
        self._next: list[str] = []

    def gather(self) -> bool:
        """Puts some more in rough order; whether all are."""
        if self._order is not None:
            return True
        some = self._names[-GATHERED_PER_INPUT:]
        del self._names[-GATHERED_PER_INPUT:]
        for name in some:
            if name > self._cursor:
                self._rough.setdefault(name[:PREFIX], []).append(name)
        if self._names:
            return False
        self._order = sorted(self._rough, reverse=True)
        return True

    def pop(self) -> str | None:
        """The next one, once all are gathered; None: no more."""
        if not self._next and self._order:
            self._next = sorted(self._rough.pop(self._order.pop()), reverse=True)
        return self._next.pop() if self._next else None


class Moves:
    """The moves of one workspace, one after the other; `planned` is the part that is stored."""

    def __init__(self, library: Library) -> None:
        self.planned: list[Move] = []
        self._library = library
        self._names: Names | None = None

    def load(self, planned: list[Move]) -> None:
        self.planned = planned
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
        clocks = _open_clocks(move, lives)
        return {"id": policy.id, "version": policy.version, "mode": command.mode, "clocks": clocks}

    def renew(
        self, command: RenewCalendar, now_us: int
    ) -> tuple[dict[str, object], list[ConfigWrite]]:
        """Takes in a calendar's new windows; where they differ, its open clocks count again."""
        moves, writes = self._library.renew(command)
        key = (command.id, command.version)
        if moves:
            pages = [n for n, page in self._library.pages.items() if key in page.calendars]
            move = Move(0, now_us, calendar=command.id, pages=pages)
            self.planned = [*self.planned, move]
        return {"id": command.id, "version": command.version, "moves": moves}, writes

    def unreached(self, name: str) -> set[str]:
        """The calendars whose new windows have not reached a conversation yet."""
        return {move.calendar for move in self.planned if move.calendar and name > move.cursor}

    def portion(self, lives: Shelf, act: Callable[[Move, str], None]) -> bool:
        """Moves the next conversations, in order of their ids; False when nothing is planned."""
        if not self.planned:
            return False
        move = self.planned[0]
        if self._names is None:
            self._names = Names(lives.names(), move.cursor)
        if not self._names.gather():
            return True
        moved = looked = 0
        while moved < MOVED_PER_INPUT and looked < LOOKED_AT_PER_INPUT:
            name = self._names.pop()
            if name is None:
                break
            move.cursor = name
            looked += 1
            if name not in lives or not move.may_concern(lives.rest(name)):
                continue
            if any(move.concerns(live) for live in lives[name]):
                moved += 1
                act(move, move.cursor)
        else:
            return True
        self._end(move)
        return True

    def _end(self, move: Move) -> None:
        """It has reached all; the next one may begin."""
        self.planned, self._names = self.planned[1:], None
        if move.book:
            self._library.unpin(move.book)
        if not self.planned:
            self._library.settled()


def _open_clocks(move: Move, lives: Shelf) -> int | None:
    """How many open clocks will move; None where they are too many to count within one input."""
    if len(lives) > COUNTED_MAX:
        return None
    found = opened = 0
    for name in lives.names():
        rest = lives.rest(name)
        if rest is not None and rest.clocks is not None:
            found += rest.clocks.get(move.policy, 0) if max(rest.books) < move.book else 0
            continue
        opened += rest is not None or not lives.at_hand(name)
        if opened > OPENED_MAX:
            return None
        for live in lives[name]:
            if move.concerns(live):
                found += len(live.fold.open_clocks())
    return found
