"""The spool in PostgreSQL: accepted records that wait, in order, while the bus is away.

The gate row of a partition says whether it is spooling. Appending holds the row's share lock and
closing takes it alone, so that no record is appended to a spool that has just been declared empty.
"""

import base64
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.channels import tables
from shared.bus.port import Outgoing
from shared.db.engine import transaction

NOTIFY_CHANNEL = "omniroute_spool"
_LOCK_CLASS = 0x5B001


class SpoolFull(Exception):
    """The spool holds as much as it may."""


class SpoolStore:
    """Raises DatabaseUnavailable from every call when PostgreSQL is away."""

    def __init__(self, engine: AsyncEngine, limit: int) -> None:
        self._engine = engine
        self._limit = limit

    async def spooling(self) -> set[int]:
        """The partitions whose records must go to the spool."""
        gate = tables.spool_gate
        async with self._engine.connect() as connection:
            rows = await connection.execute(select(gate.c.partition).where(gate.c.spooling))
            return {row.partition for row in rows}

    async def append(self, records: Sequence[Outgoing], *, begin: bool) -> bool:
        """Store the records in order, all or none.

        `begin` opens the gates first (the bus was found to be away). Otherwise, when a gate has
        been closed meanwhile, nothing is stored and False is returned: send to the bus. Raises
        SpoolFull.
        """
        partitions = sorted({record.partition for record in records})
        async with transaction(self._engine) as connection:
            if begin:
                await self._open(connection, partitions)
            elif not await self._all_open(connection, partitions):
                return False
            await self._check_room(connection, len(records))
            await connection.execute(insert(tables.spool), [_row(record) for record in records])
            await connection.execute(
                text("SELECT pg_notify(:channel, '')"), {"channel": NOTIFY_CHANNEL}
            )
        return True

    async def _open(self, connection: AsyncConnection, partitions: list[int]) -> None:
        gate = tables.spool_gate
        statement = upsert(gate).values(
            [{"partition": one, "spooling": True} for one in partitions]
        )
        await connection.execute(
            statement.on_conflict_do_update(index_elements=["partition"], set_={"spooling": True})
        )

    async def _all_open(self, connection: AsyncConnection, partitions: list[int]) -> bool:
        gate = tables.spool_gate
        rows = await connection.execute(
            select(gate.c.partition)
            .where(gate.c.partition.in_(partitions), gate.c.spooling)
            .with_for_update(read=True)
        )
        return len(rows.all()) == len(partitions)

    async def _check_room(self, connection: AsyncConnection, more: int) -> None:
        held = (
            await connection.execute(select(func.count()).select_from(tables.spool))
        ).scalar_one()
        if held + more > self._limit:
            raise SpoolFull(f"the spool holds {held} of at most {self._limit} records")

    async def depth(self) -> int:
        async with self._engine.connect() as connection:
            query = select(func.count()).select_from(tables.spool)
            return (await connection.execute(query)).scalar_one()

    async def oldest(self, partition: int, limit: int) -> tuple[int, list[Outgoing]]:
        """(number of the last of them, the oldest records of a partition in order)."""
        table = tables.spool
        query = (
            select(table).where(table.c.partition == partition).order_by(table.c.no).limit(limit)
        )
        async with self._engine.connect() as connection:
            rows = (await connection.execute(query)).all()
        records = [
            Outgoing(row.topic, row.partition, row.key, row.value, _headers(row.headers))
            for row in rows
        ]
        return (rows[-1].no if rows else 0), records

    async def drop(self, partition: int, up_to: int) -> None:
        """Forget what the bus has acknowledged."""
        table = tables.spool
        async with transaction(self._engine) as connection:
            await connection.execute(
                delete(table).where(table.c.partition == partition, table.c.no <= up_to)
            )

    async def close(self, partition: int) -> bool:
        """Declare the partition's spool empty, if it is; then records go to the bus again."""
        gate, table = tables.spool_gate, tables.spool
        async with transaction(self._engine) as connection:
            await connection.execute(
                select(gate.c.partition).where(gate.c.partition == partition).with_for_update()
            )
            left = select(table.c.no).where(table.c.partition == partition).limit(1)
            if (await connection.execute(left)).first() is not None:
                return False
            await connection.execute(
                update(gate).where(gate.c.partition == partition).values(spooling=False)
            )
            await connection.execute(
                text("SELECT pg_notify(:channel, '')"), {"channel": NOTIFY_CHANNEL}
            )
        return True

    @asynccontextmanager
    async def drainer(self, partition: int) -> AsyncGenerator[bool]:
        """Whether the caller is, within the block, the one that drains the partition."""
        query = text("SELECT pg_try_advisory_lock(:lock_class, :partition)")
        free = text("SELECT pg_advisory_unlock(:lock_class, :partition)")
        names = {"lock_class": _LOCK_CLASS, "partition": partition}
        async with self._engine.connect() as connection:
            mine = bool((await connection.execute(query, names)).scalar_one())
            await connection.commit()
            try:
                yield mine
            finally:
                if mine:
                    await connection.execute(free, names)
                    await connection.commit()


def _row(record: Outgoing) -> dict[str, object]:
    return {
        "partition": record.partition,
        "topic": record.topic,
        "key": record.key,
        "value": record.value,
        "headers": [[name, base64.b64encode(value).decode()] for name, value in record.headers],
    }


def _headers(stored: list[list[str]]) -> tuple[tuple[str, bytes], ...]:
    return tuple((name, base64.b64decode(value)) for name, value in stored)
