"""Versions that connectors had when they were deleted, so that one made anew has a later one."""

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

SCHEMA = "channels"


def upgrade() -> None:
    op.create_table(
        "connector_retired",
        sa.Column("workspace", sa.Text, primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
        schema=SCHEMA,
    )


def downgrade() -> None:
    op.drop_table("connector_retired", schema=SCHEMA)
