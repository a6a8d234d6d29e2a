"""Fetches that are owed, and where pollers stand, in PostgreSQL."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Row, case, delete, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.channels import tables
from services.channels.connectors.port import Wanted
from services.channels.store import StoredConnector, stored_connector
from shared.db.engine import reading, transaction

FETCH_LEASE_S = 120
POLL_LEASE_S = 120
MAX_OWED = 100_000
MAX_SAID = 500


class OwedFetch(msgspec.Struct, frozen=True):
    """A fetch in hand. `attempts` counts this one."""

    workspace: str
    connector: str
    key: str
    purpose: str
    ids: dict[str, str]
    attempts: int


class TakenPoll(msgspec.Struct, frozen=True):
    """A poller in hand."""

    workspace: str
    connector: str
    name: str
    cursor: str | None
    failures: int


class PollStatus(msgspec.Struct, frozen=True):
    """What `GET connectors/{id}` shows of a poller."""

    name: str
    cursor: str | None
    cursor_at: datetime | None
    next_at: datetime
    every_s: int
    failures: int
    last_success_at: datetime | None
    last_error_at: datetime | None
    last_error: str | None


class Standing(msgspec.Struct, frozen=True):
    """How long ago a poller's last good pass was (or since when it waits for its first), and how
    long the subscription that it renews still lasts (None: it renews none)."""

    workspace: str
    connector: str
    name: str
    behind_s: float
    left_s: float | None


class OwedCount(msgspec.Struct, frozen=True):
    """How much a connector is owed; `since` is its oldest, `last_error` one of those that failed."""

    fetches: int
    since: datetime | None
    failing: int
    last_error: str | None


class LostPoll(Exception):
    """The lease of a poller is another's by now: what this pass found, the other finds again."""


