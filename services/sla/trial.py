"""What a change would do to open clocks, counted: the side of a dry run that has a process of its own.

One of each sort of episode is followed through its events under the change; those that are alike are
counted together (`likeness`, `patterns`), and what that leaves doubtful by itself.
"""

from typing import Any, NamedTuple

import msgspec
import numpy

from services.sla.domain import shapes
from services.sla.domain.clock import Clock
from services.sla.domain.commands import PutResource
from services.sla.domain.conversation import Conversation, Live, clock_id, unpack
from services.sla.domain.library import Library
from services.sla.domain.policy import Mode
from services.sla.likeness import Likeness, Likenesses
from services.sla.patterns import After, Before, Counted, Flags, after_of, before_of, count
from shared.calendars import expand
from shared.calendars.batch import UNKNOWN, BatchTable, Instants
from shared.contracts.core import Entity
from shared.contracts.instants import optional_instant, seconds

TOGETHER = 8_192  # episodes of one sort that are counted at once
WAITING_MAX = 60_000  # episodes that wait to be counted with others
SORTS_MAX = 50_000
EXAMPLES = 20


class Proposal(msgspec.Struct, frozen=True):
    """The change: `policies` and `calendars` are canonical bodies with ids; `mode` as of a
    migration; `only`: the policies whose open clocks are concerned (None: all)."""

    policies: list[dict[str, Any]]
    calendars: list[dict[str, Any]]
    mode: Mode | None
    only: list[str] | None


class Moved(NamedTuple):
    """An open clock that would move, by how much, and whether it would be breached now."""

    clock_id: str
    conversation_id: str
    metric: str
    before_us: int | None
    after_us: int | None
    by_us: int
    breaches: bool
    ends: bool

    @property
    def place(self) -> tuple[bool, int, str]:
        """What would be breached first, then what moves furthest."""
        return (not self.breaches, -abs(self.by_us), self.clock_id)


class Alike:
    """Episodes of one sort: what becomes of their clocks, and those that wait to be counted."""

    __slots__ = ("bodies", "clocks", "mode", "starts", "times", "width")

    def __init__(self, clocks: list[tuple[Before, After]], starts: int, width: int) -> None:
        self.clocks = clocks
        self.starts = starts
        self.width = width
        self.times: list[int] = []
        self.bodies: list[tuple[bytes, int]] = []  # of the conversation; which of its episodes


