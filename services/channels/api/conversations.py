"""Conversations and their messages, readable; an agent's reply, recorded and published."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request, Response

from services.channels.attachments import attachments_of, file_reply
from services.channels.context import Channels, channels_of, outgoing, wall_us
from services.channels.replies import NewReply, ReplyEvent, reply_event
from services.channels.shapes import Conversation, DeliveryState, Message, RecordedReply
from shared.contracts.instants import format_instant, parse_instant
from shared.contracts.problems import not_found
from shared.contracts.topics import Channel
from shared.db.moments import from_us
from shared.http.auth import Caller, require
from shared.http.bodies import read_body
from shared.http.calls import Call
from shared.http.idempotency import idempotency_of, once
from shared.http.pages import DEFAULT_LIMIT, Cursor, Limit, decode_cursor, not_ours, page
from shared.http.replies import json_reply
from shared.http.routes import BATCH_BODY_BYTES, api_router

router = api_router("conversations")

Reads = Annotated[Caller, Depends(require("conversations:read"))]
Writes = Annotated[Caller, Depends(require("messages:write"))]
Service = Annotated[Channels, Depends(channels_of)]

_LIST = Call(answer=Conversation, page="conversations")
_MESSAGES = Call(answer=Message, page="messages")
_CONTENT = {"type": "string", "format": "binary", "description": "of the attachment's own type"}
_ATTACHMENT = Call(media={"*/*": _CONTENT}, etag=True, may=(410,))
_REPLY = Call(
    body=NewReply,
    example={"text": "Your refund is on its way.", "agent_id": "ana"},
    answer=RecordedReply,
    keyed=True,
)


@router.get("/conversations", openapi_extra=_LIST.extra)
async def list_conversations(
    caller: Reads,
    channels: Service,
    channel: Annotated[Channel | None, Query(description="on this channel")] = None,
    connector: Annotated[
        str | None,
        Query(pattern="^[A-Za-z0-9_-]{1,64}$", description="that came by this connector"),
    ] = None,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Response:
    """Newest activity first."""
    before = None if cursor is None else place(cursor)
    rows = await channels.store.conversations(
        caller.workspace,
        before,
        limit + 1,
        channel=channel,
        connector=connector,
        agent=caller.only_agent,
    )
    return page(
        "conversations",
        [shown_conversation(row) for row in rows],
        limit,
        lambda one: (one["last_at"], one["conversation_id"]),
    )


@router.get("/conversations/{conversation}", openapi_extra=Call(answer=Conversation).extra)
async def get_conversation(conversation: str, caller: Reads, channels: Service) -> Response:
    """Who, on which channel, since when, and what was said last."""
    return json_reply(
        shown_conversation(await existing_conversation(channels, caller, conversation))
    )


@router.get("/conversations/{conversation}/messages", openapi_extra=_MESSAGES.extra)
async def list_messages(
    conversation: str,
    caller: Reads,
    channels: Service,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Response:
    """Oldest first, with edits and deletions applied."""
    await existing_conversation(channels, caller, conversation)
    after = None if cursor is None else place(cursor)
    rows = await channels.store.messages(caller.workspace, conversation, after, limit + 1)
    return page(
        "messages",
        [shown_message(row) for row in rows],
        limit,
        lambda one: (one["time"], one["message_id"]),
    )


@router.get(
    "/conversations/{conversation}/messages/{message}/attachments/{index}",
    openapi_extra=_ATTACHMENT.extra,
)
async def get_attachment(
    conversation: str,
    message: str,
    index: Annotated[int, Path(ge=0, le=999)],
    request: Request,
    caller: Reads,
    channels: Service,
) -> Response:
    """The content of a message's attachment, by its place in `attachments`. 404 also while it has
    not been fetched from the vendor."""
    await existing_conversation(channels, caller, conversation)
    row = await channels.store.message(caller.workspace, conversation, message)
    if row is None or row["deleted"]:
        raise not_found("message", message)
    return await file_reply(channels, row, index, request.headers.get("if-none-match"))


@router.post(
    "/conversations/{conversation}/messages",
    status_code=201,
    max_body_size=BATCH_BODY_BYTES,
    openapi_extra=_REPLY.extra,
)
async def post_message(
    conversation: str, request: Request, caller: Writes, channels: Service
) -> Response:
    """Record an agent's reply: it is published as an outbound message.

    With an Idempotency-Key the same reply has the same event id, so that repeating it records it
    once, also when the first answer was lost.
    """
    reply = await read_body(request, NewReply)
    found = await existing_conversation(channels, caller, conversation)
    key = idempotency_of(request, caller, await request.body())
    event = reply_event(
        reply,
        workspace=caller.workspace,
        conversation=found,
        agent=caller.principal.agent,
        actor=caller.principal.id,
        idempotency_key=None if key is None else key.key,
        now_us=wall_us(),
    )

    async def record() -> Response:
        workspace = await channels.directory.of(caller.workspace)
        for content in event.blobs:
            await channels.blobs.keep(content)
        record = outgoing(event.envelope, event.message.channel, workspace.partition)
        await channels.intake.publish([record])
        return json_reply(_recorded(event), 201)

    return await once(channels.replies, caller.workspace, key, record)


def _recorded(event: ReplyEvent) -> RecordedReply:
    message = event.message
    return {
        "message_id": message.message_id,
        "event_id": event.envelope.id,
        "conversation_id": message.conversation_id,
        "time": event.envelope.time,
        "direction": message.direction,
        "author": message.author,
        "text": message.text,
        "html": message.html,
        "attachments": message.attachments,
        "flags": message.flags,
        "language": message.language,
        "agent_id": message.agent_id,
        "task_id": message.task_id,
    }


async def existing_conversation(
    channels: Channels, caller: Caller, conversation: str
) -> dict[str, Any]:
    """The conversation; an agent finds only those that were offered or given to him.

    The archive may be a moment behind the offer that names it: what is not there is looked for
    again once the archive has read all that was accepted so far.
    """
    found = await _readable(channels, caller, conversation)
    if found is None:
        workspace = await channels.directory.of(caller.workspace)
        await channels.archive_reached.reached(workspace.partition)
        found = await _readable(channels, caller, conversation)
    if found is None:
        raise not_found("conversation", conversation)
    return found


async def _readable(channels: Channels, caller: Caller, conversation: str) -> dict[str, Any] | None:
    found = await channels.store.conversation(caller.workspace, conversation)
    agent = caller.only_agent
    if found is None or agent is None:
        return found
    shown = await channels.store.readable_by(caller.workspace, conversation, agent)
    return found if shown else None


def place(cursor: str) -> tuple[datetime, str]:
    """The position that a cursor holds. Raises Refused."""
    instant, name = decode_cursor(cursor, tuple[str, str])
    try:
        return from_us(parse_instant(instant)), name
    except (ValueError, OverflowError) as error:
        raise not_ours() from error


def instant_text(moment: datetime | None) -> str | None:
    return None if moment is None else format_instant(round(moment.timestamp() * 1_000_000))


def shown_conversation(row: dict[str, Any]) -> Conversation:
    return {
        "conversation_id": row["conversation_id"],
        "id": row["conversation_id"],
        "channel": row["channel"],
        "connector": row["connector"],
        "conversation_key": row["conversation_key"],
        "subject": row["subject"],
        "language": row["language"],
        "customer": {"name": row["customer_name"], "identities": row["identities"]},
        "started_at": instant_text(row["started_at"]),
        "last_at": instant_text(row["last_at"]),
        "last_text": row["last_text"],
        "ended_at": instant_text(row["ended_at"]),
        "ended_reason": row["ended_reason"],
        "feedback": row["feedback"],
    }


def shown_message(row: dict[str, Any]) -> Message:
    edited = row["edited_at"] is not None
    deleted = row["deleted"]
    flags = [*(row["flags"] or ()), *(("deleted",) if deleted else ("edited",) if edited else ())]
    changed = edited or deleted
    return {
        "message_id": row["message_id"],
        "time": instant_text(row["time"]),
        "received_at": instant_text(row["received_at"]),
        "type": row["type"],
        "direction": row["direction"],
        "author": row["author"],
        "text": row["edit_text"] if changed else row["text"],
        "html": row["edit_html"] if changed else row["html"],
        "reply_text": None if changed else row["reply_text"],
        "subject": row["subject"],
        "attachments": [] if deleted else attachments_of(row),
        "flags": list(dict.fromkeys(flags)),
        "language": row["language"],
        "in_reply_to": row["in_reply_to"],
        "segment": row["segment"],
        "agent_id": row["agent_id"],
        "task_id": row["task_id"],
        "attributes": row["attributes"],
        "edited_at": instant_text(row["edited_at"]),
        "delivery": _delivery(row["deliveries"]),
    }


_PROGRESS = ("sent", "delivered", "read", "failed")


def _delivery(told: list[dict[str, Any]] | None) -> DeliveryState | None:
    """How far an outbound message has come: vendors' statuses arrive in any order."""
    if not told:
        return None
    furthest = max(told, key=lambda one: _PROGRESS.index(one["status"]))
    at = format_instant(furthest["at_us"])
    return {"status": furthest["status"], "at": at, "error": furthest["error"]}
