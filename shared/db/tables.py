"""Tables of the schema `platform`: what all services share."""

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

SCHEMA = "platform"

# Names of constraints are part of the schema: migrations refer to them.
NAMING = {
    "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "ck": "%(table_name)s_%(constraint_name)s_check",
    "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
    "pk": "%(table_name)s_pkey",
}

METADATA = MetaData(schema=SCHEMA, naming_convention=NAMING)

_NOW = text("now()")
_EMPTY = text("'{}'::jsonb")
_INSTANT = DateTime(timezone=True)

# `version` counts the workspace's configuration; `revision` is the version of its own settings.
workspace = Table(
    "workspace",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("partition", Integer, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("settings", JSONB, nullable=False, server_default=_EMPTY),
    Column("version", BigInteger, nullable=False, server_default=text("0")),
    Column("revision", BigInteger, nullable=False, server_default=text("0")),
    Column("created_at", _INSTANT, nullable=False, server_default=_NOW),
    Index(None, "partition"),
)

# workspace '*': a key for all workspaces, which may also create them.
api_key = Table(
    "api_key",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("workspace", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("agent", Text),
    Column("hash", LargeBinary, nullable=False, unique=True),
    Column("created_at", _INSTANT, nullable=False, server_default=_NOW),
    Column("last_used_at", _INSTANT),
    Column("expires_at", _INSTANT),
    Column("revoked_at", _INSTANT),
    Index(None, "workspace", "id"),
)

# A lease on a shard. `epoch` fences: only who holds the current one may commit. `published` is the
# outbox's cursor, `positions` the next offset by topic, `halted` why the shard stands still.
shard = Table(
    "shard",
    METADATA,
    Column("service", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("epoch", BigInteger, nullable=False, server_default=text("0")),
    Column("owner", Text),
    Column("owner_url", Text),
    Column("lease_until", _INSTANT),
    Column("published", BigInteger, nullable=False, server_default=text("0")),
    Column("positions", JSONB, nullable=False, server_default=_EMPTY),
    Column("halted", Text),
    PrimaryKeyConstraint("service", "partition"),
    # Every batch updates its shard's row: room on the page keeps those updates in place.
    postgresql_with={"fillfactor": "50"},
)

replica = Table(
    "replica",
    METADATA,
    Column("service", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("seen_at", _INSTANT, nullable=False),
    PrimaryKeyConstraint("service", "id"),
)

# Every version of every resource that more than one service reads; body null: deleted.
config = Table(
    "config",
    METADATA,
    Column("workspace", Text, ForeignKey(workspace.c.id, ondelete="CASCADE"), nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("body", JSONB(none_as_null=True)),
    Column("origin", Text, nullable=False),
    Column("at", _INSTANT, nullable=False, server_default=_NOW),
    PrimaryKeyConstraint("workspace", "version"),
    Index(None, "workspace", "kind", "id", "version"),
)

# `scope` is principal and route, `key` the Idempotency-Key; status and reply are null while the
# call is in flight.
idempotency = Table(
    "idempotency",
    METADATA,
    Column("workspace", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("body_hash", LargeBinary, nullable=False),
    Column("status", Integer),
    Column("reply", LargeBinary),
    Column("created_at", _INSTANT, nullable=False, server_default=_NOW),
    PrimaryKeyConstraint("workspace", "scope", "key"),
    Index(None, "created_at"),
)

stream_ticket = Table(
    "stream_ticket",
    METADATA,
    Column("hash", LargeBinary, primary_key=True),
    Column("workspace", Text, nullable=False),
    Column("principal", JSONB, nullable=False),
    Column("expires_at", _INSTANT, nullable=False),
    Column("used_at", _INSTANT),
    Index(None, "expires_at"),
)
