"""When which process dies: each replica runs through its list of deaths and is started again."""

import asyncio
import signal
import time
from collections.abc import Sequence
from random import Random

import msgspec

from shared.testing.kill_points import LAST_WORDS, VARIABLE
from shared.testing.processes import Process

ANY_TIME = "any-time"
POLL_S = 0.05
PATIENCE_S = 120.0


class Kill(msgspec.Struct, frozen=True):
    """A death that was seen: by SIGKILL, at the point that the process itself named."""

    target: str
    point: str
    at: float


class Mortal:
    """One replica and the deaths that await it."""

    def __init__(self, process: Process, service: str, points: Sequence[str], seed: str) -> None:
        self.process = process
        self.kills: list[Kill] = []
        self._service = service
        self._points = list(points)
        self._chance = Random(seed)

    async def run(self) -> None:
        """Die at no particular point, then at each of the points, and live again. Raises
        AssertionError when a death does not come within PATIENCE_S or is not the one meant."""
        await asyncio.sleep(self._chance.uniform(0, 3))
        self._strike()
        for point in self._points:
            await asyncio.sleep(self._chance.uniform(0.1, 0.6))
            await self._die_at(point)
        await self._live()

    async def once_more(self) -> None:
        """Die at no particular point, and live again."""
        self._strike()
        await self._live()

    def _strike(self) -> None:
        self.process.kill()
        self.kills.append(Kill(self.process.target, ANY_TIME, time.monotonic()))

    async def _live(self) -> None:
        self.process.launch()
        await asyncio.to_thread(self.process.wait_ready)

    async def _die_at(self, point: str) -> None:
        spec = f"{self._service}:{point}:{self._count(point)}"
        self.process.launch(**{VARIABLE: spec})
        deadline = time.monotonic() + PATIENCE_S
        while self.process.pid is not None:
            assert time.monotonic() < deadline, f"{spec} did not come:\n{self.process.tail()}"
            await asyncio.sleep(POLL_S)
        at = time.monotonic()
        status = self.process.stop()
        assert status == -signal.SIGKILL, f"{spec}: status {status}\n{self.process.tail()}"
        assert f"{LAST_WORDS}{spec}" in self.process.tail(3), self.process.tail()
        self.kills.append(Kill(self.process.target, point, at))

    def _count(self, point: str) -> int:
        return self._chance.randint(1, 2) if point == "loading" else self._chance.randint(8, 40)
