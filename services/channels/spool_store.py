"""The spool in PostgreSQL: accepted records that wait, in order, while the bus is away.

The gate row of a partition says whether it is spooling. Appending holds the row's lock and closing
takes it alone, so that no record is appended to a spool that has just been declared empty.
"""

import base64
import math
import time
from collections.abc import Sequence

from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.channels import tables
from shared.bus.port import Outgoing
from shared.db.engine import reading, transaction

NOTIFY_CHANNEL = "channels_spool"
DRAIN_RECORDS = 500
DRAIN_BYTES = 8 << 20
LEASE_S = 15
COUNT_EVERY_S = 0.5
COUNT_FROM = 0.8
"""Above this share of the limit every append counts what is held."""


class SpoolFull(Exception):
    """The spool holds as much as it may."""


class SpoolStore:
    """Raises DatabaseUnavailable from every call when PostgreSQL is away, and OutcomeUnknown from
    those that write."""

    def __init__(self, engine: AsyncEngine, limit: int) -> None:
        self._engine = engine
        self._limit = limit
        self._counted = (-math.inf, 0)

    async def spooling(self) -> set[int]:
        """The partitions whose records must go to the spool."""
        gate = tables.spool_gate
        async with reading(self._engine) as connection:
            rows = await connection.execute(select(gate.c.partition).where(gate.c.spooling))
            return {row.partition for row in rows}

    async def begin(self, records: Sequence[Outgoing]) -> bool:
        """Store the records, all or none, opening their partitions' gates where they are closed:
        the bus was found to be away. True when one was closed. Raises SpoolFull.
        """
        partitions = sorted({record.partition for record in records})
        async with transaction(self._engine) as connection:
            opened = await self._open(connection, partitions)
            await self._store(connection, records)
            if opened:
                await connection.execute(_NOTIFY, {"channel": NOTIFY_CHANNEL})
        return opened

    async def append(self, records: Sequence[Outgoing]) -> bool:
        """Store the records in order, all or none. Raises SpoolFull.

        False, and nothing stored, when a gate has been closed meanwhile: send to the bus.
        """
        partitions = sorted({record.partition for record in records})
        async with transaction(self._engine) as connection:
            if not await self._all_open(connection, partitions):
                return False
            await self._store(connection, records)
        return True

    async def _open(self, connection: AsyncConnection, partitions: list[int]) -> bool:
        gate = tables.spool_gate
        statement = upsert(gate).values(
            [{"partition": one, "spooling": True} for one in partitions]
        )
        statement = statement.on_conflict_do_update(
            index_elements=["partition"],
            set_={"spooling": True},
            where=~gate.c.spooling,  # the row is locked either way
        )
        opened = await connection.execute(statement.returning(gate.c.partition))
        return bool(opened.all())

    async def _all_open(self, connection: AsyncConnection, partitions: list[int]) -> bool:
        gate = tables.spool_gate
        rows = await connection.execute(
            select(gate.c.partition)
            .where(gate.c.partition.in_(partitions), gate.c.spooling)
            .with_for_update(read=True)
        )
        return len(rows.all()) == len(partitions)

    async def _store(self, connection: AsyncConnection, records: Sequence[Outgoing]) -> None:
        await self._check_room(connection, len(records))
        await connection.execute(insert(tables.spool), [_row(record) for record in records])

    async def _check_room(self, connection: AsyncConnection, more: int) -> None:
        """Far from the limit a recent count will do: counting at each append would be slow."""
        counted_at, held = self._counted
        if held + more > self._limit * COUNT_FROM or time.monotonic() - counted_at > COUNT_EVERY_S:
            held = (await connection.execute(_HELD, {"most": self._limit + 1})).scalar_one()
            counted_at = time.monotonic()
        if held + more > self._limit:
            raise SpoolFull(f"the spool holds {held} of at most {self._limit} records")
        self._counted = (counted_at, held + more)

    async def depth(self) -> int:
        """How many records wait."""
        async with reading(self._engine) as connection:
            query = select(func.count()).select_from(tables.spool)
            return (await connection.execute(query)).scalar_one()

    async def oldest(self, partition: int) -> tuple[list[int], list[Outgoing]]:
        """(their numbers, the oldest records of a partition in order): up to DRAIN_RECORDS, and
        up to DRAIN_BYTES unless it is one."""
        async with reading(self._engine) as connection:
            rows = (await connection.execute(_OLDEST, {"partition": partition})).all()
        records = [
            Outgoing(row.topic, row.partition, row.key, row.value, _headers(row.headers))
            for row in rows
        ]
        return [row.no for row in rows], records

    async def drop(self, numbers: Sequence[int]) -> None:
        """Forget what the bus has acknowledged: these and no others, for a record with a lower
        number may have been committed since."""
        table = tables.spool
        async with transaction(self._engine) as connection:
            await connection.execute(delete(table).where(table.c.no.in_(numbers)))

    async def close(self, partition: int) -> bool:
        """Declare the partition's spool empty, if it is; then records go to the bus again."""
        gate, table = tables.spool_gate, tables.spool
        mine = gate.c.partition == partition
        async with transaction(self._engine) as connection:
            await connection.execute(select(gate.c.partition).where(mine).with_for_update())
            left = select(table.c.no).where(table.c.partition == partition).limit(1)
            if (await connection.execute(left)).first() is not None:
                return False
            shut = update(gate).where(mine)
            await connection.execute(shut.values(spooling=False, drainer=None))
            await connection.execute(_NOTIFY, {"channel": NOTIFY_CHANNEL})
        return True

    async def lease(self, partition: int, drainer: str) -> bool:
        """Whether `drainer` is, for the next LEASE_S, the one that drains the partition. A second
        one would only send duplicates."""
        async with transaction(self._engine) as connection:
            names = {"partition": partition, "drainer": drainer, "seconds": LEASE_S}
            return (await connection.execute(_LEASE, names)).first() is not None


_NOTIFY = text("SELECT pg_notify(:channel, '')")
_HELD = text("SELECT count(*) FROM (SELECT FROM channels.spool LIMIT :most) AS held")
_LEASE = text(
    """
    UPDATE channels.spool_gate
    SET drainer = :drainer, drains_until = now() + make_interval(secs => :seconds)
    WHERE partition = :partition AND spooling
      AND (drainer IS NULL OR drainer = :drainer OR drains_until < now())
    RETURNING 1
    """
)
_OLDEST = text(
    f"""
    SELECT * FROM (
      SELECT *, sum(length(coalesce(value, ''))) OVER (ORDER BY no) - length(coalesce(value, ''))
        AS bytes_before
      FROM (
        SELECT no, topic, partition, key, value, headers FROM channels.spool
        WHERE partition = :partition ORDER BY no LIMIT {DRAIN_RECORDS}
      ) AS first
    ) AS sized
    WHERE bytes_before < {DRAIN_BYTES}
    ORDER BY no
    """
).columns(headers=tables.spool.c.headers.type)


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
