"""Messages in their order of arrival, so that a reader misses none that came late."""

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

SCHEMA = "channels"


def upgrade() -> None:
    op.execute(f"CREATE SEQUENCE {SCHEMA}.message_no")
    op.add_column("message", sa.Column("no", sa.BigInteger), schema=SCHEMA)
    op.create_index(
        "message_in_order", "message", ["workspace", "conversation_id", "no"], schema=SCHEMA
    )


def downgrade() -> None:
    op.drop_index("message_in_order", "message", schema=SCHEMA)
    op.drop_column("message", "no", schema=SCHEMA)
    op.execute(f"DROP SEQUENCE {SCHEMA}.message_no")
