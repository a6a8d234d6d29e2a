"""Accepted means durable: records go to the bus, or, while it is away, in order to the spool.

A record is accepted when `publish` returns. While a partition's spool holds anything, every replica
appends to it and one of them drains it, so that the order of acceptance is the order on the bus.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence

import structlog

from services.channels.spool_store import SpoolFull, SpoolStore
from shared.bus.port import Bus, BusUnavailable, Outgoing, RecordRefused
from shared.contracts.problems import Refused
from shared.db.engine import DatabaseUnavailable

SEND_TIMEOUT_S = 5.0
DRAIN_RECORDS = 500
POLL_S = 0.5
BACK_OFF_S = 1.0
RETRY_AFTER_S = 5

log = structlog.get_logger(__name__)


class Intake:
    """Publishes accepted records. One per process; `run` is its drainer and must be kept running."""

    def __init__(self, bus: Bus, spool: SpoolStore) -> None:
        self._bus = bus
        self._spool = spool
        self._spooling: set[int] = set()

    async def publish(self, records: Sequence[Outgoing]) -> None:
        """Make the records durable, keeping their order per partition.

        Raises Refused: `unavailable` with Retry-After when neither the bus nor the spool takes
        them (all may be sent again), `too-large` when a record is over the bus's limit.
        """
        if not records:
            return
        try:
            if not self._must_spool(records) or not await self._spool.append(records, begin=False):
                await self._send_or_spool(records)
        except SpoolFull as full:
            raise unavailable(f"Nothing more can be kept while the bus is away: {full}.") from full
        except DatabaseUnavailable as away:
            raise unavailable("Neither the bus nor the database takes events now.") from away
        except RecordRefused as refused:
            raise Refused(
                "too-large", f"The event does not fit on the bus: {refused}."
            ) from refused

    def _must_spool(self, records: Sequence[Outgoing]) -> bool:
        return bool(self._spooling) and any(one.partition in self._spooling for one in records)

    async def _send_or_spool(self, records: Sequence[Outgoing]) -> None:
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await self._bus.send(records)
        except (BusUnavailable, TimeoutError) as away:
            log.warning("bus.away", because=str(away) or "no answer in time", records=len(records))
            await self._spool.append(records, begin=True)
            self._spooling |= {record.partition for record in records}

    @property
    def spooling(self) -> frozenset[int]:
        """The partitions that this replica knows to be spooling."""
        return frozenset(self._spooling)

    async def run(self) -> None:
        """Learn which partitions spool, and drain those that nobody else drains. Until cancelled."""
        while True:
            try:
                await self.drain_once()
                await asyncio.sleep(POLL_S)
            except (DatabaseUnavailable, BusUnavailable, TimeoutError) as away:
                log.info("spool.waiting", because=type(away).__name__)
                await asyncio.sleep(BACK_OFF_S)

    async def drain_once(self) -> None:
        """Empty each spooling partition, as far as the bus takes it."""
        self._spooling = await self._spool.spooling()
        for partition in sorted(self._spooling):
            async with self._spool.drainer(partition) as mine:
                if mine:
                    await self._drain(partition)

    async def _drain(self, partition: int) -> None:
        while True:
            last, records = await self._spool.oldest(partition, DRAIN_RECORDS)
            if records:
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    await self._bus.send(records)
                await self._spool.drop(partition, last)
            elif await self._spool.close(partition):
                self._spooling.discard(partition)
                log.info("spool.empty", partition=partition)
                return


def unavailable(detail: str) -> Refused:
    return Refused("unavailable", detail, retry_after_s=RETRY_AFTER_S)


@contextlib.asynccontextmanager
async def draining(intake: Intake) -> AsyncGenerator[None]:
    """Run the drainer for the length of the block."""
    task = asyncio.create_task(intake.run(), name="spool-drainer")
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
