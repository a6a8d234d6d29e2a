"""Reads from Kafka by manual assignment: positions are the caller's, nothing is committed."""
# aiokafka brings no types:
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from shared.bus.kafka.clients import begin, end_consumer
from shared.bus.kafka.topics import unavailable
from shared.bus.port import (
    MAX_POLL_BYTES,
    MAX_POLL_RECORDS,
    PositionOutOfRange,
    Record,
)
from shared.bus.port import TopicPartition as Partition

FETCH_WAIT_MS = 100
"""How long Kafka holds an empty fetch; a partition just added or resumed waits at most this."""
PARTITION_FETCH_BYTES = 2 << 20

Bounds = Callable[[Sequence[Partition]], Awaitable[dict[Partition, tuple[int, int]]]]


class KafkaReader:
    """One consumer without a group. It prefetches one answer per partition, at most
    PARTITION_FETCH_BYTES each and MAX_POLL_BYTES together per broker."""

    def __init__(
        self,
        settings: Mapping[str, Any],
        bounds: Bounds,
        on_stop: Callable[["KafkaReader"], None],
    ) -> None:
        self._settings = settings
        self._bounds = bounds
        self._on_stop = on_stop
        self._consumer: AIOKafkaConsumer | None = None
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._change = asyncio.Event()

    async def assign(self, positions: Mapping[Partition, int]) -> None:
        if not positions:
            return
        bounds = await self._bounds(tuple(positions))
        for partition, position in positions.items():
            earliest, end = bounds[partition]
            if not earliest <= position <= end:
                raise PositionOutOfRange(*partition, position, earliest, end)
        consumer = await self._connected()
        wanted = {TopicPartition(*each): position for each, position in positions.items()}
        new = wanted.keys() - self._positions.keys()
        self._positions |= wanted
        if new:
            self._reassign(consumer)
        else:
            for partition, position in wanted.items():
                consumer.seek(partition, position)
        self._change.set()

    async def release(self, partitions: Sequence[Partition]) -> None:
        gone = {TopicPartition(*each) for each in partitions} & self._positions.keys()
        if not gone or self._consumer is None:
            return
        for partition in gone:
            del self._positions[partition]
        self._paused -= gone
        self._reassign(self._consumer)

    async def poll(self, max_records: int, timeout_ms: int) -> list[Record]:
        consumer = self._consumer
        active = [each for each in self._positions if each not in self._paused]
        if consumer is None or not active:
            await self._idle(timeout_ms)
            return []
        try:
            fetched = await consumer.getmany(
                *active, timeout_ms=timeout_ms, max_records=min(max_records, MAX_POLL_RECORDS)
            )
        except OffsetOutOfRangeError as error:
            await self._explain(error)
            return []
        except KafkaError as error:
            self._reassign(consumer)
            raise unavailable("could not be read", error) from error
        return [_record(each) for part in fetched.items() for each in self._advance(*part)]

    def pause(self, partitions: Sequence[Partition]) -> None:
        known = {TopicPartition(*each) for each in partitions} & self._positions.keys()
        self._paused |= known
        if self._consumer is not None:
            self._consumer.pause(*known)

    def resume(self, partitions: Sequence[Partition]) -> None:
        known = {TopicPartition(*each) for each in partitions} & self._paused
        self._paused -= known
        if self._consumer is not None:
            self._consumer.resume(*known)
        self._change.set()

    async def stop(self) -> None:
        consumer, self._consumer = self._consumer, None
        self._positions.clear()
        self._paused.clear()
        self._on_stop(self)
        if consumer is not None:
            await end_consumer(consumer)

    def _reassign(self, consumer: AIOKafkaConsumer) -> None:
        """Hand aiokafka the whole assignment; it forgets places and pauses, so set them again.

        No await in between: its fetcher must never see a partition without a position.
        """
        consumer.assign(list(self._positions))
        for partition, position in self._positions.items():
            consumer.seek(partition, position)
        if self._paused:
            consumer.pause(*self._paused)

    def _advance(
        self, partition: TopicPartition, records: list[ConsumerRecord[Any, Any]]
    ) -> list[ConsumerRecord[Any, Any]]:
        self._positions[partition] = records[-1].offset + 1
        return records

    async def _idle(self, timeout_ms: int) -> None:
        """Nothing to read: wait for an assignment or a resume."""
        self._change.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_ms / 1000):
                await self._change.wait()

    async def _explain(self, error: OffsetOutOfRangeError) -> None:
        """Say where the log begins and ends, if a position is really outside.

        A new leader may for a moment not know the end yet: then the position is tried again.
        """
        lost: Sequence[TopicPartition] = tuple(error.args[0])
        bounds = await self._bounds([(each.topic, each.partition) for each in lost])
        for each in lost:
            earliest, end = bounds[each.topic, each.partition]
            position = self._positions[each]
            if not earliest <= position <= end:
                raise PositionOutOfRange(
                    each.topic, each.partition, position, earliest, end
                ) from error

    async def _connected(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            consumer = AIOKafkaConsumer(
                **self._settings,
                group_id=None,
                enable_auto_commit=False,
                auto_offset_reset="none",
                fetch_max_wait_ms=FETCH_WAIT_MS,
                fetch_max_bytes=MAX_POLL_BYTES,
                max_partition_fetch_bytes=PARTITION_FETCH_BYTES,
            )
            await begin(consumer)
            self._consumer = consumer
        return self._consumer


def _record(fetched: ConsumerRecord[Any, Any]) -> Record:
    headers: tuple[tuple[str, Any], ...] = tuple(fetched.headers)
    if None in [value for _, value in headers]:  # the same name may come twice
        headers = tuple((name, value or b"") for name, value in headers)
    return Record(
        fetched.topic,
        fetched.partition,
        fetched.offset,
        fetched.timestamp,
        fetched.key,
        fetched.value,
        headers,
    )
