"""Group commit: whoever sends while a transaction is under way shares the next one."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.bus.port import BusUnavailable, Outgoing, Record
from shared.bus.postgres import statements
from shared.db.engine import driver_of, is_transient
from shared.db.literals import blobs, maybe_blobs, numbers

BATCH_RECORDS = 5_000
BATCH_BYTES = 16 << 20
GATHER_S = 0.005
"""A transaction begins so long after the one before: it costs the same for one record as for ten."""
MAX_WAITING_RECORDS = 50_000
"""More than this waiting: a further `send` waits for room before it queues."""

_encode_headers = msgspec.msgpack.Encoder().encode

Partition = tuple[int, int]  # topic id, number


class Parcel(msgspec.Struct):
    """The records of one `send`, with the topic ids they go to."""

    partitions: list[Partition]
    records: Sequence[Outgoing]
    sizes: Sequence[int]
    done: asyncio.Future[list[int]]
    bytes: int


Appended = Callable[[list[Record]], None]
"""Told of records of one partition that lie in the log now, one after the other."""


class Appender:
    """Writes parcels in the order they came, many per transaction. Notices to other processes say
    that they are of `sender`; `doubtful` is called where nobody knows what was written."""

    def __init__(
        self, engine: AsyncEngine, sender: str, appended: Appended, doubtful: Callable[[], None]
    ) -> None:
        self._driver = driver_of(engine)
        self._sender = sender
        self._appended = appended
        self._doubtful = doubtful
        self._waiting: deque[Parcel] = deque()
        self._waiting_records = 0
        self._room = asyncio.Event()
        self._room.set()
        self._began_at = 0.0
        self._task: asyncio.Task[None] | None = None

    async def append(self, partitions: list[Partition], records: Sequence[Outgoing]) -> list[int]:
        """The records' offsets once they are committed. Raises BusUnavailable."""
        while self._waiting_records >= MAX_WAITING_RECORDS:
            self._room.clear()
            await self._room.wait()
        done: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
        sizes = [record.size() for record in records]
        self._waiting.append(Parcel(partitions, records, sizes, done, sum(sizes)))
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
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch: list[Parcel] = []
            try:
                if (early_s := self._began_at + GATHER_S - loop.time()) > 0:
                    await asyncio.sleep(early_s)
                self._began_at = loop.time()
                batch = self._next_batch()
                offsets = await self._write(batch)
            except asyncio.CancelledError:
                _fail([*batch, *self._waiting], BusUnavailable("the bus was stopped"))
                self._waiting.clear()
                raise
            except Exception as error:
                self._doubtful()
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
        places = {partition: place for place, partition in enumerate(counts, start=1)}
        numbered = _number(partitions)
        values = [
            *_heads(counts),
            numbers([places[each] for each in partitions]),
            numbers(numbered),
            *_columns(records, [size for parcel in batch for size in parcel.sizes]),
            statements.CHANNEL,
            _news(self._sender, counts),
        ]
        rows = await self._asked(values)
        firsts = {row[0]: row[1] for row in rows}
        offsets = [
            firsts[places[partition]] + nth
            for partition, nth in zip(partitions, numbered, strict=True)
        ]
        self._tell(partitions, records, offsets, rows[0][2])
        return offsets

    def _tell(
        self,
        partitions: Sequence[Partition],
        records: Sequence[Outgoing],
        offsets: Sequence[int],
        now_ms: int,
    ) -> None:
        held: dict[Partition, list[Record]] = {}
        for partition, record, offset in zip(partitions, records, offsets, strict=True):
            held.setdefault(partition, []).append(_record(record, offset, now_ms))
        for its in held.values():
            self._appended(its)

    async def _asked(self, values: list[Any]) -> Any:
        try:
            async with self._driver.connection() as raw:
                return await raw.fetch(statements.APPEND, *values)
        except Exception as error:
            if not is_transient(error):
                raise
            raise BusUnavailable(
                f"PostgreSQL did not take the records: {type(error).__name__}"
            ) from error


def _number(partitions: Sequence[Partition]) -> list[int]:
    """Each record's number within its partition, from 0."""
    seen: dict[Partition, int] = {}
    found: list[int] = []
    for partition in partitions:
        nth = seen.get(partition, 0)
        found.append(nth)
        seen[partition] = nth + 1
    return found


def _heads(counts: Mapping[Partition, int]) -> tuple[str, str, str]:
    return (
        numbers(topic for topic, _ in counts),
        numbers(number for _, number in counts),
        numbers(counts.values()),
    )


def _record(sent: Outgoing, offset: int, now_ms: int) -> Record:
    """As it would be read."""
    stamp_ms = now_ms if sent.timestamp_ms is None else sent.timestamp_ms
    return Record(sent.topic, sent.partition, offset, stamp_ms, sent.key, sent.value, sent.headers)


def _columns(records: Sequence[Outgoing], sizes: Sequence[int]) -> list[Any]:
    stamps = ["NULL" if each.timestamp_ms is None else str(each.timestamp_ms) for each in records]
    return [
        f"{{{','.join(stamps)}}}",
        numbers(sizes),
        *maybe_blobs([record.key for record in records]),
        *maybe_blobs([record.value for record in records]),
        *blobs([_encode_headers(record.headers) for record in records]),
    ]


NOTIFY_BYTES = 7_900


def _news(sender: str, counts: Mapping[Partition, int]) -> str:
    """What to tell the listeners: "sender 3:0 3:7", or the sender alone, which means any of them."""
    news = " ".join([sender, *(f"{topic}:{number}" for topic, number in counts)])
    return news if len(news) < NOTIFY_BYTES else sender


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
