"""Interaction events: what customers and agents said, normalised. API.md, «Channels».

The structs are both the JSON on the `interactions.*` topics and the schema that is exported.
Readers ignore unknown fields; writers (`POST events`) refuse them before they build one of these.
"""

from typing import Any, Literal

import msgspec

from shared.contracts.topics import Channel

Role = Literal["customer", "agent", "bot", "system"]
Direction = Literal["inbound", "outbound"]

MESSAGE = "interaction.message.v1"
MESSAGE_EDITED = "interaction.message_edited.v1"
MESSAGE_DELETED = "interaction.message_deleted.v1"
TRANSCRIPT_SEGMENT = "interaction.transcript_segment.v1"
TRANSCRIPT_PARTIAL = "interaction.transcript_partial.v1"
DELIVERY_STATUS = "interaction.delivery_status.v1"
CONVERSATION_STARTED = "interaction.conversation_started.v1"
CONVERSATION_ENDED = "interaction.conversation_ended.v1"
FEEDBACK = "interaction.feedback.v1"

INTERACTION_TYPES: tuple[str, ...] = (
    MESSAGE,
    MESSAGE_EDITED,
    MESSAGE_DELETED,
    TRANSCRIPT_SEGMENT,
    DELIVERY_STATUS,
    CONVERSATION_STARTED,
    CONVERSATION_ENDED,
    FEEDBACK,
)

Flag = Literal[
    "auto_reply",
    "bounce",
    "echo",
    "edited",
    "deleted",
    "redelivered",
    "list",
    "own_loop",
    "standby",
    "suppress",
    "unsupported",
]
# A message with one of these opens no task and starts no clock (DESIGN §2).
SILENT_FLAGS: frozenset[str] = frozenset(
    {"auto_reply", "bounce", "echo", "own_loop", "standby", "suppress"}
)


class Author(msgspec.Struct, omit_defaults=True, gc=False):
    role: Role
    name: str | None = None
    id: str | None = None


class Identity(msgspec.Struct, frozen=True, gc=False):
    """Who someone is in one scheme: email, phone (E.164), whatsapp, messenger, …"""

    scheme: str
    value: str


class Attachment(msgspec.Struct, omit_defaults=True, gc=False):
    """`size` in bytes, decoded. Content lies in the blob store under `sha256`, never on the bus."""

    name: str | None = None
    content_type: str | None = None
    size: int | None = None
    url: str | None = None
    content_base64: str | None = None
    sha256: str | None = None
    inline: bool = False
    content_id: str | None = None
    vendor_id: str | None = None


class Segment(msgspec.Struct, omit_defaults=True, gc=False):
    """Place of a final utterance in its call, milliseconds from the start."""

    index: int
    start_ms: int | None = None
    end_ms: int | None = None
    speaker: str | None = None
    confidence: float | None = None


class Delivery(msgspec.Struct, omit_defaults=True, gc=False):
    message_id: str
    status: Literal["sent", "delivered", "read", "failed"]
    error: str | None = None


class Address(msgspec.Struct, omit_defaults=True, gc=False):
    address: str
    name: str | None = None


class Bounce(msgspec.Struct, omit_defaults=True, gc=False):
    """What a mail server tells of a mail of ours. `action`: `failed`, or `delayed` while it goes on
    trying (RFC 3464)."""

    status: str | None = None
    recipient: str | None = None
    message_id: str | None = None
    action: Literal["failed", "delayed"] | None = None


class Email(msgspec.Struct, omit_defaults=True, rename={"sender": "from"}):
    """`no_auto_reply`: the sender asks for no automatic answer (X-Auto-Response-Suppress); the mail
    itself may well be a person's."""

    sender: list[Address] = []
    to: list[Address] = []
    cc: list[Address] = []
    reply_to: list[Address] = []
    message_id: str | None = None
    in_reply_to: list[str] = []
    references: list[str] = []
    date: str | None = None
    bounce: Bounce | None = None
    no_auto_reply: bool = False


class Interaction(msgspec.Struct, omit_defaults=True, kw_only=True):
    """`data` of every `interaction.*` event.

    `time` of occurrence is the envelope's; `received_at` is when we first had it. `message_id` is
    ours (`msg_…`); the vendor's ids stay in `vendor`. `replaces` (edits, deletes) is the vendor's
    id as sent, `replaces_message_id` the `message_id` it means.
    """

    workspace: str
    connector: str
    channel: Channel
    conversation_id: str
    message_id: str
    received_at: str
    direction: Direction
    author: Author
    conversation_key: str | None = None
    text: str | None = None
    html: str | None = None
    reply_text: str | None = None
    subject: str | None = None
    language: str | None = None
    identities: list[Identity] = []
    attachments: list[Attachment] = []
    in_reply_to: str | None = None
    replaces: str | None = None
    replaces_message_id: str | None = None
    flags: list[Flag] = []
    attributes: dict[str, Any] = {}
    agent_id: str | None = None
    task_id: str | None = None
    segment: Segment | None = None
    delivery_status: Delivery | None = None
    reason: Literal["ended", "abandoned"] | None = None
    survey: Literal["csat", "nps", "ces"] | None = None
    score: float | None = None
    comment: str | None = None
    email: Email | None = None
    vendor: dict[str, Any] = {}
    revision: int = 0
    replay_of: str | None = None
