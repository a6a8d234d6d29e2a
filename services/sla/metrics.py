"""What the SLA service tells Prometheus: clocks as they start, are met and breached, and how late a
breach was noticed."""

from collections import Counter as Counts
from collections.abc import Sequence

import msgspec
from prometheus_client import CollectorRegistry, Counter, Histogram

from shared.runtime.store.port import JournalRow

_LAG_S = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 15, 60, 300)
_PREFIX, _SUFFIX = "sla.clock.", ".v1"


class _Said(msgspec.Struct):
    metric: str
    detected_lag_s: float | None = None
    predicted: bool = False


_said = msgspec.json.Decoder(_Said)


class SlaMetrics:
    """Counts committed events; `event` is started, warning, met, breached, …"""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._events = Counter(
            "omniroute_sla_clock_events",
            "What happened to clocks",
            ("workspace", "metric", "event"),
            registry=registry,
        )
        self._lag = Histogram(
            "omniroute_sla_detection_lag_seconds",
            "From the instant a clock was due until its breach was recorded",
            ("metric",),
            buckets=_LAG_S,
            registry=registry,
        )

        self._predictions = Counter(
            "omniroute_sla_predictions",
            "Clocks met and breached, by whether a breach had been predicted",
            ("workspace", "metric", "predicted", "outcome"),
            registry=registry,
        )

    def __call__(self, journal: Sequence[JournalRow]) -> None:
        events: Counts[tuple[str, str, str]] = Counts()
        ended: Counts[tuple[str, str, str, str]] = Counts()
        for row in journal:
            if not row.type.startswith(_PREFIX):
                continue
            said = _said.decode(row.data)
            event = row.type.removeprefix(_PREFIX).removesuffix(_SUFFIX)
            events[row.workspace, said.metric, event] += 1
            if said.detected_lag_s is not None:
                self._lag.labels(said.metric).observe(said.detected_lag_s)
            if event in ("met", "breached"):
                ended[row.workspace, said.metric, "yes" if said.predicted else "no", event] += 1
        for labels, count in events.items():
            self._events.labels(*labels).inc(count)
        for labels, count in ended.items():
            self._predictions.labels(*labels).inc(count)
