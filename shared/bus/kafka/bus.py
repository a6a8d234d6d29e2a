"""Appends to Kafka: idempotent producer, acks=all, concurrent calls sharing round trips."""
# aiokafka brings no types:
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import BrokerResponseError, KafkaError, MessageSizeTooLargeError

from shared.bus.admission import admit, places, refuse_unknown, strangers
from shared.bus.kafka.clients import STOP_TIMEOUT_S, begin, end_consumer, end_producer, sending
from shared.bus.kafka.lanes import Lanes
from shared.bus.kafka.reader import KafkaReader
from shared.bus.kafka.topics import TopicAdmin, unavailable
from shared.bus.port import MAX_RECORD_BYTES, BusUnavailable, Outgoing, RecordRefused
from shared.bus.port import TopicPartition as Partition
from shared.patience import Patience

SEND_TIMEOUT_S = 5.0
"""How long `send` waits for the acknowledgement before it says that the outcome is unknown."""
REQUEST_TIMEOUT_MS = 10_000
"""How long one request may go unanswered before the connection counts as dead."""
SILENT_S = 20.0
"""How long all sends may time out before the producer is replaced."""
BATCH_BYTES = 512 << 10
"""Most bytes per partition that gather during the round trip before; then `send` waits."""
FRAMING_BYTES = 64 << 10


