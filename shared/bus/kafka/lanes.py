"""Records on their way to Kafka, a lane for each partition: one batch is sent while the next gathers.

aiokafka's own `send` costs more per record than the record does: a coroutine, a future and a task's
wake-up. Here whole batches go through its batch interface, and a call waits once for all its records.
The idempotent producer numbers a batch when it is taken, so nothing may be added after that: the next
batch is handed over only when the one before was acknowledged, and is closed then.
"""
# aiokafka brings no types:
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import asyncio
import copy
from collections.abc import Sequence
from itertools import islice
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from shared.bus.port import Outgoing


class _Call:
    """One call's records: where they came to lie, and how many batches are still under way."""

    __slots__ = ("done", "offsets", "open")

    def __init__(self, count: int, loop: asyncio.AbstractEventLoop) -> None:
        self.offsets = [-1] * count
        self.open = 1  # until all its records are in batches
        self.done: asyncio.Future[list[int]] = loop.create_future()

    def part_done(self) -> None:
        self.open -= 1
        if not self.open and not self.done.done():
            self.done.set_result(self.offsets)


class _Batch:
    """Records that are sent together. `parts`: (call, index of a record in the call, its place in
    the batch, how many records follow each other in both)."""

    __slots__ = ("builder", "parts", "size")

    def __init__(self, builder: Any) -> None:
        self.builder = builder
        self.parts: list[tuple[_Call, int, int, int]] = []
        self.size = 0

    def take(self, records: Sequence[Outgoing], start: int, call: _Call) -> int:
        """Take records from `start` on while they are for the same partition and there is room;
        returns the index of the first that was not taken."""
        index, append = start, self.builder.append
        topic, partition = records[start].topic, records[start].partition
        for record in islice(records, start, None):
            if record.partition != partition or record.topic != topic:
                break
            taken = append(
                timestamp=record.timestamp_ms,
                key=record.key,
                value=record.value,
                headers=list(record.headers),
            )
            if taken is None:
                break
            index += 1
        if index > start:
            self.parts.append((call, start, self.size, index - start))
            self.size += index - start
            call.open += 1
        return index

    def acknowledge(self, base: int) -> None:
        for call, index, place, count in self.parts:
            first = base + place
            call.offsets[index : index + count] = range(first, first + count)
            call.part_done()

    def fail(self, error: Exception) -> None:
        for call, *_ in self.parts:
            if not call.done.done():
                call.done.set_exception(copy.copy(error))


class _Lane:
    """The way to one partition. `waiting` counts the calls that wait for room: none overtakes."""

    __slots__ = ("gathering", "partition", "room", "sending", "topic", "turn", "waiting")

    def __init__(self, topic: str, partition: int) -> None:
        self.topic = topic
        self.partition = partition
        self.gathering: _Batch | None = None
        self.sending: asyncio.Task[None] | None = None
        self.waiting = 0
        self.turn = asyncio.Lock()
        self.room = asyncio.Event()


class Lanes:
    """All lanes of one producer. A partition's gathering batch is bounded by the producer's
    max_batch_size; a call that finds it full waits until it is handed over."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer
        self._lanes: dict[tuple[str, int], _Lane] = {}
        self._loop = asyncio.get_running_loop()

    async def deliver(self, records: Sequence[Outgoing]) -> list[int]:
        """Append in order, then wait for all; returns their offsets. Raises KafkaError, the first
        that a batch of them met; whoever stops waiting takes nothing back."""
        call = _Call(len(records), self._loop)
        index = 0
        try:
            while index < len(records):
                lane = self._lane(records[index])
                if not lane.waiting:
                    index = self._add(lane, records, index, call)
                if index < len(records) and self._lane(records[index]) is lane:
                    index = await self._add_later(lane, records, index, call)
        except BaseException:
            call.done.cancel()
            raise
        call.part_done()
        return await call.done

    async def stop(self, patience_s: float) -> bool:
        """Whether all that had been given was acknowledged or refused within the time. What was not
        fails; nothing may be delivered afterwards."""
        under_way = {lane.sending for lane in self._lanes.values() if lane.sending is not None}
        if not under_way:
            return True
        _, late = await asyncio.wait(under_way, timeout=patience_s)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)
        for lane in self._lanes.values():
            if lane.gathering is not None:
                lane.gathering.fail(_stopped())
        return not late

    def _lane(self, record: Outgoing) -> _Lane:
        place = (record.topic, record.partition)
        lane = self._lanes.get(place)
        if lane is None:
            lane = self._lanes[place] = _Lane(*place)
        return lane

    def _add(self, lane: _Lane, records: Sequence[Outgoing], start: int, call: _Call) -> int:
        """Let the lane's batch take what it can; returns the index of the first that it did not."""
        batch = lane.gathering
        if batch is None:
            batch = lane.gathering = _Batch(self._producer.create_batch())
        index = batch.take(records, start, call)
        if lane.sending is None:
            lane.sending = self._loop.create_task(self._send(lane))
        return index

    async def _add_later(
        self, lane: _Lane, records: Sequence[Outgoing], start: int, call: _Call
    ) -> int:
        """The same in turn, once there is room. The first record of a batch always fits."""
        lane.waiting += 1
        try:
            async with lane.turn:
                while (index := self._add(lane, records, start, call)) == start:
                    lane.room.clear()
                    await lane.room.wait()
                return index
        finally:
            lane.waiting -= 1

    async def _send(self, lane: _Lane) -> None:
        """Send what has gathered, until nothing has."""
        while (batch := lane.gathering) is not None:
            lane.gathering = None
            batch.builder.close()
            lane.room.set()
            await self._send_one(batch, lane.topic, lane.partition)
        lane.sending = None

    async def _send_one(self, batch: _Batch, topic: str, partition: int) -> None:
        try:
            sent = await self._producer.send_batch(batch.builder, topic, partition=partition)
            acknowledged = await sent
        except asyncio.CancelledError:
            batch.fail(_stopped())
            raise
        except Exception as error:
            batch.fail(error)
        else:
            batch.acknowledge(acknowledged.offset)


def _stopped() -> KafkaError:
    return KafkaError("the producer was stopped")
