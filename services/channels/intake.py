"""Accepted means durable: records go to the bus, or, while it is away, in order to the spool.

A record is accepted when `publish` returns. While a partition's spool holds anything, every replica
appends to it and one of them drains it, so that the order of acceptance is the order on the bus.
"""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

import structlog

from services.channels.spool_store import SpoolFull, SpoolStore
from shared.bus.port import MAX_RECORD_BYTES, Bus, BusUnavailable, Outgoing, RecordRefused
from shared.contracts import topics
from shared.contracts.problems import Refused
from shared.db.engine import DatabaseUnavailable, OutcomeUnknown
from shared.patience import Patience

SEND_TIMEOUT_S = 6.0
"""Beyond the bus's own time-out, for a bus that has none."""
POLL_S = 0.5
BACK_OFF_S = 1.0
RETRY_AFTER_S = 5

log = structlog.get_logger(__name__)


class Intake:
    """Publishes accepted records. One per process; `run` must be kept running beside it.

    Once the bus was found away no request waits for it again: records go to the spool, and the
    drainer alone tries the bus until it answers.
    """

    def __init__(
        self,
        bus: Bus,
        spool: SpoolStore,
        *,
        send_timeout_s: float = SEND_TIMEOUT_S,
        poll_s: float = POLL_S,
        back_off_s: float = BACK_OFF_S,
    ) -> None:
        self._bus = bus
        self._spool = spool
        self._send_timeout_s = send_timeout_s
        self._patience = Patience(send_timeout_s)
        self._poll_s = poll_s
        self._back_off_s = back_off_s
        self._name = secrets.token_hex(8)
        self._spooling: set[int] = set()
        self._changes = 0
        self._away = False
        self._settled_at = 0.0
        self._look = asyncio.Event()
        self._work = asyncio.Event()

    @property
    def spooling(self) -> frozenset[int]:
        """The partitions that this replica knows to be spooling."""
        return frozenset(self._spooling)

    @property
    def bus_away(self) -> bool:
        """Whether the last word of the bus was that it is away."""
        return self._away

    async def depth(self) -> int:
        """How many accepted records wait in the spool."""
        return await self._spool.depth()

    async def publish(self, records: Sequence[Outgoing]) -> None:
        """Make the records durable, keeping their order per partition.

        Raises Refused: `unavailable` with Retry-After when neither the bus nor the spool takes
        them (all may be sent again), `outcome-unknown` when the spool did not say (again: all may
        be sent again), `too-large` when a record is over the bus's limit.
        """
        if not records:
            return
        try:
            if not (self._away or self._spooling) or not await self._spooled(records):
                await self._send_or_spool(records)
        except SpoolFull as full:
            raise unavailable(f"Nothing more can be kept while the bus is away: {full}.") from full
        except DatabaseUnavailable as away:
            raise unavailable("Neither the bus nor the database takes events now.") from away
        except OutcomeUnknown as unknown:
            detail = "It is not known whether the events were kept. Send them again."
            raise Refused("outcome-unknown", detail, retry_after_s=1) from unknown
        except RecordRefused as refused:
            detail = f"The event does not fit on the bus: {refused}."
            raise Refused("too-large", detail) from refused

    async def _spooled(self, records: Sequence[Outgoing]) -> bool:
        """Whether the records are in the spool, where they belong now."""
        partitions = {record.partition for record in records}
        if partitions & self._spooling:
            _refuse_large(records)
            if await self._spool.append(records):
                await self._settled()
                return True
        if not self._away:
            return False
        await self._begin(records)
        return True

    async def _send_or_spool(self, records: Sequence[Outgoing]) -> None:
        try:
            with self._patience.limit():
                await self._bus.send(records)
        except (BusUnavailable, TimeoutError) as away:
            log.warning("bus.away", because=str(away) or "no answer in time", records=len(records))
            self._away = True
            await self._begin(records)

    async def _begin(self, records: Sequence[Outgoing]) -> None:
        _refuse_large(records)
        opened = await self._spool.begin(records)
        self._note(self._spooling | {record.partition for record in records})
        if opened:
            # Until every replica has looked, one of them might overtake the spool.
            self._settled_at = time.monotonic() + 2 * self._poll_s
        self._work.set()
        await self._settled()

    async def _settled(self) -> None:
        wait_s = self._settled_at - time.monotonic()
        if wait_s > 0:
            await asyncio.sleep(wait_s)

    def _note(self, spooling: set[int]) -> None:
        self._spooling = spooling
        self._changes += 1

    def look(self) -> None:
        """Somebody has opened or closed a gate: look at once."""
        self._look.set()

    async def run(self) -> None:
        """Learn which partitions spool, and drain those that nobody else drains. Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._repeat(self._watch, self._look))
            tasks.create_task(self._repeat(self.drain_once, self._work))

    async def _repeat(self, step: Callable[[], Awaitable[None]], hurry: asyncio.Event) -> None:
        while True:
            pause_s = self._poll_s
            hurry.clear()
            try:
                await step()
            except (DatabaseUnavailable, OutcomeUnknown, BusUnavailable, TimeoutError) as away:
                log.info("spool.waiting", because=type(away).__name__)
                await asyncio.sleep(self._back_off_s)
            except RecordRefused as refused:
                # Kept, and what follows it, until the topic takes what we take: see docs/operations.md.
                log.error("spool.refused", because=str(refused))
                await asyncio.sleep(self._back_off_s)
            except Exception:
                log.exception("spool.failed")
                await asyncio.sleep(self._back_off_s)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await hurry.wait()

    async def _watch(self) -> None:
        before = self._changes
        found = await self._spool.spooling()
        if before == self._changes and found != self._spooling:
            self._note(found)
            self._work.set()

    async def drain_once(self) -> None:
        """Try a bus that was away, and empty each spooling partition as far as the bus takes it."""
        if self._away:
            await self._probe()
        for partition in sorted(self._spooling):
            if await self._spool.lease(partition, self._name):
                await self._drain(partition)

    async def _probe(self) -> None:
        async with asyncio.timeout(self._send_timeout_s):
            await self._bus.bounds([(topics.DEADLETTER, 0)])
        self._away = False
        log.info("bus.back")

    async def _drain(self, partition: int) -> None:
        while True:
            numbers, records = await self._spool.oldest(partition)
            if records:
                await self._resend(records)
                await self._spool.drop(numbers)
            elif await self._spool.close(partition):
                self._note(self._spooling - {partition})
                log.info("spool.empty", partition=partition)
                return
            if not await self._spool.lease(partition, self._name):
                return

    async def _resend(self, records: Sequence[Outgoing]) -> None:
        try:
            async with asyncio.timeout(self._send_timeout_s):
                await self._bus.send(records)
        except (BusUnavailable, TimeoutError):
            self._away = True
            raise


def _refuse_large(records: Sequence[Outgoing]) -> None:
    """What the bus would refuse must not block the spool."""
    for record in records:
        if (size := record.size()) > MAX_RECORD_BYTES:
            raise RecordRefused(f"{size} bytes, but a record has at most {MAX_RECORD_BYTES}")


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
