"""Derives the hours of shifts in agents' own time zones, and gives them to the core as inputs."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import msgspec

from services.router.api.context import as_workspace
from services.router.domain import shift_zones
from services.router.domain.shift_zones import Wanted, in_zone
from shared.calendars import expand
from shared.contracts.core import Core, Input
from shared.runtime.owned import for_each
from shared.runtime.port import RuntimePort

TICK_S = 5.0


def derive(one: Wanted, now_us: int) -> Input:
    """The config input that answers it."""
    given = msgspec.json.decode(one.body, type=dict[str, Any])
    body = in_zone(given, one.zone)
    windows = list(expand(body, now_us).windows)
    shown = {"id": one.id, "timezone": one.zone}
    config = {"id": one.id, "version": one.version, "body": shown, "windows": windows}
    return Input("config", "calendar", msgspec.json.encode(config), id=one.id)


class ShiftZones:
    """`run` must be kept running; `owned` names the workspaces of this replica."""

    def __init__(
        self,
        runtime: RuntimePort,
        owned: Callable[[], list[str]],
        now_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._runtime = runtime
        self._owned = owned
        self._now_us = now_us

    async def run(self) -> None:
        """Look at every owned workspace now and then. Until cancelled."""
        while True:
            await asyncio.sleep(TICK_S)
            await for_each(self._owned(), self.renew, "shift_zones.skipped")

    async def renew(self, workspace: str) -> int:
        """Derives what is missing; how many. Raises what the runtime raises."""
        found = await self._runtime.query(workspace, _wanted)
        for one in found:
            what = await asyncio.to_thread(derive, one, self._now_us())
            await self._runtime.submit(workspace, what)
        return len(found)


def _wanted(core: Core) -> list[Wanted]:
    return shift_zones.wanted(as_workspace(core))
