"""Connectors, threads, conversations and dead letters in PostgreSQL: reads and small writes.

The archive's own writes are in `archive_store`, the spool's in `spool_store`.
"""

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Row, delete, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from services.channels import tables
from shared.db.engine import transaction


class StoredConnector(msgspec.Struct, frozen=True):
    """A connector at rest. `sealed_secrets` is the SecretBox's ciphertext of a JSON object
    name -> list of values (new first)."""

    workspace: str
    id: str
    kind: str
    enabled: bool
    settings: dict[str, Any]
    sealed_secrets: bytes
    inbound_token: str
    version: int


class ChannelsStore:
    """Raises DatabaseUnavailable from every call when PostgreSQL is away."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def put_connector(self, one: StoredConnector) -> StoredConnector:
        """Create or replace; keeps the inbound token and raises the version of an existing one."""
        table = tables.connector
        statement = insert(table).values(
            workspace=one.workspace,
            id=one.id,
            kind=one.kind,
            enabled=one.enabled,
            settings=one.settings,
            secrets=one.sealed_secrets,
            inbound_token=one.inbound_token,
            version=1,
            updated_at=func.now(),
        )
        statement = statement.on_conflict_do_update(
            index_elements=["workspace", "id"],
            set_={
                "kind": statement.excluded.kind,
                "enabled": statement.excluded.enabled,
                "settings": statement.excluded.settings,
                "secrets": statement.excluded.secrets,
                "version": table.c.version + 1,
                "updated_at": func.now(),
            },
        ).returning(*table.c)
        async with transaction(self._engine) as connection:
            return _connector((await connection.execute(statement)).one())

    async def connector(self, workspace: str, name: str) -> StoredConnector | None:
        table = tables.connector
        query = select(table).where(table.c.workspace == workspace, table.c.id == name)
        async with self._engine.connect() as connection:
            row = (await connection.execute(query)).one_or_none()
        return None if row is None else _connector(row)

    async def connectors(self, workspace: str, after: str, limit: int) -> list[StoredConnector]:
        table = tables.connector
        query = (
            select(table)
            .where(table.c.workspace == workspace, table.c.id > after)
            .order_by(table.c.id)
            .limit(limit)
        )
        async with self._engine.connect() as connection:
            return [_connector(row) for row in await connection.execute(query)]

    async def delete_connector(self, workspace: str, name: str) -> bool:
        table = tables.connector
        statement = delete(table).where(table.c.workspace == workspace, table.c.id == name)
        async with transaction(self._engine) as connection:
            return (await connection.execute(statement)).rowcount > 0

    async def thread_conversation(
        self, workspace: str, signs: list[bytes], own: list[bytes], fresh: str
    ) -> str:
        """The conversation of an e-mail: that of the first known sign, else `fresh`.

        All of `own` (what later mails will refer to) are remembered as belonging to it. Two mails of
        one thread at the same time agree: the first to be stored wins.
        """
        table = tables.thread
        async with transaction(self._engine) as connection:
            known = await connection.execute(
                select(table.c.sign, table.c.conversation_id).where(
                    table.c.workspace == workspace, table.c.sign.in_(signs + own)
                )
            )
            found = {row.sign: row.conversation_id for row in known}
            chosen = next((found[sign] for sign in own + signs if sign in found), fresh)
            missing = sorted(sign for sign in {*own, *signs} if sign not in found)
            if missing:
                rows = [
                    {
                        "workspace": workspace,
                        "sign": sign,
                        "conversation_id": chosen,
                        "at": func.now(),
                    }
                    for sign in missing
                ]
                await connection.execute(insert(table).values(rows).on_conflict_do_nothing())
                first = missing[0] if not found else None
                if first is not None:
                    kept = await connection.execute(
                        select(table.c.conversation_id).where(
                            table.c.workspace == workspace, table.c.sign == first
                        )
                    )
                    chosen = kept.scalar_one()
        return chosen

    async def conversations(
        self, workspace: str, before: tuple[datetime, str] | None, limit: int, **filters: str | None
    ) -> list[dict[str, Any]]:
        """Newest activity first, `limit` rows older than `before` (last_at, conversation_id).

        `filters`: channel, connector, and agent (only those ever offered or given to him).
        """
        table = tables.conversation
        agent = filters.pop("agent", None)
        query = select(table).where(table.c.workspace == workspace)
        for name, value in filters.items():
            if value is not None:
                query = query.where(table.c[name] == value)
        if agent is not None:
            shown = tables.conversation_agent
            query = query.where(
                select(shown.c.since)
                .where(
                    shown.c.workspace == workspace,
                    shown.c.conversation_id == table.c.conversation_id,
                    shown.c.agent_id == agent,
                )
                .exists()
            )
        if before is not None:
            query = query.where(tuple_(table.c.last_at, table.c.conversation_id) < before)
        query = query.order_by(table.c.last_at.desc(), table.c.conversation_id.desc()).limit(limit)
        return await self._rows(query)

    async def conversation(self, workspace: str, name: str) -> dict[str, Any] | None:
        table = tables.conversation
        query = select(table).where(table.c.workspace == workspace, table.c.conversation_id == name)
        return next(iter(await self._rows(query)), None)

    async def readable_by(self, workspace: str, conversation: str, agent: str) -> bool:
        """Whether the conversation was ever offered or given to the agent."""
        table = tables.conversation_agent
        query = select(table.c.since).where(
            table.c.workspace == workspace,
            table.c.conversation_id == conversation,
            table.c.agent_id == agent,
        )
        async with self._engine.connect() as connection:
            return (await connection.execute(query)).first() is not None

    async def messages(
        self, workspace: str, conversation: str, after: tuple[datetime, str] | None, limit: int
    ) -> list[dict[str, Any]]:
        """Oldest first, `limit` rows after `after` (time, message_id); edits already applied."""
        table = tables.message
        query = select(table).where(
            table.c.workspace == workspace,
            table.c.conversation_id == conversation,
            table.c.time.is_not(None),
        )
        if after is not None:
            query = query.where(tuple_(table.c.time, table.c.message_id) > after)
        return await self._rows(query.order_by(table.c.time, table.c.message_id).limit(limit))

    async def dead_letters(
        self, workspace: str, before: tuple[datetime, str] | None, limit: int
    ) -> list[dict[str, Any]]:
        """Newest first."""
        table = tables.dead_letter
        query = select(table).where(table.c.workspace == workspace)
        if before is not None:
            query = query.where(tuple_(table.c.at, table.c.id) < before)
        return await self._rows(query.order_by(table.c.at.desc(), table.c.id.desc()).limit(limit))

    async def dead_letter(self, workspace: str, name: str) -> dict[str, Any] | None:
        table = tables.dead_letter
        query = select(table).where(table.c.workspace == workspace, table.c.id == name)
        return next(iter(await self._rows(query)), None)

    async def mark_replayed(self, workspace: str, name: str) -> None:
        table = tables.dead_letter
        statement = (
            update(table)
            .where(table.c.workspace == workspace, table.c.id == name)
            .values(replayed_at=func.now())
        )
        async with transaction(self._engine) as connection:
            await connection.execute(statement)

    async def _rows(self, query: Any) -> list[dict[str, Any]]:
        async with self._engine.connect() as connection:
            return [dict(row) for row in (await connection.execute(query)).mappings()]


def _connector(row: Row[Any]) -> StoredConnector:
    return StoredConnector(
        workspace=row.workspace,
        id=row.id,
        kind=row.kind,
        enabled=row.enabled,
        settings=row.settings,
        sealed_secrets=row.secrets,
        inbound_token=row.inbound_token,
        version=row.version,
    )
