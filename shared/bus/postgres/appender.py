"""Group commit: whoever sends while a transaction is under way shares the next one."""

import asyncio
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.bus.port import BusUnavailable, Outgoing
from shared.bus.postgres import statements
from shared.db.engine import DatabaseUnavailable, OutcomeUnknown, transaction

BATCH_RECORDS = 5_000
BATCH_BYTES = 16 << 20
MAX_WAITING_RECORDS = 50_000
"""More than this waiting: a further `send` waits for room before it queues."""

_encode_headers = msgspec.msgpack.Encoder().encode

Partition = tuple[int, int]  # topic id, number


class Parcel(msgspec.Struct):
    """The records of one `send`, with the topic ids they go to."""

    partitions: list[Partition]
    records: Sequence[Outgoing]
    done: asyncio.Future[list[int]]
    bytes: int


class Appender:
    """Writes parcels in the order they came, many per transaction."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._waiting: deque[Parcel] = deque()
        self._waiting_records = 0
        self._room = asyncio.Event()
        self._room.set()
        self._task: asyncio.Task[None] | None = None

    async def append(self, partitions: list[Partition], records: Sequence[Outgoing]) -> list[int]:
        """The records' offsets once they are committed. Raises BusUnavailable."""
        while self._waiting_records >= MAX_WAITING_RECORDS:
            self._room.clear()
            await self._room.wait()
        done: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
        size = sum(record.size() for record in records)
        self._waiting.append(Parcel(partitions, records, done, size))
        self._waiting_records += len(records)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._drain(), name="bus-appender")
        return await done

    async def stop(self) -> None:
        """Write what waits, then end."""
        if self._task is not None:
            with suppress(asyncio.CancelledError):
                await self._task

    async def _drain(self) -> None:
        while self._waiting:
            batch = self._next_batch()
            try:
                offsets = await self._write(batch)
            except asyncio.CancelledError:
                _fail([*batch, *self._waiting], BusUnavailable("the bus was stopped"))
                self._waiting.clear()
                raise
            except (DatabaseUnavailable, OutcomeUnknown) as error:
                _fail(batch, BusUnavailable(f"PostgreSQL did not take the records: {error}"))
            except Exception as error:
                _fail(batch, error)
            else:
                _answer(batch, offsets)

    def _next_batch(self) -> list[Parcel]:
        batch: list[Parcel] = []
        records = size = 0
        while self._waiting and records < BATCH_RECORDS and size < BATCH_BYTES:
            parcel = self._waiting.popleft()
            batch.append(parcel)
            records += len(parcel.records)
            size += parcel.bytes
        self._waiting_records -= records
        self._room.set()
        return batch

    async def _write(self, batch: list[Parcel]) -> list[int]:
        partitions = [each for parcel in batch for each in parcel.partitions]
        records = [each for parcel in batch for each in parcel.records]
        counts = Counter(partitions)
        async with transaction(self._engine) as connection:
            heads = await _lock(connection, counts)
            offsets = _number(partitions, heads)
            await connection.execute(
                statements.APPEND,
                {
                    **_ends(counts, heads),
                    **_columns(partitions, records, offsets),
                    "channel": statements.CHANNEL,
                    "news": _news(counts),
                },
            )
        return offsets


async def _lock(
    connection: AsyncConnection, counts: Mapping[Partition, int]
) -> dict[Partition, int]:
    topics, numbers = _columns_of(counts)
    rows = await connection.execute(
        statements.LOCK_HEADS, {"topics": topics, "partitions": numbers}
    )
    return {(topic, number): following for topic, number, following in rows}


def _number(partitions: Sequence[Partition], heads: Mapping[Partition, int]) -> list[int]:
    """Each record's offset: the partition's next one, counting on."""
    following = dict(heads)
    offsets: list[int] = []
    for partition in partitions:
        offsets.append(following[partition])
        following[partition] += 1
    return offsets


def _ends(counts: Mapping[Partition, int], heads: Mapping[Partition, int]) -> dict[str, Any]:
    topics, numbers = _columns_of(counts)
    ends = [heads[partition] + count for partition, count in counts.items()]
    return {"topics": topics, "partitions": numbers, "ends": ends}


def _columns(
    partitions: Sequence[Partition], records: Sequence[Outgoing], offsets: list[int]
) -> dict[str, Any]:
    topics, numbers = _columns_of(partitions)
    return {
        "record_topics": topics,
        "record_partitions": numbers,
        "offsets": offsets,
        "timestamps": [record.timestamp_ms for record in records],
        "sizes": [record.size() for record in records],
        "keys": [record.key for record in records],
        "values": [record.value for record in records],
        "headers": [_encode_headers(record.headers) for record in records],
    }


def _columns_of(
    partitions: Mapping[Partition, int] | Sequence[Partition],
) -> tuple[list[int], list[int]]:
    return [topic for topic, _ in partitions], [number for _, number in partitions]


NOTIFY_BYTES = 7_900


def _news(counts: Mapping[Partition, int]) -> str:
    """What to tell the listeners: "3:0 3:7", or nothing, which means any of them."""
    news = " ".join(f"{topic}:{number}" for topic, number in counts)
    return news if len(news) < NOTIFY_BYTES else ""


def _answer(batch: list[Parcel], offsets: list[int]) -> None:
    start = 0
    for parcel in batch:
        end = start + len(parcel.records)
        if not parcel.done.done():
            parcel.done.set_result(offsets[start:end])
        start = end


def _fail(parcels: Sequence[Parcel], error: Exception) -> None:
    for parcel in parcels:
        if not parcel.done.done():
            parcel.done.set_exception(error)