class KafkaBus:
    """The bus on the brokers at `bootstrap` ("host:port,host:port"). It reconnects by itself.

    `security` holds further aiokafka settings (security_protocol, ssl_context, sasl_…).
    """

    def __init__(
        self,
        bootstrap: str,
        *,
        send_timeout_s: float = SEND_TIMEOUT_S,
        silent_s: float = SILENT_S,
        security: Mapping[str, Any] | None = None,
    ) -> None:
        self._settings: dict[str, Any] = {
            "bootstrap_servers": bootstrap,
            "request_timeout_ms": REQUEST_TIMEOUT_MS,
            **(security or {}),
        }
        self._send_timeout_s = send_timeout_s
        self._patience = Patience(send_timeout_s)
        self._silent_s = silent_s
        self._silent_since: float | None = None
        self._endings: set[asyncio.Task[None]] = set()
        self._producer: AIOKafkaProducer | None = None
        self._lanes: Lanes | None = None
        self._query: AIOKafkaConsumer | None = None
        self._partitions: dict[str, int] = {}
        self._grown: set[str] = set()
        self._connecting = asyncio.Lock()
        self._readers: set[KafkaReader] = set()
        self._topics = TopicAdmin(self._settings)

    async def start(self) -> None:
        await self._connected()
        await self._learn()

    async def stop(self) -> None:
        for reader in tuple(self._readers):
            await reader.stop()
        await self._drop_producer()
        if self._endings:
            await asyncio.wait(self._endings)
        query, self._query = self._query, None
        if query is not None:
            await end_consumer(query)
        await self._topics.stop()

    async def ensure_topics(self, partitions: Mapping[str, int]) -> None:
        self._know(await self._topics.ensure(partitions))

    async def send(self, records: Sequence[Outgoing]) -> list[int]:
        if not records:
            return []
        wanted = places(records)
        if strangers(wanted, self._partitions):
            await self._learn()
        refuse_unknown(wanted, self._partitions)
        admit(records)
        lanes = self._lanes
        try:
            with self._patience.limit():
                lanes = lanes or await self._connected()
                if self._grown:
                    await self._show_growth()
                offsets = await lanes.deliver(records)
        except TimeoutError as error:
            self._replace_when_silent(lanes)
            raise BusUnavailable(
                f"Kafka did not acknowledge within {self._send_timeout_s:g} s"
            ) from error
        except MessageSizeTooLargeError as error:
            await self._replace_when_broken(lanes, error)
            raise RecordRefused(f"Kafka refuses the record's size: {error}") from error
        except KafkaError as error:
            await self._replace_when_broken(lanes, error)
            raise unavailable("did not take the records", error) from error
        self._silent_since = None
        return offsets

    async def bounds(self, partitions: Sequence[Partition]) -> dict[Partition, tuple[int, int]]:
        if not partitions:
            return {}
        if strangers(partitions, self._partitions):
            await self._learn()
        refuse_unknown(partitions, self._partitions)
        wanted = [TopicPartition(*partition) for partition in partitions]
        try:
            query = await self._queries()
            earliest, end = await asyncio.gather(
                query.beginning_offsets(wanted), query.end_offsets(wanted)
            )
        except (KafkaError, OSError) as error:
            raise unavailable("did not say where its logs begin and end", error) from error
        return {(each.topic, each.partition): (earliest[each], end[each]) for each in wanted}

    def reader(self) -> KafkaReader:
        reader = KafkaReader(self._settings, self.bounds, self._readers.discard)
        self._readers.add(reader)
        return reader

    async def _connected(self) -> Lanes:
        async with self._connecting:
            if self._lanes is None:
                producer = AIOKafkaProducer(
                    **self._settings,
                    enable_idempotence=True,
                    acks="all",
                    max_batch_size=BATCH_BYTES,
                    max_request_size=MAX_RECORD_BYTES + FRAMING_BYTES,
                )
                await begin(producer)
                self._producer, self._lanes = producer, Lanes(producer)
        return self._lanes

    async def _replace_when_broken(self, lanes: Lanes | None, error: KafkaError) -> None:
        """A producer whose sender gave up never sends again. Nor does it to a partition where Kafka
        refused a batch for good: the batch took numbers with it, and all that follow are out of order."""
        producer = self._producer
        if producer is None or lanes is not self._lanes:
            return  # another call has replaced it
        sender = sending(producer)
        refused = isinstance(error, BrokerResponseError) and not error.retriable
        if refused or (sender is not None and sender.done()):
            await self._drop_producer()

    def _replace_when_silent(self, lanes: Lanes | None) -> None:
        """A producer that acknowledges nothing for so long may be stuck, while another would not be; where
        Kafka is away, another says so. Nobody waits any more for what this one still holds."""
        now = time.monotonic()
        if self._silent_since is None:
            self._silent_since = now
        elif now - self._silent_since > self._silent_s and lanes is self._lanes is not None:
            self._silent_since = None
            ending = asyncio.ensure_future(self._drop_producer(0.0))
            self._endings.add(ending)
            ending.add_done_callback(self._endings.discard)

    async def _drop_producer(self, patience_s: float = STOP_TIMEOUT_S) -> None:
        producer, self._producer = self._producer, None
        lanes, self._lanes = self._lanes, None
        if producer is not None and lanes is not None:
            flushed = await lanes.stop(patience_s)
            await end_producer(producer, patience_s if flushed else 0.0)

    async def _queries(self) -> AIOKafkaConsumer:
        """A consumer that only asks for offsets: a reader's own connection may be waiting in a
        long fetch."""
        if self._query is not None:
            return self._query
        async with self._connecting:
            if self._query is None:
                query = AIOKafkaConsumer(**self._settings, enable_auto_commit=False)
                await begin(query)
                self._query = query
        return self._query

    async def _learn(self) -> None:
        """Ask Kafka which topics and partitions there are."""
        self._know(await self._topics.partitions())

    def _know(self, partitions: Mapping[str, int]) -> None:
        """Remember, and note which topics a producer may know with fewer partitions."""
        self._grown |= {
            topic
            for topic, count in partitions.items()
            if count > self._partitions.get(topic, count)
        }
        self._partitions.update(partitions)

    async def _show_growth(self) -> None:
        """Make the producer see partitions added since it first asked about their topic."""
        producer = self._producer
        assert producer is not None
        for topic in tuple(self._grown):
            while len(await producer.partitions_for(topic)) < self._partitions[topic]:
                await producer.client.force_metadata_update()
            self._grown.discard(topic)
