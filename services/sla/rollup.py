"""Contributions folded into histograms by minute, hour and day.

The transaction of an input only appends what changed (`projection`); this folds it up soon after, many
at once. Readers add what is not folded yet, so figures are exact at every moment and never wait.
"""

import asyncio
from datetime import UTC, datetime, timedelta

import structlog
from prometheus_client import CollectorRegistry, Gauge
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.sla.domain.histogram import GRID
from shared.db.engine import DatabaseUnavailable, OutcomeUnknown, reading, transaction

TICK_S = 2.0
FOLD_MAX = 4_000  # contributions folded in one transaction
FOLD_LEAST = 50  # after failures
COUNTED_MAX = 200_000
SPLIT_MAX = 2_000  # clocks sorted anew while batches wait
PURGE_EVERY_S = 600.0
PURGE_MAX = 20_000  # rows removed in one transaction
MINUTES_KEPT = timedelta(hours=49)  # readers use them for two days (`figures_store`)
LOCK = 0x6F6D7266  # advisory: one fold at a time

log = structlog.get_logger(__name__)

_PLACE = "workspace, series, metric, dimension"
_KEY = f"{_PLACE}, step, at, key"

# The dimensions of a contribution, as rows (dimension, key). One without a value counts under "".
DIMENSIONS = """(VALUES ('channel', c.channel), ('queue', coalesce(c.queue, '')),
  ('agent', coalesce(c.agent_id, '')), ('policy', coalesce(c.policy_id, '')),
  ('priority', c.priority::text)) AS d (dimension, key)"""
TAGS = "unnest(CASE WHEN cardinality(c.tags) = 0 THEN ARRAY[''] ELSE c.tags END) AS d (key)"

# With their types: PostgreSQL adds integers far faster than numbers of any length.
_COUNTS = {
    **dict.fromkeys(("answered", "abandoned", "unanswered", "met", "late"), "integer"),
    "answered_us": "bigint",
    "abandoned_us": "bigint",
}
_NUMBERS = ", ".join(_COUNTS)


def _coarser(finer: str, width: str) -> str:
    summed = ", ".join(f"sum({name})::{kind} AS {name}" for name, kind in _COUNTS.items())
    return f"""
  SELECT {_PLACE}, date_bin('{width}', at, 'epoch') AS at, key, bucket, {summed}
  FROM {finer} GROUP BY {_PLACE}, 5, key, bucket
"""


def _same_key(one: str, other: str) -> str:
    return " AND ".join(f"{one}.{name} = {other}.{name}" for name in _KEY.split(", "))


def _packed(name: str) -> str:
    """Empty where there is none of them at all."""
    return f"CASE WHEN max({name}) > 0 THEN array_agg({name} ORDER BY bucket) END AS {name}"


