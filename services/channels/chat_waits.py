"""Visitors who wait for an answer: one look at the archive wakes all of them."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

import structlog

from shared.contracts.problems import Refused
from shared.db.engine import DatabaseUnavailable

LOOK_S = 0.25
MAX_WAITING = 10_000

Place = tuple[str, str]
Newest = Callable[[Sequence[Place]], Awaitable[dict[Place, int]]]

log = structlog.get_logger(__name__)


class ChatWaits:
    """One per process; looks only while somebody waits, once for all conversations."""

    def __init__(self, newest: Newest, *, look_s: float = LOOK_S) -> None:
        self._newest = newest
        self._look_s = look_s
        self._waiting: dict[Place, list[asyncio.Event]] = {}
        self._count = 0
        self._looking: asyncio.Task[None] | None = None

    @contextlib.asynccontextmanager
    async def waiting(self, place: Place) -> AsyncGenerator[asyncio.Event]:
        """An event that is set when something arrives in the conversation after this began.

        Raises Refused (rate-limited) when too many wait.
        """
        self.check_room()
        news = asyncio.Event()
        self._waiting.setdefault(place, []).append(news)
        self._count += 1
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look(), name="chat waits")
        try:
            yield news
        finally:
            self._count -= 1
            self._waiting[place].remove(news)
            if not self._waiting[place]:
                del self._waiting[place]

    def check_room(self) -> None:
        """Raises Refused (rate-limited) when too many wait."""
        if self._count >= MAX_WAITING:
            raise Refused("rate-limited", "Too many visitors wait here.", retry_after_s=5)

    async def stop(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._looking

    async def _look(self) -> None:
        seen: dict[Place, int] = {}
        while self._waiting:
            places = list(self._waiting)
            try:
                found = await self._newest(places)
            except DatabaseUnavailable as away:
                log.info("chat.waiting", because=str(away))
                found = {}
            for place, number in found.items():
                # Whoever began to wait before this look may have read before the message came.
                if seen.get(place) != number:
                    for news in self._waiting.get(place, ()):
                        news.set()
            seen = {place: found.get(place, seen.get(place, 0)) for place in places}
            await asyncio.sleep(self._look_s)
