"""What a replica tells of its shards while they come, stand still and go."""

import pytest

from shared.runtime.store.port import StoreUnavailable
from tests.unit.test_runtime_shard import command, world_of


def shown(runtime, name, partition="0"):
    labels = {"service": runtime.service, "partition": partition}
    return runtime.metrics.registry.get_sample_value(name, labels)


def lags(runtime):
    return [
        sample
        for family in runtime.metrics.registry.collect()
        for sample in family.samples
        if sample.name == "omniroute_log_lag_records" and sample.labels["partition"] == "0"
    ]


@pytest.mark.parametrize("given_up", [True, False])
async def test_figures_of_a_shard_go_with_it(given_up):
    world, runtime = await world_of()
    await command(runtime, "w")
    await runtime._measure()
    assert shown(runtime, "omniroute_outbox_rows") is not None and lags(runtime)
    before = runtime.shards[0]
    if given_up:
        await runtime._give_up(0)
    else:
        world.stores[0].steal(0)
        await runtime.step_leases()
    assert runtime.shards.get(0) is not before
    for name in ("outbox_rows", "inbox_waiting", "shard_halted"):
        assert shown(runtime, f"omniroute_{name}") is None
    assert not lags(runtime)


async def test_a_halted_shard_is_told_by_whoever_takes_it():
    world, first = await world_of()
    await first.shards[0].halt("the log is gone")
    await first.stop()
    second = world.replica("two")
    await second.step_leases()
    await second._measure()
    assert second.ready().why == ["shard 0: the log is gone"]
    assert shown(second, "omniroute_shard_halted") == 1
    live = second.metrics.registry.get_sample_value(
        "omniroute_shards_live", {"service": second.service}
    )
    assert live == len(second.shards) - 1


async def test_who_waits_for_the_database_says_so_and_not_what_it_said():
    _, runtime = await world_of()
    runtime.shards[0].fail(StoreUnavailable("the database is away: NoLogin, role ana"))
    assert runtime.ready().why == ["shard 0: loading, the database is away"]


async def test_the_tasks_of_shards_that_went_are_not_kept():
    world, runtime = await world_of()
    await runtime.start()
    try:
        for _ in range(3):
            world.stores[0].steal(0)
            await runtime.step_leases()
            await world.clock.advance(12)
        kept = [name for name in runtime._tasks._tasks if isinstance(name, tuple)]
        assert {shard.phase.value for _, shard in kept} <= {"running", "loading"}
    finally:
        await runtime.stop()
