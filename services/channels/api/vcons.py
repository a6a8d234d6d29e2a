"""A conversation as one document for other systems, archives and the customer: a vCon."""

from typing import Annotated, Any, cast
from uuid import UUID

import msgspec
from fastapi import Depends, Response

from services.channels.api.conversations import (
    existing_conversation,
    shown_conversation,
    shown_message,
)
from services.channels.context import Channels, channels_of
from services.channels.shapes import Vcon
from services.channels.vcon_export import MEDIA_TYPE, vcon_of
from shared.contracts.problems import Refused
from shared.http.auth import Caller, require
from shared.http.calls import Call
from shared.http.routes import api_router

MAX_MESSAGES = 5_000
PAGE = 500
MAX_INLINE_BYTES = 8 * 1024 * 1024
"""Attachments beyond it are named by hash and address."""

router = api_router("conversations")
_VCON = Call(media={MEDIA_TYPE: Vcon}, may=(413,))


@router.get("/conversations/{conversation}/vcon", openapi_extra=_VCON.extra)
async def export_vcon(
    conversation: str,
    caller: Annotated[Caller, Depends(require("conversations:read"))],
    channels: Annotated[Channels, Depends(channels_of)],
) -> Response:
    """The conversation as it reads now, as `application/vcon+json` (0.0.2), unsigned."""
    found = await existing_conversation(channels, caller, conversation)
    rows = await _messages(channels, caller.workspace, found)
    messages = [cast(dict[str, Any], shown_message(row)) for row in rows]
    document = vcon_of(
        caller.workspace,
        cast(dict[str, Any], shown_conversation(found)),
        messages,
        await _contents(channels, messages),
        own_uuid=await _own_uuid(channels, caller.workspace, found),
    )
    return Response(msgspec.json.encode(document), media_type=MEDIA_TYPE)


async def _messages(
    channels: Channels, workspace: str, conversation: dict[str, Any]
) -> list[dict[str, Any]]:
    """All of them, oldest first. Raises Refused (too-large)."""
    rows: list[dict[str, Any]] = []
    name = conversation["conversation_id"]
    while True:
        after = (rows[-1]["time"], rows[-1]["message_id"]) if rows else None
        page = await channels.store.messages(workspace, name, after, PAGE)
        rows += page
        if len(rows) > MAX_MESSAGES:
            detail = f"The conversation has more than {MAX_MESSAGES} messages; read them by page."
            raise Refused("too-large", detail)
        if len(page) < PAGE:
            return rows


async def _contents(channels: Channels, messages: list[dict[str, Any]]) -> dict[str, bytes]:
    """Attachments by hash, as many as fit."""
    found: dict[str, bytes] = {}
    room = MAX_INLINE_BYTES
    for file in (file for message in messages for file in message["attachments"] or ()):
        name, size = file.get("sha256"), file.get("size")
        if not name or name in found or size is None or size > room:
            continue
        content = await channels.blobs.get(name)
        if content is not None:
            found[name] = content
            room -= len(content)
    return found


async def _own_uuid(channels: Channels, workspace: str, conversation: dict[str, Any]) -> str | None:
    """What came as a vCon keeps its id."""
    stored = await channels.store.connector(workspace, conversation["connector"])
    if stored is None or stored.kind != "vcon":
        return None
    try:
        return str(UUID(conversation["conversation_key"] or ""))
    except ValueError:
        return None
