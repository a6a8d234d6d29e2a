"""An agent's reply in a conversation, as the outbound event that records it. Pure."""

from hashlib import sha256
from typing import Annotated, Any

import msgspec

from services.channels.events import decoded
from services.channels.links import check_link
from services.channels.posted import MAX_ATTACHMENTS, Body, ClientId, PostedAttachment
from shared.contracts import ids, interactions
from shared.contracts.envelope import Envelope
from shared.contracts.instants import format_instant
from shared.contracts.problems import invalid

SOURCE = "/channels/replies"
CONNECTOR = "replies"


class NewReply(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST conversations/{id}/messages`."""

    text: Body | None = None
    html: Body | None = None
    attachments: (
        Annotated[list[PostedAttachment], msgspec.Meta(max_length=MAX_ATTACHMENTS)] | None
    ) = None
    task_id: ClientId | None = None
    agent_id: ClientId | None = None


class ReplyEvent(msgspec.Struct):
    """`blobs` are decoded attachments, to be stored before the event is published."""

    envelope: Envelope
    message: interactions.Interaction
    blobs: list[bytes]


def reply_event(
    reply: NewReply,
    *,
    workspace: str,
    conversation: dict[str, Any],
    agent: str | None,
    actor: str,
    idempotency_key: str | None,
    now_us: int,
) -> ReplyEvent:
    """The event; its id derives from (actor, Idempotency-Key, content), or from the instant and content:
    a key may be used again once it is forgotten, and must not make another reply a repetition."""
    _check(reply)
    name = conversation["conversation_id"]
    attachments, blobs = _attachments(reply)
    author = _author(reply, agent)
    vendor_id = ids.derive("rpl", actor, name, *_distinction(reply, idempotency_key, now_us))
    now = format_instant(now_us)
    data = interactions.Interaction(
        workspace=workspace,
        connector=CONNECTOR,
        channel=conversation["channel"],
        conversation_id=name,
        message_id=ids.message_id(workspace, CONNECTOR, vendor_id),
        received_at=now,
        direction="outbound",
        author=interactions.Author("agent", id=author),
        conversation_key=conversation["conversation_key"],
        text=reply.text,
        html=reply.html,
        attachments=attachments,
        agent_id=author,
        task_id=reply.task_id,
    )
    envelope = Envelope(
        id=ids.event_id(workspace, CONNECTOR, vendor_id),
        source=SOURCE,
        type=interactions.MESSAGE,
        time=now,
        workspace=workspace,
        data=msgspec.json.encode(data),
        partitionkey=name,
    )
    return ReplyEvent(envelope, data, blobs)


def _author(reply: NewReply, agent: str | None) -> str | None:
    """The agent who speaks: the token's own, else the one that a platform or supervisor names."""
    if agent is not None and reply.agent_id not in (None, agent):
        raise invalid("/agent_id", "mismatch", "An agent speaks only for himself.", agent)
    return agent or reply.agent_id


def _check(reply: NewReply) -> None:
    if not (reply.text or reply.html or reply.attachments):
        raise invalid("/text", "missing", "A reply needs content.", "text, html or attachments")


def _distinction(reply: NewReply, idempotency_key: str | None, now_us: int) -> tuple[str, ...]:
    content = sha256(msgspec.json.encode(reply)).hexdigest()
    if idempotency_key is not None:
        return ("key", idempotency_key, content)
    return ("at", str(now_us), content)


def _attachments(reply: NewReply) -> tuple[list[interactions.Attachment], list[bytes]]:
    kept: list[interactions.Attachment] = []
    blobs: list[bytes] = []
    for index, given in enumerate(reply.attachments or ()):
        check_link(given.url, f"/attachments/{index}/url")
        one = interactions.Attachment(given.name, given.content_type, given.size, given.url)
        if given.content_base64 is not None:
            content = decoded(given.content_base64, f"/attachments/{index}/content_base64")
            one.sha256, one.size = sha256(content).hexdigest(), len(content)
            blobs.append(content)
        kept.append(one)
    return kept, blobs
