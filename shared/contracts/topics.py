"""Topics and their partitions. A partition is a shard; a workspace lives in one shard."""

from typing import Literal

Channel = Literal["phone", "email", "chat", "social"]
CHANNELS: tuple[Channel, ...] = ("phone", "email", "chat", "social")

INTERACTIONS: dict[str, str] = {channel: f"interactions.{channel}" for channel in CHANNELS}
ROUTING_EVENTS = "routing.events"
SLA_EVENTS = "sla.events"
DEADLETTER = "deadletter"
TRANSCRIPTS_PARTIAL = "transcripts.partial"
RAW = "raw"

ALL_TOPICS: tuple[str, ...] = (
    *INTERACTIONS.values(),
    ROUTING_EVENTS,
    SLA_EVENTS,
    DEADLETTER,
    TRANSCRIPTS_PARTIAL,
    RAW,
)
DEFAULT_PARTITIONS = 12

DAY_MS = 86_400_000
RETENTION_MS: dict[str, int] = {
    **dict.fromkeys(INTERACTIONS.values(), 8 * DAY_MS),
    ROUTING_EVENTS: 8 * DAY_MS,
    SLA_EVENTS: 8 * DAY_MS,
    DEADLETTER: 30 * DAY_MS,
    TRANSCRIPTS_PARTIAL: DAY_MS // 24,
    RAW: 3 * DAY_MS,
}

# Who writes the topics of our own services' events.
WRITTEN_BY: dict[str, str] = {ROUTING_EVENTS: "router", SLA_EVENTS: "sla"}

# What each service reads. The archive is the channels service's conversation archive.
CONSUMES: dict[str, tuple[str, ...]] = {
    "router": (*INTERACTIONS.values(), SLA_EVENTS),
    "sla": (*INTERACTIONS.values(), ROUTING_EVENTS),
    "archive": (*INTERACTIONS.values(), ROUTING_EVENTS, DEADLETTER),
}
