"""Records on their way to Kafka, a lane for each partition: one batch is sent while the next gathers.

aiokafka's own `send` costs more per record than the record does: a coroutine, a future and a task's
wake-up. Here whole batches go through its batch interface, and a call waits once for all its records.
The idempotent producer numbers a batch when it is taken, so nothing may be added after that: a batch
is handed over when the one before was acknowledged, and is closed then. aiokafka has one request at a
time under way to a broker, so all lanes to a broker hand over together and share that request.
"""
# aiokafka brings no types:
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import asyncio
import copy
from collections.abc import Sequence
from functools import partial
from itertools import islice
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
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

    def fail(self, error: BaseException) -> None:
        for call, *_ in self.parts:
            if not call.done.done():
                call.done.set_exception(copy.copy(error))


class _Lane:
    """The way to one partition. `waiting` counts the calls that wait for room: none overtakes."""

    __slots__ = ("gathering", "partition", "room", "topic", "turn", "under_way", "waiting")

    def __init__(self, topic: str, partition: int) -> None:
        self.topic = topic
        self.partition = partition
        self.gathering: _Batch | None = None
        self.under_way: _Batch | None = None
        self.waiting = 0
        self.turn = asyncio.Lock()
        self.room = asyncio.Event()

    def hand_over(self) -> _Batch:
        batch, self.gathering = self.gathering, None
        assert batch is not None
        self.under_way = batch
        batch.builder.close()
        self.room.set()
        return batch


class _Road:
    """The lanes to one broker: those that are `ready` to hand over, and the task that does it."""

    __slots__ = ("landed", "ready", "task")

    def __init__(self) -> None:
        self.ready: dict[_Lane, None] = {}
        self.landed = asyncio.Event()
        self.task: asyncio.Task[None] | None = None


class Lanes:
    """All lanes of one producer. A partition's gathering batch is bounded by the producer's
    max_batch_size; a call that finds it full waits until it is handed over."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer
        self._lanes: dict[tuple[str, int], _Lane] = {}
        self._roads: dict[object, _Road] = {}
        self._sent: set[asyncio.Future[Any]] = set()
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
        deadline = self._loop.time() + patience_s
        while (left := self._under_way()) and (time_s := deadline - self._loop.time()) > 0:
            await asyncio.wait(left, timeout=time_s, return_when=asyncio.FIRST_COMPLETED)
        tasks = {road.task for road in self._roads.values() if road.task is not None}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for lane in self._lanes.values():
            for batch in (lane.under_way, lane.gathering):
                if batch is not None:
                    batch.fail(KafkaError("the producer was stopped"))
        return not left

    def _under_way(self) -> set[asyncio.Future[Any]]:
        tasks = [road.task for road in self._roads.values() if road.task is not None]
        return {*tasks, *self._sent}

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
        if lane.under_way is None:
            self._make_ready(lane)
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

    def _make_ready(self, lane: _Lane) -> None:
        road = self._road(lane)
        road.ready[lane] = None
        if road.task is None:
            road.task = self._loop.create_task(self._drive(road))

    def _road(self, lane: _Lane) -> _Road:
        """That of the partition's leader; a partition without one holds nobody up."""
        cluster = self._producer.client.cluster
        leader = cluster.leader_for_partition(TopicPartition(lane.topic, lane.partition))
        key = lane if leader is None or leader < 0 else leader
        road = self._roads.get(key)
        if road is None:
            road = self._roads[key] = _Road()
        return road

    async def _drive(self, road: _Road) -> None:
        """Hand over what has gathered whenever something was acknowledged, until nothing is ready."""
        while road.ready:
            lanes, road.ready = road.ready, {}
            road.landed.clear()
            for lane in lanes:
                await self._hand_over(lane, road)
            await road.landed.wait()
        road.task = None

    async def _hand_over(self, lane: _Lane, road: _Road) -> None:
        batch = lane.hand_over()
        try:
            sent = await self._producer.send_batch(
                batch.builder, lane.topic, partition=lane.partition
            )
        except Exception as error:
            batch.fail(error)
            self._free(lane, road)
        else:
            self._sent.add(sent)
            sent.add_done_callback(partial(self._landed, lane, batch, road))

    def _landed(self, lane: _Lane, batch: _Batch, road: _Road, sent: asyncio.Future[Any]) -> None:
        self._sent.discard(sent)
        if sent.cancelled():
            batch.fail(KafkaError("the producer was stopped"))
        elif (error := sent.exception()) is not None:
            batch.fail(error)
        else:
            batch.acknowledge(sent.result().offset)
        self._free(lane, road)

    def _free(self, lane: _Lane, road: _Road) -> None:
        lane.under_way = None
        road.landed.set()
        if lane.gathering is not None:
            self._make_ready(lane)
