"""Watches a running system for what must not be: waiting work beside an agent who may have it."""

import asyncio
from collections.abc import Callable

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from services.router.api.context import as_committed
from services.router.domain import idleness
from services.router.domain.idleness import EXEMPT, Look, Place
from shared.contracts.core import Core
from shared.runtime.owned import for_each
from shared.runtime.port import RuntimePort

TICK_S = 5.0
TOLD_MAX = 5  # pairs that one look logs

log = structlog.get_logger(__name__)


class IdleMonitor:
    """Looks at a part of each owned workspace every TICK_S; `run` must be kept running.

    A task that two looks find overlooked is a fault of the router. It is told, not mended.
    """

    def __init__(
        self, runtime: RuntimePort, owned: Callable[[], list[str]], registry: CollectorRegistry
    ) -> None:
        self._runtime = runtime
        self._owned = owned
        self._places: dict[str, Place] = {}
        self._suspects: dict[str, list[tuple[str, str]]] = {}
        self._pairs = Counter(
            "omniroute_idle_pairs_judged",
            "Pairs of a waiting task and a present agent that the monitor held against each other",
            registry=registry,
        )
        self._faults = Counter(
            "omniroute_idle_faults",
            "Looks that confirmed work to be overlooked, or found a hold or drain that outlived its end",
            ("workspace", "what"),
            registry=registry,
        )
        self._apart = Gauge(
            "omniroute_idle_kept_apart",
            "Pairs of a waiting task and a free, capable agent in the last look, by what keeps them apart",
            ("workspace", "reason"),
            registry=registry,
        )

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(TICK_S)
            owned = self._owned()
            await for_each(owned, self.check, "idle_monitor.skipped")
            for gone in self._places.keys() - set(owned):
                self._forget(gone)

    async def check(self, workspace: str) -> Look:
        """One look. Raises what the runtime raises."""
        place = self._places.get(workspace, Place())
        suspects = self._suspects.get(workspace, [])

        def look(core: Core) -> tuple[list[tuple[str, str]], Look]:
            ws = as_committed(core)
            return idleness.still(ws, suspects), idleness.look(ws, place)

        confirmed, seen = await self._runtime.query(workspace, look)
        self._places[workspace], self._suspects[workspace] = seen.following, seen.overlooked
        self._pairs.inc(seen.pairs)
        self._show_apart(workspace, seen)
        self._complain(workspace, "overlooked", confirmed)
        self._complain(workspace, "outlived", seen.outlived)
        await asyncio.sleep(0)  # others' turn: a replica may own thousands
        return seen

    def _show_apart(self, workspace: str, seen: Look) -> None:
        for reason in EXEMPT:
            self._apart.labels(workspace, reason).set(seen.kept_apart.get(reason, 0))

    def _complain(self, workspace: str, what: str, found: list[tuple[str, str]]) -> None:
        if not found:
            return
        self._faults.labels(workspace, what).inc()
        log.error(f"idle_monitor.{what}", workspace=workspace, found=found[:TOLD_MAX])

    def _forget(self, workspace: str) -> None:
        del self._places[workspace], self._suspects[workspace]
        for reason in EXEMPT:
            self._apart.remove(workspace, reason)
