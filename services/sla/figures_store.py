"""Figures in PostgreSQL: histograms from the roll-up, with what is not folded yet and ragged ends.

All reads of one answer see the same moment. Raises DatabaseUnavailable when PostgreSQL is away.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.sla.domain.histogram import Histogram, Tally, merged
from services.sla.domain.pieces import Piece, pieces
from shared.db.engine import transaction

Dimension = Literal["queue", "channel", "agent", "policy", "priority", "tag"]
Series = Literal["started", "due", "finished", "wall"]
MINUTES_READ = timedelta(hours=48)  # an hour less than they are kept (`rollup`)
ROLLUP_CHUNK = 1_000  # rows of the roll-up added up between two turns of the event loop
WAITING_CHUNK = 1_000  # open clocks looked at between two turns of the event loop
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_KEYS: dict[Dimension, str] = {
    "queue": "coalesce(c.queue, '')",
    "channel": "c.channel",
    "agent": "coalesce(c.agent_id, '')",
    "policy": "coalesce(c.policy_id, '')",
    "priority": "c.priority::text",
    "tag": "unnest(CASE WHEN cardinality(c.tags) = 0 THEN ARRAY[''] ELSE c.tags END)",
}
_MOMENTS: dict[Series, tuple[str, str, str]] = {
    "started": ("started_at", "bucket_us", "value_us"),
    "due": ("due_at", "0::bigint", "0::bigint"),
    "finished": ("ended_at", "bucket_us", "value_us"),
    "wall": ("ended_at", "wall_bucket_us", "wall_us"),
}

_Place = tuple[int, str, str, str]  # the fields of a Group


class Group(NamedTuple):
    """Which figures a histogram is of. `slot`: number of the step in a series of time, else 0."""

    slot: int
    metric: str
    key: str
    outcome: str


class Waiting(NamedTuple):
    """An open clock, as it was when it last changed."""

    key: str
    metric: str
    id: str
    conversation_id: str
    queue: str | None
    state: str
    elapsed_s: float
    target_s: float
    due_at: datetime | None
    breached_at: datetime | None


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
        *,
        step_s: int | None = None,
    ) -> dict[Group, Histogram]:
        """What started, was due or ended in [since, until), by metric (None: all), group and
        outcome; with `step_s` (whole minutes) also by steps since the epoch."""
        minutes_since = _us(datetime.now(UTC) - MINUTES_READ)
        coarsest = 1440 if step_s is None else _widest(step_s // 60)
        cut = pieces(_us(since), _us(until), minutes_since, coarsest)
        whole = [piece for piece in cut if piece.step]
        given: dict[str, Any] = {
            "workspace": workspace,
            "series": series,
            "dimension": dimension,
            "steps": [piece.step for piece in whole],
            **_bounds("w", whole),
            **_bounds("r", [piece for piece in cut if not piece.step]),
            **({} if metrics is None else {"metrics": list(metrics)}),
            **({} if step_s is None else {"step": step_s}),
        }
        statement = text(_histograms(series, dimension, step_s is not None, metrics is not None))
        result = await self._connection.stream(
            statement, given, execution_options={"yield_per": ROLLUP_CHUNK}
        )
        summed = _Summed()
        async for chunk in result.partitions():
            for slot, metric, key, outcome, us, buckets, counts in chunk:
                summed.add((slot, metric, key, outcome), Histogram(buckets, counts, us))
        return summed.histograms()

    async def waiting(
        self,
        workspace: str,
        metrics: Sequence[str] | None,
        dimension: Dimension,
        *,
        started: tuple[datetime, datetime] | None = None,
        due: tuple[datetime, datetime] | None = None,
    ) -> AsyncIterator[list[Waiting]]:
        """The open clocks, WAITING_CHUNK at a time; those started, or due, in [since, until)."""
        given: dict[str, Any] = {"workspace": workspace}
        more = ""
        if metrics is not None:
            more += " AND metric = ANY(CAST(:metrics AS text[]))"
            given["metrics"] = list(metrics)
        for name, bounds in (("started_at", started), ("due_at", due)):
            if bounds is not None:
                more += f" AND {name} >= :{name}_since AND {name} < :{name}_until"
                given |= {f"{name}_since": bounds[0], f"{name}_until": bounds[1]}
        # The table of clocks keeps no tags: a task gets them when it is closed.
        key = "''" if dimension == "tag" else _KEYS[dimension]
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
            _COMPLETED.format(key=_KEYS[dimension]),
            workspace=workspace,
            since=since,
            until=until,
            repeat=timedelta(seconds=repeat_s),
            now=datetime.now(UTC),
        )

    async def backlog(self, workspace: str, dimension: Dimension) -> list[dict[str, Any]]:
        """Open tasks by group: how many, how many without an agent yet, and the oldest's start."""
        return await self._rows(
            f"SELECT {_KEYS[dimension]} AS key, count(*) AS tasks,"
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
            f"SELECT {_KEYS[dimension]} AS key, survey, score, count(*) AS n FROM sla.feedback c"
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
            _DESKS, workspace=workspace, since=since, until=min(until, max(now, since))
        )

    async def _rows(self, statement: str, **given: Any) -> list[dict[str, Any]]:
        found = await self._connection.execute(text(statement), given)
        return [dict(row) for row in found.mappings()]


