"""The tables of the SLA service, in PostgreSQL's schema `sla`: the runtime's, and clocks to read."""

from sqlalchemy import Column, DateTime, Float, Index, Integer, MetaData, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

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
)
