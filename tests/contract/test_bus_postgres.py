"""What is the embedded log's own: its schema, retention, group commit, and two processes on it."""

import asyncio
from unittest.mock import patch

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.bus.port import Outgoing, Record
from shared.bus.postgres import PostgresBus
from shared.bus.postgres.pushed import MOST_BYTES, Pushed
from shared.bus.postgres.reader import PostgresReader
from shared.contracts.topics import DAY_MS, RAW, RETENTION_MS, SLA_EVENTS
from shared.testing.bus_reading import read_all


async def test_many_may_start_at_once_and_again(bus_engine: AsyncEngine) -> None:
    buses = [PostgresBus(bus_engine) for _ in range(4)]
    try:
        await asyncio.gather(*(bus.start() for bus in buses))
        await buses[0].start()
        await asyncio.gather(*(bus.ensure_topics({"a": 3, "b": 2}) for bus in buses))
        assert await buses[3].send([Outgoing("a", 2, b"k", b"v")]) == [0]
    finally:
        for bus in buses:
            await bus.stop()


async def test_each_topic_is_kept_for_its_own_time(bus_engine: AsyncEngine) -> None:
    bus = PostgresBus(bus_engine)
    await bus.start()
    try:
        await bus.ensure_topics({RAW: 2, SLA_EVENTS: 1})
        assert RETENTION_MS[RAW] < RETENTION_MS[SLA_EVENTS]
        for topic, partition in ((RAW, 0), (RAW, 1), (SLA_EVENTS, 0)):
            await bus.send([Outgoing(topic, partition, b"k", b"%d" % n) for n in range(10)])
        async with bus_engine.connect() as connection:
            now_ms = (
                await connection.execute(text("SELECT max(stored_ms) FROM bus.record"))
            ).scalar()
        assert now_ms is not None
        assert await bus.trim(now_ms + RETENTION_MS[RAW] - DAY_MS) == 0
        assert await bus.trim(now_ms + RETENTION_MS[RAW] + 1) == 20
        bounds = await bus.bounds([(RAW, 0), (RAW, 1), (SLA_EVENTS, 0)])
        assert bounds == {(RAW, 0): (10, 10), (RAW, 1): (10, 10), (SLA_EVENTS, 0): (0, 10)}
        assert await bus.send([Outgoing(RAW, 0, b"k", b"v")]) == [10]
        assert [each.offset for each in await read_all(bus, (RAW, 0))] == [10]
    finally:
        await bus.stop()


async def test_a_record_whose_sender_names_an_old_time_is_kept_from_its_arrival(
    bus_engine: AsyncEngine,
) -> None:
    bus = PostgresBus(bus_engine)
    await bus.start()
    try:
        await bus.ensure_topics({RAW: 1})
        await bus.send([Outgoing(RAW, 0, b"k", b"v", (), 1)])
        assert await bus.trim() == 0
        assert [each.timestamp_ms for each in await read_all(bus, (RAW, 0))] == [1]
    finally:
        await bus.stop()


async def test_retention_works_off_a_long_log_in_steps(
    bus_engine: AsyncEngine,
) -> None:
    bus = PostgresBus(bus_engine, trim_records=7)
    await bus.start()
    try:
        await bus.ensure_topics({RAW: 2})
        await bus.send([Outgoing(RAW, n % 2, b"k", b"v") for n in range(100)])
        async with bus_engine.begin() as connection:
            await connection.execute(
                text('UPDATE bus.record SET stored_ms = 0 WHERE "offset" < 40')
            )
        assert await bus.trim() == 80
        assert await bus.bounds([(RAW, 0), (RAW, 1)]) == {(RAW, 0): (40, 50), (RAW, 1): (40, 50)}
    finally:
        await bus.stop()


async def test_concurrent_sends_share_transactions(bus_engine: AsyncEngine) -> None:
    bus = PostgresBus(bus_engine)
    await bus.start()
    try:
        await bus.ensure_topics({"t": 4})
        before = await transactions(bus_engine)
        await asyncio.gather(*(bus.send([Outgoing("t", n % 4, b"k", b"v")]) for n in range(400)))
        assert await transactions(bus_engine) - before <= 10
    finally:
        await bus.stop()


async def transactions(engine: AsyncEngine) -> int:
    """How many transactions ids this database's server has given out; reading takes none."""
    async with engine.connect() as connection:
        query = "SELECT CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS text) AS bigint)"
        return int((await connection.execute(text(query))).scalar_one())


