"""One batch is applied while the one before commits: what may go wrong between the two."""

import asyncio

import msgspec
import pytest

from shared.contracts import topics
from shared.contracts.core import Input
from shared.runtime.arrivals import Arrival
from shared.runtime.pace import Pace
from shared.runtime.store.port import CommitUnknown, StoreUnavailable
from shared.testing.counter_core import counted
from shared.testing.replica import CHAT, TESTED_LIMITS, World, command, sequences

LIMITS = msgspec.structs.replace(TESTED_LIMITS, batch_inputs=100, overlap_inputs=10)
EVENTS = 250


def value(core):
    return core.counters.get("c", 0)


async def busy(event_id=lambda number: f"e{number}", bodies=None):
    """A shard in whose inbox EVENTS wait, and its store."""
    world = World(limits=LIMITS)
    await world.prepare({"w": 0})
    runtime = world.replica()
    await world.settle(runtime)
    for number in range(EVENTS):
        await world.post("w", event_id(number), (bodies or {}).get(number))
    while len(runtime.shards[0].inbox) < EVENTS:
        await runtime.intake.step()
    return world, runtime


async def test_a_batch_is_applied_while_one_commits_and_readers_see_neither():
    world, runtime = await busy()
    shard, store = runtime.shards[0], world.stores[0]
    gate, commit = asyncio.Event(), store.commit

    async def slow(batch):
        await gate.wait()
        await commit(batch)

    store.commit = slow
    await shard.step()
    left = len(shard.inbox)
    second = asyncio.ensure_future(shard.step())
    for _ in range(200):
        await asyncio.sleep(0)
    assert len(shard.inbox) == left - 100
    assert not second.done(), "its own commit waits for the first"
    reading = asyncio.ensure_future(runtime.query("w", value))
    await asyncio.sleep(0)
    assert not reading.done()
    gate.set()
    await second
    await shard.step()
    committed = sum(row.count for row in await store.inputs("w", 0, 1_000))
    assert 0 < await reading <= committed
    await world.settle(runtime, 200)
    assert await runtime.query("w", value) == EVENTS
    assert sequences(await world.published()) == list(range(1, EVENTS + 1))


async def test_a_reader_pauses_after_a_poll_that_did_not_bring_all_it_may():
    limits = msgspec.structs.replace(TESTED_LIMITS, poll_pause_ms=20, poll_records=2)
    world = World(limits=limits)
    await world.prepare({"w": 0})
    runtime = world.replica()
    await world.settle(runtime)
    await world.post("w", "e1")
    polled = asyncio.ensure_future(runtime.intake.step())
    await world.clock.advance(0.019)
    assert len(runtime.shards[0].inbox) == 1, "what came may be decided meanwhile"
    assert not polled.done()
    await world.clock.advance(0.001)
    assert polled.done()
    await world.post("w", "e2")
    await world.post("w", "e3")
    await asyncio.wait_for(runtime.intake.step(), 5)
    assert len(runtime.shards[0].inbox) == 3


async def test_a_batch_is_gathered_unless_much_waits():
    limits = msgspec.structs.replace(TESTED_LIMITS, gather_ms=30)
    world = World(limits=limits)
    await world.prepare({"w": 0})
    runtime = world.replica()
    await world.settle(runtime)
    shard = runtime.shards[0]
    await world.clock.advance(1)
    assert shard.gather_s() == 0
    await command(runtime, "w")
    assert shard.gather_s() == pytest.approx(0.03)
    await world.clock.advance(0.02)
    assert shard.gather_s() == pytest.approx(0.01)
    for number in range(limits.overlap_inputs):
        shard.submit("w", Arrival(Input("command", "count", counted()), 1))
        assert (shard.gather_s() > 0) == (number + 1 < limits.overlap_inputs)
    await world.settle(runtime)
    await command(runtime, "w")
    shard.leave()
    assert shard.gather_s() == 0


GATHERED = msgspec.structs.replace(
    TESTED_LIMITS, gather_ms=20, gather_most_ms=200, hurried_topics=frozenset({CHAT})
)


