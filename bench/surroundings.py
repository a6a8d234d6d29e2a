"""A process's surroundings for benches: a PostgreSQL that takes each statement in a fixed time, the embedded
log on it, and an event loop whose time is its own."""

import asyncio
import collections
import selectors
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

from bench import http_turns
from shared.bus.port import Record, TopicPartition
from shared.bus.postgres.appender import Appender
from shared.bus.postgres.bus import PostgresBus
from shared.bus.postgres.reader import PostgresReader
from shared.contracts import topics
from shared.db.engine import create_engine
from shared.runtime.clock import RealClock
from shared.runtime.store import committing, statements
from shared.runtime.store.memory import MemoryStore
from shared.runtime.store.memory_database import MemoryDatabase
from shared.runtime.store.port import Batch

# What is private of others is what is to be measured.
# pyright: reportPrivateUsage=false

STATEMENT_S = 0.003
"""PostgreSQL's time for a statement that writes, an `fsync` with it."""
LOOKED_S = 0.001


class Idle(selectors.SelectSelector):
    """Where the loop would wait for sockets, its time goes on instead."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        assert timeout is not None, "nothing is left to be done"
        self.now += max(0.0, timeout)
        return []


class Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._idle = Idle()
        super().__init__(self._idle)

    def time(self) -> float:
        return self._idle.now


class LoopClock(RealClock):
    def __init__(self) -> None:
        self._began_us = time.time_ns() // 1000

    def wall_us(self) -> int:
        return self._began_us + int(self.monotonic() * 1_000_000)

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


class Asked:
    """Statements that PostgreSQL was asked to do, by kind."""

    def __init__(self) -> None:
        self.counts = collections.Counter[str]()

    async def do(self, kind: str, took_s: float) -> None:
        self.counts[kind] += 1
        await asyncio.sleep(took_s)


class Nobody:
    """A driver whose connections are nobody's."""

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[None]:
        yield None


class Store(MemoryStore):
    """Once `made_up`, commits end as what PostgreSQL would be sent."""

    made_up = False

    def __init__(
        self, database: MemoryDatabase, service: str, rows: committing.RowStatements | None
    ) -> None:
        super().__init__(database, service)
        self.asked = Asked()
        nowhere = create_engine("postgresql://nobody@127.0.0.1/none")
        sql = statements.for_schema(service)
        self._committer = committing.Committer(nowhere, service, sql, self._send, None, rows)
        self._committer._driver = cast("Any", Nobody())

    async def _send(self, raw: Any, statement: str, values: Sequence[Any]) -> int:
        await self.asked.do(f"commits of {self.service}", STATEMENT_S)
        return 1

    async def commit(self, batch: Batch) -> None:
        if self.made_up:
            await self._committer.commit(batch)
        else:
            await super().commit(batch)

    async def seen(self, ids: Sequence[bytes]) -> set[bytes]:
        await self.asked.do(f"looks of {self.service}", LOOKED_S)
        return set()


class Writing(Appender):
    """Gives the offsets that PostgreSQL would give."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.asked = Asked()
        self.ends = collections.Counter[tuple[int, int]]()

    async def _asked(self, values: list[Any]) -> Any:
        await self.asked.do("appends", STATEMENT_S)
        columns = (map(int, text.strip("{}").split(",")) for text in values[:3])
        now_ms, rows = time.time_ns() // 1_000_000, list[tuple[int, int, int]]()
        for place, (topic, number, count) in enumerate(zip(*columns, strict=True), start=1):
            rows.append((place, self.ends[topic, number], now_ms))
            self.ends[topic, number] += count
        return rows


class Reader(PostgresReader):
    async def _read(self, most: int, heard: Any) -> tuple[list[Record], bool]:
        return [], True


class Log(PostgresBus):
    """The embedded log without its database: what this process appends it reads."""

    def __init__(self) -> None:
        self._engine = create_engine("postgresql://nobody@127.0.0.1/none")
        super().__init__(self._engine)
        self.writing = Writing(self._engine, "bench", self._push, lambda: None)
        self._appender = self.writing
        self._ids = {topic: number for number, topic in enumerate(topics.ALL_TOPICS, start=1)}
        self._partitions = dict.fromkeys(topics.ALL_TOPICS, topics.DEFAULT_PARTITIONS)

    async def bounds(
        self, partitions: Sequence[TopicPartition]
    ) -> dict[TopicPartition, tuple[int, int]]:
        ends = self.writing.ends
        return {each: (0, ends[self._ids[each[0]], each[1]]) for each in partitions}

    def reader(self) -> PostgresReader:
        heard = cast("Any", http_turns.Heard())
        reader = Reader(self._engine, self.bounds, self._ids, heard, self._readers.discard)
        self._readers.add(reader)
        return reader
