"""Figures over many finished clocks: what a question costs, and what keeping the roll-up costs.

`figures` has FEW clocks, which takes under a minute; `figures-full` has MANY, as many as the target is for.
PostgreSQL draws the clocks of 30 days itself and rolls them up a day at a time, by queue and by agent, into
the rows that folding them would make (minutes of the last two days, hours, days). The questions are those
of `GET service-level` and the like, without HTTP; the first is compared with a count of all the clocks,
which is also what it must equal. What keeping the roll-up up to date costs is measured apart, with rows
written and folded as in operation. Beside the time on the wall stands the processor time of the question,
the server's included.
"""

import os
import random
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import uvloop
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from bench.figures import Figure
from services.sla.domain.histogram import GRID, bucket_of
from services.sla.domain.promises import Promise
from services.sla.figures_store import FiguresStore
from services.sla.projection import write_rows
from services.sla.readings import Readings
from services.sla.rollup import FOLD_MAX, Rollup
from shared.contracts.core import Row
from shared.db.embedded import EmbeddedPostgres
from shared.db.engine import create_engine, driver_of, transaction
from shared.db.migrate import upgrade

FEW, MANY = 300_000, 10_000_000
DAYS = 30
QUEUES = 20
AGENTS_OF_QUEUE = 10
WORKSPACE = "bench"
METRIC = "first_response"
ROUNDS = 15
TARGET_MS = 300  # of MANY
KEPT = 20_000  # measures written and folded for the cost of the roll-up
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


class NoCore:
    """The runtime of a workspace in which nothing is open."""

    async def query(self, workspace: str, fn: Callable[[Any], Any]) -> Any:
        raise AssertionError("nothing is open")


async def promises(workspace: str) -> dict[str, dict[str, Promise]]:
    """Each queue promises another threshold."""
    return {f"q{n}": {METRIC: Promise(20.0 + 10 * n, 0.8)} for n in range(QUEUES)}


def full() -> list[Figure]:
    return run(MANY)


def run(clocks: int = FEW) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="omniroute-bench-") as data:
        server = EmbeddedPostgres(Path(data))
        url = server.start()
        try:
            return uvloop.run(_measured(url, clocks))
        finally:
            server.stop()


class Asked(NamedTuple):
    """What is asked about: a span that begins and ends within a minute, and its clocks."""

    since: datetime
    until: datetime
    clocks: int
    rows: int  # of the roll-up


async def _measured(url: str, clocks: int) -> list[Figure]:
    await upgrade(url)
    engine = create_engine(url, pool_size=3, application_name="bench")
    try:
        until = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=17)
        since = until - timedelta(days=DAYS)
        rows = await _fill(engine, since, until, clocks)
        figures = await _questions(engine, Asked(since, until, clocks, rows))
        return [*figures, await _keeping(engine)]
    finally:
        await engine.dispose()


# Filling. Clocks begin evenly over the span; their times are exponential around 90 s, 6 % are abandoned.
# Nothing here is written to the log, which only writing would feel.

_BARE = """
ALTER TABLE sla.measure SET UNLOGGED;
ALTER TABLE sla.rollup SET UNLOGGED;
DROP INDEX sla.measure_started, sla.measure_due, sla.measure_ended;
ALTER TABLE sla.measure DROP CONSTRAINT measure_pkey;
"""
_INDEXED = """
CREATE INDEX measure_started ON sla.measure (workspace, metric, started_at);
CREATE UNIQUE INDEX measure_pkey ON sla.measure (workspace, id);
ALTER TABLE sla.measure ADD PRIMARY KEY USING INDEX measure_pkey;
"""
_DRAW = f"""
INSERT INTO sla.measure
SELECT '{WORKSPACE}', 'clk_' || n, '{METRIC}',
  CASE WHEN luck < 0.06 THEN 'abandoned' WHEN value < 60000000 THEN 'met' ELSE 'missed' END,
  'chat', 'q' || agent % {QUEUES}, 'a' || agent, 'main', 0, '{{}}', at,
  at + interval '60 s', at + value * interval '1 microsecond', value, edge, value, edge
FROM (
  SELECT *, (grid.edges)[width_bucket(value - 1, grid.edges) + 1] AS edge FROM (
    SELECT n, $1::timestamptz + (n - 1) * ($2::timestamptz - $1::timestamptz) / $3::bigint AS at,
      random() AS luck, 1 + (-90e6 * ln(1 - random()))::bigint AS value,
      floor(random() * {QUEUES * AGENTS_OF_QUEUE})::integer AS agent
    FROM generate_series($4::bigint, $5::bigint) n
  ) drawn, (SELECT $6::bigint[] AS edges OFFSET 0) grid
) timed
"""
_ROLL = """
INSERT INTO sla.rollup
WITH steps AS (SELECT * FROM (VALUES (1, interval '1 minute'), (60, '1 hour'), (1440, '1 day'))
  s (step, width) WHERE step > 1 OR $3),
cells AS (
  SELECT workspace, metric, dimension, step::smallint AS step, date_bin(width, started_at, 'epoch')
    AS at, key, bucket_us AS bucket, count(*) FILTER (WHERE outcome IN ('met', 'missed')) AS an,
    count(*) FILTER (WHERE outcome = 'abandoned') AS ab, count(*) FILTER (WHERE outcome = 'met')
    AS met, sum(value_us) FILTER (WHERE outcome IN ('met', 'missed')) AS an_us,
    sum(value_us) FILTER (WHERE outcome = 'abandoned') AS ab_us
  FROM sla.measure m, steps, LATERAL (VALUES ('queue', queue), ('agent', agent_id)) d (dimension, key)
  WHERE started_at >= $1 AND started_at < $2
  GROUP BY 1, 2, 3, 4, 5, 6, 7
),
up_to AS (
  SELECT *, (sum(an) OVER below)::integer AS answered, (sum(ab) OVER below)::integer AS abandoned
  FROM cells WINDOW below AS (PARTITION BY step, at, key, dimension, metric, workspace ORDER BY bucket)
)
SELECT workspace, 'started', metric, dimension, step, at, key, sum(met), 0,
  coalesce(sum(an_us), 0), coalesce(sum(ab_us), 0), array_agg(bucket ORDER BY bucket),
  CASE WHEN max(answered) > 0 THEN array_agg(answered ORDER BY bucket) ELSE '{}' END,
  CASE WHEN max(abandoned) > 0 THEN array_agg(abandoned ORDER BY bucket) ELSE '{}' END, '{}'
FROM up_to GROUP BY step, at, key, dimension, metric, workspace
"""
_AT_ONCE = 500_000  # clocks drawn in one statement


