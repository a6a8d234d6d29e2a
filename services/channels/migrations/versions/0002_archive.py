"""Conversations, messages, dead letters, connectors, threads and the spool."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SCHEMA = "channels"
TABLES = (
    "conversation",
    "conversation_agent",
    "message",
    "message_delivery",
    "dead_letter",
    "connector",
    "thread",
    "spool_gate",
    "spool",
)


def upgrade() -> None:
    _conversations()
    _messages()
    _dead_letters()
    _connectors()
    _spool()


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table, schema=SCHEMA)


def _instant(name: str, *, nullable: bool = True) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _texts(*names: str, nullable: bool = True) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.Text, nullable=nullable) for name in names]


def _keys(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.Text, primary_key=True) for name in names]


def _conversations() -> None:
    op.create_table(
        "conversation",
        *_keys("workspace", "conversation_id"),
        *_texts("connector", "channel", nullable=False),
        *_texts("conversation_key", "subject", "language", "customer_name"),
        sa.Column("identities", JSONB, nullable=False, server_default=sa.text("'[]'")),
        _instant("started_at", nullable=False),
        _instant("last_at", nullable=False),
        *_texts("last_text"),
        _instant("ended_at"),
        *_texts("ended_reason"),
        sa.PrimaryKeyConstraint("workspace", "conversation_id", name="conversation_pkey"),
        schema=SCHEMA,
    )
    op.create_index(
        "conversation_recent",
        "conversation",
        ["workspace", "last_at", "conversation_id"],
        schema=SCHEMA,
    )
    op.create_table(
        "conversation_agent",
        *_keys("workspace", "conversation_id", "agent_id"),
        _instant("since", nullable=False),
        sa.PrimaryKeyConstraint(
            "workspace", "conversation_id", "agent_id", name="conversation_agent_pkey"
        ),
        schema=SCHEMA,
    )


def _messages() -> None:
    op.create_table(
        "message",
        *_keys("workspace", "message_id"),
        *_texts("conversation_id", nullable=False),
        _instant("time"),
        _instant("received_at"),
        *_texts("type", "direction"),
        sa.Column("author", JSONB),
        *_texts("text", "html", "reply_text", "subject"),
        sa.Column("attachments", JSONB),
        sa.Column("flags", JSONB),
        *_texts("language", "in_reply_to"),
        sa.Column("segment", JSONB),
        *_texts("agent_id", "task_id"),
        sa.Column("attributes", JSONB),
        sa.Column("revision", sa.Integer),
        _instant("edited_at"),
        *_texts("edit_text", "edit_html"),
        sa.Column("deleted", sa.Boolean, nullable=False, server_default=sa.text("false")),
        sa.PrimaryKeyConstraint("workspace", "message_id", name="message_pkey"),
        schema=SCHEMA,
    )
    op.create_index(
        "message_in_conversation",
        "message",
        ["workspace", "conversation_id", "time", "message_id"],
        schema=SCHEMA,
    )
    op.create_table(
        "message_delivery",
        *_keys("workspace", "conversation_id", "vendor_message_id", "status"),
        _instant("at", nullable=False),
        *_texts("error"),
        sa.PrimaryKeyConstraint(
            "workspace",
            "conversation_id",
            "vendor_message_id",
            "status",
            name="message_delivery_pkey",
        ),
        schema=SCHEMA,
    )


def _dead_letters() -> None:
    op.create_table(
        "dead_letter",
        *_keys("workspace", "id"),
        *_texts("failed_in", "reason", "detail", nullable=False),
        _instant("at", nullable=False),
        *_texts("topic", "connector", "event_id"),
        sa.Column("body", sa.LargeBinary, nullable=False),
        _instant("replayed_at"),
        sa.PrimaryKeyConstraint("workspace", "id", name="dead_letter_pkey"),
        schema=SCHEMA,
    )
    op.create_index("dead_letter_recent", "dead_letter", ["workspace", "at", "id"], schema=SCHEMA)


def _connectors() -> None:
    op.create_table(
        "connector",
        *_keys("workspace", "id"),
        *_texts("kind", nullable=False),
        sa.Column("enabled", sa.Boolean, nullable=False, server_default=sa.text("true")),
        sa.Column("settings", JSONB, nullable=False),
        sa.Column("secrets", sa.LargeBinary, nullable=False),
        *_texts("inbound_token", nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        _instant("updated_at", nullable=False),
        sa.PrimaryKeyConstraint("workspace", "id", name="connector_pkey"),
        sa.UniqueConstraint("inbound_token", name="connector_inbound_token_key"),
        schema=SCHEMA,
    )
    op.create_table(
        "thread",
        *_keys("workspace"),
        sa.Column("sign", sa.LargeBinary, primary_key=True),
        *_texts("conversation_id", nullable=False),
        _instant("at", nullable=False),
        sa.PrimaryKeyConstraint("workspace", "sign", name="thread_pkey"),
        schema=SCHEMA,
    )


def _spool() -> None:
    op.create_table(
        "spool_gate",
        sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("spooling", sa.Boolean, nullable=False, server_default=sa.text("false")),
        sa.PrimaryKeyConstraint("partition", name="spool_gate_pkey"),
        schema=SCHEMA,
    )
    op.create_table(
        "spool",
        sa.Column("no", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("partition", sa.Integer, nullable=False),
        *_texts("topic", nullable=False),
        sa.Column("key", sa.LargeBinary),
        sa.Column("value", sa.LargeBinary),
        sa.Column("headers", JSONB, nullable=False),
        _instant("at", nullable=False),
        sa.PrimaryKeyConstraint("no", name="spool_pkey"),
        schema=SCHEMA,
    )
    op.execute("ALTER TABLE channels.spool ALTER COLUMN at SET DEFAULT now()")
    op.create_index("spool_in_order", "spool", ["partition", "no"], schema=SCHEMA)
