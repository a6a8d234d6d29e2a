"""What a change of a policy or a calendar would do to the open clocks, without doing it.

The clocks are counted again in a process of their own, portion by portion, so that the event loop
only ever hands over a few conversations at a time.
"""

import asyncio
import multiprocessing
import os
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import msgspec

from services.sla.domain.core import SlaCore
from services.sla.live import as_sla, now_us
from services.sla.trial import Proposal, Trial
from shared.contracts.core import Core, Entity
from shared.runtime.port import RuntimePort

PORTION = 1_000  # conversations handed over at a time
AT_ONCE = 3  # portions that wait in the process


class DryRuns:
    """The shell's side. One at a time; a second one waits for the first."""

    def __init__(self, runtime: RuntimePort, now_us: Callable[[SlaCore], int] = now_us) -> None:
        self._runtime = runtime
        self._now_us = now_us
        self._one = asyncio.Lock()

    async def run(self, workspace: str, what: Proposal) -> AsyncIterator[dict[str, Any]]:
        """`{"done", "of"}` (conversations) as it goes, then the report (`Report.shown`).

        Raises what `RuntimePort.query` raises.
        """
        async with self._one:
            names, stored, at_us = await self._runtime.query(workspace, self._beginning)
            spawn = multiprocessing.get_context("spawn")
            given = (workspace, msgspec.msgpack.encode(stored), what, at_us)
            pool = ProcessPoolExecutor(1, spawn, _prepare, given)
            try:
                async for done in self._portions(pool, workspace, names):
                    yield {"done": done, "of": len(names)}
                yield await asyncio.get_running_loop().run_in_executor(pool, _report)
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _beginning(self, core: Core) -> tuple[list[str], list[Entity], int]:
        sla = as_sla(core)
        return sla.conversations.names(), sla.library.dump(), self._now_us(sla)

    async def _portions(
        self, pool: ProcessPoolExecutor, workspace: str, names: list[str]
    ) -> AsyncIterator[int]:
        loop = asyncio.get_running_loop()
        running: list[tuple[asyncio.Future[None], int]] = []
        for start in range(0, len(names), PORTION):
            some = names[start : start + PORTION]
            bodies = await self._runtime.query(
                workspace, lambda core, some=some: packed(core, some)
            )
            done = min(start + PORTION, len(names))
            running.append((loop.run_in_executor(pool, _portion, bodies), done))
            if len(running) > AT_ONCE:
                first, upto = running.pop(0)
                await first
                yield upto
        for first, upto in running:
            await first
            yield upto


def packed(core: Core, names: list[str]) -> list[bytes]:
    """The bodies of those of the conversations that are still in memory."""
    held = as_sla(core).conversations
    return [held.body(name) for name in names if name in held]


# In the process.

_trial: list[Trial] = []


def _prepare(workspace: str, stored: bytes, what: Proposal, at_us: int) -> None:
    os.nice(10)
    entities = msgspec.msgpack.decode(stored, type=list[Entity])
    _trial.append(Trial(workspace, entities, what, at_us))


def _portion(conversations: list[bytes]) -> None:
    _trial[0].portion(conversations)


def _report() -> dict[str, Any]:
    return {**_trial[0].report()}
