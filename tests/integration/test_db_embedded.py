"""The private server: its data outlives everything, and it has one owner at a time."""

import asyncio
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from sqlalchemy import text

from shared.db.embedded import (
    DataDirectoryInUse,
    EmbeddedPostgres,
    EmbeddedPostgresError,
    server_of,
)
from shared.db.engine import create_engine
from shared.db.postmaster import is_postgres, recorded_pid

QUICK = {"shared_buffers": "16MB"}

OWNER = """
import sys, time
from pathlib import Path
from shared.db.embedded import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]), settings={"shared_buffers": "16MB"})
print(server.start(), flush=True)
time.sleep(600)
"""


@pytest.fixture
def folder():
    """A data directory; whatever server is left in it is stopped by its own pid."""
    path = Path(tempfile.mkdtemp(prefix="omniroute-embedded-"))
    yield path
    pid = recorded_pid(path / "postgres")
    if pid is not None and is_postgres(pid):
        os.kill(pid, signal.SIGQUIT)
        _await_end(pid)
    shutil.rmtree(path)


@pytest.fixture
def owner(folder):
    """Another process that owns the data directory."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline().startswith("postgresql://")
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


async def test_data_survives_a_restart(folder):
    server = EmbeddedPostgres(folder, settings=QUICK)
    url = server.start()
    await _sql(url, "CREATE TABLE kept AS SELECT 42 AS answer")
    server.stop()
    began = time.monotonic()
    url = server.start()
    took_s = time.monotonic() - began
    try:
        assert await _sql(url, "SELECT answer FROM kept") == 42
        assert took_s < 5
    finally:
        server.stop()


async def test_it_is_durable_and_of_the_promised_version(folder):
    with EmbeddedPostgres(folder) as url:
        for setting in ("fsync", "full_page_writes", "synchronous_commit", "data_checksums"):
            assert await _sql(url, f"SHOW {setting}") == "on"
        assert (await _sql(url, "SHOW server_version")).startswith("18")
        assert await _sql(url, "SHOW server_encoding") == "UTF8"


async def test_a_clean_stop_ends_the_server_and_its_sessions(folder):
    server = EmbeddedPostgres(folder, settings=QUICK)
    engine = create_engine(server.start(), pool_size=1)
    pid = recorded_pid(folder / "postgres")
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1"))
        await asyncio.to_thread(server.stop)
        assert not is_postgres(pid)
        await connection.invalidate()
    server.stop()
    await engine.dispose()


async def test_a_server_left_behind_by_a_killed_owner_is_adopted(folder, owner):
    url = EmbeddedPostgres(folder).running_url()
    await _sql(url, "CREATE TABLE kept AS SELECT 42 AS answer")
    pid = recorded_pid(folder / "postgres")
    owner.kill()
    owner.wait()
    assert is_postgres(pid)
    server = EmbeddedPostgres(folder)
    try:
        assert await _sql(server.start(), "SELECT answer FROM kept") == 42
        assert recorded_pid(folder / "postgres") == pid
    finally:
        server.stop()
    assert not is_postgres(pid)


def test_a_second_owner_is_refused_by_name(folder, owner):
    with pytest.raises(DataDirectoryInUse) as refused:
        EmbeddedPostgres(folder).start()
    assert refused.value.pid == owner.pid
    assert f"process {owner.pid}" in str(refused.value)
    assert "OMNIROUTE_DATA_DIR" in str(refused.value)


def test_a_second_owner_in_the_same_process_is_refused(folder):
    with EmbeddedPostgres(folder, settings=QUICK):
        with pytest.raises(DataDirectoryInUse, match=str(os.getpid())):
            EmbeddedPostgres(folder).start()


def test_commands_beside_a_running_owner_use_its_server(folder, owner):
    pid = recorded_pid(folder / "postgres")
    with server_of(folder) as url:
        assert asyncio.run(_sql(url, "SELECT 1")) == 1
    assert recorded_pid(folder / "postgres") == pid and is_postgres(pid)


def test_commands_alone_start_a_server_for_their_time(folder):
    with server_of(folder) as url:
        assert asyncio.run(_sql(url, "SELECT 1")) == 1
    assert recorded_pid(folder / "postgres") is None
    assert EmbeddedPostgres(folder).running_url() is None


def test_another_major_version_is_refused(folder):
    server = EmbeddedPostgres(folder, settings=QUICK)
    server.start()
    server.stop()
    (folder / "postgres" / "PG_VERSION").write_text("16\n")
    with pytest.raises(EmbeddedPostgresError, match=r"PostgreSQL 16.*brings 18"):
        server.start()
    (folder / "postgres" / "PG_VERSION").write_text("18\n")
    server.start()
    server.stop()


async def test_a_killed_server_recovers_with_its_data(folder):
    server = EmbeddedPostgres(folder, settings=QUICK)
    await _sql(server.start(), "CREATE TABLE kept AS SELECT 42 AS answer")
    pid = recorded_pid(folder / "postgres")
    os.kill(pid, signal.SIGKILL)
    _await_end(pid)
    server.stop()
    try:
        assert await _sql(server.start(), "SELECT answer FROM kept") == 42
    finally:
        server.stop()


async def test_a_server_that_dies_under_its_owner_is_started_again_at_its_address(folder):
    """A session that it left at work must end first: two servers never write to the same files."""
    server = EmbeddedPostgres(folder, settings=QUICK)
    url = server.start()
    try:
        await _sql(url, "CREATE TABLE kept AS SELECT 42 AS answer")
        assert not server.died and not server.revive()
        engine = create_engine(url, pool_size=1)
        busy = asyncio.create_task(_busy(engine))
        sessions = await _until(lambda: _working(url))
        os.kill(recorded_pid(folder / "postgres"), signal.SIGKILL)
        await _until(lambda: asyncio.sleep(0, server.died))
        assert await asyncio.to_thread(server.revive) and not server.died
        assert not [pid for pid in sessions if is_postgres(pid)]
        assert await _sql(url, "SELECT answer FROM kept") == 42
        await asyncio.gather(busy, return_exceptions=True)  # it may have told its answer
        await engine.dispose()
    finally:
        server.stop()
    assert not server.died and not server.revive()


async def _busy(engine):
    """Seconds of work that look at nothing but themselves."""
    async with engine.connect() as connection:
        await connection.execute(text("SELECT count(*) FROM generate_series(1, 5000000)"))


async def _working(url):
    query = "SELECT array_agg(pid) FROM pg_stat_activity WHERE query LIKE '%generate_series(1%' AND pid <> pg_backend_pid()"
    return await _sql(url, query)


async def _until(look, patience_s=30.0):
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        if found := await look():
            return found
        await asyncio.sleep(0.05)
    raise AssertionError("it did not come")


async def test_a_pid_that_another_process_has_now_is_no_server(folder):
    """After a reboot the old postmaster.pid may name anything that lives."""
    server = EmbeddedPostgres(folder, settings=QUICK)
    server.start()
    server.stop()
    lines = [
        str(os.getpid()),
        str(folder / "postgres"),
        "1",
        "5432",
        str(folder),
        "",
        "1 1",
        "ready",
    ]
    (folder / "postgres" / "postmaster.pid").write_text("\n".join(lines) + "\n")
    try:
        assert await _sql(server.start(), "SELECT 1") == 1
    finally:
        server.stop()


async def test_a_long_path_is_served_on_a_local_port(folder):
    deep = folder / ("d" * 60) / ("e" * 60)
    with EmbeddedPostgres(deep, settings=QUICK) as url:
        assert "@127.0.0.1:" in url
        assert await _sql(url, "SELECT 1") == 1


async def test_the_password_is_private_and_needed(folder):
    with EmbeddedPostgres(folder, settings=QUICK) as url:
        mode = stat.S_IMODE((folder / "postgres.password").stat().st_mode)
        assert mode == 0o600
        password = (folder / "postgres.password").read_text()
        with pytest.raises(Exception, match="password authentication failed"):
            await _sql(url.replace(password, "guess"), "SELECT 1")


def test_a_lost_password_is_named(folder):
    server = EmbeddedPostgres(folder, settings=QUICK)
    server.start()
    server.stop()
    (folder / "postgres.password").unlink()
    with pytest.raises(EmbeddedPostgresError, match=r"postgres\.password is missing"):
        server.start()


async def test_an_interrupted_first_start_is_begun_again(folder):
    (folder / "postgres.new" / "base").mkdir(parents=True)
    (folder / "postgres.new" / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(folder, settings=QUICK) as url:
        assert await _sql(url, "SELECT 1") == 1


def test_a_server_that_does_not_start_says_why(folder):
    server = EmbeddedPostgres(folder, settings={"shared_buffers": "nonsense"})
    with pytest.raises(EmbeddedPostgresError, match="nonsense"):
        server.start()
    with EmbeddedPostgres(folder, settings=QUICK) as url:
        assert asyncio.run(_sql(url, "SELECT 1")) == 1


async def _sql(url, statement):
    engine = create_engine(url, pool_size=1)
    try:
        async with engine.begin() as connection:
            result = await connection.execute(text(statement))
            return result.scalar() if result.returns_rows else None
    finally:
        await engine.dispose()


def _await_end(pid):
    deadline = time.monotonic() + 30
    while is_postgres(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
