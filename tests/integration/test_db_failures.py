"""What a caller learns when PostgreSQL fails: nothing stored, outcome unknown, or its own mistake."""

import asyncio
import contextlib

import asyncpg
import msgspec
import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError

from shared.db.engine import (
    DatabaseUnavailable,
    OutcomeUnknown,
    TransactionAborted,
    create_engine,
    driver_of,
    is_transient,
    reading,
    transaction,
    with_database,
)
from shared.db.failures import NoConnection, sqlstate
from shared.db.tables import workspace
from shared.runtime.store.port import Batch, StoreUnavailable
from shared.runtime.store.postgres import PostgresStore

DEEP = {"a": [1, 2.5, None, {"ü": "\U0001f600"}], "b": 2**60}

KILL_MYSELF = text("SELECT pg_terminate_backend(pg_backend_pid())")


class Cut:
    """A proxy before PostgreSQL that can swallow the answer to COMMIT, then the connection."""

    def __init__(self, socket_path):
        self._socket_path = socket_path
        self.swallow_commit = False
        self.swallow_everything = False
        self._commit_seen = False
        self._tasks = set()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader, writer):
        self._tasks.add(asyncio.current_task())
        there, back = await asyncio.open_unix_connection(self._socket_path)
        pumps = [
            asyncio.create_task(self._ask(reader, back)),
            asyncio.create_task(self._answer(there, writer)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            for end in (writer, back):
                end.close()
                with contextlib.suppress(OSError):
                    await end.wait_closed()

    async def _ask(self, reader, back):
        while data := await reader.read(65536):
            self._commit_seen = b"COMMIT" in data
            if self._commit_seen and self.swallow_everything:
                return
            back.write(data)

    async def _answer(self, there, writer):
        while data := await there.read(65536):
            if self._commit_seen and self.swallow_commit:
                return
            writer.write(data)


@pytest.fixture
async def table(engine):
    async with engine.begin() as connection:
        await connection.execute(
            text("CREATE TABLE t (id int PRIMARY KEY, UNIQUE (id) DEFERRABLE INITIALLY DEFERRED)")
        )


@pytest.fixture
async def cut(database_url):
    url = create_engine(database_url).url
    folder = url.query.get("host")
    if not isinstance(folder, str) or not folder.startswith("/"):
        pytest.fail("these tests need the embedded server's socket")
    async with Cut(f"{folder}/.s.PGSQL.{url.query.get('port', 5432)}") as proxy:
        address = url.set(host="127.0.0.1", port=proxy.port, query={}, drivername="postgresql")
        proxy.engine = create_engine(address.render_as_string(hide_password=False), pool_size=1)
        yield proxy
        await proxy.engine.dispose()


async def _ids(engine):
    async with reading(engine) as connection:
        return list((await connection.execute(text("SELECT id FROM t ORDER BY id"))).scalars())


async def _insert(engine, number):
    async with transaction(engine) as connection:
        await connection.execute(text("INSERT INTO t VALUES (:id)"), {"id": number})


async def test_the_block_is_committed(engine, table):
    await _insert(engine, 1)
    assert await _ids(engine) == [1]


async def test_an_error_of_the_block_rolls_back_and_passes(engine, table):
    with pytest.raises(ZeroDivisionError):
        async with transaction(engine) as connection:
            await connection.execute(text("INSERT INTO t VALUES (1)"))
            raise ZeroDivisionError
    assert await _ids(engine) == []


async def test_a_missing_file_in_the_block_is_not_the_database(engine, tmp_path):
    with pytest.raises(FileNotFoundError):
        async with transaction(engine):
            (tmp_path / "nothing").read_bytes()


async def test_a_mistake_passes_as_it_is(engine, table):
    await _insert(engine, 1)
    with pytest.raises(IntegrityError):
        await _insert(engine, 1)
    with pytest.raises(ProgrammingError):
        async with transaction(engine) as connection:
            await connection.execute(text("SELECT nonsense"))


async def test_a_session_that_is_ended_stored_nothing(engine, table):
    with pytest.raises(DatabaseUnavailable) as failed:
        async with transaction(engine) as connection:
            await connection.execute(text("INSERT INTO t VALUES (1)"))
            await connection.execute(KILL_MYSELF)
    assert failed.value.__cause__ is not None
    assert await _ids(engine) == []


async def test_a_lost_answer_to_commit_is_an_unknown_outcome(cut, engine, table):
    cut.swallow_commit = True
    with pytest.raises(OutcomeUnknown) as failed:
        await _insert(cut.engine, 1)
    assert is_transient(failed.value)
    assert await _ids(engine) == [1]


async def test_a_lost_commit_is_the_same_unknown_outcome(cut, engine, table):
    cut.swallow_everything = True
    with pytest.raises(OutcomeUnknown):
        await _insert(cut.engine, 1)
    assert await _ids(engine) == []


async def test_the_next_transaction_after_a_loss_works(cut, table):
    cut.swallow_commit = True
    with pytest.raises(OutcomeUnknown):
        await _insert(cut.engine, 1)
    cut.swallow_commit = False
    await _insert(cut.engine, 2)
    assert await _ids(cut.engine) == [1, 2]


async def test_a_commit_that_the_server_refuses_is_no_unknown_outcome(engine):
    async with engine.begin() as connection:
        await connection.execute(
            text("CREATE TABLE d (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
        )
    with pytest.raises(IntegrityError):
        async with transaction(engine) as connection:
            await connection.execute(text("INSERT INTO d VALUES (1), (1)"))


async def test_a_session_ended_between_transactions_costs_one_failure(database_url, engine, table):
    """There is no ping before use."""
    lonely = create_engine(database_url, pool_size=1, application_name="lonely")
    try:
        await _insert(lonely, 1)
        async with engine.begin() as connection:
            await connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                    " WHERE application_name = 'lonely'"
                )
            )
        with contextlib.suppress(DatabaseUnavailable):
            await _insert(lonely, 2)
        await _insert(lonely, 3)
        assert 3 in await _ids(engine)
    finally:
        await lonely.dispose()


async def test_sessions_ended_at_any_moment_are_never_somebodys_mistake(database_url, engine):
    """Also not where the server's farewell confuses the driver between two messages."""
    stopped = asyncio.Event()
    ended = 0

    async def work():
        nonlocal ended
        while not stopped.is_set():
            try:
                async with transaction(engine) as connection:
                    await connection.execute(text("SELECT 1"))
                    raw = (await connection.get_raw_connection()).driver_connection
                    for number in range(3):
                        await raw.execute("SELECT $1::int", number)
            except (DatabaseUnavailable, OutcomeUnknown):
                ended += 1

    others = text(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    killer = create_engine(database_url, pool_size=1)
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(work())
            for _ in range(60):
                await asyncio.sleep(0.02)
                async with reading(killer) as connection:
                    await connection.execute(others)
            stopped.set()
    finally:
        await killer.dispose()
    assert ended > 20


async def test_a_server_that_is_not_there_is_unavailable(tmp_path):
    for url in ("postgresql://a:b@127.0.0.1:1/x", f"postgresql://a:b@/x?host={tmp_path}"):
        nowhere = create_engine(url, pool_size=1)
        for use in (transaction, reading):
            with pytest.raises(DatabaseUnavailable):
                async with use(nowhere):
                    pass
        await nowhere.dispose()


async def test_a_store_whose_server_is_not_there_keeps_its_work(tmp_path):
    """A socket that is gone is no fault of the batch."""
    batch = Batch(partition=0, epoch=1, lease_s=1, positions={}, published=0)
    with_snapshot = msgspec.structs.replace(batch, snapshots=[("w", 1, 1)])
    nowhere = create_engine(f"postgresql://a:b@/x?host={tmp_path}", pool_size=1)
    store = PostgresStore(nowhere, "router")
    for call in (store.shards(), store.commit(batch), store.commit(with_snapshot)):
        with pytest.raises(StoreUnavailable):
            await call
    await nowhere.dispose()


async def test_a_database_that_does_not_exist_is_unavailable_and_named(database_url):
    wrong = create_engine(with_database(database_url, "nowhere"), pool_size=1)
    with pytest.raises(DatabaseUnavailable, match="nowhere"):
        async with transaction(wrong):
            pass
    await wrong.dispose()


async def test_a_refused_login_is_unavailable_and_not_a_fault_of_what_was_to_be_stored(
    engine, database_url
):
    url = make_url(database_url).set(username="guest", password="not this one")
    guest = create_engine(url.render_as_string(hide_password=False), pool_size=1)
    with pytest.raises(DatabaseUnavailable, match="InvalidPasswordError, .*guest") as refused:
        async with transaction(guest):
            pass
    assert "not this one" not in str(refused.value)
    with pytest.raises(NoConnection) as beside:
        async with driver_of(guest).connection():
            pass
    assert isinstance(beside.value.__cause__, asyncpg.InvalidPasswordError)
    assert is_transient(beside.value)
    await guest.dispose()


async def test_rights_and_tables_taken_away_are_waited_for(engine, table):
    for setting, missing in (("SET ROLE pg_monitor", "t"), ("RESET ROLE", "u")):
        with pytest.raises(DatabaseUnavailable, match=f'(table|relation) "?{missing}'):
            async with transaction(engine) as connection:
                await connection.execute(text(setting))
                await connection.execute(text(f"INSERT INTO {missing} VALUES (1)"))
    await _insert(engine, 1)
    assert await _ids(engine) == [1]


async def test_serialization_deadlock_and_time_outs_are_transient(engine, database_url, table):
    await _insert(engine, 1)
    impatient = create_engine(
        database_url, pool_size=2, statement_timeout_ms=200, lock_timeout_ms=50
    )
    try:
        with pytest.raises(DatabaseUnavailable) as slow:
            async with transaction(impatient) as connection:
                await connection.execute(text("SELECT pg_sleep(5)"))
        assert sqlstate(slow.value.__cause__) == "57014"
        async with transaction(engine) as holder:
            await holder.execute(text("LOCK TABLE t"))
            with pytest.raises(DatabaseUnavailable) as locked:
                await _insert(impatient, 2)
        assert sqlstate(locked.value.__cause__) == "55P03"
    finally:
        await impatient.dispose()
    with pytest.raises(DatabaseUnavailable) as conflict:
        await _write_after_other(engine)
    assert sqlstate(conflict.value.__cause__) == "40001"
    with pytest.raises(DatabaseUnavailable) as dead:
        await asyncio.gather(_lock_both(engine, 1, 2), _lock_both(engine, 2, 1))
    assert sqlstate(dead.value.__cause__) == "40P01"


async def test_an_exhausted_pool_is_unavailable(database_url):
    small = create_engine(database_url, pool_size=1)
    small.sync_engine.pool._timeout = 0.05
    try:
        async with transaction(small):
            with pytest.raises(DatabaseUnavailable):
                async with transaction(small):
                    pass
    finally:
        await small.dispose()


async def test_a_swallowed_error_is_not_taken_for_a_commit(engine, table):
    with pytest.raises(TransactionAborted):
        async with transaction(engine) as connection:
            await connection.execute(text("INSERT INTO t VALUES (1)"))
            with contextlib.suppress(IntegrityError):
                await connection.execute(text("INSERT INTO t VALUES (1)"))
    assert await _ids(engine) == []


async def test_a_savepoint_forgives(engine, table):
    async with transaction(engine) as connection:
        await connection.execute(text("INSERT INTO t VALUES (1)"))
        with contextlib.suppress(IntegrityError):
            async with connection.begin_nested():
                await connection.execute(text("INSERT INTO t VALUES (1)"))
    assert await _ids(engine) == [1]
    await _insert(engine, 2)


async def test_a_failure_does_not_taint_the_next_transaction(database_url, table):
    lonely = create_engine(database_url, pool_size=1)
    try:
        with pytest.raises(ProgrammingError):
            async with transaction(lonely) as connection:
                await connection.execute(text("SELECT nonsense"))
        await _insert(lonely, 1)
        assert await _ids(lonely) == [1]
    finally:
        await lonely.dispose()


async def test_cancelling_gives_the_connection_back(database_url, table):
    lonely = create_engine(database_url, pool_size=1)
    try:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1), transaction(lonely) as connection:
                await connection.execute(text("SELECT pg_sleep(5)"))
        await _insert(lonely, 1)
    finally:
        await lonely.dispose()


async def test_json_comes_and_goes(engine):
    async with transaction(engine) as connection:
        await connection.execute(
            insert(workspace).values(id="w", partition=0, seed=1, settings=DEEP)
        )
        read = await connection.execute(select(workspace.c.settings))
        assert read.scalar_one() == DEEP


async def _write_after_other(engine):
    async with transaction(engine) as connection:
        await connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        await connection.execute(text("SELECT * FROM t"))
        async with transaction(engine) as other:
            await other.execute(text("UPDATE t SET id = 5 WHERE id = 1"))
        await connection.execute(text("UPDATE t SET id = 6 WHERE id = 1"))


async def _lock_both(engine, first, second):
    async with transaction(engine) as connection:
        await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": first})
        await asyncio.sleep(0.1)
        await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": second})


async def test_the_words_of_an_error_do_not_hold_what_a_statement_was_given(database_url):
    engine = create_engine(database_url, pool_size=1)
    with pytest.raises(DBAPIError) as failed:
        async with reading(engine) as connection:
            await connection.execute(text("SELECT :told || CAST(:no AS text)"), TOLD)
    await engine.dispose()
    assert TOLD["told"] not in str(failed.value)


TOLD = {"told": "my card is 4111 1111", "no": "\x00"}
