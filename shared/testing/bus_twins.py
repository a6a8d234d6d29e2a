"""The bus's twins behind one handle, so that one contract suite runs on each of them."""
# pyright: reportMissingTypeStubs=false

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

from aiokafka import TopicPartition as KafkaPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.bus.kafka import KafkaBus
from shared.bus.memory import MemoryBus
from shared.bus.port import Bus, TopicPartition
from shared.bus.postgres import PostgresBus
from shared.testing.kafka_mock import MockKafka


class Twin(Protocol):
    """One backend: buses on it, and what only its administrator can do."""

    def open(self) -> AbstractAsyncContextManager[Bus]:
        """A started bus; all buses of a twin share the log."""
        ...

    async def create(self, bus: Bus, topic: str, partitions: int) -> None:
        """A topic with at least these partitions."""
        ...

    async def truncate(self, partition: TopicPartition, before: int) -> None:
        """Drop what lies below offset `before`, as retention does."""
        ...


@asynccontextmanager
async def running(bus: Bus) -> AsyncGenerator[Bus]:
    await bus.start()
    try:
        yield bus
    finally:
        await bus.stop()


class KafkaTwin:
    """Kafka at `bootstrap`; `mock` when that is librdkafka's."""

    def __init__(self, bootstrap: str, mock: MockKafka | None) -> None:
        self.bootstrap = bootstrap
        self._mock = mock

    def open(self) -> AbstractAsyncContextManager[Bus]:
        return running(KafkaBus(self.bootstrap))

    async def create(self, bus: Bus, topic: str, partitions: int) -> None:
        if self._mock is not None:
            self._mock.create(topic)
        await bus.ensure_topics({topic: partitions})

    async def truncate(self, partition: TopicPartition, before: int) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            await admin.delete_records({KafkaPartition(*partition): RecordsToDelete(before)})
        finally:
            await admin.close()


class PostgresTwin:
    """The embedded log in one database."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine

    def open(self) -> AbstractAsyncContextManager[Bus]:
        return running(PostgresBus(self.engine))

    async def create(self, bus: Bus, topic: str, partitions: int) -> None:
        await bus.ensure_topics({topic: partitions})

    async def truncate(self, partition: TopicPartition, before: int) -> None:
        """Age the records and let retention do it."""
        async with self.engine.begin() as connection:
            await connection.execute(
                text(
                    'UPDATE bus.record SET stored_ms = 0 WHERE partition = :number AND "offset" < '
                    ":before AND topic_id = (SELECT id FROM bus.topic WHERE name = :topic)"
                ),
                {"topic": partition[0], "number": partition[1], "before": before},
            )
        await PostgresBus(self.engine).trim()


class MemoryTwin:
    """One bus in memory: opening it again gives the same log."""

    def __init__(self, clock_ms: Callable[[], int]) -> None:
        self.bus = MemoryBus(clock_ms)

    def open(self) -> AbstractAsyncContextManager[Bus]:
        return running(self.bus)

    async def create(self, bus: Bus, topic: str, partitions: int) -> None:
        await bus.ensure_topics({topic: partitions})

    async def truncate(self, partition: TopicPartition, before: int) -> None:
        self.bus.truncate(partition, before)
