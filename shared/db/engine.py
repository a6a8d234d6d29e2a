"""The one way to PostgreSQL: an engine for a URL, and transactions whose failures have one meaning."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import msgspec
from sqlalchemy import Connection, event
from sqlalchemy.engine import URL, ExceptionContext, make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from shared.db.driver import OPTION, Driver, connect_as, driver_of
from shared.db.failures import (
    DatabaseUnavailable,
    OutcomeUnknown,
    TransactionAborted,
    cause,
    is_transient,
    leaves_outcome_open,
)

__all__ = [
    "DatabaseUnavailable",
    "OutcomeUnknown",
    "TransactionAborted",
    "asyncpg_dsn",
    "connected",
    "create_engine",
    "database_url",
    "driver_of",
    "is_transient",
    "leaves_outcome_open",
    "place",
    "reading",
    "transaction",
    "unavailable",
    "with_database",
]

CONNECT_TIMEOUT_S = 10
POOL_TIMEOUT_S = 10
STATEMENT_TIMEOUT_MS = 30_000
LOCK_TIMEOUT_MS = 10_000
# A frozen process must not hold row locks for long: PostgreSQL ends its transaction for it.
IDLE_IN_TRANSACTION_MS = 15_000
# How long after the server's own time-out the client stops waiting (a dead network).
GRACE_MS = 5_000

_DRIVERS = frozenset({"postgres", "postgresql", "postgresql+asyncpg"})
_ABORTED = "omniroute.aborted"


def database_url(url: str) -> URL:
    """`postgres://`, `postgresql://` or `postgresql+asyncpg://` -> the URL the driver takes.

    A Unix socket's directory is `?host=/run/postgresql`; `sslmode` means what it means to libpq.
    Raises ValueError for anything else, without repeating the URL (it may hold a password).
    """
    try:
        parsed = make_url(url)
    except (SQLAlchemyError, ValueError):
        raise ValueError("the database URL cannot be read") from None
    if parsed.drivername not in _DRIVERS:
        raise ValueError(f"the database URL begins with {parsed.drivername!r}, not 'postgresql'")
    query = dict(parsed.query)
    if "sslmode" in query:
        query["ssl"] = query.pop("sslmode")
    query.pop("application_name", None)
    query.pop("connect_timeout", None)
    return parsed.set(drivername="postgresql+asyncpg", query=query)


def asyncpg_dsn(url: str) -> str:
    """The same database as a URL for asyncpg alone (LISTEN needs a connection of its own)."""
    parsed = database_url(url)
    query = dict(parsed.query)
    if "ssl" in query:
        query["sslmode"] = query.pop("ssl")
    return parsed.set(drivername="postgresql", query=query).render_as_string(hide_password=False)


def with_database(url: str, name: str) -> str:
    """The same server's URL with another database."""
    return database_url(url).set(database=name).render_as_string(hide_password=False)


def create_engine(
    url: str,
    *,
    pool_size: int = 10,
    application_name: str = "omniroute",
    statement_timeout_ms: int = STATEMENT_TIMEOUT_MS,
    lock_timeout_ms: int = LOCK_TIMEOUT_MS,
    idle_in_transaction_ms: int = IDLE_IN_TRANSACTION_MS,
) -> AsyncEngine:
    """An engine with at most `pool_size` connections; connects when first used, raises ValueError
    for a URL that is not PostgreSQL's.

    There is no ping before use (it costs 60-75 % of a checkout): after PostgreSQL was away the
    first transaction fails as DatabaseUnavailable and the next one finds a fresh connection.
    """
    server = {
        "application_name": application_name,
        "statement_timeout": str(statement_timeout_ms),
        "lock_timeout": str(lock_timeout_ms),
        "idle_in_transaction_session_timeout": str(idle_in_transaction_ms),
        "timezone": "UTC",
        "jit": "off",
    }
    waits = {
        "timeout": CONNECT_TIMEOUT_S,
        "command_timeout": (statement_timeout_ms + GRACE_MS) / 1000,
    }
    dsn = asyncpg_dsn(url)
    beside = Driver(dsn, {**waits, "server_settings": {**server, **_PLANS}})
    engine = create_async_engine(
        database_url(url),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=POOL_TIMEOUT_S,
        hide_parameters=True,  # an error's words go into logs; customers' words and secrets must not
        json_serializer=_to_json,
        json_deserializer=msgspec.json.decode,
        connect_args={
            "async_creator_fn": partial(connect_as, dsn, {**waits, "server_settings": server})
        },
        execution_options={OPTION: beside},
    )
    event.listen(engine.sync_engine, "handle_error", _note_failure)
    event.listen(engine.sync_engine, "rollback_savepoint", _forget_failure)
    event.listen(engine.sync_engine, "begin", _forget_failure)

    def disposed(_: object) -> None:
        beside.terminate()

    event.listen(engine.sync_engine, "engine_disposed", disposed)
    return engine


