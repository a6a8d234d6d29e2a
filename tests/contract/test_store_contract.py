"""One contract for both stores: fences, failures, order, deduplication, chunks, keeping."""

import asyncio

import asyncpg
import pytest
from sqlalchemy import text

from shared.contracts.core import ConfigWrite, Entity
from shared.db.engine import asyncpg_dsn, create_engine
from shared.db.platform_store import PlatformStore
from shared.runtime.clock import RealClock
from shared.runtime.store.memory import MemoryStore
from shared.runtime.store.memory_database import MemoryDatabase
from shared.runtime.store.port import (
    Batch,
    CommitUnknown,
    InputRow,
    JournalRow,
    ReplyRow,
    ShardLease,
    StaleEpoch,
    StoreUnavailable,
    WorkspaceState,
)
from shared.runtime.store.postgres import PostgresStore

NOW_US = 1_800_000_000_000_000
DAY_US = 86_400_000_000
LEASE_S = 0.4


class Memory:
    """The memory store and how to make it fail."""

    def __init__(self):
        self.database = MemoryDatabase(RealClock())

    async def begin(self):
        self.store = MemoryStore(self.database, "router")
        self.database.add_workspace("w", 0)
        self.database.add_workspace("v", 1)
        return self.store

    def other(self):
        return MemoryStore(self.database, "router")

    async def config(self, workspace, origin, writes):
        self.database.write_config(workspace, origin, writes)

    def break_next(self, fault, _):
        faults = [fault]
        self.store.inject = lambda call: faults.pop() if call == "commit" and faults else None

    async def end(self):
        pass


class Postgres:
    """Real PostgreSQL; a commit's answer is lost in a proxy between it and the store."""

    def __init__(self, url):
        self.url = url
        self.engines = []
        self.proxy = None

    async def begin(self):
        platform = PlatformStore(self._engine(self.url))
        await platform.create_workspace("w", 2)
        await platform.create_workspace("v", 2)
        self.platform = platform
        async with self.engines[0].begin() as connection:
            await connection.execute(text("UPDATE platform.workspace SET partition=0 WHERE id='w'"))
            await connection.execute(text("UPDATE platform.workspace SET partition=1 WHERE id='v'"))
        self.proxy = LossyProxy(self.url)
        self.store = PostgresStore(self._engine(await self.proxy.start()), "router")
        return self.store

    def other(self):
        return PostgresStore(self._engine(self.url), "router")

    def _engine(self, url):
        self.engines.append(create_engine(url, pool_size=3))
        return self.engines[-1]

    async def config(self, workspace, origin, writes):
        await self.platform.write_config(workspace, origin, writes)

    def break_next(self, fault, batch):
        self.proxy.break_next = fault
        self.proxy.mark = b"COMMIT" if batch.config else batch.entities[0][1].key.encode()

    async def end(self):
        for engine in self.engines:
            await engine.dispose()
        await self.proxy.stop()


