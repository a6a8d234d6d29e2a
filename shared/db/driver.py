"""asyncpg's own pool beside SQLAlchemy's: for the few statements that run many times a second.

A checkout through SQLAlchemy takes about 0.13 ms of CPU time, a transaction of two statements 0.9 ms;
through the driver 0.04 and 0.2. Each statement sent here is a transaction by itself.
"""

# asyncpg has no types: its connections and pools are Any here.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

POOL_SIZE = 10
IDLE_S = 60.0
"""A connection unused for this long is closed."""
QUERIES = 10_000_000
"""After so many a connection is made anew."""
OPTION = "omniroute_driver"


class Driver:
    """At most POOL_SIZE connections to `dsn`, opened when first needed. `settings` are those of
    `asyncpg.connect`."""

    def __init__(self, dsn: str, settings: Mapping[str, Any]) -> None:
        self._dsn = dsn
        self._settings = settings
        self._pool: Any = None

    @asynccontextmanager
    async def connection(self, timeout_s: float = 10.0) -> AsyncGenerator[Any]:
        """A connection for single statements. Raises the driver's errors, TimeoutError when none is
        free within `timeout_s`; one that was lost is not used again."""
        if self._pool is None:
            self._pool = asyncpg.create_pool(
                self._dsn,
                min_size=0,
                max_size=POOL_SIZE,
                max_queries=QUERIES,
                max_inactive_connection_lifetime=IDLE_S,
                reset=_kept,
                **self._settings,
            )
            await self._pool  # opens nothing yet, so it does not wait
        async with self._pool.acquire(timeout=timeout_s) as connection:
            yield connection

    async def close(self) -> None:
        """Wait for what is in use, then disconnect. May be called twice."""
        pool, self._pool = self._pool, None
        if pool is not None:
            try:
                await asyncio.wait_for(pool.close(), 5)
            except TimeoutError:
                pool.terminate()

    def terminate(self) -> None:
        """Disconnect at once. May be called twice."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.terminate()


def driver_of(engine: AsyncEngine) -> Driver:
    """The driver beside an engine that `shared.db.engine.create_engine` made."""
    return cast("Driver", engine.sync_engine.get_execution_options()[OPTION])


async def _kept(_: Any) -> None:
    """Single statements leave nothing behind that a connection would have to be cleared of."""
