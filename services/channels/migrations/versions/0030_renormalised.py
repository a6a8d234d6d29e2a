"""How often an event was normalised again from its raw payload."""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0010"
branch_labels = None
depends_on = None

SCHEMA = "channels"


def upgrade() -> None:
    op.create_table(
        "renormalised",
        sa.Column("workspace", sa.Text, nullable=False),
        sa.Column("event", sa.LargeBinary, nullable=False),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("run", sa.Text, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "event", name=op.f("renormalised_pkey")),
        schema=SCHEMA,
    )
    op.create_index("renormalised_at", "renormalised", ["at"], schema=SCHEMA)


def downgrade() -> None:
    op.drop_table("renormalised", schema=SCHEMA)
