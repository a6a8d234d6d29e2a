"""What every bus promises to those who read."""

import asyncio
import time
from itertools import pairwise

import pytest

from shared.bus.port import Bus, Outgoing, PositionOutOfRange, Record, RecordRefused
from shared.testing.bus_reading import read_all, read_count
from shared.testing.bus_twins import Twin


async def fill(bus: Bus, topic: str, partition: int, count: int) -> None:
    await bus.send([Outgoing(topic, partition, b"k", b"%d" % n) for n in range(count)])


def places(records: list[Record]) -> list[tuple[int, int]]:
    return [(record.partition, record.offset) for record in records]


async def test_records_outlive_their_sender_and_reader(twin: Twin, topic: str) -> None:
    async with twin.open() as first:
        await twin.create(first, topic, 1)
        await fill(first, topic, 0, 10)
        reader = first.reader()
        await reader.assign({(topic, 0): 0})
        assert len(await read_count(reader, 4, max_records=4)) == 4
    async with twin.open() as second:
        reader = second.reader()
        await reader.assign({(topic, 0): 4})
        assert places(await read_count(reader, 6)) == [(0, n) for n in range(4, 10)]


async def test_a_position_is_the_next_to_be_read_and_may_be_the_end(
    bus: Bus, twin: Twin, topic: str
) -> None:
    await twin.create(bus, topic, 1)
    await fill(bus, topic, 0, 5)
    reader = bus.reader()
    await reader.assign({(topic, 0): 5})
    assert await reader.poll(10, 150) == []
    assert await bus.send([Outgoing(topic, 0, b"k", b"5")]) == [5]
    assert places(await reader.poll(10, 5000)) == [(0, 5)]
    await reader.assign({(topic, 0): 2})
    assert places(await read_count(reader, 4)) == [(0, 2), (0, 3), (0, 4), (0, 5)]


async def test_assigning_leaves_the_others_where_they_are(bus: Bus, twin: Twin, topic: str) -> None:
    await twin.create(bus, topic, 3)
    for partition in range(3):
        await fill(bus, topic, partition, 6)
    reader = bus.reader()
    await reader.assign({(topic, 0): 0})
    assert places(await read_count(reader, 2, max_records=2)) == [(0, 0), (0, 1)]
    await reader.assign({(topic, 1): 4})
    assert sorted(places(await read_count(reader, 6))) == [
        *((0, n) for n in range(2, 6)),
        (1, 4),
        (1, 5),
    ]
    await reader.assign({(topic, 1): 5, (topic, 2): 5})
    assert sorted(places(await read_count(reader, 2))) == [(1, 5), (2, 5)]
    assert await reader.poll(10, 150) == []


async def test_a_poll_is_bounded_and_loses_nothing(bus: Bus, twin: Twin, topic: str) -> None:
    await twin.create(bus, topic, 2)
    await fill(bus, topic, 0, 50)
    await fill(bus, topic, 1, 50)
    reader = bus.reader()
    await reader.assign({(topic, 0): 0, (topic, 1): 0})
    found: list[Record] = []
    while len(found) < 100:
        polled = await reader.poll(7, 5000)
        assert 1 <= len(polled) <= 7
        found += polled
    for partition in range(2):
        own = [record.offset for record in found if record.partition == partition]
        assert own == list(range(50))


async def test_a_poll_of_large_records_is_bounded_in_bytes(
    full_bus: Bus, full_twin: Twin, topic: str
) -> None:
    await full_twin.create(full_bus, topic, 1)
    for _ in range(6):
        await full_bus.send([Outgoing(topic, 0, b"k", b"x" * 1_000_000) for _ in range(4)])
    reader = full_bus.reader()
    await reader.assign({(topic, 0): 0})
    sizes: list[int] = []
    while sum(sizes) < 24:
        sizes.append(len(await reader.poll(100, 5000)))
    assert max(sizes) <= 17
    assert sum(sizes) == 24


