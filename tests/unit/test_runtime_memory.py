"""What is over is let go: a refusal at once (the collector looks rarely), and a runtime that stopped."""

import asyncio
import gc
import weakref
from contextlib import asynccontextmanager, contextmanager

import pytest

from shared.contracts.core import Input
from shared.contracts.problems import Refused
from shared.runtime.port import CommandFailed, OutcomeUnknown
from shared.testing.counter_core import counted
from shared.testing.replica import World, turn


@contextmanager
def no_collector():
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


async def world_of():
    world = World()
    await world.prepare({"w": 0})
    runtime = world.replica()
    await world.settle(runtime)
    return world, runtime


@asynccontextmanager
async def at_work(runtime):
    async def work():
        while True:
            await turn(runtime)
            await asyncio.sleep(0)

    working = asyncio.create_task(work())
    yield
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)


async def failed(runtime, kind, **body):
    """Told weakly what a command failed with."""
    async with at_work(runtime):
        try:
            await runtime.submit("w", Input("command", "count", counted(**body)))
        except kind as error:
            return weakref.ref(error)
    raise AssertionError("it did not fail")


async def test_a_refused_command_is_gone_with_its_answer():
    _, runtime = await world_of()
    with no_collector():
        refusals = [await failed(runtime, Refused, refuse=True) for _ in range(3)]
        assert [refusal() for refusal in refusals] == [None] * 3


@pytest.mark.parametrize(
    ("kind", "fault", "body"),
    [(CommandFailed, "none", {"raises": True}), (OutcomeUnknown, "lost-commit", {})],
)
async def test_a_runtime_that_stopped_is_gone_whatever_failed_in_it(kind, fault, body):
    world, runtime = await world_of()
    world.stores[0].inject = lambda call: fault if call == "commit" and fault != "none" else None
    failure = await failed(runtime, kind, **body)
    gone = [failure, weakref.ref(runtime), *map(weakref.ref, runtime.shards.values())]
    await runtime.stop()
    del world, runtime
    gc.collect()
    assert [each() for each in gone] == [None] * 3
