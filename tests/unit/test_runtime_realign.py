"""Database and log set back without each other: the halt that shows it, and what brings them together."""

import asyncio
import copy

import msgspec
import pytest

from shared.bus.port import Outgoing
from shared.contracts import topics
from shared.contracts.core import Input, Outcome
from shared.contracts.problems import Refused
from shared.runtime import realign
from shared.runtime.store.memory import MemoryStore
from shared.runtime.store.port import StoreUnavailable
from shared.runtime.timeline import COMMAND, LOOK_BACK, last_records
from shared.testing.counter_core import CounterCore, CounterFactory, counted
from shared.testing.replica import CHAT, World, command, turn

ALIVE_S = 10


class MirrorCore(CounterCore):
    """Keeps what the router says its counters are."""

    def apply(self, now_us, number, what):
        if what.name == "count.added" and what.source == "/router":
            said = msgspec.json.decode(what.body)
            self.counters[said["name"]] = said["value"]
            self._changed.add(said["name"])
        return Outcome()


class MirrorFactory(CounterFactory):
    def create(self, workspace, seed):
        return MirrorCore(workspace, seed)


class Centre:
    """A router and an SLA service on one bus and database, which can be set back."""

    def __init__(self):
        self.router = World()
        self.sla = World(factory=MirrorFactory("sla"), reads=(topics.ROUTING_EVENTS,))
        self.clock, self.bus = self.router.clock, self.router.bus
        self.sla.clock, self.sla.bus = self.clock, self.bus
        self.sla.database = self.router.database
        self.running = {}

    @property
    def database(self):
        return self.router.database

    @property
    def stores(self):
        return {name: MemoryStore(self.database, name) for name in ("router", "sla")}

    async def start(self):
        names = f"at {self.clock.wall_us()}"
        self.running = {
            "router": self.router.replica(names, peers=self.stores),
            "sla": self.sla.replica(names, peers=self.stores),
        }
        await self.settle()

    async def settle(self, *which):
        for _ in range(2):
            for name in which or ("router", "sla"):
                await self._rest(self.running[name])

    async def _rest(self, runtime):
        await runtime.step_leases()
        await runtime.step_config()
        for _ in range(50):
            moved = await turn(runtime)
            if runtime.shards[0].tenure.halted or not moved:
                return
            await self.clock.advance(0.01, turns=1)
        raise AssertionError("the replica does not come to rest")

    async def stop(self):
        """Killed, and not heard of for long enough."""
        for runtime in self.running.values():
            await runtime.abandon()
        await self.clock.advance(ALIVE_S + 1)

    def backup(self):
        return copy.deepcopy(self.database, {id(self.clock): self.clock})

    def restore(self, backup):
        again = copy.deepcopy(backup, {id(self.clock): self.clock})
        self.router.database = self.sla.database = again

    async def realign(self, **options):
        await realign.refuse_while_running(self.stores, ALIVE_S)
        made = await realign.plan(self.stores, self.bus, **options)
        await realign.carry_out(self.stores, made)
        return made

    def halts(self):
        return {name: each.shards[0].tenure.halted for name, each in self.running.items()}

    async def values(self, workspace="w"):
        return {
            name: await each.query(workspace, lambda core: dict(core.counters))
            for name, each in self.running.items()
        }

    def gaps(self):
        gaps = self.running["sla"].metrics.gaps
        return sum(s.value for m in gaps.collect() for s in m.samples if s.name.endswith("_total"))


@pytest.fixture
async def centre():
    made = Centre()
    await made.router.prepare({"w": 0, "v": 0})
    await made.start()
    return made


async def lost_time(centre):
    """T0 with one event that the SLA service has not read, then events, a command, a workspace.
    Restored, and nothing started."""
    for number in range(3):
        await centre.router.post("w", f"before{number}")
    await centre.settle()
    await centre.router.post("w", "unread")
    await centre.settle("router")
    backup = centre.backup()
    for number in range(2):
        await centre.router.post("w", f"after{number}", counted(add=10))
    await centre.settle()
    await command(centre.running["router"], "w", add=100)
    await centre.settle()
    assert await centre.values() == {"router": {"c": 124}, "sla": {"c": 124}}
    await centre.stop()
    centre.restore(backup)


def _again(record):
    return Outgoing(record.topic, record.partition, record.key, record.value, record.headers)


async def test_a_log_with_events_of_a_lost_time_halts_writer_and_readers(centre):
    await lost_time(centre)
    before = len(await centre.router.published())
    await centre.start()
    halts = centre.halts()
    assert all(COMMAND in why and "'w'" in why and "restored" in why for why in halts.values())
    assert len(await centre.router.published()) == before
    assert (await centre.stores["router"].shards())[0].halted == halts["router"]
    with pytest.raises(Refused) as refused:
        await centre.realign()
    assert "heard of" in refused.value.detail


async def test_after_it_all_agree_and_nothing_posted_is_lost(centre):
    await lost_time(centre)
    await centre.start()
    await centre.stop()
    made = await centre.realign()
    assert {each.service for each in made.releases} == {"router", "sla"}
    assert [each.service for each in made.rewinds] == ["router"] and made.gone == 0
    await centre.start()
    assert centre.halts() == {"router": None, "sla": None}
    # 4 before, twice 10 after, read again; the command is lost.
    assert await centre.values() == {"router": {"c": 24}, "sla": {"c": 24}}
    await command(centre.running["router"], "w", add=1000)
    await centre.settle()
    assert await centre.values() == {"router": {"c": 1024}, "sla": {"c": 1024}}
    assert centre.gaps() == 0