class OutgoingStore:
    """Raises DatabaseUnavailable from every call when PostgreSQL is away."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def owe(self, workspace: str, connector: str, wanted: Sequence[Wanted]) -> None:
        """Remember what has to be fetched; what is owed already stays as it is."""
        if wanted:
            async with transaction(self._engine) as connection:
                await _owe(connection, workspace, connector, wanted)

    async def take(self, limit: int) -> list[OwedFetch]:
        """Up to `limit` fetches that are due, oldest first; each is this caller's for FETCH_LEASE_S."""
        async with transaction(self._engine) as connection:
            found = await connection.execute(_TAKE, {"limit": limit, "lease_s": FETCH_LEASE_S})
            return [
                OwedFetch(one.workspace, one.connector, one.key, one.purpose, one.ids, one.attempts)
                for one in found
            ]

    async def done(self, one: OwedFetch, more: Sequence[Wanted] = ()) -> None:
        """What was owed is durable elsewhere; `more` is owed in its place."""
        async with transaction(self._engine) as connection:
            await _owe(connection, one.workspace, one.connector, more)
            await connection.execute(delete(tables.fetch).where(*_is(tables.fetch, one)))

    async def postpone(self, one: OwedFetch, wait_s: float, said: str) -> None:
        """Try again later."""
        statement = (
            update(tables.fetch)
            .where(*_is(tables.fetch, one))
            .values(next_at=_after(wait_s), last_error=said[:MAX_SAID])
        )
        async with transaction(self._engine) as connection:
            await connection.execute(statement)

    async def owed(self, workspace: str, connector: str) -> OwedCount:
        table = tables.fetch
        failing = table.c.last_error.is_not(None)
        query = select(
            func.count().label("fetches"),
            func.min(table.c.created_at).label("since"),
            func.count().filter(failing).label("failing"),
            func.max(table.c.last_error).label("last_error"),
        ).where(table.c.workspace == workspace, table.c.connector == connector)
        async with reading(self._engine) as connection:
            row = (await connection.execute(query)).one()
        return OwedCount(row.fetches, row.since, row.failing, row.last_error)

    async def backlog(self) -> tuple[int, float, int]:
        """(fetches owed, age of the oldest in seconds, pollers whose last three passes failed)."""
        async with reading(self._engine) as connection:
            row = (await connection.execute(_BACKLOG)).one()
        return row.owed, float(row.age_s), row.failing

    async def standing(self, limit: int) -> list[Standing]:
        """Pollers of enabled connectors, those first that stand still the longest."""
        async with reading(self._engine) as connection:
            rows = await connection.execute(_STANDING, {"limit": limit})
            return [
                Standing(one.workspace, one.connector, one.name, one.behind_s, one.left_s)
                for one in rows
            ]

    async def connectors(self, kinds: Sequence[str]) -> list[StoredConnector]:
        """All of some kinds, those that are switched off too: they keep where they stand."""
        table = tables.connector
        query = select(table).where(table.c.kind.in_(kinds))
        async with reading(self._engine) as connection:
            return [stored_connector(row) for row in await connection.execute(query)]

    async def set_polls(self, wanted: Mapping[tuple[str, str], Mapping[str, int]]) -> None:
        """Which pollers there are, by (workspace, connector): their names and seconds between two
        passes. New ones are due at once; others keep where they stand; what is not named goes."""
        rows = [
            {"workspace": place[0], "connector": place[1], "name": name, "every_s": every_s}
            for place, names in sorted(wanted.items())
            for name, every_s in sorted(names.items())
        ]
        async with transaction(self._engine) as connection:
            await connection.execute(_DROP_POLLS, _columns(rows))
            await connection.execute(_SET_POLLS, _columns(rows))

    async def take_polls(self, replica: str, limit: int) -> list[TakenPoll]:
        """Pollers that are due and nobody's, each leased to `replica` for POLL_LEASE_S."""
        given = {"limit": limit, "lease_s": POLL_LEASE_S, "replica": replica}
        async with transaction(self._engine) as connection:
            found = await connection.execute(_TAKE_POLLS, given)
            return [
                TakenPoll(one.workspace, one.connector, one.name, one.cursor, one.failures)
                for one in found
            ]

    async def renew_poll(self, one: TakenPoll, replica: str) -> None:
        """Raises LostPoll."""
        until = _after(POLL_LEASE_S)
        values = {"taken_until": until, "next_at": case((_HURRIED, func.now()), else_=until)}
        async with transaction(self._engine) as connection:
            await _update_poll(connection, one, replica, values)

    async def polled(
        self,
        one: TakenPoll,
        replica: str,
        cursor: str | None,
        wait_s: float,
        wanted: Sequence[Wanted] = (),
        said: str | None = None,
    ) -> None:
        """A whole pass is durable: the cursor moves, and what the pass announced is owed, at once.
        `said`: what could not be had, though. Raises LostPoll, and then nothing of it happened."""
        moved = cursor is not None and cursor != one.cursor
        values = {
            "next_at": case((_HURRIED, func.now()), else_=_after(wait_s)),
            "taken_by": None,
            "taken_until": None,
            "failures": 0,
            "last_error": None,
            "last_success_at": func.now(),
            **({"cursor": cursor, "cursor_at": func.now()} if moved else {}),
            **({"last_error": said[:MAX_SAID], "last_error_at": func.now()} if said else {}),
        }
        async with transaction(self._engine) as connection:
            await _update_poll(connection, one, replica, values)
            await _owe(connection, one.workspace, one.connector, wanted)

    async def poll_failed(self, one: TakenPoll, replica: str, wait_s: float, said: str) -> None:
        """The cursor stays. Raises LostPoll."""
        values = {
            "next_at": _after(wait_s),
            "taken_by": None,
            "taken_until": None,
            "failures": one.failures + 1,
            "last_error": said[:MAX_SAID],
            "last_error_at": func.now(),
        }
        async with transaction(self._engine) as connection:
            await _update_poll(connection, one, replica, values)

    async def hurry(self, workspace: str, connector: str, name: str, every_s: int) -> None:
        """Make a poller due now: the vendor says that there is something. A pass that runs just
        now may have asked already, so another follows it at once."""
        row = {"workspace": workspace, "connector": connector, "name": name, "every_s": every_s}
        statement = insert(tables.poll).values(row)
        statement = statement.on_conflict_do_update(
            index_elements=["workspace", "connector", "name"], set_={"next_at": func.now()}
        )
        async with transaction(self._engine) as connection:
            await connection.execute(statement)

    async def polls(self, workspace: str, connector: str) -> list[PollStatus]:
        table = tables.poll
        query = select(table).where(table.c.workspace == workspace, table.c.connector == connector)
        async with reading(self._engine) as connection:
            return [_status(row) for row in await connection.execute(query.order_by(table.c.name))]

    async def keep_media(
        self,
        workspace: str,
        message_id: str,
        index: int,
        *,
        sha256: str | None = None,
        size: int | None = None,
        content_type: str | None = None,
        error: str | None = None,
    ) -> None:
        """What became of a message's file."""
        values = {"sha256": sha256, "size": size, "content_type": content_type, "error": error}
        row = {"workspace": workspace, "message_id": message_id, "index": index, **values}
        statement = insert(tables.media).values(row)
        statement = statement.on_conflict_do_update(
            index_elements=["workspace", "message_id", "index"],
            set_={**values, "at": func.now()},
            where=or_(tables.media.c.sha256.is_(None), text(str(sha256 is not None))),
        )
        async with transaction(self._engine) as connection:
            await connection.execute(statement)


def _is(table: Any, one: OwedFetch) -> tuple[Any, ...]:
    return (
        table.c.workspace == one.workspace,
        table.c.connector == one.connector,
        table.c.key == one.key,
    )


def _after(seconds: float) -> Any:
    return func.now() + func.make_interval(0, 0, 0, 0, 0, 0, seconds)


