"""From the journal to the bus, in order, from a cursor that each commit and heartbeat stores."""

from collections import deque
from collections.abc import Sequence
from functools import lru_cache
from itertools import islice

import structlog

from shared.bus.port import Bus, BusUnavailable, Outgoing, RecordRefused
from shared.contracts.deadletter import DEAD_LETTER
from shared.contracts.envelope import CONTENT_TYPE, Envelope, Headers, to_headers
from shared.contracts.ids import sequence, sequenced_id
from shared.contracts.instants import format_instant
from shared.runtime.limits import Limits
from shared.runtime.metrics import RuntimeMetrics
from shared.runtime.store.port import JournalRow, Store

log = structlog.get_logger(__name__)


def event_id(service: str, workspace: str, seq: int) -> str:
    """Id on the bus of a service's event `seq`: the same each time it is published."""
    return sequenced_id("evt", service, workspace, seq)


def to_outgoing(service: str, partition: int, row: JournalRow) -> Outgoing:
    """The record of a journal row."""
    key = row.key.encode()
    if row.type == DEAD_LETTER and row.seq == 0:
        headers = to_headers(_letter(service, row))
    else:
        headers = _headers(service, row, key)
    return Outgoing(row.topic, partition, key, row.data, headers)


def _headers(service: str, row: JournalRow, key: bytes) -> Headers:
    """As `to_headers` makes them of an event of ours; what many events share is made once."""
    workspace, seq = row.workspace, row.seq
    headers = (
        *_shared(service, workspace, row.type, row.at_us),
        ("ce_id", sequence(service, workspace)("evt", seq).encode()),
        ("ce_sequence", b"%d" % seq),
        ("ce_partitionkey", key),
    )
    return headers if row.previous < 0 else (*headers, ("ce_previous", b"%d" % row.previous))


def _letter(service: str, row: JournalRow) -> Envelope:
    """A dead letter: no event of the workspace, so it has no number."""
    return Envelope(
        id=row.key,
        source=f"/{service}",
        type=row.type,
        time=format_instant(row.at_us),
        workspace=row.workspace,
        data=row.data,
        partitionkey=row.key,
    )


@lru_cache(maxsize=4096)
def _shared(service: str, workspace: str, event_type: str, at_us: int) -> Headers:
    """Of all events of a type in a workspace's turn."""
    return (
        ("content-type", CONTENT_TYPE.encode()),
        ("ce_specversion", b"1.0"),
        ("ce_source", f"/{service}".encode()),
        ("ce_workspace", workspace.encode()),
        ("ce_type", event_type.encode()),
        ("ce_time", format_instant(at_us).encode()),
    )


class Outbox:
    """One shard's. Keeps the newest committed rows in memory and reads older ones back."""

    def __init__(
        self, store: Store, bus: Bus, partition: int, limits: Limits, metrics: RuntimeMetrics
    ) -> None:
        self._store = store
        self._bus = bus
        self._partition = partition
        self._limits = limits
        self._metrics = metrics
        self._rows: deque[JournalRow] = deque()
        self.published = 0
        self.last = 0

    @property
    def depth(self) -> int:
        """Rows committed and not known to be on the bus."""
        return self.last - self.published

    @property
    def full(self) -> bool:
        return self.depth >= self._limits.outbox_rows

    def resume(self, published: int, last: int) -> None:
        """Begin behind the stored cursor; what this object knows to be published stays so."""
        self.published = max(self.published, published)
        self.last = last
        self._rows.clear()

    def committed(self, rows: Sequence[JournalRow]) -> None:
        """These rows are stored now and may go out."""
        if not rows:
            return
        self.last = rows[-1].position
        self._rows.extend(rows)
        if len(self._rows) > self._limits.outbox_memory_rows:
            self._rows.clear()

    async def publish(self) -> bool:
        """Send the next rows; True when there were any.

        Raises BusUnavailable (the same rows come again), StoreUnavailable.
        """
        rows = await self._next()
        if not rows:
            return False
        service = self._store.service
        await self._send([to_outgoing(service, self._partition, row) for row in rows if row.topic])
        self._advance(rows[-1].position)
        return True

    async def _next(self) -> list[JournalRow]:
        limit = self._limits.publish_rows
        if self._rows and self._rows[0].position == self.published + 1:
            return list(islice(self._rows, limit))
        if self.depth <= 0:
            return []
        return await self._store.outbox(self._partition, self.published, limit)

    def _advance(self, position: int) -> None:
        self.published = max(self.published, position)
        while self._rows and self._rows[0].position <= self.published:
            self._rows.popleft()

    async def _send(self, records: list[Outgoing]) -> None:
        if not records:
            return
        try:
            await self._bus.send(records)
        except RecordRefused:
            await self._send_one_by_one(records)

    async def _send_one_by_one(self, records: list[Outgoing]) -> None:
        """A record that the bus will never take must not block those behind it."""
        for record in records:
            try:
                await self._bus.send([record])
            except RecordRefused as error:
                self._metrics.refused_events.labels(self._store.service).inc()
                log.error("event refused by the bus", topic=record.topic, why=str(error))


__all__ = ["BusUnavailable", "Outbox", "event_id", "to_outgoing"]
