"""Workspaces, keys, shards, shared configuration, idempotency records and stream tickets."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SCHEMA = "platform"


def upgrade() -> None:
    _access()
    _shards()
    _configuration()
    _calls()


def downgrade() -> None:
    for table in (
        "stream_ticket",
        "idempotency",
        "config",
        "replica",
        "shard",
        "api_key",
        "workspace",
    ):
        op.drop_table(table, schema=SCHEMA)


def _access() -> None:
    op.create_table(
        "workspace",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("settings", JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("revision", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        _instant("created_at", now=True),
        sa.PrimaryKeyConstraint("id", name="workspace_pkey"),
        schema=SCHEMA,
    )
    op.create_index("workspace_partition_idx", "workspace", ["partition"], schema=SCHEMA)
    op.create_table(
        "api_key",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("workspace", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("agent", sa.Text()),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        _instant("created_at", now=True),
        _instant("last_used_at"),
        _instant("expires_at"),
        _instant("revoked_at"),
        sa.PrimaryKeyConstraint("id", name="api_key_pkey"),
        sa.UniqueConstraint("hash", name="api_key_hash_key"),
        schema=SCHEMA,
    )
    op.create_index("api_key_workspace_id_idx", "api_key", ["workspace", "id"], schema=SCHEMA)


def _shards() -> None:
    op.create_table(
        "shard",
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("owner", sa.Text()),
        sa.Column("owner_url", sa.Text()),
        _instant("lease_until"),
        sa.Column("published", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("positions", JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("halted", sa.Text()),
        sa.PrimaryKeyConstraint("service", "partition", name="shard_pkey"),
        schema=SCHEMA,
        postgresql_with={"fillfactor": "50"},
    )
    op.create_table(
        "replica",
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("service", "id", name="replica_pkey"),
        schema=SCHEMA,
    )


def _configuration() -> None:
    op.create_table(
        "config",
        sa.Column("workspace", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("body", JSONB()),
        sa.Column("origin", sa.Text(), nullable=False),
        _instant("at", now=True),
        sa.PrimaryKeyConstraint("workspace", "version", name="config_pkey"),
        sa.ForeignKeyConstraint(
            ["workspace"],
            ["platform.workspace.id"],
            name="config_workspace_fkey",
            ondelete="CASCADE",
        ),
        schema=SCHEMA,
    )
    op.create_index(
        "config_workspace_kind_id_version_idx",
        "config",
        ["workspace", "kind", "id", "version"],
        schema=SCHEMA,
    )


def _calls() -> None:
    op.create_table(
        "idempotency",
        sa.Column("workspace", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("body_hash", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.Integer()),
        sa.Column("reply", sa.LargeBinary()),
        _instant("created_at", now=True),
        sa.PrimaryKeyConstraint("workspace", "scope", "key", name="idempotency_pkey"),
        schema=SCHEMA,
    )
    op.create_index("idempotency_created_at_idx", "idempotency", ["created_at"], schema=SCHEMA)
    op.create_table(
        "stream_ticket",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("workspace", sa.Text(), nullable=False),
        sa.Column("principal", JSONB(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        _instant("used_at"),
        sa.PrimaryKeyConstraint("hash", name="stream_ticket_pkey"),
        schema=SCHEMA,
    )
    op.create_index("stream_ticket_expires_at_idx", "stream_ticket", ["expires_at"], schema=SCHEMA)


def _instant(name: str, *, now: bool = False) -> sa.Column[object]:
    """A point in time: required and filled in by the server where `now`, else optional."""
    default = sa.text("now()") if now else None
    return sa.Column(name, sa.DateTime(timezone=True), server_default=default, nullable=not now)
