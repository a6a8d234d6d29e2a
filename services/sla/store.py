"""Clocks in PostgreSQL, read for lists and breaches. `projection` writes them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncEngine

from services.sla.tables import clock
from shared.db.engine import connected

Place = tuple[datetime, str]
StartPlace = tuple[datetime, str, int, str]

# Sorts last: the year 9999 rather than infinity, which Python's datetime cannot hold.
NEVER = datetime(9999, 12, 31, tzinfo=UTC)


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
        due_after: datetime | None,
        due_before: datetime | None,
        after: Place | None,
        limit: int,
    ) -> list[dict[str, Any]]:
        """By due instant ([due_after, due_before)), then id; paused ones and those without one last. `after` is the place of
        the last row of the page before (NEVER for one without a due instant)."""
        due = func.coalesce(clock.c.due_at, NEVER)
        query = select(clock).where(clock.c.workspace == workspace)
        if states:
            query = query.where(clock.c.state.in_(states))
        for name, value in filters.items():
            if value is not None:
                query = query.where(clock.c[name] == value)
        if due_after is not None:
            query = query.where(clock.c.due_at >= due_after)
        if due_before is not None:
            query = query.where(clock.c.due_at < due_before)
        if after is not None:
            query = query.where(tuple_(due, clock.c.id) > after)
        return await self._rows(query.order_by(due, clock.c.id).limit(limit))

    async def of_conversation(
        self, workspace: str, conversation: str, after: StartPlace | None, limit: int
    ) -> list[dict[str, Any]]:
        """By start, metric, cycle and id. `after` is the place of the last row of the page before."""
        order = (clock.c.started_at, clock.c.metric, clock.c.cycle, clock.c.id)
        query = select(clock).where(
            clock.c.workspace == workspace, clock.c.conversation_id == conversation
        )
        if after is not None:
            query = query.where(tuple_(*order) > after)
        return await self._rows(query.order_by(*order).limit(limit))

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

    async def _rows(self, query: Any) -> list[dict[str, Any]]:
        async with connected(self._engine) as connection:
            return [dict(row) for row in (await connection.execute(query)).mappings()]
