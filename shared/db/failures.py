"""Which database errors may be retried, and which leave a commit's outcome unknown."""

import asyncpg  # pyright: ignore[reportMissingTypeStubs]
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout


class DatabaseUnavailable(Exception):
    """A transient fault: nothing of the transaction was stored and it may be tried again.

    Lost connections, shutdowns, deadlocks, serialization failures, lock and statement time-outs,
    an exhausted pool, and what only a person can mend but no input caused: a refused login, rights
    taken away, a missing table, a broken disk. The driver's error is the cause.
    """


class DatabaseUnfit(Exception):
    """The database as it is cannot be used by this version; the text says why and what to do."""


class NoConnection(ConnectionError):
    """The server could not be reached or let nobody in: its socket is gone, its backlog is full, the
    network has no way. Nothing was sent; the driver's error is the cause."""


class OutcomeUnknown(Exception):
    """The connection failed while COMMIT was in flight: stored or not, nobody can say."""


class TransactionAborted(Exception):
    """A statement failed, its error was swallowed, and COMMIT would have rolled back silently."""


# https://www.postgresql.org/docs/18/errcodes-appendix.html
_TRANSIENT_CLASSES = ("08", "53", "40", "58")  # connection, resources, rollback, disk
_TRANSIENT_STATES = frozenset(
    {
        # Nothing of what is stored can cause these: whoever runs the server is asked, and work waits.
        "28000",  # invalid_authorization_specification: no login, no entry in pg_hba.conf
        "28P01",  # invalid_password
        "3D000",  # invalid_catalog_name: the database is not there
        "3F000",  # invalid_schema_name
        "42501",  # insufficient_privilege
        "42P01",  # undefined_table: a restore is under way, or went wrong
        "42704",  # undefined_object: the URL sets what the server does not know
        "XX001",  # data_corrupted
        "XX002",  # index_corrupted
        "57P01",  # admin_shutdown
        "57P02",  # crash_shutdown
        "57P03",  # cannot_connect_now
        "57P05",  # idle_session_timeout
        "57014",  # query_canceled: statement_timeout
        "55P03",  # lock_not_available: lock_timeout
        "25P03",  # idle_in_transaction_session_timeout
        "25P04",  # transaction_timeout
        "25006",  # read_only_sql_transaction: a failover is under way
    }
)
_CLIENT_ERRORS = (asyncpg.InterfaceError, asyncpg.InternalClientError)
LOST = (OSError, TimeoutError, asyncpg.PostgresError, *_CLIENT_ERRORS)
"""What asyncpg raises on a connection of one's own that is refused, ends or loses track: connect again."""
# The server's answer to COMMIT leaves it open whether the commit had become durable.
_OPEN_STATES = frozenset({"57P01", "57P02", "57P05", "25P04", "40003"})


def sqlstate(error: BaseException) -> str | None:
    """The five characters PostgreSQL answered, None where it did not answer."""
    state = getattr(driver_error(error), "sqlstate", None)
    return state if isinstance(state, str) else None


def is_transient(error: BaseException) -> bool:
    """Whether the same work may succeed when tried again, unchanged."""
    if isinstance(error, (DatabaseUnavailable, NoConnection, OutcomeUnknown)):
        return True
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    state = sqlstate(error)
    if state is not None:
        return _is_passing(state)
    return _is_loss(error)


def leaves_outcome_open(error: BaseException) -> bool:
    """Whether a COMMIT that ended in `error` may nevertheless have been stored."""
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    state = sqlstate(error)
    if state is not None:
        return state.startswith("08") or state in _OPEN_STATES
    return _is_loss(error)


def cause(error: BaseException) -> str:
    """The kind of an error, and its text where that cannot quote values: the network's own errors, and
    what PostgreSQL says of itself."""
    inner = driver_error(error)
    said = ""
    if isinstance(inner, OSError):
        said = inner.strerror or str(inner)
    elif isinstance(inner, asyncpg.ClientConfigurationError):
        said = " ".join(str(inner).split())
    elif _is_passing(sqlstate(inner) or ""):
        said = str(inner.args[0]) if inner.args else ""
    return f"{type(inner).__name__}, {said}" if said else type(inner).__name__


def _is_passing(state: str) -> bool:
    return state.startswith(_TRANSIENT_CLASSES) or state in _TRANSIENT_STATES


def _is_loss(error: BaseException) -> bool:
    """No answer from the server: the connection or the wait for it ended."""
    cause = driver_error(error)
    if isinstance(cause, asyncpg.InterfaceError):
        return "connection" in str(cause)
    if isinstance(cause, asyncpg.InternalClientError):
        # The server's farewell came between two messages of one statement: the driver lost track.
        return True
    return isinstance(cause, (ConnectionError, TimeoutError, PoolTimeout))


def driver_error(error: BaseException) -> BaseException:
    """SQLAlchemy's wrapper holds its DBAPI's wrapper, whose cause is asyncpg's error."""
    inner = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    if isinstance(inner.__cause__, (asyncpg.PostgresError, *_CLIENT_ERRORS, OSError)):
        return inner.__cause__
    return inner
