"""While a runtime is watched, the garbage collector looks rarely; afterwards all is as before."""

import asyncio
import contextlib
import gc

from prometheus_client import CollectorRegistry

from shared.runtime.clock import RealClock
from shared.runtime.metrics import RuntimeMetrics
from shared.runtime.supervisor import COLLECTOR, Supervisor


async def test_collector_is_calm_while_watched() -> None:
    before, registry = gc.get_threshold(), CollectorRegistry()
    supervisor = Supervisor(RealClock(), RuntimeMetrics(registry))
    watching = asyncio.create_task(supervisor.watch())
    await asyncio.sleep(0)
    assert gc.get_threshold() == COLLECTOR
    frozen = gc.get_freeze_count()
    kept = [[number] for number in range(1_000)]
    supervisor.loaded()
    assert gc.get_freeze_count() >= frozen + len(kept)
    gc.collect()
    assert registry.get_sample_value("omniroute_gc_seconds_count") == 1
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0
