"""What the calls of the channels service share; made once by the composition."""

import time
from dataclasses import dataclass, field

from fastapi import Request

from services.channels.blobs import Blobs
from services.channels.chat_waits import ChatWaits
from services.channels.directory import Directory
from services.channels.intake import Intake
from services.channels.opened import OpenedConnectors
from services.channels.outgoing.errands import Errands
from services.channels.readers import Readers
from services.channels.revision_store import RevisionStore
from services.channels.store import ChannelsStore
from shared.bus.port import Bus, Outgoing
from shared.contracts import topics
from shared.contracts.envelope import Envelope, to_headers
from shared.contracts.interactions import TRANSCRIPT_PARTIAL
from shared.db.secrets import SecretBox
from shared.http.idempotency import Replies
from shared.http.ratelimit import Rate, RateLimiter
from shared.runtime.barrier import ReadBarrier

CHAT_RATE = Rate(per_s=2, burst=30)
"""What one visitor may call, a second in the long run and at once."""


@dataclass(frozen=True, slots=True)
class Channels:
    """`public_url` is where vendors reach this installation, without a trailing slash."""

    store: ChannelsStore
    directory: Directory
    intake: Intake
    blobs: Blobs
    secrets: SecretBox
    replies: Replies
    bus: Bus
    revisions: RevisionStore
    chat_waits: ChatWaits
    chat_rates: RateLimiter
    public_url: str
    errands: Errands
    archive_reached: ReadBarrier
    opened: OpenedConnectors = field(default_factory=OpenedConnectors)
    readers: Readers = field(default_factory=Readers)


async def channels_of(request: Request) -> Channels:
    """The FastAPI dependency; async, for a plain function would cost a thread at each call."""
    return request.app.state.channels


def wall_us() -> int:
    return time.time_ns() // 1000


def outgoing(envelope: Envelope, channel: str | None, partition: int) -> Outgoing:
    """An event on its way to the topic that its type and channel say."""
    key = (envelope.partitionkey or envelope.id).encode()
    return Outgoing(
        _topic(envelope.type, channel), partition, key, envelope.data, to_headers(envelope)
    )


def _topic(event_type: str, channel: str | None) -> str:
    if event_type == TRANSCRIPT_PARTIAL:
        return topics.TRANSCRIPTS_PARTIAL
    assert channel is not None
    return topics.INTERACTIONS[channel]
