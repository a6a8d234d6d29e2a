"""API keys: their life, and that ending one ends it everywhere."""

import asyncio
import time

import pytest
from sqlalchemy import select, text

from shared.contracts.problems import Refused
from shared.db.engine import create_engine
from shared.db.key_store import KeyStore
from shared.db.listen import Listener
from shared.db.platform_store import PlatformStore
from shared.db.tables import api_key


@pytest.fixture
async def keys(engine):
    await PlatformStore(engine).create_workspace("acme", 12)
    return KeyStore(engine)


@pytest.fixture
async def listening_keys(engine, database_url):
    """A key store as a replica has it: with look-ups cached."""
    await PlatformStore(engine).create_workspace("acme", 12)
    listener = Listener(database_url)
    store = KeyStore(engine, listener)
    task = asyncio.create_task(listener.run())
    await asyncio.wait_for(listener.wait_connected(), 10)
    yield store
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_token_finds_its_key(keys):
    key, token = await keys.create("acme", "desktop", "agent", agent="ana")
    record = await keys.lookup(token)
    assert (record.id, record.workspace, record.role, record.agent) == (
        key.id,
        "acme",
        "agent",
        "ana",
    )
    assert token.startswith(f"omr_{key.id}_")


@pytest.mark.parametrize(
    "change", [str.upper, lambda t: t[:-1], lambda t: t + "x", lambda t: t[4:]]
)
async def test_another_token_finds_none(keys, change):
    _, token = await keys.create("acme", "desktop", "ops")
    assert await keys.lookup(change(token)) is None


@pytest.mark.parametrize("token", ["", "omr_", "omr_a_b", "omr_\x00_\udc80", "omr_" + "x" * 10_000])
async def test_nonsense_finds_none(keys, token):
    assert await keys.lookup(token) is None


async def test_the_token_is_not_stored(keys, engine):
    _, token = await keys.create("acme", "desktop", "ops")
    async with engine.connect() as connection:
        stored = str((await connection.execute(select(api_key))).all())
    assert token not in stored and token.rpartition("_")[2] not in stored


async def test_a_revoked_key_is_gone_at_once(keys):
    key, token = await keys.create("acme", "desktop", "ops")
    await keys.lookup(token)
    await keys.revoke("acme", key.id)
    await keys.revoke("acme", key.id)
    assert await keys.lookup(token) is None
    assert await keys.list("acme") == []
    with pytest.raises(Refused) as refused:
        await keys.rotate("acme", key.id)
    assert refused.value.reason == "revoked"


async def test_rotation_ends_the_old_token(keys):
    key, old = await keys.create("acme", "desktop", "ops")
    new = await keys.rotate("acme", key.id)
    assert await keys.lookup(old) is None
    assert (await keys.lookup(new)).id == key.id


async def test_an_expired_key_is_refused(keys):
    soon = time.time_ns() // 1000 + 300_000
    _, token = await keys.create("acme", "desktop", "ops", expires_at_us=soon)
    assert await keys.lookup(token) is not None
    await asyncio.sleep(0.35)
    assert await keys.lookup(token) is None


async def test_an_expired_key_is_refused_from_the_cache_too(listening_keys):
    soon = time.time_ns() // 1000 + 300_000
    _, token = await listening_keys.create("acme", "desktop", "ops", expires_at_us=soon)
    assert await listening_keys.lookup(token) is not None
    await asyncio.sleep(0.35)
    assert await listening_keys.lookup(token) is None


async def test_keys_belong_to_their_workspace(keys, engine):
    await PlatformStore(engine).create_workspace("other", 12)
    key, token = await keys.create("acme", "desktop", "ops")
    with pytest.raises(Refused) as refused:
        await keys.revoke("other", key.id)
    assert refused.value.kind == "not-found"
    assert await keys.lookup(token) is not None
    assert await keys.list("other") == []


async def test_lists_in_pages(keys):
    made = sorted([(await keys.create("acme", f"k{n}", "ops"))[0].id for n in range(3)])
    first = await keys.list("acme", limit=2)
    assert [key.id for key in first] == made[:2]
    assert [key.id for key in await keys.list("acme", after=made[1])] == made[2:]


async def test_use_is_remembered(keys):
    key, token = await keys.create("acme", "desktop", "ops")
    assert key.last_used_at_us is None
    await keys.lookup(token)
    (used,) = await keys.list("acme")
    assert used.last_used_at_us >= key.created_at_us


