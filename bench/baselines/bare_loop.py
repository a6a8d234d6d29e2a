"""The bare loop: Kafka to PostgreSQL to Kafka, moving what a router must move, deciding nothing.

`python -m bench.baselines.bare_loop BOOTSTRAP DATABASE_URL TOPIC PARTITION START COUNT` reads COUNT
records in batches, decodes each, stores per batch in one transaction its input, and per record one
id seen, three entities and two journal rows, and publishes two records of 300 bytes for each; the
next batch is read while one is published. Prints records per second.
"""

import asyncio
import sys
import time
from typing import Any

import asyncpg
import msgspec
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

BATCH = 512
OUT = "bench.out"
TABLES = """
DROP SCHEMA IF EXISTS bench CASCADE;
CREATE SCHEMA bench;
CREATE TABLE bench.shard (id int PRIMARY KEY, epoch int NOT NULL, position bigint NOT NULL);
INSERT INTO bench.shard VALUES (1, 1, 0);
CREATE TABLE bench.input (first bigint PRIMARY KEY, body bytea NOT NULL);
CREATE TABLE bench.seen (id bytea PRIMARY KEY);
CREATE TABLE bench.entity (kind text, key text, body bytea NOT NULL, PRIMARY KEY (kind, key));
CREATE TABLE bench.journal (seq bigint PRIMARY KEY, type text, key text, data bytea NOT NULL);
"""
ENTITIES = (
    "INSERT INTO bench.entity SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[])"
    " ON CONFLICT (kind, key) DO UPDATE SET body = excluded.body"
)
JOURNAL = (
    "INSERT INTO bench.journal SELECT * FROM"
    " unnest($1::bigint[], $2::text[], $3::text[], $4::bytea[])"
)


async def loop(
    bootstrap: str, url: str, topic: str, partition: int, start: int, count: int
) -> float:
    connection: Any = await asyncpg.connect(url)
    await connection.execute(TABLES)
    consumer: Any = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    producer: Any = AIOKafkaProducer(
        bootstrap_servers=bootstrap, enable_idempotence=True, acks="all", max_batch_size=256 << 10
    )
    await consumer.start()
    await producer.start()
    place = TopicPartition(topic, partition)
    consumer.assign([place])
    consumer.seek(place, start)
    done, publishing = 0, asyncio.ensure_future(asyncio.sleep(0))
    began = time.perf_counter()
    while done < count:
        for records in (await consumer.getmany(timeout_ms=100, max_records=BATCH)).values():
            bodies = [msgspec.json.decode(record.value) for record in records]
            await commit(connection, records, bodies, done)
            await publishing
            publishing = asyncio.ensure_future(publish(producer, records, bodies))
            done += len(records)
    await publishing
    took = time.perf_counter() - began
    await consumer.stop()
    await producer.stop()
    await connection.close()
    return done / took


async def commit(connection: Any, records: list[Any], bodies: list[Any], first: int) -> None:
    async with connection.transaction():
        await connection.fetchval(
            "UPDATE bench.shard SET position = $1 WHERE id = 1 AND epoch = 1 RETURNING epoch", first
        )
        await connection.execute(
            "INSERT INTO bench.input VALUES ($1, $2)",
            first,
            b"".join(record.value for record in records),
        )
        names = [body["conversation_id"] for body in bodies]
        seen = [body["message_id"].encode() for body in bodies]
        await connection.execute("INSERT INTO bench.seen SELECT unnest($1::bytea[])", seen)
        kinds = [kind for kind in ("conversation", "offer", "task") for _ in names]
        blobs = [record.value[:200] for record in records] * 3
        await connection.execute(ENTITIES, kinds, names * 3, blobs)
        numbers = list(range(first * 2, (first + len(names)) * 2))
        types = ["routing.task.created.v1", "routing.offer.created.v1"] * len(names)
        data = [record.value[:300] for record in records for _ in range(2)]
        await connection.execute(
            JOURNAL, numbers, types, [one for one in names for _ in "12"], data
        )


async def publish(producer: Any, records: list[Any], bodies: list[Any]) -> None:
    headers = [("ce_id", b"evt_0123456789"), ("ce_type", b"routing.task.created.v1")]
    sent = [
        await producer.send(
            OUT, record.value[:300], body["conversation_id"].encode(), 0, headers=headers
        )
        for record, body in zip(records, bodies, strict=True)
        for _ in range(2)
    ]
    await asyncio.gather(*sent)


if __name__ == "__main__":
    where, database, name, number, begin, wanted = sys.argv[1:]
    work = loop(where, database, name, int(number), int(begin), int(wanted))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(runner.run(work))
