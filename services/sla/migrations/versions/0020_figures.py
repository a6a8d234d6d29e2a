"""Figures: what each clock and task counts for, histograms of it, tasks, feedback, agents' time."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

from services.sla.domain.histogram import GRID

revision = "0020"
down_revision = "0002"
branch_labels = None
depends_on = None

SCHEMA = "sla"

# What ended before counts too: as measures, and as contributions for the roll-up to fold.
_TAKEN_OVER = """
WITH ended AS (
  SELECT *, round(elapsed_s * 1e6)::bigint AS value_us,
    greatest(0, round(extract(epoch FROM ended_at - started_at) * 1e6))::bigint AS wall_us
  FROM sla.clock WHERE ended_at IS NOT NULL AND state <> 'cancelled'
),
measured AS (
  INSERT INTO sla.measure (workspace, id, metric, outcome, channel, queue, agent_id, policy_id,
    priority, tags, started_at, due_at, ended_at, value_us, bucket_us, wall_us, wall_bucket_us)
  SELECT workspace, id, metric,
    CASE WHEN state = 'closed_unanswered' AND breached_at IS NOT NULL THEN 'closed_late'
      ELSE state END,
    channel, queue, agent_id, policy_id, priority, '{{}}', started_at, due_at, ended_at, value_us,
    CASE WHEN value_us = 0 THEN 0 ELSE ({grid})[width_bucket(value_us - 1, {grid}) + 1] END,
    wall_us, CASE WHEN wall_us = 0 THEN 0 ELSE ({grid})[width_bucket(wall_us - 1, {grid}) + 1] END
  FROM ended
  RETURNING *
)
INSERT INTO sla.contribution (sign, workspace, id, metric, outcome, channel, queue, agent_id,
  policy_id, priority, tags, started_at, due_at, ended_at, value_us, bucket_us, wall_us,
  wall_bucket_us)
SELECT 1, workspace, id, metric, outcome, channel, queue, agent_id, policy_id, priority, tags,
  started_at, due_at, ended_at, value_us, bucket_us, wall_us, wall_bucket_us
