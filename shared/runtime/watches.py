"""Who waits for which name of which workspace, and how they are woken."""

import asyncio
from collections.abc import Collection, Iterable
from types import TracebackType
from typing import Self

from shared.runtime.clock import Clock
from shared.runtime.port import Unavailable


class Watch:
    """See `port.WatchPort`."""

    def __init__(self, watches: "Watches", clock: Clock, keys: list[tuple[str, str]]) -> None:
        self._watches = watches
        self._clock = clock
        self._news = False
        self._waiting: asyncio.Future[bool] | None = None
        self.keys = keys

    async def changed(self, timeout_s: float) -> bool:
        if not self._news and timeout_s > 0:
            self._waiting = asyncio.get_running_loop().create_future()
            try:
                await self._clock.until(self._waiting, timeout_s)
            finally:
                self._waiting = None
        came, self._news = self._news, False
        return came

    def wake(self) -> None:
        self._news = True
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(True)

    def close(self) -> None:
        self._watches.forget(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Watches:
    """All watches of one replica."""

    def __init__(self, clock: Clock, limit: int) -> None:
        self._clock = clock
        self._limit = limit
        self._count = 0
        self._by_key: dict[tuple[str, str], set[Watch]] = {}

    def open(self, workspace: str, names: Collection[str]) -> Watch:
        """Raises Unavailable at the limit."""
        if self._count >= self._limit:
            raise Unavailable("too many clients wait for changes")
        watch = Watch(self, self._clock, [(workspace, name) for name in names])
        for key in watch.keys:
            self._by_key.setdefault(key, set()).add(watch)
        self._count += 1
        return watch

    def forget(self, watch: Watch) -> None:
        """May be called twice."""
        if not watch.keys:
            return
        for key in watch.keys:
            waiting = self._by_key[key]
            waiting.discard(watch)
            if not waiting:
                del self._by_key[key]
        watch.keys = []
        self._count -= 1

    def wake(self, workspace: str, names: Iterable[str]) -> None:
        for name in names:
            for watch in self._by_key.get((workspace, name), ()):
                watch.wake()

    def wake_all(self, workspaces: Collection[str]) -> None:
        """The shard of these is lost or reloaded: everybody should look again."""
        chosen = set(workspaces)
        for (workspace, _), waiting in self._by_key.items():
            if workspace in chosen:
                for watch in waiting:
                    watch.wake()
