"""The shard loop on a tiny core: what is decided, committed, answered, published and given up."""

import asyncio

import msgspec
import pytest
import structlog

from shared.contracts import topics
from shared.contracts.core import ConfigWrite, Entity, Input
from shared.contracts.deadletter import DeadLetter, unpack_headers
from shared.contracts.envelope import from_record
from shared.contracts.problems import Refused
from shared.runtime.clock import RealClock, VirtualClock
from shared.runtime.port import (
    CommandFailed,
    IdempotencyKey,
    NotOwner,
    OutcomeUnknown,
    Unavailable,
    UnknownWorkspace,
)
from shared.runtime.watches import Watches
from shared.testing.counter_core import UNHEEDED, CounterCore, counted
from shared.testing.replica import CHAT, World, command, drive, sequences


async def world_of(**more):
    world = World(**more)
    await world.prepare({"w": 0, "v": 0})
    runtime = world.replica()
    await world.settle(runtime)
    return world, runtime


def value(name="c"):
    return lambda core: core.counters.get(name, 0)


async def test_events_are_counted_once_and_published_in_order():
    world, runtime = await world_of()
    for number in (1, 2, 2, 3):
        await world.post("w", f"e{number}")
    await world.settle(runtime)
    await world.post("w", "e1")
    await world.settle(runtime)
    assert await runtime.query("w", value()) == 3
    records = await world.published()
    assert sequences(records) == [1, 2, 3]
    event = from_record(records[1].headers, records[1].value)
    assert event.source == "/router" and event.extensions == (("previous", "1"),)
    assert msgspec.json.decode(event.data)["value"] == 2


async def test_command_is_answered_after_its_commit():
    _, runtime = await world_of()
    reply = await command(runtime, "w", add=5)
    assert reply.body == b'{"value":5}' and not reply.replayed


async def test_same_key_gets_the_first_answer_and_another_body_is_refused():
    _, runtime = await world_of()

    def call(fingerprint):
        key = IdempotencyKey("ana POST x", "k1", fingerprint)
        return drive(
            runtime,
            lambda: runtime.submit("w", Input("command", "count", counted()), idempotency=key),
        )

    first, again = await call(b"1"), await call(b"1")
    assert first.body == again.body and again.replayed
    assert await runtime.query("w", value()) == 1
    with pytest.raises(Refused) as refused:
        await call(b"2")
    assert refused.value.kind == "idempotency-mismatch"


async def test_refused_command_leaves_no_input_behind():
    world, runtime = await world_of()
    await command(runtime, "w")
    with pytest.raises(Refused):
        await command(runtime, "w", refuse=True)
    rows = await world.stores[0].inputs("w", 0, 100)
    assert sum(row.count for row in rows) == 1


async def test_poison_record_goes_to_dead_letters_and_the_rest_is_applied():
    world, runtime = await world_of()
    await world.post("w", "good1")
    await world.post("w", "bad", counted(raises=True, add=100))
    await world.post("w", "good2")
    await world.post("v", "other")
    await world.settle(runtime)
    assert await runtime.query("w", value()) == 2
    assert await runtime.query("v", value()) == 1
    (record,) = await world.published(topics.DEADLETTER)
    letter = msgspec.json.decode(record.value, type=DeadLetter)
    assert (letter.topic, letter.partition, letter.offset) == (CHAT, 0, 1)
    assert letter.event_id == "bad" and letter.failed_in == "router"
    assert dict(unpack_headers(letter.headers))["ce_id"] == b"bad"
    assert "told to fail" in letter.detail
    assert sequences(await world.published()) == [1, 2, 3] or len(await world.published()) == 3


async def test_replayed_dead_letter_is_not_taken_for_seen():
    world, runtime = await world_of()
    await world.post("w", "bad", counted(raises=True))
    await world.settle(runtime)
    await world.post("w", "bad", counted())
    await world.settle(runtime)
    assert await runtime.query("w", value()) == 1


async def test_command_that_breaks_the_core_fails_alone():
    _, runtime = await world_of()
    await command(runtime, "w")
    with pytest.raises(CommandFailed):
        await command(runtime, "w", raises=True)
    assert await runtime.query("w", value()) == 1


async def test_unreadable_and_strange_records_become_dead_letters():
    world, runtime = await world_of()
    from shared.bus.port import Outgoing

    await world.bus.send([Outgoing(CHAT, 0, None, b"?", (("ce_id", b"x"),))])
    await world.post("nobody", "e1")
    await world.post("w", "e2")
    await world.settle(runtime)
    letters = [
        msgspec.json.decode(record.value, type=DeadLetter)
        for record in await world.published(topics.DEADLETTER)
    ]
    assert sorted(letter.reason for letter in letters) == ["unknown-workspace", "unreadable"]
    assert await runtime.query("w", value()) == 1


