"""The shapes of what calls answer, as clients read them. Answers are built as plain dicts of these types:
the type checker holds them to it, and the OpenAPI document is made of them."""

from typing import Any, Literal, NotRequired, TypedDict

from shared.contracts.interactions import Attachment, Author, Direction, Flag
from shared.contracts.topics import Channel

# -- conversations


class ConversationCustomer(TypedDict):
    name: str | None
    identities: list[dict[str, Any]]


class Conversation(TypedDict):
    conversation_id: str
    id: str
    channel: Channel
    connector: str
    conversation_key: str | None
    subject: str | None
    language: str | None
    customer: ConversationCustomer
    started_at: str | None
    last_at: str | None
    last_text: str | None
    ended_at: str | None
    ended_reason: str | None
    feedback: Any


class DeliveryState(TypedDict):
    status: Literal["sent", "delivered", "read", "failed"]
    at: str
    error: str | None


class Message(TypedDict):
    """A message with edits and deletions applied."""

    message_id: str
    time: str | None
    received_at: str | None
    type: str
    direction: Direction
    author: Author
    text: str | None
    html: str | None
    reply_text: str | None
    subject: str | None
    attachments: list[dict[str, Any]]
    flags: list[Flag]
    language: str | None
    in_reply_to: str | None
    segment: dict[str, Any] | None
    agent_id: str | None
    task_id: str | None
    attributes: dict[str, Any] | None
    edited_at: str | None
    delivery: DeliveryState | None


class RecordedReply(TypedDict):
    """An agent's reply as it was published."""

    message_id: str
    event_id: str
    conversation_id: str
    time: str | None
    direction: Direction
    author: Author
    text: str | None
    html: str | None
    attachments: list[Attachment]
    flags: list[Flag]
    language: str | None
    agent_id: str | None
    task_id: str | None


class Vcon(TypedDict):
    """A vCon 0.0.2, unsigned."""

    vcon: str
    uuid: str
    created_at: str | None
    updated_at: str | None
    subject: NotRequired[str]
    parties: list[dict[str, Any]]
    dialog: list[dict[str, Any]]
    analysis: list[dict[str, Any]]
    attachments: list[dict[str, Any]]


class ShownDeadLetter(TypedDict):
    id: str
    at: str | None
    failed_in: str
    reason: str
    detail: str | None
    topic: str | None
    connector: str | None
    event_id: str | None
    replayed_at: str | None


class Replayed(TypedDict):
    id: str
    status: Literal["replayed"]
    events: int


# -- connectors


class ShownConnector(TypedDict):
    """`secrets`: names, never values; null where this installation's key does not open them."""

    id: str
    kind: str
    channel: str
    enabled: bool
    settings: dict[str, Any]
    secrets: list[str] | None
    inbound_url: str
    version: int


class FetchPass(TypedDict):
    name: str
    every_s: float | None
    cursor: str | None
    cursor_at: str | None
    next_at: str | None
    failures: int
    last_success_at: str | None
    last_error_at: str | None
    last_error: str | None


class LackingFetch(TypedDict):
    """`needs`: the settings and secrets without which it cannot run."""

    name: str
    purpose: str
    needs: list[str]


class Fetching(TypedDict):
    """How a connector's fetches fare. `off`: those that its settings or secrets do not allow."""

    owed: int
    owed_since: str | None
    failing: int
    last_error: str | None
    passes: list[FetchPass]
    off: NotRequired[list[LackingFetch]]


class WatchedConnector(ShownConnector):
    fetching: Fetching


class KindFetch(TypedDict):
    name: str
    purpose: str
    request: str
    secret: str | None
    cursor: str | None
    every_s: int | None


class ConnectorKind(TypedDict):
    """`settings_schema` is a JSON Schema, `setup` markdown on how to set the vendor up."""

    kind: str
    channel: str
    title: str
    settings_schema: dict[str, Any]
    secrets: list[str]
    secret_purposes: dict[str, str]
    signed: bool
    order_by: str
    fetches: list[KindFetch]
    setup: str


class ConnectorKinds(TypedDict):
    kinds: list[ConnectorKind]


class PreviewAnswer(TypedDict):
    """What the vendor would be told."""

    status: int
    headers: list[list[str]]
    body: str


class PreviewProblem(TypedDict):
    code: str
    message: str


class Preview(TypedDict):
    """What a request would become: CloudEvents in structured mode."""

    verdict: Literal["valid", "invalid", "none"]
    answer: PreviewAnswer
    events: list[dict[str, Any]]
    problems: list[PreviewProblem]


# -- the web chat


class ChatToken(TypedDict):
    token: str
    expires_at: str
    conversation_id: str
    messages_url: str
    stream_url: str


class ChatTicket(TypedDict):
    """Good for one minute."""

    ticket: str
    expires_at: str


class ChatReceipt(TypedDict):
    id: str
    event_id: str
    message_id: str
    conversation_id: str
    sequence: int | None
    status: Literal["accepted"]


class ChatAuthor(TypedDict):
    role: str | None
    name: str | None


class ChatFile(TypedDict):
    name: str | None
    content_type: str | None
    size: int | None


class ChatMessage(TypedDict):
    """A message as its visitor sees it."""

    sequence: int
    id: str | None
    message_id: str
    time: str
    direction: Direction
    author: ChatAuthor
    text: str | None
    html: str | None
    attachments: list[ChatFile]
    edited: bool
    deleted: bool


class ChatMessages(TypedDict):
    """`next`: what to ask for as `after`."""

    messages: list[ChatMessage]
    next: int
