"""The outgoing side: fetches that are owed, the passes of pollers, and files that were fetched.

`fetch` is a work queue: a row is owed until it is gone. `poll` holds where each poller stands.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0010"
down_revision = "0003"
branch_labels = None
depends_on = None

SCHEMA = "channels"


def _instant(name: str, **more: Any) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), **more)


def upgrade() -> None:
    op.create_table(
        "fetch",
        sa.Column("workspace", sa.Text, primary_key=True),
        sa.Column("connector", sa.Text, primary_key=True),
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("ids", JSONB, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False, server_default=sa.text("0")),
        _instant("created_at", nullable=False, server_default=sa.text("now()")),
        _instant("next_at", nullable=False, server_default=sa.text("now()")),
        sa.Column("last_error", sa.Text),
        schema=SCHEMA,
    )
    op.create_index("fetch_due", "fetch", ["next_at"], schema=SCHEMA)
    op.create_table(
        "poll",
        sa.Column("workspace", sa.Text, primary_key=True),
        sa.Column("connector", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("cursor", sa.Text),
        _instant("cursor_at"),
        _instant("next_at", nullable=False, server_default=sa.text("now()")),
        sa.Column("every_s", sa.Integer, nullable=False, server_default=sa.text("60")),
        sa.Column("taken_by", sa.Text),
        _instant("taken_until"),
        sa.Column("failures", sa.Integer, nullable=False, server_default=sa.text("0")),
        _instant("last_success_at"),
        _instant("last_error_at"),
        sa.Column("last_error", sa.Text),
        sa.ForeignKeyConstraint(
            ["workspace", "connector"],
            ["channels.connector.workspace", "channels.connector.id"],
            ondelete="CASCADE",
        ),
        schema=SCHEMA,
    )
    op.create_index("poll_due", "poll", ["next_at"], schema=SCHEMA)
    op.create_table(
        "media",
        sa.Column("workspace", sa.Text, primary_key=True),
        sa.Column("message_id", sa.Text, primary_key=True),
        sa.Column("index", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("sha256", sa.Text),
        sa.Column("size", sa.BigInteger),
        sa.Column("content_type", sa.Text),
        sa.Column("error", sa.Text),
        _instant("at", nullable=False, server_default=sa.text("now()")),
        schema=SCHEMA,
    )


def downgrade() -> None:
    op.drop_table("media", schema=SCHEMA)
    op.drop_table("poll", schema=SCHEMA)
    op.drop_table("fetch", schema=SCHEMA)
