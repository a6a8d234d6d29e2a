"""Reads the log in PostgreSQL: woken by notices, looking by itself now and then. What its own process
appends comes to it from memory."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.bus.port import (
    MAX_POLL_BYTES,
    MAX_POLL_RECORDS,
    BusUnavailable,
    PositionOutOfRange,
    Record,
    TopicPartition,
)
from shared.bus.postgres import statements
from shared.bus.postgres.listener import Listener, News
from shared.bus.postgres.pushed import Pushed
from shared.contracts.envelope import Headers
from shared.db.engine import driver_of, is_transient
from shared.db.failures import cause

LOOK_S = 1.0
"""How often a waiting reader looks though nobody called."""
LOOK_UNHEARD_S = 0.05
"""The same while the connection for notices is away."""

_decode_headers = msgspec.msgpack.Decoder(Headers).decode

Bounds = Callable[[Sequence[TopicPartition]], Awaitable[dict[TopicPartition, tuple[int, int]]]]


class PostgresReader:
    """Positions are its own; the database holds nothing of a reader."""

    def __init__(
        self,
        engine: AsyncEngine,
        bounds: Bounds,
        topic_ids: Mapping[str, int],
        listener: Listener,
        on_stop: Callable[["PostgresReader"], None],
    ) -> None:
        self._driver = driver_of(engine)
        self._bounds = bounds
        self._topic_ids = topic_ids
        self._listener = listener
        self._on_stop = on_stop
        self._positions: dict[TopicPartition, int] = {}
        self._ids: set[tuple[int, int]] = set()
        # What was pushed; and of these, where something waits.
        self._pushed: dict[TopicPartition, Pushed] = {}
        self._held: dict[TopicPartition, Pushed] = {}
        self._paused: set[TopicPartition] = set()
        self._turn = 0
        self._news = asyncio.Event()
        # Partitions (by id) with something new; None: any of them may have.
        self._heard: set[tuple[int, int]] | None = None
        self._look_at = 0.0

    async def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        bounds = await self._bounds(tuple(positions))
        for partition, position in positions.items():
            earliest, end = bounds[partition]
            if not earliest <= position <= end:
                raise PositionOutOfRange(*partition, position, earliest, end)
        self._positions.update(positions)
        self._reassigned()

    async def release(self, partitions: Sequence[TopicPartition]) -> None:
        for partition in partitions:
            self._positions.pop(partition, None)
            self._paused.discard(partition)
        self._reassigned()

    async def poll(self, max_records: int, timeout_ms: int) -> list[Record]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_ms / 1000
        most = min(max_records, MAX_POLL_RECORDS)
        while True:
            if (self._news.is_set() or loop.time() >= self._look_at) and (
                found := await self._look(most)
            ):
                return found
            left_s = min(deadline, self._look_at) - loop.time()
            if left_s > 0:
                await self._wait(left_s)
            elif loop.time() >= deadline:
                return []

    async def _look(self, most: int) -> list[Record]:
        """Read; and note whether a notice must come before it is worth reading again. The database
        is asked for what was not pushed."""
        loop = asyncio.get_running_loop()
        heard, self._heard = self._heard, set()
        if loop.time() >= self._look_at:
            heard = None
        self._news.clear()
        try:
            found, all_read = await self._read(most, heard)
        except PositionOutOfRange:
            self._any_may_have()
            if not (found := self._take_pushed(most)):
                raise
            return found
        except BaseException:
            self._any_may_have()
            raise
        found += self._take_pushed(most - len(found))
        if not all_read:
            self._any_may_have()
        if heard is None:
            pause_s = LOOK_S if self._listener.connected else LOOK_UNHEARD_S
            self._look_at = loop.time() + pause_s
        return found

    def push(self, records: Sequence[Record], size: int) -> None:
        """These lie in the log now, one after the other in one partition; `size` bytes."""
        partition = (records[0].topic, records[0].partition)
        pushed = self._pushed.get(partition)
        if pushed is None or partition in self._paused:
            return
        pushed.put(records, size)
        if not pushed.begins_at(self._positions[partition]):
            self._hear([(self._topic_ids[partition[0]], partition[1])])
        self._held[partition] = pushed
        self._news.set()

    def _take_pushed(self, most: int) -> list[Record]:
        found: list[Record] = []
        room = MAX_POLL_BYTES
        for partition in tuple(self._held):
            if len(found) >= most or room <= 0:
                break
            pushed = self._held.pop(partition)
            if pushed.begins_at(self._positions[partition]):
                taken, size = pushed.take(most - len(found), room)
                self._positions[partition] = taken[-1].offset + 1
                room -= size
                found += taken
            if pushed:
                self._held[partition] = pushed  # behind those that had no turn
        if any(pushed.begins_at(self._positions[each]) for each, pushed in self._held.items()):
            self._news.set()
        return found

    def _any_may_have(self) -> None:
        self._heard = None
        self._news.set()

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        self._paused.update(each for each in partitions if each in self._positions)
        for partition in self._paused:
            self._pushed[partition].clear()
            self._held.pop(partition, None)

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        self._paused.difference_update(partitions)
        self._any_may_have()

    async def stop(self) -> None:
        self._positions.clear()
        self._reassigned()
        self._on_stop(self)

    def wake(self, news: News) -> None:
        """Something was appended: to these partitions, or to any."""
        if not news:
            self._any_may_have()
        elif mine := self._ids & news:
            self._hear(mine)

    def _hear(self, mine: Iterable[tuple[int, int]]) -> None:
        if self._heard is not None:
            self._heard.update(mine)
        self._news.set()

    def _reassigned(self) -> None:
        self._ids = {(self._topic_ids[topic], number) for topic, number in self._positions}
        self._pushed = {each: Pushed() for each in self._positions}
        self._held = {}
        self._any_may_have()

    async def _wait(self, longest_s: float) -> None:
        try:
            async with asyncio.timeout(longest_s):
                await self._news.wait()
        except TimeoutError:
            return

    async def _read(
        self, most: int, heard: set[tuple[int, int]] | None
    ) -> tuple[list[Record], bool]:
        """What lies after the positions now, the partitions taking turns to be first; and whether
        that was all. `heard`: only these have something new."""
        if heard is not None and not heard:
            return [], True
        active = [each for each in self._positions if each not in self._paused]
        if heard is not None:
            active = [each for each in active if (self._topic_ids[each[0]], each[1]) in heard]
        if not active:
            return [], True
        self._turn = (self._turn + 1) % len(active)
        turns = active[self._turn :] + active[: self._turn]
        try:
            found, all_read = await self._connected(turns, most, heard is not None)
        except Exception as error:
            if not is_transient(error):
                raise
            raise BusUnavailable(f"PostgreSQL could not be read: {cause(error)}") from error
        for record in found:
            self._positions[record.topic, record.partition] = record.offset + 1
        return found, all_read

    async def _connected(
        self, turns: list[TopicPartition], most: int, heard: bool
    ) -> tuple[list[Record], bool]:
        """Asks the driver itself, for this is read for every few events; of those that were heard
        of without asking which they are."""
        async with self._driver.connection() as raw:
            ready = list(range(len(turns))) if heard else await self._ready(raw, turns)
            return await self._fetch(raw, turns, ready, most)

    async def _fetch(
        self, raw: Any, turns: list[TopicPartition], ready: list[int], most: int
    ) -> tuple[list[Record], bool]:
        chosen = ready[:most]
        if not chosen:
            return [], True
        each, room = most // len(chosen), MAX_POLL_BYTES // len(chosen)
        columns = self._columns([turns[place] for place in chosen])
        rows = await raw.fetch(statements.FETCH, chosen, *columns, each, room)
        found = self._contiguous([_record(turns[int(row[0])], row) for row in rows])
        size = sum(len(row[3] or b"") + len(row[4] or b"") + len(row[5]) for row in rows)
        whole = len(chosen) == len(ready) and len(found) == len(rows)
        return found, whole and len(found) < each and size < room // 2

    async def _ready(self, raw: Any, turns: list[TopicPartition]) -> list[int]:
        """Places in `turns` that have something. A position out of range is raised once nothing
        else is ready, so that one broken partition does not lose what others returned."""
        rows = await raw.fetch(statements.READY, *self._columns(turns))
        ready: list[int] = []
        lost: PositionOutOfRange | None = None
        for row in rows:
            place, earliest, end = int(row[0]) - 1, int(row[1]), int(row[2])
            position = self._positions[turns[place]]
            if earliest <= position < end:
                ready.append(place)
            else:
                lost = PositionOutOfRange(*turns[place], position, earliest, end)
        if lost is not None and not ready:
            raise lost
        return ready

    def _contiguous(self, records: list[Record]) -> list[Record]:
        """Leave out a partition whose first record is gone: retention passed between the two
        statements, and the next look will say so."""
        expected = dict(self._positions)
        kept: list[Record] = []
        for record in records:
            partition = (record.topic, record.partition)
            if record.offset == expected[partition]:
                expected[partition] += 1
                kept.append(record)
        return kept

    def _columns(self, partitions: list[TopicPartition]) -> tuple[list[int], list[int], list[int]]:
        return (
            [self._topic_ids[topic] for topic, _ in partitions],
            [number for _, number in partitions],
            [self._positions[each] for each in partitions],
        )


def _record(partition: TopicPartition, row: Any) -> Record:
    _, offset, timestamp_ms, key, value, headers = row
    return Record(*partition, offset, timestamp_ms, key, value, _decode_headers(headers))
