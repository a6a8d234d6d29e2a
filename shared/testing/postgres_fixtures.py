"""pytest fixtures for a real PostgreSQL: one server per session, a fresh migrated database per test.

`pytest_plugins = ["shared.testing.postgres_fixtures"]` in `tests/conftest.py` brings them.
"""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.db.embedded import EmbeddedPostgres
from shared.db.engine import create_engine, with_database
from shared.db.migrate import upgrade

# Its data is thrown away; killing a process loses nothing that was written, with or without fsync.
_FAST = {"fsync": "off", "shared_buffers": "32MB"}


@pytest.fixture(scope="session")
def postgres_url() -> Generator[str]:
    """A server's URL: OMNIROUTE_TEST_DATABASE_URL (its user may create databases), else an
    embedded server of this session, stopped and removed at its end."""
    given = os.environ.get("OMNIROUTE_TEST_DATABASE_URL")
    if given:
        yield given
        return
    folder = Path(tempfile.mkdtemp(prefix="omniroute-pg-"))
    server = EmbeddedPostgres(folder, settings=_FAST)
    try:
        yield server.start()
    finally:
        server.stop()
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def migrated_template(postgres_url: str) -> Generator[str]:
    """The name of a database with every schema migrated, to copy from."""
    name = f"omniroute_template_{uuid4().hex[:12]}"
    _wait(_administer(postgres_url, f'CREATE DATABASE "{name}"'))
    try:
        _wait(upgrade(with_database(postgres_url, name)))
        yield name
    finally:
        _wait(_administer(postgres_url, f'DROP DATABASE "{name}" WITH (FORCE)'))


@pytest_asyncio.fixture
async def empty_database_url(postgres_url: str) -> AsyncGenerator[str]:
    """A database without any table, dropped after the test."""
    async with fresh_database(postgres_url, "template0") as url:
        yield url


@pytest_asyncio.fixture
async def database_url(postgres_url: str, migrated_template: str) -> AsyncGenerator[str]:
    """A migrated database of the test's own, dropped after it."""
    async with fresh_database(postgres_url, migrated_template) as url:
        yield url


@pytest_asyncio.fixture
async def engine(database_url: str) -> AsyncGenerator[AsyncEngine]:
    """An engine on `database_url`."""
    made = create_engine(database_url, pool_size=5, application_name="test")
    try:
        yield made
    finally:
        await made.dispose()


@asynccontextmanager
async def fresh_database(server: str, template: str) -> AsyncGenerator[str]:
    """A copy of the database `template` for the length of the block; gives its URL."""
    name = f"omniroute_test_{uuid4().hex[:12]}"
    await _administer(server, f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY FILE_COPY')
    try:
        yield with_database(server, name)
    finally:
        await _administer(server, f'DROP DATABASE "{name}" WITH (FORCE)')


async def _administer(server: str, statement: str) -> None:
    admin = create_engine(server, pool_size=1, application_name="test-admin")
    try:
        async with admin.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            await connection.execute(text(statement))
    finally:
        await admin.dispose()


def _wait(work: Awaitable[None]) -> None:
    """Session fixtures have no event loop of their own."""

    async def run() -> None:
        await work

    asyncio.run(run())
