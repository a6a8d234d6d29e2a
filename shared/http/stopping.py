"""The server's wish to stop, as long waits see it."""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress

from fastapi import Request


class Stopping:
    """Set once, when the server stops taking calls; long-polls and streams then end early."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        self._event.set()

    @property
    def is_set(self) -> bool:
        return self._event.is_set()

    async def wait(self) -> None:
        await self._event.wait()

    async def wait_for(self, awaitable: Awaitable[object], timeout_s: float) -> bool:
        """Wait for `awaitable`, at most `timeout_s`, and no longer than the server runs.

        True: the awaitable is done (its exception, if any, is raised). False: time is over or the
        server stops; the awaitable is cancelled.
        """
        work = asyncio.ensure_future(awaitable)
        stop = asyncio.ensure_future(self._event.wait())
        try:
            await asyncio.wait({work, stop}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
                return True
            return False
        finally:
            for task in (work, stop):
                if not task.done():
                    task.cancel()
                    with suppress(asyncio.CancelledError):
                        await task


def stopping_of(request: Request) -> Stopping:
    """The application's Stopping: `await stopping_of(request).wait_for(changed.wait(), wait_s)`."""
    return request.app.state.stopping