@pytest.mark.parametrize(
    ("per_s", "waits_s"), [(1, 0.02), (30, 0.02), (50, 0.2), (640, 0.1), (10_000, 0.02)]
)
def test_a_batch_waits_longer_where_that_brings_more(per_s, waits_s):
    """Nobody waits for the few; many are gathered; of very many there are enough at once."""
    pace = Pace(GATHERED)
    for number in range(1, 40):
        pace.began(number / 10, round(per_s / 10) if per_s >= 10 else 0)
    assert pace.at - pace.began_at == pytest.approx(waits_s, rel=0.05)
    assert pace.least_at - pace.began_at == pytest.approx(0.02)


async def under_load():
    """A shard to which 100 events a second have come, at the beginning of a long wait for more."""
    world = World(limits=GATHERED)
    await world.prepare({"w": 0})
    runtime = world.replica()
    await world.settle(runtime)
    for number in range(20):
        for nth in range(10):
            await world.post("w", f"e{number}.{nth}", topic=topics.SLA_EVENTS)
        await runtime.intake.step()
        await runtime.shards[0].step()
        await world.clock.advance(0.1)
    await world.post("w", "last", topic=topics.SLA_EVENTS)
    await runtime.intake.step()
    await runtime.shards[0].step()
    gathering = asyncio.ensure_future(runtime.shards[0].gather())
    await world.clock.advance(0.021)
    assert not gathering.done()
    return world, runtime, gathering


async def test_under_load_a_batch_waits_for_its_time():
    world, runtime, gathering = await under_load()
    await world.post("w", "more", topic=topics.SLA_EVENTS)
    await runtime.intake.step()
    await world.clock.advance(0.1)
    assert not gathering.done()
    await world.clock.advance(0.1)
    assert gathering.done()


@pytest.mark.parametrize("what", ["command", "message", "configuration", "leaving"])
async def test_under_load_what_somebody_waits_for_ends_the_wait(what):
    world, runtime, gathering = await under_load()
    shard = runtime.shards[0]
    if what == "command":
        shard.submit("w", Arrival(Input("command", "count", counted()), 1))
    elif what == "message":
        await world.post("w", "urgent")
        await runtime.intake.step()
    elif what == "configuration":
        shard.config_reached("w", 0)
    else:
        shard.leave()
    await world.clock.advance(0)
    assert gathering.done()


async def test_what_follows_a_failed_commit_fails_with_it():
    for error in (CommitUnknown("no answer"), StoreUnavailable("away")):
        world, runtime = await busy()
        shard, store = runtime.shards[0], world.stores[0]
        commit, faults = store.commit, [error]

        async def failing(batch, faults=faults, commit=commit):
            await asyncio.sleep(0)
            if faults:
                raise faults.pop()
            await commit(batch)

        store.commit = failing
        await shard.step()
        await shard.step()
        assert shard.state == "loading" and not faults
        await world.clock.advance(1)
        await world.settle(runtime, 200)
        assert await runtime.query("w", value) == EVENTS
        numbers = sequences(await world.published())
        assert numbers == list(range(1, len(numbers) + 1))


async def test_poison_in_the_second_batch_is_undone_alone():
    world, runtime = await busy(bodies={number: counted(raises=True) for number in (60, 150)})
    await world.settle(runtime, 200)
    assert await runtime.query("w", value) == EVENTS - 2
    assert len(await world.published(topics.DEADLETTER)) == 2


async def test_an_event_in_both_batches_counts_once():
    world, runtime = await busy(lambda number: f"e{number % 70}")
    await world.settle(runtime, 200)
    assert await runtime.query("w", value) == 70


async def test_a_shard_lost_between_the_two_commits_the_first_alone():
    world, runtime = await busy()
    shard, store = runtime.shards[0], world.stores[0]
    await shard.step()
    shard.lose()
    assert not await shard.step()
    await shard.land()
    second = world.replica("two")
    await world.clock.advance(60)
    await world.settle(second, 200)
    assert await second.query("w", value) == EVENTS
    assert sum(row.count for row in await store.inputs("w", 0, 1_000)) >= EVENTS
