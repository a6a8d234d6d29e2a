"""The store in PostgreSQL. Each commit is one transaction that begins with the fenced update."""

# asyncpg has no types: its connections are Any here.
# pyright: reportMissingTypeStubs=false

import asyncio
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.contracts.core import Entity
from shared.db.engine import (
    DatabaseUnavailable,
    OutcomeUnknown,
    driver_of,
    transaction,
)
from shared.db.listen import Listener
from shared.db.platform_store import CONFIG_CHANNEL
from shared.runtime.store import days, statements
from shared.runtime.store.committing import Committer, Projector, RowStatements, driver_connection
from shared.runtime.store.port import (
    Batch,
    ConfigVersion,
    InputRow,
    JournalRow,
    ReplyRow,
    ShardLease,
    ShardRow,
    Snapshot,
    StaleEpoch,
    StoreUnavailable,
    WorkspaceRow,
    WorkspaceState,
)
from shared.runtime.store.reading import Reading

SCHEMA_OF = {"archive": "channels"}

_state_decoder = msgspec.msgpack.Decoder(WorkspaceState)


class PostgresStore:
    """`service` names the rows in `platform`, `schema` (default: by service) holds the tables.

    `listener` (not yet running) makes `wait_config` return at once when somebody writes.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        service: str,
        *,
        schema: str | None = None,
        projector: Projector | None = None,
        row_statements: RowStatements | None = None,
        listener: Listener | None = None,
    ) -> None:
        self.service = service
        self._engine = engine
        self._driver = driver_of(engine)
        self._schema = schema or SCHEMA_OF.get(service, service)
        self._sql = statements.for_schema(self._schema)
        self._committer = Committer(
            engine, service, self._sql, self._send, projector, row_statements
        )
        self._config_news = asyncio.Event()
        if listener is not None:
            listener.on(CONFIG_CHANNEL, lambda _: self._config_news.set(), self._config_news.set)

    # Leases

    async def prepare(self, partitions: int, today_us: int) -> None:
        async with self._reading() as raw:
            await raw.execute(self._sql.make_shards, self.service, partitions)
        await self._make_days(days.ahead(today_us))

    async def register(self, replica: str, url: str, alive_s: float) -> list[str]:
        async with self._reading() as raw:
            await raw.execute(self._sql.register, self.service, replica, url)
            rows = await raw.fetch(self._sql.alive, self.service, float(alive_s))
        return sorted(row[0] for row in rows)

    async def unregister(self, replica: str) -> None:
        async with self._reading() as raw:
            await raw.execute(self._sql.unregister, self.service, replica)

    async def shards(self) -> list[ShardRow]:
        async with self._reading() as raw:
            rows = await raw.fetch(self._sql.shards, self.service)
        return [ShardRow(*row) for row in rows]

    async def positions(self, partition: int) -> dict[str, int]:
        async with self._reading() as raw:
            stored = await raw.fetchval(self._sql.positions, self.service, partition)
        return {} if stored is None else msgspec.json.decode(stored)

    async def acquire(
        self, partition: int, replica: str, url: str, lease_s: float
    ) -> ShardLease | None:
        arguments = (self.service, partition, replica, url, float(lease_s))
        async with self._reading() as raw:
            row = await raw.fetchrow(self._sql.acquire, *arguments)
            return None if row is None else await self._lease(raw, row)

    async def reacquire(self, partition: int, epoch: int, lease_s: float) -> ShardLease:
        async with self._reading() as raw:
            row = await raw.fetchrow(
                self._sql.reacquire, self.service, partition, epoch, float(lease_s)
            )
            if row is None:
                raise StaleEpoch(f"shard {partition} has another owner")
            return await self._lease(raw, row)

    async def _lease(self, raw: Any, row: Any) -> ShardLease:
        """The journal's end is read by a statement of its own: the lease may have waited for a
        commit that its own snapshot does not see."""
        partition, epoch, positions, published, halted = row
        last = await raw.fetchval(self._sql.last_position, partition)
        return ShardLease(partition, epoch, msgspec.json.decode(positions), published, last, halted)

    async def renew(
        self, held: Mapping[int, tuple[int, int]], lease_s: float
    ) -> tuple[set[int], set[int]]:
        partitions = sorted(held)
        epochs = [held[each][0] for each in partitions]
        published = [held[each][1] for each in partitions]
        async with self._reading() as raw:
            renewed = await raw.fetch(
                self._sql.renew, self.service, partitions, epochs, published, float(lease_s)
            )
            lost = await raw.fetch(self._sql.lost, self.service, partitions, epochs)
        return {row[0] for row in renewed}, {row[0] for row in lost}

    async def release(self, partition: int, epoch: int, published: int) -> None:
        async with self._reading() as raw:
            await raw.execute(self._sql.release, self.service, partition, epoch, published)

    async def halt(self, partition: int, epoch: int, reason: str) -> None:
        async with self._reading() as raw:
            done = await raw.fetchval(self._sql.halt, self.service, partition, epoch, reason)
        if done is None:
            raise StaleEpoch(f"shard {partition} has another owner")

    # Mending

    async def alive(self, alive_s: float) -> list[str]:
        async with self._reading() as raw:
            rows = await raw.fetch(self._sql.alive, self.service, float(alive_s))
        return sorted(row[0] for row in rows)

    async def standing(self, partition: int) -> ShardLease | None:
        async with self._reading() as raw:
            row = await raw.fetchrow(self._sql.standing, self.service, partition)
            return None if row is None else await self._lease(raw, row)

    async def unheard(self, partition: int, topic: str, after: Mapping[str, int]) -> int | None:
        names, seqs = list(after.keys()), list(after.values())
        async with self._reading() as raw:
            return await raw.fetchval(self._sql.unheard, partition, topic, names, seqs)

    async def realign(
        self,
        partition: int,
        positions: Mapping[str, int],
        published: int | None = None,
        unhalt: bool = False,
    ) -> bool:
        moved = msgspec.json.encode(dict(positions)).decode()
        async with self._reading() as raw:
            done = await raw.fetchval(
                self._sql.realign, self.service, partition, moved, published, unhalt
            )
        return done is not None

    # Loading

    async def workspaces(self, partitions: Collection[int]) -> list[WorkspaceRow]:
        async with self._reading() as raw:
            rows = await raw.fetch(self._sql.workspaces, list(partitions))
        return [WorkspaceRow(*row) for row in rows]

    async def workspace(self, workspace: str) -> WorkspaceRow | None:
        async with self._reading() as raw:
            row = await raw.fetchrow(self._sql.workspace, workspace)
        return None if row is None else WorkspaceRow(*row)

    async def states(self, workspaces: Collection[str]) -> dict[str, WorkspaceState]:
        async with self._reading() as raw:
            rows = await raw.fetch(self._sql.states, list(workspaces))
        return {row[0]: _state_decoder.decode(row[1]) for row in rows}

    async def open_entities(
        self, workspace: str, after: tuple[str, str], limit: int
    ) -> list[Entity]:
        return await self._entities(self._sql.open_entities, workspace, *after, limit)

    async def entities(self, workspace: str, kind: str, keys: Collection[str]) -> list[Entity]:
        return await self._entities(self._sql.entities, workspace, kind, list(keys))

    async def config_since(self, after: Mapping[str, int], limit: int) -> list[ConfigVersion]:
        async with self._reading() as raw:
            rows = await raw.fetch(
                self._sql.config_since, list(after.keys()), list(after.values()), limit
            )
        return [_config_version(row) for row in rows]

    # Deciding

    async def seen(self, ids: Sequence[bytes]) -> set[bytes]:
        async with self._reading() as raw:
            rows = await raw.fetch(self._sql.seen, ids)
        return {row[0] for row in rows}

    async def replies(
        self, keys: Sequence[tuple[str, str, str]]
    ) -> dict[tuple[str, str, str], ReplyRow]:
        columns = [list(column) for column in zip(*keys, strict=True)]
        async with self._reading() as raw:
            rows = await raw.fetch(self._sql.replies, *columns)
        return {(row[0], row[1], row[2]): ReplyRow(*row) for row in rows}

    async def commit(self, batch: Batch) -> None:
        try:
            await self._committer.commit(batch)
        except asyncpg.CheckViolationError as error:
            if not batch.seen or getattr(error, "constraint_name", None):
                raise
            await self._make_days([days.day_of(batch.seen_us)])
            raise StoreUnavailable("the day's partition was missing") from error

    async def _send(self, raw: Any, statement: str, values: Sequence[Any]) -> int | None:
        return await raw.fetchval(statement, *values)

    # Reading

    async def outbox(self, partition: int, after: int, limit: int) -> list[JournalRow]:
        async with self._reading() as raw:
            rows = await raw.fetch(self._sql.outbox, partition, after, limit)
        return [JournalRow(*row) for row in rows]

    async def journal(
        self, workspace: str, after_seq: int, types: Collection[str] | None, limit: int
    ) -> list[JournalRow]:
        async with self._reading() as raw:
            if types is None:
                rows = await raw.fetch(self._sql.journal, workspace, after_seq, limit)
            else:
                rows = await raw.fetch(
                    self._sql.journal_of_types, workspace, after_seq, limit, list(types)
                )
        return [JournalRow(*row) for row in rows]

    async def inputs(self, workspace: str, after_no: int, limit: int) -> list[InputRow]:
        async with self._reading() as raw:
            rows = await raw.fetch(self._sql.inputs, workspace, after_no, limit)
        return [InputRow(*row) for row in rows]

    async def snapshot_before(self, workspace: str, number: int) -> Snapshot | None:
        async with self._reading() as raw:
            row = await raw.fetchrow(self._sql.snapshot_before, workspace, number)
        return None if row is None else Snapshot(*row)

    async def snapshot_entities(
        self, workspace: str, number: int, after: tuple[str, str], limit: int
    ) -> list[Entity]:
        return await self._entities(self._sql.snapshot_entities, workspace, *after, limit, number)

    async def all_entities(
        self, workspace: str, after: tuple[str, str], limit: int
    ) -> list[Entity]:
        return await self._entities(self._sql.all_entities, workspace, *after, limit)

    async def _entities(self, statement: str, *arguments: Any) -> list[Entity]:
        async with self._reading() as raw:
            rows = await raw.fetch(statement, *arguments)
        return [Entity(*row) for row in rows]

    # Keeping

    async def maintain(
        self,
        now_us: int,
        inputs_before_us: int,
        replies_before_us: int,
        seen_days: int,
        limit: int,
    ) -> int:
        await self._make_days(days.ahead(now_us))
        await self._drop_days(days.oldest(now_us, seen_days))
        async with self._reading() as raw:
            gone = 0
            for statement, before_us in (
                (self._sql.prune_replies, replies_before_us),
                (self._sql.prune_inputs, inputs_before_us),
                (self._sql.prune_snapshot_entities, inputs_before_us),
                (self._sql.prune_snapshots, inputs_before_us),
            ):
                gone += await raw.fetchval(statement, before_us, limit)
            return gone

    async def _make_days(self, wanted: Sequence[days.Day]) -> None:
        async with self._changing_days() as raw:
            for day in await days.missing(raw, self._schema, wanted):
                await raw.execute(days.create(self._schema, day))

    async def _drop_days(self, oldest: days.Day) -> None:
        async with self._changing_days() as raw:
            for name in await days.before(raw, self._schema, oldest):
                await raw.execute(days.drop(self._schema, name))

    @asynccontextmanager
    async def _changing_days(self) -> AsyncGenerator[Any]:
        """One replica at a time. Busy tables are left for the next time."""
        try:
            async with transaction(self._engine) as connection:
                await connection.exec_driver_sql(
                    "SELECT pg_advisory_xact_lock(hashtext($1))", (f"{self._schema}.seen",)
                )
                yield await driver_connection(connection)
        except (DatabaseUnavailable, OutcomeUnknown) as error:
            raise StoreUnavailable(str(error)) from error

    async def wait_config(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._config_news.wait()
        except TimeoutError:
            return
        finally:
            self._config_news.clear()

    async def close(self) -> None:
        """The engine belongs to who made it."""

    def _reading(self) -> Reading:
        """asyncpg's own connection; each statement is a transaction by itself."""
        return Reading(self._driver)


def _config_version(row: Any) -> ConfigVersion:
    workspace, version, kind, name, body, origin = row
    return ConfigVersion(
        workspace, version, kind, name, None if body is None else body.encode(), origin
    )
