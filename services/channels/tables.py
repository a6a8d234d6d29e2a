"""The tables of the channels service, in PostgreSQL's schema `channels`."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from shared.db.tables import NAMING
from shared.runtime.tables import runtime_tables

SCHEMA = "channels"
METADATA = MetaData(schema=SCHEMA, naming_convention=NAMING)

runtime_tables(METADATA)

_instant = DateTime(timezone=True)

conversation = Table(
    "conversation",
    METADATA,
    Column("workspace", Text, primary_key=True),
    Column("conversation_id", Text, primary_key=True),
    Column("connector", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("conversation_key", Text),
    Column("subject", Text),
    Column("language", Text),
    Column("customer_name", Text),
    Column("identities", JSONB, nullable=False, server_default=text("'[]'")),
    Column("started_at", _instant, nullable=False),
    Column("last_at", _instant, nullable=False),
    Column("ended_at", _instant),
    Column("ended_reason", Text),
    Column("feedback", JSONB),
    Index("conversation_recent", "workspace", "last_at", "conversation_id"),
)

# The agents to whom the router offered or gave a conversation: they may read it.
conversation_agent = Table(
    "conversation_agent",
    METADATA,
    Column("workspace", Text, primary_key=True),
    Column("conversation_id", Text, primary_key=True),
    Column("agent_id", Text, primary_key=True),
    Column("since", _instant, nullable=False),
)

# What was said (null until the message itself has come), and beside it what edits say of it. `no`
# counts up in the order of arrival, for readers who want what is new.
message = Table(
    "message",
    METADATA,
    Column("workspace", Text, primary_key=True),
    Column("message_id", Text, primary_key=True),
    Column("conversation_id", Text, nullable=False),
    Column("time", _instant),
    Column("received_at", _instant),
    Column("type", Text),
    Column("direction", Text),
    Column("author", JSONB),
    Column("text", Text),
    Column("html", Text),
    Column("reply_text", Text),
    Column("subject", Text),
    Column("attachments", JSONB),
    Column("flags", JSONB),
    Column("language", Text),
    Column("in_reply_to", Text),
    Column("segment", JSONB),
    Column("agent_id", Text),
    Column("task_id", Text),
    Column("attributes", JSONB),
    Column("revision", Integer),
    Column("vendor_id", Text),
    Column("no", BigInteger),
    Column("edited_at", _instant),
    Column("edit_text", Text),
    Column("edit_html", Text),
    Column("deleted", Boolean, nullable=False, server_default=text("false")),
    Index("message_in_conversation", "workspace", "conversation_id", "time", "message_id"),
    Index("message_in_order", "workspace", "conversation_id", "no"),
)

message_delivery = Table(
    "message_delivery",
    METADATA,
    Column("workspace", Text, primary_key=True),
    Column("conversation_id", Text, primary_key=True),
    Column("vendor_message_id", Text, primary_key=True),
    Column("status", Text, primary_key=True),
    Column("at", _instant, nullable=False),
    Column("error", Text),
)

dead_letter = Table(
    "dead_letter",
    METADATA,
    Column("workspace", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("failed_in", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("at", _instant, nullable=False),
    Column("topic", Text),
    Column("connector", Text),
    Column("event_id", Text),
    Column("body", LargeBinary, nullable=False),
    Column("replayed_at", _instant),
    Index("dead_letter_recent", "workspace", "at", "id"),
)

connector = Table(
    "connector",
    METADATA,
    Column("workspace", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("enabled", Boolean, nullable=False, server_default=text("true")),
    Column("settings", JSONB, nullable=False),
    Column("secrets", LargeBinary, nullable=False),
    Column("inbound_token", Text, nullable=False, unique=True),
    Column("version", BigInteger, nullable=False),
    Column("updated_at", _instant, nullable=False),
)

# The highest version that a deleted connector of the workspace had: what is made anew has a later one.
connector_retired = Table(
    "connector_retired",
    METADATA,
    Column("workspace", Text, primary_key=True),
    Column("version", BigInteger, nullable=False),
)

# Which conversation an e-mail's Message-ID (or another sign of its thread) belongs to.
thread = Table(
    "thread",
    METADATA,
    Column("workspace", Text, primary_key=True),
    Column("sign", LargeBinary, primary_key=True),
    Column("conversation_id", Text, nullable=False),
    Column("at", _instant, nullable=False),
)

# How often an event was normalised again, so that each new revision has an id of its own. `run` is
# the one that raised it last: what comes twice in one run is one revision.
renormalised = Table(
    "renormalised",
    METADATA,
    Column("workspace", Text, primary_key=True),
    Column("event", LargeBinary, primary_key=True),
    Column("count", Integer, nullable=False),
    Column("run", Text, nullable=False),
    Column("at", _instant, nullable=False),
    Index("renormalised_at", "at"),
)

# While Kafka is away, accepted records wait here, in order. `spooling` says for each partition that
# all replicas must append to the spool rather than send, `drainer` (until `drains_until`) who
# empties it.
spool_gate = Table(
    "spool_gate",
    METADATA,
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("spooling", Boolean, nullable=False, server_default=text("false")),
    Column("drainer", Text),
    Column("drains_until", _instant),
)

spool = Table(
    "spool",
    METADATA,
    Column("no", BigInteger, Identity(always=True), primary_key=True),
    Column("partition", Integer, nullable=False),
    Column("topic", Text, nullable=False),
    Column("key", LargeBinary),
    Column("value", LargeBinary),
    Column("headers", JSONB, nullable=False),
    Column("at", _instant, nullable=False, server_default=text("now()")),
    Index("spool_in_order", "partition", "no"),
)

# What vendors only announced: owed until the row is gone. Taking one moves `next_at` ahead, so that
# whoever dies over it leaves it to another. No foreign key: a webhook must not wait for one.
fetch = Table(
    "fetch",
    METADATA,
    Column("workspace", Text, primary_key=True),
    Column("connector", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("purpose", Text, nullable=False),
    Column("ids", JSONB, nullable=False),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("created_at", _instant, nullable=False, server_default=text("now()")),
    Column("next_at", _instant, nullable=False, server_default=text("now()")),
    Column("last_error", Text),
    Index("fetch_due", "next_at"),
)

# Where each poller stands. The cursor moves only after what it passed was acknowledged, and only
# by the replica that holds the lease (`taken_by` until `taken_until`).
poll = Table(
    "poll",
    METADATA,
    Column("workspace", Text, primary_key=True),
    Column("connector", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("cursor", Text),
    Column("cursor_at", _instant),
    Column("next_at", _instant, nullable=False, server_default=text("now()")),
    Column("every_s", Integer, nullable=False, server_default=text("60")),
    Column("taken_by", Text),
    Column("taken_until", _instant),
    Column("failures", Integer, nullable=False, server_default=text("0")),
    Column("last_success_at", _instant),
    Column("last_error_at", _instant),
    Column("last_error", Text),
    ForeignKeyConstraint(
        ["workspace", "connector"],
        ["channels.connector.workspace", "channels.connector.id"],
        ondelete="CASCADE",
    ),
    Index("poll_due", "next_at"),
)

# Files that a message only referred to, once they are in the blob store (or why they are not).
media = Table(
    "media",
    METADATA,
    Column("workspace", Text, primary_key=True),
    Column("message_id", Text, primary_key=True),
    Column("index", Integer, primary_key=True, autoincrement=False),
    Column("sha256", Text),
    Column("size", BigInteger),
    Column("content_type", Text),
    Column("error", Text),
    Column("at", _instant, nullable=False, server_default=text("now()")),
)
