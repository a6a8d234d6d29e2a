"""Clocks to read: for lists, breaches and figures."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SCHEMA = "sla"
INDEXES = {
    "clock_started": ["workspace", "metric", "started_at"],
    "clock_breached": ["workspace", "breached_at", "id"],
    "clock_conversation": ["workspace", "conversation_id"],
    "clock_state_due": ["workspace", "state", "due_at", "id"],
}


def upgrade() -> None:
    op.create_table(
        "clock",
        *_texts("workspace", "id", "conversation_id", nullable=False),
        *_texts("task_id"),
        *_texts("metric", nullable=False),
        sa.Column("cycle", sa.Integer, nullable=False),
        *_texts("state", "channel", nullable=False),
        *_texts("queue", "agent_id"),
        sa.Column("priority", sa.Float, nullable=False),
        *_texts("policy_id", nullable=False),
        sa.Column("policy_version", sa.Integer, nullable=False),
        *_texts("calendar", nullable=False),
        sa.Column("target_s", sa.Float, nullable=False),
        *_instants("started_at", nullable=False),
        *_instants("due_at", "satisfied_at", "breached_at", "ended_at"),
        sa.Column("elapsed_s", sa.Float, nullable=False),
        sa.Column("warnings", JSONB, nullable=False),
        *_instants("updated_at", nullable=False),
        sa.PrimaryKeyConstraint("workspace", "id", name="clock_pkey"),
        schema=SCHEMA,
    )
    for name, columns in INDEXES.items():
        op.create_index(name, "clock", columns, schema=SCHEMA)


def downgrade() -> None:
    op.drop_table("clock", schema=SCHEMA)


def _texts(*names: str, nullable: bool = True) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.Text, nullable=nullable) for name in names]


def _instants(*names: str, nullable: bool = True) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.DateTime(timezone=True), nullable=nullable) for name in names]
