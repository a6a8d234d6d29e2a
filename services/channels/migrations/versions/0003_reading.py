"""What readers of conversations and the spool's drainers need besides.

Messages keep the vendor's id, so that a delivery status finds its message; conversations keep the
customer's feedback, their last text is read from the messages (a deleted one must not
stay there); the right to drain a spool is a lease, which a frozen process loses.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SCHEMA = "channels"


def upgrade() -> None:
    op.add_column("message", sa.Column("vendor_id", sa.Text), schema=SCHEMA)
    op.drop_column("conversation", "last_text", schema=SCHEMA)
    op.add_column("conversation", sa.Column("feedback", JSONB), schema=SCHEMA)
    op.add_column("spool_gate", sa.Column("drainer", sa.Text), schema=SCHEMA)
    op.add_column(
        "spool_gate", sa.Column("drains_until", sa.DateTime(timezone=True)), schema=SCHEMA
    )


def downgrade() -> None:
    op.drop_column("spool_gate", "drains_until", schema=SCHEMA)
    op.drop_column("spool_gate", "drainer", schema=SCHEMA)
    op.drop_column("conversation", "feedback", schema=SCHEMA)
    op.add_column("conversation", sa.Column("last_text", sa.Text), schema=SCHEMA)
    op.drop_column("message", "vendor_id", schema=SCHEMA)
