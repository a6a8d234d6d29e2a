"""Every schema's history: up, down, up again; equal to its tables; safe side by side."""

import asyncio

import pytest
from sqlalchemy import text

from shared.db.engine import create_engine
from shared.db.migrate import check, downgrade, pending, upgrade, with_history

HISTORIES = with_history()


async def test_the_platform_has_a_history():
    assert HISTORIES[0] == "platform"


async def test_up_down_up(empty_database_url):
    await upgrade(empty_database_url)
    await downgrade(empty_database_url)
    assert await _tables(empty_database_url) == []
    await upgrade(empty_database_url)
    assert "platform.workspace" in await _tables(empty_database_url)


@pytest.mark.parametrize("schema", HISTORIES)
async def test_metadata_equals_the_migrated_schema(database_url, schema):
    await check(database_url, [schema])


async def test_check_notices_a_difference(database_url):
    await _execute(database_url, "ALTER TABLE platform.workspace ADD COLUMN surprise int")
    with pytest.raises(Exception, match="surprise"):
        await check(database_url, ["platform"])


async def test_two_processes_may_migrate_at_once(empty_database_url):
    await asyncio.gather(*(upgrade(empty_database_url) for _ in range(3)))
    await check(empty_database_url)


async def test_pending_names_the_schemas_behind(empty_database_url):
    engine = create_engine(empty_database_url, pool_size=1)
    try:
        assert await pending(engine) == HISTORIES
        await upgrade(empty_database_url, ["platform"])
        assert "platform" not in await pending(engine)
        await upgrade(empty_database_url)
        assert await pending(engine) == []
    finally:
        await engine.dispose()


async def test_a_migration_does_not_wait_long_for_a_lock(database_url):
    engine = create_engine(database_url, pool_size=1)
    try:
        async with engine.connect() as holder:
            await holder.execute(text("SELECT * FROM platform.workspace"))
            with pytest.raises(Exception, match="lock timeout"):
                await downgrade(database_url, ["platform"])
            await holder.rollback()
        await check(database_url, ["platform"])
    finally:
        await engine.dispose()


async def _execute(url: str, statement: str) -> None:
    engine = create_engine(url, pool_size=1)
    async with engine.begin() as connection:
        await connection.execute(text(statement))
    await engine.dispose()


async def _tables(url: str) -> list[str]:
    engine = create_engine(url, pool_size=1)
    async with engine.connect() as connection:
        rows = await connection.execute(
            text(
                "SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname NOT IN"
                " ('pg_catalog', 'information_schema') AND tablename <> 'alembic_version'"
            )
        )
        names = sorted(rows.scalars())
    await engine.dispose()
    return names
