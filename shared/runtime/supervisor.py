"""Watches what stops an event loop for everybody: long steps and garbage collection."""

import gc
import time
from typing import Any

from shared.runtime.clock import Clock
from shared.runtime.metrics import RuntimeMetrics

PERIOD_S = 0.5
# When the collector looks: after so many new objects, and how often it takes those in that survived
# once and twice. Cores keep many objects and make no cycles, so looking often finds nothing; Python's
# own (700, 10, 10) look some hundred times a second.
COLLECTOR = (50_000, 20, 50)


def calm_collector() -> tuple[int, int, int]:
    """Let the garbage collector look rarely, and not at all at what there is now. Returns the
    thresholds of before. Wants to be called again after anything large was loaded."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(*COLLECTOR)
    return before


class Supervisor:
    """Measures how late timers fire and how long collections take. What was loaded is frozen: a
    full collection of a million objects would stop the loop for a quarter of a second."""

    def __init__(self, clock: Clock, metrics: RuntimeMetrics) -> None:
        self._clock = clock
        self._metrics = metrics
        self._began = 0.0

    async def watch(self) -> None:
        """Until cancelled."""
        gc.callbacks.append(self._collected)
        thresholds = calm_collector()
        try:
            while True:
                before = self._clock.monotonic()
                await self._clock.sleep(PERIOD_S)
                late_s = self._clock.monotonic() - before - PERIOD_S
                self._metrics.loop_lag.set(max(0.0, late_s))
        finally:
            gc.set_threshold(*thresholds)
            gc.unfreeze()
            gc.callbacks.remove(self._collected)

    def loaded(self) -> None:
        """A shard was loaded: its cores stay, so the collector need not look at them."""
        calm_collector()

    def _collected(self, phase: str, _: dict[str, Any]) -> None:
        if phase == "start":
            self._began = time.perf_counter()
        else:
            self._metrics.collections.observe(time.perf_counter() - self._began)
