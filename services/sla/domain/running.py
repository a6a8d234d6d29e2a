"""One workspace's conversations in memory: what happens to one, what that tells, and what is due when."""

from collections.abc import Callable
from itertools import islice

import msgspec

from services.sla.domain.agenda import Agenda, next_on
from services.sla.domain.clock import Clock
from services.sla.domain.conversation import Live, pack
from services.sla.domain.due import Due, due_on
from services.sla.domain.episodes import Episodes
from services.sla.domain.library import Library
from services.sla.domain.measures import clock_measure, nothing
from services.sla.domain.meta import Common
from services.sla.domain.notices import Seen, Teller
from services.sla.domain.pace import Paces
from services.sla.domain.rows import clock_row
from services.sla.domain.shown import NOTHING, shown
from services.sla.domain.task_rows import work_rows
from shared.contracts import sla
from shared.contracts.core import Emitted, Entity, Outcome
from shared.contracts.topics import SLA_EVENTS

RUNG_PER_INPUT = 120  # conversations on which something is due; the others are the next input's
_JSON = msgspec.json.Encoder()


class Running:
    """`outcome`: of the input that is applied at `now_us`; `changed`: the conversations to be stored
    again, `closed`: those that were put away. `writes`: whether rows are made of what they show."""

    def __init__(self, workspace: str) -> None:
        self.workspace = workspace
        self.library = Library()
        self.episodes = Episodes(workspace, self.library)
        self.lives = self.episodes.lives
        self.common = Common(workspace)
        self.paces = Paces()
        self.agenda = Agenda()
        self.now_us = 0
        self.writes = True
        self.outcome = Outcome()
        self.changed: set[str] = set()
        self.closed: dict[str, Entity] = {}

    def begin(self, now_us: int) -> Outcome:
        """An input comes."""
        self.now_us = now_us
        self.outcome = Outcome(events=[], touched=[], config=[], rows=[])
        return self.outcome

    def teller(self) -> Teller:
        return Teller(self.now_us, self._emit)

    # What happens to a conversation.

    def hear(self, name: str, act: Callable[[], bool], *, moved: bool = False) -> None:
        """`change`, after what is due on the conversation by now: where much is, its turn may not have
        come, and an answer must not end a clock whose warning is still to be told."""
        if not self.common.behind and self.agenda.due_us(name) <= self.now_us:
            for at_us in self.agenda.take_of(name, self.now_us):
                self._ring_one(name, at_us)
        self.change(name, act, moved=moved)

    def change(self, name: str, act: Callable[[], bool], *, moved: bool = False) -> None:
        """Does something to a conversation and tells what it did to its clocks and tasks. `act` says
        whether something came late; `moved`: a change of their targets."""
        held = self.lives.find(name)
        before = NOTHING if held is None else held.shown or shown(held.lives)
        late = act()
        held = held or self.lives.find(name)
        if held is None:
            return
        lives = held.lives
        after = held.shown = shown(lives)
        changed: list[Seen] = []
        if before.clocks or after.clocks:
            changed = self.teller().tell(before.clocks, after.clocks, late=late, moved=moved)
            for seen in changed:
                self._write(seen)
        if before.works != after.works and self.writes:
            edges, now_us = self.common.edges, self.now_us
            self.outcome.rows += work_rows(before.works, after.works, lives, edges, now_us)
        self.paces.follow(name, after.waiting)
        if not lives:
            self.lives.remove(name)
            return
        self.changed.add(name)
        if changed or late or moved or before.by_itself or after.by_itself or not after.runs:
            self._schedule(name, lives)

    def _write(self, seen: Seen) -> None:
        live, clock, rows = seen.live, seen.clock, self.outcome.rows
        never = live.never_was(clock)
        if never:
            clock.state = "cancelled"
        if self.writes:
            rows.append(
                nothing(self.workspace, seen.name)
                if never
                else clock_measure(live, clock, self.common.edges)
            )
            rows.append(clock_row(live, clock, self.now_us))

    def _emit(self, live: Live, clock: Clock, event: sla.SlaEvent) -> None:
        seq = event.seq = self.common.next_seq()
        kind, key, outcome = sla.TYPE_OF[type(event)], live.conversation.id, self.outcome
        outcome.events.append(Emitted(seq, kind, SLA_EVENTS, key, _JSON.encode(event)))
        outcome.touched += (f"conversation:{key}", "clocks")

    # What is due by itself.

    def ring(self) -> None:
        """What is due until now happens, in order of its time; no more of it than holds nobody up."""
        first_us = self.agenda.first_us()
        if first_us is not None and first_us <= self.now_us:
            for at_us, name in islice(self.agenda.take(self.now_us), RUNG_PER_INPUT):
                self._ring_one(name, at_us)

    def _schedule(self, name: str, lives: list[Live]) -> None:
        self.agenda.put(name, min([next_on(live) for live in lives]))

    def _ring_one(self, name: str, at_us: int) -> None:
        own = [live.fold.next_us() for live in self.lives[name]]
        if any(each is not None and each <= at_us for each in own):
            self.change(name, lambda: self._advance(name, at_us))
        teller = self.teller()
        for live in list(self.lives[name]):
            told = [due for due in due_on(live) if due.at_us <= at_us]
            for due in told:
                self._tell(teller, live, due)
            if not told and next_on(live) <= at_us:
                self._put_away(live)
        if name in self.lives:
            self.changed.add(name)
            self._schedule(name, self.lives[name])

    def _advance(self, name: str, at_us: int) -> bool:
        for live in self.lives[name]:
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
            teller.looked(live, clock, self.paces.expected_us(live, clock, self.now_us))
            live.record.notices[live.clock_id(clock)].looked += 1
            return
        self.outcome.rows.append(clock_row(live, clock, self.now_us))

    def _put_away(self, live: Live) -> None:
        """Nothing has happened for long and nothing is open: history, which only reads look up."""
        name = live.conversation.id
        if len(self.lives[name]) > 1:
            self.episodes.drop(live)
            return
        body = pack(live.conversation)
        self.closed[name] = Entity("conversation", name, body, open=False)
        self.changed.discard(name)
        self.lives.remove(name)
        self.paces.follow(name, None)
        self.episodes.unpin(live.record)
