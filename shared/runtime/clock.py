"""Time as a port: the machine's clock in production, a virtual one that simulation moves by hand."""

import asyncio
import heapq
import time
from collections.abc import Awaitable
from typing import Protocol, TypeVar

T = TypeVar("T")

# BOOTTIME goes on while the machine sleeps, so that a lease runs out then too.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Clock(Protocol):
    """Wall time may jump either way; monotonic time never goes back."""

    def wall_us(self) -> int:
        """Microseconds since the epoch."""
        ...

    def monotonic(self) -> float:
        """Seconds since some point; also counts while the process is frozen."""
        ...

    async def sleep(self, seconds: float) -> None: ...

    async def within(self, waiting: Awaitable[T], timeout_s: float) -> T | None:
        """The awaited result; None, with the wait cancelled, once `timeout_s` is over."""
        ...

    async def until(self, news: "asyncio.Future[bool]", timeout_s: float) -> bool:
        """The future's result; once `timeout_s` is over it is False. Thousands wait here."""
        ...


class RealClock:
    """The machine's."""

    def wall_us(self) -> int:
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        return time.clock_gettime(_STEADY)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def within(self, waiting: Awaitable[T], timeout_s: float) -> T | None:
        """Without a task of its own: who waits often waits cheaply."""
        limit = asyncio.timeout(timeout_s)
        try:
            async with limit:
                return await waiting
        except TimeoutError:
            if not limit.expired():
                raise
            return None

    async def until(self, news: "asyncio.Future[bool]", timeout_s: float) -> bool:
        alarm = asyncio.get_running_loop().call_later(timeout_s, _give_up, news)
        try:
            return await news
        finally:
            alarm.cancel()


class VirtualClock:
    """Stands still until `advance`; sleepers wake in the order of their due times."""

    def __init__(self, start_us: int = 1_800_000_000_000_000) -> None:
        self._elapsed_us = 0
        self._wall_offset_us = start_us
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._count = 0

    def wall_us(self) -> int:
        return self._wall_offset_us + self._elapsed_us

    def monotonic(self) -> float:
        return self._elapsed_us / 1_000_000

    def shift_wall(self, seconds: float) -> None:
        """Set the wall clock back or forth; monotonic time does not notice."""
        self._wall_offset_us += round(seconds * 1_000_000)

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        due_us = self._elapsed_us + max(0, round(seconds * 1_000_000))
        heapq.heappush(self._sleepers, (due_us, self._count, future))
        await future

    async def within(self, waiting: Awaitable[T], timeout_s: float) -> T | None:
        work = asyncio.ensure_future(waiting)
        alarm = asyncio.ensure_future(self.sleep(timeout_s))
        try:
            await asyncio.wait({work, alarm}, return_when=asyncio.FIRST_COMPLETED)
            return work.result() if work.done() else None
        finally:
            work.cancel()
            alarm.cancel()

    async def until(self, news: "asyncio.Future[bool]", timeout_s: float) -> bool:
        found = await self.within(news, timeout_s)
        return bool(found)

    async def advance(self, seconds: float, *, turns: int = 20) -> None:
        """Let `seconds` pass; after each sleeper woken the event loop runs `turns` times."""
        end_us = self._elapsed_us + round(seconds * 1_000_000)
        await _settle(turns)
        while self._sleepers and self._sleepers[0][0] <= end_us:
            due_us, _, future = heapq.heappop(self._sleepers)
            self._elapsed_us = max(self._elapsed_us, due_us)
            if not future.done():
                future.set_result(None)
                await _settle(turns)
        self._elapsed_us = end_us


def _give_up(news: "asyncio.Future[bool]") -> None:
    if not news.done():
        news.set_result(False)


async def _settle(turns: int) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)
