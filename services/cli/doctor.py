"""`omniroute doctor`: what a person should look at, found from outside the running services."""

import contextlib
from collections.abc import AsyncGenerator

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.cli import doctor_machine, doctor_shards
from services.cli.findings import Finding
from services.cli.foundation import reachable_database
from shared.bus.open import open_bus
from shared.bus.port import Bus, BusUnavailable, RecordRefused
from shared.contracts import topics
from shared.db import migrate
from shared.db.embedded import EmbeddedPostgresError
from shared.db.engine import DatabaseUnavailable, create_engine, reading, transaction
from shared.db.failures import DatabaseUnfit, OutcomeUnknown
from shared.db.secrets import KEY_FILE, SecretBox, load_keys
from shared.settings import Settings

# Enough that the disk has to give some; gone with its transaction.
_SOME_ROOM = (
    "CREATE TEMPORARY TABLE doctor_room ON COMMIT DROP AS SELECT generate_series(1, 30000) AS n"
)


async def examine(settings: Settings) -> list[Finding]:
    """Findings in the order in which things depend on each other."""
    told = [Finding("settings", False, doubt) for doubt in settings.misspelt]
    told += doctor_machine.disks(settings)
    try:
        async with _engine(settings) as engine:
            return [
                *told,
                *await _schemas(settings, engine),
                *await _bus(settings, engine),
            ]
    except (DatabaseUnavailable, DatabaseUnfit, EmbeddedPostgresError) as away:
        return [*told, Finding("database", False, str(away))]


@contextlib.asynccontextmanager
async def _engine(settings: Settings) -> AsyncGenerator[AsyncEngine]:
    async with reachable_database(settings) as url:
        engine = create_engine(url, pool_size=4)
        try:
            yield engine
        finally:
            await engine.dispose()


async def _schemas(settings: Settings, engine: AsyncEngine) -> list[Finding]:
    behind = await migrate.pending(engine)
    if behind:
        said = f"{', '.join(behind)}: run `omniroute migrate`"
        return [Finding("schemas", False, said)]
    found = [Finding("schemas", True, "up to date"), *await _writable(engine)]
    found += await _secrets(settings, engine)
    async with reading(engine) as connection:
        found += await doctor_machine.clocks(connection)
        found += await doctor_shards.held(connection, settings.lease_s)
        for examine_one in (_spool, _dead_letters, _replies, passes_found, _fetches):
            found += await examine_one(connection)
    return found


async def _writable(engine: AsyncEngine) -> list[Finding]:
    """A standby takes no writes, nor does a full disk: then nobody decides anything."""
    try:
        async with transaction(engine) as connection:
            await connection.execute(text(_SOME_ROOM))
    except (DatabaseUnavailable, OutcomeUnknown) as refused:
        return [Finding("database", False, f"takes no writes: {refused}")]
    return []


async def _secrets(settings: Settings, engine: AsyncEngine) -> list[Finding]:
    """Connectors whose secrets this key does not open: their vendors get 503."""
    if not settings.secret_key and not (settings.data_dir / KEY_FILE).exists():
        return []  # the services have another folder, or none has been started
    box = SecretBox(*load_keys(settings.data_dir, settings.secret_key))
    async with reading(engine) as connection:
        rows = await connection.execute(
            text("SELECT workspace, id, secrets FROM channels.connector ORDER BY workspace, id")
        )
    said = (
        "its secrets are sealed with another OMNIROUTE_SECRET_KEY: add that one behind the newest,"
        " after a comma, or write the secrets again"
    )
    return [
        Finding(f"connector {row.id} of {row.workspace}", False, said)
        for row in rows
        if not box.knows(row.secrets)
    ][:20]


async def _spool(connection: AsyncConnection) -> list[Finding]:
    waiting = (await connection.execute(text("SELECT count(*) FROM channels.spool"))).scalar_one()
    return [Finding("spool", waiting == 0, f"{waiting} records wait for the bus")]


async def _dead_letters(connection: AsyncConnection) -> list[Finding]:
    """By workspace and reason, the most first; how many came in the last hour says whether they pile up."""
    rows = await connection.execute(
        text(
            "SELECT workspace, reason, count(*) AS letters, min(at) AS first,"
            " count(*) FILTER (WHERE at > now() - interval '1 hour') AS fresh"
            " FROM channels.dead_letter WHERE replayed_at IS NULL"
            " GROUP BY workspace, reason ORDER BY letters DESC, workspace, reason LIMIT 20"
        )
    )
    found = [
        Finding(
            f"dead letters of {row.workspace}",
            False,
            f"{row.letters} for {row.reason} since {row.first:%Y-%m-%dT%H:%M:%SZ}, {row.fresh} of them in"
            f" the last hour: GET /v1/workspaces/{row.workspace}/dead-letters?reason={row.reason} shows"
            " them, POST dead-letters/{id}:replay tries one again",
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
        wrong = await _topics(bus, settings.partitions)
        if wrong:
            return wrong
        said = f"{name} answers, {len(topics.ALL_TOPICS)} topics are there"
        return [Finding("bus", True, said), *await doctor_shards.stuck(engine, bus)]
    except BusUnavailable as away:
        return [Finding("bus", False, f"{name}: {away}")]
    except Exception as error:
        return [Finding("bus", False, f"{name}: {type(error).__name__}: {error}")]
    finally:
        await bus.stop()


async def _topics(bus: Bus, partitions: int) -> list[Finding]:
    """Topics that are missing, or have not as many partitions as there are shards."""
    wrong: list[Finding] = []
    for topic in topics.ALL_TOPICS:
        try:
            await bus.bounds([(topic, partitions - 1)])
        except RecordRefused as refused:
            said = f"{refused}, for OMNIROUTE_PARTITIONS={partitions}: a start of the services makes them"
            wrong.append(Finding(f"topic {topic}", False, said))
            continue
        with contextlib.suppress(RecordRefused):
            await bus.bounds([(topic, partitions)])
            said = (
                f"has more than {partitions} partitions: set OMNIROUTE_PARTITIONS on all replicas to as"
                " many; nobody reads what lies beyond"
            )
            wrong.append(Finding(f"topic {topic}", False, said))
    return wrong
