"""Workspaces and shared configuration on real PostgreSQL."""

import asyncio

import msgspec
import pytest

from shared.contracts.core import ConfigWrite
from shared.contracts.problems import Refused
from shared.db.engine import transaction
from shared.db.listen import Listener
from shared.db.platform_store import CONFIG_CHANNEL, PlatformStore, write_config


@pytest.fixture
def store(engine):
    return PlatformStore(engine)


def queue(name, body=b'{"sla": "gold"}'):
    return ConfigWrite("queue", name, body)


async def test_a_workspace_is_created_once(store):
    first, made = await store.create_workspace("acme", 12, {"zone": "Europe/Berlin"})
    again, made_again = await store.create_workspace("acme", 3, {"zone": "UTC"})
    assert (made, made_again) == (True, False)
    assert first == again
    assert first.settings == {"zone": "Europe/Berlin"}
    assert first.version == first.revision == 1
    assert await store.exists("acme") and not await store.exists("other")


async def test_workspaces_spread_over_the_least_used_partitions(store):
    made = [await store.create_workspace(f"w{number}", 3) for number in range(7)]
    assert sorted(workspace.partition for workspace, _ in made) == [0, 0, 0, 1, 1, 2, 2]


async def test_concurrent_creation_still_spreads_and_makes_one(store):
    names = [f"w{number % 4}" for number in range(16)]
    made = await asyncio.gather(*(store.create_workspace(name, 4) for name in names))
    assert sum(new for _, new in made) == 4
    assert {workspace.partition for workspace, _ in made} == {0, 1, 2, 3}


async def test_more_partitions_move_nobody(store):
    before, _ = await store.create_workspace("old", 1)
    await store.create_workspace("new", 8)
    assert (await store.workspace("old")).partition == before.partition == 0
    assert (await store.workspace("new")).partition == 1


@pytest.mark.parametrize("name", ["", "a b", "a/b", "x" * 65, "*"])
async def test_a_bad_id_is_refused(store, name):
    with pytest.raises(Refused) as refused:
        await store.create_workspace(name, 12)
    assert refused.value.kind == "validation"


async def test_lists_in_pages_and_by_partition(store):
    for number in range(5):
        await store.create_workspace(f"w{number}", 2)
    page = await store.workspaces(limit=2)
    assert [one.id for one in page] == ["w0", "w1"]
    assert [one.id for one in await store.workspaces(after="w1")] == ["w2", "w3", "w4"]
    assert [one.id for one in await store.workspaces(partition=1)] == ["w1", "w3"]


async def test_settings_are_versioned_like_other_configuration(store):
    await store.create_workspace("acme", 12)
    await store.write_config("acme", "router", [queue("billing")])
    changed = await store.update_workspace("acme", {"zone": "UTC"}, if_revision=0)
    assert (changed.version, changed.revision, changed.settings) == (2, 2, {"zone": "UTC"})
    assert await store.update_workspace("acme", {"zone": "UTC"}) == changed
    with pytest.raises(Refused) as refused:
        await store.update_workspace("acme", {}, if_revision=1)
    assert refused.value.kind == "precondition-failed"
    (last,) = await store.config_since("acme", 1)
    assert (last.kind, last.id, msgspec.json.decode(last.body)) == (
        "workspace",
        "acme",
        {"zone": "UTC"},
    )


async def test_updating_an_unknown_workspace_is_refused(store):
    with pytest.raises(Refused) as refused:
        await store.update_workspace("nobody", {})
    assert refused.value.kind == "not-found"


async def test_config_versions_count_without_gaps(store):
    await store.create_workspace("acme", 12)
    await store.create_workspace("other", 12)
    assert await store.write_config("acme", "router", [queue("a"), queue("b")]) == [1, 2]
    assert await store.write_config("acme", "sla", [queue("a", None)]) == [3]
    assert await store.write_config("other", "sla", [queue("z")]) == [1]
    assert await store.write_config("acme", "sla", []) == []
    since = await store.config_since("acme", 1)
    assert [(one.version, one.id, one.body, one.origin) for one in since] == [
        (2, "b", b'{"sla": "gold"}', "router"),
        (3, "a", None, "sla"),
    ]
    assert [one.id for one in await store.config_since("acme", 0, limit=1)] == ["a"]


async def test_latest_leaves_out_what_was_deleted(store):
    await store.create_workspace("acme", 12)
    writes = [queue("a"), queue("b"), ConfigWrite("team", "t", b"[1]"), queue("a", None)]
    await store.write_config("acme", "router", [*writes, queue("b", b"2")])
    latest = await store.latest_config("acme")
    assert [(one.kind, one.id, one.version, one.body) for one in latest] == [
        ("queue", "b", 5, b"2"),
        ("team", "t", 3, b"[1]"),
    ]
    assert [one.id for one in await store.latest_config("acme", "team")] == ["t"]


async def test_config_of_an_unknown_workspace_is_refused(store):
    with pytest.raises(Refused) as refused:
        await store.write_config("nobody", "router", [queue("a")])
    assert refused.value.kind == "not-found"


async def test_heads_name_who_has_something_new(store):
    first, _ = await store.create_workspace("acme", 1)
    await store.create_workspace("other", 1)
    await store.write_config("acme", "router", [queue("a")])
    assert await store.config_heads(first.partition) == {"acme": 1, "other": 0}


async def test_a_reader_that_polls_misses_no_version(store, engine):
    """A slow writer's versions and those of one that came later become visible in order."""
    await store.create_workspace("acme", 12)

    async def write_slowly(pause):
        async with transaction(engine) as connection:
            await write_config(connection, "acme", "router", [queue("a")])
            await asyncio.sleep(pause)

    async def read():
        seen = [0]
        while seen[-1] < 6:
            seen += [one.version for one in await store.config_since("acme", seen[-1])]
            await asyncio.sleep(0.005)
        return seen[1:]

    pauses = (0.05, 0, 0.03, 0.01, 0, 0.02)
    async with asyncio.timeout(10):
        results = await asyncio.gather(read(), *(write_slowly(pause) for pause in pauses))
    assert results[0] == [1, 2, 3, 4, 5, 6]


async def test_a_rolled_back_write_leaves_no_version(store, engine):
    await store.create_workspace("acme", 12)
    with pytest.raises(RuntimeError):
        async with transaction(engine) as connection:
            await write_config(connection, "acme", "router", [queue("a")])
            raise RuntimeError("the batch failed")
    assert await store.write_config("acme", "router", [queue("b")]) == [1]


async def test_writers_wake_listeners(store, database_url):
    heard = asyncio.Queue()
    listener = Listener(database_url)
    listener.on(CONFIG_CHANNEL, heard.put_nowait)
    task = asyncio.create_task(listener.run())
    try:
        async with asyncio.timeout(10):
            await listener.wait_connected()
            await store.create_workspace("acme", 12)
            await store.write_config("acme", "router", [queue("a"), queue("b")])
            assert await heard.get() == "acme 2"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
