"""Kafka's topics: which there are, and creating or growing them."""
# aiokafka brings no types:
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from shared.bus.port import BusUnavailable, RecordRefused
from shared.contracts.topics import DAY_MS, RETENTION_MS

DEFAULT_RETENTION_MS = 8 * DAY_MS
MAX_MESSAGE_BYTES = 2 << 20
"""Room for a record of MAX_RECORD_BYTES and its framing."""
MAX_REPLICAS = 3
VISIBLE_TIMEOUT_S = 10.0
VISIBLE_PAUSE_S = 0.05


def unavailable(what: str, error: BaseException) -> BusUnavailable:
    """The port's error for a failure of aiokafka; the caller raises it from `error`."""
    return BusUnavailable(f"Kafka {what}: {type(error).__name__} {error}".rstrip())


class TopicAdmin:
    """Asks and changes topics over a connection of its own, opened when first used."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = settings
        self._admin: AIOKafkaAdminClient | None = None
        self._lock = asyncio.Lock()

    async def stop(self) -> None:
        """Disconnect. May be called twice."""
        admin, self._admin = self._admin, None
        if admin is not None:
            await admin.close()

    async def partitions(self) -> dict[str, int]:
        """All topics and their numbers of partitions. Raises BusUnavailable."""
        async with self._lock:
            try:
                return await _partitions(await self._connected())
            except (KafkaError, OSError, TimeoutError) as error:
                await self.stop()
                raise unavailable("cannot be reached", error) from error

    async def ensure(self, wanted: Mapping[str, int]) -> dict[str, int]:
        """Create or grow; returns all topics as they then are, once Kafka shows them.

        Raises BusUnavailable, RecordRefused where Kafka will not have a topic like this.
        """
        async with self._lock:
            try:
                return await self._ensure(await self._connected(), wanted)
            except (KafkaError, OSError, TimeoutError) as error:
                await self.stop()
                raise unavailable("did not create the topics", error) from error

    async def _ensure(
        self, admin: AIOKafkaAdminClient, wanted: Mapping[str, int]
    ) -> dict[str, int]:
        there = await _partitions(admin)
        missing = {topic: count for topic, count in wanted.items() if topic not in there}
        short = {topic: count for topic, count in wanted.items() if there.get(topic, count) < count}
        if not missing and not short:
            return there
        brokers = await _brokers(admin)
        if missing:
            replicas = min(MAX_REPLICAS, brokers)
            await _create(admin, [_describe(*each, replicas) for each in missing.items()])
        if short:
            await admin.create_partitions(
                {topic: NewPartitions(total_count=count) for topic, count in short.items()}
            )
        return await _shown(admin, wanted)

    async def _connected(self) -> AIOKafkaAdminClient:
        if self._admin is None:
            admin = AIOKafkaAdminClient(**self._settings)
            try:
                await admin.start()
            except BaseException:
                with suppress(KafkaError):
                    await admin.close()
                raise
            self._admin = admin
        return self._admin


def _describe(topic: str, count: int, replicas: int) -> NewTopic:
    """Acknowledged means on two brokers where there are three."""
    settings = {
        "retention.ms": str(RETENTION_MS.get(topic, DEFAULT_RETENTION_MS)),
        "max.message.bytes": str(MAX_MESSAGE_BYTES),
        "min.insync.replicas": str(max(1, replicas - 1)),
    }
    return NewTopic(topic, count, replicas, topic_configs=settings)


async def _create(admin: AIOKafkaAdminClient, topics: list[NewTopic]) -> None:
    answer: Any = await admin.create_topics(topics)
    for topic, code, *text in answer.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            message = f"could not create {topic}: {' '.join(str(each) for each in text)}"
            raise (error(message) if error.retriable else RecordRefused(f"Kafka {message}"))


async def _partitions(admin: AIOKafkaAdminClient) -> dict[str, int]:
    names = [name for name in await admin.list_topics() if not name.startswith("__")]
    if not names:
        return {}
    described = await admin.describe_topics(names)
    return {each["topic"]: len(each["partitions"]) for each in described if not each["error_code"]}


async def _brokers(admin: AIOKafkaAdminClient) -> int:
    """How many there are, once one of them is the controller, who makes topics."""
    cluster = await admin.describe_cluster()
    if cluster["controller_id"] not in {each["node_id"] for each in cluster["brokers"]}:
        raise BusUnavailable("Kafka has no controller at the moment")
    return len(cluster["brokers"])


async def _shown(admin: AIOKafkaAdminClient, wanted: Mapping[str, int]) -> dict[str, int]:
    """Wait until the brokers' metadata, which follows the controller's, shows what was made."""
    async with asyncio.timeout(VISIBLE_TIMEOUT_S):
        while True:
            there = await _partitions(admin)
            if all(there.get(topic, 0) >= count for topic, count in wanted.items()):
                return there
            await asyncio.sleep(VISIBLE_PAUSE_S)
