"""An event loop whose time jumps to whatever is due next: hours pass in seconds, in one order."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
STEP_S = 1e-7
"""What a turn of the loop takes. asyncio fires timers up to a nanosecond early; without this, who
looks at the clock then and waits for the rest would do so for ever."""


class Stuck(RuntimeError):
    """Everybody waits and nothing is due: a deadlock."""


class _Jump(selectors.SelectSelector):
    """Never waits for the machine: what would be waited is added to the time."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Stuck("everybody waits and nothing is due")
        self.now_s += max(STEP_S, timeout)
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """For code that does no real I/O. Time begins at 0 and moves only while all wait."""

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        return self._jump.now_s


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run to the end in virtual time."""
    loop = VirtualTimeLoop()
    try:
        return loop.run_until_complete(main)
    finally:
        _cancel_all(loop)
        loop.close()


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