class Trial:
    """The configuration with the change applied. `portion` as often as there is something, then
    `report`."""

    def __init__(self, workspace: str, stored: list[Entity], what: Proposal, at_us: int) -> None:
        self._workspace, self._what, self._now_us = workspace, what, at_us
        self._library = Library()
        self._library.load(stored)
        for number in self._library.pages:
            self._library.pin(number)
        for body in what.calendars:
            self._put("calendar", body)
        for body in what.policies:
            self._put("sla_policy", body)
        self._library.pin(self._library.number)
        self._likenesses = Likenesses(
            policy
            for number in self._library.pages
            for policy in self._library.book(number).policies
        )
        self._sorts: dict[bytes, Alike | None] = {}
        self._waiting = 0
        self._tables: dict[tuple[int, str], BatchTable] = {}
        self._report = Report()

    def _put(self, kind: Any, body: dict[str, Any]) -> None:
        windows = expand(body, self._now_us) if kind == "calendar" else None
        raw = msgspec.Raw(msgspec.json.encode(body))
        command = PutResource(resource=kind, id=body["id"], body=raw, windows=windows)
        self._library.put(command)

    def portion(self, conversations: list[bytes]) -> None:
        """Takes in packed conversations."""
        for body in conversations:
            opened: Conversation | None = None
            for index, found in enumerate(self._likenesses.of(body)):
                alike = None if found is None else self._sorts.get(found.key)
                if alike is not None and found is not None:
                    self._wait(alike, found, body, index)
                elif found is None or found.key in self._sorts or found.times[-1] >= self._now_us:
                    opened = opened or unpack(body)
                    self._try(opened, index)
                else:
                    opened = opened or unpack(body)
                    self._new_sort(found, opened, index)
        if self._waiting > WAITING_MAX:
            self._count_all()

    def report(self) -> shapes.DryRunReport:
        """How many of the open clocks would move, by how much, and which would breach."""
        self._count_all()
        return self._report.shown(self._now_us)

    # One by one.

    def _new_sort(self, found: Likeness, conversation: Conversation, index: int) -> None:
        """The first of its sort: what becomes of it tells what becomes of the others."""
        live = self._live(conversation, index)
        befores = [before_of(clock, found.times) for clock in live.fold.open_clocks()]
        own = live.fold.next_us() is None
        starts, after = self._change(live)
        alike: Alike | None = None
        if after is not None and own and None not in befores:
            policy = live.fold.policy
            mode = self._what.mode or (policy.on_change if policy is not None else "recompute")
            clocks = [
                (before, after_of(clock, before, mode))
                for before, clock in zip(befores, after, strict=True)
                if before is not None and clock is not None
            ]
            said = [(before, then) for before, then in clocks if then is not None]
            if len(said) == len(after):
                alike = Alike(said, starts, len(found.times))
        elif after is None:
            alike = Alike([], 0, len(found.times))
        if len(self._sorts) < SORTS_MAX:
            self._sorts[found.key] = alike

    def _live(self, conversation: Conversation, index: int) -> Live:
        return Live(self._workspace, conversation, conversation.episodes[index], self._library)

    def _try(self, conversation: Conversation, index: int) -> None:
        self._change(self._live(conversation, index))

    def _change(self, live: Live) -> tuple[int, list[Clock | None] | None]:
        """Carries out the change on an episode and takes in what it does: how many clocks it starts,
        and those that were open, as they are then (None: it does not concern the episode)."""
        policy, only = live.fold.policy, self._what.only
        open_before = live.fold.open_clocks()
        if not open_before:
            return 0, None
        if only is not None and (policy is None or policy.id not in only):
            return 0, None
        kept = {(c.metric, c.cycle): self._state(live, c) for c in open_before}
        live.change_policies(self._now_us, self._library.number, self._what.mode)
        after = {(c.metric, c.cycle): c for c in live.clocks}
        starts = sum(name not in kept and clock.is_open for name, clock in after.items())
        self._report.add(len(kept), starts)
        for clock in open_before:
            name = (clock.metric, clock.cycle)
            self._compare(live, clock, kept[name], after.get(name))
        return starts, [after.get((clock.metric, clock.cycle)) for clock in open_before]

    def _compare(
        self, live: Live, old: Clock, before: tuple[int | None, int, bool], new: Clock | None
    ) -> None:
        due_us, left_us, breached = before
        ends = new is None or not new.is_open
        new_due, new_left, new_breached = before if new is None else self._state(live, new)
        if ends:
            new_due, by_us = None, 0
        elif due_us is None or new_due is None:
            by_us = new_left - left_us
        else:
            by_us = new_due - due_us
        breaches = new_breached and not breached and not ends
        if ends or by_us or breaches:
            self._report.moved(
                Moved(
                    live.clock_id(old), live.conversation.id, old.metric, due_us, new_due,
                    by_us, breaches, ends,
                )
            )  # fmt: skip

    def _state(self, live: Live, clock: Clock) -> tuple[int | None, int, bool]:
        """(due, what is left, breached) as known now."""
        hands = live.fold.hands
        left = clock.target_us - hands.elapsed(clock, self._now_us)
        return clock.due_us, left, hands.breach(clock, self._now_us) is not None

    # Together.

    def _wait(self, alike: Alike, found: Likeness, body: bytes, index: int) -> None:
        if not alike.clocks:
            return
        if found.times[-1] >= self._now_us:
            self._try(unpack(body), index)
            return
        alike.times += found.times
        alike.bodies.append((body, index))
        self._waiting += 1
        if len(alike.bodies) >= TOGETHER:
            self._count(alike)

    def _count_all(self) -> None:
        for alike in self._sorts.values():
            if alike is not None and alike.bodies:
                self._count(alike)

    def _count(self, alike: Alike) -> None:
        at = numpy.array(alike.times, dtype=numpy.int64).reshape(-1, alike.width).T
        bodies = alike.bodies
        alike.times, alike.bodies = [], []
        self._waiting -= len(bodies)
        first = unpack(bodies[0][0]).episodes[bodies[0][1]]
        old_book = first.book

        def table(name: str, changed: bool) -> BatchTable:
            return self._table(self._library.number if changed else old_book, name)

        found = [count(before, after, at, self._now_us, table) for before, after in alike.clocks]
        doubtful = numpy.logical_or.reduce([one.doubtful for one in found])
        for number in numpy.flatnonzero(doubtful).tolist():
            body, index = bodies[number]
            self._try(unpack(body), index)
        sure = numpy.flatnonzero(~doubtful)
        self._report.add(len(sure) * len(found), len(sure) * alike.starts)
        for (before, after), counted in zip(alike.clocks, found, strict=True):
            self._take(before, after.state is None, counted, sure, bodies)

    def _table(self, book: int, name: str) -> BatchTable:
        version = dict(self._library.pages[book].calendars)[name]
        found = self._tables.get((version, name))
        if found is None:
            windows = self._library.versions["calendar", name, version].windows
            assert windows is not None
            found = self._tables[version, name] = BatchTable(windows)
        return found

    def _take(
        self,
        before: Before,
        ends: bool,
        counted: Counted,
        sure: Instants,
        bodies: list[tuple[bytes, int]],
    ) -> None:
        """Takes in what became of one clock of many episodes."""
        by = counted.by[sure]
        breaches = (counted.new_breached & ~counted.breached)[sure] & (not ends)
        self._report.counted(by, breaches, ends)
        # Those that the report may show: breaches before all, then the furthest.
        far = numpy.abs(by) + breaches * (2**62)
        nearest = numpy.argsort(-far, kind="stable")[:EXAMPLES]
        for number in nearest[(far[nearest] > 0) | ends].tolist():
            row = int(sure[number])
            body, index = bodies[row]
            conversation = unpack(body)
            name = clock_id(
                self._workspace, conversation.episodes[index], before.metric, before.cycle
            )
            due, new_due = int(counted.due[row]), int(counted.new_due[row])
            self._report.example(
                Moved(
                    name, conversation.id, before.metric,
                    None if due == UNKNOWN else due, None if new_due == UNKNOWN else new_due,
                    int(by[number]), bool(breaches[number]), ends,
                )
            )  # fmt: skip


