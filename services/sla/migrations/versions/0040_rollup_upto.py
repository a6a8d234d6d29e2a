"""The roll-up keeps counts up to each bucket, one row for all outcomes: a count is a search, not a sum.

Folding and reading figures fail in replicas of the version before, until they are replaced; contributions
wait meanwhile and none is lost.
"""

from alembic import op

revision = "0040_sla"
down_revision = "0020"
branch_labels = None
depends_on = None

_KEY = "workspace, series, metric, dimension, step, at, key"
_CREATE = f"""
CREATE TABLE sla.rollup (
  workspace text NOT NULL, series text NOT NULL, metric text NOT NULL, dimension text NOT NULL,
  step smallint NOT NULL, at timestamptz NOT NULL, key text NOT NULL,
  met integer NOT NULL, late integer NOT NULL,
  answered_us bigint NOT NULL, abandoned_us bigint NOT NULL,
  buckets bigint[] NOT NULL, answered integer[] NOT NULL, abandoned integer[] NOT NULL,
  unanswered integer[] NOT NULL,
  CONSTRAINT rollup_pkey PRIMARY KEY ({_KEY})
) WITH (toast_tuple_target = 8160)
"""
_FILL = f"""
INSERT INTO sla.rollup ({_KEY}, met, late, answered_us, abandoned_us, buckets, answered, abandoned,
  unanswered)
WITH each AS (
  SELECT {_KEY}, u.bucket,
    coalesce(sum(u.n) FILTER (WHERE outcome IN ('met', 'missed')), 0) AS answered,
    coalesce(sum(u.n) FILTER (WHERE outcome = 'abandoned'), 0) AS abandoned,
    coalesce(sum(u.n) FILTER (WHERE outcome IN ('closed_unanswered', 'closed_late')), 0)
      AS unanswered,
    coalesce(sum(u.n) FILTER (WHERE outcome = 'met'), 0) AS met,
    coalesce(sum(u.n) FILTER (WHERE outcome = 'closed_late'), 0) AS late
  FROM sla.rollup_before, LATERAL unnest(buckets, counts) u (bucket, n)
  GROUP BY {_KEY}, u.bucket
),
up_to AS (
  SELECT {_KEY}, bucket, met, late, (sum(answered) OVER below)::integer AS answered,
    (sum(abandoned) OVER below)::integer AS abandoned,
    (sum(unanswered) OVER below)::integer AS unanswered
  FROM each WHERE answered <> 0 OR abandoned <> 0 OR unanswered <> 0
  WINDOW below AS (PARTITION BY {_KEY} ORDER BY bucket)
),
sums AS (
  SELECT {_KEY}, coalesce(sum(sum_us) FILTER (WHERE outcome IN ('met', 'missed')), 0) AS answered_us,
    coalesce(sum(sum_us) FILTER (WHERE outcome = 'abandoned'), 0) AS abandoned_us
  FROM sla.rollup_before GROUP BY {_KEY}
)
SELECT {_KEY}, sum(met), sum(late), min(answered_us), min(abandoned_us),
  array_agg(bucket ORDER BY bucket),
  CASE WHEN max(answered) > 0 THEN array_agg(answered ORDER BY bucket) ELSE '{{}}' END,
  CASE WHEN max(abandoned) > 0 THEN array_agg(abandoned ORDER BY bucket) ELSE '{{}}' END,
  CASE WHEN max(unanswered) > 0 THEN array_agg(unanswered ORDER BY bucket) ELSE '{{}}' END
FROM up_to JOIN sums USING ({_KEY}) GROUP BY {_KEY}
"""
_BEFORE = f"""
CREATE TABLE sla.rollup (
  workspace text NOT NULL, series text NOT NULL, metric text NOT NULL, dimension text NOT NULL,
  step smallint NOT NULL, at timestamptz NOT NULL, key text NOT NULL, outcome text NOT NULL,
  sum_us bigint NOT NULL, buckets bigint[] NOT NULL, counts bigint[] NOT NULL,
  CONSTRAINT rollup_pkey PRIMARY KEY ({_KEY}, outcome)
)
"""
# All from the measures: outcomes cannot be told apart any more.
_RECOUNT = """
INSERT INTO sla.contribution (sign, workspace, id, metric, outcome, channel, queue, agent_id,
  policy_id, priority, tags, started_at, due_at, ended_at, value_us, bucket_us, wall_us,
  wall_bucket_us)
SELECT 1, workspace, id, metric, outcome, channel, queue, agent_id, policy_id, priority, tags,
  started_at, due_at, ended_at, value_us, bucket_us, wall_us, wall_bucket_us
FROM sla.measure
"""


def upgrade() -> None:
    _rename_away()
    op.execute(_CREATE)
    op.execute(_FILL)
    op.execute("DROP TABLE sla.rollup_before")
    op.create_index("rollup_step_at", "rollup", ["step", "at"], schema="sla")


def downgrade() -> None:
    op.execute("DROP TABLE sla.rollup")
    op.execute("DELETE FROM sla.contribution")
    op.execute(_BEFORE)
    op.execute(_RECOUNT)
    op.create_index("rollup_step_at", "rollup", ["step", "at"], schema="sla")


def _rename_away() -> None:
    op.execute("ALTER TABLE sla.rollup RENAME TO rollup_before")
    op.execute("ALTER TABLE sla.rollup_before RENAME CONSTRAINT rollup_pkey TO rollup_before_pkey")
    op.execute("DROP INDEX sla.rollup_step_at")
