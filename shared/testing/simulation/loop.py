"""An event loop whose time jumps to whatever is due next: hours pass in seconds, in one order.

It has what code without real I/O uses of a loop, and nothing else: asyncio's own asks the machine for
sockets at every turn and copies a context for every timer, which cost a fifth of a life.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from heapq import heappop, heappush
from typing import Any, TypeVar

T = TypeVar("T")
STEP_S = 1e-7
"""What a turn of the loop takes. A wait that is shorter than what a float can tell apart would
otherwise be waited for ever by who looks at the clock again."""

log = logging.getLogger(__name__)


class Stuck(RuntimeError):
    """Everybody waits and nothing is due: a deadlock."""


class _Call:
    """Something to be called; the part of asyncio.Handle and TimerHandle that anybody uses."""

    __slots__ = ("_when", "args", "callback", "context")

    def __init__(
        self, callback: Callable[..., Any], args: Any, context: Context | None, when: float
    ) -> None:
        self.callback: Callable[..., Any] | None = callback
        self.args = args
        self.context = context
        self._when = when

    def cancel(self) -> None:
        self.callback = None
        self.args = ()

    def cancelled(self) -> bool:
        return self.callback is None

    def when(self) -> float:
        return self._when


class VirtualTimeLoop(asyncio.AbstractEventLoop):
    """For code that does no real I/O. Time begins at 0 and moves only while all wait; what is due at
    one instant is called in the order in which it was asked for, without a context of its own."""

    def __init__(self) -> None:
        self._now_s = 0.0
        self._ready: deque[_Call] = deque()
        self._timers: list[tuple[float, int, _Call]] = []
        self._asked = 0

    def time(self) -> float:
        return self._now_s

    # False, and every future asks: nothing is quicker.
    get_debug = staticmethod(bool)  # pyright: ignore[reportAssignmentType]

    def is_running(self) -> bool:
        return asyncio._get_running_loop() is self  # pyright: ignore[reportPrivateUsage]

    def is_closed(self) -> bool:
        return False

    def create_future(self) -> "asyncio.Future[Any]":
        return asyncio.Future(loop=self)

    def create_task(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, coro: Any, *, name: str | None = None, context: Context | None = None
    ) -> "asyncio.Task[Any]":
        return asyncio.Task(coro, loop=self, name=name, context=context)

    def call_soon(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> Any:
        call = _Call(callback, args, context, self._now_s)
        self._ready.append(call)
        return call

    def call_later(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        delay: float,
        callback: Callable[..., Any],
        *args: Any,
        context: Context | None = None,
    ) -> Any:
        return self.call_at(self._now_s + delay, callback, *args, context=context)

    def call_at(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        when: float,
        callback: Callable[..., Any],
        *args: Any,
        context: Context | None = None,
    ) -> Any:
        call = _Call(callback, args, None, when)
        self._asked += 1
        heappush(self._timers, (when, self._asked, call))
        return call

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """What asyncio tells nobody else: a task's exception that was never looked at."""
        log.error("%s", context.get("message"), exc_info=context.get("exception"))

    def run_until_complete(self, future: Any) -> Any:
        """Raises Stuck where nothing could ever complete it, and what it raises."""
        main = asyncio.ensure_future(future, loop=self)
        asyncio._set_running_loop(self)  # pyright: ignore[reportPrivateUsage]
        try:
            while not main.done():
                self._turn()
        finally:
            asyncio._set_running_loop(None)  # pyright: ignore[reportPrivateUsage]
        return main.result()

    def _turn(self) -> None:
        """Call what is due, and then everything that was ready or has become so by that."""
        ready = self._ready
        self._ring(jump=not ready)
        for _ in range(len(ready)):
            call = ready.popleft()
            callback, context = call.callback, call.context
            if callback is None:
                continue
            if context is None:
                callback(*call.args)
            else:
                context.run(callback, *call.args)

    def _ring(self, *, jump: bool) -> None:
        """Time passes: a step, or to what is next."""
        timers, now_s = self._timers, self._now_s + STEP_S
        while timers and timers[0][2].callback is None:
            heappop(timers)
        if jump:
            if not timers:
                raise Stuck("everybody waits and nothing is due")
            now_s = max(now_s, timers[0][0])
        self._now_s = now_s
        while timers and timers[0][0] <= now_s:
            call = heappop(timers)[2]
            if call.callback is not None:
                call.callback(*call.args)


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run to the end in virtual time."""
    loop = VirtualTimeLoop()
    try:
        return loop.run_until_complete(main)
    finally:
        _cancel_all(loop)


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(_all_ended(tasks))


async def _all_ended(tasks: "set[asyncio.Task[Any]]") -> None:
    await asyncio.gather(*tasks, return_exceptions=True)
