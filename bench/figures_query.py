"""Figures over many finished clocks: what a question costs, and what keeping the roll-up costs.

`figures` has FEW clocks, which takes under a minute; `figures-full` has MANY, as many as the target is for.
The roll-up is filled as finished clocks of 30 days would fill it: each clock's time is drawn
by itself, counted in its bucket, and stored by minute (of the last two days), hour and day, by queue and by
agent. Clocks themselves are stored only where a question counts them one by one: at the ragged ends of its
span. The questions are those of `GET service-level` and the like, without HTTP. What keeping it up to date
costs is measured apart, with rows written and folded as in operation.
"""

import random
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import uvloop
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from bench.figures import Figure
from services.sla.domain.histogram import bucket_of
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

POOL = 100_000  # different clocks to draw from
HOUR = timedelta(hours=1)

Cell = Counter[int]
Cells = dict[tuple[str, int, datetime, str, str], Cell]  # dimension, step, at, key, outcome


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


async def _measured(url: str, clocks: int) -> list[Figure]:
    await upgrade(url)
    engine = create_engine(url, pool_size=3, application_name="bench")
    try:
        until = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=17)
        since = until - timedelta(days=DAYS)
        rows = await _fill(engine, since, until, clocks)
        figures = await _questions(engine, since, until, clocks, rows)
        return [*figures, await _keeping(engine)]
    finally:
        await engine.dispose()


# Filling.


class Kind(NamedTuple):
    """One of the kinds of clocks to draw from: what it came to, and how long it took."""

    outcome: str
    bucket: int
    value: int


def _kinds(chance: random.Random) -> list[Kind]:
    """Times are exponential around 90 s; 6 % are abandoned."""
    found: list[Kind] = []
    for _ in range(POOL):
        value = int(chance.expovariate(1 / 90e6))
        outcome = "abandoned" if chance.random() < 0.06 else "met" if value < 60e6 else "missed"
        found.append(Kind(outcome, bucket_of(value), value))
    return found


async def _fill(engine: AsyncEngine, since: datetime, until: datetime, wanted: int) -> int:
    """Draws the clocks hour by hour (minute by minute, where minutes are kept); returns how many
    rows the roll-up has."""
    chance = random.Random(1)
    kinds = _kinds(chance)
    per_s = wanted / (until - since).total_seconds() / QUEUES / AGENTS_OF_QUEUE
    hour = since.replace(minute=0, second=0)
    days: Cells = defaultdict(Counter)
    while hour < until:
        begin, end = max(hour, since), min(hour + HOUR, until)
        cells: Cells = defaultdict(Counter)
        ragged = begin > hour or end < hour + HOUR
        step = timedelta(minutes=1) if ragged or hour > until - timedelta(hours=47) else HOUR
        clocks: list[Clock] = []
        at = hour
        while at < hour + HOUR:
            first, last = max(at, begin), min(at + step, end)
            length_s = max(0.0, (last - first).total_seconds())
            _draw(chance, kinds, per_s * length_s, (at, step), cells, clocks if ragged else None)
            at += step
        for (dimension, level, when, key, outcome), cell in cells.items():
            if level == 60:
                days[dimension, 1440, when.replace(hour=0), key, outcome] += cell
        await _store(engine, cells)
        if ragged:
            await _store_clocks(engine, clocks, begin)
        hour += HOUR
    await _store(engine, days)
    async with driver_of(engine).connection() as raw:
        await raw.execute("VACUUM ANALYZE sla.rollup")
        await raw.execute("VACUUM ANALYZE sla.measure")
        return await raw.fetchval("SELECT count(*) FROM sla.rollup")


Clock = tuple[datetime, str, str, Kind]


def _draw(
    chance: random.Random,
    kinds: list[Kind],
    mean: float,
    stretch: tuple[datetime, timedelta],
    cells: Cells,
    clocks: list[Clock] | None,
) -> None:
    """The clocks of one stretch, `mean` an agent, counted in `cells` and listed in `clocks`."""
    at, step = stretch
    hour = at.replace(minute=0)
    for number in range(QUEUES * AGENTS_OF_QUEUE):
        count = int(mean + chance.random())
        queue, agent = f"q{number % QUEUES}", f"a{number}"
        drawn = chance.choices(kinds, k=count)
        for dimension, key in (("queue", queue), ("agent", agent)):
            for kind in drawn:
                cells[dimension, 60, hour, key, kind.outcome][kind.bucket] += 1
                if step < HOUR:
                    cells[dimension, 1, at, key, kind.outcome][kind.bucket] += 1
        if clocks is not None:
            clocks += [(at, queue, agent, kind) for kind in drawn]


