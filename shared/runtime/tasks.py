"""A replica's tasks: begun again after an error that nobody foresaw, ended by name."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from shared.bus.port import BusUnavailable
from shared.runtime.clock import Clock
from shared.runtime.limits import Limits
from shared.runtime.store.port import StoreUnavailable

log = structlog.get_logger(__name__)

Work = Callable[[], Awaitable[None]]


class Tasks:
    """One replica's, by name. `service` is for the log."""

    def __init__(self, service: str, clock: Clock, limits: Limits) -> None:
        self._service = service
        self._clock = clock
        self._limits = limits
        self._tasks: dict[object, asyncio.Task[None]] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._tasks

    def spawn(self, name: object, work: Work) -> None:
        task = self._tasks[name] = asyncio.ensure_future(self._supervised(name, work))

        def ended(_: object) -> None:
            if self._tasks.get(name) is task:
                del self._tasks[name]

        task.add_done_callback(ended)

    async def cancel(self, name: object) -> None:
        """Returns when it has ended. One that was never spawned is none."""
        task = self._tasks.pop(name, None)
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    async def cancel_all(self) -> None:
        for name in tuple(self._tasks):
            await self.cancel(name)

    async def end(self, name: object) -> None:
        """Wait until a task that was told to has ended."""
        task = self._tasks.pop(name, None)
        if task is not None:
            await asyncio.wait({task})

    async def repeat(self, step: Work, pause_s: float) -> None:
        """`step` every `pause_s`; sooner after it failed in passing."""
        failures = 0
        while True:
            try:
                await step()
                failures = 0
                await self._clock.sleep(pause_s)
            except (BusUnavailable, StoreUnavailable) as error:
                failures += 1
                log.warning("will be tried again", service=self._service, why=str(error))
                await self._clock.sleep(min(pause_s, self.pause_s(failures)))

    def pause_s(self, failures: int) -> float:
        """How long to wait after so many failures in a row."""
        limits = self._limits
        return min(limits.backoff_most_s, limits.backoff_first_s * 2 ** min(failures, 16))

    async def _supervised(self, name: object, work: Work) -> None:
        while True:
            try:
                return await work()
            except Exception:
                log.exception("a task failed", service=self._service, task=str(name))
                if (task := asyncio.current_task()) is not None and task.cancelling():
                    return None  # failed while it was being stopped: begun again it never ends
                await self._clock.sleep(1)