# The stored counts of what is touched are taken apart, added to, and summed up again from the lowest
# bucket. Nobody else writes them meanwhile (LOCK), save that old minutes are removed.
_FOLD = f"""
WITH taken AS (
  DELETE FROM sla.contribution WHERE no IN (
    SELECT no FROM sla.contribution ORDER BY no LIMIT :most FOR UPDATE SKIP LOCKED)
  RETURNING *
),
timed AS (
  SELECT c.*, s.series, s.moment, s.bucket, s.value FROM taken c, LATERAL (VALUES
    ('started', c.started_at, c.bucket_us, c.value_us),
    ('due', c.due_at, 0::bigint, 0::bigint),
    ('finished', c.ended_at, c.bucket_us, c.value_us),
    ('wall', c.ended_at, c.wall_bucket_us, c.wall_us)) s (series, moment, bucket, value)
  WHERE s.moment IS NOT NULL
),
minutes AS (
  SELECT {_PLACE}, date_bin('1 minute', moment, 'epoch') AS at, key, bucket,
    (sum(sign) FILTER (WHERE outcome IN ('met', 'missed')))::integer AS answered,
    (sum(sign) FILTER (WHERE outcome = 'abandoned'))::integer AS abandoned,
    (sum(sign) FILTER (WHERE outcome IN ('closed_unanswered', 'closed_late')))::integer AS unanswered,
    (sum(sign) FILTER (WHERE outcome = 'met'))::integer AS met,
    (sum(sign) FILTER (WHERE outcome = 'closed_late'))::integer AS late,
    (sum(sign * value) FILTER (WHERE outcome IN ('met', 'missed')))::bigint AS answered_us,
    (sum(sign * value) FILTER (WHERE outcome = 'abandoned'))::bigint AS abandoned_us
  FROM (
    SELECT c.*, d.* FROM timed c, LATERAL {DIMENSIONS}
    UNION ALL SELECT c.*, 'tag', d.key FROM timed c, LATERAL {TAGS}
  ) placed
  GROUP BY {_PLACE}, 5, key, bucket
),
hours AS ({_coarser("minutes", "1 hour")}),
days AS ({_coarser("hours", "1 day")}),
fresh AS (
  SELECT {_PLACE}, 1::smallint AS step, at, key, bucket, {_NUMBERS} FROM minutes
  UNION ALL SELECT {_PLACE}, 60::smallint, at, key, bucket, {_NUMBERS} FROM hours
  UNION ALL SELECT {_PLACE}, 1440::smallint, at, key, bucket, {_NUMBERS} FROM days
),
touched AS MATERIALIZED (
  SELECT *, row_number() OVER () AS no FROM (SELECT DISTINCT {_KEY} FROM fresh) t
),
numbered AS MATERIALIZED (
  SELECT no, bucket, {_NUMBERS} FROM fresh JOIN touched USING ({_KEY})
),
every AS (
  SELECT no, bucket, coalesce(answered, 0) AS answered, coalesce(abandoned, 0) AS abandoned,
    coalesce(unanswered, 0) AS unanswered FROM numbered
  UNION ALL
  SELECT no, u.bucket, coalesce(u.an - u.an_before, 0), coalesce(u.ab - u.ab_before, 0),
    coalesce(u.un - u.un_before, 0)
  FROM touched t, LATERAL (
    SELECT * FROM sla.rollup r WHERE {_same_key("r", "t")} OFFSET 0) r,
  LATERAL unnest(r.buckets, r.answered, 0 || r.answered, r.abandoned, 0 || r.abandoned,
    r.unanswered, 0 || r.unanswered) u (bucket, an, an_before, ab, ab_before, un, un_before)
  WHERE u.bucket IS NOT NULL
),
counted AS (
  SELECT no, bucket, sum(answered)::integer AS answered, sum(abandoned)::integer AS abandoned,
    sum(unanswered)::integer AS unanswered
  FROM every GROUP BY no, bucket
  HAVING sum(answered) <> 0 OR sum(abandoned) <> 0 OR sum(unanswered) <> 0
),
up_to AS (
  SELECT no, bucket, (sum(answered) OVER below)::integer AS answered,
    (sum(abandoned) OVER below)::integer AS abandoned,
    (sum(unanswered) OVER below)::integer AS unanswered
  FROM counted WINDOW below AS (PARTITION BY no ORDER BY bucket)
),
packed AS (
  SELECT no, array_agg(bucket ORDER BY bucket) AS buckets, {_packed("answered")},
    {_packed("abandoned")}, {_packed("unanswered")}
  FROM up_to GROUP BY no
),
totals AS (
  SELECT no, coalesce(sum(met), 0) AS met, coalesce(sum(late), 0) AS late,
    coalesce(sum(answered_us), 0) AS answered_us, coalesce(sum(abandoned_us), 0) AS abandoned_us
  FROM numbered GROUP BY no
)
INSERT INTO sla.rollup ({_KEY}, met, late, answered_us, abandoned_us, buckets, answered,
  abandoned, unanswered)
SELECT {_KEY}, met, late, answered_us, abandoned_us, coalesce(buckets, '{{}}'),
  coalesce(answered, '{{}}'), coalesce(abandoned, '{{}}'), coalesce(unanswered, '{{}}')
FROM touched JOIN totals USING (no) LEFT JOIN packed USING (no) ORDER BY {_KEY}
ON CONFLICT ({_KEY}) DO UPDATE SET met = rollup.met + excluded.met,
  late = rollup.late + excluded.late, answered_us = rollup.answered_us + excluded.answered_us,
  abandoned_us = rollup.abandoned_us + excluded.abandoned_us, buckets = excluded.buckets,
  answered = excluded.answered, abandoned = excluded.abandoned, unanswered = excluded.unanswered
"""

# Of what the statement makes for itself the planner knows nothing: it would sort all of it, on disk.
_PLANNED = (
    "SELECT set_config('work_mem', '64MB', true), set_config('enable_mergejoin', 'off', true)"
)

_MEASURED = (
    "metric, outcome, channel, queue, agent_id, policy_id, priority, tags, started_at, due_at,"
    " ended_at, value_us"
)

# Clocks that ended before a threshold was declared are sorted anew by it. `upper` is the bucket it cuts.
_CUT = """workspace = :workspace AND (
  (bucket_us = :upper AND value_us <= :edge) OR (wall_bucket_us = :upper AND wall_us <= :edge))"""
_TO_SPLIT = f"SELECT id FROM sla.measure WHERE {_CUT}"
_SPLIT = f"""
WITH old AS (SELECT * FROM sla.measure WHERE id = ANY(CAST(:ids AS text[])) AND {_CUT}),
new AS (
  UPDATE sla.measure m SET
    bucket_us = CASE WHEN old.bucket_us = :upper AND old.value_us <= :edge THEN :edge
      ELSE old.bucket_us END,
    wall_bucket_us = CASE WHEN old.wall_bucket_us = :upper AND old.wall_us <= :edge THEN :edge
      ELSE old.wall_bucket_us END
  FROM old WHERE m.workspace = old.workspace AND m.id = old.id
  RETURNING m.*
)
INSERT INTO sla.contribution (sign, workspace, id, {_MEASURED}, bucket_us, wall_us, wall_bucket_us)
SELECT -1, workspace, id, {_MEASURED}, bucket_us, wall_us, wall_bucket_us FROM old
UNION ALL
SELECT 1, workspace, id, {_MEASURED}, bucket_us, wall_us, wall_bucket_us FROM new
"""


