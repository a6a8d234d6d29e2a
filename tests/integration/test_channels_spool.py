"""Accepted means durable: the spool on real PostgreSQL, with a bus that goes away and comes back."""

import asyncio
import time
from contextlib import asynccontextmanager, suppress

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from services.channels.intake import Intake, draining
from services.channels.spool_store import SpoolStore
from shared.bus.kafka import KafkaBus
from shared.bus.memory import MemoryBus
from shared.bus.port import MAX_RECORD_BYTES, BusUnavailable, Outgoing, RecordRefused
from shared.contracts import topics
from shared.contracts.problems import Refused
from shared.db.engine import create_engine

CHAT = topics.INTERACTIONS["chat"]
FAST = {"send_timeout_s": 0.3, "poll_s": 0.05, "back_off_s": 0.05}


class FlakyBus(MemoryBus):
    """A bus that can be away: silently (it never answers) or at once (it refuses)."""

    def __init__(self):
        super().__init__(lambda: time.time_ns() // 1_000_000)
        self.away = None
        self.tries = 0

    async def _answer(self):
        self.tries += 1
        if self.away == "silent":
            await asyncio.sleep(60)
        if self.away == "small":
            raise RecordRefused("the topic takes no records of this size")
        if self.away is not None:
            raise BusUnavailable("away")

    async def send(self, records):
        await self._answer()
        return await super().send(records)

    async def bounds(self, partitions):
        if self.away is not None:
            await self._answer()
        return await super().bounds(partitions)

    async def log(self, partition=0):
        return await read(self, partition)


async def read(bus, partition=0):
    """The values on the partition, in order."""
    place = (CHAT, partition)
    reader = bus.reader()
    await reader.assign({place: (await bus.bounds([place]))[place][0]})
    found = []
    while more := await reader.poll(10_000, 300):
        found += [record.value.decode() for record in more]
    await reader.stop()
    return found


def record(text, partition=0):
    return Outgoing(CHAT, partition, b"k", str(text).encode(), (("ce_id", str(text).encode()),))


async def came(bus, count, patience_s=10.0):
    """Wait until the bus holds that many records."""
    ends = time.monotonic() + patience_s
    while len(await bus.log()) < count:
        assert time.monotonic() < ends, "not in time"
        await asyncio.sleep(0.02)


async def until(condition, patience_s=10.0):
    ends = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < ends, "not in time"
        await asyncio.sleep(0.02)


def first_seen(values):
    return list(dict.fromkeys(values))


@pytest_asyncio.fixture
async def bus():
    made = FlakyBus()
    await made.start()
    await made.ensure_topics(dict.fromkeys(topics.ALL_TOPICS, 3))
    return made


@asynccontextmanager
async def replica(bus, engine, limit=1000):
    intake = Intake(bus, SpoolStore(engine, limit), **FAST)
    async with draining(intake):
        yield intake


@pytest.mark.parametrize("how", ["silent", "refusing"])
async def test_while_away_all_is_accepted_and_comes_later_in_order(bus, engine, how):
    async with replica(bus, engine) as intake:
        await intake.publish([record("0")])
        bus.away = how
        for number in range(1, 30):
            await intake.publish([record(number)])
        assert await intake.depth() == 29
        bus.away = None
        await until(lambda: not intake.spooling and not intake.bus_away)
        assert await intake.depth() == 0
        await intake.publish([record("30")])
        assert first_seen(await bus.log()) == [str(number) for number in range(31)]


async def test_what_the_topic_does_not_take_is_told_kept_and_sent_once_it_does(bus, engine):
    with capture_logs() as told:
        async with replica(bus, engine) as intake:
            bus.away = "refusing"
            await intake.publish([record("0"), record("1")])
            bus.away = "small"
            await until(lambda: any(one["event"] == "spool.refused" for one in told))
            assert await intake.depth() == 2
            bus.away = None
            await until(lambda: not intake.spooling)
            assert first_seen(await bus.log()) == ["0", "1"]
    [because] = {one["because"] for one in told if one["event"] == "spool.refused"}
    assert because == "the topic takes no records of this size"
    assert not [one for one in told if one["event"] == "spool.failed"]


async def test_after_the_first_failure_nobody_waits_for_the_bus(bus, engine):
    async with replica(bus, engine) as intake:
        bus.away = "silent"
        await intake.publish([record("first")])
        tries = bus.tries
        began = time.monotonic()
        for number in range(20):
            await intake.publish([record(number, partition=number % 3)])
        took_s = time.monotonic() - began
        assert took_s < FAST["send_timeout_s"] * 5, "20 requests, each would have waited"
        assert bus.tries - tries <= took_s / FAST["back_off_s"] + 2, "only the drainer tries"


async def test_at_the_limit_requests_are_refused_and_none_is_half_kept(bus, engine):
    async with replica(bus, engine, limit=10) as intake:
        bus.away = "refusing"
        await intake.publish([record(number) for number in range(8)])
        with pytest.raises(Refused) as refused:
            await intake.publish([record("a"), record("b"), record("c")])
        assert (refused.value.kind, refused.value.retry_after_s) == ("unavailable", 5)
        await intake.publish([record("8"), record("9")])
        with pytest.raises(Refused):
            await intake.publish([record("10")])
        bus.away = None
        await until(lambda: not intake.spooling)
        assert first_seen(await bus.log()) == [str(number) for number in range(10)]
        await intake.publish([record("10")])


async def test_a_second_replica_appends_while_the_spool_holds_anything(bus, engine, database_url):
    """It is connected to the bus all the time, and yet must not overtake."""
    healthy = FlakyBus()
    healthy.__dict__ = {**bus.__dict__, "away": None}  # the same log, another connection
    other_engine = create_engine(database_url, pool_size=3)
    first = Intake(bus, SpoolStore(engine, 100), **FAST)
    second = Intake(healthy, SpoolStore(other_engine, 100), **{**FAST, "back_off_s": 5})
    try:
        async with draining(first):
            bus.away = "refusing"
            watching = asyncio.create_task(second._repeat(second._watch, second._look))
            await first.publish([record("1")])
            await second.publish([record("2")])
            assert await read(healthy) == [], "the second replica spooled too"
            await first.publish([record("3")])
            bus.away = None
            await until(lambda: not first.spooling and not second.spooling)
            await second.publish([record("4")])
            assert first_seen(await bus.log()) == ["1", "2", "3", "4"]
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
    finally:
        await other_engine.dispose()


async def test_two_drainers_send_each_record_once(bus, engine, database_url):
    other_engine = create_engine(database_url, pool_size=3)
    try:
        async with replica(bus, engine) as first, replica(bus, other_engine) as second:
            bus.away = "refusing"
            for number in range(10):
                await (first if number % 2 else second).publish([record(number)])
            bus.away = None
            await until(lambda: not first.spooling and not second.spooling)
            assert await bus.log() == [str(number) for number in range(10)]
    finally:
        await other_engine.dispose()


async def test_a_crash_between_sending_and_dropping_repeats_and_loses_nothing(bus, engine):
    class Dying(SpoolStore):
        async def drop(self, numbers):
            raise RuntimeError("killed here")

    bus.away = "refusing"
    dying = Intake(bus, Dying(engine, 100), **FAST)
    for number in range(3):
        await dying.publish([record(number)])
    bus.away = None
    with pytest.raises(RuntimeError):
        await dying.drain_once()
    assert await bus.log() == ["0", "1", "2"]
    heir = SpoolStore(engine, 100)
    assert not await heir.lease(0, "heir"), "the dead one's lease still holds"
    async with engine.begin() as connection:
        await connection.exec_driver_sql(
            "UPDATE channels.spool_gate SET drains_until = now() - interval '1 second'"
        )
    async with replica(bus, engine) as intake:
        await came(bus, 6)
        await until(lambda: not intake.spooling)
        assert await bus.log() == ["0", "1", "2", "0", "1", "2"], "consumers drop the second"


async def test_a_record_committed_late_is_not_dropped_unsent(engine):
    """Its number is lower than that of one already drained: numbers are taken before commits."""
    store = SpoolStore(engine, 100)
    await store.begin([record("seed")])
    numbers, _ = await store.oldest(0)
    await store.drop(numbers)
    async with engine.connect() as slow:
        await slow.exec_driver_sql(
            "INSERT INTO channels.spool (partition, topic, value, headers)"
            " VALUES (0, 'interactions.chat', 'slow', '[]')"
        )
        await store.append([record("quick")])
        numbers, found = await store.oldest(0)
        assert [one.value for one in found] == [b"quick"]
        await slow.commit()
    await store.drop(numbers)
    _, left = await store.oldest(0)
    assert [one.value for one in left] == [b"slow"]
    assert not await store.close(0)


async def test_a_record_too_large_for_the_bus_never_blocks_the_spool(bus, engine):
    async with replica(bus, engine) as intake:
        bus.away = "refusing"
        await intake.publish([record("small")])
        with pytest.raises(Refused) as refused:
            await intake.publish([Outgoing(CHAT, 0, b"k", b"x" * MAX_RECORD_BYTES)])
        assert refused.value.kind == "too-large"
        bus.away = None
        await until(lambda: not intake.spooling)
        with pytest.raises(Refused) as refused:
            await intake.publish([Outgoing(CHAT, 0, b"k", b"x" * MAX_RECORD_BYTES)])
        assert refused.value.kind == "too-large"
        assert await bus.log() == ["small"]


async def test_with_bus_and_database_away_nothing_is_promised(bus, engine):
    intake = Intake(bus, SpoolStore(create_engine("postgresql://x@127.0.0.1:1/x"), 10), **FAST)
    bus.away = "refusing"
    with pytest.raises(Refused) as refused:
        await intake.publish([record("1")])
    assert (refused.value.kind, refused.value.retry_after_s) == ("unavailable", 5)


async def test_spooled_records_are_whole(bus, engine):
    made = Outgoing(CHAT, 1, b"\x00key", b"\xffvalue", (("ce_id", b"\xfe"), ("ce_type", b"t")))
    async with replica(bus, engine) as intake:
        bus.away = "refusing"
        await intake.publish([made])
        bus.away = None
        await until(lambda: not intake.spooling)
    reader = bus.reader()
    await reader.assign({(CHAT, 1): 0})
    (kept,) = await reader.poll(10, 100)
    assert (kept.key, kept.value, kept.headers) == (made.key, made.value, made.headers)


@pytest.mark.kafka
@pytest.mark.slow
async def test_a_real_kafka_killed_and_restarted_gets_everything_in_order(engine, own_kafka):
    bus = KafkaBus(own_kafka.bootstrap, send_timeout_s=2.0)
    await bus.start()
    await bus.ensure_topics(dict.fromkeys(topics.ALL_TOPICS, 2))
    intake = Intake(bus, SpoolStore(engine, 10_000), poll_s=0.1, back_off_s=0.2)
    try:
        async with draining(intake):
            for number in range(50):
                await intake.publish([record(number)])
            await until(lambda: not intake.spooling)
            own_kafka.kill()
            slowest = 0.0
            for number in range(50, 150):
                began = time.monotonic()
                await intake.publish([record(number)])
                slowest = max(slowest, time.monotonic() - began) if number > 50 else 0.0
            assert slowest < 1.5, "only the first request waited for the absent broker"
            assert await intake.depth() == 100
            await asyncio.to_thread(own_kafka.restart)
            await until(lambda: not intake.spooling and not intake.bus_away, 60)
            await intake.publish([record(150)])
            assert first_seen(await read(bus)) == [str(number) for number in range(151)]
    finally:
        await bus.stop()
