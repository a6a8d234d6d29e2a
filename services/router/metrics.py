"""What the router tells Prometheus: what happened to tasks and offers, and how long people waited."""

import msgspec
from prometheus_client import CollectorRegistry, Counter, Histogram

from shared.runtime.store.port import JournalRow

_WAIT_S = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)
_ASSIGNED = "routing.task.assigned.v1"
_PREFIX, _SUFFIX = "routing.", ".v1"


class _Assigned(msgspec.Struct):
    waited_s: float
    queue: str | None = None


_assigned = msgspec.json.Decoder(_Assigned)


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

    def __call__(self, row: JournalRow) -> None:
        if not row.type.startswith(_PREFIX):
            return
        event = row.type.removeprefix(_PREFIX).removesuffix(_SUFFIX)
        self._events.labels(row.workspace, event).inc()
        if row.type == _ASSIGNED:
            assigned = _assigned.decode(row.data)
            self._wait.labels(row.workspace, assigned.queue or "").observe(assigned.waited_s)
