"""Figures of the outgoing side."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge

from services.channels.outgoing.store import Standing

_POLLER = ["workspace", "connector", "name"]


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
        self._behind_s = Gauge(
            "omniroute_poll_behind_seconds",
            "Seconds since a poller's last good pass",
            _POLLER,
            registry=registry,
        )
        self._left_s = Gauge(
            "omniroute_subscription_left_seconds",
            "Seconds until a subscription at a vendor ends, unless it is renewed",
            _POLLER,
            registry=registry,
        )

    def standing(self, pollers: Iterable[Standing]) -> None:
        """Where each poller stands; those that are gone are no longer shown."""
        self._behind_s.clear()
        self._left_s.clear()
        for one in pollers:
            place = (one.workspace, one.connector, one.name)
            self._behind_s.labels(*place).set(one.behind_s)
            if one.left_s is not None:
                self._left_s.labels(*place).set(one.left_s)

    def fetched(self, purpose: str, outcome: str) -> None:
        self._fetches.labels(purpose, outcome).inc()

    def polled(self, kind: str, outcome: str) -> None:
        self._polls.labels(kind, outcome).inc()
