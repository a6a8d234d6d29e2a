"""What happened, as the bus tells it: read from the topics, never from a store's tables."""

from hashlib import blake2b
from typing import Any

import msgspec

from shared.bus.memory import MemoryBus
from shared.bus.port import Record
from shared.contracts import topics
from shared.contracts.deadletter import DeadLetter
from shared.contracts.instants import parse_instant
from shared.testing.simulation.ledger import Ledger

Event = dict[str, Any]


class Told(msgspec.Struct):
    """One event of a service, the first time it was published. `kind`: its type in short;
    `by_us`: by the bus's own clock, which is right."""

    seq: int
    kind: str
    data: Event
    raw: bytes
    by_us: int

    @property
    def at_us(self) -> int:
        return parse_instant(self.data["at"])


async def read_log(bus: MemoryBus, topic: str, partition: int) -> list[Record]:
    """A partition from its beginning to its end."""
    reader = bus.reader()
    start = (await bus.bounds([(topic, partition)]))[topic, partition][0]
    await reader.assign({(topic, partition): start})
    records: list[Record] = []
    while found := await reader.poll(10_000, 0):
        records.extend(found)
    await reader.stop()
    return records


async def told(
    bus: MemoryBus, topic: str, partitions: int, ledger: Ledger
) -> dict[str, list[Told]]:
    """Per workspace what its service has said, in order; complains where a consumer would miss
    something: a gap, another order, or the same number with other bytes."""
    found: dict[str, list[Told]] = {}
    for partition in range(partitions):
        for record in await read_log(bus, topic, partition):
            said = dict(record.headers)
            before = found.setdefault(said["ce_workspace"].decode(), [])
            _take(topic, said, record, before, ledger)
    return found


def _take(
    topic: str, said: dict[str, bytes], record: Record, before: list[Told], ledger: Ledger
) -> None:
    seq, data = int(said["ce_sequence"]), record.value or b""
    where = f"{topic} of {said['ce_workspace'].decode()}"
    last = before[-1].seq if before else 0
    if seq > last:
        previous = int(said["ce_previous"])
        if previous != last:
            ledger.complain(f"{where}: {seq} follows {last}, but says {previous}")
        before.append(
            Told(
                seq,
                said["ce_type"].decode().split(".", 1)[1][:-3],
                msgspec.json.decode(data),
                data,
                (record.timestamp_ms + 1) * 1000,
            )
        )
    elif not any(each.seq == seq and each.raw == data for each in reversed(before)):
        ledger.complain(f"{where}: {seq} was published again with other bytes")


async def dead_letters(bus: MemoryBus, partitions: int) -> list[DeadLetter]:
    """Each once, by its id."""
    letters: dict[str, DeadLetter] = {}
    for partition in range(partitions):
        for record in await read_log(bus, topics.DEADLETTER, partition):
            letter = msgspec.json.decode(record.value or b"", type=DeadLetter)
            letters[letter.id] = letter
    return list(letters.values())


async def poisoned(
    bus: MemoryBus, partitions: int, ledger: Ledger
) -> dict[bytes, list[tuple[str, int, int]]]:
    """Where each poison lies: twice, where the answer to its sending was lost."""
    found: dict[bytes, list[tuple[str, int, int]]] = {}
    for topic in topics.INTERACTIONS.values():
        for partition in range(partitions):
            for record in await read_log(bus, topic, partition):
                event_id = dict(record.headers)["ce_id"]
                if event_id in ledger.poison:
                    place = (topic, partition, record.offset)
                    found.setdefault(event_id, []).append(place)
    return found


async def digest(bus: MemoryBus, partitions: int) -> str:
    """A hash over all topics: equal for equal lives."""
    total = blake2b(digest_size=16)
    for topic in topics.ALL_TOPICS:
        for partition in range(partitions):
            for record in await read_log(bus, topic, partition):
                for name, text in record.headers:
                    total.update(b"%b=%b;" % (name.encode(), text))
                total.update(record.value or b"")
    return total.hexdigest()
