"""Workspaces and the versions of shared configuration, in the schema `platform`."""

import secrets
from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Integer,
    Row,
    Select,
    Text,
    bindparam,
    cast,
    func,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB, distinct_on
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.contracts.core import ConfigWrite
from shared.contracts.ids import CLIENT_ID
from shared.contracts.problems import Refused, invalid, not_found
from shared.db.engine import reading, transaction
from shared.db.moments import to_us
from shared.db.tables import config, workspace

# NOTIFY channel; the payload is "<workspace> <version>".
CONFIG_CHANNEL = "platform_config"
# The kind under which a workspace's own settings are versioned, with the workspace's id.
SETTINGS = "workspace"
PAGE = 500

# Held while a partition is chosen, so that two new workspaces see each other.
_PLACEMENT_LOCK = 0x706C6163


class Workspace(msgspec.Struct, frozen=True, gc=False):
    """`partition` is its shard, for good; `version` the number of its last configuration change,
    `revision` of the last change of `settings` (its ETag)."""

    id: str
    partition: int
    seed: int
    settings: dict[str, Any]
    version: int
    revision: int
    created_at_us: int


class ConfigVersion(msgspec.Struct, frozen=True, gc=False):
    """One version of one resource. `body` is JSON, None when that version deleted it."""

    workspace: str
    version: int
    kind: str
    id: str
    body: bytes | None
    origin: str
    at_us: int


async def write_config(
    connection: AsyncConnection, workspace_id: str, origin: str, writes: Sequence[ConfigWrite]
) -> list[int]:
    """Store `writes` in order as the workspace's next versions; returns their numbers.

    Belongs to the caller's transaction and locks the workspace's row until its end: versions
    become visible in order, so a reader that asks for `version > last` never misses one.
    `origin` names the writer (a service, or "api"). Raises Refused (not-found).
    """
    if not writes:
        return []
    last = await _next_versions(connection, workspace_id, len(writes))
    versions = list(range(last - len(writes) + 1, last + 1))
    await connection.execute(
        _INSERT_CONFIG,
        {
            "workspace": workspace_id,
            "origin": origin,
            "versions": versions,
            "kinds": [write.kind for write in writes],
            "ids": [write.id for write in writes],
            "bodies": [None if write.body is None else write.body.decode() for write in writes],
            "channel": CONFIG_CHANNEL,
            "payload": f"{workspace_id} {last}",
        },
    )
    return versions


class PlatformStore:
    """Reads and writes of the schema `platform`. Each method is one transaction.

    Raises DatabaseUnavailable and OutcomeUnknown beside what a method names.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def create_workspace(
        self, name: str, partitions: int, settings: dict[str, Any] | None = None
    ) -> tuple[Workspace, bool]:
        """The workspace, and whether this call made it; an existing one is returned unchanged.

        It gets the least used of `partitions` shards. Raises Refused (validation).
        """
        if not CLIENT_ID.match(name):
            raise invalid("/id", "id", f"{name!r} is no id", "1 to 64 of A-Z a-z 0-9 _ -")
        async with transaction(self._engine) as connection:
            existing = await _workspace(connection, name)
            if existing is not None:
                return existing, False
            await connection.execute(select(func.pg_advisory_xact_lock(_PLACEMENT_LOCK)))
            made = await _insert_workspace(connection, name, partitions, settings or {})
            if made and settings:
                await _write_settings(connection, name, settings)
            found = await _workspace(connection, name)
        assert found is not None
        return found, made

    async def workspace(self, name: str) -> Workspace | None:
        async with reading(self._engine) as connection:
            return await _workspace(connection, name)

    async def exists(self, workspace: str) -> bool:
        """Whether there is such a workspace."""
        return await self.workspace(workspace) is not None

    async def workspaces(
        self, *, after: str = "", partition: int | None = None, limit: int = PAGE
    ) -> list[Workspace]:
        """In order of id, those after `after`; only those of `partition` where it is given."""
        query = select(workspace).where(workspace.c.id > after)
        if partition is not None:
            query = query.where(workspace.c.partition == partition)
        async with reading(self._engine) as connection:
            rows = await connection.execute(query.order_by(workspace.c.id).limit(limit))
            return [_to_workspace(row) for row in rows]

    async def update_workspace(
        self, name: str, settings: dict[str, Any], *, if_revision: int | None = None
    ) -> Workspace:
        """Replace the settings, as a version of kind `SETTINGS`. The same settings change nothing.

        Raises Refused: not-found; precondition-failed where the revision is not `if_revision`.
        """
        async with transaction(self._engine) as connection:
            current = await _workspace(connection, name, lock=True)
            if current is None:
                raise not_found("workspace", name)
            if if_revision is not None and current.revision != if_revision:
                raise Refused("precondition-failed", f"The settings are at {current.revision}.")
            if current.settings == settings:
                return current
            await _write_settings(connection, name, settings)
            changed = await _workspace(connection, name)
        assert changed is not None
        return changed

    async def write_config(
        self, workspace_id: str, origin: str, writes: Sequence[ConfigWrite]
    ) -> list[int]:
        """`write_config` in a transaction of its own."""
        async with transaction(self._engine) as connection:
            return await write_config(connection, workspace_id, origin, writes)

    async def config_since(
        self, workspace_id: str, version: int, limit: int = PAGE
    ) -> list[ConfigVersion]:
        """The next versions after `version`, in order, at most `limit`."""
        query = (
            _config_query()
            .where(config.c.workspace == workspace_id, config.c.version > version)
            .order_by(config.c.version)
            .limit(limit)
        )
        return await self._configs(query)

    async def latest_config(
        self, workspace_id: str, kind: str | None = None
    ) -> list[ConfigVersion]:
        """Each resource's newest version in order of (kind, id); deleted ones are left out."""
        newest = (
            _config_query()
            .where(config.c.workspace == workspace_id)
            .ext(distinct_on(config.c.kind, config.c.id))
            .order_by(config.c.kind, config.c.id, config.c.version.desc())
        )
        if kind is not None:
            newest = newest.where(config.c.kind == kind)
        found = await self._configs(newest)
        return [version for version in found if version.body is not None]

    async def config_heads(self, partition: int) -> dict[str, int]:
        """The last version of each workspace of a partition: who has something new to read."""
        query = select(workspace.c.id, workspace.c.version).where(
            workspace.c.partition == partition
        )
        async with reading(self._engine) as connection:
            return {row.id: row.version for row in await connection.execute(query)}

    async def _configs(self, query: Any) -> list[ConfigVersion]:
        async with reading(self._engine) as connection:
            return [_to_config(row) for row in await connection.execute(query)]


