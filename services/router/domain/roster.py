"""All agents held against one thing at a time, and kept: a change of one agent costs one judgement.

A column has a byte for each agent, in his place. Columns of yes and no (1 and 0) are taken as one whole
number, so that `a & b` and counting cost microseconds for ten thousand agents.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from services.router.domain import capacity, changed
from services.router.domain.desk import Desk
from services.router.domain.requirements import Requirement, signature
from services.router.domain.workspace import Workspace

COLUMNS_MAX = 256  # kept; of more, those asked for longest ago are made anew
ONE_BY_ONE_MAX = 64  # agents whose place in the order is changed singly; more are sorted with all

# What the moment says of an agent and a channel, as the cells of its column.
NOBODY, FREE, PRESENCE, WRAP_UP, CHANNEL_CAP, CAPACITY = range(6)
WORDS = {PRESENCE: "presence", WRAP_UP: "wrap_up", CHANNEL_CAP: "channel_cap", CAPACITY: "capacity"}

Judge = Callable[[Desk], int]


class Column:
    """`judge` says what an agent's cell holds; `stale`: places that it has to be asked about again."""

    __slots__ = ("_cells", "_whole", "judge", "stale")

    def __init__(self, judge: Judge, places: int, stale: Iterable[int]) -> None:
        self.judge = judge
        self.stale = set(stale)
        self._cells = bytearray(places)
        self._whole = 0

    def whole(self, desks: Sequence[Desk | None]) -> int:
        """All cells as one number, the first place lowest."""
        if self.stale:
            cells, judge = self._cells, self.judge
            cells.extend(bytes(len(desks) - len(cells)))
            for place in self.stale:
                desk = desks[place]
                cells[place] = NOBODY if desk is None else judge(desk)
            self.stale.clear()
            self._whole = int.from_bytes(cells, "little")
        return self._whole


class Roster:
    """The agents of a workspace in their places. `order`: the places by (load share, id)."""

    def __init__(self) -> None:
        self.places: dict[str, int] = {}
        self.desks: list[Desk | None] = []
        self.order: list[int] = []
        self.rewritten: set[str] = set()  # whose configuration is another since the last look
        self._keys: list[tuple[float, str]] = []
        self._free: list[int] = []
        self._columns: dict[Any, Column] = {}
        self._moments: dict[str, Column] = {}

    # -- keeping up

    def follow(self, ws: Workspace, touched: Iterable[str]) -> None:
        """Take note of the agents who have changed."""
        seats = [self._seat(ws, agent_id) for agent_id in sorted(self.rewritten)]
        written = {place for place in seats if place is not None}
        self.rewritten.clear()
        moved = {self.places[one] for one in touched if one in self.places} | written
        for column in self._columns.values():
            column.stale |= written
        for column in self._moments.values():
            column.stale |= moved
        self._arrange(moved)

    def _seat(self, ws: Workspace, agent_id: str) -> int | None:
        """The place of an agent who is new, changed or gone; who comes takes that of one who went."""
        desk = ws.desks.get(agent_id)
        place = self.places.get(agent_id)
        if desk is None:
            if place is not None:
                del self.places[agent_id]
                self._free.append(place)
                self.desks[place] = None
            return place
        if place is None:
            place = self._free.pop() if self._free else len(self.desks)
            self.places[agent_id] = place
        if place == len(self.desks):
            self.desks.append(None)
            self._keys.append((0.0, agent_id))
        self.desks[place] = desk
        return place

    def _arrange(self, moved: set[int]) -> None:
        key = self._keys.__getitem__
        few = len(moved) <= ONE_BY_ONE_MAX
        for place in moved:
            desk = self.desks[place]
            now = None if desk is None else (desk.share, desk.id)
            if few:
                at = bisect_left(self.order, self._keys[place], key=key)
                if self.order[at : at + 1] == [place]:
                    del self.order[at]
            if now is not None:
                self._keys[place] = now
                if few:
                    insort(self.order, place, key=key)
        if not few:
            known = [place for place in self.order if place not in moved]
            there = [place for place in moved if self.desks[place] is not None]
            self.order = sorted([*known, *there], key=key)

    # -- columns

    def everyone(self) -> int:
        return self._column("everyone", lambda _: 1)

    def delayed(self) -> int:
        """Who serves any queue only after a delay."""
        return self._column("delayed", _is_delayed)

    def on(self, channel: str) -> int:
        """Whom the channel's work may be given at all."""
        return self._column(("channel", channel), lambda desk: _takes(desk, channel))

    def serving(self, queues: Iterable[str]) -> int:
        """Who serves any of the queues."""
        found = 0
        for queue in queues:
            found |= self._column(("queue", queue), partial(_serves, queue=queue))
        return found

    def meeting(self, ws: Workspace, item: Requirement) -> int:
        """Who meets a requirement."""
        name = signature((item,))
        if item.skill is None or name in self._columns:
            return self._column(name, lambda desk: item.met_by(desk.facts))
        skilled = [self.places[agent_id] for agent_id in ws.by_skill.get(item.skill, ())]
        return self._column(name, lambda desk: item.met_by(desk.facts), skilled)

    def moment(self, ws: Workspace, channel: str) -> int:
        """What keeps each agent from one more task of the channel now: NOBODY to CAPACITY."""
        column = self._moments.get(channel)
        if column is None:
            judge = partial(standing, ws, channel=channel)
            column = Column(judge, len(self.desks), range(len(self.desks)))
            self._moments[channel] = column
        return column.whole(self.desks)

    def _column(self, name: Any, judge: Judge, among: Iterable[int] | None = None) -> int:
        column = self._columns.pop(name, None)
        if column is None:
            places = len(self.desks)
            column = Column(judge, places, range(places) if among is None else among)
            if len(self._columns) >= COLUMNS_MAX:
                del self._columns[next(iter(self._columns))]
        self._columns[name] = column  # the last asked for comes last
        return column.whole(self.desks)


def look(ws: Workspace) -> Roster:
    """The roster as of now."""
    touched = changed.since_last_look("roster", ws.uncounted_agents, ws.unseen_agents)
    found = ws.roster
    if found is None or touched is None:
        found = ws.roster = Roster()
        found.rewritten.update(ws.desks)
    found.follow(ws, touched or ())
    return found


def standing(ws: Workspace, desk: Desk, channel: str) -> int:
    """What keeps him from one more task of the channel now, whatever it asks."""
    if not desk.takes_work:
        return PRESENCE
    full = desk.count.get(channel, 0) >= desk.config.channels.get(channel, 0)
    if not full and capacity.has_room(ws, desk, channel):
        return FREE
    if capacity.is_wrapping_up(ws, desk, channel):
        return WRAP_UP
    return CHANNEL_CAP if full else CAPACITY


def _serves(desk: Desk, queue: str) -> bool:
    return desk.config.serves(queue) is not None


def _takes(desk: Desk, channel: str) -> bool:
    return desk.config.channels.get(channel, 0) > 0


def _is_delayed(desk: Desk) -> bool:
    return any(entry.delay_s > 0 for entry in desk.config.queues or ())