async def test_a_send_whose_caller_gave_up_disturbs_nobody(bus_engine: AsyncEngine) -> None:
    bus = PostgresBus(bus_engine)
    await bus.start()
    try:
        await bus.ensure_topics({"t": 1})
        sends = [
            asyncio.create_task(bus.send([Outgoing("t", 0, b"k", b"%d" % n)])) for n in range(9)
        ]
        await asyncio.sleep(0)
        sends[4].cancel()
        answers = await asyncio.gather(*sends, return_exceptions=True)
        assert isinstance(answers[4], asyncio.CancelledError)
        offsets = [answer[0] for answer in answers if isinstance(answer, list)]
        assert len(offsets) == 8
        values = [each.value for each in await read_all(bus, ("t", 0))]
        assert [values[offset] for offset in offsets] == [b"%d" % n for n in range(9) if n != 4]
    finally:
        await bus.stop()


async def test_what_its_own_process_appends_is_not_read_again(bus_engine: AsyncEngine) -> None:
    bus = PostgresBus(bus_engine)
    await bus.start()
    try:
        await bus.ensure_topics({"t": 2})
        reader = bus.reader()
        await reader.assign({("t", 0): 0, ("t", 1): 0})
        assert await reader.poll(10, 50) == []
        sent = [Outgoing("t", n % 2, b"k", b"%d" % n, (("name", b"text"),)) for n in range(6)]
        with patch.object(PostgresReader, "_connected", side_effect=AssertionError("asked")):
            await bus.send(sent)
            first = await reader.poll(4, 500)
            rest = await reader.poll(10, 500)
        assert len(first) == 4 and len(rest) == 2
        found = sorted((*first, *rest), key=lambda each: (each.partition, each.offset))
        assert found == [*await read_all(bus, ("t", 0)), *await read_all(bus, ("t", 1))]
    finally:
        await bus.stop()


async def test_two_processes_append_and_each_reads_all_in_order(bus_engine: AsyncEngine) -> None:
    buses = [PostgresBus(bus_engine) for _ in range(2)]
    try:
        for bus in buses:
            await bus.start()
            await bus.ensure_topics({"t": 1})
        readers = [bus.reader() for bus in buses]
        for reader in readers:
            await reader.assign({("t", 0): 0})

        async def append(bus: PostgresBus, name: bytes) -> None:
            for n in range(60):
                await bus.send([Outgoing("t", 0, name, b"%d" % n)])

        async def read(reader: PostgresReader) -> list[int]:
            offsets: list[int] = []
            async with asyncio.timeout(20):
                while len(offsets) < 120:
                    offsets += [each.offset for each in await reader.poll(7, 500)]
            return offsets

        found = await asyncio.gather(
            *map(read, readers), append(buses[0], b"a"), append(buses[1], b"b")
        )
        assert found[0] == found[1] == list(range(120))
    finally:
        for bus in buses:
            await bus.stop()


async def test_what_came_while_paused_is_read_on_resume(bus_engine: AsyncEngine) -> None:
    bus = PostgresBus(bus_engine)
    await bus.start()
    try:
        await bus.ensure_topics({"t": 1})
        reader = bus.reader()
        await reader.assign({("t", 0): 0})
        assert await reader.poll(10, 50) == []
        await bus.send([Outgoing("t", 0, b"k", b"0")])
        reader.pause([("t", 0)])
        await bus.send([Outgoing("t", 0, b"k", b"1")])
        assert await reader.poll(10, 50) == []
        reader.resume([("t", 0)])
        await bus.send([Outgoing("t", 0, b"k", b"2")])
        offsets: list[int] = []
        while len(offsets) < 3:
            offsets += [each.offset for each in await reader.poll(10, 500)]
        assert offsets == [0, 1, 2]
    finally:
        await bus.stop()


def test_pushed_records_that_do_not_follow_replace_those_before() -> None:
    pushed = Pushed()
    pushed.put([record(5), record(6)], 2)
    assert not pushed.begins_at(4) and pushed.begins_at(6) and len(pushed) == 1
    pushed.put([record(7)], 1)
    pushed.put([record(9)], 1)
    assert not pushed.begins_at(6) and pushed.begins_at(9)
    assert [each.offset for each in pushed.take(5, 0 + 1)[0]] == [9] and not pushed
    pushed.put([record(n, 2) for n in range(4)], 8)
    assert [each.offset for each in pushed.take(3, 100)[0]] == [0, 1, 2]
    assert pushed.take(3, 100) == ([record(3, 2)], 2) and not pushed
    pushed.put([record(n, 2) for n in range(4)], 8)
    assert [len(taken) for taken in (pushed.take(9, 3)[0], pushed.take(9, 1)[0])] == [2, 1]
    pushed.put([record(n) for n in range(6)], MOST_BYTES + 1)
    assert not pushed


def record(offset: int, size: int = 1) -> Record:
    return Record("t", 0, offset, 0, None, bytes(size))
