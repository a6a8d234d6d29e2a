"""The bus when what carries it fails: it says so, comes back by itself, and loses nothing promised."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.bus.kafka import KafkaBus
from shared.bus.port import Bus, BusUnavailable, Outgoing, Record
from shared.bus.postgres import PostgresBus
from shared.testing.bus_reading import read_all, read_count
from shared.testing.bus_twins import running
from shared.testing.kafka import KafkaBroker, KafkaCluster

SEND_TIMEOUT_S = 1.5


@asynccontextmanager
async def kafka_bus(broker: KafkaBroker | KafkaCluster) -> AsyncGenerator[Bus]:
    async with running(KafkaBus(broker.bootstrap, send_timeout_s=SEND_TIMEOUT_S)) as bus:
        yield bus


async def in_thread(work: Callable[[], object]) -> None:
    await asyncio.to_thread(work)


async def until_sent(bus: Bus, record: Outgoing, timeout_s: float = 30) -> int:
    """Repeat as a caller does; returns the offset that was promised at last."""
    async with asyncio.timeout(timeout_s):
        while True:
            with suppress(BusUnavailable):
                return (await bus.send([record]))[0]
            await asyncio.sleep(0.1)


async def send_through(bus: Bus, topic: str, trouble: Awaitable[object]) -> dict[bytes, int]:
    """Eight senders that repeat until promised, going on until the trouble is over and 20 records
    more; returns what was promised: value -> offset."""
    promised: dict[bytes, int] = {}
    over = asyncio.Event()

    async def sender(name: int) -> None:
        turn = left = 0
        while left < 20:
            value = b"%d.%d" % (name, turn)
            promised[value] = await until_sent(bus, Outgoing(topic, 0, b"k", value), 60)
            turn += 1
            left += over.is_set()

    senders = asyncio.gather(*(sender(name) for name in range(8)))
    await asyncio.sleep(0.2)
    await trouble
    over.set()
    await senders
    return promised


async def assert_kept(bus: Bus, topic: str, promised: dict[bytes, int]) -> None:
    """Every promise holds, and each sender's first copies are in the order it sent them."""
    values = [record.value for record in await read_all(bus, (topic, 0))]
    assert {value: values[offset] for value, offset in promised.items()} == {
        value: value for value in promised
    }
    first = dict.fromkeys(values)
    for name in range(8):
        own = [int(value.split(b".")[1]) for value in first if value.startswith(b"%d." % name)]
        assert own == sorted(own)


@pytest.mark.kafka
async def test_kafka_stopped_and_started_again(own_kafka: KafkaBroker, topic: str) -> None:
    async with kafka_bus(own_kafka) as bus:
        await bus.ensure_topics({topic: 1})
        reader = bus.reader()
        await reader.assign({(topic, 0): 0})
        await bus.send([Outgoing(topic, 0, b"k", b"before")])
        assert [record.value for record in await read_count(reader, 1)] == [b"before"]
        await in_thread(own_kafka.stop)
        started = time.perf_counter()
        with pytest.raises(BusUnavailable):
            await bus.send([Outgoing(topic, 0, b"k", b"during")])
        assert time.perf_counter() - started < SEND_TIMEOUT_S + 1
        assert await reader.poll(10, 100) == []
        with pytest.raises(BusUnavailable):
            await KafkaBus(own_kafka.bootstrap).start()
        await in_thread(own_kafka.start)
        offset = await until_sent(bus, Outgoing(topic, 0, b"k", b"after"))
        read = [record.value for record in await read_count(reader, offset)]
        assert read[-1] == b"after"
        assert set(read[:-1]) <= {b"during", b"after"}
        assert (await bus.bounds([(topic, 0)]))[topic, 0][0] == 0


@pytest.mark.kafka
async def test_a_killed_broker_keeps_every_promise(own_kafka: KafkaBroker, topic: str) -> None:
    async with kafka_bus(own_kafka) as bus:
        await bus.ensure_topics({topic: 1})

        def kill() -> None:
            own_kafka.kill()
            own_kafka.start()

        promised = await send_through(bus, topic, in_thread(kill))
        assert len(promised) >= 160
        await assert_kept(bus, topic, promised)