async def test_new_workspace_is_served_without_restart():
    world, runtime = await world_of()
    world.database.add_workspace("new", 0)
    await world.post("new", "e1")
    await world.settle(runtime)
    assert (await command(runtime, "new")).body == b'{"value":2}'
    with pytest.raises(UnknownWorkspace):
        await runtime.query("nobody", value())


async def test_timer_fires_when_due_and_not_before():
    world, runtime = await world_of()
    await command(runtime, "w", after_us=5_000_000)
    await world.clock.advance(4.9)
    await world.settle(runtime)
    assert await runtime.query("w", value()) == 1
    await world.clock.advance(0.2)
    await world.settle(runtime)
    assert await runtime.query("w", value()) == 2


async def test_clock_going_back_neither_fires_early_nor_crashes():
    world, runtime = await world_of()
    await command(runtime, "w", after_us=5_000_000)
    world.clock.shift_wall(-3600)
    await world.clock.advance(6)
    await world.settle(runtime)
    await command(runtime, "w")
    assert await runtime.query("w", value()) == 2
    rows = await world.stores[0].inputs("w", 0, 100)
    assert [row.now_us for row in rows] == sorted(row.now_us for row in rows)
    await world.clock.advance(3600)
    await world.settle(runtime)
    assert await runtime.query("w", value()) == 3


async def test_producer_sequence_drops_repeats_and_counts_gaps():
    world, runtime = await world_of()
    for sequence, previous in ((1, 0), (2, 1), (1, 0), (7, 2), (9, 8)):
        await world.post(
            "w",
            f"s{sequence}",
            topic=topics.SLA_EVENTS,
            sequence=sequence,
            previous=previous,
            source="/sla",
        )
    await world.settle(runtime)
    assert await runtime.query("w", value()) == 4
    gaps = runtime.metrics.registry.get_sample_value(
        "omniroute_sequence_gaps_total", {"service": "router", "source": "/sla"}
    )
    assert gaps == 1


@pytest.mark.parametrize(
    ("fault", "error", "kept"),
    [
        ("rollback", Unavailable, 1),
        ("lost-rollback", OutcomeUnknown, 1),
        ("lost-commit", OutcomeUnknown, 2),
        ("stale", NotOwner, 1),
    ],
)
async def test_failed_commit_shows_readers_only_what_is_stored(fault, error, kept):
    world, runtime = await world_of()
    await command(runtime, "w")
    faults = [fault]
    world.stores[0].inject = lambda call: faults.pop() if call == "commit" and faults else None
    with pytest.raises(error):
        await command(runtime, "w")
    await world.clock.advance(20)
    await world.settle(runtime)
    await world.settle(runtime)
    assert await drive(runtime, lambda: runtime.query("w", value())) == kept
    assert (await command(runtime, "w")).body == b'{"value":%d}' % (kept + 1)
    # Published again after a take-over that did not know: consumers drop what is not newer.
    assert list(dict.fromkeys(sequences(await world.published()))) == list(range(1, kept + 2))


async def test_neighbour_waits_at_most_two_batches():
    world, runtime = await world_of()
    for number in range(3_000):
        await world.post("w", f"busy{number}")
    await world.post("v", "calm")
    while len(runtime.shards[0].inbox) < 3_001:
        await runtime.intake.step()
    shard = runtime.shards[0]
    for batches in (1, 2):
        await shard.step()
        await shard.land()
        if await runtime.query("v", value()) == 1:
            break
    assert await runtime.query("v", value()) == 1, f"after {batches} batches"
    assert await runtime.query("w", value()) < 3_000


async def test_backlog_is_told_before_and_after():
    world = World()
    await world.prepare({"w": 0, "v": 0})
    for number in range(3):
        await world.post("w", f"e{number}")
    runtime = world.replica()
    await world.settle(runtime)
    rows = await world.stores[0].journal("w", 0, None, 100)
    assert [row.type for row in rows] == ["count.mode", *["count.added"] * 3, "count.mode"]
    assert await world.stores[0].journal("v", 0, None, 100) == []
    assert not await runtime.query("w", lambda core: core.state.behind)
    assert runtime.ready().ready


