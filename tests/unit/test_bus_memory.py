"""The memory bus's faults, which simulation rests on."""

import asyncio
from collections.abc import Iterator, Sequence

import pytest

from shared.bus.memory import MemoryBus, SendFault
from shared.bus.open import open_bus
from shared.bus.port import BusUnavailable, Outgoing


def record(value: bytes, partition: int = 0) -> Outgoing:
    return Outgoing("t", partition, b"k", value)


def faults(*planned: SendFault | None) -> "Faults":
    return Faults(iter(planned))


class Faults:
    def __init__(self, planned: Iterator[SendFault | None]) -> None:
        self.planned = planned

    def __call__(self, records: Sequence[Outgoing]) -> SendFault | None:
        return next(self.planned, None)


async def log_of(bus: MemoryBus) -> list[bytes | None]:
    reader = bus.reader()
    await reader.assign({("t", 0): 0})
    return [each.value for each in await reader.poll(100, 0)]


@pytest.mark.parametrize(
    ("fault", "kept"),
    [("unavailable", []), ("torn", [b"a"]), ("answer-lost", [b"a", b"b"])],
)
async def test_a_failed_send_leaves_what_its_fault_says(
    fault: SendFault, kept: list[bytes]
) -> None:
    bus = MemoryBus(inject=faults(fault))
    await bus.ensure_topics({"t": 1})
    both = [record(b"a"), record(b"b")]
    with pytest.raises(BusUnavailable):
        await bus.send(both)
    assert await log_of(bus) == kept
    assert await bus.send(both) == [len(kept), len(kept) + 1]
    assert await log_of(bus) == [*kept, b"a", b"b"]


async def test_an_unavailable_bus_fails_every_call_and_returns_with_its_log() -> None:
    bus = MemoryBus()
    await bus.ensure_topics({"t": 1})
    await bus.send([record(b"a")])
    reader = bus.reader()
    await reader.assign({("t", 0): 0})
    bus.unavailable = True
    for call in (
        bus.start(),
        bus.send([record(b"b")]),
        bus.bounds([("t", 0)]),
        bus.ensure_topics({"t": 2}),
        reader.poll(1, 0),
        reader.assign({("t", 0): 0}),
    ):
        with pytest.raises(BusUnavailable):
            await call
    bus.unavailable = False
    assert [each.value for each in await reader.poll(10, 0)] == [b"a"]


async def test_held_records_are_seen_when_they_are_shown() -> None:
    bus = MemoryBus()
    await bus.ensure_topics({"t": 2})
    await bus.send([record(b"a")])
    bus.hold(("t", 0))
    assert await bus.send([record(b"b"), record(b"other", 1)]) == [1, 0]
    reader = bus.reader()
    await reader.assign({("t", 0): 0, ("t", 1): 0})
    assert sorted(each.value or b"" for each in await reader.poll(10, 0)) == [b"a", b"other"]
    assert await bus.bounds([("t", 0)]) == {("t", 0): (0, 1)}
    waiting = asyncio.create_task(reader.poll(10, 60_000))
    await asyncio.sleep(0)
    bus.show(("t", 0))
    assert [each.value for each in await waiting] == [b"b"]


async def test_times_come_from_the_clock_given() -> None:
    now_ms = 5
    bus = MemoryBus(lambda: now_ms)
    await bus.ensure_topics({"t": 1})
    await bus.send([record(b"a")])
    now_ms = 9
    await bus.send([record(b"b"), Outgoing("t", 0, b"k", b"c", (), 7)])
    reader = bus.reader()
    await reader.assign({("t", 0): 0})
    assert [each.timestamp_ms for each in await reader.poll(10, 0)] == [5, 9, 7]


async def test_partitions_take_turns_in_the_same_order_every_time() -> None:
    async def run() -> list[tuple[int, int]]:
        bus = MemoryBus()
        await bus.ensure_topics({"t": 3})
        await bus.send([record(b"%d" % n, n % 3) for n in range(30)])
        reader = bus.reader()
        await reader.assign({("t", partition): 0 for partition in range(3)})
        seen: list[tuple[int, int]] = []
        while polled := await reader.poll(4, 0):
            seen += [(each.partition, each.offset) for each in polled]
        return seen

    first = await run()
    assert await run() == first
    assert {partition for partition, _ in first[:12]} == {0, 1, 2}
    assert len(first) == 30


def test_a_bus_needs_kafka_or_a_database() -> None:
    with pytest.raises(ValueError, match="KAFKA_BOOTSTRAP_SERVERS"):
        open_bus(None, None)
