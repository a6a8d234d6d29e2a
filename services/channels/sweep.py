"""Removes from the blob store what is older than it is to be kept, a bounded part each round.

Every replica does it, each beginning elsewhere: removing twice is removing once, and nothing is
added to a day of payloads that is over. An attachment that came again was written again; its age is
looked at once more right before it goes.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from services.channels.blobs import PREFIXES, Blobs, Payloads
from shared.contracts import topics
from shared.contracts.problems import Refused

MAX_LOOKED_AT = 10_000
MAX_REMOVED = 1_000
ROUND_S = 60.0
BUSY_S = 1.0
BACK_OFF_S = 60.0
LETTER_DAYS = topics.RETENTION_MS[topics.DEADLETTER] // topics.DAY_MS

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Keep:
    """Days for which payloads and attachments are kept. `attachment_days` None: for ever."""

    raw_days: int
    attachment_days: int | None = None


class BlobSweeper:
    """One per process; `run` until cancelled."""

    def __init__(
        self,
        blobs: Blobs,
        keep: Keep,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        first: int | None = None,
    ) -> None:
        self._blobs = blobs
        self._keep = keep
        self._now = now
        self._next = random.randrange(len(PREFIXES)) if first is None else first

    async def run(self) -> None:
        """Round after round; sooner where the last one could not remove all that it found."""
        while True:
            pause_s = BACK_OFF_S
            try:
                removed = await self.round()
                pause_s = BUSY_S if removed >= MAX_REMOVED else ROUND_S
            except Refused:
                log.warning("blobs.not_swept")
            except Exception:
                log.exception("blobs.sweep_failed")
            await asyncio.sleep(pause_s * random.uniform(0.9, 1.1))

    async def round(self) -> int:
        """How many objects were removed, at most MAX_REMOVED. Raises Refused (unavailable)."""
        removed = await self._payloads("raw", self._keep.raw_days, MAX_REMOVED)
        removed += await self._payloads("letters", LETTER_DAYS, MAX_REMOVED - removed)
        if self._keep.attachment_days is not None and removed < MAX_REMOVED:
            removed += await self._attachments(self._keep.attachment_days, MAX_REMOVED - removed)
        if removed:
            log.info("blobs.swept", removed=removed)
        return removed

    async def _payloads(self, kind: Payloads, days: int, limit: int) -> int:
        """One day more than said, for a day ends late in other time zones and records wait in the
        spool."""
        oldest = (self._now() - timedelta(days=days + 1)).date().isoformat()
        found: list[str] = []
        for day in await self._blobs.days(kind):
            if day >= oldest or len(found) >= limit:
                break
            left = limit - len(found)
            found += [path async for path, _ in self._blobs.listed(f"{kind}/{day}", left)]
        await self._blobs.remove(found)
        return len(found)

    async def _attachments(self, days: int, limit: int) -> int:
        """Those of one part of the store each round, so that a large one is never listed whole."""
        oldest = self._now() - timedelta(days=days)
        prefix = PREFIXES[self._next]
        self._next = (self._next + 1) % len(PREFIXES)
        found: list[str] = []
        async for path, written in self._blobs.listed(prefix, MAX_LOOKED_AT):
            if len(found) == limit:
                break
            if written < oldest:
                found.append(path)
        return sum([await self._removed(path, oldest) for path in found])

    async def _removed(self, path: str, oldest: datetime) -> bool:
        written = await self._blobs.written(path)
        if written is None or written >= oldest:
            return False
        await self._blobs.remove([path])
        return True