class LossyProxy:
    """Between client and server. At a commit it cuts the line: before passing it on (lost-rollback),
    or after, with the answer withheld (lost-commit). `rollback` cuts at the first INSERT. A commit is
    what holds `mark`: COMMIT, or the values of a batch that is one statement."""

    def __init__(self, url):
        parsed = asyncpg.connect_utils._parse_connect_dsn_and_args
        (self.addresses, self.parameters, *_) = parsed(
            dsn=asyncpg_dsn(url),
            host=None,
            port=None,
            user=None,
            password=None,
            passfile=None,
            database=None,
            ssl=None,
            service=None,
            servicefile=None,
            direct_tls=None,
            server_settings=None,
            target_session_attrs=None,
            krbsrvname=None,
            gsslib=None,
        )
        self.url = url
        self.break_next = None
        self.mark = b"COMMIT"
        self.tasks = set()

    async def start(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        port = self.server.sockets[0].getsockname()[1]
        user, password = self.parameters.user, self.parameters.password or ""
        return f"postgresql://{user}:{password}@127.0.0.1:{port}/{self.parameters.database}"

    async def serve(self, reader, writer):
        address = self.addresses[0]
        if isinstance(address, str):
            upstream = await asyncio.open_unix_connection(address)
        else:
            upstream = await asyncio.open_connection(*address)
        back = asyncio.ensure_future(self.pipe(upstream[0], writer))
        self.tasks.add(back)
        try:
            while data := await reader.read(65536):
                if self.break_next == "rollback" and b"INSERT INTO" in data:
                    break
                if self.break_next in ("lost-commit", "lost-rollback") and self.mark in data:
                    if self.break_next == "lost-commit":
                        back.cancel()
                        await asyncio.wait({back})
                        upstream[1].write(data)
                        await upstream[1].drain()
                        await upstream[0].read(1)
                    break
                upstream[1].write(data)
                await upstream[1].drain()
            if self.break_next:
                self.break_next = None
        except ConnectionError:
            pass
        finally:
            back.cancel()
            self.tasks.discard(back)
            upstream[1].close()
            writer.close()

    async def pipe(self, reader, writer):
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        writer.close()

    async def stop(self):
        self.server.close()
        for task in tuple(self.tasks):
            task.cancel()
        await asyncio.sleep(0)


@pytest.fixture(params=["memory", "postgres"])
def unopened(request):
    if request.param == "memory":
        return Memory()
    return Postgres(request.getfixturevalue("database_url"))


@pytest.fixture
async def lab(unopened):
    lab = unopened
    store = await lab.begin()
    await store.prepare(2, NOW_US)
    try:
        yield lab
    finally:
        await lab.end()


async def owned(lab, partition=0):
    lease = await lab.store.acquire(partition, "one", "http://one", 10)
    assert lease is not None
    return lease


def batch(lease, number=1, *, workspace="w", **more):
    """One input, one entity, one event."""
    fields = {
        "inputs": [InputRow(workspace, number, 1, NOW_US + number, "1", "tz", "h", b"body")],
        "entities": [(workspace, Entity("k", f"key{number}", b"%d" % number))],
        "journal": [
            JournalRow(number, workspace, number, number - 1, "t", "x", "key", b"{}", NOW_US)
        ],
        "states": [WorkspaceState(workspace, number=number, seq=number)],
        "seen": [number.to_bytes(16, "big")],
        "positions": {"topic": number},
        "seen_us": NOW_US,
        "published": 0,
    } | more
    return Batch(partition=lease.partition, epoch=lease.epoch, lease_s=10, **fields)


async def count(store, workspace="w"):
    return sum(row.count for row in await store.inputs(workspace, 0, 100))


async def test_commit_stores_everything(lab):
    lease = await owned(lab)
    reply = ReplyRow("w", "ana POST x", "k", b"hash", b"{}", NOW_US)
    await lab.store.commit(batch(lease, replies=[reply]))
    await lab.store.commit(batch(lease, 2, positions={"other": 7}))
    store = lab.store
    assert await store.states(["w", "v"]) == {"w": WorkspaceState("w", number=2, seq=2)}
    assert await store.open_entities("w", ("", ""), 10) == [
        Entity("k", "key1", b"1"),
        Entity("k", "key2", b"2"),
    ]
    assert [row.seq for row in await store.journal("w", 0, None, 10)] == [1, 2]
    assert await store.seen([(1).to_bytes(16, "big"), b"x" * 16]) == {(1).to_bytes(16, "big")}
    assert await store.replies([("w", "ana POST x", "k"), ("w", "ben", "k")]) == {
        ("w", "ana POST x", "k"): reply
    }
    assert [row.body for row in await store.inputs("w", 1, 10)] == [b"body"]
    again = await store.reacquire(0, lease.epoch, 10)
    assert again.positions == {"topic": 1, "other": 7} and again.last_position == 2


@pytest.mark.parametrize("steps", [False, True], ids=["one statement", "in steps"])
@pytest.mark.parametrize(
    ("fault", "errors", "stored"),
    [
        # Who sends one statement and hears nothing cannot know how far it came.
        ("rollback", (StoreUnavailable, CommitUnknown), 0),
        ("lost-rollback", CommitUnknown, 0),
        ("lost-commit", CommitUnknown, 1),
    ],
)
async def test_broken_commit_is_whole_or_nothing(lab, fault, errors, stored, steps):
    lease = await owned(lab)
    config = [("w", [ConfigWrite("queue", "q", b"{}")])] if steps else []
    broken = batch(lease, config=config)
    lab.break_next(fault, broken)
    with pytest.raises(errors):
        await lab.store.commit(broken)
    again = await lab.store.reacquire(0, lease.epoch, 10)
    assert await count(lab.store) == stored
    assert len(await lab.store.outbox(0, 0, 10)) == stored == again.last_position
    assert bool(await lab.store.seen([(1).to_bytes(16, "big")])) == bool(stored)
    with pytest.raises(StaleEpoch):
        await lab.store.commit(batch(lease, stored + 1))
    await lab.store.commit(batch(again, stored + 1))
    assert await count(lab.store) == stored + 1


async def test_stale_epoch_stores_nothing(lab):
    lease = await lab.store.acquire(0, "one", "http://one", LEASE_S)
    other = lab.other()
    assert await other.acquire(0, "two", "http://two", 10) is None
    await asyncio.sleep(LEASE_S + 0.1)
    taken = await other.acquire(0, "two", "http://two", 10)
    assert taken.epoch == lease.epoch + 1
    with pytest.raises(StaleEpoch):
        await lab.store.commit(batch(lease))
    with pytest.raises(StaleEpoch):
        await lab.store.reacquire(0, lease.epoch, 10)
    with pytest.raises(StaleEpoch):
        await lab.store.halt(0, lease.epoch, "no")
    assert await lab.store.renew({0: (lease.epoch, 99)}, 10) == (set(), {0})
    await lab.store.release(0, lease.epoch, 99)
    (first, _) = await lab.store.shards()
    assert (first.owner, first.owner_url, first.expired) == ("two", "http://two", False)
    assert await count(lab.store) == 0


async def test_positions_are_those_committed(lab):
    assert await lab.other().positions(0) == {}
    lease = await owned(lab)
    done = batch(lease)
    await lab.store.commit(done)
    assert await lab.other().positions(0) == done.positions != {}
    assert await lab.other().positions(7) == {}


async def test_commit_and_renewal_prolong_the_lease(lab):
    lease = await lab.store.acquire(0, "one", "http://one", LEASE_S)
    await lab.store.commit(batch(lease))
    await asyncio.sleep(LEASE_S + 0.1)
    assert await lab.other().acquire(0, "two", "", 10) is None
    lease = await lab.store.acquire(1, "one", "http://one", LEASE_S)
    assert await lab.store.renew({1: (lease.epoch, 5)}, 10) == ({1}, set())
    await asyncio.sleep(LEASE_S + 0.1)
    assert await lab.other().acquire(1, "two", "", 10) is None


async def test_release_frees_at_once_and_keeps_the_cursor(lab):
    lease = await owned(lab)
    await lab.store.commit(batch(lease))
    await lab.store.release(0, lease.epoch, 1)
    taken = await lab.other().acquire(0, "two", "", 10)
    assert (taken.published, taken.last_position, taken.epoch) == (1, 1, lease.epoch + 1)


async def test_halt_is_seen_by_the_next_owner(lab):
    lease = await owned(lab)
    await lab.store.halt(0, lease.epoch, "why")
    assert [row.halted for row in await lab.store.shards()] == ["why", None]
    again = await lab.store.reacquire(0, lease.epoch, 10)
    assert again.halted == "why"


async def test_replicas_are_alive_for_a_while(lab):
    assert await lab.store.register("b", "http://b", 10) == ["b"]
    assert await lab.store.register("a", "http://a", 10) == ["a", "b"]
    await asyncio.sleep(0.2)
    assert await lab.store.register("a", "http://a", 0.1) == ["a"]
    await lab.store.unregister("a")
    assert await lab.store.register("b", "http://b", 10) == ["b"]


async def test_who_lives_is_told_without_joining(lab):
    assert await lab.store.alive(10) == []
    await lab.store.register("b", "http://b", 10)
    assert await lab.other().alive(10) == ["b"]
    await asyncio.sleep(0.2)
    assert await lab.store.alive(0.1) == []


async def test_a_shard_is_looked_at_without_being_taken(lab):
    lease = await owned(lab)
    await lab.store.commit(batch(lease, published=1))
    await lab.store.halt(0, lease.epoch, "why")
    seen = await lab.other().standing(0)
    assert seen == ShardLease(0, lease.epoch, {"topic": 1}, 1, 1, "why")
    assert await lab.store.standing(7) is None


async def test_first_event_that_somebody_has_not_heard(lab):
    lease = await owned(lab)
    rows = [
        JournalRow(place, "w", place, place - 1, "t", topic, "key", b"{}", NOW_US)
        for place, topic in enumerate(["x", "", "x", "y", "x"], 1)
    ]
    letter = JournalRow(6, "w", 0, -1, "t", "x", "key", b"{}", NOW_US)
    await lab.store.commit(batch(lease, journal=[*rows, letter]))
    unheard = lab.store.unheard
    assert [await unheard(0, "x", {"w": seq}) for seq in range(6)] == [1, 3, 3, 5, 5, None]
    assert await unheard(0, "y", {"w": 0, "v": 0}) == 4
    assert await unheard(0, "x", {"v": 0}) is await unheard(0, "x", {}) is None
    assert await unheard(1, "x", {"w": 0}) is None


async def test_a_held_shard_is_not_realigned_and_a_free_one_at_once(lab):
    lease = await owned(lab)
    await lab.store.commit(batch(lease, published=1, positions={"a": 5, "b": 5}))
    await lab.store.halt(0, lease.epoch, "why")
    assert not await lab.other().realign(0, {"a": 9}, 0, True)
    assert (await lab.store.standing(0)).positions == {"a": 5, "b": 5}
    await lab.store.release(0, lease.epoch, 1)
    assert await lab.other().realign(0, {"a": 9, "c": 7})
    assert await lab.store.standing(0) == ShardLease(
        0, lease.epoch + 1, {"a": 9, "b": 5, "c": 7}, 1, 1, "why"
    )
    assert await lab.store.realign(0, {}, 8) and (await lab.store.standing(0)).published == 1
    assert await lab.store.realign(0, {}, 0, True)
    last = await lab.store.standing(0)
    assert (last.published, last.halted) == (0, None)
    assert not await lab.store.realign(7, {})
    with pytest.raises(StaleEpoch):
        await lab.store.commit(batch(lease, 2))


async def test_entities_change_vanish_and_load_in_chunks(lab):
    lease = await owned(lab)
    entities = [Entity("k", f"{number:03}", b"v", number % 2 == 0) for number in range(50)]
    await lab.store.commit(batch(lease, entities=[("w", each) for each in entities]))
    changed = [Entity("k", "000", b"new"), Entity("k", "002", None), Entity("a", "é'\"", b"")]
    await lab.store.commit(batch(lease, 2, entities=[("w", each) for each in sorted_(changed)]))
    found, after = [], ("", "")
    while chunk := await lab.store.open_entities("w", after, 7):
        assert len(chunk) <= 7
        found.extend(chunk)
        after = (chunk[-1].kind, chunk[-1].key)
    assert [each.key for each in found] == [
        "é'\"",
        "000",
        *(f"{number:03}" for number in range(4, 50, 2)),
    ]
    assert found[1].body == b"new"
    assert await lab.store.open_entities("v", ("", ""), 10) == []
    assert await lab.store.entities("w", "k", ["001", "002", "003"]) == [entities[1], entities[3]]
    assert len(await lab.store.all_entities("w", ("", ""), 100)) == 50


def sorted_(entities):
    return sorted(entities, key=lambda each: (each.kind, each.key))


async def test_journal_is_read_by_position_by_seq_and_by_type(lab):
    lease = await owned(lab)
    rows = [
        JournalRow(1, "w", 1, 0, "a", "x", "k", b"1", NOW_US),
        JournalRow(2, "other", 1, -1, "a", "", "k", b"2", NOW_US),
        JournalRow(3, "w", 2, 1, "b", "x", "k", b"3", NOW_US),
        JournalRow(4, "w", 0, -1, "deadletter.v1", "deadletter", "id1", b"4", NOW_US),
        JournalRow(5, "w", 0, -1, "deadletter.v1", "deadletter", "id2", b"5", NOW_US),
    ]
    await lab.store.commit(batch(lease, journal=rows))
    assert await lab.store.outbox(0, 1, 2) == rows[1:3]
    assert await lab.store.outbox(0, 3, 10) == rows[3:]
    assert await lab.store.outbox(1, 0, 10) == []
    assert await lab.store.journal("w", 0, None, 10) == [rows[0], rows[2]]
    assert await lab.store.journal("w", 1, None, 10) == [rows[2]]
    assert await lab.store.journal("w", 0, ["b", "c"], 10) == [rows[2]]


async def test_a_batch_the_store_refuses_for_good_leaves_nothing(lab):
    lease = await owned(lab)
    await lab.store.commit(batch(lease))
    with pytest.raises(Exception) as refused:
        await lab.store.commit(batch(lease, 1, journal=[]))
    assert not isinstance(refused.value, (StoreUnavailable, CommitUnknown, StaleEpoch))
    assert await count(lab.store) == 1


async def test_configuration_is_written_with_the_batch_and_read_in_order(lab):
    lease = await owned(lab)
    await lab.config("w", "sla", [ConfigWrite("calendar", "c", b'{"a": 1}')])
    await lab.store.commit(batch(lease, config=[("w", [ConfigWrite("queue", "q", None)])]))
    row = await lab.store.workspace("w")
    assert row is not None and row.version == 2
    versions = await lab.store.config_since({"w": 0, "v": 0}, 10)
    assert [(each.version, each.kind, each.origin) for each in versions] == [
        (1, "calendar", "sla"),
        (2, "queue", "router"),
    ]
    assert versions[0].body is not None and versions[1].body is None
    assert [each.version for each in await lab.store.config_since({"w": 1}, 10)] == [2]


async def test_workspaces_by_partition(lab):
    assert [row.id for row in await lab.store.workspaces([0])] == ["w"]
    assert [row.id for row in await lab.store.workspaces([0, 1])] == ["v", "w"]
    assert await lab.store.workspace("nobody") is None


async def test_snapshots_hold_the_open_entities_of_their_moment(lab):
    lease = await owned(lab)
    closed = ("w", Entity("k", "shut", b"x", open=False))
    first = batch(lease, snapshots=[("w", 1, NOW_US + 1)])
    first.entities.append(closed)
    await lab.store.commit(first)
    await lab.store.commit(batch(lease, 2))
    assert await lab.store.snapshot_before("w", 0) is None
    snapshot = await lab.store.snapshot_before("w", 5)
    assert snapshot is not None and snapshot.number == 1
    assert await lab.store.snapshot_entities("w", 1, ("", ""), 10) == [Entity("k", "key1", b"1")]
    assert await lab.store.snapshot_entities("w", 1, ("k", "key1"), 10) == []


async def test_keeping_drops_what_is_past_and_no_more(lab):
    lease = await owned(lab)
    old = NOW_US - 40 * DAY_US
    for number in range(1, 6):
        at_us = old if number <= 3 else NOW_US
        snapshots = [("w", number, at_us)] if number in (1, 3) else []
        row = InputRow("w", number, 1, at_us, "1", "tz", "h", b"")
        reply = ReplyRow("w", "s", f"{number}", b"", b"", at_us)
        await lab.store.commit(
            batch(lease, number, inputs=[row], snapshots=snapshots, replies=[reply])
        )
    while await lab.store.maintain(NOW_US, NOW_US - 30 * DAY_US, NOW_US - DAY_US, 8, 2):
        pass
    assert [row.first_no for row in await lab.store.inputs("w", 0, 10)] == [4, 5]
    assert await lab.store.snapshot_before("w", 2) is None
    assert await lab.store.snapshot_entities("w", 3, ("", ""), 10) != []
    found = await lab.store.replies([("w", "s", f"{number}") for number in range(1, 6)])
    assert [row.key for row in found.values()] == ["4", "5"]


async def test_seen_ids_go_day_by_day(lab):
    lease = await owned(lab)
    await lab.store.commit(batch(lease))
    key = [(1).to_bytes(16, "big")]
    await lab.store.maintain(NOW_US + 8 * DAY_US, 0, 0, 8, 10)
    assert await lab.store.seen(key)
    await lab.store.maintain(NOW_US + 9 * DAY_US, 0, 0, 8, 10)
    assert not await lab.store.seen(key)


async def test_a_day_nobody_made_is_made_on_the_way(lab):
    lease = await owned(lab)
    far = NOW_US + 400 * DAY_US
    for _ in range(2):
        try:
            await lab.store.commit(batch(lease, seen_us=far))
            break
        except StoreUnavailable:
            continue
    assert await count(lab.store) == 1


AWKWARD = ['a"b', "a\\b", '","', "{}", "NULL", "ä €\n,", "'", " ", '\\"', "x" * 3_000]


async def test_texts_and_bytes_come_back_as_they_are(lab):
    """Names and bodies are whatever vendors send."""
    lease = await owned(lab)
    bodies = [b"", b"\x00\xff", b'"\\', *(text.encode() for text in AWKWARD)]
    entities = [
        ("w", Entity("k", f"{place:02d}{AWKWARD[place % len(AWKWARD)]}", body, place % 3 > 0))
        for place, body in enumerate(bodies)
    ]
    journal = [
        JournalRow(place, "w", place, place - 1, "t", text, text, text.encode(), NOW_US)
        for place, text in enumerate(AWKWARD, start=1)
    ]
    await lab.store.commit(batch(lease, entities=entities, journal=journal))
    kept = await lab.store.all_entities("w", ("", ""), 100)
    assert kept == [entity for _, entity in entities]
    assert await lab.store.outbox(0, 0, 100) == journal
