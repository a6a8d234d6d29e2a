"""Conversations that we began: who writes first is not waiting for an answer."""

from collections.abc import Iterable

import msgspec

from services.sla.domain.events import Event
from shared.contracts.core import Entity

KIND = "begun"
MAX = 100_000  # conversations that nobody has answered yet; the oldest are forgotten first
KEPT_US = 30 * 86_400_000_000  # how long a beginning is remembered
EVENTS_MAX = 20  # kept of one


class Beginning(msgspec.Struct, gc=False):
    """Our messages before the customer's first."""

    noted_us: int
    events: list[Event] = []


class Begun:
    """The beginnings of one workspace, oldest first."""

    def __init__(self) -> None:
        self._of: dict[str, Beginning] = {}
        self._changed: set[str] = set()
        self._sorted = True

    def note(self, name: str, event: Event, now_us: int) -> None:
        """We have written, and no customer has yet."""
        self._sort()
        found = self._of.setdefault(name, Beginning(now_us, []))
        if len(found.events) < EVENTS_MAX and all(event.key != one.key for one in found.events):
            found.events.append(event)
        self._changed.add(name)
        while len(self._of) > MAX or self._of[next(iter(self._of))].noted_us < now_us - KEPT_US:
            self._changed.add(oldest := next(iter(self._of)))
            del self._of[oldest]

    def take(self, name: str, lateness_us: int) -> list[Event]:
        """The customer's first message has come: ours from before. `lateness_us`: how late they may
        have come and still count at their own time."""
        found = self._of.pop(name, None)
        if found is None:
            return []
        self._changed.add(name)
        return [_counted(event, lateness_us) for event in found.events]

    def changes(self) -> list[Entity]:
        changed, self._changed = self._changed, set()
        return [self._entity(name) for name in changed]

    def dump(self) -> list[Entity]:
        return [self._entity(name) for name in self._of]

    def load(self, entity: Entity) -> None:
        assert entity.body is not None
        self._of[entity.key] = _BEGINNING.decode(entity.body)
        self._sorted = False

    def _sort(self) -> None:
        if not self._sorted:
            pairs: Iterable[tuple[str, Beginning]] = self._of.items()
            self._of = dict(sorted(pairs, key=lambda one: (one[1].noted_us, one[0])))
            self._sorted = True

    def _entity(self, name: str) -> Entity:
        found = self._of.get(name)
        return Entity(KIND, name, None if found is None else msgspec.msgpack.encode(found))


def _counted(event: Event, lateness_us: int) -> Event:
    if event.late_us <= lateness_us:
        return event
    return msgspec.structs.replace(event, at_us=event.at_us + event.late_us)


_BEGINNING = msgspec.msgpack.Decoder(Beginning)
