"""The server's wish to stop, as long waits see it."""

import asyncio
from collections.abc import Awaitable, Callable

from fastapi import Request


class Stopping:
    """Set once, when the server stops taking calls; long-polls and streams then end early."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._limits: set[asyncio.Timeout] = set()
        self._told: set[Callable[[], None]] = set()

    def set(self) -> None:
        """On the event loop's thread."""
        self._event.set()
        for tell in tuple(self._told):
            tell()
        for limit in tuple(self._limits):
            limit.reschedule(asyncio.get_running_loop().time())

    @property
    def is_set(self) -> bool:
        return self._event.is_set()

    def tell(self, told: Callable[[], None]) -> None:
        """Call `told` when the server stops, at once if it does already; until `forget`."""
        self._told.add(told)
        if self.is_set:
            told()

    def forget(self, told: Callable[[], None]) -> None:
        self._told.discard(told)

    async def wait(self) -> None:
        await self._event.wait()

    async def wait_for(self, awaitable: Awaitable[object], timeout_s: float) -> bool:
        """Wait for `awaitable`, at most `timeout_s`, and no longer than the server runs.

        True: the awaitable is done (its exception, if any, is raised). False: time is over or the
        server stops; the awaitable is cancelled. Thousands of long-polls wait here: no tasks.
        """
        limit = asyncio.timeout(0 if self.is_set else timeout_s)
        try:
            async with limit:
                self._limits.add(limit)
                try:
                    await awaitable
                finally:
                    self._limits.discard(limit)
                return True
        except TimeoutError:
            if not limit.expired():
                raise
            return False


def stopping_of(request: Request) -> Stopping:
    """The application's Stopping: `await stopping_of(request).wait_for(changed.wait(), wait_s)`."""
    return request.app.state.stopping
