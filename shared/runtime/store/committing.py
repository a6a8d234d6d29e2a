"""A batch written in one transaction that begins with the fenced update: in one statement where its
rows allow it, else in steps.
"""

# asyncpg has no types: its connections are Any here.
# pyright: reportMissingTypeStubs=false

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.contracts.core import Row
from shared.db.engine import (
    DatabaseUnavailable,
    OutcomeUnknown,
    driver_of,
    is_transient,
    leaves_outcome_open,
    transaction,
)
from shared.db.failures import cause
from shared.db.platform_store import write_config
from shared.runtime.store import columns, statements
from shared.runtime.store.port import Batch, CommitUnknown, StaleEpoch, StoreUnavailable

Projector = Callable[[AsyncConnection, Sequence[tuple[str, Row]]], Awaitable[None]]
"""Writes the (workspace, row) that cores asked for into the service's read tables, in the batch's
transaction. May be called again with the same rows after a failure: it upserts."""

RowStatements = Callable[[Sequence[tuple[str, Row]]], list[tuple[str, Sequence[Any]]] | None]
"""The same rows as statements (with `$1`…) and their values, to be part of the batch's own statement:
each ends on `statements.FENCED`, save for what it does on conflict, and no two write the same row. None:
these rows cannot be written so, and the projector writes them."""

Send = Callable[[Any, str, Sequence[Any]], Awaitable[int | None]]
"""(asyncpg's connection, statement, values) -> the epoch that the fence found; None: another's."""


class Committer:
    """Of one service's store. `send` hands a statement to the driver."""

    def __init__(
        self,
        engine: AsyncEngine,
        service: str,
        sql: statements.Statements,
        send: Send,
        projector: Projector | None,
        row_statements: RowStatements | None,
    ) -> None:
        self._engine = engine
        self._driver = driver_of(engine)
        self.service = service
        self._sql = sql
        self._send = send
        self._projector = projector
        self._row_statements = row_statements

    async def commit(self, batch: Batch) -> None:
        """Raises StaleEpoch, CommitUnknown, StoreUnavailable, and what the driver says of a value."""
        rows = self._row_statements(batch.rows) if self._row_statements and batch.rows else None
        at_once = not (batch.config or batch.snapshots) and (rows is not None or not batch.rows)
        statement, values = self._statement(batch, rows or () if at_once else ())
        if at_once:
            await self._commit_at_once(batch, statement, values)
        else:
            await self._commit_in_steps(batch, statement, values)

    def _statement(
        self, batch: Batch, rows: Sequence[tuple[str, Sequence[Any]]]
    ) -> tuple[str, list[Any]]:
        """The fence and all that the batch holds of the runtime's own tables, the statements of
        `rows`, and the values; what is empty is left out."""
        sql = self._sql
        parts: list[tuple[str, Sequence[Any]]] = [
            (sql.insert_inputs, columns.of_inputs(batch.inputs)),
            (sql.upsert_entities, columns.of_kept(batch.entities)),
            (sql.delete_entities, columns.of_deleted(batch.entities)),
            (sql.insert_journal, columns.of_journal(batch.partition, batch.journal)),
            (sql.upsert_states, columns.of_states(batch.states)),
            (sql.upsert_replies, columns.of_structs(batch.replies)),
            (sql.insert_seen, columns.of_seen(batch)),
            *rows,
        ]
        present = [(statement, values) for statement, values in parts if values]
        together = statements.fenced(sql.fence, tuple(statement for statement, _ in present))
        values: list[Any] = [
            self.service,
            batch.partition,
            batch.epoch,
            float(batch.lease_s),
            msgspec.json.encode(batch.positions).decode(),
            batch.published,
        ]
        for _, its in present:
            values.extend(its)
        return together, values

    async def _commit_at_once(self, batch: Batch, statement: str, values: Sequence[Any]) -> None:
        """One statement is a transaction by itself: PostgreSQL is asked once."""
        sent = False
        try:
            async with self._driver.connection() as raw:
                sent = True
                epoch = await self._send(raw, statement, values)
        except Exception as error:
            if sent and leaves_outcome_open(error):
                raise CommitUnknown("the database did not confirm the commit") from error
            if is_transient(error):
                raise StoreUnavailable(f"the database is away: {cause(error)}") from error
            raise
        _heed(epoch, batch)

    async def _commit_in_steps(self, batch: Batch, statement: str, values: Sequence[Any]) -> None:
        """What other writers add comes behind the fence, in the same transaction."""
        try:
            async with transaction(self._engine) as connection:
                # Through SQLAlchemy, which begins the transaction with its own first statement.
                done = await connection.exec_driver_sql(statement, tuple(values))
                _heed(done.scalar(), batch)
                raw = await driver_connection(connection)
                for name, number, now_us in batch.snapshots:
                    await raw.execute(self._sql.insert_snapshot, name, number, now_us)
                    await raw.execute(self._sql.insert_snapshot_entities, name, number)
                for name, writes in sorted(batch.config, key=lambda each: each[0]):
                    await write_config(connection, name, self.service, writes)
                if batch.rows:
                    await self._project(connection, batch.rows)
        except OutcomeUnknown as error:
            raise CommitUnknown(str(error)) from error
        except DatabaseUnavailable as error:
            raise StoreUnavailable(str(error)) from error

    async def _project(self, connection: AsyncConnection, rows: Sequence[tuple[str, Row]]) -> None:
        if self._projector is None:
            raise AssertionError(f"{self.service} wrote rows and has no projector")
        await self._projector(connection, rows)


def _heed(epoch: int | None, batch: Batch) -> None:
    if epoch is None:
        raise StaleEpoch(f"shard {batch.partition} has another owner")


async def driver_connection(connection: AsyncConnection) -> Any:
    """asyncpg's own connection of one of SQLAlchemy's."""
    return (await connection.get_raw_connection()).driver_connection
