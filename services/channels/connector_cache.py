"""Connectors as their vendors' calls need them: remembered for a moment, forgotten once changed.

Asking PostgreSQL at each webhook takes longer than the webhook.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from shared.db.listen import Listener

CONNECTOR_CHANNEL = "channels_connector"
FRESH_S = 1.0
"""NOTIFY ends it earlier; this bounds the time when a lost connection has not been noticed."""
MAX_CONNECTORS = 10_000

T = TypeVar("T")


class ConnectorCache(Generic[T]):
    """Connectors by workspace and name, read by `read`. Without a listener that hears of changes
    nothing is remembered, and what does not exist never is."""

    def __init__(
        self, read: Callable[[str, str], Awaitable[T | None]], listener: Listener | None
    ) -> None:
        self._read = read
        self._listener = listener
        self._known: dict[tuple[str, str], tuple[float, T]] = {}
        self._forgotten = 0
        if listener is not None:
            listener.on(CONNECTOR_CHANNEL, lambda _: self.forget(), self.forget)

    async def get(self, workspace: str, name: str) -> T | None:
        key = (workspace, name)
        known = self._known.get(key)
        heard = self._listener is not None and self._listener.connected
        if known is not None and heard and time.monotonic() - known[0] < FRESH_S:
            return known[1]
        read_at, forgotten = time.monotonic(), self._forgotten
        found = await self._read(workspace, name)
        # What changed while it was read must not be remembered as it was.
        if found is not None and heard and forgotten == self._forgotten:
            if len(self._known) >= MAX_CONNECTORS:
                self._known.clear()
            self._known[key] = (read_at, found)
        return found

    def forget(self) -> None:
        """Something was changed, here or elsewhere: ask again from now on."""
        self._forgotten += 1
        self._known.clear()
