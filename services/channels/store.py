"""Connectors, threads, conversations and dead letters in PostgreSQL: reads and small writes.

The archive's own writes are in `archive_store`, the spool's in `spool_store`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Row,
    Select,
    case,
    cast,
    delete,
    func,
    select,
    true,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import Insert, aggregate_order_by, insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.sql.selectable import LateralFromClause

from services.channels import tables
from services.channels.resources import CONNECTORS_MAX
from shared.contracts.problems import full
from shared.db.engine import reading, transaction
from shared.db.listen import Listener
from shared.db.remembered import Remembered
from shared.http.preconditions import Precondition

CONNECTOR_CHANNEL = "channels_connector"


class StoredConnector(msgspec.Struct, frozen=True):
    """A connector at rest. `sealed_secrets` is the SecretBox's ciphertext of a JSON object
    name -> list of values (new first); None in `put_connector`: keep those that are stored."""

    workspace: str
    id: str
    kind: str
    enabled: bool
    settings: dict[str, Any]
    sealed_secrets: bytes | None
    inbound_token: str
    version: int


class ChannelsStore:
    """Raises DatabaseUnavailable from every call when PostgreSQL is away. With a `listener`
    `known_connector` answers from memory."""

    def __init__(self, engine: AsyncEngine, listener: Listener | None = None) -> None:
        self._engine = engine
        self._remembered = Remembered(self._connector, listener, CONNECTOR_CHANNEL)

    async def put_connector(
        self, one: StoredConnector, demand: Precondition, empty_secrets: bytes
    ) -> tuple[StoredConnector, bool]:
        """(the connector, whether it is new). Keeps the inbound token of an existing one and
        raises its version; without secrets of its own, `one` keeps those of the same kind, or
        has `empty_secrets`. Raises Refused: precondition-failed, conflict where there are too many."""
        async with transaction(self._engine) as connection:
            await _lock(connection, one.workspace, one.id)
            held = (await connection.execute(_one(one.workspace, one.id))).one_or_none()
            demand.check(None if held is None else held.version)
            secrets = one.sealed_secrets
            if secrets is None:
                kept = held is not None and held.kind == one.kind
                secrets = held.secrets if kept and held is not None else empty_secrets
            values = {
                "kind": one.kind,
                "enabled": one.enabled,
                "settings": one.settings,
                "secrets": secrets,
                "version": held.version + 1 if held is not None else await _first(connection, one),
                "updated_at": func.now(),
            }
            table = tables.connector
            token = {"inbound_token": one.inbound_token}
            statement = insert(table).values(workspace=one.workspace, id=one.id, **values, **token)
            statement = statement.on_conflict_do_update(
                index_elements=["workspace", "id"], set_=values
            )
            stored = (await connection.execute(statement.returning(*table.c))).one()
            await connection.execute(_CHANGED)
        self._remembered.forget()
        return stored_connector(stored), held is None

    async def known_connector(self, workspace: str, name: str) -> StoredConnector | None:
        """`connector` as it was a moment ago at most, and never as it was before a change that any
        replica has been told of: for vendors' calls."""
        return await self._remembered.get((workspace, name))

    async def _connector(self, place: tuple[str, str]) -> StoredConnector | None:
        return await self.connector(*place)

    async def connector(self, workspace: str, name: str) -> StoredConnector | None:
        async with reading(self._engine) as connection:
            row = (await connection.execute(_one(workspace, name))).one_or_none()
        return None if row is None else stored_connector(row)

    async def connectors(self, workspace: str, after: str, limit: int) -> list[StoredConnector]:
        table = tables.connector
        query = (
            select(table)
            .where(table.c.workspace == workspace, table.c.id > after)
            .order_by(table.c.id)
            .limit(limit)
        )
        async with reading(self._engine) as connection:
            return [stored_connector(row) for row in await connection.execute(query)]

    async def connectors_of_kind(self, kind: str, limit: int) -> list[StoredConnector]:
        """The enabled connectors of a kind, over all workspaces."""
        table = tables.connector
        query = (
            select(table)
            .where(table.c.kind == kind, table.c.enabled)
            .order_by(table.c.workspace, table.c.id)
            .limit(limit)
        )
        async with reading(self._engine) as connection:
            return [stored_connector(row) for row in await connection.execute(query)]

    async def delete_connector(self, workspace: str, name: str, demand: Precondition) -> bool:
        """False when there is none. Raises Refused (412)."""
        table = tables.connector
        async with transaction(self._engine) as connection:
            await _lock(connection, workspace, name)
            held = (await connection.execute(_one(workspace, name))).one_or_none()
            demand.check(None if held is None else held.version)
            if held is not None:
                statement = delete(table).where(table.c.workspace == workspace, table.c.id == name)
                await connection.execute(statement)
                await connection.execute(_retire(workspace, held.version))
            await connection.execute(_CHANGED)
        self._remembered.forget()
        return held is not None

    async def thread_conversation(
        self,
        workspace: str,
        signs: list[bytes],
        own: list[bytes],
        fresh: str,
        *,
        remember: bool = True,
    ) -> str:
        """The conversation of an e-mail: that of the first known sign, else `fresh`.

        All of `own` (what later mails will refer to) are remembered as belonging to it, unless the
        caller only looks. Two mails of one thread at the same time agree: the first to be stored
        wins.
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
            if missing and remember:
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
        last = _last_message()
        query = select(*_SHOWN, last.c.text.label("last_text")).select_from(
            table.outerjoin(last, true())
        )
        query = query.where(table.c.workspace == workspace)
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
        last = _last_message()
        query = select(*_SHOWN, last.c.text.label("last_text"))
        query = query.select_from(table.outerjoin(last, true()))
        query = query.where(table.c.workspace == workspace, table.c.conversation_id == name)
        return next(iter(await self._rows(query)), None)

    async def readable_by(self, workspace: str, conversation: str, agent: str) -> bool:
        """Whether the conversation was ever offered or given to the agent."""
        table = tables.conversation_agent
        query = select(table.c.since).where(
            table.c.workspace == workspace,
            table.c.conversation_id == conversation,
            table.c.agent_id == agent,
        )
        async with reading(self._engine) as connection:
            return (await connection.execute(query)).first() is not None

    async def messages(
        self, workspace: str, conversation: str, after: tuple[datetime, str] | None, limit: int
    ) -> list[dict[str, Any]]:
        """Oldest first, `limit` rows after `after` (time, message_id); what edits say beside the
        text, and as `deliveries` what became of it: [{status, at_us, error}]."""
        table, told = tables.message, tables.message_delivery
        deliveries = (
            select(
                func.jsonb_agg(
                    aggregate_order_by(
                        func.jsonb_build_object(
                            "status", told.c.status, "error", told.c.error, "at_us", _us(told.c.at)
                        ),
                        told.c.at,
                    )
                )
            )
            .where(
                told.c.workspace == table.c.workspace,
                told.c.conversation_id == table.c.conversation_id,
                told.c.vendor_message_id.in_([table.c.message_id, table.c.vendor_id]),
            )
            .scalar_subquery()
        )
        query = select(table, deliveries.label("deliveries"), _files().label("media")).where(
            table.c.workspace == workspace,
            table.c.conversation_id == conversation,
            table.c.time.is_not(None),
        )
        if after is not None:
            query = query.where(tuple_(table.c.time, table.c.message_id) > after)
        return await self._rows(query.order_by(table.c.time, table.c.message_id).limit(limit))

    async def message(self, workspace: str, conversation: str, name: str) -> dict[str, Any] | None:
        """One message of a conversation, with what became of its files."""
        table = tables.message
        query = select(table, _files().label("media")).where(
            table.c.workspace == workspace,
            table.c.message_id == name,
            table.c.conversation_id == conversation,
            table.c.time.is_not(None),
        )
        return next(iter(await self._rows(query)), None)

    async def arrived(
        self, workspace: str, conversation: str, after: int, limit: int
    ) -> list[dict[str, Any]]:
        """In their order of arrival, `limit` messages after the first `after` of them."""
        table = tables.message
        query = (
            select(table)
            .where(table.c.workspace == workspace, table.c.conversation_id == conversation)
            .where(table.c.no.is_not(None))
            .order_by(table.c.no)
            .offset(after)
            .limit(limit)
        )
        return await self._rows(query)

    async def newest(self, places: Sequence[tuple[str, str]]) -> dict[tuple[str, str], int]:
        """The number of the last message to arrive of each (workspace, conversation) that has any."""
        async with reading(self._engine) as connection:
            columns = tuple(zip(*places, strict=True))
            rows = await connection.exec_driver_sql(_NEWEST, (list(columns[0]), list(columns[1])))
            return {(row.workspace, row.conversation): row.no for row in rows}

    async def dead_letters(
        self,
        workspace: str,
        before: tuple[datetime, str] | None,
        limit: int,
        wanted: Mapping[str, str | None],
        *,
        replayed: bool | None = None,
    ) -> list[dict[str, Any]]:
        """Newest first. `wanted`: what columns must hold, None: anything."""
        table = tables.dead_letter
        query = select(table).where(table.c.workspace == workspace)
        for column, value in wanted.items():
            if value is not None:
                query = query.where(table.c[column] == value)
        if replayed is not None:
            query = query.where((table.c.replayed_at.is_not(None)) == replayed)
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
        async with reading(self._engine) as connection:
            return [dict(row) for row in (await connection.execute(query)).mappings()]


_CHANGED = select(func.pg_notify(CONNECTOR_CHANNEL, ""))
_NEWEST = """
SELECT asked.workspace, asked.conversation, last.no
FROM unnest($1::text[], $2::text[]) AS asked (workspace, conversation)
CROSS JOIN LATERAL (
  SELECT no FROM channels.message
  WHERE workspace = asked.workspace AND conversation_id = asked.conversation AND no IS NOT NULL
  ORDER BY no DESC LIMIT 1
) AS last
"""

_SHOWN = [column for column in tables.conversation.c if column.name != "last_text"]


def _last_message() -> LateralFromClause:
    """The beginning of the last thing said in a conversation, as it reads now."""
    table, of = tables.message, tables.conversation
    edited = table.c.edited_at.is_not(None)
    said = func.left(func.coalesce(case((edited, table.c.edit_text), else_=table.c.text), ""), 200)
    return (
        select(said.label("text"))
        .where(table.c.workspace == of.c.workspace)
        .where(table.c.conversation_id == of.c.conversation_id)
        .where(table.c.time.is_not(None), ~table.c.deleted)
        .order_by(table.c.time.desc(), table.c.message_id.desc())
        .limit(1)
        .lateral("last_message")
    )


def _files() -> Any:
    """What was fetched of a message's files: [{index, sha256, size, content_type, error}]."""
    kept, of = tables.media, tables.message
    names = ("index", "sha256", "size", "content_type", "error")
    pairs = [part for name in names for part in (name, kept.c[name])]
    return (
        select(func.jsonb_agg(func.jsonb_build_object(*pairs)))
        .where(kept.c.workspace == of.c.workspace, kept.c.message_id == of.c.message_id)
        .scalar_subquery()
    )


