"""`omniroute doctor` on shards, topics and dead letters that need a person."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.cli import doctor_shards
from services.cli.doctor import examine
from services.cli.findings import Finding
from shared.bus.open import open_bus
from shared.bus.port import Outgoing
from shared.contracts import topics
from shared.db.engine import create_engine, transaction
from shared.settings import Settings

CHAT = topics.INTERACTIONS["chat"]


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    """A database with topics of two partitions, and nobody at work."""
    made = create_engine(database_url, pool_size=2)
    bus = open_bus(None, made)
    await bus.start()
    await bus.ensure_topics(dict.fromkeys(topics.ALL_TOPICS, 2))
    await bus.stop()
    yield made
    await made.dispose()


async def run(engine: AsyncEngine, statement: str) -> None:
    async with transaction(engine) as connection:
        await connection.execute(text(statement))


async def found(database_url: str, partitions: int = 2) -> dict[str, Finding]:
    settings = Settings(database_url=database_url, partitions=partitions)
    return {one.subject: one for one in await examine(settings)}


async def test_topics_must_have_as_many_partitions_as_there_are_shards(
    database_url: str, engine: AsyncEngine
) -> None:
    assert (await found(database_url))["bus"].ok
    few = (await found(database_url, 3))[f"topic {CHAT}"]
    assert not few.ok and "0 to 1" in few.said
    many = (await found(database_url, 1))[f"topic {CHAT}"]
    assert not many.ok and "OMNIROUTE_PARTITIONS" in many.said


async def test_leases_of_the_dead_are_named(database_url: str, engine: AsyncEngine) -> None:
    shard = (
        "INSERT INTO platform.shard (service, partition, owner, owner_url, lease_until) VALUES"
        " ('router', 0, 'vm-7', 'http://vm-7:8080', now() {})"
    )
    await run(engine, shard.format("- interval '5 minutes'"))
    gone = (await found(database_url))["router shards"]
    assert not gone.ok and "0 of 1 owned" in gone.said and "vm-7 (http://vm-7:8080)" in gone.said
    await run(engine, "UPDATE platform.shard SET lease_until = now() + interval '5 minutes'")
    silent = (await found(database_url))["router replica"]
    assert not silent.ok and "vm-7" in silent.said
    await run(
        engine, "INSERT INTO platform.replica VALUES ('router', 'vm-7', 'http://vm-7', now())"
    )
    alive = await found(database_url)
    assert alive["router shards"].ok and "router replica" not in alive


async def test_a_shard_that_takes_nothing_stands_still(
    database_url: str, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_shards, "LOOK_AGAIN_S", 0.0)
    bus = open_bus(None, engine)
    await bus.start()
    await bus.send([Outgoing(CHAT, 1, b"k", b"v")] * 3)
    await bus.stop()
    positions = f'{{"{CHAT}": 1}}'
    await run(
        engine,
        "INSERT INTO platform.shard (service, partition, owner, lease_until, positions, halted) VALUES"
        f" ('sla', 1, 'me', now() + interval '1 hour', '{positions}'::jsonb, NULL),"
        f" ('router', 1, 'me', now() + interval '1 hour', '{positions}'::jsonb, 'outside the log')",
    )
    seen = await found(database_url)
    stuck = seen["sla shard 1"]
    assert not stuck.ok and f"2 records before the end of {CHAT}" in stuck.said
    assert "router shard 1" not in seen, "who is halted stands still anyhow"
    assert "partition 1): outside the log" in seen["router shards"].said


async def test_dead_letters_are_counted_by_reason(database_url: str, engine: AsyncEngine) -> None:
    await run(
        engine,
        "INSERT INTO channels.dead_letter (workspace, id, failed_in, reason, detail, at, body) VALUES"
        " ('acme', 'a', 'sla', 'core-failed', '', now(), ''),"
        " ('acme', 'b', 'sla', 'core-failed', '', now() - interval '1 day', ''),"
        " ('acme', 'c', 'channels', 'fetch_failed', '', now(), '')",
    )
    said = [one.said for one in await examine(Settings(database_url=database_url, partitions=2))]
    letters = [one for one in said if "dead-letters" in one]
    assert letters[0].startswith("2 for core-failed") and "1 of them in the last hour" in letters[0]
    assert letters[1].startswith("1 for fetch_failed")