async def _fill(engine: AsyncEngine, since: datetime, until: datetime, wanted: int) -> int:
    """Draws the clocks and rolls them up; returns how many rows the roll-up has."""
    async with driver_of(engine).connection() as raw:
        await raw.execute("SET statement_timeout = 0")
        await raw.execute("SET work_mem = '256MB'")
        await raw.execute("SET maintenance_work_mem = '512MB'")
        await raw.execute("SELECT setseed(0.1)")
        await raw.execute(_BARE)
        for first in range(1, wanted + 1, _AT_ONCE):
            last = min(first + _AT_ONCE - 1, wanted)
            await raw.execute(_DRAW, since, until, wanted, first, last, list(GRID), timeout=3600)
        await raw.execute(_INDEXED, timeout=3600)
        await raw.execute("VACUUM ANALYZE sla.measure", timeout=3600)
        day = since.replace(hour=0, minute=0, second=0)
        while day < until:
            minutes = day + DAY > until - timedelta(hours=49)
            await raw.execute(_ROLL, day, day + DAY, minutes, timeout=3600)
            day += DAY
        await raw.execute("VACUUM ANALYZE sla.rollup", timeout=3600)
        await raw.execute("RESET ALL")
        return await raw.fetchval("SELECT count(*) FROM sla.rollup")


# Asking.

_COUNT = f"""
SELECT queue, count(*), count(*) FILTER (WHERE outcome IN ('met', 'missed')),
  count(*) FILTER (WHERE outcome IN ('met', 'missed') AND value_us <= limit_us),
  count(*) FILTER (WHERE outcome = 'abandoned' AND value_us <= limit_us),
  count(*) FILTER (WHERE outcome = 'abandoned' AND value_us <= 5000000)
FROM sla.measure JOIN unnest($3::text[], $4::bigint[]) l (queue, limit_us) USING (queue)
WHERE workspace = '{WORKSPACE}' AND metric = '{METRIC}' AND started_at >= $1 AND started_at < $2
GROUP BY 1
"""


async def _counted(engine: AsyncEngine, asked: Asked) -> dict[str, tuple[int, ...]]:
    """Service level the plain way: every clock of the span is looked at."""
    promised = await promises(WORKSPACE)
    limits = [round(one[METRIC].threshold_s * 1_000_000) for one in promised.values()]
    async with driver_of(engine).connection() as raw:
        found = await raw.fetch(
            _COUNT, asked.since, asked.until, list(promised), limits, timeout=3600
        )
    return {queue: tuple(counts) for queue, *counts in found}


async def _questions(engine: AsyncEngine, asked: Asked) -> list[Figure]:
    readings = Readings(NoCore(), FiguresStore(engine), promises)  # type: ignore[arg-type]
    since, until = asked.since, asked.until

    def level(by: Any) -> Callable[[], Awaitable[list[Any]]]:
        return lambda: readings.service_level(WORKSPACE, METRIC, since, until, by)

    def series(
        by: Any, step_s: int, start: datetime = since, keys: list[str] | None = None
    ) -> Callable[[], Awaitable[list[Any]]]:
        return lambda: readings.series(
            WORKSPACE, METRIC, start, until, by, "started", step_s, None, keys
        )

    naive = await _plainly(engine, asked, await level("queue")())
    few = asked.clocks < MANY
    found: list[Figure] = []
    for name, ask, target in (
        ("Service level of 30 days, by queue", level("queue"), None if few else TARGET_MS),
        ("Service level of 30 days, by agent", level("agent"), None),
        ("Hours of 30 days, one queue", series("queue", 3600, keys=["q3"]), TARGET_MS),
        ("Hours of 30 days, by queue", series("queue", 3600), None),
        ("Days of 30 days, by agent", series("agent", 86_400), None),
        ("Hours of a day, by agent", series("agent", 3600, until - DAY), None),
        ("Minutes of a day, by queue", series("queue", 60, until - DAY), None),
    ):
        rows, took = await _timed(engine, ask)
        more: dict[str, float | str] = {
            "worst_ms": took.worst_ms, "cpu_ms": took.cpu_ms, "answered_rows": float(rows),
            "clocks": float(asked.clocks), "rows": float(asked.rows),
        }  # fmt: skip
        figure = Figure(
            name=name, value=took.median_ms, unit="ms", target=target, at_most=True, more=more
        )
        if not found:
            figure.baseline, figure.baseline_name = naive, "all clocks counted"
        found.append(figure)
    return found


