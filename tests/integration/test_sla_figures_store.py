"""The roll-up in PostgreSQL equals a recomputation from what has ended, after any history."""

import random
from collections import Counter, defaultdict
from datetime import datetime, timedelta
from importlib import import_module
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text

from services.sla.domain.ended import Ended, by_outcome
from services.sla.domain.histogram import Histogram, bucket_of, with_edges
from services.sla.domain.summary import SHARES
from services.sla.figures_rows import Group, Limits, Line, TooMany
from services.sla.figures_spans import EPOCH, local_days
from services.sla.figures_store import FiguresStore
from services.sla.projection import row_statements, write_rows
from services.sla.rollup import Rollup
from shared.contracts.core import Row
from shared.db.engine import driver_of, transaction
from shared.runtime.store.statements import fenced

MIN = 60_000_000
NOW = datetime.now(EPOCH.tzinfo).replace(microsecond=0)
BASE_US = (NOW - timedelta(days=40) - EPOCH) // timedelta(microseconds=1)
SPAN_US = 40 * 86_400_000_000
EDGES = with_edges(())
QUEUES, AGENTS, TAGS = ["billing", "tech", None], ["ana", None], ["vip", "late", "=1+1"]


def measure(chance: random.Random, name: str) -> dict:
    started = BASE_US + chance.randrange(SPAN_US)
    value = int(chance.expovariate(1 / 90e6))
    ended = started + value
    return {
        "workspace": "shop", "id": name, "metric": chance.choice(["first_response", "resolution"]),
        "outcome": chance.choice(["met", "missed", "abandoned", "closed_unanswered", "closed_late"]),
        "channel": chance.choice(["chat", "email"]), "queue": chance.choice(QUEUES),
        "agent_id": chance.choice(AGENTS), "policy_id": "main",
        "priority": chance.choice([0.0, 2.5, 10.0]),
        "tags": sorted(chance.sample(TAGS, chance.randrange(3))),
        "started_us": started, "due_us": chance.choice([None, started + 60 * 1_000_000]),
        "ended_us": ended, "value_us": value, "bucket_us": bucket_of(value, EDGES),
        "wall_us": value, "wall_bucket_us": bucket_of(value, EDGES),
    }  # fmt: skip


def gone(name: str) -> dict:
    return {"workspace": "shop", "id": name, "outcome": None}


async def write(engine, values: list[dict], *, at_once: bool = False) -> None:
    """As the runtime does: one by one, or all in the batch's one statement."""
    rows = [("shop", Row("measure", one)) for one in values]
    async with transaction(engine) as connection:
        if not at_once:
            await write_rows(connection, rows)
            return
        parts = row_statements(rows)
        together = fenced("SELECT $1::int AS epoch", tuple(statement for statement, _ in parts))
        values = (7, *(one for _, given in parts for one in given))
        await connection.exec_driver_sql(together, values)


def keys(one: dict, by: str) -> list[str]:
    if by == "tag":
        return one["tags"] or [""]
    if by == "priority":
        return [f"{one['priority']:g}"]
    return [one[{"agent": "agent_id", "policy": "policy_id"}.get(by, by)] or ""]


