"""What PostgreSQL holds and each call needs, remembered for a moment and forgotten once changed.

Asking at each call takes longer than the call itself.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from shared.db.listen import Listener

FRESH_S = 1.0
"""NOTIFY ends it earlier; this bounds the time when a lost connection has not been noticed."""
RENEWED_S = 0.5
"""What is asked for so long before its end is read again meanwhile, so that nobody has to wait then."""
MOST = 10_000

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Remembered(Generic[K, V]):
    """Answers of `read` by key, never from before a change that was heard of on `channel`, at most
    `believed_s` old. Older than FRESH_S only while the listener has shown within that span that it
    hears. However many ask at once, one read answers them all.

    Without a listener that hears of changes each call reads, and what does not exist is never
    remembered. Raises what `read` raises. For one event loop.
    """

    def __init__(
        self,
        read: Callable[[K], Awaitable[V | None]],
        listener: Listener | None,
        channel: str,
        *,
        believed_s: float = FRESH_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._listener = listener
        self._believed_s = believed_s
        self._clock = clock
        self._known: dict[K, tuple[float, V]] = {}
        self._reading: dict[K, asyncio.Task[V | None]] = {}
        if listener is not None:
            listener.on(channel, lambda _: self.forget(), self.forget)

    async def get(self, key: K) -> V | None:
        listener = self._listener
        if listener is None or not listener.connected:
            return await self._read(key)
        known = self._known.get(key)
        if known is not None:
            left_s = self._left_s(known[0], listener.sure_at)
            if 0 < left_s <= RENEWED_S:
                self._begin(key)
            if left_s > 0:
                return known[1]
        return await asyncio.shield(self._begin(key))

    def _left_s(self, read_at: float, sure_at: float) -> float:
        """How much longer what was read then is believed."""
        sure = max(read_at, sure_at) + FRESH_S
        return min(sure, read_at + self._believed_s) - self._clock()

    def forget(self) -> None:
        """Something was changed, here or elsewhere: ask again from now on. Also what is being read
        now must not be remembered, nor answer who asks from now on."""
        self._known.clear()
        self._reading.clear()

    def _begin(self, key: K) -> asyncio.Task[V | None]:
        """The read of a key that is under way, or a new one. A task, for whoever began it may be
        cancelled while others wait."""
        reading = self._reading.get(key)
        if reading is None:
            reading = self._reading[key] = asyncio.create_task(self._renew(key))
            reading.add_done_callback(_seen)
        return reading

    async def _renew(self, key: K) -> V | None:
        mine, read_at = asyncio.current_task(), self._clock()
        found: V | None = None
        try:
            found = await self._read(key)
        finally:
            current = self._reading.get(key) is mine
            if current:
                del self._reading[key]
        if current:
            self._remember(key, read_at, found)
        return found

    def _remember(self, key: K, read_at: float, found: V | None) -> None:
        known = self._known.pop(key, None)
        if found is None:
            return
        if len(self._known) >= MOST:
            self._known.clear()
        # The same object as long as nothing changed: others remember what they made of it.
        unchanged = known is not None and known[1] == found
        self._known[key] = (read_at, known[1] if known and unchanged else found)


def _seen(done: asyncio.Task[V | None]) -> None:
    """An error is for those who wait; where nobody does, the next who asks meets it."""
    if not done.cancelled():
        done.exception()
