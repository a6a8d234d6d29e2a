"""What every bus promises to those who send."""

import asyncio
import time

import pytest

from shared.bus.port import MAX_RECORD_BYTES, Bus, Outgoing, RecordRefused
from shared.testing.bus_reading import read_all
from shared.testing.bus_twins import Twin


def numbered(topic: str, partition: int, count: int, start: int = 0) -> list[Outgoing]:
    return [Outgoing(topic, partition, b"k", b"%d" % n) for n in range(start, start + count)]


async def test_offsets_count_from_zero_and_order_is_kept(bus: Bus, twin: Twin, topic: str) -> None:
    await twin.create(bus, topic, 2)
    assert await bus.send(numbered(topic, 0, 3)) == [0, 1, 2]
    assert await bus.send([]) == []
    mixed = [*numbered(topic, 1, 2), *numbered(topic, 0, 2, start=3), *numbered(topic, 1, 1, 2)]
    assert await bus.send(mixed) == [0, 1, 3, 4, 2]
    for partition, count in ((0, 5), (1, 3)):
        read = await read_all(bus, (topic, partition))
        assert [record.value for record in read] == [b"%d" % n for n in range(count)]
        assert [record.offset for record in read] == list(range(count))


async def test_key_value_headers_and_time_come_back(bus: Bus, twin: Twin, topic: str) -> None:
    await twin.create(bus, topic, 1)
    headers = (("ce_id", b"1"), ("raw", bytes(range(256))), ("ce_id", b"again"), ("empty", b""))
    sent = [
        Outgoing(topic, 0, b"key", b"value", headers, 1_700_000_000_123),
        Outgoing(topic, 0, None, b"no key"),
        Outgoing(topic, 0, b"no value", None),
        Outgoing(topic, 0, b"", b""),
    ]
    before_ms = int(time.time() * 1000)
    await bus.send(sent)
    read = await read_all(bus, (topic, 0))
    assert [(each.key, each.value, each.headers) for each in read] == [
        (each.key, each.value, each.headers) for each in sent
    ]
    assert read[0].timestamp_ms == 1_700_000_000_123
    assert before_ms - 1000 <= read[1].timestamp_ms <= int(time.time() * 1000) + 1000


