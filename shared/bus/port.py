"""The bus: an ordered, durable log per (topic, partition). Three twins: Kafka, PostgreSQL, memory.

Positions are kept by the reader's owner (in PostgreSQL), never by the bus. DESIGN §3 and §4.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from shared.contracts.envelope import Headers

TopicPartition = tuple[str, int]

MAX_RECORD_BYTES = 1 << 20
"""Largest key + value + headers of one record."""
MAX_POLL_RECORDS = 10_000
"""Most records of one poll, whatever the caller asks for."""
MAX_POLL_BYTES = 16 << 20
"""A poll ends once it holds this much; one record is always let through."""


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """A record to append, with a key or a value or both. `timestamp_ms` None: the bus stamps it."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    timestamp_ms: int | None = None

    def size(self) -> int:
        """Bytes of key, value and headers, as MAX_RECORD_BYTES counts them."""
        held = len(self.key or b"") + len(self.value or b"")
        if not self.headers:
            return held
        names, texts = zip(*self.headers, strict=True)
        return held + len("".join(names).encode()) + len(b"".join(texts))


class Record(msgspec.Struct, frozen=True, gc=False):
    """A record as it lies in the log.

    `read` is what the first consumer in this process made of it, for those after it: a process that
    serves several services hands one object to all. The bus neither sets nor looks at it.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    read: object = None


class BusUnavailable(Exception):
    """Transient: the bus did not answer. Nothing is promised; what was being sent may or may not be
    in the log, and sending it again may leave it there twice."""


class RecordRefused(Exception):
    """Permanent: this will never be taken (too large, neither key nor value, unknown topic or
    partition)."""


class PositionOutOfRange(Exception):
    """The log no longer (or not yet) holds the position asked for. Never reset silently."""

    def __init__(self, topic: str, partition: int, position: int, earliest: int, end: int) -> None:
        super().__init__(
            f"{topic}[{partition}]: position {position} is outside the log,"
            f" which holds offsets {earliest} to {end} (end exclusive)"
        )
        self.topic = topic
        self.partition = partition
        self.position = position
        self.earliest = earliest
        self.end = end


class Reader(Protocol):
    """Reads assigned partitions, each from a position that its owner keeps.

    One task at a time may call it. No groups, no commits, no automatic reset.
    """

    async def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        """Start to read these partitions at these offsets (the next to be read), or move there.

        Other partitions keep their places, and those assigned before keep being paused or not. An
        offset equal to the log's end is fine. Raises PositionOutOfRange or BusUnavailable; then
        nothing of this call is assigned. Unknown topic or partition: RecordRefused.
        """
        ...

    async def release(self, partitions: Sequence[TopicPartition]) -> None:
        """Stop to read these; unknown ones are ignored. Nothing of them is returned afterwards."""
        ...

    async def poll(self, max_records: int, timeout_ms: int) -> list[Record]:
        """What has arrived, in offset order per partition; [] when nothing did within timeout_ms.

        Returns as soon as there is something. Bounded by max_records, MAX_POLL_RECORDS and
        MAX_POLL_BYTES. Partitions take turns, so that none starves. Raises PositionOutOfRange when
        retention overtook a position, and BusUnavailable where the bus says so; both leave the
        positions as they were and poll may be called again.
        """
        ...

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        """Return nothing of these until `resume`; they stay assigned. Unknown ones are ignored."""
        ...

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        """Undo `pause`."""
        ...

    async def stop(self) -> None:
        """Free what the reader holds. May be called twice."""
        ...


class Bus(Protocol):
    """The log. Safe for concurrent use by tasks of one event loop."""

    async def start(self) -> None:
        """Connect. Raises BusUnavailable when nothing answers; may then be called again."""
        ...

    async def stop(self) -> None:
        """Flush and disconnect, readers included. May be called twice."""
        ...

    async def ensure_topics(self, partitions: Mapping[str, int]) -> None:
        """Create topics or add partitions, up to the numbers given. Idempotent; never shrinks.

        Retention comes from `shared.contracts.topics.RETENTION_MS`. Raises BusUnavailable.
        """
        ...

    async def send(self, records: Sequence[Outgoing]) -> list[int]:
        """Append the records; returns their offsets, in order, once all are durable.

        Order per partition is kept within a call and between calls made one after the other.
        Concurrent calls share round trips. Raises RecordRefused before anything is sent when a
        record is too large, empty, or its topic or partition unknown, and BusUnavailable when the outcome
        of at least one is unknown: all may be repeated, and may then lie in the log twice.
        """
        ...

    async def bounds(
        self, partitions: Sequence[TopicPartition]
    ) -> dict[TopicPartition, tuple[int, int]]:
        """(earliest, end) of each: the first offset held, and the next one to be given.

        Raises BusUnavailable, and RecordRefused for an unknown topic or partition.
        """
        ...

    def reader(self) -> Reader:
        """A new reader without partitions; the caller stops it."""
        ...
