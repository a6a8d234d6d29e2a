"""Clocks in PostgreSQL: written in the batch's transaction, read for lists, breaches and figures."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import and_, func, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.sla.domain.rows import COLUMNS
from services.sla.tables import clock
from shared.contracts.core import Row
from shared.runtime.store.statements import FENCED

Place = tuple[datetime, str]

# Sorts last: the year 9999 rather than infinity, which Python's datetime cannot hold.
NEVER = datetime(9999, 12, 31, tzinfo=UTC)

_COHORTS = {"started": clock.c.started_at, "due": clock.c.due_at, "finished": clock.c.ended_at}


async def write_clocks(connection: AsyncConnection, rows: Sequence[tuple[str, Row]]) -> None:
    """Writes `Outcome.rows` of SLA cores; of several rows for one clock the last one counts."""
    await connection.exec_driver_sql(_UPSERT, (_content(rows),))


def clock_statements(rows: Sequence[tuple[str, Row]]) -> list[tuple[str, Sequence[Any]]]:
    """The same as part of the batch's one statement."""
    return [(_FENCED_UPSERT, (_content(rows),))]


def _content(rows: Sequence[tuple[str, Row]]) -> str:
    latest = {(workspace, row.values["id"]): row.values for workspace, row in rows}
    return msgspec.json.encode([latest[key] for key in sorted(latest)]).decode()


_SQL_TYPES = {
    "text": "text",
    "integer": "integer",
    "double": "double precision",
    "instant": "bigint",
    "json": "jsonb",
}


def _column(name: str, kind: str) -> str:
    """The table's name of a row's field: instants are `…_us` there and `…_at` here."""
    return f"{name.removesuffix('_us')}_at" if kind == "instant" else name


def _value(name: str, kind: str) -> str:
    if kind == "instant":
        return f"'epoch'::timestamptz + {name} * interval '1 microsecond'"
    return name


def _upsert() -> str:
    names = [_column(name, kind) for name, kind, _ in COLUMNS]
    values = [_value(name, kind) for name, kind, _ in COLUMNS]
    types = [f"{name} {_SQL_TYPES[kind]}" for name, kind, _ in COLUMNS]
    changes = [f"{name} = excluded.{name}" for name in names if name not in ("workspace", "id")]
    return (
        f"INSERT INTO sla.clock ({', '.join(names)}) SELECT {', '.join(values)}"
        f" FROM jsonb_to_recordset($1::text::jsonb) AS new ({', '.join(types)})"
        f" ON CONFLICT (workspace, id) DO UPDATE SET {', '.join(changes)}"
    )


_UPSERT = _upsert()
_FENCED_UPSERT = _UPSERT.replace("ON CONFLICT", f"{FENCED} ON CONFLICT", 1)


class ClockStore:
    """Reads. Raises DatabaseUnavailable when PostgreSQL is away."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def clocks(
        self,
        workspace: str,
        *,
        states: Sequence[str] | None,
        filters: dict[str, str | None],
        due_before: datetime | None,
        after: Place | None,
        limit: int,
    ) -> list[dict[str, Any]]:
        """By due instant, then id; paused ones and those without one last. `after` is the place of
        the last row of the page before (NEVER for one without a due instant)."""
        due = func.coalesce(clock.c.due_at, NEVER)
        query = select(clock).where(clock.c.workspace == workspace)
        if states:
            query = query.where(clock.c.state.in_(states))
        for name, value in filters.items():
            if value is not None:
                query = query.where(clock.c[name] == value)
        if due_before is not None:
            query = query.where(clock.c.due_at < due_before)
        if after is not None:
            query = query.where(tuple_(due, clock.c.id) > after)
        return await self._rows(query.order_by(due, clock.c.id).limit(limit))

    async def of_conversation(self, workspace: str, conversation: str) -> list[dict[str, Any]]:
        query = select(clock).where(
            clock.c.workspace == workspace, clock.c.conversation_id == conversation
        )
        return await self._rows(query.order_by(clock.c.started_at, clock.c.metric, clock.c.cycle))

    async def clock(self, workspace: str, name: str) -> dict[str, Any] | None:
        query = select(clock).where(clock.c.workspace == workspace, clock.c.id == name)
        return next(iter(await self._rows(query)), None)

    async def breaches(
        self,
        workspace: str,
        since: datetime,
        until: datetime,
        filters: dict[str, str | None],
        after: Place | None,
        limit: int,
    ) -> list[dict[str, Any]]:
        """Clocks breached in [since, until), latest first."""
        query = select(clock).where(
            clock.c.workspace == workspace,
            clock.c.breached_at >= since,
            clock.c.breached_at < until,
        )
        for name, value in filters.items():
            if value is not None:
                query = query.where(clock.c[name] == value)
        if after is not None:
            query = query.where(tuple_(clock.c.breached_at, clock.c.id) < after)
        return await self._rows(
            query.order_by(clock.c.breached_at.desc(), clock.c.id.desc()).limit(limit)
        )

    async def started(
        self, workspace: str, metric: str, since: datetime, until: datetime, by: str
    ) -> list[tuple[str | None, str, str, float, bool]]:
        """(group, id, state, elapsed_s, answered) of the clocks started in [since, until)."""
        query = select(
            clock.c[by],
            clock.c.id,
            clock.c.state,
            clock.c.elapsed_s,
            clock.c.satisfied_at.is_not(None),
        ).where(
            clock.c.workspace == workspace,
            clock.c.metric == metric,
            clock.c.started_at >= since,
            clock.c.started_at < until,
        )
        async with self._engine.connect() as connection:
            return [tuple(row) for row in await connection.execute(query)]  # type: ignore[misc]

    async def compliance(
        self, workspace: str, cohort: str, since: datetime, until: datetime, by: str
    ) -> list[dict[str, Any]]:
        """met, missed and running-but-breached clocks of a cohort, by group and metric."""
        moment = _COHORTS[cohort]
        breached = and_(clock.c.state.in_(("running", "paused")), clock.c.breached_at.is_not(None))
        query = (
            select(
                clock.c[by].label("group"),
                clock.c.metric,
                func.count().filter(clock.c.state == "met").label("met"),
                func.count().filter(clock.c.state == "missed").label("missed"),
                func.count().filter(breached).label("breached_open"),
                func.count()
                .filter(clock.c.state == "closed_unanswered")
                .label("closed_unanswered"),
            )
            .where(clock.c.workspace == workspace, moment >= since, moment < until)
            .where(or_(clock.c.state != "cancelled", clock.c.breached_at.is_not(None)))
            .group_by(clock.c[by], clock.c.metric)
            .order_by(clock.c[by], clock.c.metric)
        )
        return await self._rows(query)

    async def due_within(self, workspace: str, now: datetime, until: datetime) -> int:
        """Running clocks with a due instant in [now, until)."""
        query = (
            select(func.count())
            .select_from(clock)
            .where(
                clock.c.workspace == workspace,
                clock.c.state == "running",
                clock.c.due_at >= now,
                clock.c.due_at < until,
            )
        )
        async with self._engine.connect() as connection:
            return (await connection.execute(query)).scalar_one()

    async def _rows(self, query: Any) -> list[dict[str, Any]]:
        async with self._engine.connect() as connection:
            return [dict(row) for row in (await connection.execute(query)).mappings()]
