"""The runtime as it runs: tasks, real time, real PostgreSQL; owners that stop, die and go stale."""

import asyncio
import contextlib
import time

import msgspec
import pytest
from sqlalchemy import text

from shared.bus.memory import MemoryBus
from shared.bus.port import Outgoing
from shared.contracts import topics
from shared.contracts.core import ConfigWrite, Input
from shared.contracts.envelope import Envelope, to_headers
from shared.contracts.instants import format_instant
from shared.db.platform_store import PlatformStore
from shared.runtime.clock import RealClock
from shared.runtime.limits import Limits
from shared.runtime.port import (
    IdempotencyKey,
    NotOwner,
    OutcomeUnknown,
    Unavailable,
)
from shared.runtime.replay import replay
from shared.runtime.runtime import Runtime
from shared.runtime.store.postgres import PostgresStore
from shared.testing.counter_core import CounterFactory, counted
from shared.testing.replica import CHAT, sequences

LIMITS = Limits(
    lease_s=1.5,
    heartbeat_s=0.2,
    replica_alive_s=1,
    config_poll_s=0.1,
    poll_wait_ms=20,
    backoff_most_s=0.5,
)


class House:
    """One database and bus, replicas that come and go."""

    def __init__(self, engine):
        self.engine = engine
        self.bus = MemoryBus(lambda: time.time_ns() // 1_000_000)
        self.running = []

    async def prepare(self, partitions=2):
        await self.bus.ensure_topics(dict.fromkeys(topics.ALL_TOPICS, partitions))
        self.platform = PlatformStore(self.engine)
        for name in ("w0", "w1"):
            await self.platform.create_workspace(name, partitions)
        self.partitions = partitions

    async def replica(self, name, **more):
        runtime = Runtime(
            CounterFactory(),
            self.bus,
            PostgresStore(self.engine, "router"),
            RealClock(),
            replica=name,
            url=f"http://{name}",
            topics=(CHAT, topics.SLA_EVENTS),
            partitions=self.partitions,
            limits=LIMITS,
            **more,
        )
        await runtime.start()
        self.running.append(runtime)
        return runtime

    async def post(self, workspace, event_id, **body):
        row = await self.platform.workspace(workspace)
        envelope = Envelope(
            id=event_id,
            source="test",
            type="count",
            time=format_instant(time.time_ns() // 1000),
            workspace=workspace,
            data=counted(**body),
        )
        record = Outgoing(CHAT, row.partition, None, envelope.data, to_headers(envelope))
        await self.bus.send([record])

    async def published(self, workspace):
        row = await self.platform.workspace(workspace)
        reader = self.bus.reader()
        await reader.assign({(topics.ROUTING_EVENTS, row.partition): 0})
        records = await reader.poll(10_000, 0)
        await reader.stop()
        return records


@pytest.fixture
async def house(engine):
    house = House(engine)
    await house.prepare()
    yield house
    for runtime in house.running:
        await runtime.stop()


async def eventually(check, timeout_s=10):
    """The first truthy answer of `check`; what it raises meanwhile is waited out."""
    end = time.monotonic() + timeout_s
    while True:
        with contextlib.suppress(Unavailable, NotOwner, OutcomeUnknown):
            if found := await check():
                return found
        assert time.monotonic() < end, "it never came about"
        await asyncio.sleep(0.02)


async def ready(*runtimes):
    async def all_ready():
        return all(each.ready().ready for each in runtimes)

    await eventually(all_ready)


async def owner(workspace, *runtimes):
    async def find():
        for each in runtimes:
            if await each.owner_of(workspace) == "":
                return each
        return None

    return await eventually(find)


def value(name="c"):
    return lambda core: core.counters.get(name, 0)


def count(runtime, workspace, **body):
    return runtime.submit(workspace, Input("command", "count", counted(**body)))


def reaches(runtime, workspace, wanted):
    async def check():
        return await runtime.query(workspace, value()) == wanted

    return check


async def test_event_command_timer_watch_and_journal(house):
    one = await house.replica("one")
    await ready(one)
    await eventually(lambda: count(one, "w0"))
    with one.watch("w0", ["counter:c"]) as watch:
        await house.post("w0", "e1", after_us=50_000)
        assert await watch.changed(5)
        assert await watch.changed(5)
    assert await one.query("w0", value()) == 3
    events = await one.journal("w0", 1)
    assert [event.seq for event in events] == [2, 3]

    async def all_published():
        return sequences(await house.published("w0")) == [1, 2, 3]

    await eventually(all_published)


async def test_clean_stop_hands_over_at_once(house):
    one = await house.replica("one")
    await ready(one)
    await eventually(lambda: count(one, "w0"))
    two = await house.replica("two")
    await one.stop()
    began = time.monotonic()
    await eventually(lambda: count(two, "w0"))
    assert time.monotonic() - began < LIMITS.lease_s
    assert await two.query("w0", value()) == 2


async def test_two_replicas_share_and_forward(house):
    one, two = await house.replica("one"), await house.replica("two")

    async def shared():
        return len(one.shards) == len(two.shards) == 1 and one.ready().ready and two.ready().ready

    await eventually(shared)
    holder = await owner("w0", one, two)
    other = two if holder is one else one

    async def known():
        return await other.owner_of("w0") == holder.url

    await eventually(known)
    with pytest.raises(NotOwner) as not_owner:
        await count(other, "w0")
    assert not_owner.value.url == holder.url
    assert (await count(holder, "w0")).body == b'{"value":1}'


async def test_a_dead_owner_is_followed_and_nothing_is_lost_or_doubled(house):
    one = await house.replica("one")
    await ready(one)
    for number in range(50):
        await house.post("w0", f"e{number}")
    await asyncio.sleep(0.02)
    await one.abandon()
    for number in range(40, 80):
        await house.post("w0", f"e{number}")
    two = await house.replica("two")
    await eventually(reaches(two, "w0", 80))

    async def all_published():
        return sorted(set(sequences(await house.published("w0")))) == list(
            range(1, await two.query("w0", lambda core: core.last_seq) + 1)
        )

    await eventually(all_published)
    report = await replay(PostgresStore(house.engine, "router"), CounterFactory(), "w0")
    assert report.identical, report.differences


async def test_a_frozen_owner_cannot_commit_after_it_was_followed(house):
    one = await house.replica("one")
    await ready(one)
    holder = await eventually(lambda: count(one, "w0"))
    assert holder.body == b'{"value":1}'
    await one._tasks.cancel_all()
    shard = next(each for each in one.shards.values() if "w0" in each.workspaces)
    two = await house.replica("two")
    await eventually(lambda: count(two, "w0"))
    shard.tenure.renewed(time.clock_gettime(time.CLOCK_BOOTTIME) + 60)
    future = asyncio.ensure_future(count(one, "w0"))
    await asyncio.sleep(0.01)
    await shard.step()
    with pytest.raises(NotOwner):
        await future
    assert await two.query("w0", value()) == 2


async def test_lost_connections_are_recovered_from(house):
    one = await house.replica("one")
    await ready(one)
    key = IdempotencyKey("ana POST count", "k", b"f")
    first = await eventually(
        lambda: one.submit("w0", Input("command", "count", counted()), idempotency=key)
    )
    async with house.engine.connect() as connection:
        await connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
        await connection.commit()
    again = await eventually(
        lambda: one.submit("w0", Input("command", "count", counted()), idempotency=key)
    )
    assert again.body == first.body and again.replayed
    await eventually(lambda: count(one, "w0"))
    assert await one.query("w0", value()) == 2


async def test_the_bus_away_and_back(house):
    one = await house.replica("one")
    await ready(one)
    await eventually(lambda: count(one, "w0"))
    house.bus.unavailable = True
    await eventually(lambda: count(one, "w0"))
    house.bus.unavailable = False
    await house.post("w0", "e1")
    await eventually(reaches(one, "w0", 3))

    async def all_published():
        return sequences(await house.published("w0")) == [1, 2, 3]

    await eventually(all_published)


async def test_configuration_and_new_workspaces_arrive(house):
    one = await house.replica("one")
    await ready(one)
    await house.platform.write_config("w0", "sla", [ConfigWrite("calendar", "c", b'{"a":1}')])
    await one.refresh_config("w0")
    (heard,) = await one.query("w0", lambda core: core.state.heard)
    assert msgspec.json.decode(heard) == {"id": "c", "version": 1, "body": {"a": 1}}
    await house.platform.create_workspace("new", house.partitions)
    assert (await count(one, "new")).body == b'{"value":1}'


async def test_many_callers_share_commits(house):
    one = await house.replica("one")
    await ready(one)
    await eventually(lambda: count(one, "w0"))
    replies = await asyncio.gather(*(count(one, "w0") for _ in range(400)))
    assert sorted(int(each.body[9:-1]) for each in replies) == list(range(2, 402))
    rows = await PostgresStore(house.engine, "router").inputs("w0", 0, 1000)
    assert len(rows) < 100