async def test_live_is_told_after_a_crash_in_between():
    world = World()
    await world.prepare({"w": 0})
    await world.post("w", "e")
    first = world.replica()
    await first.step_leases()
    await first.shards[0].step()
    await first.intake.step()
    await first.intake.step()
    await first.shards[0].step()
    assert await first.query("w", lambda core: core.state.behind)
    await first.abandon()
    await world.clock.advance(11)
    second = world.replica("two")
    await world.settle(second)
    assert not await second.query("w", lambda core: core.state.behind)


async def test_position_outside_the_log_halts_the_shard_until_cleared():
    world, runtime = await world_of()
    await world.post("w", "e1")
    await world.settle(runtime)
    await runtime.abandon()
    for number in range(5):
        await world.post("w", f"more{number}")
    world.bus.truncate((CHAT, 0), 4)
    await world.clock.advance(11)
    second = world.replica("two")
    await second.step_leases()
    for _ in range(3):
        await second.shards[0].step()
        await second.intake.step()
    with pytest.raises(Unavailable):
        await second.query("w", value())
    why = second.shards[0].tenure.halted
    assert why and "outside the log" in why
    world.stores[1].clear_halt(0, {CHAT: 4})
    await second.step_leases()
    await world.settle(second)
    assert await second.query("w", value()) == 3


async def test_bus_away_limits_the_outbox_but_not_timers():
    from shared.testing.replica import TESTED_LIMITS

    limits = msgspec.structs.replace(TESTED_LIMITS, outbox_rows=3)
    world, runtime = await world_of(limits=limits)
    await command(runtime, "w", after_us=1_000_000)
    shard = runtime.shards[0]
    world.bus.unavailable = True
    for _ in range(3):
        future = shard.submit("w", arrival())
        await shard.step()
        await future
    with pytest.raises(Unavailable):
        await runtime.submit("w", Input("command", "count", counted()))
    await world.clock.advance(2)
    await shard.step()
    assert await runtime.query("w", value()) == 5
    world.bus.unavailable = False
    await world.settle(runtime)
    assert sequences(await world.published()) == [1, 2, 3, 4, 5]


def arrival():
    from shared.runtime.arrivals import Arrival

    return Arrival(Input("command", "count", counted()))


async def test_outbox_is_read_back_when_memory_does_not_hold_it():
    from shared.testing.replica import TESTED_LIMITS

    limits = msgspec.structs.replace(TESTED_LIMITS, outbox_memory_rows=2, publish_rows=2)
    world, runtime = await world_of(limits=limits)
    for number in range(7):
        await world.post("w", f"e{number}")
    await world.settle(runtime)
    await command(runtime, "w", quiet=True)
    await command(runtime, "w")
    records = await world.published()
    assert sequences(records) == [1, 2, 3, 4, 5, 6, 7, 9]
    assert from_record(records[-1].headers, records[-1].value).extensions == (("previous", "7"),)


async def test_configuration_of_others_becomes_an_input_and_own_does_not():
    world, runtime = await world_of()
    world.database.write_config("w", "sla", [ConfigWrite("calendar", "c1", b'{"a":1}')])
    await command(runtime, "w", config="mine")
    world.database.write_config("w", "api", [ConfigWrite("calendar", "c1", None)])
    await drive(runtime, lambda: runtime.refresh_config("w"))
    heard = await runtime.query("w", lambda core: core.state.heard)
    assert [msgspec.json.decode(each) for each in heard] == [
        {"id": "c1", "version": 1, "body": {"a": 1}},
        {"id": "c1", "version": 3, "body": None},
    ]
    await world.settle(runtime)
    assert len(await runtime.query("w", lambda core: core.state.heard)) == 2


async def test_configuration_is_taken_in_once_across_owners():
    world, runtime = await world_of()
    world.database.write_config("w", "sla", [ConfigWrite("calendar", "c1", b"{}")])
    await world.settle(runtime)
    await runtime.stop()
    second = world.replica("two")
    await world.settle(second)
    assert len(await second.query("w", lambda core: core.state.heard)) == 1


async def test_shell_enriches_configuration():
    async def enrich(workspace, kind, name, body):
        return b'{"windows":[1]}' if body else None

    world = World()
    await world.prepare({"w": 0})
    world.database.write_config("w", "sla", [ConfigWrite("calendar", "c1", b"{}")])
    runtime = world.replica(enrich_config=enrich)
    await world.settle(runtime)
    (heard,) = await runtime.query("w", lambda core: core.state.heard)
    assert msgspec.json.decode(heard)["body"] == {"windows": [1]}


