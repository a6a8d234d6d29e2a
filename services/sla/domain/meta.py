"""What belongs to a workspace as a whole: its number of events, queues' calendars and promises, alarms."""

import msgspec

from services.sla.domain.alarms import Alarm, alarm_event
from services.sla.domain.histogram import with_edges
from services.sla.domain.moves import Move
from services.sla.domain.promises import Promise, edges_of
from shared.contracts.core import Emitted, Entity, Row

KIND = "meta"


class Meta(msgspec.Struct, gc=False):
    """At rest. `edition`: how many renewals of calendars there were that moved clocks."""

    seq: int = 0
    behind: bool = False
    queues: dict[str, str] = {}
    moves: list[Move] = []
    edges: list[int] = []
    alarms: dict[str, Alarm] = {}
    edition: int = 0


class _QueueBody(msgspec.Struct):
    calendar: str | None = None
    service_level: dict[str, Promise] | None = None


class _Configured(msgspec.Struct):
    id: str
    body: _QueueBody | None = None


class Common:
    """In memory. `edges`: of the histograms, with the thresholds that queues promise."""

    def __init__(self, workspace: str) -> None:
        self.edges = with_edges(())
        self._workspace = workspace
        self._meta = Meta()
        self._changed = False

    @property
    def seq(self) -> int:
        return self._meta.seq

    @property
    def behind(self) -> bool:
        return self._meta.behind

    @property
    def queues(self) -> dict[str, str]:
        """The calendar of each queue that has one."""
        return self._meta.queues

    @property
    def moves(self) -> list[Move]:
        return self._meta.moves

    @property
    def alarms(self) -> list[Alarm]:
        """The promises that burn now."""
        return [self._meta.alarms[key] for key in sorted(self._meta.alarms)]

    def next_seq(self) -> int:
        """The number of the next event."""
        self._meta.seq += 1
        self._changed = True
        return self._meta.seq

    def turn(self, *, behind: bool) -> None:
        self._meta.behind = behind
        self._changed = True

    @property
    def edition(self) -> int:
        return self._meta.edition

    def plan(self, moves: list[Move], edition: int) -> None:
        self._meta.moves, self._meta.edition = moves, edition
        self._changed = True

    def take_queue(self, body: bytes) -> list[Row]:
        """A queue's configuration; rows of the thresholds that are new."""
        queue = msgspec.json.decode(body, type=_Configured)
        calendar = queue.body.calendar if queue.body else None
        if calendar is None:
            self._meta.queues.pop(queue.id, None)
        else:
            self._meta.queues[queue.id] = calendar
        self._changed = True
        return self._promise((queue.body and queue.body.service_level) or {})

    def _promise(self, promised: dict[str, Promise]) -> list[Row]:
        """Figures are exact at what a queue promises: its thresholds become edges of histograms."""
        added, rows = edges_of(self._workspace, promised, self._meta.edges)
        if not added:
            return []
        self._meta.edges = [*self._meta.edges, *added]
        self.edges = with_edges(self._meta.edges)
        return rows

    def alarm(self, alarm: Alarm, now_us: int) -> Emitted | None:
        """A promise burns through what it may miss, or does so no longer: told once."""
        before = self._meta.alarms.get(alarm.key)
        if (before is not None) == alarm.firing:
            return None
        if alarm.firing:
            alarm.since_us = now_us
            self._meta.alarms[alarm.key] = alarm
        else:
            del self._meta.alarms[alarm.key]
        return alarm_event(self._workspace, self.next_seq(), now_us, alarm, before)

    # At rest.

    def load(self, entity: Entity) -> None:
        assert entity.body is not None
        self._meta = msgspec.msgpack.decode(entity.body, type=Meta)
        self.edges = with_edges(self._meta.edges)

    def changes(self) -> list[Entity]:
        changed, self._changed = self._changed, False
        return self.dump() if changed else []

    def dump(self) -> list[Entity]:
        return [Entity(KIND, KIND, msgspec.msgpack.encode(self._meta))]