class _Summed:
    """Histograms by group. Most groups of a series have one row, which is kept as it comes."""

    def __init__(self) -> None:
        self._found: dict[_Place, Histogram] = {}
        self._tallies: dict[_Place, Tally] = {}

    def add(self, place: _Place, part: Histogram) -> None:
        first = self._found.setdefault(place, part)
        if first is part:
            return
        tally = self._tallies.get(place)
        if tally is None:
            tally = self._tallies[place] = Tally()
            tally.add(first)
        tally.add(part)

    def histograms(self) -> dict[Group, Histogram]:
        """Groups in which anything is left."""
        for place, tally in self._tallies.items():
            self._found[place] = tally.histogram()
        return {
            Group(*place): merged([one]) if 0 in one.counts else one
            for place, one in self._found.items()
            if sum(one.counts)
        }


def _widest(minutes: int) -> int:
    """The widest step of the roll-up that divides a step of a series."""
    return next(step for step in (1440, 60, 1) if minutes % step == 0)


def _us(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1)


def _bounds(name: str, cut: Sequence[Piece]) -> dict[str, list[datetime]]:
    return {
        f"{name}_since": [EPOCH + timedelta(microseconds=one.since_us) for one in cut],
        f"{name}_until": [EPOCH + timedelta(microseconds=one.until_us) for one in cut],
    }


