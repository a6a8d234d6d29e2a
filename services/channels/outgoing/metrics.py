"""Figures of the outgoing side."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class OutgoingMetrics:
    """`omniroute_fetches_total`, `omniroute_polls_total` and what waits or fails."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._fetches = Counter(
            "omniroute_fetches",
            "Fetches of what vendors announced, by purpose and outcome",
            ["purpose", "outcome"],
            registry=registry,
        )
        self._polls = Counter(
            "omniroute_polls",
            "Passes of pollers and reconcilers, by kind and outcome",
            ["kind", "outcome"],
            registry=registry,
        )
        self.owed = Gauge("omniroute_fetches_owed", "Fetches that are owed", registry=registry)
        self.oldest_s = Gauge(
            "omniroute_fetch_oldest_seconds", "Age of the oldest owed fetch", registry=registry
        )
        self.failing = Gauge(
            "omniroute_polls_failing",
            "Pollers whose last three passes or more failed",
            registry=registry,
        )

    def fetched(self, purpose: str, outcome: str) -> None:
        self._fetches.labels(purpose, outcome).inc()

    def polled(self, kind: str, outcome: str) -> None:
        self._polls.labels(kind, outcome).inc()
