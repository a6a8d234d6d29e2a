"""What remembering every event for eight days costs: rows, disk, and the time to drop a day.

The tables are the services' own (`seen`, a partition a day, dropped whole), filled in batches as the
runtime fills them, and pruned by the store's own call.
"""

import asyncio
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.figures import Figure
from shared.bus.postgres.bus import PostgresBus
from shared.db import migrate
from shared.db.embedded import EmbeddedPostgres
from shared.db.engine import create_engine
from shared.runtime.limits import Limits
from shared.runtime.store import days
from shared.runtime.store.postgres import PostgresStore

SERVICE = "router"
CONSUMERS = ("router", "sla", "archive")
EVENTS_PER_S = 500
DAY_S = 86_400
SMALL, LARGE = 50_000, 500_000
BATCH = 100
PER_CALL = 50
GIB = 1 << 30
_INSERT = (
    f"INSERT INTO {SERVICE}.seen (day, id) SELECT $1, id FROM unnest($2::bytea[]) AS a(id)"
    " ON CONFLICT DO NOTHING"
)


def run() -> list[Figure]:
    """Bytes a row at LARGE rows, extrapolated; and the drop of a day of SMALL and of LARGE rows."""
    with tempfile.TemporaryDirectory() as folder, EmbeddedPostgres(Path(folder) / "pg") as url:
        return asyncio.run(_measured(url))


async def _measured(url: str) -> list[Figure]:
    await migrate.upgrade(url)
    engine = create_engine(url, pool_size=2)
    try:
        await PostgresBus(engine).ensure_schema()
        store = PostgresStore(engine, SERVICE)
        small = await _day(engine, store, 10, SMALL)
        large = await _day(engine, store, 20, LARGE)
    finally:
        await engine.dispose()
    return _figures(small, large)


async def _day(engine: Any, store: PostgresStore, day: int, rows: int) -> dict[str, float]:
    """Fill one day, weigh it, and let the store drop it nine days later."""
    await store.prepare(1, _at_us(day))
    began = time.perf_counter()
    await _fill(engine, day, rows)
    took_s = time.perf_counter() - began
    size = await _size(engine, day)
    keep = Limits().seen_days
    later_us = _at_us(day + keep + 1)
    await store.prepare(1, later_us)  # so that only the drop is measured
    began = time.perf_counter()
    await store.maintain(later_us, 0, 0, keep, 1)
    dropped_ms = (time.perf_counter() - began) * 1000
    assert await _size(engine, day) == 0, "the day is still there"
    return {"rows": rows, "bytes": size, "drop_ms": dropped_ms, "rows_per_s": rows / took_s}


async def _fill(engine: Any, day: int, rows: int) -> None:
    when = days.day_of(_at_us(day))
    async with engine.connect() as connection:
        raw = (await connection.get_raw_connection()).driver_connection
        for _ in range(rows // (BATCH * PER_CALL)):
            async with raw.transaction():
                batches = [
                    (when, sorted(os.urandom(16) for _ in range(BATCH))) for _ in range(PER_CALL)
                ]
                await raw.executemany(_INSERT, batches)
        await raw.execute("CHECKPOINT")


async def _size(engine: Any, day: int) -> int:
    """Bytes of the day's partition with its index; 0 when there is none."""
    name = f"{SERVICE}.seen_{days.day_of(_at_us(day)):%Y%m%d}"
    async with engine.connect() as connection:
        raw = (await connection.get_raw_connection()).driver_connection
        return await raw.fetchval(
            "SELECT coalesce(pg_total_relation_size(to_regclass($1)), 0)", name
        )


def _at_us(day: int) -> int:
    return day * DAY_S * 1_000_000


def _figures(small: dict[str, float], large: dict[str, float]) -> list[Figure]:
    row = large["bytes"] / large["rows"]
    kept = Limits().seen_days + 1  # eight whole days, and today
    rows = EVENTS_PER_S * DAY_S * kept
    disk = row * rows / GIB
    return [
        Figure(
            name="Seen ids, disk a row with its index",
            value=round(row, 1),
            unit="bytes",
            more={"rows": large["rows"], "filled_per_s": round(large["rows_per_s"])},
        ),
        Figure(
            name=f"Seen ids, {kept} days at {EVENTS_PER_S} events/s, each consumer",
            value=round(disk, 1),
            unit="GiB",
            more={
                "rows": rows,
                "consumers": len(CONSUMERS),
                "all": round(disk * len(CONSUMERS), 1),
            },
        ),
        Figure(
            name="Seen ids, dropping a day",
            value=round(large["drop_ms"], 1),
            unit="ms",
            baseline=round(small["drop_ms"], 1),
            baseline_name=f"ms with {SMALL:,} rows",
            more={"rows": large["rows"], "rows_of_a_day": EVENTS_PER_S * DAY_S},
        ),
    ]