class Rollup:
    """Folds, splits buckets at thresholds declared later, and removes minutes that are old."""

    def __init__(self, engine: AsyncEngine, registry: CollectorRegistry | None = None) -> None:
        self._engine = engine
        self._waiting = Gauge(
            "omniroute_sla_rollup_waiting",
            f"Changes of figures not folded into the roll-up yet (counted up to {COUNTED_MAX:,})",
            registry=registry,
        )

    async def run(self) -> None:
        """Keep the roll-up up to date. Until cancelled; waits out a database that is away."""
        purge_at, most = 0.0, FOLD_MAX
        loop = asyncio.get_running_loop()
        while True:
            try:
                full = await self.fold(most) >= most
                most = FOLD_MAX
                self._waiting.set(await self.waiting() if full else 0)
                if not full and loop.time() >= purge_at:
                    await self.split()
                    await self.purge(datetime.now(UTC))
                    purge_at = loop.time() + PURGE_EVERY_S
            except (DatabaseUnavailable, OutcomeUnknown) as away:
                full = False
                log.info("rollup.skipped", because=str(away))
            except SQLAlchemyError:  # too much for one statement, say: the next try is smaller
                full, most = False, max(FOLD_LEAST, most // 4)
                log.exception("rollup.failed", next_try=most)
            await asyncio.sleep(0 if full else TICK_S)

    async def fold(self, most: int = FOLD_MAX) -> int:
        """Folds up to `most` contributions, in one transaction; how many there were (0 too where
        another replica folds just now)."""
        async with transaction(self._engine) as connection:
            if not await _alone(connection):
                return 0
            count = await connection.scalar(
                text("SELECT count(*) FROM (SELECT 1 FROM sla.contribution LIMIT :most) c"),
                {"most": most},
            )
            if count:
                await connection.exec_driver_sql(_PLANNED)
                await connection.execute(text(_FOLD), {"most": most})
            return count or 0

    async def waiting(self) -> int:
        """How many contributions are not folded yet, up to COUNTED_MAX."""
        statement = text("SELECT count(*) FROM (SELECT 1 FROM sla.contribution LIMIT :most) c")
        async with reading(self._engine) as connection:
            return await connection.scalar(statement, {"most": COUNTED_MAX}) or 0

    async def split(self) -> int:
        """Sorts ended clocks by the thresholds declared since; how many thresholds were done."""
        async with reading(self._engine) as connection:
            found = await connection.execute(
                text("SELECT workspace, edge_us FROM sla.edge WHERE NOT split ORDER BY edge_us")
            )
            todo = [(row.workspace, row.edge_us) for row in found]
        for workspace, edge in todo:
            await self._split_one(workspace, edge)
        return len(todo)

    async def _split_one(self, workspace: str, edge: int) -> None:
        place = {"workspace": workspace, "edge": edge}
        async with reading(self._engine) as connection:
            others = await connection.execute(
                text("SELECT edge_us FROM sla.edge WHERE workspace = :workspace AND split"),
                {"workspace": workspace},
            )
            upper = min(e for e in (*GRID, *(row.edge_us for row in others)) if e > edge)
            place["upper"] = upper
            found = await connection.execute(text(_TO_SPLIT), place)
            ids = [row.id for row in found]
        for first in range(0, len(ids), SPLIT_MAX):
            async with transaction(self._engine) as connection:
                # A batch that writes measures waits here, and reads them only then.
                await connection.exec_driver_sql(
                    "LOCK TABLE sla.measure IN SHARE ROW EXCLUSIVE MODE"
                )
                part = ids[first : first + SPLIT_MAX]
                await connection.execute(text(_SPLIT), {**place, "ids": part})
        async with transaction(self._engine) as connection:
            await connection.execute(
                text(
                    "UPDATE sla.edge SET split = true"
                    " WHERE workspace = :workspace AND edge_us = :edge"
                ),
                {"workspace": workspace, "edge": edge},
            )

    async def purge(self, now: datetime) -> int:
        """Removes minutes that nobody reads any more; hours and days stay."""
        statement = text(
            "DELETE FROM sla.rollup WHERE ctid = ANY (ARRAY(SELECT ctid FROM sla.rollup"
            " WHERE step = 1 AND at < :before LIMIT :most))"
        )
        removed = 0
        while True:
            async with transaction(self._engine) as connection:
                done = await connection.execute(
                    statement, {"before": now - MINUTES_KEPT, "most": PURGE_MAX}
                )
            removed += done.rowcount
            if done.rowcount < PURGE_MAX:
                return removed


async def _alone(connection: AsyncConnection) -> bool:
    return bool(await connection.scalar(text(f"SELECT pg_try_advisory_xact_lock({LOCK})")))
