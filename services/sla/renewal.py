"""Calendars' windows kept ahead of time, and derived again when the time-zone data changes."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import msgspec
import structlog

from services.sla.domain.commands import RenewCalendar
from services.sla.live import as_sla
from shared.calendars import AHEAD_US, BACK_US, data_versions, expand
from shared.contracts.core import Core, Input
from shared.contracts.windows import Expanded
from shared.runtime.owned import for_each
from shared.runtime.port import RuntimePort

log = structlog.get_logger(__name__)

FIRST_S = 20.0  # after the start: what comes first is to be ready
EVERY_S = 3_600.0
SLACK_US = 180 * 86_400_000_000  # windows are renewed when they end this much too early
BEHIND_MAX_US = 12 * 366 * 86_400_000_000  # how far back windows are kept


def data_text() -> str:
    """The versions of the data that windows come from, as they are stored beside them."""
    return " ".join(f"{name} {version}" for name, version in sorted(data_versions().items()))


class Stale(msgspec.Struct, frozen=True):
    """A version of a calendar whose windows are to be renewed."""

    id: str
    version: int
    body: dict[str, Any]
    lo_us: int


def stale(core: Core, now_us: int, data: str) -> list[Stale]:
    """The versions whose windows end too early, or come from other data."""
    found: list[Stale] = []
    for (kind, name, number), version in sorted(as_sla(core).library.versions.items()):
        windows = version.windows
        if kind != "calendar" or windows is None:
            continue
        if windows.hi_us < now_us + AHEAD_US - SLACK_US or version.data != data:
            body = msgspec.json.decode(version.body)
            found.append(Stale(name, number, body, windows.lo_us))
    return found


class Renewal:
    """`run` must be kept running; `owned` names the workspaces of this replica."""

    def __init__(
        self,
        runtime: RuntimePort,
        owned: Callable[[], list[str]],
        now_us: Callable[[], int] = lambda: time.time_ns() // 1000,
        data: str | None = None,
        first_s: float = FIRST_S,
    ) -> None:
        self._runtime = runtime
        self._owned = owned
        self._now_us = now_us
        self._first_s = first_s
        self._data = data_text() if data is None else data

    async def run(self) -> None:
        """Look at every owned workspace, now and then. Until cancelled."""
        await asyncio.sleep(self._first_s)
        while True:
            await for_each(self._owned(), self.renew, "renewal.skipped")
            await asyncio.sleep(EVERY_S)

    async def renew(self, workspace: str) -> int:
        """Renews what is stale; how many versions. Raises what the runtime raises."""
        now_us = self._now_us()
        found = await self._runtime.query(workspace, lambda core: stale(core, now_us, self._data))
        for one in found:
            windows = await asyncio.to_thread(_windows, one, now_us)
            command = RenewCalendar(
                id=one.id, version=one.version, windows=windows, data=self._data
            )
            body = msgspec.json.encode(command)
            what = Input("command", "RenewCalendar", body, actor="system")
            await self._runtime.submit(workspace, what)
            log.info("calendar.renewed", workspace=workspace, calendar=one.id, data=self._data)
        return len(found)


def _windows(one: Stale, now_us: int) -> Expanded:
    back = max(BACK_US, min(now_us - one.lo_us, BEHIND_MAX_US))
    return expand(one.body, now_us, back_us=back)
