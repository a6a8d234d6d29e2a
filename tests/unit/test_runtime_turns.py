"""A batch of one service leaves the event loop to the others of its process, and has its own limit."""

import asyncio

import msgspec
import pytest

from shared.runtime.clock import VirtualClock
from shared.testing.replica import TESTED_LIMITS, World

EVENTS = 200


class Busy(VirtualClock):
    """A look at the clock takes a millisecond, so eight inputs take one."""

    def monotonic(self):
        self._elapsed_us += 1_000
        return super().monotonic()


async def decided(batch_ms, turn_ms, meanwhile=lambda shard: None):
    """(inputs of the first batch, turns that others had meanwhile, the shard)."""
    limits = msgspec.structs.replace(
        TESTED_LIMITS, batch_ms=batch_ms, turn_ms=turn_ms, overlap_inputs=10_000, lease_s=1_000
    )
    world = World(limits=limits)
    await world.prepare({"w": 0})
    runtime = world.replica()
    await world.settle(runtime)
    shard = runtime.shards[0]
    for number in range(EVENTS):
        await world.post("w", f"e{number}")
    while len(shard.inbox) < EVENTS:
        await runtime.intake.step()
    shard._deciding._gathering._pace = EVENTS
    world.clock.__class__ = Busy
    step = asyncio.ensure_future(shard.step())
    turns = 0
    while not (rows := await world.stores[0].inputs("w", 0, EVENTS)) and turns < 1_000:
        await asyncio.sleep(0)
        turns += 1
        meanwhile(shard)
    await step
    return sum(row.count for row in rows), turns, shard


async def test_others_have_turns_amid_a_batch_of_the_same_length():
    whole, few, _ = await decided(10.5, 10.5)
    parted, many, shard = await decided(10.5, 2.1)
    assert many >= few + 3
    assert whole == pytest.approx(parted, abs=16) and len(shard.inbox) == EVENTS - parted


async def test_a_shard_lost_in_such_a_turn_stores_nothing():
    count, _, shard = await decided(10.5, 2.1, lambda shard: shard.lose())
    assert count == 0 and len(shard.inbox) == 0
