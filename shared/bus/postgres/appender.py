"""Group commit: whoever sends while a transaction is under way shares the next one."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import chain, count, repeat
from typing import Any

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.bus.port import BusUnavailable, Outgoing, Record
from shared.bus.postgres import statements
from shared.bus.postgres.pushed import size_of
from shared.db.engine import driver_of, is_transient
from shared.db.failures import cause
from shared.db.literals import blobs, maybe_blobs, numbers

BATCH_RECORDS = 5_000
BATCH_BYTES = 16 << 20
GATHER_S = 0.005
"""A transaction begins so long after the one before: it costs the same for one record as for ten."""
MAX_WAITING_RECORDS = 50_000
"""More than this waiting: a further `send` waits for room before it queues."""

_encode_headers = msgspec.msgpack.Encoder().encode

Partition = tuple[int, int]  # topic id, number
Held = dict[Partition, tuple[list[Outgoing], list[bytes]]]  # records and their headers, encoded
Firsts = dict[Partition, int]  # the offset of the first one


class Parcel(msgspec.Struct):
    """The records of one `send`, with the topic ids they go to and their headers, encoded."""

    partitions: list[Partition]
    records: Sequence[Outgoing]
    headers: Sequence[bytes]
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
        headers = [_encode_headers(each.headers) for each in records]
        size = sum(map(size_of, records)) + sum(map(len, headers))
        self._waiting.append(Parcel(partitions, records, headers, done, size))
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
                firsts = await self._write(batch)
            except asyncio.CancelledError:
                _fail([*batch, *self._waiting], BusUnavailable("the bus was stopped"))
                self._waiting.clear()
                raise
            except Exception as error:
                self._doubtful()
                _fail(batch, error)
            else:
                _answer(batch, firsts)

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

    async def _write(self, batch: list[Parcel]) -> Firsts:
        held = _by_partition(batch)
        rows = await self._asked([*_columns(held), statements.CHANNEL, _news(self._sender, held)])
        firsts, now_ms = {row[0]: row[1] for row in rows}, rows[0][2]
        found: Firsts = {}
        for place, (partition, (records, _)) in enumerate(held.items(), start=1):
            first = found[partition] = firsts[place]
            self._appended(
                [_record(each, offset, now_ms) for offset, each in enumerate(records, first)]
            )
        return found

    async def _asked(self, values: list[Any]) -> Any:
        try:
            async with self._driver.connection() as raw:
                return await raw.fetch(statements.APPEND, *values)
        except Exception as error:
            if not is_transient(error):
                raise
            raise BusUnavailable(f"PostgreSQL did not take the records: {cause(error)}") from error


def _by_partition(batch: Sequence[Parcel]) -> Held:
    """In each partition the records keep the order in which they came."""
    held: Held = {}
    for parcel in batch:
        for partition, record, headers in zip(
            parcel.partitions, parcel.records, parcel.headers, strict=True
        ):
            if (its := held.get(partition)) is None:
                its = held[partition] = ([], [])
            its[0].append(record)
            its[1].append(headers)
    return held


def _record(sent: Outgoing, offset: int, now_ms: int) -> Record:
    """As it would be read."""
    stamp_ms = now_ms if sent.timestamp_ms is None else sent.timestamp_ms
    return Record(sent.topic, sent.partition, offset, stamp_ms, sent.key, sent.value, sent.headers)


def _columns(held: Held) -> list[Any]:
    """The statement's: of each partition, then of each record."""
    counts = [len(its) for its, _ in held.values()]
    records = [each for its, _ in held.values() for each in its]
    headers = [each for _, its in held.values() for each in its]
    return [
        numbers(topic for topic, _ in held),
        numbers(number for _, number in held),
        numbers(counts),
        numbers(chain.from_iterable(map(repeat, count(1), counts))),
        numbers(chain.from_iterable(map(range, counts))),
        numbers(record.timestamp_ms for record in records),
        *maybe_blobs([record.key for record in records]),
        *maybe_blobs([record.value for record in records]),
        *blobs(headers),
    ]


NOTIFY_BYTES = 7_900


def _news(sender: str, partitions: Iterable[Partition]) -> str:
    """What to tell the listeners: "sender 3:0 3:7", or the sender alone, which means any of them."""
    news = " ".join([sender, *(f"{topic}:{number}" for topic, number in partitions)])
    return news if len(news) < NOTIFY_BYTES else sender


def _answer(batch: list[Parcel], firsts: Firsts) -> None:
    offsets = {partition: count(first) for partition, first in firsts.items()}
    for parcel in batch:
        its = [next(offsets[partition]) for partition in parcel.partitions]
        if not parcel.done.done():
            parcel.done.set_result(its)


def _fail(parcels: Sequence[Parcel], error: Exception) -> None:
    for parcel in parcels:
        if not parcel.done.done():
            parcel.done.set_exception(error)
