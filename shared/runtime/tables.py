"""The runtime's tables, the same in each service's schema; and how a migration makes them."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
)
from sqlalchemy.schema import SchemaItem

# Bytes compare faster than words of a language, and sort as Python does.
_NAME = Text(collation="C")
# Rows that are updated again and again: room on the page keeps the update in place.
_ROOMY = {"postgresql_with": {"fillfactor": "80"}}


# table, index, columns, unique
_INDEXES = (
    ("journal", "journal_workspace_seq_key", ("workspace", "seq"), True),
    ("reply", "reply_at_us_idx", ("at_us",), False),
)


def runtime_tables(metadata: MetaData) -> None:
    """Define the tables in the metadata of a service (which names its schema)."""
    for name, (items, options) in _definitions().items():
        Table(name, metadata, *items, **options)
    for table, name, columns, unique in _INDEXES:
        its = metadata.tables[f"{metadata.schema}.{table}"].c
        Index(name, *(its[column] for column in columns), unique=unique)


def create_runtime_tables(op: Any, schema: str) -> None:
    """For the first migration of a service: make the tables. `op` is alembic's."""
    for name, (items, options) in _definitions().items():
        op.create_table(name, *items, schema=schema, **options)
    for table, name, columns, unique in _INDEXES:
        op.create_index(name, table, list(columns), schema=schema, unique=unique)


def drop_runtime_tables(op: Any, schema: str) -> None:
    """Undo `create_runtime_tables`."""
    for name in reversed(list(_definitions())):
        op.drop_table(name, schema=schema)


def _definitions() -> dict[str, tuple[list[SchemaItem], dict[str, Any]]]:
    return {
        "state": ([_key("workspace"), _blob("body"), _primary("state", "workspace")], _ROOMY),
        "entity": (
            [
                _key("workspace"),
                _key("kind"),
                _key("key"),
                _blob("body"),
                Column("open", Boolean, nullable=False),
                _primary("entity", "workspace", "kind", "key"),
            ],
            _ROOMY,
        ),
        "input": (_input(), {}),
        "journal": (_journal(), {}),
        "seen": (
            [
                Column("day", Date, nullable=False),
                _blob("id"),
                _primary("seen", "id", "day"),
            ],
            {"postgresql_partition_by": "RANGE (day)"},
        ),
        "reply": (_reply(), {}),
        "snapshot": (
            [
                _key("workspace"),
                _count("number"),
                _count("now_us"),
                _primary("snapshot", "workspace", "number"),
            ],
            {},
        ),
        "snapshot_entity": (
            [
                _key("workspace"),
                _count("number"),
                _key("kind"),
                _key("key"),
                _blob("body"),
                _primary("snapshot_entity", "workspace", "number", "kind", "key"),
            ],
            {},
        ),
    }


def _input() -> list[SchemaItem]:
    return [
        _key("workspace"),
        _count("first_no"),
        Column("count", Integer, nullable=False),
        _count("now_us"),
        Column("core_version", Text, nullable=False),
        Column("tz_version", Text, nullable=False),
        Column("holidays_version", Text, nullable=False),
        _blob("body"),
        _primary("input", "workspace", "first_no"),
    ]


def _journal() -> list[SchemaItem]:
    return [
        Column("partition", SmallInteger, nullable=False),
        _count("position"),
        _key("workspace"),
        # Null: a dead letter, which is no event of the workspace.
        Column("seq", BigInteger),
        _count("previous"),
        Column("type", Text, nullable=False),
        Column("topic", Text, nullable=False),
        Column("key", Text, nullable=False),
        _blob("data"),
        _count("at_us"),
        _primary("journal", "partition", "position"),
    ]


def _reply() -> list[SchemaItem]:
    return [
        _key("workspace"),
        _key("scope"),
        _key("key"),
        _blob("fingerprint"),
        _blob("body"),
        _count("at_us"),
        _primary("reply", "workspace", "scope", "key"),
    ]


def _key(name: str) -> Column[str]:
    return Column(name, _NAME, nullable=False)


def _blob(name: str) -> Column[bytes]:
    return Column(name, LargeBinary, nullable=False)


def _count(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False)


def _primary(table: str, *columns: str) -> PrimaryKeyConstraint:
    return PrimaryKeyConstraint(*columns, name=f"{table}_pkey")
