"""Replay gives the same bytes, and says so when they differ."""

import msgspec
import pytest

from shared.contracts.core import Entity
from shared.runtime.replay import replay
from shared.testing.counter_core import CounterFactory, counted
from shared.testing.replica import TESTED_LIMITS, World, command


async def lived(inputs=60, **limits):
    """A workspace with a past: events, commands, timers, a poison record, a take-over."""
    world = World(limits=msgspec.structs.replace(TESTED_LIMITS, snapshot_pause_s=0, **limits))
    await world.prepare({"w": 0})
    runtime = world.replica()
    await world.settle(runtime)
    for number in range(inputs):
        await world.post("w", f"e{number}", counted(name=f"n{number % 7}", raises=number == 9))
        if number % 5 == 0:
            await world.settle(runtime)
            await command(runtime, "w", name="cmd", after_us=40_000)
        if number == inputs // 2:
            await runtime.stop()
            runtime = world.replica("two")
            await world.settle(runtime)
    await world.clock.advance(1)
    await world.settle(runtime)
    return world, runtime


async def test_replay_from_the_first_input_is_identical():
    world, runtime = await lived()
    report = await replay(world.stores[0], CounterFactory(), "w")
    assert report.identical, report.differences
    assert report.first == 1 and report.events == await runtime.query("w", lambda c: c.last_seq)
    assert report.entities == 9 and report.versions == ["1"]


async def test_replay_passes_snapshots_and_starts_from_one():
    world, _ = await lived(snapshot_inputs=10)
    whole = await replay(world.stores[0], CounterFactory(), "w")
    assert whole.identical and whole.snapshots >= 3
    late = await replay(world.stores[0], CounterFactory(), "w", from_snapshot=True)
    assert late.identical, late.differences
    assert late.first > 1 and late.core.dump() == whole.core.dump()


async def test_replay_until_a_past_moment():
    world, _ = await lived()
    report = await replay(world.stores[0], CounterFactory(), "w", until=20)
    assert report.identical and 20 <= report.last < 40


async def test_replay_after_pruning_begins_at_a_snapshot():
    world, _ = await lived(snapshot_inputs=10)
    store = world.stores[0]
    far = world.clock.wall_us() + 1
    while await store.maintain(world.clock.wall_us(), far, 0, 8, 3):
        pass
    assert (await store.inputs("w", 0, 1) or [None])[0] is None or (
        (await store.inputs("w", 0, 1))[0].first_no > 1
    )
    report = await replay(store, CounterFactory(), "w", from_snapshot=True)
    assert report.identical, report.differences


@pytest.mark.parametrize("what", ["journal", "entity", "input"])
async def test_replay_notices_a_difference(what):
    world, _ = await lived()
    data = world.database.service("router")
    if what == "journal":
        rows = data.by_workspace["w"]
        rows[3] = msgspec.structs.replace(rows[3], data=b"{}")
    elif what == "entity":
        data.entities["w"]["counter", "n1"] = Entity("counter", "n1", b"999")
    else:
        del data.inputs["w"][2]
    report = await replay(world.stores[0], CounterFactory(), "w")
    assert not report.identical
