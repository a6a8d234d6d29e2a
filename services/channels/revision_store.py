"""Which revision an event has when it is normalised again, and what the archive holds of it now."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from services.channels import tables
from shared.contracts import topics
from shared.db.engine import reading, transaction

KEPT_DAYS = topics.RETENTION_MS[topics.RAW] // topics.DAY_MS + 1
"""Nothing older than the raw payloads themselves can be normalised again."""
PRUNE_ROWS = 20_000


class RevisionStore:
    """Raises DatabaseUnavailable and OutcomeUnknown from every call."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def raise_all(
        self, workspace: str, run: str, events: Sequence[bytes]
    ) -> dict[bytes, int]:
        """For each event (its id's 16 bytes, none twice) how many revisions it has with this run's.

        Stored before anything is published, so that no id ever means two things.
        """
        async with transaction(self._engine) as connection:
            rows = await connection.exec_driver_sql(_RAISE, (workspace, run, sorted(events)))
            return {bytes(row.event): row.revisions for row in rows}

    async def counts(self, workspace: str, run: str, events: Sequence[bytes]) -> dict[bytes, int]:
        """What `raise_all` would answer, with nothing stored."""
        table = tables.renormalised
        query = select(table.c.event, table.c["count"], table.c.run).where(
            table.c.workspace == workspace, table.c.event.in_(events)
        )
        async with reading(self._engine) as connection:
            rows = await connection.execute(query)
            known = {bytes(row[0]): row[1] + (row[2] != run) for row in rows}
        return {event: known.get(event, 1) for event in events}

    async def prune(self) -> None:
        """Forget what can no longer be normalised again, up to PRUNE_ROWS."""
        async with transaction(self._engine) as connection:
            await connection.exec_driver_sql(_PRUNE)

    async def archived(self, workspace: str, messages: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The archive's rows of these messages that are there, by message id."""
        table = tables.message
        query = select(table).where(
            table.c.workspace == workspace,
            table.c.message_id.in_(messages),
            table.c.time.is_not(None),
        )
        async with reading(self._engine) as connection:
            rows = (await connection.execute(query)).mappings()
            return {row["message_id"]: dict(row) for row in rows}


_RAISE = """
INSERT INTO channels.renormalised AS held (workspace, event, count, run, at)
SELECT $1, event, 1, $2, now() FROM unnest($3::bytea[]) AS event
ON CONFLICT (workspace, event) DO UPDATE SET
  count = held.count + (held.run <> excluded.run)::int, run = excluded.run, at = excluded.at
RETURNING event, count AS revisions
"""
_PRUNE = f"""
DELETE FROM channels.renormalised WHERE ctid IN (
  SELECT ctid FROM channels.renormalised
  WHERE at < now() - interval '{KEPT_DAYS} days' ORDER BY at LIMIT {PRUNE_ROWS}
)
"""