async def _plainly(engine: AsyncEngine, asked: Asked, answer: list[Any]) -> float:
    """How long the plain count takes, in ms; the answer must equal it."""
    began = time.perf_counter()
    counted = await _counted(engine, asked)
    took = (time.perf_counter() - began) * 1000
    names = ("offered", "answered", "answered_within", "abandoned_within", "abandoned_short")
    shown = {row["queue"]: tuple(row["counts"][name] for name in names) for row in answer}
    assert shown == counted and all(row["exact"] for row in answer)
    assert sum(offered for offered, *_ in counted.values()) == asked.clocks
    return took


class Took(NamedTuple):
    """Of ROUNDS rounds; `cpu_ms` of one, this process and the server's."""

    median_ms: float
    worst_ms: float
    cpu_ms: float


async def _timed(engine: AsyncEngine, ask: Callable[[], Awaitable[list[Any]]]) -> tuple[int, Took]:
    """Rows of an answer, and its cost; the first, which warms up, is not among the rounds."""
    rows = len(await ask())
    spent = await _cpu_s(engine)
    times: list[float] = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        await ask()
        times.append((time.perf_counter() - began) * 1000)
    cpu_ms = (await _cpu_s(engine) - spent) * 1000 / ROUNDS
    times.sort()
    return rows, Took(times[len(times) // 2], times[-1], cpu_ms)


_spent: dict[int, int] = {}  # of the server's processes, also of those that have ended, in ticks


async def _cpu_s(engine: AsyncEngine) -> float:
    """Processor time of this process and of the server's processes that answer it."""
    async with engine.connect() as connection:
        found = await connection.execute(
            text("SELECT pid FROM pg_stat_activity WHERE application_name = 'bench'")
        )
        _spent.update({pid: _ticks(pid) for pid in found.scalars()})
    return time.process_time() + sum(_spent.values()) / os.sysconf("SC_CLK_TCK")


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


# Keeping.


def _measure(chance: random.Random, name: str, at: datetime, number: int) -> dict[str, Any]:
    start, value = int(at.timestamp()) * 1_000_000, int(chance.expovariate(1 / 90e6))
    outcome = "abandoned" if chance.random() < 0.06 else "met" if value < 60e6 else "missed"
    bucket = bucket_of(value)
    return {
        "workspace": WORKSPACE, "id": name, "metric": METRIC, "outcome": outcome,
        "channel": "chat", "queue": f"q{number % QUEUES}",
        "agent_id": f"a{chance.randrange(QUEUES * AGENTS_OF_QUEUE)}", "policy_id": "main",
        "priority": 0.0, "tags": [], "started_us": start, "due_us": start + 60_000_000,
        "ended_us": start + value, "value_us": value, "bucket_us": bucket,
        "wall_us": value, "wall_bucket_us": bucket,
    }  # fmt: skip


async def _keeping(engine: AsyncEngine) -> Figure:
    """Measures written and folded a second, one workspace, new rows beside those that were filled in."""
    chance = random.Random(2)
    begin = datetime.now(UTC) - HOUR
    spent, began = await _cpu_s(engine), time.perf_counter()
    for place in range(0, KEPT, 500):
        values = [
            _measure(
                chance,
                f"new_{place}_{number}",
                begin + timedelta(seconds=chance.randrange(3600)),
                number,
            )
            for number in range(500)
        ]
        async with transaction(engine) as connection:
            await write_rows(connection, [(WORKSPACE, Row("measure", one)) for one in values])
    wrote, written = await _cpu_s(engine), time.perf_counter()
    rollup = Rollup(engine)
    full = True
    while full:
        full = await rollup.fold() == FOLD_MAX
    folded = time.perf_counter()
    return Figure(
        name="Finished clocks written and folded into the roll-up",
        value=KEPT / (folded - began),
        unit="clocks/s",
        more={
            "write_us": (written - began) / KEPT * 1e6,
            "fold_us": (folded - written) / KEPT * 1e6,
            "write_cpu_us": (wrote - spent) / KEPT * 1e6,
            "fold_cpu_us": (await _cpu_s(engine) - wrote) / KEPT * 1e6,
        },
    )
