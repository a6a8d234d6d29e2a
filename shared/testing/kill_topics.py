"""What the topics say: every record from the beginning, as one sequence per producer and workspace."""

from collections import Counter
from typing import Any

import msgspec

from shared.bus.kafka import KafkaBus
from shared.bus.port import Reader, Record
from shared.contracts import topics
from shared.contracts.envelope import Envelope, from_record

Data = dict[str, Any]

_READ = (*topics.INTERACTIONS.values(), topics.ROUTING_EVENTS, topics.SLA_EVENTS, topics.DEADLETTER)


class Event(msgspec.Struct, frozen=True):
    """The first record of an event. `data` is its JSON."""

    workspace: str
    id: str
    type: str
    sequence: int
    data: Data
    time: str


class Topics:
    """Grows with `read`; `problems` are breaches of what every consumer relies on."""

    def __init__(self, bus: KafkaBus, partitions: int) -> None:
        self.interactions: dict[str, Event] = {}
        self.routing: dict[str, list[Event]] = {}
        self.sla: dict[str, list[Event]] = {}
        self.dead: list[str] = []
        self.problems: list[str] = []
        self.counts: Counter[str] = Counter()
        self._bus = bus
        self._partitions = partitions
        self._reader: Reader | None = None
        self._last: dict[tuple[str, str], int] = {}
        self._bytes: dict[tuple[str, str, int], bytes] = {}

    async def read(self) -> None:
        """Take in everything up to the ends as they are now."""
        wanted = [(topic, number) for topic in _READ for number in range(self._partitions)]
        bounds = await self._bus.bounds(wanted)
        if self._reader is None:
            self._reader = self._bus.reader()
            await self._reader.assign({each: bounds[each][0] for each in wanted})
            self._positions = {each: bounds[each][0] for each in wanted}
        while any(self._positions[each] < bounds[each][1] for each in wanted):
            for record in await self._reader.poll(5_000, 500):
                self._positions[(record.topic, record.partition)] = record.offset + 1
                self._take(record)

    def _take(self, record: Record) -> None:
        envelope = from_record(record.headers, record.value)
        self.counts[f"records on {record.topic}"] += 1
        if record.topic == topics.DEADLETTER:
            self.dead.append(envelope.data.decode())
        elif record.topic in (topics.ROUTING_EVENTS, topics.SLA_EVENTS):
            self._sequenced(record, envelope)
        elif envelope.id in self.interactions:
            self.counts["interactions twice"] += 1
            self._same_interaction(envelope)
        else:
            self.interactions[envelope.id] = _event(envelope)

    def _same_interaction(self, envelope: Envelope) -> None:
        """A client that sends again gets another `received_at` and nothing else."""
        before, again = self.interactions[envelope.id].data, _event(envelope).data
        if _lasting(before) != _lasting(again):
            self.problems.append(f"{envelope.id}: two records of one id differ")

    def _sequenced(self, record: Record, envelope: Envelope) -> None:
        """In order, nothing missing, and again only byte for byte."""
        workspace, topic, sequence = envelope.workspace, record.topic, envelope.sequence
        whole = repr((record.key, record.headers)).encode() + (record.value or b"")
        assert sequence is not None, envelope
        last = self._last.get((topic, workspace), 0)
        name = f"{topic} of {workspace}"
        if sequence <= last:
            self.counts[f"{topic} twice"] += 1
            if self._bytes.get((topic, workspace, sequence)) != whole:
                self.problems.append(f"{name}: {sequence} comes again with other bytes")
            return
        previous = int(dict(envelope.extensions).get("previous", "-1"))
        if previous != last:
            self.problems.append(f"{name}: {sequence} names {previous} before it, not {last}")
        self._last[(topic, workspace)] = sequence
        self._bytes[(topic, workspace, sequence)] = whole
        its = self.routing if topic == topics.ROUTING_EVENTS else self.sla
        event = _event(envelope)
        if event.data["seq"] != sequence or event.data["workspace"] != workspace:
            self.problems.append(f"{name}: {sequence} says of itself {event.data}")
        its.setdefault(workspace, []).append(event)

    async def stop(self) -> None:
        if self._reader is not None:
            await self._reader.stop()


def _event(envelope: Envelope) -> Event:
    return Event(
        envelope.workspace,
        envelope.id,
        envelope.type,
        envelope.sequence or 0,
        msgspec.json.decode(envelope.data),
        envelope.time,
    )


def _lasting(data: Data) -> Data:
    return {name: value for name, value in data.items() if name != "received_at"}