async def _owe(
    connection: AsyncConnection, workspace: str, connector: str, wanted: Sequence[Wanted]
) -> None:
    if not wanted:
        return
    rows = [
        {
            "workspace": workspace,
            "connector": connector,
            "key": f"{one.purpose}:{one.key}"[:1000],
            "purpose": one.purpose,
            "ids": {**one.ids, "key": one.key},
        }
        for one in wanted
    ]
    rows.sort(key=lambda row: row["key"])
    await connection.execute(insert(tables.fetch).on_conflict_do_nothing(), rows)


async def _update_poll(
    connection: AsyncConnection, one: TakenPoll, replica: str, values: Mapping[str, Any]
) -> None:
    table = tables.poll
    statement = update(table).where(
        table.c.workspace == one.workspace,
        table.c.connector == one.connector,
        table.c.name == one.name,
        table.c.taken_by == replica,
    )
    if (await connection.execute(statement.values(**values))).rowcount != 1:
        raise LostPoll


def _columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    names = ("workspace", "connector", "name", "every_s")
    return {f"{name}s": [row[name] for row in rows] for name in names}


def _status(row: Row[Any]) -> PollStatus:
    return PollStatus(
        row.name,
        row.cursor,
        row.cursor_at,
        row.next_at,
        row.every_s,
        row.failures,
        row.last_success_at,
        row.last_error_at,
        row.last_error,
    )


# Somebody has called `hurry` since the poller was taken: taking it put the two together.
_HURRIED = tables.poll.c.next_at < tables.poll.c.taken_until

_TAKE = text(
    """
    UPDATE channels.fetch AS f
    SET attempts = f.attempts + 1, next_at = now() + make_interval(secs => :lease_s)
    FROM (
      SELECT workspace, connector, key FROM channels.fetch
      WHERE next_at <= now() ORDER BY next_at LIMIT :limit FOR UPDATE SKIP LOCKED
    ) AS due
    WHERE f.workspace = due.workspace AND f.connector = due.connector AND f.key = due.key
    RETURNING f.workspace, f.connector, f.key, f.purpose, f.ids, f.attempts
    """
).columns(ids=tables.fetch.c.ids.type)
_TAKE_POLLS = text(
    """
    UPDATE channels.poll AS p
    SET taken_by = :replica, taken_until = now() + make_interval(secs => :lease_s),
        next_at = now() + make_interval(secs => :lease_s)
    FROM (
      SELECT workspace, connector, name FROM channels.poll
      WHERE next_at <= now() AND (taken_until IS NULL OR taken_until <= now())
        AND EXISTS (SELECT FROM channels.connector AS c
                    WHERE c.workspace = poll.workspace AND c.id = poll.connector AND c.enabled)
      ORDER BY next_at LIMIT :limit FOR UPDATE SKIP LOCKED
    ) AS due
    WHERE p.workspace = due.workspace AND p.connector = due.connector AND p.name = due.name
    RETURNING p.workspace, p.connector, p.name, p.cursor, p.failures
    """
)
_WANTED = """
    unnest(CAST(:workspaces AS text[]), CAST(:connectors AS text[]), CAST(:names AS text[]),
           CAST(:every_ss AS int[])) AS w (workspace, connector, name, every_s)
"""
_DROP_POLLS = text(
    f"""
    DELETE FROM channels.poll AS p
    WHERE NOT EXISTS (
      SELECT FROM {_WANTED}
      WHERE w.workspace = p.workspace AND w.connector = p.connector AND w.name = p.name
    )
    """
)
_SET_POLLS = text(
    f"""
    INSERT INTO channels.poll AS p (workspace, connector, name, every_s)
    SELECT w.workspace, w.connector, w.name, w.every_s FROM {_WANTED}
    JOIN channels.connector AS c ON c.workspace = w.workspace AND c.id = w.connector
    ON CONFLICT (workspace, connector, name) DO UPDATE SET every_s = excluded.every_s
    WHERE p.every_s <> excluded.every_s
    """
)
_STANDING = text(
    """
    SELECT poll.workspace, poll.connector, poll.name,
      extract(epoch FROM now() - coalesce(last_success_at, c.updated_at))::float AS behind_s,
      CASE WHEN poll.name = 'renewal' AND poll.cursor IS NOT NULL
        THEN extract(epoch FROM poll.cursor::timestamptz - now())::float END AS left_s
    FROM channels.poll JOIN channels.connector AS c
      ON c.workspace = poll.workspace AND c.id = poll.connector AND c.enabled
    ORDER BY behind_s DESC, poll.workspace, poll.connector, poll.name LIMIT :limit
    """
)
_BACKLOG = text(
    """
    SELECT (SELECT count(*) FROM (SELECT FROM channels.fetch LIMIT 100001) AS counted) AS owed,
      coalesce((SELECT extract(epoch FROM now() - min(created_at)) FROM channels.fetch), 0) AS age_s,
      (SELECT count(*) FROM channels.poll WHERE failures >= 3) AS failing
    """
)
