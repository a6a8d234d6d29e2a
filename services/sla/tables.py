"""The tables of the SLA service, in PostgreSQL's schema `sla`: the runtime's, and clocks to read."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Float,
    Identity,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from shared.db.tables import NAMING
from shared.runtime.tables import runtime_tables

SCHEMA = "sla"
METADATA = MetaData(schema=SCHEMA, naming_convention=NAMING)
runtime_tables(METADATA)

_instant = DateTime(timezone=True)

clock = Table(
    "clock",
    METADATA,
    Column("workspace", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("conversation_id", Text, nullable=False),
    Column("task_id", Text),
    Column("metric", Text, nullable=False),
    Column("cycle", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("queue", Text),
    Column("agent_id", Text),
    Column("priority", Float, nullable=False),
    Column("policy_id", Text, nullable=False),
    Column("policy_version", Integer, nullable=False),
    Column("calendar", Text, nullable=False),
    Column("target_s", Float, nullable=False),
    Column("started_at", _instant, nullable=False),
    Column("due_at", _instant),
    Column("satisfied_at", _instant),
    Column("breached_at", _instant),
    Column("ended_at", _instant),
    Column("elapsed_s", Float, nullable=False),
    Column("warnings", JSONB, nullable=False),
    Column("updated_at", _instant, nullable=False),
    Index("clock_started", "workspace", "metric", "started_at"),
    Index("clock_breached", "workspace", "breached_at", "id"),
    Index("clock_conversation", "workspace", "conversation_id"),
    Index("clock_state_due", "workspace", "state", "due_at", "id"),
    Index(
        "clock_open",
        "workspace",
        "metric",
        "started_at",
        postgresql_where=text("state IN ('running', 'paused')"),
    ),
)


def _grouped() -> list[Column[Any]]:
    """The columns of what figures are grouped by."""
    return [
        Column("channel", Text, nullable=False),
        Column("queue", Text),
        Column("agent_id", Text),
        Column("policy_id", Text),
        Column("priority", Float, nullable=False),
        Column("tags", ARRAY(Text), nullable=False),
    ]


def _measured() -> list[Column[Any]]:
    """The columns of what a clock or a task contributes to figures."""
    return [
        Column("metric", Text, nullable=False),
        Column("outcome", Text, nullable=False),
        *_grouped(),
        Column("started_at", _instant, nullable=False),
        Column("due_at", _instant),
        Column("ended_at", _instant, nullable=False),
        Column("value_us", BigInteger, nullable=False),
        Column("bucket_us", BigInteger, nullable=False),
        Column("wall_us", BigInteger, nullable=False),
        Column("wall_bucket_us", BigInteger, nullable=False),
    ]


# What each ended clock, each answered or abandoned task and each finished task counts for, now.
measure = Table(
    "measure",
    METADATA,
    Column("workspace", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    *_measured(),
    Index("measure_started", "workspace", "metric", "started_at"),
    Index("measure_due", "workspace", "metric", "due_at"),
    Index("measure_ended", "workspace", "metric", "ended_at"),
)

# What changed and is not in the roll-up yet: sign 1 is added, -1 is taken back.
contribution = Table(
    "contribution",
    METADATA,
    Column("no", BigInteger, Identity(), primary_key=True),
    Column("workspace", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("sign", SmallInteger, nullable=False),
    *_measured(),
    Index("contribution_workspace", "workspace", "metric"),
)

# Histograms by minute, hour and day (`step`, in minutes, of UTC), for each value of each dimension.
# `buckets` are upper edges, ascending; the others say how many lie in them and in all below, so that a
# count up to a threshold, or a percentile, is one search. An array of what never came is empty.
rollup = Table(
    "rollup",
    METADATA,
    Column("workspace", Text, primary_key=True),
    Column("series", Text, primary_key=True),
    Column("metric", Text, primary_key=True),
    Column("dimension", Text, primary_key=True),
    Column("step", SmallInteger, primary_key=True),
    Column("at", _instant, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("met", Integer, nullable=False),
    Column("late", Integer, nullable=False),
    Column("answered_us", BigInteger, nullable=False),
    Column("abandoned_us", BigInteger, nullable=False),
    Column("buckets", ARRAY(BigInteger), nullable=False),
    Column("answered", ARRAY(Integer), nullable=False),
    Column("abandoned", ARRAY(Integer), nullable=False),
    Column("unanswered", ARRAY(Integer), nullable=False),
    Index("rollup_step_at", "step", "at"),
)

# Thresholds off the grid of buckets; `split`: clocks counted before are sorted by it too.
edge = Table(
    "edge",
    METADATA,
    Column("workspace", Text, primary_key=True),
    Column("edge_us", BigInteger, primary_key=True),
    Column("split", Boolean, nullable=False, server_default=text("false")),
)

task = Table(
    "task",
    METADATA,
    Column("workspace", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("conversation_id", Text, nullable=False),
    Column("customer_id", Text),
    *_grouped(),
    Column("created_at", _instant, nullable=False),
    Column("assigned_at", _instant),
    Column("ended_at", _instant),
    Column("ending", Text, nullable=False),
    Column("talk_us", BigInteger, nullable=False),
    Column("hold_us", BigInteger, nullable=False),
    Column("wrap_us", BigInteger, nullable=False),
    Column("reopened", Integer, nullable=False),
    Column("replies", Integer, nullable=False),
    Column("updated_at", _instant, nullable=False),
    Index("task_ended", "workspace", "ended_at"),
    Index("task_open", "workspace", postgresql_where=text("ended_at IS NULL")),
    Index("task_contact", "workspace", "customer_id", "created_at"),
    Index("task_conversation", "workspace", "conversation_id", "created_at"),
)

feedback = Table(
    "feedback",
    METADATA,
    Column("workspace", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("conversation_id", Text, nullable=False),
    Column("task_id", Text),
    Column("survey", Text, nullable=False),
    Column("score", Float, nullable=False),
    *_grouped(),
    Column("given_at", _instant, nullable=False),
    Index("feedback_at", "workspace", "given_at"),
    Index("feedback_task", "workspace", "task_id"),
)

agent_span = Table(
    "agent_span",
    METADATA,
    Column("workspace", Text, primary_key=True),
    Column("agent_id", Text, primary_key=True),
    Column("from_at", _instant, primary_key=True),
    Column("to_at", _instant),  # null while it lasts
    Column("status", Text, nullable=False),
    Column("tasks", Integer, nullable=False),
    Column("units", Float, nullable=False),
    Column("capacity", Float, nullable=False),
    Index("agent_span_to", "workspace", "to_at"),
)
