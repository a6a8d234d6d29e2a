"""What the core's rows become in PostgreSQL, in the transaction of the inputs that made them.

Each statement takes one value, `$1`: the rows as JSON. None sees what another of the same batch writes.
"""

from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import Any

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from services.sla.domain import agents, feedback, measures, promises, rows, task_rows
from services.sla.domain.columns import Columns
from shared.contracts.core import Row
from shared.runtime.store.statements import FENCED

_FENCE = "/* fence */"  # where a statement of the batch hangs on the batch's fence
_SQL_TYPES = {
    "text": "text",
    "texts": "text[]",
    "integer": "integer",
    "bigint": "bigint",
    "double": "double precision",
    "instant": "bigint",
    "json": "jsonb",
}


def column(name: str, kind: str) -> str:
    """The table's name of a row's field: instants are `…_us` there and `…_at` here."""
    return f"{name.removesuffix('_us')}_at" if kind == "instant" else name


def _value(name: str, kind: str) -> str:
    if kind == "instant":
        return f"'epoch'::timestamptz + {name} * interval '1 microsecond'"
    return name


def _given(columns: Columns) -> str:
    types = ", ".join(f"{name} {_SQL_TYPES[kind]}" for name, kind, _ in columns)
    return f"jsonb_to_recordset($1::text::jsonb) AS given ({types})"


def _upsert(table: str, columns: Columns, key: Sequence[str], where: str = "true") -> str:
    names = [column(name, kind) for name, kind, _ in columns]
    values = [_value(name, kind) for name, kind, _ in columns]
    changes = ", ".join(f"{name} = excluded.{name}" for name in names if name not in key)
    return (
        f"INSERT INTO sla.{table} ({', '.join(names)}) SELECT {', '.join(values)}"
        f" FROM {_given(columns)} WHERE {where} {_FENCE} ON CONFLICT ({', '.join(key)})"
        f" DO {f'UPDATE SET {changes}' if changes else 'NOTHING'}"
    )


def _contributions() -> str:
    """What measures contributed before is taken back, what they contribute now is added.

    «Before» is the statement's snapshot. Rows are not locked: PostgreSQL would pass over those that
    the same statement writes. Who else changes measures (`rollup`) locks the table instead.
    """
    names = ", ".join(column(name, kind) for name, kind, _ in measures.COLUMNS)
    values = ", ".join(
        f"{_value(name, kind)} AS {column(name, kind)}" for name, kind, _ in measures.COLUMNS
    )
    old, new = (
        "(" + ", ".join(f"{side}.{column(n, k)}" for n, k, _ in measures.COLUMNS) + ")"
        for side in ("old", "new")
    )
    return f"""
INSERT INTO sla.contribution (sign, {names})
WITH new AS (SELECT {values} FROM {_given(measures.COLUMNS)} WHERE true {_FENCE}),
old AS (SELECT held.* FROM new JOIN LATERAL ({_held("*", "new")}) AS held USING (workspace, id)),
changed AS (
  SELECT new.workspace, new.id FROM new LEFT JOIN old USING (workspace, id)
  WHERE {old} IS DISTINCT FROM {new} AND (old.id IS NOT NULL OR new.outcome IS NOT NULL)
)
SELECT -1, {names} FROM old JOIN changed USING (workspace, id)
UNION ALL
SELECT 1, {names} FROM new JOIN changed USING (workspace, id) WHERE outcome IS NOT NULL
"""


def _withdrawn() -> str:
    return (
        f"DELETE FROM sla.measure WHERE ctid = ANY(ARRAY(SELECT held.ctid"
        f" FROM {_given(measures.COLUMNS)} JOIN LATERAL ({_held('ctid, m.id', 'given')}) AS held USING (id)"
        f" WHERE given.outcome IS NULL {_FENCE}))"
    )


def _held(what: str, by: str) -> str:
    """The measure of a given row, or one of another id. To ask for the next id from there on makes
    PostgreSQL go by the key: asked for the id itself, it reads all measures of the workspace for
    each row while it has no figures of the table."""
    return (
        f"SELECT m.{what} FROM sla.measure m"
        f" WHERE m.workspace = {by}.workspace AND m.id >= {by}.id ORDER BY m.id LIMIT 1"
    )


# table -> (statements, names of the key).
_WRITES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    rows.TABLE: ((_upsert("clock", rows.COLUMNS, ("workspace", "id")),), ("id",)),
    task_rows.TABLE: ((_upsert("task", task_rows.COLUMNS, ("workspace", "id")),), ("id",)),
    feedback.TABLE: ((_upsert("feedback", feedback.COLUMNS, ("workspace", "id")),), ("id",)),
    agents.TABLE: (
        (_upsert("agent_span", agents.COLUMNS, ("workspace", "agent_id", "from_at")),),
        ("agent_id", "from_us"),
    ),
    promises.TABLE: (
        (_upsert("edge", promises.COLUMNS, ("workspace", "edge_us")),),
        ("edge_us",),
    ),
    measures.TABLE: (
        (
            _contributions(),
            _withdrawn(),
            _upsert("measure", measures.COLUMNS, ("workspace", "id"), "outcome IS NOT NULL"),
        ),
        ("id",),
    ),
}
_place = {table: itemgetter(*key) for table, (_, key) in _WRITES.items()}
_FENCED = {
    table: tuple(one.replace(_FENCE, FENCED.replace("WHERE", "AND", 1)) for one in statements)
    for table, (statements, _) in _WRITES.items()
}


async def write_rows(connection: AsyncConnection, given: Sequence[tuple[str, Row]]) -> None:
    """Writes `Outcome.rows` of SLA cores; of several rows for one thing the last one counts."""
    # Before the first look at measures, as the batch's one statement does it by itself.
    await connection.exec_driver_sql("LOCK TABLE sla.measure IN ROW EXCLUSIVE MODE")
    for table, content in _contents(given):
        for statement in _WRITES[table][0]:
            await connection.exec_driver_sql(statement, (content,))


def row_statements(given: Sequence[tuple[str, Row]]) -> list[tuple[str, Sequence[Any]]]:
    """The same as parts of the batch's one statement."""
    return [
        (statement, (content,))
        for table, content in _contents(given)
        for statement in _FENCED[table]
    ]


def _contents(given: Sequence[tuple[str, Row]]) -> Iterator[tuple[str, str]]:
    """Tables with their rows as JSON, in the order of their keys."""
    latest: dict[str, dict[tuple[Any, ...], dict[str, Any]]] = {}
    for workspace, row in given:
        table, values = row.table, row.values
        latest.setdefault(table, {})[workspace, _place[table](values)] = values
    for table in _WRITES:
        if table in latest:
            its = latest[table]
            yield table, msgspec.json.encode([its[place] for place in sorted(its)]).decode()
