"""LISTEN on a connection of its own: hears NOTIFY as long as PostgreSQL is there, and comes back."""

# asyncpg's stubs say less than its documentation: its connections are Any here.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false

import asyncio
import contextlib
import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import asyncpg

from shared.db.engine import asyncpg_dsn
from shared.db.failures import LOST

# How often it is made sure that nothing was missed.
PING_S = 0.25
TIMEOUT_S = 5
PAUSE_S = (0.1, 0.5, 1.0, 2.0, 5.0)

Heard = Callable[[str], None]
Resumed = Callable[[], None]


class Listener:
    """Calls back for each notification. Notifications are hints: those sent while the connection
    was lost never come, so `resumed` is called after each (re)connect and readers look for
    themselves then."""

    def __init__(self, url: str, *, application_name: str = "omniroute-listen") -> None:
        self._dsn = asyncpg_dsn(url)
        self._name = application_name
        self._heard: dict[str, list[Heard]] = {}
        self._resumed: list[Resumed] = []
        self._connected = asyncio.Event()
        self._sure_at = -math.inf

    @property
    def sure_at(self) -> float:
        """What was notified before this instant (`time.monotonic`) has been heard, as long as the
        connection is the same: PostgreSQL has answered on it a question asked then."""
        return self._sure_at

    @property
    def connected(self) -> bool:
        """False while notifications may be missed, as far as we know."""
        return self._connected.is_set()

    async def wait_connected(self) -> None:
        await self._connected.wait()

    def on(self, channel: str, heard: Heard, resumed: Resumed | None = None) -> None:
        """Call `heard` with each payload of `channel`. Before `run` only; callbacks must not wait."""
        self._heard.setdefault(channel, []).append(heard)
        if resumed is not None:
            self._resumed.append(resumed)

    async def run(self) -> None:
        """Listen until cancelled; never raises for a database that is away."""
        failures = 0
        while True:
            with contextlib.suppress(*LOST):
                connection: Any = await asyncpg.connect(
                    self._dsn, timeout=TIMEOUT_S, server_settings={"application_name": self._name}
                )
                failures = 0
                try:
                    await self._listen(connection)
                finally:
                    self._connected.clear()
                    connection.terminate()
            await asyncio.sleep(PAUSE_S[min(failures, len(PAUSE_S) - 1)])
            failures += 1

    async def _listen(self, connection: Any) -> None:
        for channel in self._heard:
            await connection.add_listener(channel, self._dispatch)
        self._connected.set()
        for resumed in self._resumed:
            resumed()
        lost = asyncio.Event()
        connection.add_termination_listener(partial(_set, lost))
        while not lost.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PING_S):
                    await lost.wait()
                return
            asked_at = time.monotonic()
            await connection.fetchval("SELECT 1", timeout=TIMEOUT_S)
            self._sure_at = asked_at

    def _dispatch(self, _connection: Any, _pid: int, channel: str, payload: str) -> None:
        for heard in self._heard[channel]:
            heard(payload)


def _set(event: asyncio.Event, _connection: Any) -> None:
    event.set()