@pytest.mark.kafka
async def test_a_frozen_broker_keeps_every_promise(own_kafka: KafkaBroker, topic: str) -> None:
    async with kafka_bus(own_kafka) as bus:
        await bus.ensure_topics({topic: 1})

        async def freeze() -> None:
            own_kafka.pause()
            with pytest.raises(BusUnavailable):
                await bus.send([Outgoing(topic, 0, b"k", b"9.0")])
            own_kafka.resume()

        await assert_kept(bus, topic, await send_through(bus, topic, freeze()))


@pytest.mark.kafka
async def test_stopping_with_kafka_away_ends(own_kafka: KafkaBroker, topic: str) -> None:
    async with kafka_bus(own_kafka) as bus:
        await bus.ensure_topics({topic: 1})
        await bus.send([Outgoing(topic, 0, b"k", b"v")])
        readers = [bus.reader() for _ in range(5)]
        for reader in readers:
            await reader.assign({(topic, 0): 0})
            assert len(await read_count(reader, 1)) == 1
        await in_thread(own_kafka.kill)
        with pytest.raises(BusUnavailable):
            await bus.send([Outgoing(topic, 0, b"k", b"v")])
        for reader in readers[1:]:
            await asyncio.sleep(0.03)
            await reader.stop()
        async with asyncio.timeout(25):
            await bus.stop()


@pytest.mark.kafka
@pytest.mark.slow
async def test_three_brokers_outlive_one_and_refuse_with_two_gone(
    own_kafka_cluster: KafkaCluster, topic: str
) -> None:
    async with kafka_bus(own_kafka_cluster) as bus:
        await bus.ensure_topics({topic: 1})
        first, second, _ = own_kafka_cluster.nodes
        promised = await send_through(bus, topic, in_thread(first.kill))
        await assert_kept(bus, topic, promised)
        await in_thread(second.kill)
        with pytest.raises(BusUnavailable):
            await bus.send([Outgoing(topic, 0, b"k", b"two gone")])
        await in_thread(lambda: (first.launch(), second.launch(), first.wait(), second.wait()))
        promised |= await send_through(bus, topic, asyncio.sleep(0))
        await assert_kept(bus, topic, promised)


async def terminate_all(engine: AsyncEngine) -> int:
    """End every connection to this database but the one that asks."""
    async with engine.connect() as connection:
        rows = await connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
        return len(rows.all())


async def test_postgres_connections_lost_while_sending(bus_engine: AsyncEngine, topic: str) -> None:
    bus = PostgresBus(bus_engine)
    await bus.start()
    try:
        await bus.ensure_topics({topic: 1})

        async def lose() -> None:
            ended = 0
            for _ in range(5):
                await asyncio.sleep(0.1)
                with suppress(Exception):
                    ended += await terminate_all(bus_engine)
            assert ended >= 5

        promised = await send_through(bus, topic, lose())
        await assert_kept(bus, topic, promised)
        offsets = [record.offset for record in await read_all(bus, (topic, 0))]
        assert offsets == list(range(len(offsets)))
    finally:
        await bus.stop()


async def test_postgres_readers_outlive_their_connections(
    bus_engine: AsyncEngine, topic: str
) -> None:
    bus = PostgresBus(bus_engine)
    await bus.start()
    try:
        await bus.ensure_topics({topic: 1})
        reader = bus.reader()
        await reader.assign({(topic, 0): 0})
        assert await reader.poll(10, 100) == []
        for turn in range(3):
            assert await terminate_all(bus_engine) >= 1
            waiting = asyncio.create_task(patient_poll(reader.poll))
            await until_sent(bus, Outgoing(topic, 0, b"k", b"%d" % turn))
            sent = time.perf_counter()
            assert [record.value for record in await waiting] == [b"%d" % turn]
            assert time.perf_counter() - sent < 0.5
            # The notices come again once LISTEN is back.
            await asyncio.sleep(0.4)
    finally:
        await bus.stop()


async def patient_poll(poll: Callable[[int, int], Awaitable[list[Record]]]) -> list[Record]:
    async with asyncio.timeout(20):
        while True:
            with suppress(BusUnavailable):
                if found := await poll(10, 5000):
                    return found
            await asyncio.sleep(0.01)
