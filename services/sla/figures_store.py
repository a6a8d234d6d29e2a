"""Figures in PostgreSQL: histograms from the roll-up, with what is not folded yet and ragged ends.

All reads of one answer see the same moment. Raises DatabaseUnavailable when PostgreSQL is away.
"""

from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.sla import figures_statements as statements
from services.sla.domain.ended import SHORT_ABANDON_US, Ended, Gathered, Sums
from services.sla.domain.pieces import Piece
from services.sla.domain.summary import SHARES
from services.sla.figures_rows import Group, Limits, Line, TooMany, Unanswered, Waiting
from services.sla.figures_spans import bounds, cut_days, cut_up, settled, widest
from services.sla.figures_statements import KEYS, Dimension, Series
from shared.db.engine import transaction

ROLLUP_CHUNK = 1_000  # rows of the roll-up added up between two turns of the event loop
WAITING_CHUNK = 1_000  # open clocks looked at between two turns of the event loop
_IN_SPAN = {
    "started_at": "started_at >= :started_at_since AND started_at < :started_at_until",
    "due_at": "(due_at >= :due_at_since AND due_at < :due_at_until OR due_at IS NULL"
    " AND breached_at >= :due_at_since AND breached_at < :due_at_until)",
}


class FiguresStore:
    """Opens a moment to read figures at."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @asynccontextmanager
    async def moment(self) -> AsyncGenerator["Moment"]:
        """Everything read in the block is of one moment, whatever is committed meanwhile."""
        async with transaction(self._engine) as connection:
            await connection.exec_driver_sql(
                "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
            )
            yield Moment(connection)


class Moment:
    """Figures as of one moment."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def histograms(
        self,
        workspace: str,
        metrics: Sequence[str] | None,
        series: Series,
        dimension: Dimension,
        since: datetime,
        until: datetime,
    ) -> dict[Group, Ended]:
        """What started, was due or ended in [since, until), by metric (None: all) and group."""
        whole = cut_up(since, until)
        return await self._histograms(workspace, metrics, series, dimension, whole)

    async def sums(
        self,
        workspace: str,
        metrics: Sequence[str] | None,
        series: Series,
        dimension: Dimension,
        since: datetime,
        until: datetime,
        limits: Limits,
    ) -> dict[tuple[str, str], Sums]:
        """The numbers of the same, by (key, metric)."""
        given = {
            **_given(workspace, metrics, series, dimension, cut_up(since, until)),
            **_limits(limits),
        }
        statement = text(statements.sums(series, dimension, some=metrics is not None))
        found = await self._connection.execute(statement, given)
        return {(key, metric): Sums(*numbers) for metric, key, *numbers in found}

    async def steps(
        self,
        workspace: str,
        metric: str,
        series: Series,
        dimension: Dimension,
        since: datetime,
        until: datetime,
        step_s: int,
        limits: Limits,
        keys: Sequence[str] | None,
        most: int,
    ) -> list[Line]:
        """The numbers of one metric by group (None: all) and step since the epoch, in this order.
        `step_s`: whole minutes. Raises TooMany above `most`.

        Where a step of the roll-up is asked for, the database reads its numbers; steps at the ends,
        and those in which something is not folded yet, are added up here, and so are all others.
        """
        whole = widest(step_s // 60)
        summed_up = cut_up(since, until, whole)
        direct = [one for one in summed_up if one.step * 60 == step_s]
        if direct:
            unsettled = await self._unfolded(workspace, metric, series, since, until, step_s)
            direct, again = settled(direct, unsettled, step_s * 1_000_000)
            summed_up = [one for one in summed_up if one.step * 60 != step_s] + again
        among = {"metric": metric, "keys": keys, "whole": whole, "step": step_s, "most": most + 1}
        lines = await self._direct(workspace, series, dimension, direct, limits, among)
        summed = await self._histograms(
            workspace, [metric], series, dimension, summed_up, keys=keys, step_s=step_s, most=most
        )
        lines += [_line(group, ended, limits) for group, ended in summed.items()]
        if len(lines) > most:
            raise TooMany
        lines.sort(key=attrgetter("slot", "key"))
        return lines

    async def days(
        self,
        workspace: str,
        metric: str,
        series: Series,
        dimension: Dimension,
        since: datetime,
        until: datetime,
        edges: Sequence[datetime],
        limits: Limits,
        keys: Sequence[str] | None,
        most: int,
    ) -> list[Line]:
        """The same by days of some zone, which begin at the edges: `slot` is the edge's number, from 1.
        They are added up here from hours, which no day of another zone shares with the roll-up's."""
        cut = cut_days(since, until, edges)
        summed = await self._histograms(
            workspace, [metric], series, dimension, cut, keys=keys, edges=edges, most=most
        )
        lines = [_line(group, ended, limits) for group, ended in summed.items()]
        lines.sort(key=attrgetter("slot", "key"))
        return lines

    async def _direct(
        self,
        workspace: str,
        series: Series,
        dimension: Dimension,
        cut: Sequence[Piece],
        limits: Limits,
        among: Mapping[str, Any],
    ) -> list[Line]:
        if not cut:
            return []
        shares = {f"share{number}": part for number, (_, part) in enumerate(SHARES, 1)}
        given = {
            "workspace": workspace,
            "series": series,
            "dimension": dimension,
            **bounds("w", cut),
            **_limits(limits),
            **shares,
            **among,
        }
        lines: list[Line] = []
        async for chunk in self._chunks(statements.steps(), given):
            lines += [
                Line(slot, key, Sums(*numbers[:-4]), tuple(numbers[-4:-1]), numbers[-1])
                for slot, key, *numbers in chunk
            ]
        return lines

    async def _unfolded(
        self,
        workspace: str,
        metric: str,
        series: Series,
        since: datetime,
        until: datetime,
        step_s: int,
    ) -> set[int]:
        """The steps in which something is not folded yet."""
        given = {"workspace": workspace, "metric": metric, "step": step_s}
        found = await self._connection.execute(
            text(statements.unfolded(series)), {**given, "since": since, "until": until}
        )
        return set(found.scalars())

    async def _histograms(
        self,
        workspace: str,
        metrics: Sequence[str] | None,
        series: Series,
        dimension: Dimension,
        cut: Sequence[Piece],
        *,
        keys: Sequence[str] | None = None,
        step_s: int | None = None,
        edges: Sequence[datetime] | None = None,
        most: int | None = None,
    ) -> dict[Group, Ended]:
        """Groups in which anything is left; with `step_s` by steps since the epoch, with `edges` by what is
        between them. Raises TooMany as soon as there are more than `most`."""
        if not cut:
            return {}
        given = {
            **_given(workspace, metrics, series, dimension, cut, keys),
            **({} if step_s is None else {"step": step_s}),
            **({} if edges is None else {"edges": list(edges)}),
        }
        slots = "edges" if edges is not None else "step" if step_s is not None else "none"
        statement = statements.histograms(series, dimension, slots=slots, some=metrics is not None)
        gathered: dict[Group, Gathered] = defaultdict(Gathered)
        async for chunk in self._chunks(statement, given):
            for slot, metric, key, *row in chunk:
                gathered[Group(slot, metric, key)].add(*row)
            if most is not None and len(gathered) > most:
                raise TooMany
        found = ((group, one.ended()) for group, one in gathered.items())
        return {group: ended for group, ended in found if ended.any}

    async def _chunks(self, statement: str, given: Mapping[str, Any]) -> AsyncIterator[Any]:
        """Rows of the roll-up, ROLLUP_CHUNK between two turns of the event loop."""
        result = await self._connection.stream(
            text(statement), given, execution_options={"yield_per": ROLLUP_CHUNK}
        )
        async for chunk in result.partitions():
            yield chunk

    async def waiting(
        self,
        workspace: str,
        metrics: Sequence[str] | None,
        dimension: Dimension,
        *,
        started: tuple[datetime, datetime] | None = None,
        due: tuple[datetime, datetime] | None = None,
    ) -> AsyncIterator[list[Waiting]]:
        """The open clocks, WAITING_CHUNK at a time; those started, or due, in [since, until). One that is
        paused was due when it was breached."""
        given: dict[str, Any] = {"workspace": workspace}
        more = ""
        if metrics is not None:
            more += " AND metric = ANY(CAST(:metrics AS text[]))"
            given["metrics"] = list(metrics)
        for name, span in (("started_at", started), ("due_at", due)):
            if span is not None:
                more += f" AND {_IN_SPAN[name]}"
                given |= {f"{name}_since": span[0], f"{name}_until": span[1]}
        # The table of clocks keeps no tags: a task gets them when it is closed.
        key = "''" if dimension == "tag" else KEYS[dimension]
        statement = text(
            f"SELECT {key} AS key, metric, id, conversation_id, queue, state, elapsed_s, target_s,"
            " due_at, breached_at FROM sla.clock c"
            f" WHERE workspace = :workspace AND state IN ('running', 'paused'){more}"
        )
        result = await self._connection.stream(
            statement, given, execution_options={"yield_per": WAITING_CHUNK}
        )
        async for chunk in result.partitions():
            yield [Waiting(*row) for row in chunk]

    async def unanswered(
        self,
        workspace: str,
        dimension: Dimension,
        *,
        started: tuple[datetime, datetime] | None = None,
    ) -> AsyncIterator[list[Unanswered]]:
        """The tasks that wait for their first agent, WAITING_CHUNK at a time; those that began to in
        [since, until)."""
        given: dict[str, Any] = {"workspace": workspace}
        more = ""
        if started is not None:
            more = " AND created_at >= :since AND created_at < :until"
            given |= {"since": started[0], "until": started[1]}
        statement = text(
            f"SELECT {KEYS[dimension]} AS key, created_at FROM sla.task c"
            f" WHERE workspace = :workspace AND ended_at IS NULL AND assigned_at IS NULL{more}"
        )
        result = await self._connection.stream(
            statement, given, execution_options={"yield_per": WAITING_CHUNK}
        )
        async for chunk in result.partitions():
            yield [Unanswered(*row) for row in chunk]

    async def edges(self, workspace: str) -> frozenset[int]:
        """The declared thresholds off the grid at which counts are exact, in microseconds."""
        found = await self._rows(
            "SELECT edge_us FROM sla.edge WHERE workspace = :workspace AND split",
            workspace=workspace,
        )
        return frozenset(row["edge_us"] for row in found)

    async def completed(
        self,
        workspace: str,
        dimension: Dimension,
        since: datetime,
        until: datetime,
        repeat_s: int,
    ) -> list[dict[str, Any]]:
        """Tasks completed in [since, until), by group: how many, reopened, followed by another
        contact of the customer within `repeat_s`, neither, and whose time for that is not over;
        their mean talk, hold and wrap-up in seconds; how many were answered with feedback."""
        return await self._rows(
            statements.COMPLETED.format(key=KEYS[dimension]),
            workspace=workspace,
            since=since,
            until=until,
            repeat=timedelta(seconds=repeat_s),
            now=datetime.now(UTC),
        )

    async def backlog(self, workspace: str, dimension: Dimension) -> list[dict[str, Any]]:
        """Open tasks by group: how many, how many without an agent yet, and the oldest's start."""
        return await self._rows(
            f"SELECT {KEYS[dimension]} AS key, count(*) AS tasks,"
            " count(*) FILTER (WHERE assigned_at IS NULL) AS unassigned,"
            " min(created_at) AS oldest FROM sla.task c"
            " WHERE workspace = :workspace AND ended_at IS NULL GROUP BY 1",
            workspace=workspace,
        )

    async def scores(
        self, workspace: str, dimension: Dimension, since: datetime, until: datetime
    ) -> list[dict[str, Any]]:
        """Feedback given in [since, until): how often each score, by group and survey."""
        return await self._rows(
            f"SELECT {KEYS[dimension]} AS key, survey, score, count(*) AS n FROM sla.feedback c"
            " WHERE workspace = :workspace AND given_at >= :since AND given_at < :until"
            " GROUP BY 1, 2, 3",
            workspace=workspace,
            since=since,
            until=until,
        )

    async def desks(self, workspace: str, since: datetime, until: datetime) -> list[dict[str, Any]]:
        """Agents' time in [since, until), by agent, in seconds: present, busy, idle, and weighted
        by units of capacity and by tasks."""
        now = datetime.now(UTC)
        return await self._rows(
            statements.DESKS, workspace=workspace, since=since, until=min(until, max(now, since))
        )

    async def _rows(self, statement: str, **given: Any) -> list[dict[str, Any]]:
        found = await self._connection.execute(text(statement), given)
        return [dict(row) for row in found.mappings()]


def _line(group: Group, ended: Ended, limits: Limits) -> Line:
    answered = ended.answered
    sums = ended.sums(limits.of.get(group.key, limits.other))
    quantiles = answered.quantiles_us(share for _, share in SHARES)
    return Line(group.slot, group.key, sums, tuple(quantiles), answered.max_us())


def _given(
    workspace: str,
    metrics: Sequence[str] | None,
    series: Series,
    dimension: Dimension,
    cut: Sequence[Piece],
    keys: Sequence[str] | None = None,
) -> dict[str, Any]:
    """What statements over pieces of a span are given."""
    whole = [piece for piece in cut if piece.step]
    return {
        "workspace": workspace,
        "series": series,
        "dimension": dimension,
        "keys": None if keys is None else list(keys),
        "steps": [piece.step for piece in whole],
        **bounds("w", whole),
        **bounds("r", [piece for piece in cut if not piece.step]),
        **({} if metrics is None else {"metrics": list(metrics)}),
    }


def _limits(limits: Limits) -> dict[str, Any]:
    return {
        "limit_keys": list(limits.of),
        "limits": list(limits.of.values()),
        "limit": limits.other,
        "short": SHORT_ABANDON_US,
    }
