"""The bus in memory, for simulation: deterministic, without clock or tasks, with faults on demand."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import Literal

from shared.bus.admission import admit, places, refuse_unknown
from shared.bus.port import (
    MAX_POLL_BYTES,
    MAX_POLL_RECORDS,
    BusUnavailable,
    Outgoing,
    PositionOutOfRange,
    Record,
    TopicPartition,
)

SendFault = Literal["unavailable", "torn", "answer-lost"]
"""unavailable: nothing was appended. torn: the first half was. answer-lost: all were. Each raises
BusUnavailable, so that whoever repeats appends the rest, or everything, twice."""


def _no_time() -> int:
    return 0


class _Log:
    """One partition. `base` is the offset of records[0]; readers see offsets below `shown`."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.sizes: list[int] = []
        self.base = 0
        self.shown = 0
        self.held = False

    @property
    def end(self) -> int:
        return self.base + len(self.records)


class MemoryBus:
    """All partitions in one process. `clock_ms` stamps records that bring no time.

    Faults: `inject` is asked at each send; `unavailable` fails every call until it is False again;
    `hold` and `show` delay what readers see; `truncate` plays retention.
    """

    def __init__(
        self,
        clock_ms: Callable[[], int] = _no_time,
        inject: Callable[[Sequence[Outgoing]], SendFault | None] | None = None,
    ) -> None:
        self.unavailable = False
        self.inject = inject
        self._clock_ms = clock_ms
        self._partitions: dict[str, int] = {}
        self._logs: dict[TopicPartition, _Log] = {}
        self._readers: list[MemoryReader] = []

    async def start(self) -> None:
        self.refuse_when_unavailable()

    async def stop(self) -> None:
        for reader in tuple(self._readers):
            await reader.stop()

    async def ensure_topics(self, partitions: Mapping[str, int]) -> None:
        self.refuse_when_unavailable()
        for topic, count in partitions.items():
            for number in range(self._partitions.get(topic, 0), count):
                self._logs[topic, number] = _Log()
            self._partitions[topic] = max(count, self._partitions.get(topic, 0))

    async def send(self, records: Sequence[Outgoing]) -> list[int]:
        self.refuse_when_unavailable()
        refuse_unknown(places(records), self._partitions)
        admit(records)
        sizes = [each.size() for each in records]
        fault = self.inject(records) if self.inject else None
        if fault == "unavailable":
            raise BusUnavailable("the memory bus was told to fail: nothing appended")
        if fault == "torn":
            half = len(records) // 2
            self._append(records[:half], sizes[:half])
            raise BusUnavailable("the memory bus was told to fail: appended in part")
        offsets = self._append(records, sizes)
        if fault == "answer-lost":
            raise BusUnavailable("the memory bus was told to fail: appended, answer lost")
        return offsets

    async def bounds(
        self, partitions: Sequence[TopicPartition]
    ) -> dict[TopicPartition, tuple[int, int]]:
        self.refuse_when_unavailable()
        refuse_unknown(partitions, self._partitions)
        return {each: (self._logs[each].base, self._logs[each].shown) for each in partitions}

    def reader(self) -> "MemoryReader":
        reader = MemoryReader(self)
        self._readers.append(reader)
        return reader

    def hold(self, partition: TopicPartition) -> None:
        """Hide what is appended to the partition from now on, until `show`."""
        self._logs[partition].held = True

    def show(self, partition: TopicPartition) -> None:
        """Let readers see everything that `hold` hid."""
        log = self._logs[partition]
        log.held, log.shown = False, log.end
        self._wake({partition})

    def truncate(self, partition: TopicPartition, before: int) -> None:
        """Drop all records below offset `before`, as retention does."""
        log = self._logs[partition]
        cut = min(before, log.shown) - log.base
        if cut > 0:
            del log.records[:cut]
            del log.sizes[:cut]
            log.base += cut

    def refuse_when_unavailable(self) -> None:
        """Raise BusUnavailable while `unavailable` is set."""
        if self.unavailable:
            raise BusUnavailable("the memory bus was told to be unavailable")

    def forget(self, reader: "MemoryReader") -> None:
        """A reader has stopped."""
        if reader in self._readers:
            self._readers.remove(reader)

    def shows(self, partition: TopicPartition) -> int:
        """The offset that readers see next to be written."""
        return self._logs[partition].shown

    def slice(
        self, partition: TopicPartition, position: int, count: int, room: int
    ) -> list[Record]:
        """Up to `count` records of at most `room` bytes from `position`; one is always let through.

        Raises PositionOutOfRange.
        """
        log = self._logs[partition]
        if not log.base <= position <= log.shown:
            raise PositionOutOfRange(*partition, position, log.base, log.shown)
        first = position - log.base
        last = first
        while last - first < count and last + log.base < log.shown:
            room -= log.sizes[last]
            if room < 0 and last > first:
                break
            last += 1
        return log.records[first:last]

    def _append(self, records: Sequence[Outgoing], sizes: Sequence[int]) -> list[int]:
        now_ms = self._clock_ms()
        offsets = [
            self._append_one(record, size, now_ms)
            for record, size in zip(records, sizes, strict=True)
        ]
        self._wake({(record.topic, record.partition) for record in records})
        return offsets

    def _append_one(self, record: Outgoing, size: int, now_ms: int) -> int:
        log = self._logs[record.topic, record.partition]
        offset = log.end
        stamp = now_ms if record.timestamp_ms is None else record.timestamp_ms
        log.records.append(
            Record(
                record.topic,
                record.partition,
                offset,
                stamp,
                record.key,
                record.value,
                record.headers,
            )
        )
        log.sizes.append(size)
        if not log.held:
            log.shown = log.end
        return offset

    def _wake(self, changed: Set[TopicPartition]) -> None:
        for reader in self._readers:
            reader.wake(changed)