# `OFFSET 0`: each piece is one range of the roll-up's key, never a scan of all of it. Its rows are
# added up by who reads them: unnesting, grouping and sorting buckets here takes ten times as long.
def _histograms(series: Series, dimension: Dimension, by_step: bool, some_metrics: bool) -> str:
    slot = "0::bigint"
    if by_step:
        slot = "floor(extract(epoch FROM {at}) / CAST(:step AS bigint))::bigint"
    at, bucket, value = _MOMENTS[series]
    among = " AND {t}.metric = ANY(CAST(:metrics AS text[]))" if some_metrics else ""
    columns = (
        f"c.metric, {_KEYS[dimension]} AS key, c.outcome, c.{value} AS us, c.{bucket} AS bucket"
    )
    single = f"{slot.format(at=f'c.{at}')} AS slot, {columns}".replace("c.0::", "0::")
    return f"""
WITH whole AS (SELECT * FROM unnest(CAST(:steps AS smallint[]), CAST(:w_since AS timestamptz[]),
    CAST(:w_until AS timestamptz[])) w (step, since, until)),
ragged AS (SELECT * FROM unnest(CAST(:r_since AS timestamptz[]), CAST(:r_until AS timestamptz[]))
    r (since, until)),
singles AS (
  SELECT {single}, c.sign FROM whole, sla.contribution c
  WHERE c.workspace = :workspace AND c.{at} >= whole.since AND c.{at} < whole.until
    {among.format(t="c")}
  UNION ALL
  SELECT {single}, 1 FROM ragged, LATERAL (
    SELECT * FROM sla.measure c
    WHERE c.workspace = :workspace AND c.{at} >= ragged.since AND c.{at} < ragged.until
      {among.format(t="c")}
    OFFSET 0) c
)
SELECT {slot.format(at="r.at")} AS slot, r.metric, r.key, r.outcome, r.sum_us, r.buckets, r.counts
FROM whole, LATERAL (
  SELECT * FROM sla.rollup r
  WHERE r.workspace = :workspace AND r.series = :series AND r.dimension = :dimension
    AND r.step = whole.step AND r.at >= whole.since AND r.at < whole.until{among.format(t="r")}
  OFFSET 0) r
UNION ALL
SELECT slot, metric, key, outcome, sum(sign * us)::bigint, ARRAY[bucket], ARRAY[sum(sign)]
FROM singles GROUP BY slot, metric, key, outcome, bucket
"""


_COMPLETED = """
SELECT {key} AS key, count(*) AS completed,
  count(*) FILTER (WHERE reopened > 0) AS reopened,
  count(*) FILTER (WHERE repeated) AS repeated,
  count(*) FILTER (WHERE reopened = 0 AND NOT repeated) AS first_contact,
  count(*) FILTER (WHERE reopened = 0 AND NOT repeated AND ended_at > CAST(:now AS timestamptz) - CAST(:repeat AS interval)) AS provisional,
  count(*) FILTER (WHERE told) AS told,
  avg(talk_us) / 1e6 AS talk_s, avg(hold_us) / 1e6 AS hold_s, avg(wrap_us) / 1e6 AS wrap_s
FROM (
  SELECT t.*, EXISTS (
      SELECT 1 FROM sla.feedback f WHERE f.workspace = t.workspace AND f.task_id = t.id) AS told,
    EXISTS (
      SELECT 1 FROM sla.task n WHERE n.workspace = t.workspace AND n.customer_id = t.customer_id
        AND n.created_at > t.ended_at AND n.created_at <= t.ended_at + CAST(:repeat AS interval))
    OR EXISTS (
      SELECT 1 FROM sla.task n WHERE n.workspace = t.workspace
        AND n.conversation_id = t.conversation_id
        AND n.created_at > t.ended_at AND n.created_at <= t.ended_at + CAST(:repeat AS interval)) AS repeated
  FROM sla.task t
  WHERE t.workspace = :workspace AND t.ended_at >= :since AND t.ended_at < :until
    AND t.ending = 'completed'
) c GROUP BY 1
"""

# Present: available, or with work in hand. Idle: available and without work.
_DESKS = """
SELECT agent_id AS key,
  sum(s) FILTER (WHERE status = 'available' OR tasks > 0) AS present_s,
  sum(s) FILTER (WHERE tasks > 0) AS busy_s,
  sum(s) FILTER (WHERE status = 'available' AND tasks = 0) AS idle_s,
  sum(s * tasks) AS task_s, sum(s * units) AS unit_s,
  sum(s * capacity) FILTER (WHERE status = 'available' OR tasks > 0) AS capacity_s
FROM (
  SELECT *, extract(epoch FROM least(coalesce(to_at, CAST(:until AS timestamptz)), CAST(:until AS timestamptz))
    - greatest(from_at, CAST(:since AS timestamptz)))
    ::double precision AS s
  FROM sla.agent_span
  WHERE workspace = :workspace AND from_at < :until AND (to_at IS NULL OR to_at > :since)
) spans GROUP BY 1
"""