async def test_it_may_be_done_again_and_again(centre):
    await lost_time(centre)
    for _ in range(2):
        await centre.realign()
    for _ in range(2):
        await centre.start()
        assert await centre.values() == {"router": {"c": 24}, "sla": {"c": 24}}
        await centre.stop()
        made = await centre.realign()
        assert made.releases == made.rewinds == [] and made.gone == 0


async def test_half_of_it_is_no_harm(centre):
    """The command dies after any of its steps: the halt stays until it is done whole."""
    await lost_time(centre)
    backup = centre.backup()
    for calls in range(5):
        centre.restore(backup)
        stores = centre.stores
        left = [calls]

        def die(call, left=left):
            left[0] -= call == "realign"
            return "unavailable" if left[0] < 0 else None

        for store in stores.values():
            store.inject = die
        made = await realign.plan(stores, centre.bus)
        with pytest.raises(StoreUnavailable):
            await realign.carry_out(stores, made)
        await centre.start()
        assert any(centre.halts().values())
        await centre.stop()
        await centre.realign()
        await centre.start()
        values = await centre.values()
        assert values["router"] == values["sla"] == {"c": 24}, calls
        await centre.stop()


async def test_a_workspace_of_the_lost_time_is_noticed_too(centre):
    backup = centre.backup()
    centre.database.add_workspace("new", 0)
    await centre.router.post("new", "e1")
    await centre.settle()
    await centre.stop()
    centre.restore(backup)
    await centre.start()
    assert all("'new'" in why for why in centre.halts().values())


async def test_the_numbers_compared_are_those_of_before_the_first_decision(centre):
    """With the bus away commands go on: their numbers may pass the lost ones'."""
    await lost_time(centre)
    before = len(await centre.router.published())
    centre.bus.unavailable = True
    runtime = centre.router.replica("two", peers=centre.stores)
    await runtime.step_leases()
    shard = runtime.shards[0]
    await shard.step()
    for _ in range(9):
        call = asyncio.ensure_future(runtime.submit("w", Input("command", "count", counted())))
        while not call.done():
            await asyncio.sleep(0)
            await shard.step()
    centre.bus.unavailable = False
    assert not await shard.publish(), "not before the log was looked at"
    await turn(runtime)
    assert COMMAND in (shard.tenure.halted or "")
    assert shard.outbox.depth >= 9 and not await shard.publish()
    assert len(await centre.router.published()) == before


async def test_many_records_behind_the_lost_ones_hide_nothing_by_the_same_writer(centre):
    """Events that were sent again lie behind those that are lost."""
    await lost_time(centre)
    rows = await centre.router.published()
    for record in rows[: LOOK_BACK // 2]:
        await centre.bus.send([_again(record)])
    await centre.start()
    assert all(centre.halts().values())


async def test_only_the_end_of_a_log_is_looked_at(centre):
    place = (topics.SLA_EVENTS, 0)
    assert await last_records(centre.bus, {place: 0}) == {}
    await centre.bus.send([Outgoing(*place, None, b"x")] * (2 * LOOK_BACK))

    async def looked_at(floor):
        found = await last_records(centre.bus, {place: floor})
        return [record.offset for record in found.get(place, [])]

    assert await looked_at(0) == list(range(LOOK_BACK, 2 * LOOK_BACK))
    assert await looked_at(2 * LOOK_BACK - 3) == [2 * LOOK_BACK - n for n in (3, 2, 1)]
    assert await looked_at(2 * LOOK_BACK) == []


async def test_what_was_taken_in_already_cannot_be_taken_back(centre):
    await lost_time(centre)
    centre.running["sla"] = centre.sla.replica("alone")  # of a version that looks at nothing
    await centre.settle("sla")
    await centre.stop()
    with pytest.raises(Refused) as refused:
        await centre.realign()
    assert "Restore the backup again" in refused.value.detail


async def test_a_log_that_was_lost_is_read_from_its_beginning_and_told_again(centre):
    await lost_time(centre)
    await centre.bus.stop()
    fresh = World()
    centre.router.bus = centre.sla.bus = centre.bus = fresh.bus
    await centre.bus.ensure_topics(dict.fromkeys(topics.ALL_TOPICS, 1))
    await centre.router.post("w", "since", counted(add=5))
    await centre.start()
    assert "outside the log" in centre.halts()["router"] and COMMAND in centre.halts()["router"]
    await centre.stop()
    made = await centre.realign()
    assert made.gone == 0
    await centre.start()
    assert await centre.values() == {"router": {"c": 9}, "sla": {"c": 9}}
    assert centre.gaps() == 0


async def test_a_new_log_that_has_outgrown_the_position_is_read_whole(centre):
    await centre.router.post("w", "old")
    await centre.settle()
    await centre.stop()
    fresh = World()
    centre.router.bus = centre.sla.bus = centre.bus = fresh.bus
    await centre.bus.ensure_topics(dict.fromkeys(topics.ALL_TOPICS, 1))
    for number in range(3):
        await centre.router.post("w", f"new{number}")
    await centre.realign(new_log=True)
    await centre.start()
    assert await centre.values() == {"router": {"c": 4}, "sla": {"c": 4}}


async def test_what_retention_took_is_counted(centre):
    await centre.router.post("w", "e0")
    await centre.settle()
    await centre.stop()
    for number in range(5):
        await centre.router.post("w", f"more{number}")
    centre.bus.truncate((CHAT, 0), 3)
    await centre.start()
    assert COMMAND in (centre.halts()["router"] or "")
    await centre.stop()
    made = await centre.realign()
    assert made.gone == 2
    await centre.start()
    assert await centre.values() == {"router": {"c": 4}, "sla": {"c": 4}}
