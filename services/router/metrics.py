"""What the router tells Prometheus: what happened to tasks and offers, and how long people waited."""

from collections import Counter as Counts
from collections.abc import Sequence

import msgspec
from prometheus_client import CollectorRegistry, Counter, Histogram

from shared.runtime.store.port import JournalRow

_WAIT_S = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)
_ASSIGNED = "routing.task.assigned.v1"
_COMPLETED = "routing.task.completed.v1"
_PREFIX, _SUFFIX = "routing.", ".v1"


class _Assigned(msgspec.Struct):
    waited_s: float
    queue: str | None = None
    estimated_s: float | None = None
    actual_s: float | None = None


class _Completed(msgspec.Struct):
    deflected: bool = False


_assigned = msgspec.json.Decoder(_Assigned)
_completed = msgspec.json.Decoder(_Completed)


class RouterMetrics:
    """Counts committed events; `event` is task.created, offer.expired, …"""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._events = Counter(
            "omniroute_routing_events",
            "What happened to tasks, offers and agents",
            ("workspace", "event"),
            registry=registry,
        )
        self._wait = Histogram(
            "omniroute_task_wait_seconds",
            "From the start of waiting until an agent had the task",
            ("workspace", "queue"),
            buckets=_WAIT_S,
            registry=registry,
        )
        self._estimate = Histogram(
            "omniroute_estimate_error_seconds",
            "How far the first estimate of a wait was from what the wait became",
            ("workspace", "queue", "wait"),
            buckets=_WAIT_S,
            registry=registry,
        )
        self._deflected = Counter(
            "omniroute_tasks_deflected",
            "Tasks that bots completed and no human had",
            ("workspace",),
            registry=registry,
        )

    def __call__(self, journal: Sequence[JournalRow]) -> None:
        for (workspace, name), count in Counts(
            [(row.workspace, row.type) for row in journal]
        ).items():
            if name.startswith(_PREFIX):
                event = name.removeprefix(_PREFIX).removesuffix(_SUFFIX)
                self._events.labels(workspace, event).inc(count)
        for row in journal:
            if row.type == _ASSIGNED:
                assigned = _assigned.decode(row.data)
                self._wait.labels(row.workspace, assigned.queue or "").observe(assigned.waited_s)
                self._note_estimate(row.workspace, assigned)
            elif row.type == _COMPLETED and _completed.decode(row.data).deflected:
                self._deflected.labels(row.workspace).inc()

    def _note_estimate(self, workspace: str, assigned: _Assigned) -> None:
        """`wait`: whether people waited longer or shorter than they were told."""
        if assigned.estimated_s is None or assigned.actual_s is None:
            return
        off_s = assigned.actual_s - assigned.estimated_s
        wait = "longer" if off_s > 0 else "shorter"
        self._estimate.labels(workspace, assigned.queue or "", wait).observe(abs(off_s))