async def test_watch_wakes_on_its_name_only():
    _, runtime = await world_of()
    with runtime.watch("w", ["counter:a"]) as a, runtime.watch("w", ["journal"]) as journal:
        await command(runtime, "w", name="b")
        assert await journal.changed(0)
        assert not await a.changed(0)
        await command(runtime, "w", name="a")
        assert await a.changed(0)


async def test_stop_releases_at_once_and_another_goes_on():
    world, runtime = await world_of()
    await world.post("w", "e1")
    await world.settle(runtime)
    await runtime.stop()
    second = world.replica("two")
    await world.settle(second)
    await world.post("w", "e1")
    assert (await command(second, "w")).body == b'{"value":2}'
    assert sequences(await world.published()) == [1, 2]
    with pytest.raises(NotOwner):
        await runtime.submit("w", Input("command", "count", counted()))


async def test_stale_owner_commits_nothing():
    world, first = await world_of()
    await command(first, "w")
    world.stores[0].steal(0)
    with pytest.raises(NotOwner):
        await command(first, "w")
    second = world.replica("two")
    first.shards.clear()
    await world.clock.advance(11)
    await world.settle(second)
    assert await second.query("w", value()) == 1


async def test_owner_whose_lease_ran_out_decides_nothing_before_it_looked_again():
    world, runtime = await world_of()
    await command(runtime, "w")
    await world.clock.advance(60)
    world.stores[0].steal(0)
    shard = runtime.shards[0]
    future = shard.submit("w", arrival())
    await shard.step()
    with pytest.raises(Unavailable):
        await future
    await world.clock.advance(1)
    await shard.step()
    assert shard.phase.value == "lost"


async def test_replicas_share_the_shards():
    world = World(partitions=12)
    await world.prepare({f"w{number}": number for number in range(12)})
    one, two, three = (world.replica(name) for name in ("one", "two", "three"))
    for _ in range(4):
        for runtime in (one, two, three):
            await world.settle(runtime)
    assert [len(each.shards) for each in (one, two, three)] == [4, 4, 4]
    owner = one if 0 in one.shards else two if 0 in two.shards else three
    other = two if owner is one else one
    with pytest.raises(NotOwner) as not_owner:
        await other.submit("w0", Input("command", "count", counted()))
    assert not_owner.value.url == owner.url


async def test_core_is_created_with_the_workspaces_seed():
    _, runtime = await world_of()
    assert await runtime.query("w", lambda core: isinstance(core, CounterCore) and core.seed) == 1


async def test_input_that_the_store_refuses_for_good_is_given_up_alone():
    world, runtime = await world_of()
    store = world.stores[0]
    commit = store.commit

    async def picky(batch):
        if any(entity.key == "bad" for _, entity in batch.entities):
            raise ValueError("the store takes no such key")
        await commit(batch)

    store.commit = picky
    for number in range(5):
        await world.post("w", f"e{number}", counted(name="bad" if number == 2 else "c"))
    await world.post("v", "e")
    await world.settle(runtime, 200)
    assert await runtime.query("w", value()) == 4
    assert await runtime.query("v", value()) == 1
    (record,) = await world.published(topics.DEADLETTER)
    assert msgspec.json.decode(record.value, type=DeadLetter).offset == 2
    with pytest.raises(CommandFailed):
        await command(runtime, "w", name="bad")
    await world.settle(runtime, 200)
    assert (await command(runtime, "w")).body == b'{"value":5}'


async def test_many_changing_timers_do_not_pile_up():
    world, runtime = await world_of()
    for number in range(300):
        await command(runtime, "w", after_us=3_600_000_000 - number * 1_000)
    assert len(runtime.shards[0].roster._wakes) <= 128


def seq_seven():
    state = CounterCore("w", 1).state
    state.seq = 7
    return Entity("whole", "", msgspec.json.encode(state))


def half_written():
    return Entity("counter", "c", b"what only the other half explains")


@pytest.mark.parametrize("written", [seq_seven, half_written])
async def test_who_loads_a_shard_that_another_owner_goes_on_with_lets_it_go_without_alarm(written):
    world, first = await world_of()
    await command(first, "w")
    await first.stop()
    second = world.replica("two")
    store = world.stores[1]

    def another_owner_commits(call):
        if call == "open_entities":
            store.inject = lambda _: None
            store.steal(0)
            entity = written()
            stored = world.database.service("router").entities["w"]
            stored[entity.kind, entity.key] = entity

    store.inject = another_owner_commits
    await second.step_leases()
    shard = second.shards[0]
    await shard.step()
    assert shard.state == "lost"
    assert second.metrics.halted.labels("router", "0")._value.get() == 0
    assert (await store.shards())[0].halted is None


