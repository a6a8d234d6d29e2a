"""The shard runtime's tables: state, entities, inputs, journal, what was seen, replies, snapshots."""

from alembic import op

from shared.runtime.tables import create_runtime_tables, drop_runtime_tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SCHEMA = "sla"


def upgrade() -> None:
    create_runtime_tables(op, SCHEMA)


def downgrade() -> None:
    drop_runtime_tables(op, SCHEMA)