def _us(moment: Column[Any]) -> Any:
    return cast(func.extract("epoch", moment) * 1_000_000, BigInteger)


def _one(workspace: str, name: str) -> Select[Any]:
    table = tables.connector
    return select(table).where(table.c.workspace == workspace, table.c.id == name)


async def _lock(connection: AsyncConnection, workspace: str, name: str) -> None:
    """One write of a connector at a time, also of one that is yet to be."""
    place = f"connector\n{workspace}\n{name}"
    await connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(place, 0))))


async def _first(connection: AsyncConnection, one: StoredConnector) -> int:
    """The version of a connector that is new: later than any deleted one's, so that no old ETag fits it.
    Raises Refused (conflict) where there is no room for one more; two that come at once take turns."""
    await _lock(connection, one.workspace, "")
    table, retired = tables.connector, tables.connector_retired
    count = select(func.count()).where(table.c.workspace == one.workspace)
    if (await connection.execute(count)).scalar_one() >= CONNECTORS_MAX:
        raise full("connectors", CONNECTORS_MAX)
    last = select(retired.c.version).where(retired.c.workspace == one.workspace)
    return 1 + ((await connection.execute(last)).scalar() or 0)


def _retire(workspace: str, version: int) -> Insert:
    table = tables.connector_retired
    statement = insert(table).values(workspace=workspace, version=version)
    highest = func.greatest(table.c.version, statement.excluded.version)
    return statement.on_conflict_do_update(index_elements=["workspace"], set_={"version": highest})


def stored_connector(row: Row[Any]) -> StoredConnector:
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