class MemoryReader:
    """Reads a MemoryBus. Waits on the running loop's clock, which a simulation may make virtual."""

    def __init__(self, bus: MemoryBus) -> None:
        self._bus = bus
        self._turns: deque[TopicPartition] = deque()
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._news = asyncio.Event()

    async def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        bounds = await self._bus.bounds(tuple(positions))
        for partition, position in positions.items():
            earliest, end = bounds[partition]
            if not earliest <= position <= end:
                raise PositionOutOfRange(*partition, position, earliest, end)
        self._positions.update(positions)
        self._turns.extend(each for each in positions if each not in self._turns)
        self._news.set()

    async def release(self, partitions: Sequence[TopicPartition]) -> None:
        for partition in partitions:
            if self._positions.pop(partition, None) is not None:
                self._turns.remove(partition)
            self._paused.discard(partition)

    async def poll(self, max_records: int, timeout_ms: int) -> list[Record]:
        await asyncio.sleep(0)
        if found := self._take(min(max_records, MAX_POLL_RECORDS)):
            return found
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                while not found:
                    await self._news.wait()
                    found = self._take(min(max_records, MAX_POLL_RECORDS))
        except TimeoutError:
            return []
        return found

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        self._paused.update(each for each in partitions if each in self._positions)

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        self._paused.difference_update(partitions)
        self._news.set()

    async def stop(self) -> None:
        self._positions.clear()
        self._turns.clear()
        self._bus.forget(self)

    def wake(self, changed: Set[TopicPartition]) -> None:
        """Something may have arrived in these."""
        if not changed.isdisjoint(self._positions):
            self._news.set()

    def _take(self, max_records: int) -> list[Record]:
        self._news.clear()
        self._bus.refuse_when_unavailable()
        found: list[Record] = []
        room = MAX_POLL_BYTES
        for partition in self._active():
            if self._positions[partition] == self._bus.shows(partition):
                continue
            if len(found) >= max_records or room <= 0:
                break
            part = self._slice(partition, max_records - len(found), room, found)
            room -= sum(_size(record) for record in part)
            found.extend(part)
        for record in found:
            self._positions[record.topic, record.partition] = record.offset + 1
        self._turns.rotate(-1)
        return found

    def _active(self) -> Iterable[TopicPartition]:
        return (each for each in self._turns if each not in self._paused)

    def _slice(
        self, partition: TopicPartition, count: int, room: int, found: list[Record]
    ) -> list[Record]:
        """A part of one log; a position out of range waits until what was found is handed over."""
        try:
            return self._bus.slice(partition, self._positions[partition], count, room)
        except PositionOutOfRange:
            if not found:
                raise
            self._news.set()
            return []


def _size(record: Record) -> int:
    return len(record.key or b"") + len(record.value or b"")