FROM measured
"""
TABLES = ("measure", "contribution", "rollup", "edge", "task", "feedback", "agent_span")


def upgrade() -> None:
    op.create_index(
        "clock_open",
        "clock",
        ["workspace", "metric", "started_at"],
        schema=SCHEMA,
        postgresql_where=sa.text("state IN ('running', 'paused')"),
    )
    _measures()
    _rollup()
    _tasks()
    _answers_and_agents()
    grid = ", ".join(str(edge) for edge in GRID)
    op.execute(_TAKEN_OVER.format(grid=f"ARRAY[{grid}]::bigint[]"))


def downgrade() -> None:
    for name in reversed(TABLES):
        op.drop_table(name, schema=SCHEMA)
    op.drop_index("clock_open", "clock", schema=SCHEMA)


def _table(name: str, *columns: Any, key: list[str], **indexes: list[str]) -> None:
    named = sa.PrimaryKeyConstraint(*key, name=f"{name}_pkey")
    op.create_table(name, *columns, named, schema=SCHEMA)
    for index, of in indexes.items():
        op.create_index(index, name, of, schema=SCHEMA)


def _measures() -> None:
    _table(
        "measure",
        *_texts("workspace", "id", nullable=False),
        *_measured(),
        key=["workspace", "id"],
        measure_started=["workspace", "metric", "started_at"],
        measure_due=["workspace", "metric", "due_at"],
        measure_ended=["workspace", "metric", "ended_at"],
    )
    _table(
        "contribution",
        sa.Column("no", sa.BigInteger, sa.Identity(), nullable=False),
        *_texts("workspace", "id", nullable=False),
        sa.Column("sign", sa.SmallInteger, nullable=False),
        *_measured(),
        key=["no"],
        contribution_workspace=["workspace", "metric"],
    )


def _measured() -> list[sa.Column[Any]]:
    return [
        *_texts("metric", "outcome", "channel", nullable=False),
        *_texts("queue", "agent_id", "policy_id"),
        sa.Column("priority", sa.Float, nullable=False),
        sa.Column("tags", ARRAY(sa.Text), nullable=False),
        *_instants("started_at", nullable=False),
        *_instants("due_at"),
        *_instants("ended_at", nullable=False),
        *_spans("value_us", "bucket_us", "wall_us", "wall_bucket_us"),
    ]


def _rollup() -> None:
    key = ["workspace", "series", "metric", "dimension", "step", "at", "key", "outcome"]
    _table(
        "rollup",
        *_texts("workspace", "series", "metric", "dimension", nullable=False),
        sa.Column("step", sa.SmallInteger, nullable=False),
        *_instants("at", nullable=False),
        *_texts("key", "outcome", nullable=False),
        *_spans("sum_us"),
        sa.Column("buckets", ARRAY(sa.BigInteger), nullable=False),
        sa.Column("counts", ARRAY(sa.BigInteger), nullable=False),
        key=key,
        rollup_step_at=["step", "at"],
    )
    _table(
        "edge",
        *_texts("workspace", nullable=False),
        *_spans("edge_us"),
        sa.Column("split", sa.Boolean, server_default=sa.text("false"), nullable=False),
        key=["workspace", "edge_us"],
    )


def _tasks() -> None:
    _table(
        "task",
        *_texts("workspace", "id", "conversation_id", nullable=False),
        *_texts("customer_id"),
        *_texts("channel", nullable=False),
        *_texts("queue", "agent_id", "policy_id"),
        sa.Column("priority", sa.Float, nullable=False),
        sa.Column("tags", ARRAY(sa.Text), nullable=False),
        *_instants("created_at", nullable=False),
        *_instants("assigned_at", "ended_at"),
        *_texts("ending", nullable=False),
        *_spans("talk_us", "hold_us", "wrap_us"),
        sa.Column("reopened", sa.Integer, nullable=False),
        sa.Column("replies", sa.Integer, nullable=False),
        *_instants("updated_at", nullable=False),
        key=["workspace", "id"],
        task_ended=["workspace", "ended_at"],
        task_contact=["workspace", "customer_id", "created_at"],
        task_conversation=["workspace", "conversation_id", "created_at"],
    )
    op.create_index(
        "task_open",
        "task",
        ["workspace"],
        schema=SCHEMA,
        postgresql_where=sa.text("ended_at IS NULL"),
    )


def _answers_and_agents() -> None:
    _table(
        "feedback",
        *_texts("workspace", "id", "conversation_id", nullable=False),
        *_texts("task_id"),
        *_texts("survey", nullable=False),
        sa.Column("score", sa.Float, nullable=False),
        *_texts("channel", nullable=False),
        *_texts("queue", "agent_id", "policy_id"),
        sa.Column("priority", sa.Float, nullable=False),
        sa.Column("tags", ARRAY(sa.Text), nullable=False),
        *_instants("given_at", nullable=False),
        key=["workspace", "id"],
        feedback_at=["workspace", "given_at"],
        feedback_task=["workspace", "task_id"],
    )
    _table(
        "agent_span",
        *_texts("workspace", "agent_id", nullable=False),
        *_instants("from_at", nullable=False),
        *_instants("to_at"),
        *_texts("status", nullable=False),
        sa.Column("tasks", sa.Integer, nullable=False),
        sa.Column("units", sa.Float, nullable=False),
        sa.Column("capacity", sa.Float, nullable=False),
        key=["workspace", "agent_id", "from_at"],
        agent_span_to=["workspace", "to_at"],
    )


def _texts(*names: str, nullable: bool = True) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.Text, nullable=nullable) for name in names]


def _spans(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.BigInteger, nullable=False) for name in names]


def _instants(*names: str, nullable: bool = True) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.DateTime(timezone=True), nullable=nullable) for name in names]