_INSERT_CONFIG = text(
    """
    WITH new AS (
        INSERT INTO platform.config (workspace, version, kind, id, body, origin)
        SELECT :workspace, version, kind, id, body::jsonb, :origin
        FROM unnest(:versions, :kinds, :ids, :bodies) AS row (version, kind, id, body)
    )
    SELECT pg_notify(:channel, :payload)
    """
).bindparams(
    bindparam("versions", type_=ARRAY(BigInteger)),
    bindparam("kinds", type_=ARRAY(Text)),
    bindparam("ids", type_=ARRAY(Text)),
    bindparam("bodies", type_=ARRAY(Text)),
)

_INSERT_WORKSPACE = text(
    """
    INSERT INTO platform.workspace (id, partition, seed, settings)
    SELECT :id, place.number, :seed, :settings
    FROM generate_series(0, :partitions - 1) AS place (number)
    LEFT JOIN platform.workspace ON workspace.partition = place.number
    GROUP BY place.number
    ORDER BY count(workspace.id), place.number
    LIMIT 1
    ON CONFLICT (id) DO NOTHING
    RETURNING id
    """
).bindparams(bindparam("settings", type_=JSONB), bindparam("partitions", type_=Integer))


async def _insert_workspace(
    connection: AsyncConnection, name: str, partitions: int, settings: dict[str, Any]
) -> bool:
    made = await connection.execute(
        _INSERT_WORKSPACE,
        {
            "id": name,
            "seed": secrets.randbits(63),
            "settings": settings,
            "partitions": partitions,
        },
    )
    return made.scalar() is not None


async def _write_settings(connection: AsyncConnection, name: str, settings: dict[str, Any]) -> None:
    body = msgspec.json.encode(settings)
    (version,) = await write_config(connection, name, "api", [ConfigWrite(SETTINGS, name, body)])
    await connection.execute(
        update(workspace).where(workspace.c.id == name).values(settings=settings, revision=version)
    )


async def _next_versions(connection: AsyncConnection, name: str, count: int) -> int:
    """Take the next `count` numbers; the row stays locked until the transaction ends."""
    taken = await connection.execute(
        update(workspace)
        .where(workspace.c.id == name)
        .values(version=workspace.c.version + count)
        .returning(workspace.c.version)
    )
    last: int | None = taken.scalar()
    if last is None:
        raise not_found("workspace", name)
    return last


async def _workspace(
    connection: AsyncConnection, name: str, *, lock: bool = False
) -> Workspace | None:
    query = select(workspace).where(workspace.c.id == name)
    row = (await connection.execute(query.with_for_update() if lock else query)).one_or_none()
    return None if row is None else _to_workspace(row)


def _to_workspace(row: Row[Any]) -> Workspace:
    return Workspace(
        row.id,
        row.partition,
        row.seed,
        row.settings,
        row.version,
        row.revision,
        to_us(row.created_at),
    )


def _config_query() -> Select[*tuple[Any, ...]]:
    """Bodies as text: they go on as JSON, nobody here looks into them."""
    columns = config.c
    body = cast(columns.body, Text).label("body")
    return select(
        columns.workspace,
        columns.version,
        columns.kind,
        columns.id,
        body,
        columns.origin,
        columns.at,
    )


def _to_config(row: Row[Any]) -> ConfigVersion:
    body = None if row.body is None else row.body.encode()
    return ConfigVersion(
        row.workspace, row.version, row.kind, row.id, body, row.origin, to_us(row.at)
    )
