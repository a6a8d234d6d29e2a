"""Time limits on waiting, cheap enough for every request: one timer for all who wait equally long.

`asyncio.timeout` sets and removes a timer each time, which costs more than what it guards when that
is an answer in memory or a place in a batch.
"""

import asyncio
from collections import deque
from types import TracebackType
from typing import Any


class Patience:
    """Limits of `limit_s` seconds each. For one event loop."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._limits: deque[Limit] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def limit(self) -> "Limit":
        """A context: what is awaited in it is cancelled after the limit, and TimeoutError raised.
        Use each once. Whoever else cancels the task meanwhile gets his CancelledError."""
        return Limit(self)

    def began(self, limit: "Limit", loop: asyncio.AbstractEventLoop) -> None:
        """Limits end in the order in which they began: the queue is sorted."""
        limits = self._limits
        while limits and limits[0].task is None:
            limits.popleft()
        limit.until = loop.time() + self._limit_s
        limits.append(limit)
        if self._timer is None:
            self._timer = loop.call_at(limit.until, self._expire, loop)

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        limits, now = self._limits, loop.time()
        while limits and (limits[0].task is None or limits[0].until <= now):
            limits.popleft().expire()
        if limits:
            self._timer = loop.call_at(limits[0].until, self._expire, loop)


class Limit:
    """One wait. `task` is who waits, None once it is over."""

    __slots__ = ("_cancelled_before", "_expired", "_patience", "task", "until")

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._expired = False
        self._cancelled_before = 0
        self.until = 0.0
        self.task: asyncio.Task[Any] | None = None

    def expire(self) -> None:
        if self.task is not None:
            self._expired = True
            self.task.cancel()

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None, "only a task can wait"
        self.task = task
        self._cancelled_before = task.cancelling()
        self._patience.began(self, task.get_loop())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        _: TracebackType | None,
    ) -> None:
        task, self.task = self.task, None
        if not self._expired or task is None:
            return
        if task.uncancel() <= self._cancelled_before and kind is asyncio.CancelledError:
            raise TimeoutError from error