async def _store(engine: AsyncEngine, cells: Cells) -> None:
    """Straight into the roll-up; sums are taken from the buckets, which no question here looks at."""
    records = [
        (
            WORKSPACE, "started", METRIC, dimension, step, at, key, outcome,
            sum(edge * count for edge, count in cell.items()), sorted(cell),
            [cell[edge] for edge in sorted(cell)],
        )
        for (dimension, step, at, key, outcome), cell in cells.items()
    ]  # fmt: skip
    async with driver_of(engine).connection() as raw:
        await raw.copy_records_to_table("rollup", schema_name="sla", records=records)


async def _store_clocks(engine: AsyncEngine, clocks: list[Clock], begin: datetime) -> None:
    """Each begins with its minute, but not before the span that is asked for."""
    values = [
        _measure(f"clk_{begin.timestamp()}_{number}", max(at, begin), queue, agent, kind)
        for number, (at, queue, agent, kind) in enumerate(clocks)
    ]
    async with transaction(engine) as connection:
        await write_rows(connection, [(WORKSPACE, Row("measure", one)) for one in values])
        await connection.execute(
            text("TRUNCATE sla.contribution")
        )  # counted in the roll-up already


def _measure(name: str, at: datetime, queue: str, agent: str, kind: Kind) -> dict[str, Any]:
    start = int(at.timestamp()) * 1_000_000
    return {
        "workspace": WORKSPACE, "id": name, "metric": METRIC, "outcome": kind.outcome,
        "channel": "chat", "queue": queue, "agent_id": agent, "policy_id": "main", "priority": 0.0,
        "tags": [], "started_us": start, "due_us": start + 60_000_000,
        "ended_us": start + kind.value, "value_us": kind.value, "bucket_us": kind.bucket,
        "wall_us": kind.value, "wall_bucket_us": kind.bucket,
    }  # fmt: skip


# Asking.


async def _questions(
    engine: AsyncEngine, since: datetime, until: datetime, clocks: int, rows: int
) -> list[Figure]:
    readings = Readings(NoCore(), FiguresStore(engine), promises)  # type: ignore[arg-type]
    answer = await readings.service_level(WORKSPACE, METRIC, since, until, "queue")
    offered = sum(row["counts"]["offered"] for row in answer)
    assert len(answer) == QUEUES and all(row["exact"] for row in answer)
    assert abs(offered - clocks) < clocks / 100, offered
    target_ms = TARGET_MS if clocks >= MANY else None

    async def by_queue() -> None:
        await readings.service_level(WORKSPACE, METRIC, since, until, "queue")

    async def by_agent() -> None:
        await readings.service_level(WORKSPACE, METRIC, since, until, "agent")

    async def hourly() -> None:
        await readings.series(WORKSPACE, METRIC, since, until, "queue", "started", 3600, None)

    async def a_day_by_minute() -> None:
        start = until - timedelta(hours=24)
        await readings.series(WORKSPACE, METRIC, start, until, "queue", "started", 60, None)

    found: list[Figure] = []
    for name, ask, target in (
        ("Service level of 30 days, by queue", by_queue, target_ms),
        ("Service level of 30 days, by agent", by_agent, target_ms),
        ("Hours of 30 days, by queue", hourly, None),
        ("Minutes of a day, by queue", a_day_by_minute, None),
    ):
        times = await _timed(ask)
        more: dict[str, float | str] = {
            "worst_ms": times[-1],
            "clocks": float(offered),
            "rows": float(rows),
        }
        found.append(
            Figure(
                name=name, value=times[len(times) // 2], unit="ms", target=target, at_most=True,
                more=more,
            )
        )  # fmt: skip
    return found


async def _timed(ask: Callable[[], Awaitable[None]]) -> list[float]:
    """Milliseconds of each round, ascending; the first, which warms up, is not among them."""
    await ask()
    times: list[float] = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        await ask()
        times.append((time.perf_counter() - began) * 1000)
    return sorted(times)


async def _keeping(engine: AsyncEngine) -> Figure:
    """Measures written and folded a second, one workspace, new rows beside those that were filled in."""
    chance = random.Random(2)
    kinds = _kinds(chance)
    begin = datetime.now(UTC) - HOUR
    began = time.perf_counter()
    for place in range(0, KEPT, 500):
        values = [
            _measure(
                f"new_{place}_{number}",
                begin + timedelta(seconds=chance.randrange(3600)),
                f"q{number % QUEUES}",
                f"a{chance.randrange(QUEUES * AGENTS_OF_QUEUE)}",
                chance.choice(kinds),
            )
            for number in range(500)
        ]
        async with transaction(engine) as connection:
            await write_rows(connection, [(WORKSPACE, Row("measure", one)) for one in values])
    written = time.perf_counter()
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
        },
    )
