"""What Kafka refuses, and a producer that is stuck, are the affair of one call: others are taken."""

import asyncio
import contextlib

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from shared.bus.kafka import KafkaBus
from shared.bus.port import BusUnavailable, Outgoing, RecordRefused
from shared.testing.bus_reading import read_all
from shared.testing.bus_twins import running
from shared.testing.kafka import KafkaBroker

pytestmark = pytest.mark.kafka


async def narrow(bootstrap: str, topic: str) -> None:
    """A topic that somebody else made, with a limit below ours."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        limit = {"max.message.bytes": "2000"}
        await admin.create_topics([NewTopic(topic, 2, 1, topic_configs=limit)])
    finally:
        await admin.close()


async def test_after_a_refused_record_its_partition_takes_others(
    kafka_broker: KafkaBroker, topic: str
) -> None:
    await narrow(kafka_broker.bootstrap, topic)
    bus = KafkaBus(kafka_broker.bootstrap)
    async with running(bus):
        assert await bus.send([Outgoing(topic, 0, None, b"a")]) == [0]
        for _ in range(2):
            with pytest.raises(RecordRefused):
                await bus.send([Outgoing(topic, 0, None, b"x" * 3000)])
            await bus.send([Outgoing(topic, 0, None, b"b")])
        read = await read_all(bus, (topic, 0))
        assert [record.value for record in read] == [b"a", b"b", b"b"]


async def test_a_refusal_loses_nothing_of_other_calls(
    kafka_broker: KafkaBroker, topic: str
) -> None:
    await narrow(kafka_broker.bootstrap, topic)
    bus = KafkaBus(kafka_broker.bootstrap)
    promised: list[bytes] = []

    async def steady() -> None:
        for number in range(50):
            value = b"%d" % number
            await bus.send([Outgoing(topic, 1, None, value)])
            promised.append(value)
            await asyncio.sleep(0.005)

    async def refused() -> None:
        for _ in range(5):
            with pytest.raises(RecordRefused):
                await bus.send([Outgoing(topic, 0, None, b"x" * 3000)])

    async with running(bus):
        await asyncio.gather(steady(), refused())
        assert await bus.send([Outgoing(topic, 0, None, b"last")]) == [0]
        read = [record.value for record in await read_all(bus, (topic, 1))]
        assert [each for each in read if each is not None] == promised and len(promised) == 50


async def test_a_producer_that_is_stuck_is_replaced(kafka_broker: KafkaBroker, topic: str) -> None:
    bus = KafkaBus(kafka_broker.bootstrap, send_timeout_s=0.3, silent_s=0.5)
    async with running(bus):
        await bus.ensure_topics({topic: 1})
        assert await bus.send([Outgoing(topic, 0, None, b"a")]) == [0]
        stuck = bus._producer
        assert stuck is not None
        stuck._sender._muted_partitions.add(TopicPartition(topic, 0))
        async with asyncio.timeout(30):
            while True:
                with contextlib.suppress(BusUnavailable):
                    await bus.send([Outgoing(topic, 0, None, b"b")])
                    break
        assert bus._producer is not stuck
        assert [one.value for one in await read_all(bus, (topic, 0))] == [b"a", b"b"]