async def test_a_shard_that_is_lost_while_it_loads_ends_without_an_error():
    world, first = await world_of()
    for workspace in ("v", "w"):
        await command(first, workspace)
    await first.stop()
    second = world.replica("two")
    store = world.stores[1]
    asked = []

    def lost_at_the_second_workspace(call):
        asked.append(call)
        if asked.count("open_entities") == 3:  # two calls each: the last finds no more
            second.shards[0].lose()

    store.inject = lost_at_the_second_workspace
    await second.step_leases()
    shard = second.shards[0]
    with structlog.testing.capture_logs() as logs:
        await shard.step()
    assert asked.count("open_entities") > 2 and shard.state == "lost"
    assert [line for line in logs if line["log_level"] == "error"] == []


def then(store, call, act):
    """At the store's next `call`, do `act` first; its result is the fault."""

    def inject(asked):
        if asked != call:
            return None
        store.inject = lambda _: None
        return act()

    store.inject = inject


async def test_who_waits_while_the_shard_is_lost_between_two_reads_is_told():
    world, runtime = await world_of()
    (store,), shard = world.stores, runtime.shards[0]
    key = IdempotencyKey("ana", "k", b"1")
    then(store, "replies", shard.lose)
    with pytest.raises(NotOwner):
        await drive(
            runtime,
            lambda: runtime.submit("w", Input("command", "count", counted()), idempotency=key),
        )
    assert shard.state == "lost"


async def test_who_waits_beside_poison_while_the_store_is_away_is_told():
    world, runtime = await world_of()
    await command(runtime, "w")
    (store,) = world.stores
    await world.post("w", "bad", counted(raises=True))
    await runtime.intake.step()
    then(store, "open_entities", lambda: "unavailable")
    with pytest.raises(Unavailable):
        await command(runtime, "w")
    await world.clock.advance(1)
    await world.settle(runtime)
    assert await runtime.query("w", value()) == 1


async def test_a_shard_that_is_lost_while_it_loads_stays_lost():
    world, first = await world_of()
    await command(first, "w")
    await first.stop()
    second = world.replica("two")
    await second.step_leases()
    shard = second.shards[0]
    then(world.stores[1], "open_entities", shard.lose)
    await shard.step()
    assert shard.state == "lost" and not shard.workspaces


async def test_what_a_core_does_not_heed_is_read_and_nothing_else():
    world, runtime = await world_of()
    for number, kind in enumerate(("count", UNHEEDED, "count"), start=1):
        await world.post(
            "w",
            f"s{number}",
            topic=topics.SLA_EVENTS,
            source="/sla",
            sequence=number,
            previous=number - 1,
            kind=kind,
        )
    await world.settle(runtime)
    assert await runtime.query("w", value()) == 2
    assert sum(row.count for row in await world.stores[0].inputs("w", 0, 100)) == 2
    assert runtime.shards[0].following.positions[topics.SLA_EVENTS] == 3
    assert world.replicas[0].metrics.gaps.collect()[0].samples == [], (
        "its number counts all the same"
    )


async def test_a_watch_waits_until_its_time_is_over_or_it_is_woken():
    for clock in (RealClock(), VirtualClock()):
        watch = Watches(clock, 1).open("w", ["a"])
        waiting = asyncio.create_task(watch.changed(0.02))
        await asyncio.sleep(0)
        if isinstance(clock, VirtualClock):
            await clock.advance(0.03)
        assert not await waiting
        waiting = asyncio.create_task(watch.changed(60))
        await asyncio.sleep(0)
        watch.wake()
        watch.wake()
        assert await waiting and not await watch.changed(0)


async def test_the_lag_of_all_shards_is_asked_for_at_once():
    world = World(partitions=3)
    await world.prepare({"w": 1})
    runtime = world.replica()
    await world.settle(runtime)
    await world.post("w", "waits", partition=1)
    asked, bounds = [], world.bus.bounds

    async def counted_bounds(partitions):
        asked.append(len(partitions))
        return await bounds(partitions)

    world.bus.bounds = counted_bounds
    await runtime.intake.measure()
    assert asked == [3 * len(world.reads)]
    lag = runtime.metrics.lag.labels(runtime.service, "1", world.reads[0])
    assert lag._value.get() == 1