# Of the connections for statements that run many times a second. Their plans are kept while tables
# grow from nothing: they must not be scans of whole tables. And they are made once, not six times: a
# batch's commit is one large statement, and its values make no difference to its plan.
_PLANS = {"enable_seqscan": "off", "plan_cache_mode": "force_generic_plan"}


@asynccontextmanager
async def transaction(engine: AsyncEngine) -> AsyncGenerator[AsyncConnection]:
    """A connection in a transaction that is committed at the end of the block.

    Raises DatabaseUnavailable: transient, nothing stored. OutcomeUnknown: COMMIT got no answer.
    TransactionAborted: the block swallowed a failed statement. Any other error of the block or
    the database passes through after a rollback. Cancelling while COMMIT is in flight leaves its
    outcome open too, and raises CancelledError.
    """
    committing = False
    async with connected(engine) as connection:
        try:
            yield connection
            _refuse_aborted(connection)
            committing = True
            await connection.commit()
        except Exception as error:
            if committing and leaves_outcome_open(error):
                await connection.invalidate()
                raise OutcomeUnknown("the database did not confirm the commit") from error
            await _translate(connection, error)
            raise


@asynccontextmanager
async def reading(engine: AsyncEngine) -> AsyncGenerator[AsyncConnection]:
    """A connection for single reads: each statement is its own transaction, one round trip.

    Raises DatabaseUnavailable; other errors pass through.
    """
    async with connected(engine) as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        try:
            yield connection
        except Exception as error:
            await _translate(connection, error)
            raise


@asynccontextmanager
async def connected(engine: AsyncEngine) -> AsyncGenerator[AsyncConnection]:
    """A connection of the pool, given back however the block ends.

    Raises DatabaseUnavailable when there is none to be had; errors of the block pass through.
    """
    connection = engine.connect()
    try:
        await connection.start()
    except Exception as error:
        if is_transient(error) or isinstance(error, (OSError, DBAPIError)):
            raise unavailable(error, engine) from error
        raise
    try:
        yield connection
    finally:
        # Its own exit is the one that a cancelled task cannot interrupt.
        await connection.__aexit__(None, None, None)


async def _translate(connection: AsyncConnection, error: Exception) -> None:
    """Raise DatabaseUnavailable for a transient error; a connection in doubt is not used again."""
    if leaves_outcome_open(error):
        await connection.invalidate()
    if is_transient(error) and not isinstance(error, (DatabaseUnavailable, OutcomeUnknown)):
        raise unavailable(error) from error


def unavailable(error: Exception, engine: AsyncEngine | None = None) -> DatabaseUnavailable:
    """What to raise for a transient error; with an engine it says which database."""
    where = f" at {place(engine.url)}" if engine is not None else ""
    return DatabaseUnavailable(f"the database{where} is unavailable: {cause(error)}")


def place(url: URL) -> str:
    """Where a database is, without who may use it: host:port or the socket's folder."""
    socket = url.query.get("host")
    if socket:
        return str(socket)
    return f"{url.host or 'localhost'}:{url.port or 5432}"


def _refuse_aborted(connection: AsyncConnection) -> None:
    if connection.info.get(_ABORTED):
        raise TransactionAborted("a failed statement was swallowed; nothing was stored")


def _note_failure(context: ExceptionContext) -> None:
    if context.connection is not None and not context.is_disconnect:
        context.connection.info[_ABORTED] = True


def _forget_failure(connection: Connection, *_: Any) -> None:
    connection.info.pop(_ABORTED, None)


def _to_json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
