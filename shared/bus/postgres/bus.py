"""The embedded log: gapless offsets under a row lock, group commit, retention by time."""

import asyncio
import logging
import secrets
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.bus.admission import admit, places, refuse_unknown, strangers
from shared.bus.port import BusUnavailable, Outgoing, Record, TopicPartition
from shared.bus.postgres import statements
from shared.bus.postgres.appender import Appender
from shared.bus.postgres.listener import Listener, News
from shared.bus.postgres.pushed import size_of
from shared.bus.postgres.reader import PostgresReader
from shared.contracts.topics import DAY_MS, RETENTION_MS
from shared.db.engine import DatabaseUnavailable, OutcomeUnknown, transaction

DEFAULT_RETENTION_MS = 8 * DAY_MS
TRIM_EVERY_S = 60.0
TRIM_RECORDS = 5_000
"""Most records of a partition that one round of `trim` removes."""

_log = logging.getLogger(__name__)


class PostgresBus:
    """The bus in the engine's database. Several processes may share it; LISTEN wakes them all."""

    def __init__(self, engine: AsyncEngine, *, trim_records: int = TRIM_RECORDS) -> None:
        self._engine = engine
        self._trim_records = trim_records
        sender = secrets.token_hex(8)
        self._appender = Appender(
            engine, sender, self._push, doubtful=lambda: self._wake(frozenset())
        )
        self._listener = Listener(engine, sender, self._wake)
        self._readers: set[PostgresReader] = set()
        self._ids: dict[str, int] = {}
        self._partitions: dict[str, int] = {}
        self._trimming: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self.ensure_schema()
        await self._learn()
        self._listener.start()
        if self._trimming is None:
            self._trimming = asyncio.create_task(self._keep_trimmed(), name="bus-retention")

    async def stop(self) -> None:
        trimming, self._trimming = self._trimming, None
        if trimming is not None:
            trimming.cancel()
            with suppress(asyncio.CancelledError):
                await trimming
        for reader in tuple(self._readers):
            await reader.stop()
        await self._appender.stop()
        await self._listener.stop()

    async def ensure_schema(self) -> None:
        """Create the tables where they are missing. Idempotent, safe from several processes."""
        async with self._change() as connection:
            await connection.execute(statements.LOCK_SCHEMA, {"lock": statements.SCHEMA_LOCK})
            for statement in statements.schema():
                await connection.execute(statement)

    async def ensure_topics(self, partitions: Mapping[str, int]) -> None:
        if not partitions:
            return
        kept = [RETENTION_MS.get(topic, DEFAULT_RETENTION_MS) for topic in partitions]
        async with self._change() as connection:
            await connection.execute(statements.LOCK_SCHEMA, {"lock": statements.SCHEMA_LOCK})
            await connection.execute(
                statements.ENSURE_TOPICS,
                {"names": list(partitions), "counts": list(partitions.values()), "kept": kept},
            )
            await connection.execute(statements.ENSURE_HEADS)
        await self._learn()

    async def send(self, records: Sequence[Outgoing]) -> list[int]:
        if not records:
            return []
        wanted = places(records)
        if strangers(wanted, self._partitions):
            await self._learn()
        refuse_unknown(wanted, self._partitions)
        admit(records)
        partitions = [(self._ids[record.topic], record.partition) for record in records]
        return await self._appender.append(partitions, records)

    async def bounds(
        self, partitions: Sequence[TopicPartition]
    ) -> dict[TopicPartition, tuple[int, int]]:
        if not partitions:
            return {}
        if strangers(partitions, self._partitions):
            await self._learn()
        refuse_unknown(partitions, self._partitions)
        wanted = {(self._ids[topic], number): (topic, number) for topic, number in partitions}
        async with self._change() as connection:
            rows = await connection.execute(
                statements.BOUNDS,
                {"topics": [each for each, _ in wanted], "partitions": [n for _, n in wanted]},
            )
            return {wanted[topic, number]: (low, high) for topic, number, low, high in rows}

    def reader(self) -> PostgresReader:
        reader = PostgresReader(
            self._engine, self.bounds, self._ids, self._listener, self._readers.discard
        )
        self._readers.add(reader)
        return reader

    async def trim(self, now_ms: int | None = None) -> int:
        """Remove what is older than its topic's retention at `now_ms` (default: the database's
        clock), in bounded steps; returns how many records went. Another process's trim: 0."""
        total = 0
        while (removed := await self._trim_once(now_ms)) > 0:
            total += removed
        return total

    async def _trim_once(self, now_ms: int | None) -> int:
        async with self._change() as connection:
            mine = await connection.scalar(statements.TRY_TRIM, {"lock": statements.TRIM_LOCK})
            if not mine:
                return 0
            rows = await connection.execute(
                statements.TRIM_PLAN, {"now_ms": now_ms, "most": self._trim_records}
            )
            removed = 0
            for topic, partition, earliest in rows.all():
                where = {"topic": topic, "partition": partition, "earliest": earliest}
                await connection.execute(statements.TRIM_HEAD, where)
                removed += (await connection.execute(statements.TRIM_RECORDS, where)).rowcount
            return removed

    async def _keep_trimmed(self) -> None:
        while True:
            await asyncio.sleep(TRIM_EVERY_S)
            try:
                await self.trim()
            except BusUnavailable as error:
                _log.warning("retention waits: %s", error)

    async def _learn(self) -> None:
        async with self._change() as connection:
            for name, number, partitions in await connection.execute(statements.TOPICS):
                self._ids[name] = number
                self._partitions[name] = partitions

    def _push(self, records: list[Record]) -> None:
        size = sum(map(size_of, records))
        for reader in self._readers:
            reader.push(records, size)

    def _wake(self, news: News) -> None:
        for reader in self._readers:
            reader.wake(news)

    @asynccontextmanager
    async def _change(self) -> AsyncGenerator[AsyncConnection]:
        """A transaction whose transient failures are the port's."""
        try:
            async with transaction(self._engine) as connection:
                yield connection
        except (DatabaseUnavailable, OutcomeUnknown) as error:
            raise BusUnavailable(f"PostgreSQL is not there for the bus: {error}") from error
