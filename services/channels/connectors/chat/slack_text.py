"""Slack's commonest payload, a person's message of text, read in one pass.

The structs hold exactly what such a payload has: whatever is different in any way (a subtype, a
file, a bot) is left to the general reading, which comes to the same result.
"""

from collections.abc import Collection
from typing import Annotated, Any, Literal

import msgspec

from services.channels.connectors import fields
from services.channels.connectors.port import Normalised
from services.channels.connectors.reading import moment_of
from shared.contracts.interactions import Author, Identity

_Key = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=fields.MAX_TEXT)]
_Seconds = Annotated[int, msgspec.Meta(ge=1, lt=10**11)]


class _Exact(msgspec.Struct, forbid_unknown_fields=True):
    pass


class _Message(_Exact):
    """`blocks` repeat the text as it looks."""

    type: Literal["message"]
    user: _Key
    text: _Text
    channel: _Key
    ts: _Key
    event_ts: _Key
    channel_type: str | None = None
    thread_ts: _Key | None = None
    team: str | None = None
    client_msg_id: str | None = None
    parent_user_id: str | None = None
    blocks: Any = None


class _Payload(_Exact):
    type: Literal["event_callback"]
    event: _Message
    team_id: _Key
    event_id: _Key
    api_app_id: _Key | None = None
    event_time: _Seconds | None = None
    token: str | None = None
    authorizations: Any = None
    is_ext_shared_channel: bool | None = None
    event_context: str | None = None
    context_team_id: str | None = None
    context_enterprise_id: str | None = None


_decoder = msgspec.json.Decoder(_Payload)


def text_message(body: bytes, not_customers: Collection[str | None]) -> Normalised | None:
    """The message, before its markup is read; None when the body is not just a customer's text."""
    if b"\\u0000" in body:  # it would have to be taken out
        return None
    if body.count(b"{") + body.count(b"[") > fields.MAX_DEPTH:
        return None
    try:
        payload = _decoder.decode(body)
    except (ValueError, RecursionError):
        return None
    at_us = moment_of(payload.event.event_ts)
    if at_us is None or payload.event.user in not_customers:
        return None
    return _event(payload, payload.event, at_us)


def _event(payload: _Payload, message: _Message, at_us: int) -> Normalised:
    channel, ts, thread = message.channel, message.ts, message.thread_ts
    identity = f"{channel}:{ts}"
    direct = message.channel_type == "im" or channel.startswith("D")
    conversation = thread or (None if direct else ts)
    place = f"{payload.team_id}:{channel}"
    return Normalised(
        vendor_id=identity,
        message_key=identity,
        conversation_key=f"{place}:{conversation}" if conversation else place,
        occurred_at_us=at_us,
        author=Author("customer", None, message.user),
        identities=[Identity("slack", message.user)],
        in_reply_to=thread if thread != ts else None,
        text=message.text,
        vendor=_vendor(payload, message),
    )


def _vendor(payload: _Payload, message: _Message) -> dict[str, Any]:
    """The entries of the general reading, in its order."""
    found: dict[str, Any] = {"event_id": payload.event_id, "team_id": payload.team_id}
    if payload.api_app_id:
        found["api_app_id"] = payload.api_app_id
    if payload.event_time:
        found["event_time"] = payload.event_time
    found["channel"], found["ts"] = message.channel, message.ts
    if message.thread_ts:
        found["thread_ts"] = message.thread_ts
    found["user"] = message.user
    return found
