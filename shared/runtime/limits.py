"""Every bound of the runtime, by name."""

import msgspec

from shared.contracts.topics import INTERACTIONS


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The defaults suit one replica of a service on a small machine."""

    # A batch ends at the first of these.
    batch_inputs: int = 512
    batch_bytes: int = 4 << 20
    batch_ms: float = 10
    # After so long others of the process have a turn, amid a batch.
    turn_ms: float = 10
    # With so many waiting the next batch is applied while the one before commits; with fewer it
    # waits for that, and takes in meanwhile what arrives.
    overlap_inputs: int = 64
    # With fewer it also waits until the batch before began so long ago: a commit costs the same for
    # one input as for ten. Where so much comes that waiting pays, it waits for `gather_inputs`, at
    # most `gather_most_ms`, and no longer once a command or a record of `hurried_topics` is there. And
    # so long after events went out more of them are gathered.
    gather_ms: float = 0
    gather_most_ms: float = 0
    gather_inputs: int = 64
    hurried_topics: frozenset[str] = frozenset()
    publish_pause_ms: float = 0

    # Waiting in memory, per shard.
    inbox_records: int = 10_000
    inbox_bytes: int = 32 << 20
    commands: int = 2_000
    queries: int = 2_000
    # Journal rows committed but not on the bus; at the limit commands get 503, timers go on.
    outbox_rows: int = 50_000
    publish_rows: int = 500
    outbox_memory_rows: int = 5_000

    # Per replica.
    watches: int = 50_000
    poll_records: int = 500
    poll_wait_ms: int = 100
    # So long after a poll that brought something, and not all that it may bring, the next one begins:
    # who gathers for longer need not be woken for every few records.
    poll_pause_ms: float = 0
    # A reader without shards looks this often whether there are some.
    intake_pause_s: float = 0.02

    # Leases.
    lease_s: float = 10
    heartbeat_s: float = 3
    replica_alive_s: float = 10

    # A timer that left something due is repeated after this; one that failed, after up to 60 s.
    timer_pause_ms: int = 20
    timer_backoff_most_s: float = 60

    # Failure.
    backoff_first_s: float = 0.1
    backoff_most_s: float = 5
    retry_after_s: int = 1

    # Reading from PostgreSQL.
    load_chunk: int = 2_000
    config_poll_s: float = 1
    config_rows: int = 1_000
    journal_page: int = 1_000
    # A shard without work looks around this often; a new one waits this long for its log before it
    # begins with commands and timers.
    idle_s: float = 1
    attach_grace_s: float = 1
    # After a commit refused for good, this many inputs are committed one by one.
    caution_inputs: int = 1_024
    stop_publish_s: float = 2

    # Keeping.
    snapshot_inputs: int = 20_000
    snapshot_pause_s: float = 300
    inputs_days: int = 30
    seen_days: int = 8
    replies_hours: int = 24
    prune_rows: int = 5_000
    maintain_s: float = 600

    # Sequence numbers of records that failed, kept so that a replayed dead letter is let in.
    failed_sequences: int = 64


# Who waits for it: an agent for his offer, a supervisor for a warning, a reader of what was said. The
# second is the longest under load: what it saves, those who wait for an offer get. What the router
# hears of clocks may wait for the next message.
_GATHER_MS = {"router": (5, 50), "sla": (25, 150), "archive": (40, 120)}
# Batches of theirs that nobody waits for stand in the way of those that somebody does.
_TURN_MS = {"sla": 3, "archive": 3}
_HURRIED = {"router": frozenset(INTERACTIONS.values())}
_PUBLISH_PAUSE_MS = 15
_POLL_PAUSE_MS = {"sla": 15, "archive": 20}


def limits_of(service: str, lease_s: float) -> Limits:
    """A service's, with this lease, renewed three times within its span as the default one is."""
    least_ms, most_ms = _GATHER_MS.get(service, (0, 0))
    return Limits(
        lease_s=lease_s,
        heartbeat_s=lease_s * 0.3,
        replica_alive_s=lease_s,
        gather_ms=least_ms,
        gather_most_ms=most_ms,
        turn_ms=_TURN_MS.get(service, 10),
        hurried_topics=_HURRIED.get(service, frozenset()),
        publish_pause_ms=_PUBLISH_PAUSE_MS,
        poll_pause_ms=_POLL_PAUSE_MS.get(service, 0),
    )
