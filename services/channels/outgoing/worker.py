"""Does the fetches that are owed: taken from the table, performed, delivered, and only then forgotten."""

import asyncio
import contextlib
import random

import structlog

from services.channels.connectors import registry
from services.channels.connectors.port import Wanted
from services.channels.context import Channels, wall_us
from services.channels.outgoing.delivery import delivered, give_up, keep_file, opened
from services.channels.outgoing.errands import Errands, fetch_for
from services.channels.outgoing.metrics import OutgoingMetrics
from services.channels.outgoing.performing import Errand, Performer
from services.channels.outgoing.store import FETCH_LEASE_S, OwedFetch
from shared.contracts.problems import Refused
from shared.db.engine import DatabaseUnavailable, OutcomeUnknown
from shared.fetching.client import FetchFailed

AT_ONCE = 8
LOOK_EVERY_S = 1.0
BACK_OFF_S = 2.0
FIRST_RETRY_S = 2.0
LAST_RETRY_S = 3600.0
MAX_ATTEMPTS = 20
"""Spread over some twelve hours: longer than most outages, shorter than a file's life at the vendor."""

log = structlog.get_logger(__name__)

_AWAY = (Refused, DatabaseUnavailable, OutcomeUnknown)


def retry_after_s(attempts: int, asked_s: float | None, chance: float) -> float:
    """Seconds to the next try: doubling, spread by a tenth either way, never sooner than asked."""
    wait = min(FIRST_RETRY_S * 2 ** max(attempts - 1, 0), LAST_RETRY_S)
    return max(wait * (0.9 + 0.2 * chance), asked_s or 0.0)


class FetchWorker:
    """One per process; `run` until cancelled."""

    def __init__(
        self,
        channels: Channels,
        errands: Errands,
        performer: Performer,
        metrics: OutgoingMetrics,
        *,
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        self._channels = channels
        self._errands = errands
        self._performer = performer
        self._metrics = metrics
        self._look_every_s = look_every_s

    async def run(self) -> None:
        """Until cancelled. What is in hand then stays owed."""
        under_way: set[asyncio.Task[None]] = set()
        try:
            while True:
                self._errands.wake.clear()
                for one in await self._taken(AT_ONCE - len(under_way)):
                    under_way.add(asyncio.create_task(self._do(one)))
                await self._pause(under_way)
                under_way = {task for task in under_way if not task.done()}
        finally:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    async def _pause(self, under_way: set[asyncio.Task[None]]) -> None:
        """Until something is done, something new is owed, or it is time to look."""
        waking = asyncio.create_task(self._errands.wake.wait())
        try:
            full = len(under_way) >= AT_ONCE
            await asyncio.wait(
                {*under_way} if full else {*under_way, waking},
                timeout=self._look_every_s,
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            waking.cancel()

    async def _taken(self, room: int) -> list[OwedFetch]:
        if room <= 0:
            return []
        try:
            return await self._errands.store.take(room)
        except (DatabaseUnavailable, OutcomeUnknown) as away:
            log.info("fetch.waiting", because=type(away).__name__)
            await asyncio.sleep(BACK_OFF_S)
            return []

    async def _do(self, one: OwedFetch) -> None:
        """One fetch to its end: done, postponed or given up. Never raises."""
        try:
            async with asyncio.timeout(FETCH_LEASE_S - 5):
                outcome = await self._outcome(one)
            self._metrics.fetched(one.purpose, outcome)
        except _AWAY as away:
            # The lease brings it back; sooner, where the database takes that.
            log.warning("fetch.unavailable", connector=one.connector, because=str(away))
            self._metrics.fetched(one.purpose, "unavailable")
            with contextlib.suppress(*_AWAY):
                await self._errands.store.postpone(one, BACK_OFF_S, "Nothing could be kept.")
        except Exception as error:
            log.exception("fetch.failed", connector=one.connector, purpose=one.purpose)
            with contextlib.suppress(*_AWAY):
                await self._fail(one, FetchFailed(f"It failed: {type(error).__name__}."))

    async def _outcome(self, one: OwedFetch) -> str:
        store = self._errands.store
        stored = await self._channels.store.connector(one.workspace, one.connector)
        if stored is None:
            await store.done(one)
            return "dropped"
        if not stored.enabled:
            await store.postpone(one, LAST_RETRY_S, "The connector is switched off.")
            return "postponed"
        if one.attempts > MAX_ATTEMPTS:
            return await self._give_up(one, "fetch_failed", "It never came to an end.")
        fetch = fetch_for(registry.get(stored.kind), one.purpose)
        if fetch is None:
            return await self._give_up(
                one, "fetch_unknown", f"No {one.purpose} can be fetched by this kind."
            )
        try:
            settings, secrets = opened(self._channels, stored)
            errand = Errand(stored, settings, secrets, fetch, one.ids, None, wall_us())
            wanted = await self._brought(one, errand)
        except FetchFailed as failed:
            return await self._fail(one, failed)
        await store.done(one, wanted)
        if wanted:
            self._errands.wake.set()
        return "done"

    async def _brought(self, one: OwedFetch, errand: Errand) -> list[Wanted]:
        """What the fetch brought, durable; and what it announces."""
        wanted: list[Wanted] = []
        async with contextlib.aclosing(self._performer.pages(errand)) as pages:
            async for page in pages:
                if page.lost is not None:
                    raise FetchFailed(page.lost, permanent=True)
                if page.content is not None:
                    await keep_file(self._channels, self._errands.store, one, page)
                wanted += await delivered(self._channels, errand, page)
                if page.cut:
                    log.warning("fetch.cut", connector=one.connector, purpose=one.purpose)
        return wanted

    async def _fail(self, one: OwedFetch, failed: FetchFailed) -> str:
        log.info("fetch.refused", connector=one.connector, purpose=one.purpose, why=failed.said)
        if failed.permanent or one.attempts >= MAX_ATTEMPTS:
            return await self._give_up(one, "fetch_failed", failed.said)
        wait_s = retry_after_s(one.attempts, failed.after_s, random.random())
        await self._errands.store.postpone(one, wait_s, failed.said)
        return "postponed"

    async def _give_up(self, one: OwedFetch, reason: str, said: str) -> str:
        await give_up(self._channels, self._errands.store, one, reason, said)
        return "given_up"