async def test_a_full_partition_does_not_starve_its_neighbour(
    bus: Bus, twin: Twin, topic: str
) -> None:
    await twin.create(bus, topic, 2)
    await bus.send([Outgoing(topic, 0, b"k", b"x" * 1000) for _ in range(5000)])
    await fill(bus, topic, 1, 1)
    reader = bus.reader()
    await reader.assign({(topic, 0): 0, (topic, 1): 0})
    seen = 0
    while True:
        polled = await reader.poll(100, 5000)
        seen += len(polled)
        if any(record.partition == 1 for record in polled):
            break
    assert seen <= 2500


async def test_paused_partitions_return_nothing_and_lose_nothing(
    bus: Bus, twin: Twin, topic: str
) -> None:
    await twin.create(bus, topic, 2)
    await fill(bus, topic, 0, 5)
    await fill(bus, topic, 1, 5)
    reader = bus.reader()
    await reader.assign({(topic, 0): 0, (topic, 1): 0})
    reader.pause([(topic, 0), (topic, 3)])
    assert places(await read_count(reader, 5)) == [(1, n) for n in range(5)]
    assert await reader.poll(10, 150) == []
    await reader.assign({(topic, 1): 3})
    assert places(await read_count(reader, 2)) == [(1, 3), (1, 4)]
    reader.resume([(topic, 0)])
    assert places(await read_count(reader, 5)) == [(0, n) for n in range(5)]


async def test_pausing_in_the_middle_of_a_partition(bus: Bus, twin: Twin, topic: str) -> None:
    await twin.create(bus, topic, 1)
    await fill(bus, topic, 0, 10)
    reader = bus.reader()
    await reader.assign({(topic, 0): 0})
    assert places(await reader.poll(4, 5000)) == [(0, n) for n in range(4)]
    reader.pause([(topic, 0)])
    assert await reader.poll(10, 300) == []
    waiting = asyncio.create_task(reader.poll(10, 5000))
    await asyncio.sleep(0.05)
    reader.resume([(topic, 0)])
    found = await waiting
    found += await read_count(reader, 6 - len(found))
    assert places(found) == [(0, n) for n in range(4, 10)]


async def test_released_partitions_return_nothing(bus: Bus, twin: Twin, topic: str) -> None:
    await twin.create(bus, topic, 2)
    await fill(bus, topic, 0, 5)
    await fill(bus, topic, 1, 5)
    reader = bus.reader()
    await reader.assign({(topic, 0): 0, (topic, 1): 0})
    first = await reader.poll(1, 5000)
    await reader.release([(topic, 0), (topic, 2)])
    rest = await read_count(reader, 5 - sum(record.partition == 1 for record in first))
    assert all(record.partition == 1 for record in rest)
    assert await reader.poll(10, 150) == []
    await reader.assign({(topic, 0): 1})
    assert places(await read_count(reader, 4)) == [(0, n) for n in range(1, 5)]
    await reader.release([(topic, 0), (topic, 1)])
    assert await reader.poll(10, 50) == []


async def test_a_waiting_reader_is_woken_promptly(bus: Bus, twin: Twin, topic: str) -> None:
    await twin.create(bus, topic, 2)
    reader = bus.reader()
    await reader.assign({(topic, 0): 0, (topic, 1): 0})
    assert await reader.poll(10, 300) == []
    delays: list[float] = []
    for turn in range(10):
        waiting = asyncio.create_task(reader.poll(10, 5000))
        await asyncio.sleep(0.03)
        await bus.send([Outgoing(topic, turn % 2, b"k", b"v")])
        sent = time.perf_counter()
        assert len(await waiting) == 1
        delays.append(time.perf_counter() - sent)
    assert sorted(delays)[7] < 0.1, delays


async def test_an_empty_poll_takes_its_time_and_no_longer(bus: Bus, twin: Twin, topic: str) -> None:
    await twin.create(bus, topic, 1)
    reader = bus.reader()
    for _ in range(2):
        started = time.perf_counter()
        assert await reader.poll(10, 200) == []
        assert 0.15 < time.perf_counter() - started < 1.5
        await reader.assign({(topic, 0): 0})