async def test_a_large_batch_keeps_its_order(bus: Bus, twin: Twin, topic: str) -> None:
    await twin.create(bus, topic, 3)
    records = [Outgoing(topic, n % 3, b"%d" % n, b"x" * 600) for n in range(6000)]
    offsets = await bus.send(records)
    assert offsets == [n // 3 for n in range(6000)]
    for partition in range(3):
        read = await read_all(bus, (topic, partition))
        assert [record.key for record in read] == [b"%d" % n for n in range(partition, 6000, 3)]


async def test_the_largest_record_is_taken_and_a_larger_one_refused(
    bus: Bus, twin: Twin, topic: str
) -> None:
    await twin.create(bus, topic, 1)
    largest = Outgoing(topic, 0, b"key", b"x" * (MAX_RECORD_BYTES - 3))
    assert await bus.send([largest]) == [0]
    too_large = Outgoing(topic, 0, b"key", b"x" * (MAX_RECORD_BYTES - 2))
    with pytest.raises(RecordRefused, match=str(MAX_RECORD_BYTES)):
        await bus.send([largest, too_large])
    assert [record.value for record in await read_all(bus, (topic, 0))] == [largest.value]


async def test_what_can_never_be_sent_is_refused_whole(bus: Bus, twin: Twin, topic: str) -> None:
    await twin.create(bus, topic, 4)
    good = Outgoing(topic, 0, b"k", b"v")
    for bad, text in (
        (Outgoing(f"{topic}.unknown", 0, b"k", b"v"), "unknown"),
        (Outgoing(topic, 4, b"k", b"v"), "partitions 0 to 3, not 4"),
        (Outgoing(topic, -1, b"k", b"v"), "not -1"),
        (Outgoing(topic, 0, None, None), "a key or a value"),
    ):
        with pytest.raises(RecordRefused, match=text):
            await bus.send([good, bad])
    assert await bus.bounds([(topic, 0)]) == {(topic, 0): (0, 0)}


async def test_concurrent_senders_get_their_own_offsets(bus: Bus, twin: Twin, topic: str) -> None:
    await twin.create(bus, topic, 2)

    async def sender(name: int) -> list[tuple[int, bytes]]:
        mine: list[tuple[int, bytes]] = []
        for turn in range(20):
            values = [b"%d.%d.%d" % (name, turn, n) for n in range(3)]
            offsets = await bus.send([Outgoing(topic, name % 2, b"k", value) for value in values])
            mine.extend(zip(offsets, values, strict=True))
        return mine

    answers = await asyncio.gather(*(sender(name) for name in range(16)))
    for partition in range(2):
        read = await read_all(bus, (topic, partition))
        promised = sorted(pair for answer in answers[partition::2] for pair in answer)
        assert [(record.offset, record.value) for record in read] == promised
        assert [record.offset for record in read] == list(range(16 * 20 * 3 // 2))
        for name in range(partition, 16, 2):
            own = [record.value for record in read if record.value.split(b".")[0] == b"%d" % name]
            assert own == [b"%d.%d.%d" % (name, t, n) for t in range(20) for n in range(3)]


async def test_several_buses_share_one_log(twin: Twin, topic: str) -> None:
    async with twin.open() as first, twin.open() as second:
        await twin.create(first, topic, 4)
        await twin.create(second, topic, 4)
        sends = [
            each.send([Outgoing(topic, p, b"%d" % n, b"v") for p in order])
            for n in range(40)
            for each, order in ((first, (0, 1, 2, 3)), (second, (3, 2, 1, 0)))
        ]
        offsets = await asyncio.gather(*sends)
        assert sorted(answer[0] for answer in offsets[::2]) == sorted(
            set(range(80)) - {answer[3] for answer in offsets[1::2]}
        )
        assert len(await read_all(second, (topic, 2))) == 80


async def test_bounds_are_the_first_offset_and_the_next(bus: Bus, twin: Twin, topic: str) -> None:
    await twin.create(bus, topic, 4)
    await bus.send(numbered(topic, 1, 7))
    partitions = [(topic, 0), (topic, 1)]
    assert await bus.bounds(partitions) == {(topic, 0): (0, 0), (topic, 1): (0, 7)}
    assert await bus.bounds([]) == {}
    for unknown in ((f"{topic}.unknown", 0), (topic, 4)):
        with pytest.raises(RecordRefused):
            await bus.bounds([unknown])


async def test_topics_are_created_grown_and_never_shrunk(
    full_bus: Bus, full_twin: Twin, topic: str
) -> None:
    await full_bus.ensure_topics({topic: 2})
    await full_bus.send(numbered(topic, 1, 3))
    await full_bus.ensure_topics({topic: 5, f"{topic}.other": 1})
    assert await full_bus.send([Outgoing(topic, 4, b"k", b"v")]) == [0]
    await full_bus.ensure_topics({topic: 3})
    assert await full_bus.send([Outgoing(topic, 4, b"k", b"v")]) == [1]
    assert await full_bus.bounds([(topic, 1)]) == {(topic, 1): (0, 3)}
    assert await full_bus.bounds([(f"{topic}.other", 0)]) == {(f"{topic}.other", 0): (0, 0)}


async def test_another_bus_learns_of_new_topics_and_partitions(full_twin: Twin, topic: str) -> None:
    async with full_twin.open() as old, full_twin.open() as new:
        await new.ensure_topics({topic: 1})
        assert await old.send(numbered(topic, 0, 1)) == [0]
        await new.ensure_topics({topic: 2})
        assert await old.send(numbered(topic, 1, 1)) == [0]
        reader = old.reader()
        await reader.assign({(topic, 1): 0})
        assert [record.offset for record in await reader.poll(10, 5000)] == [0]


async def test_topics_may_be_ensured_by_several_at_once(full_twin: Twin, topic: str) -> None:
    async with full_twin.open() as first, full_twin.open() as second:
        await asyncio.gather(*(each.ensure_topics({topic: 3}) for each in (first, second) * 2))
        assert await first.send(numbered(topic, 2, 1)) == [0]


async def test_stop_may_be_called_twice(twin: Twin) -> None:
    async with twin.open() as opened:
        opened.reader()
        await opened.stop()
