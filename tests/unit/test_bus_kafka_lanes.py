"""Lanes to Kafka with a producer that a test holds back: what is sent, in which order, told to whom."""

import asyncio

import pytest
from aiokafka.errors import KafkaError, NotLeaderForPartitionError

from shared.bus.kafka.lanes import Lanes
from shared.bus.port import Outgoing

ROOM = 4


class Builder:
    """A batch with room for ROOM records."""

    def __init__(self):
        self.values, self.closed = [], False

    def append(self, *, timestamp, key, value, headers):
        assert isinstance(headers, list)
        if self.closed or len(self.values) == ROOM:
            self.closed = True
            return None
        self.values.append(value)
        return object()

    def close(self):
        self.closed = True


class Sent:
    def __init__(self, offset):
        self.offset = offset


class Producer:
    """Two brokers, one of even partitions and one of odd; `go` lets the oldest batch be acknowledged,
    or fail."""

    def __init__(self):
        self.log, self.asked = {}, []
        self.client = self.cluster = self

    def leader_for_partition(self, place):
        return place.partition % 2

    def create_batch(self):
        return Builder()

    async def send_batch(self, builder, topic, *, partition):
        assert builder.closed, "nothing may be added to what is numbered"
        acknowledged = asyncio.get_running_loop().create_future()
        self.asked.append(((topic, partition), builder, acknowledged))
        return acknowledged

    async def go(self, error=None):
        await settle()
        place, builder, acknowledged = self.asked.pop(0)
        if error is not None:
            acknowledged.set_exception(error)
        else:
            log = self.log.setdefault(place, [])
            acknowledged.set_result(Sent(len(log)))
            log.extend(builder.values)
        await settle()


async def settle():
    for _ in range(12):
        await asyncio.sleep(0)


def records(*values, topic="t", partition=0):
    return [Outgoing(topic, partition, b"k", value.encode()) for value in values]


def sending(lanes, *values, **place):
    return asyncio.create_task(lanes.deliver(records(*values, **place)))


async def test_what_comes_during_a_round_trip_shares_the_next():
    producer = Producer()
    lanes = Lanes(producer)
    first = sending(lanes, "a")
    await settle()
    others = [sending(lanes, "b"), sending(lanes, "c", "d")]
    await producer.go()
    assert await first == [0]
    await producer.go()
    assert [await one for one in others] == [[1], [2, 3]]
    assert not producer.asked


async def test_a_long_call_goes_in_several_batches_and_nobody_overtakes_it():
    producer = Producer()
    lanes = Lanes(producer)
    long = sending(lanes, *"abcdefghij")
    await settle()
    short = sending(lanes, "x")
    while not long.done() or not short.done():
        await producer.go()
    assert await long == list(range(10))
    assert await short == [10]
    assert producer.log["t", 0] == [one.encode() for one in "abcdefghijx"]


async def test_lanes_to_one_broker_hand_over_together():
    producer = Producer()
    lanes = Lanes(producer)
    first = sending(lanes, "a")
    await settle()
    others = [sending(lanes, "b", partition=2), sending(lanes, "c")]
    await settle()
    assert len(producer.asked) == 1, "a request is under way to this broker"
    elsewhere = sending(lanes, "d", partition=1)
    await settle()
    assert len(producer.asked) == 2
    await producer.go()
    assert await first == [0]
    assert [place for place, *_ in producer.asked] == [("t", 1), ("t", 2), ("t", 0)]
    while producer.asked:
        await producer.go()
    assert [await one for one in (*others, elsewhere)] == [[0], [1], [0]]


async def test_lanes_do_not_wait_for_each_other():
    producer = Producer()
    lanes = Lanes(producer)
    mixed = asyncio.create_task(
        lanes.deliver([*records("a"), *records("b", partition=1), *records("c"), *records("d")])
    )
    await settle()
    assert len(producer.asked) == 2
    await producer.go()
    assert not mixed.done()
    await producer.go()
    assert await mixed == [0, 0, 1, 2]


async def test_a_failed_batch_fails_those_who_had_a_part_in_it():
    producer = Producer()
    lanes = Lanes(producer)
    first = sending(lanes, "a")
    await settle()
    second = sending(lanes, "b")
    await producer.go(NotLeaderForPartitionError())
    with pytest.raises(NotLeaderForPartitionError):
        await first
    await producer.go()
    assert await second == [0]


async def test_a_caller_who_leaves_takes_nothing_back_and_holds_nobody_up():
    producer = Producer()
    lanes = Lanes(producer)
    full = sending(lanes, "a")
    await settle()
    leaving = sending(lanes, *"bcdefg")
    await settle()
    waiting = sending(lanes, "x")
    await settle()
    leaving.cancel()
    await settle()
    while not waiting.done():
        await producer.go()
    assert await full == [0]
    assert await waiting == [5]
    assert producer.log["t", 0] == [one.encode() for one in "abcdex"]


async def test_stopping_waits_for_the_last_and_fails_what_stays():
    producer = Producer()
    lanes = Lanes(producer)
    done = sending(lanes, "a")
    await settle()
    ending = asyncio.create_task(lanes.stop(5))
    await producer.go()
    assert await ending
    assert await done == [0]
    late, later = sending(lanes, "b"), None
    await settle()
    later = sending(lanes, "c")
    await settle()
    assert not await lanes.stop(0.01)
    for one in (late, later):
        with pytest.raises(KafkaError, match="stopped"):
            await one