async def test_several_readers_do_not_share_their_places(bus: Bus, twin: Twin, topic: str) -> None:
    await twin.create(bus, topic, 1)
    await fill(bus, topic, 0, 5)
    first, second = bus.reader(), bus.reader()
    await first.assign({(topic, 0): 0})
    await second.assign({(topic, 0): 3})
    assert len(await read_count(first, 5)) == 5
    assert places(await read_count(second, 2)) == [(0, 3), (0, 4)]


async def test_a_position_beyond_the_end_is_refused(bus: Bus, twin: Twin, topic: str) -> None:
    await twin.create(bus, topic, 2)
    await fill(bus, topic, 0, 3)
    await fill(bus, topic, 1, 3)
    reader = bus.reader()
    with pytest.raises(PositionOutOfRange) as caught:
        await reader.assign({(topic, 1): 0, (topic, 0): 4})
    error = caught.value
    assert (error.topic, error.partition, error.position) == (topic, 0, 4)
    assert (error.earliest, error.end) == (0, 3)
    assert await reader.poll(10, 100) == []
    with pytest.raises(PositionOutOfRange):
        await reader.assign({(topic, 0): -1})
    for unknown in ((f"{topic}.unknown", 0), (topic, 4)):
        with pytest.raises(RecordRefused):
            await reader.assign({unknown: 0})


async def test_a_position_before_the_log_is_refused_never_reset(
    full_bus: Bus, full_twin: Twin, topic: str
) -> None:
    await full_twin.create(full_bus, topic, 2)
    await fill(full_bus, topic, 0, 10)
    await fill(full_bus, topic, 1, 1)
    late = full_bus.reader()
    await late.assign({(topic, 0): 0})
    assert places(await late.poll(2, 5000)) == [(0, 0), (0, 1)]
    late.pause([(topic, 0)])
    await full_twin.truncate((topic, 0), 6)
    assert await full_bus.bounds([(topic, 0)]) == {(topic, 0): (6, 10)}
    reader = full_bus.reader()
    with pytest.raises(PositionOutOfRange, match="6 to 10"):
        await reader.assign({(topic, 0): 5})
    await reader.assign({(topic, 0): 6})
    assert places(await read_count(reader, 4)) == [(0, n) for n in range(6, 10)]
    assert places(await read_all(full_bus, (topic, 0))) == [(0, n) for n in range(6, 10)]
    assert await full_bus.send([Outgoing(topic, 0, b"k", b"v")]) == [10]


async def test_retention_overtaking_a_reader_is_told_by_poll(
    full_bus: Bus, full_twin: Twin, topic: str
) -> None:
    await full_twin.create(full_bus, topic, 2)
    await fill(full_bus, topic, 0, 4)
    reader = full_bus.reader()
    await reader.assign({(topic, 0): 4})
    reader.pause([(topic, 0)])
    await reader.assign({(topic, 0): 2})
    await full_twin.truncate((topic, 0), 4)
    reader.resume([(topic, 0)])
    for _ in range(2):
        with pytest.raises(PositionOutOfRange) as caught:
            async with asyncio.timeout(10):
                while True:
                    assert await reader.poll(10, 1000) == []
        assert (caught.value.position, caught.value.earliest, caught.value.end) == (2, 4, 4)
    await fill(full_bus, topic, 1, 1)
    await reader.assign({(topic, 0): 4, (topic, 1): 0})
    assert places(await read_count(reader, 1)) == [(1, 0)]


async def test_reading_while_others_send_gives_each_record_once(
    bus: Bus, twin: Twin, topic: str
) -> None:
    await twin.create(bus, topic, 3)
    reader = bus.reader()
    await reader.assign({(topic, partition): 0 for partition in range(3)})

    async def sender(partition: int) -> None:
        for turn in range(30):
            await bus.send([Outgoing(topic, partition, b"k", b"%d" % turn) for _ in range(5)])

    senders = asyncio.gather(*(sender(partition) for partition in range(3)))
    found = await read_count(reader, 450)
    await senders
    for partition in range(3):
        offsets = [record.offset for record in found if record.partition == partition]
        assert offsets[0] == 0
        assert all(after == before + 1 for before, after in pairwise(offsets))
    assert await reader.poll(10, 100) == []
