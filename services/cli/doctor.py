"""`omniroute doctor`: what a person should look at, found from outside the running services."""

import contextlib
from collections.abc import AsyncGenerator

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.cli.foundation import reachable_database
from shared.bus.open import open_bus
from shared.bus.port import Bus, BusUnavailable
from shared.contracts import topics
from shared.db import migrate
from shared.db.embedded import EmbeddedPostgresError
from shared.db.engine import DatabaseUnavailable, create_engine, reading
from shared.db.failures import DatabaseUnfit
from shared.settings import Settings


class Finding(msgspec.Struct, frozen=True):
    """`ok` False: a person should look."""

    subject: str
    ok: bool
    said: str


async def examine(settings: Settings) -> list[Finding]:
    """Findings in the order in which things depend on each other."""
    try:
        async with _engine(settings) as engine:
            return [
                *await _schemas(engine),
                *await _bus(settings, engine),
            ]
    except (DatabaseUnavailable, DatabaseUnfit, EmbeddedPostgresError) as away:
        return [Finding("database", False, str(away))]


@contextlib.asynccontextmanager
async def _engine(settings: Settings) -> AsyncGenerator[AsyncEngine]:
    async with reachable_database(settings) as url:
        engine = create_engine(url, pool_size=4)
        try:
            yield engine
        finally:
            await engine.dispose()


async def _schemas(engine: AsyncEngine) -> list[Finding]:
    behind = await migrate.pending(engine)
    if behind:
        said = f"{', '.join(behind)}: run `omniroute migrate`"
        return [Finding("schemas", False, said)]
    found = [Finding("schemas", True, "up to date")]
    async with reading(engine) as connection:
        for examine_one in (
            _writable,
            _shards,
            _spool,
            _dead_letters,
            _replies,
            passes_found,
            _fetches,
        ):
            found += await examine_one(connection)
    return found


async def _writable(connection: AsyncConnection) -> list[Finding]:
    """A standby takes no writes, nor does a server that is told not to: nobody can own a shard."""
    if (await connection.execute(text("SHOW transaction_read_only"))).scalar_one() == "off":
        return []
    said = "read only: a standby, or default_transaction_read_only is set; name the primary"
    return [Finding("database", False, said)]


async def _shards(connection: AsyncConnection) -> list[Finding]:
    rows = await connection.execute(
        text(
            "SELECT service, count(*) AS shards, count(*) FILTER (WHERE halted IS NOT NULL) AS halted,"
            " count(*) FILTER (WHERE lease_until > now()) AS owned, min(halted) AS why"
            " FROM platform.shard GROUP BY service ORDER BY service"
        )
    )
    return [
        Finding(
            f"{row.service} shards",
            row.halted == 0 and row.owned == row.shards,
            f"{row.owned} of {row.shards} owned"
            + (f", {row.halted} halted: {row.why}" if row.halted else ""),
        )
        for row in rows
    ]


async def _spool(connection: AsyncConnection) -> list[Finding]:
    waiting = (await connection.execute(text("SELECT count(*) FROM channels.spool"))).scalar_one()
    return [Finding("spool", waiting == 0, f"{waiting} records wait for the bus")]


async def _dead_letters(connection: AsyncConnection) -> list[Finding]:
    rows = await connection.execute(
        text(
            "SELECT workspace, count(*) AS letters, max(reason) AS why FROM channels.dead_letter"
            " WHERE replayed_at IS NULL GROUP BY workspace ORDER BY workspace LIMIT 20"
        )
    )
    found = [
        Finding(
            f"dead letters of {row.workspace}",
            False,
            f"{row.letters}, such as {row.why}: GET dead-letters shows them, :replay tries one again",
        )
        for row in rows
    ]
    return found or [Finding("dead letters", True, "none")]


async def _replies(connection: AsyncConnection) -> list[Finding]:
    """A connector that has had customers' messages for a day and never shows an answer."""
    rows = await connection.execute(
        text(
            "SELECT conversation.workspace, conversation.connector FROM channels.conversation"
            " JOIN channels.message USING (workspace, conversation_id)"
            " GROUP BY conversation.workspace, conversation.connector"
            " HAVING count(*) FILTER (WHERE message.direction = 'inbound') >= 20"
            " AND count(*) FILTER (WHERE message.direction = 'outbound') = 0 LIMIT 20"
        )
    )
    return [
        Finding(
            f"connector {row.connector} of {row.workspace}",
            False,
            "shows customers' messages but never an answer: first-response clocks cannot be met",
        )
        for row in rows
    ]


async def passes_found(connection: AsyncConnection) -> list[Finding]:
    """Pollers that fail, or that nobody has made a pass of for long."""
    rows = await connection.execute(
        text(
            "SELECT poll.workspace, poll.connector, poll.name, failures, last_error,"
            " CASE WHEN poll.name = 'renewal' THEN poll.cursor END AS ends"
            " FROM channels.poll JOIN channels.connector AS c"
            " ON c.workspace = poll.workspace AND c.id = poll.connector AND c.enabled"
            " WHERE failures > 0 OR next_at < now() - interval '10 minutes'"
            " ORDER BY poll.workspace, poll.connector, poll.name LIMIT 20"
        )
    )
    return [
        Finding(
            f"connector {row.connector} of {row.workspace}",
            False,
            f"{row.name} failed {row.failures} times: {row.last_error}"
            + (f" The subscription ends at {row.ends}." if row.ends else "")
            if row.failures
            else f"{row.name} is overdue: is a channels service running?",
        )
        for row in rows
    ]


async def _fetches(connection: AsyncConnection) -> list[Finding]:
    """Connectors to which vendors do not give what they announced."""
    rows = await connection.execute(
        text(
            "SELECT workspace, connector, count(*) AS owed, max(last_error) AS why"
            " FROM channels.fetch WHERE last_error IS NOT NULL"
            " GROUP BY workspace, connector ORDER BY workspace, connector LIMIT 20"
        )
    )
    found = [
        Finding(
            f"connector {row.connector} of {row.workspace}",
            False,
            f"{row.owed} fetches fail, such as: {row.why}",
        )
        for row in rows
    ]
    return found or [Finding("fetches", True, "none fails")]


async def _bus(settings: Settings, engine: AsyncEngine) -> list[Finding]:
    name = "Kafka" if settings.kafka else "log in PostgreSQL"
    bus: Bus = open_bus(settings.kafka, engine)
    try:
        await bus.start()
        wanted = [(topic, settings.partitions - 1) for topic in topics.ALL_TOPICS]
        await bus.bounds(wanted)
        return [Finding("bus", True, f"{name} answers, {len(wanted)} topics are there")]
    except BusUnavailable as away:
        return [Finding("bus", False, f"{name}: {away}")]
    except Exception as error:
        return [Finding("bus", False, f"{name}: {type(error).__name__}: {error}")]
    finally:
        await bus.stop()
