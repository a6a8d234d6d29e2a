"""Conversations and their messages, readable; an agent's reply, recorded and published."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Header, Request, Response

from services.channels.context import Channels, channels_of, outgoing, wall_us
from services.channels.replies import NewReply, reply_event
from shared.contracts.instants import format_instant
from shared.contracts.problems import Refused, not_found
from shared.http.auth import Caller, require
from shared.http.bodies import read_body
from shared.http.pages import DEFAULT_LIMIT, Cursor, Limit, decode_cursor, page
from shared.http.replies import json_reply
from shared.http.routes import api_router

router = api_router("conversations")

Reads = Annotated[Caller, Depends(require("conversations:read"))]
Writes = Annotated[Caller, Depends(require("messages:write"))]
Service = Annotated[Channels, Depends(channels_of)]


@router.get("/conversations")
async def list_conversations(
    caller: Reads,
    channels: Service,
    channel: str | None = None,
    connector: str | None = None,
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
        [_conversation(row) for row in rows],
        limit,
        lambda one: (one["last_at"], one["conversation_id"]),
    )


@router.get("/conversations/{conversation}")
async def get_conversation(conversation: str, caller: Reads, channels: Service) -> Response:
    return json_reply(_conversation(await _existing(channels, caller, conversation)))


@router.get("/conversations/{conversation}/messages")
async def list_messages(
    conversation: str,
    caller: Reads,
    channels: Service,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Response:
    """Oldest first, with edits and deletions applied."""
    await _existing(channels, caller, conversation)
    after = None if cursor is None else place(cursor)
    rows = await channels.store.messages(caller.workspace, conversation, after, limit + 1)
    return page(
        "messages",
        [_message(row) for row in rows],
        limit,
        lambda one: (one["time"], one["message_id"]),
    )


@router.post("/conversations/{conversation}/messages", status_code=201)
async def post_message(
    conversation: str,
    request: Request,
    caller: Writes,
    channels: Service,
    idempotency_key: Annotated[str | None, Header(max_length=255)] = None,
) -> Response:
    """Record an agent's reply: it is published as an outbound message.

    With an Idempotency-Key the same reply has the same event id, so that repeating it records it
    once.
    """
    reply = await read_body(request, NewReply)
    found = await _existing(channels, caller, conversation)
    workspace = await channels.directory.of(caller.workspace)
    event = reply_event(
        reply,
        workspace=workspace.id,
        conversation=found,
        agent=caller.principal.agent,
        actor=caller.principal.id,
        idempotency_key=idempotency_key,
        now_us=wall_us(),
    )
    for content in event.blobs:
        await channels.blobs.keep(content)
    await channels.intake.publish([outgoing(event.envelope, found["channel"], workspace.partition)])
    shown = {
        "message_id": event.message_id,
        "event_id": event.envelope.id,
        "conversation_id": conversation,
        "time": event.envelope.time,
        "direction": "outbound",
    }
    return json_reply(shown, 201)


async def _existing(channels: Channels, caller: Caller, conversation: str) -> dict[str, Any]:
    """The conversation; an agent finds only those that were offered or given to him."""
    found = await channels.store.conversation(caller.workspace, conversation)
    agent = caller.only_agent
    if found is None or (
        agent is not None
        and not await channels.store.readable_by(caller.workspace, conversation, agent)
    ):
        raise not_found("conversation", conversation)
    return found


def place(cursor: str) -> tuple[datetime, str]:
    instant, name = decode_cursor(cursor, tuple[str, str])
    try:
        return datetime.fromisoformat(instant), name
    except ValueError as error:
        raise Refused("validation", "The cursor is not one of ours.") from error


def instant_text(moment: datetime | None) -> str | None:
    return None if moment is None else format_instant(round(moment.timestamp() * 1_000_000))


def _conversation(row: dict[str, Any]) -> dict[str, Any]:
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
    }


def _message(row: dict[str, Any]) -> dict[str, Any]:
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
        "attachments": [] if deleted else row["attachments"],
        "flags": list(dict.fromkeys(flags)),
        "language": row["language"],
        "in_reply_to": row["in_reply_to"],
        "segment": row["segment"],
        "agent_id": row["agent_id"],
        "task_id": row["task_id"],
        "attributes": row["attributes"],
        "edited_at": instant_text(row["edited_at"]),
    }