async def test_a_key_for_all_workspaces_needs_none(keys):
    _, token = await keys.create("*", "root", "admin")
    assert (await keys.lookup(token)).workspace == "*"


async def test_bad_keys_are_refused_with_every_fault(keys):
    with pytest.raises(Refused) as refused:
        await keys.create("acme", "", "king")
    assert [fault.pointer for fault in refused.value.errors] == ["/role", "/name"]
    with pytest.raises(Refused) as refused:
        await keys.create("acme", "desktop", "agent")
    assert refused.value.errors[0].pointer == "/agent"
    with pytest.raises(Refused) as refused:
        await keys.create("nobody", "desktop", "ops")
    assert refused.value.kind == "not-found"


async def test_a_look_up_is_cached_while_notifications_come(listening_keys, engine):
    _, token = await listening_keys.create("acme", "desktop", "ops")
    await asyncio.sleep(0.05)
    await listening_keys.lookup(token)
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE platform.api_key SET role = 'admin'"))
    await asyncio.sleep(1.2)
    assert (await listening_keys.lookup(token)).role == "ops"


async def test_a_listener_keeps_making_sure_that_it_hears(listening_keys):
    listener, began = listening_keys._live._listener, time.monotonic()
    async with asyncio.timeout(5):
        while listener.sure_at < began:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_revoking_on_another_replica_ends_it_here(listening_keys, database_url):
    key, token = await listening_keys.create("acme", "desktop", "ops")
    assert await listening_keys.lookup(token) is not None
    elsewhere = create_engine(database_url, pool_size=1)
    try:
        await KeyStore(elsewhere).revoke("acme", key.id)
        revoked_at = time.monotonic()
        await _until_gone(listening_keys, token)
        assert time.monotonic() - revoked_at < 0.5
    finally:
        await elsewhere.dispose()


@pytest.mark.parametrize("change", ["revoke", "rotate"])
async def test_who_goes_on_for_long_learns_of_the_keys_end(listening_keys, database_url, change):
    key, _ = await listening_keys.create("acme", "desktop", "agent", agent="ana")
    other, _ = await listening_keys.create("acme", "desktop", "ops")
    ended = asyncio.create_task(listening_keys.ended(key.id))
    kept = asyncio.create_task(listening_keys.ended(other.id))
    elsewhere = create_engine(database_url, pool_size=1)
    try:
        await asyncio.sleep(0.2)
        assert not ended.done()
        await getattr(KeyStore(elsewhere), change)("acme", key.id)
        await asyncio.wait_for(ended, 2)
        if change == "revoke":
            await asyncio.wait_for(listening_keys.ended(key.id), 2)  # at once
        assert not kept.done()
    finally:
        kept.cancel()
        await elsewhere.dispose()


async def test_the_end_of_a_key_is_not_missed_while_nobody_hears(listening_keys, engine):
    key, _ = await listening_keys.create("acme", "desktop", "ops")
    ended = asyncio.create_task(listening_keys.ended(key.id))
    await asyncio.sleep(0.1)
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE platform.api_key SET revoked_at = now()"))
        await connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'omniroute-listen' AND datname = current_database()"
            )
        )
    await asyncio.wait_for(ended, 10)


async def test_without_notifications_nothing_is_cached(listening_keys, engine):
    """The listener's connection is cut: each look-up asks PostgreSQL until it is back."""
    _, token = await listening_keys.create("acme", "desktop", "ops")
    assert await listening_keys.lookup(token) is not None
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'omniroute-listen' AND datname = current_database()"
            )
        )
        await connection.execute(text("UPDATE platform.api_key SET revoked_at = now()"))
    async with asyncio.timeout(0.5):
        await _until_gone(listening_keys, token)


async def _until_gone(keys, token):
    while await keys.lookup(token) is not None:  # noqa: ASYNC110
        await asyncio.sleep(0.001)


async def test_a_workspace_has_room_for_so_many_live_keys(engine, keys):
    few = KeyStore(engine, keys_max=2)
    await few.create("acme", "one", "ops")
    two, _ = await few.create("acme", "two", "ops")
    with pytest.raises(Refused) as refused:
        await few.create("acme", "three", "ops")
    assert (refused.value.kind, refused.value.reason) == ("conflict", "limit")
    assert "at most 2 keys" in refused.value.errors[0].expected
    await few.rotate("acme", two.id)
    await few.revoke("acme", two.id)
    await few.create("acme", "three", "ops")
