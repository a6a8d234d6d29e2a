"""Wakes readers when something is appended: LISTEN on a connection of its own."""
# asyncpg brings no types:
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.bus.postgres.statements import CHANNEL
from shared.db.engine import asyncpg_dsn
from shared.db.failures import LOST

CONNECT_TIMEOUT_S = 5
RECONNECT_PAUSE_S = 0.2

News = frozenset[tuple[int, int]]
"""(topic id, partition) with something new; empty: any of them may have."""


class Listener:
    """Calls `wake` at every notice, and once after each (re)connection, when notices may have been
    missed. While `connected` is False readers look by themselves. Its own process's notices
    (`sender`) say nothing new."""

    def __init__(self, engine: AsyncEngine, sender: str, wake: Callable[[News], None]) -> None:
        self._sender = sender
        self._dsn = asyncpg_dsn(engine.url.render_as_string(hide_password=False))
        self._wake = wake
        self._task: asyncio.Task[None] | None = None
        self.connected = False

    def start(self) -> None:
        """Connect in the background and stay connected. May be called twice."""
        if self._task is None:
            self._task = asyncio.create_task(self._stay(), name="bus-listener")

    async def stop(self) -> None:
        """Disconnect. May be called twice."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _stay(self) -> None:
        while True:
            with suppress(*LOST):
                await self._listen()
            await asyncio.sleep(RECONNECT_PAUSE_S)

    async def _listen(self) -> None:
        """Listen until the connection ends."""
        connection: Any = await asyncpg.connect(
            self._dsn,
            timeout=CONNECT_TIMEOUT_S,
            server_settings={"application_name": "omniroute bus"},
        )
        ended = asyncio.Event()
        try:
            connection.add_termination_listener(lambda _: ended.set())  # pyright: ignore[reportUnknownLambdaType]
            await connection.add_listener(CHANNEL, self._hear)
            self.connected = True
            self._wake(frozenset())
            await ended.wait()
        finally:
            self.connected = False
            connection.terminate()

    def _hear(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        sender, *news = str(payload).split()
        if sender != self._sender:
            pairs = (each.split(":") for each in news)
            self._wake(frozenset((int(topic), int(number)) for topic, number in pairs))
