"""asyncpg's connections beside SQLAlchemy's: for the few statements that run many times a second.

A checkout through SQLAlchemy takes about 0.13 ms of CPU time, a transaction of two statements 0.9 ms;
asyncpg's own pool makes two tasks and a proxy at each checkout. Each statement sent here is a
transaction by itself, so a connection that comes back needs no clearing.
"""

# asyncpg has no types: its connections are Any here.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, cast

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.db.failures import LOST, NoConnection

POOL_SIZE = 10
IDLE_S = 60.0
"""A connection unused for this long is closed."""
CLOSE_S = 5.0
OPTION = "omniroute_driver"

Connect = Callable[..., Awaitable[Any]]

# After one of these nobody knows what the connection still does.
_DOUBTFUL = (
    asyncio.CancelledError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
    GeneratorExit,
)


class Driver:
    """At most POOL_SIZE connections to `dsn`, opened when first needed. `settings` are those of
    `connect`, asyncpg's or a test's. For one event loop."""

    def __init__(
        self, dsn: str, settings: Mapping[str, Any], connect: Connect = asyncpg.connect
    ) -> None:
        self._dsn = dsn
        self._connect = connect
        self._settings = settings
        # With when they were given back; the last one goes out first.
        self._idle: list[tuple[Any, float]] = []
        self._busy: set[Any] = set()
        self._opening = 0
        # Who waits gets a connection that came back, or None: the room for one.
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._sweeping: asyncio.TimerHandle | None = None
        self._closing: set[asyncio.Task[None]] = set()

    def connection(self, timeout_s: float = 10.0) -> "Lent":
        """A context with a connection for single statements. Raises the driver's errors, NoConnection
        when the server cannot be reached, TimeoutError when no connection is free within `timeout_s`;
        one that was lost is not used again."""
        return Lent(self, timeout_s)

    def terminate(self) -> None:
        """Disconnect at once. May be called twice."""
        gone = [*(connection for connection, _ in self._idle), *self._busy]
        self._idle.clear()
        self._busy.clear()
        for connection in gone:
            connection.terminate()

    async def take(self, timeout_s: float) -> Any:
        """See `connection`."""
        while self._idle:
            connection, _ = self._idle.pop()
            if not connection.is_closed():
                self._busy.add(connection)
                return connection
        if len(self._busy) + self._opening < POOL_SIZE:
            self._opening += 1
            return await self._open()
        return await self._wait(timeout_s)

    def give_back(self, connection: Any, error: BaseException | None) -> None:
        """`error`: with what its use ended."""
        self._busy.discard(connection)
        if isinstance(error, _DOUBTFUL):
            connection.terminate()
        if connection.is_closed():
            self._make_room()
        elif (waiter := self._next()) is not None:
            self._busy.add(connection)
            waiter.set_result(connection)
        else:
            loop = asyncio.get_running_loop()
            self._idle.append((connection, loop.time()))
            if self._sweeping is None:
                self._sweeping = loop.call_later(IDLE_S, self._sweep)

    async def _open(self) -> Any:
        """Into the room that was reserved by `_opening`."""
        try:
            connection: Any = await self._connect(self._dsn, **self._settings)
        except BaseException as error:
            self._opening -= 1
            self._make_room()
            if isinstance(error, LOST):
                raise NoConnection("there is no connection to the database") from error
            raise
        self._opening -= 1
        self._busy.add(connection)
        return connection

    async def _wait(self, timeout_s: float) -> Any:
        waiter: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            async with asyncio.timeout(timeout_s):
                connection = await waiter
        except BaseException:
            self._give_up(waiter)
            raise
        return await self._open() if connection is None else connection

    def _give_up(self, waiter: "asyncio.Future[Any]") -> None:
        """What came too late goes to the next one."""
        if not waiter.done() or waiter.cancelled():
            waiter.cancel()
            return
        connection = waiter.result()
        if connection is not None:
            self.give_back(connection, None)
        else:
            self._opening -= 1
            self._make_room()

    def _make_room(self) -> None:
        """A connection is gone: who waits may open one."""
        if (waiter := self._next()) is not None:
            self._opening += 1
            waiter.set_result(None)

    def _next(self) -> "asyncio.Future[Any] | None":
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                return waiter
        return None

    def _sweep(self) -> None:
        """Close what was not used for long."""
        loop = asyncio.get_running_loop()
        self._sweeping = None
        before = loop.time() - IDLE_S
        for connection, since in self._idle:
            if since <= before:
                closing = loop.create_task(_close(connection))
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)
        self._idle = [each for each in self._idle if each[1] > before]
        if self._idle:
            self._sweeping = loop.call_later(IDLE_S, self._sweep)


class Lent:
    """One use of a connection."""

    __slots__ = ("_connection", "_driver", "_timeout_s")

    def __init__(self, driver: Driver, timeout_s: float) -> None:
        self._driver = driver
        self._timeout_s = timeout_s
        self._connection: Any = None

    async def __aenter__(self) -> Any:
        self._connection = await self._driver.take(self._timeout_s)
        return self._connection

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._driver.give_back(self._connection, error)


async def _close(connection: Any) -> None:
    """Politely, or at once where it does not answer."""
    try:
        await connection.close(timeout=CLOSE_S)
    except Exception:
        connection.terminate()


async def connect_as(dsn: str, settings: Mapping[str, Any], *_: Any, **__: Any) -> Any:
    """For SQLAlchemy: a connection as asyncpg itself reads the URL, and not as SQLAlchemy takes it apart
    (it knows nothing of files of certificates)."""
    return await asyncpg.connect(dsn, **settings)


def driver_of(engine: AsyncEngine) -> Driver:
    """The driver beside an engine that `shared.db.engine.create_engine` made."""
    return cast("Driver", engine.sync_engine.get_execution_options()[OPTION])