def naive(
    known: dict[str, dict], series: str, by: str, since: datetime, until: datetime, step_s=None
) -> dict[Group, Ended]:
    """The same from a list, one by one."""
    field = {"started": "started_us", "due": "due_us"}.get(series, "ended_us")
    low, high = ((at - EPOCH) // timedelta(microseconds=1) for at in (since, until))
    counts: dict[Group, dict[str, Counter]] = defaultdict(lambda: defaultdict(Counter))
    spent: Counter = Counter()
    for one in known.values():
        at = one[field]
        if at is None or not low <= at < high:
            continue
        slot = 0 if step_s is None else at // (step_s * 1_000_000)
        for key in keys(one, by):
            group = Group(slot, one["metric"], key)
            value, bucket = one["value_us"], one["bucket_us"]
            if series == "due":
                value = bucket = 0
            elif series == "wall":
                value, bucket = one["wall_us"], one["wall_bucket_us"]
            counts[group][one["outcome"]][bucket] += 1
            spent[group, one["outcome"]] += value if not one["outcome"].startswith("closed") else 0
    return {
        group: by_outcome(
            {
                name: Histogram(
                    sorted(found), [found[edge] for edge in sorted(found)], spent[group, name]
                )
                for name, found in outcomes.items()
            }
        )
        for group, outcomes in counts.items()
    }


LIMITS = Limits({"billing": 60_000_000, "ana": 90_000_000}, 20_000_000)


def lines(expected: dict[Group, Ended], metric: str) -> list[Line]:
    """What a series says of them."""
    found = []
    for group, ended in sorted(expected.items()):
        if group.metric == metric:
            sums = ended.sums(LIMITS.of.get(group.key, LIMITS.other))
            quantiles = tuple(ended.answered.quantiles_us(share for _, share in SHARES))
            found.append(Line(group.slot, group.key, sums, quantiles, ended.answered.max_us()))
    return sorted(found, key=lambda line: (line.slot, line.key))


async def read(engine, *args):
    async with FiguresStore(engine).moment() as moment:
        return await moment.histograms("shop", None, *args)


async def read_sums(engine, *args):
    async with FiguresStore(engine).moment() as moment:
        return await moment.sums("shop", None, *args, LIMITS)


async def read_steps(engine, metric, series, by, span, step_s, *, keys=None, most=100_000):
    async with FiguresStore(engine).moment() as moment:
        return await moment.steps("shop", metric, series, by, *span, step_s, LIMITS, keys, most)


SPANS = [
    (NOW - timedelta(days=40), NOW),
    (NOW - timedelta(days=33, hours=3, minutes=7, seconds=11), NOW - timedelta(minutes=3, seconds=2)),
    (NOW - timedelta(hours=30, seconds=5), NOW - timedelta(hours=5, minutes=30)),
    (NOW - timedelta(seconds=90), NOW - timedelta(seconds=10)),
]  # fmt: skip


@pytest.mark.parametrize("seed", [1, 2])
async def test_rollup_equals_recomputation_after_corrections_duplicates_and_withdrawals(
    engine, seed
):
    chance = random.Random(seed)
    rollup = Rollup(engine)
    known: dict[str, dict] = {}
    for turn in range(8):
        changes: dict[str, dict] = {}
        for _ in range(40):
            name = f"clk_{chance.randrange(150)}"
            changes[name] = gone(name) if chance.random() < 0.2 else measure(chance, name)
        await write(engine, list(changes.values()), at_once=seed == 2)
        if chance.random() < 0.3:
            # Told again.
            await write(engine, list(changes.values()), at_once=seed == 2)
        for name, one in changes.items():
            known.pop(name, None)
            if one["outcome"]:
                known[name] = one
        if turn % 3 == 1:
            await rollup.fold()
    for fold in (False, True):
        if fold:
            while await rollup.fold():
                pass
        for by in ("queue", "agent", "channel", "policy", "priority", "tag"):
            for series in ("started", "due", "finished", "wall"):
                for since, until in SPANS if by in ("queue", "tag") else SPANS[1:2]:
                    expected = naive(known, series, by, since, until)
                    assert await read(engine, series, by, since, until) == expected
                    sums = await read_sums(
                        engine,
                        series,
                        by,
                        since,
                        until,
                    )
                    assert sums == {
                        (group.key, group.metric): ended.sums(
                            LIMITS.of.get(group.key, LIMITS.other)
                        )
                        for group, ended in expected.items()
                    }
        await same_steps(engine, known)
        await same_days(engine, known)


async def same_steps(engine, known: dict[str, dict]) -> None:
    """Steps that the roll-up has, multiples of them, and minutes at the end of a span."""
    for step_s, span in ((86_400, SPANS[0]), (3600, SPANS[1]), (7200, SPANS[1]), (60, SPANS[2])):
        for by in ("queue", "tag"):
            expected = lines(naive(known, "finished", by, *span, step_s), "resolution")
            assert await read_steps(engine, "resolution", "finished", by, span, step_s) == expected
    hours = await read_steps(engine, "resolution", "started", "queue", SPANS[0], 3600)
    ours = await read_steps(engine, "resolution", "started", "queue", SPANS[0], 3600, keys=["", "tech"])  # fmt: skip
    assert ours == [line for line in hours if line.key != "billing"]
    assert await read_steps(
        engine, "resolution", "started", "queue", SPANS[0], 3600, most=len(hours)
    ) == hours  # fmt: skip
    with pytest.raises(TooMany):
        await read_steps(
            engine, "resolution", "started", "queue", SPANS[0], 3600, most=len(hours) - 1
        )


ZONES = ("UTC", "Europe/Berlin", "Asia/Kolkata", "America/St_Johns", "Australia/Lord_Howe")


async def same_days(engine, known: dict[str, dict]) -> None:
    """Days of zones, those of half hours too, each as its clocks counted one by one."""
    for zone in map(ZoneInfo, ZONES):
        for span in SPANS[:3]:
            edges = local_days(*span, zone)
            expected = [
                line
                for number, (begin, end) in enumerate(pairwise(edges), 1)
                for line in lines(
                    {
                        group._replace(slot=number): ended
                        for group, ended in naive(
                            known, "finished", "queue", max(begin, span[0]), min(end, span[1])
                        ).items()
                    },
                    "resolution",
                )
            ]
            async with FiguresStore(engine).moment() as moment:
                found = await moment.days(
                    "shop", "resolution", "finished", "queue", *span, edges, LIMITS, None, 100_000
                )
            assert found == expected
    async with FiguresStore(engine).moment() as moment:
        with pytest.raises(TooMany):
            await moment.days(
                "shop", "resolution", "finished", "queue", *span, edges, LIMITS, None, 0
            )


async def test_a_threshold_declared_later_becomes_exact(engine):
    rollup = Rollup(engine)
    values = []
    for number, value_s in enumerate([124.5, 125, 125.000001, 125.5, 200]):
        one = measure(random.Random(number), f"clk_{number}")
        value = round(value_s * 1_000_000)
        one |= {"metric": "first_response", "outcome": "met", "queue": "billing"}
        one |= {"value_us": value, "bucket_us": bucket_of(value)}
        one |= {"wall_us": value, "wall_bucket_us": bucket_of(value)}
        values.append(one)
    await write(engine, values)
    await rollup.fold()
    edge = 125_000_000
    span = (NOW - timedelta(days=41), NOW + timedelta(days=1))

    async def at_most() -> int:
        async with FiguresStore(engine).moment() as moment:
            found = await moment.histograms("shop", ["first_response"], "started", "queue", *span)
            exact = edge in await moment.edges("shop")
        return found[Group(0, "first_response", "billing")].answered.at_most(edge), exact

    assert await at_most() == (0, False), "126 s is the edge above all of them"
    async with transaction(engine) as connection:
        await write_rows(
            connection, [("shop", Row("edge", {"workspace": "shop", "edge_us": edge}))]
        )
    assert await rollup.split() == 1
    assert await at_most() == (2, True)
    await rollup.fold()
    assert await at_most() == (2, True)
    assert await rollup.split() == 0


async def test_measures_are_looked_up_by_their_key_while_there_are_no_figures_of_the_table(engine):
    """Through an index of the workspace each row of a batch would read all its measures."""
    parts = row_statements([("shop", Row("measure", gone("m1")))])
    together = fenced("SELECT $1::int AS epoch", tuple(statement for statement, _ in parts))
    async with driver_of(engine).connection() as raw:
        await raw.execute(f"PREPARE written AS {together}")
        plan = await raw.fetch("EXPLAIN EXECUTE written(7, '[]', '[]', '[]')")
    scans = [row[0] for row in plan if " on measure " in row[0] and "Scan using" in row[0]]
    assert len(scans) == 2 and all("measure_pkey" in one for one in scans)


async def test_old_minutes_are_removed_and_figures_stay(engine):
    rollup = Rollup(engine)
    values = [measure(random.Random(number), f"clk_{number}") for number in range(200)]
    await write(engine, values)
    await rollup.fold()
    before = [await read(engine, "started", "queue", *span) for span in SPANS]
    assert await rollup.purge(NOW) > 0
    assert await rollup.purge(NOW) == 0
    assert [await read(engine, "started", "queue", *span) for span in SPANS] == before
    async with engine.connect() as connection:
        oldest = await connection.scalar(text("SELECT min(at) FROM sla.rollup WHERE step = 1"))
    assert oldest is None or oldest >= NOW - timedelta(hours=50)


async def test_the_rollup_of_the_version_before_is_taken_over(engine):
    """Rows by outcome, with counts of each bucket by itself."""
    change = import_module("services.sla.migrations.versions.0040_rollup_upto")
    known = {f"clk_{n}": measure(random.Random(n), f"clk_{n}") for n in range(120)}
    async with transaction(engine) as connection:
        await connection.exec_driver_sql("DROP TABLE sla.rollup")
        await connection.exec_driver_sql(change._BEFORE)
        for one in known.values():
            day = one["started_us"] // DAY_US * DAY_US
            for key in keys(one, "tag"):
                await connection.execute(text(OLD), {**one, "at_us": day, "key": key})
        await connection.exec_driver_sql("ALTER TABLE sla.rollup RENAME TO rollup_before")
        await connection.exec_driver_sql(
            "ALTER TABLE sla.rollup_before RENAME CONSTRAINT rollup_pkey TO rollup_before_pkey"
        )
        await connection.exec_driver_sql(change._CREATE)
        await connection.exec_driver_sql(change._FILL)
    days = NOW.replace(hour=0, minute=0, second=0)
    span = (days - timedelta(days=41), days + timedelta(days=1))
    assert await read(engine, "started", "tag", *span) == naive(known, "started", "tag", *span)


DAY_US = 86_400_000_000
OLD = """
INSERT INTO sla.rollup VALUES ('shop', 'started', :metric, 'tag', 1440,
  'epoch'::timestamptz + :at_us * interval '1 microsecond', :key, :outcome, :value_us,
  ARRAY[CAST(:bucket_us AS bigint)], ARRAY[1::bigint])
ON CONFLICT (workspace, series, metric, dimension, step, at, key, outcome) DO UPDATE SET
  sum_us = rollup.sum_us + excluded.sum_us, (buckets, counts) = (
    SELECT array_agg(b ORDER BY b), array_agg(n ORDER BY b) FROM (
      SELECT b, sum(n)::bigint AS n FROM unnest(rollup.buckets || excluded.buckets,
        rollup.counts || excluded.counts) u (b, n) GROUP BY b) s)
"""
