"""The rates that workspaces have been given, known to the limiter without asking for each call."""

import asyncio

import msgspec

from shared.db.engine import DatabaseUnavailable
from shared.db.listen import Listener
from shared.db.platform_store import CONFIG_CHANNEL, PlatformStore
from shared.http.ratelimit import Rate

REFRESH_S = 60.0
PAGE = 500


class Rates:
    """`of` is what the limiter asks; `run` keeps it true and must be kept running."""

    def __init__(self, platform: PlatformStore, listener: Listener) -> None:
        self._platform = platform
        self._rates: dict[str, Rate] = {}
        self._changed: set[str] = set()
        self._news = asyncio.Event()
        listener.on(CONFIG_CHANNEL, self._heard, self._news.set)

    def of(self, workspace: str) -> Rate | None:
        """The workspace's own rate, None where it has none."""
        return self._rates.get(workspace)

    def _heard(self, payload: str) -> None:
        self._changed.add(payload.partition(" ")[0])
        self._news.set()

    async def run(self) -> None:
        """Read all once, then what has changed; all again now and then. Until cancelled."""
        while True:
            try:
                await self._read_all()
                await self._follow()
            except DatabaseUnavailable:
                await asyncio.sleep(1)

    async def _follow(self) -> None:
        """Read what is told of, until it is time to read all again."""
        end = asyncio.get_running_loop().time() + REFRESH_S
        while (left := end - asyncio.get_running_loop().time()) > 0:
            try:
                async with asyncio.timeout(left):
                    await self._news.wait()
            except TimeoutError:
                return
            self._news.clear()
            names, self._changed = self._changed, set()
            if not names:
                return
            for name in names:
                found = await self._platform.workspace(name)
                self._keep(name, {} if found is None else found.settings)

    async def _read_all(self) -> None:
        after = ""
        while rows := await self._platform.workspaces(after=after, limit=PAGE):
            for row in rows:
                self._keep(row.id, row.settings)
            after = rows[-1].id

    def _keep(self, workspace: str, settings: dict[str, object]) -> None:
        rate = settings.get("rate")
        if rate:
            self._rates[workspace] = msgspec.convert(rate, Rate)
        else:
            self._rates.pop(workspace, None)
