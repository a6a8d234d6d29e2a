"""The process's garbage collection: short looks, each object once; a review of all in a calm moment."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio
from prometheus_client import CollectorRegistry

from shared.runtime.clock import RealClock
from shared.runtime.metrics import RuntimeMetrics
from shared.runtime.supervisor import (
    COLLECTOR,
    PORTION,
    REVIEW_AT_LATEST_S,
    REVIEW_EVERY_S,
    REVIEW_FROM,
    Supervisor,
)


class HeldClock(RealClock):
    """Steady time as the test says."""

    at_s = 0.0

    def monotonic(self) -> float:
        return self.at_s


class Circle:
    """Garbage that only the collector finds."""

    def __init__(self) -> None:
        self.own = self


@pytest_asyncio.fixture
async def watched() -> AsyncIterator[tuple[Supervisor, HeldClock, CollectorRegistry]]:
    registry, clock = CollectorRegistry(), HeldClock()
    supervisor = Supervisor(clock, RuntimeMetrics(registry))
    watching = asyncio.create_task(supervisor.watch())
    await asyncio.sleep(0)
    yield supervisor, clock, registry
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching


async def test_all_is_as_before_once_nothing_is_watched(watched: Any) -> None:
    assert gc.get_threshold() == COLLECTOR


async def test_what_was_loaded_is_put_aside(watched: Any) -> None:
    supervisor, _, registry = watched
    frozen = gc.get_freeze_count()
    kept = [[number] for number in range(1_000)]
    supervisor.loaded()
    assert gc.get_freeze_count() >= frozen + len(kept)
    gc.collect()
    assert registry.get_sample_value("omniroute_gc_seconds_count") == 1


async def test_each_object_is_looked_at_once(watched: Any) -> None:
    """However much is kept, no collection looks at more than a portion of it."""
    _, _, registry = watched
    kept: list[list[int]] = []
    most = 0
    for number in range(20 * PORTION):
        kept.append([number])
        most = max(most, sum(gc.get_count()[1:]))
    assert most <= 1, "nothing stays in the older generations"
    assert registry.get_sample_value("omniroute_gc_seconds_count") >= 15
    assert gc.get_freeze_count() >= len(kept) - PORTION


async def test_a_review_finds_what_became_garbage_after_it_was_put_aside(watched: Any) -> None:
    supervisor, clock, _ = watched
    circles = [Circle() for _ in range(REVIEW_FROM)]
    supervisor.loaded()
    assert not supervisor.review_due(calm=True), "not so soon"
    clock.at_s = REVIEW_EVERY_S
    assert supervisor.review_due(calm=True)
    assert not supervisor.review_due(calm=False)
    clock.at_s = REVIEW_AT_LATEST_S
    assert supervisor.review_due(calm=False)
    frozen = gc.get_freeze_count()
    del circles
    supervisor.review()
    assert gc.get_freeze_count() <= frozen - REVIEW_FROM
    assert not supervisor.review_due(calm=True)


async def test_a_little_put_aside_needs_no_review(watched: Any) -> None:
    supervisor, clock, _ = watched
    clock.at_s = REVIEW_AT_LATEST_S
    assert not supervisor.review_due(calm=True)
