"""Conversations at rest: what is known of one that is packed, and taking in those that were stored."""

from services.sla.domain.agenda import next_on
from services.sla.domain.conversation import Live, Rest
from services.sla.domain.due import NEVER_US
from services.sla.domain.running import Running
from services.sla.domain.waiting import waits
from shared.contracts.core import Entity

KIND = "conversation"


class Resting:
    """Of one workspace."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._lives = running.lives
        self._loaded: list[str] = []  # by an earlier release, to be opened
        self._places: list[tuple[str, str, int]] = []
        self.fresh = True  # nothing was loaded that is not in its order yet

    def load(self, entity: Entity) -> None:
        assert entity.body is not None
        self._lives.put(entity.key, entity.body)
        rest = self._lives.rest(entity.key)
        if rest is None:
            self._loaded.append(entity.key)
        else:
            self._place(entity.key, rest)
        self.fresh = False

    def take_in_loaded(self) -> None:
        """Once, after all are loaded."""
        names, self._loaded = self._loaded, []
        for name in names:
            self._place(name, self._rest_of_old(name))
        places, self._places = self._places, []
        self._running.agenda.sort()
        self._running.paces.take_places(places)
        self._lives.tidy()
        self.fresh = True

    def changes(self) -> list[Entity]:
        """Those changed since the last call, and those put away."""
        running = self._running
        found = [*running.closed.values(), *map(self._entity, sorted(running.changed))]
        running.changed, running.closed = set(), {}
        self._lives.tidy()
        return found

    def dump(self) -> list[Entity]:
        for name in self._running.changed:
            self._entity(name)
        return [Entity(KIND, name, self._lives.body(name)) for name in self._lives]

    def _place(self, name: str, rest: Rest) -> None:
        """A conversation that was stored: what it needs, where it waits, when it is due."""
        for number in rest.books:
            self._running.library.pin(number)
        if rest.queue is not None:
            self._places.append((name, rest.queue, rest.since_us))
        self._running.agenda.put_unsorted(name, rest.due_us)

    def _rest_of_old(self, name: str) -> Rest:
        """Of a conversation that an earlier release stored."""
        self._lives.tidy()
        lives = self._lives[name]
        return _rest(lives, min(map(next_on, lives), default=NEVER_US), waits(lives))

    def _entity(self, name: str) -> Entity:
        held = self._lives.find(name)
        assert held is not None
        due_us, shown = self._running.agenda.due_us(name), held.shown
        place = waits(held.lives) if shown is None else shown.waiting
        return Entity(KIND, name, held.pack(_rest(held.lives, due_us, place)))


def _rest(lives: list[Live], due_us: int, place: tuple[str, int] | None) -> Rest:
    """What is to be known of a conversation while it is packed."""
    books: list[int] = []
    policies: set[str] = set()
    calendars: set[str] = set()
    clocks: list[tuple[str, int, int]] = []
    for live in lives:
        own = live.record.books()
        books += own
        calendars |= live.calendars()
        if (policy := live.fold.policy) is not None:
            policies.add(policy.id)
            if count := len(live.fold.open_clocks()):
                clocks.append((policy.id, max(own), count))
    queue, since_us = place or (None, 0)
    return Rest(due_us, books, sorted(policies), sorted(calendars), queue, since_us, clocks)
