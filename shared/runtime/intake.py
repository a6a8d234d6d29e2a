"""From the bus to the shards' inboxes: one reader for all shards that a replica owns."""

from collections.abc import Mapping, Sequence

import structlog

from shared.bus.port import Bus, PositionOutOfRange, Reader, Record, TopicPartition
from shared.runtime.clock import Clock
from shared.runtime.limits import Limits
from shared.runtime.metrics import RuntimeMetrics
from shared.runtime.shard import Shard
from shared.runtime.tenure import Phase
from shared.runtime.timeline import MENDED_BY, Timeline

log = structlog.get_logger(__name__)


class Intake:
    """Only its own `step` touches the reader."""

    def __init__(
        self,
        service: str,
        bus: Bus,
        topics: Sequence[str],
        shards: Mapping[int, Shard],
        clock: Clock,
        limits: Limits,
        metrics: RuntimeMetrics,
        timeline: Timeline,
    ) -> None:
        self._service = service
        self._bus = bus
        self._topics = tuple(topics)
        self._shards = shards
        self._clock = clock
        self._limits = limits
        self._metrics = metrics
        self._timeline = timeline
        self._reader: Reader | None = None
        # partition -> the shard object and its count of loads that the reader serves
        self._joined: dict[int, tuple[Shard, int]] = {}
        self._paused: set[int] = set()

    async def step(self) -> bool:
        """Join and leave logs as the shards say, then poll once; False when nothing is assigned.

        Raises BusUnavailable (call again later), StoreUnavailable.
        """
        reader = self._reader
        if reader is None:
            reader = self._reader = self._bus.reader()
        if not self._is_settled():
            await self._leave(reader)
            await self._verify()
            await self._join(reader)
        if not self._joined:
            return False
        self._regulate(reader)
        try:
            records = await reader.poll(self._limits.poll_records, self._limits.poll_wait_ms)
        except PositionOutOfRange as error:
            await self._halt(reader, error)
            return True
        self._deliver(records)
        if records and len(records) < self._limits.poll_records and self._limits.poll_pause_ms:
            await self._clock.sleep(self._limits.poll_pause_ms / 1000)
        return True

    async def stop(self) -> None:
        reader, self._reader = self._reader, None
        self._joined.clear()
        self._paused.clear()
        if reader is not None:
            await reader.stop()

    def _is_settled(self) -> bool:
        """Whether the logs of all shards are joined as the shards are: so it is at nearly every poll."""
        joined = self._joined
        if len(joined) != len(self._shards):
            return False
        for partition, shard in self._shards.items():
            if partition not in joined or joined[partition][0] is not shard or not _reads(shard):
                return False
        return True

    async def _leave(self, reader: Reader) -> None:
        gone = [
            partition
            for partition, (shard, _) in self._joined.items()
            if self._shards.get(partition) is not shard or shard.phase in (Phase.LOST, Phase.HALTED)
        ]
        for partition in gone:
            del self._joined[partition]
            self._paused.discard(partition)
            await reader.release(self._of(partition))

    async def _verify(self) -> None:
        """Shards just taken: before anything is read or sent, is the log that of this database?"""
        fresh = {
            partition: shard
            for partition, shard in self._shards.items()
            if shard.phase is Phase.RUNNING and not shard.verified
        }
        if not fresh:
            return
        found = await self._timeline.strange(
            {partition: shard.following.positions for partition, shard in fresh.items()},
            {partition: shard.seqs or {} for partition, shard in fresh.items()},
        )
        for partition, shard in fresh.items():
            if shard.phase is not Phase.RUNNING:
                continue
            if partition in found:
                await shard.halt(found[partition])
            else:
                shard.verify()

    async def _join(self, reader: Reader) -> None:
        for partition, shard in tuple(self._shards.items()):
            if shard.phase is not Phase.RUNNING or shard.following.attached or not shard.verified:
                continue
            reading = shard.following.reading
            bounds = await self._bus.bounds(self._of(partition))
            starts = {
                topic: shard.following.positions.get(topic, earliest)
                for (topic, _), (earliest, _) in bounds.items()
            }
            try:
                await reader.assign({(topic, partition): start for topic, start in starts.items()})
            except PositionOutOfRange as error:
                await self._halt(reader, error)
                continue
            if shard.phase is Phase.RUNNING and shard.following.reading == reading:
                self._joined[partition] = (shard, reading)
                shard.join(starts, {topic: end for (topic, _), (_, end) in bounds.items()})

    def _regulate(self, reader: Reader) -> None:
        """A full inbox stops its partitions' records; half empty, they come again."""
        for partition, (shard, _) in self._joined.items():
            if shard.inbox.full and partition not in self._paused:
                self._paused.add(partition)
                reader.pause(self._of(partition))
            elif partition in self._paused and shard.inbox.roomy:
                self._paused.discard(partition)
                reader.resume(self._of(partition))

    def _deliver(self, records: Sequence[Record]) -> None:
        by_partition: dict[int, list[Record]] = {}
        for record in records:
            by_partition.setdefault(record.partition, []).append(record)
        for partition, its in by_partition.items():
            if partition in self._joined:
                shard, reading = self._joined[partition]
                if shard.following.reading == reading:
                    shard.offer(its)

    async def _halt(self, reader: Reader, error: PositionOutOfRange) -> None:
        """The log no longer holds what is next: only a person can say what to do."""
        shard = self._shards.get(error.partition)
        self._joined.pop(error.partition, None)
        await reader.release(self._of(error.partition))
        if shard is not None:
            await shard.halt(f"{error}. {MENDED_BY}")

    def _of(self, partition: int) -> list[TopicPartition]:
        return [(topic, partition) for topic in self._topics]

    async def measure(self) -> None:
        """Set the lag gauges. Raises BusUnavailable."""
        read = {partition: shard for partition, (shard, _) in self._joined.items()}
        bounds = await self._bus.bounds([each for one in read for each in self._of(one)])
        for (topic, partition), (_, end) in bounds.items():
            shard = read[partition]
            if self._shards.get(partition) is shard:
                here = shard.following.positions.get(topic, end)
                self._metrics.lag.labels(self._service, str(partition), topic).set(end - here)


def _reads(shard: Shard) -> bool:
    """Its log is joined, and what is read there is wanted."""
    return shard.following.attached and shard.verified and shard.tenure.phase is Phase.RUNNING
