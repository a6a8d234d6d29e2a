"""What the runtime tells Prometheus."""

from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from shared.runtime.store.port import JournalRow

Observe = Callable[[Sequence[JournalRow]], None]

_SHARD = ("service", "partition")
_FAST = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)


class RuntimeMetrics:
    """One per process; services and shards are labels."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        registry = registry or CollectorRegistry()
        self.registry = registry
        self.batch_inputs = Histogram(
            "omniroute_batch_inputs",
            "Inputs of one commit",
            ("service",),
            buckets=(1, 2, 5, 10, 20, 50, 100, 200, 512),
            registry=registry,
        )
        self.apply_seconds = Histogram(
            "omniroute_batch_apply_seconds",
            "Time in the core per batch",
            ("service",),
            buckets=_FAST,
            registry=registry,
        )
        self.commit_seconds = Histogram(
            "omniroute_batch_commit_seconds",
            "Time of one commit",
            ("service",),
            buckets=_FAST,
            registry=registry,
        )
        self.inputs = Counter(
            "omniroute_inputs", "Inputs committed, by kind", ("service", "kind"), registry=registry
        )
        self.events = Counter(
            "omniroute_journal_events", "Events committed", ("service",), registry=registry
        )
        self.duplicates = Counter(
            "omniroute_duplicates", "Records dropped as seen", ("service",), registry=registry
        )
        self.gaps = Counter(
            "omniroute_sequence_gaps",
            "Records of our own services that never came: look at the topic",
            ("service", "source"),
            registry=registry,
        )
        self.dead_letters = Counter(
            "omniroute_dead_letters", "Inputs given up", ("service", "reason"), registry=registry
        )
        self.failures = Counter(
            "omniroute_shard_failures",
            "Times a shard's memory was discarded",
            ("service", "kind"),
            registry=registry,
        )
        self.refused_events = Counter(
            "omniroute_publish_refused",
            "Events the bus will never take",
            ("service",),
            registry=registry,
        )
        self.lag = Gauge(
            "omniroute_log_lag_records",
            "Records not decided yet",
            (*_SHARD, "topic"),
            registry=registry,
        )
        self.outbox = Gauge(
            "omniroute_outbox_rows", "Journal rows not on the bus yet", _SHARD, registry=registry
        )
        self.waiting = Gauge(
            "omniroute_inbox_waiting", "Arrivals in memory", _SHARD, registry=registry
        )
        self.owned = Gauge(
            "omniroute_shards_owned", "Shards of this replica", ("service",), registry=registry
        )
        self.live = Gauge(
            "omniroute_shards_live",
            "Shards of this replica that decide just now",
            ("service",),
            registry=registry,
        )
        self.halted = Gauge(
            "omniroute_shard_halted", "1: stopped until a person acts", _SHARD, registry=registry
        )
        self.loop_lag = Gauge(
            "omniroute_event_loop_lag_seconds", "How late a timer fires", registry=registry
        )
        self.collections = Histogram(
            "omniroute_gc_seconds",
            "Time of one garbage collection",
            buckets=_FAST,
            registry=registry,
        )
        self._observers: dict[str, Observe] = {}

    def forget_shard(self, service: str, partition: int) -> None:
        """Another replica tells of the shard from now on; a figure left behind would stay for ever."""
        shard = {"service": service, "partition": str(partition)}
        for gauge in (self.lag, self.outbox, self.waiting, self.halted):
            gauge.remove_by_labels(shard)

    def observe(self, service: str, observer: Observe) -> None:
        """Show `observer` the events of a service's journal, a batch at a time, once they are
        committed. It must be quick and must not raise."""
        self._observers[service] = observer

    def told(self, service: str, journal: Sequence[JournalRow]) -> None:
        observer = self._observers.get(service)
        if observer is not None and journal:
            observer(journal)
