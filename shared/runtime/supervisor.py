"""Watches what stops a process's event loop for everybody: long steps and garbage collection.

Cores keep many objects and make no cycles, so the collector finds next to nothing; what it costs is the
time in which it looks, and nobody is served meanwhile. So each object is looked at once, soon after it
was made, in portions that take some milliseconds, and is then put aside (frozen). What became garbage in
a circle after that (a closed connection's, say) is found by a review of everything, in a calm moment.
"""

import gc
import time
from typing import Any

import structlog

from shared.runtime.clock import Clock
from shared.runtime.metrics import RuntimeMetrics

PERIOD_S = 0.5
# New objects after which the collector looks at them. Python's own 700 look some hundred times a second;
# at 50,000 a look took up to 90 ms.
PORTION = 5_000
# Survivors of a portion are put aside at once, so that the older generations stay empty.
COLLECTOR = (PORTION, 1_000, 1_000)
REVIEW_FROM = 100_000  # objects put aside since the last review
REVIEW_EVERY_S = 1_800.0  # at the most, where the process is calm
REVIEW_AT_LATEST_S = 6 * 3_600.0
CALM = 0.2  # of a core's time

_log: Any = structlog.get_logger("omniroute.runtime")


def calm_collector() -> tuple[int, int, int]:
    """Let the garbage collector look rarely, and not at all at what there is now. Returns the
    thresholds of before. Wants to be called again after anything large was loaded."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(*COLLECTOR)
    return before


class Supervisor:
    """One for a process: measures how late timers fire and how long collections take, and sees to
    it that collections are short."""

    def __init__(self, clock: Clock, metrics: RuntimeMetrics) -> None:
        self._clock = clock
        self._metrics = metrics
        self._began = 0.0
        self._reviewed_s = clock.monotonic()
        self._kept = 0

    async def watch(self) -> None:
        """Until cancelled."""
        gc.callbacks.append(self._collected)
        thresholds = calm_collector()
        self._reviewed_s, self._kept = self._clock.monotonic(), gc.get_freeze_count()
        try:
            while True:
                before, cpu_s = self._clock.monotonic(), time.process_time()
                await self._clock.sleep(PERIOD_S)
                lasted_s = self._clock.monotonic() - before
                self._metrics.loop_lag.set(max(0.0, lasted_s - PERIOD_S))
                if self.review_due(time.process_time() - cpu_s < CALM * lasted_s):
                    self.review()
        finally:
            gc.set_threshold(*thresholds)
            gc.unfreeze()
            gc.callbacks.remove(self._collected)

    def loaded(self) -> None:
        """A shard was loaded: its cores stay, so the collector need not look at them."""
        calm_collector()

    def review_due(self, calm: bool) -> bool:
        """Whether enough was put aside, long enough ago, to look through all of it now."""
        since_s = self._clock.monotonic() - self._reviewed_s
        if since_s < REVIEW_EVERY_S or gc.get_freeze_count() - self._kept < REVIEW_FROM:
            return False
        return calm or since_s >= REVIEW_AT_LATEST_S

    def review(self) -> None:
        """Look at everything, once; a million objects take about half a second."""
        gc.unfreeze()
        found = gc.collect()
        gc.freeze()
        self._reviewed_s, self._kept = self._clock.monotonic(), gc.get_freeze_count()
        _log.debug("gc.reviewed", found=found, kept=self._kept)

    def _collected(self, phase: str, _: dict[str, Any]) -> None:
        if phase == "start":
            self._began = time.perf_counter()
            return
        self._metrics.collections.observe(time.perf_counter() - self._began)
        gc.freeze()