class Report:
    """The sums."""

    def __init__(self) -> None:
        self._open = self._starts = self._breaches = self._ends = 0
        self._by: list[int] = []
        self._together: list[Instants] = []
        self._furthest: list[Moved] = []

    def add(self, clocks: int, starts: int) -> None:
        self._open += clocks
        self._starts += starts

    def moved(self, one: Moved) -> None:
        """A clock that moves, or ends."""
        self._breaches += one.breaches
        self._ends += one.ends
        if not one.ends:
            self._by.append(one.by_us)
        self.example(one)

    def counted(self, by: Instants, breaches: Flags, ends: bool) -> None:
        """Many: by how much each moves, and which would be breached; all of them end, or none."""
        if ends:
            self._ends += len(by)
            return
        self._breaches += int(breaches.sum())
        self._together.append(by[(by != 0) | breaches])

    def example(self, one: Moved) -> None:
        self._furthest.append(one)
        if len(self._furthest) > 20 * EXAMPLES:
            self._cut()

    def _cut(self) -> None:
        self._furthest.sort(key=lambda one: one.place)
        del self._furthest[EXAMPLES:]

    def shown(self, at_us: int) -> shapes.DryRunReport:
        self._cut()
        by = numpy.sort(
            numpy.concatenate([*self._together, numpy.array(self._by, dtype=numpy.int64)])
        )
        return {
            "at": optional_instant(at_us),
            "clocks": self._open,
            "moves": len(by),
            "earlier": int((by < 0).sum()),
            "later": int((by > 0).sum()),
            "by_s": {name: _at(by, share) for name, share in _SHARES},
            "would_breach": self._breaches,
            "would_cancel": self._ends,
            "would_start": self._starts,
            "examples": [_example(one) for one in self._furthest],
        }


_SHARES = (("min", 0.0), ("p50", 0.5), ("p90", 0.9), ("max", 1.0))


def _at(ordered: Instants, share: float) -> float | None:
    return seconds(int(ordered[round(share * (len(ordered) - 1))])) if len(ordered) else None


def _example(one: Moved) -> shapes.ClockChange:
    return {
        "clock_id": one.clock_id,
        "conversation_id": one.conversation_id,
        "metric": one.metric,
        "due_at": optional_instant(one.before_us),
        "new_due_at": optional_instant(one.after_us),
        "by_s": seconds(one.by_us),
        "would_breach": one.breaches,
        "would_cancel": one.ends,
    }
