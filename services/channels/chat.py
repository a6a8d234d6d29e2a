"""A visitor's side of the web chat: his token, what he may say, and what he may read. Pure."""

import json
from typing import Annotated, Any, Literal

import msgspec

from services.channels.connectors.bearer import sign_hs256
from services.channels.connectors.chat.web_chat import (
    MAX_TOKEN_LIFE_S,
    STREAM,
    WebChatSettings,
    claims_of,
    is_backdated,
)
from services.channels.connectors.email.markup import safe
from services.channels.connectors.port import InboundRequest
from services.channels.connectors.reading import moment
from services.channels.posted import Key, Name, PostedIdentity
from services.channels.shapes import ChatFile, ChatMessage
from shared.contracts import ids
from shared.contracts.instants import SECOND_US, format_instant
from shared.contracts.interactions import SILENT_FLAGS

MAX_CHAT_CHARS = 10_000
MIN_TOKEN_LIFE_S = 60
TOKEN_LIFE_S = 900
TICKET_LIFE_S = 60
_HIDDEN = SILENT_FLAGS - {"echo"}

Said = Annotated[str, msgspec.Meta(max_length=MAX_CHAT_CHARS)]


class Visitor(msgspec.Struct, forbid_unknown_fields=True):
    id: Key
    name: Name | None = None
    identities: Annotated[list[PostedIdentity], msgspec.Meta(max_length=10)] = []


class NewToken(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST chat-tokens`: who may speak, in which conversation, for how long."""

    conversation: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    visitor: Visitor
    ttl_s: Annotated[int, msgspec.Meta(ge=MIN_TOKEN_LIFE_S, le=MAX_TOKEN_LIFE_S)] = TOKEN_LIFE_S


class Spoken(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What a page posts. `id` is made by the page; the same again counts once. `sequence` counts up
    in the conversation."""

    id: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    type: Literal["message", "edit", "delete", "start", "end", "feedback"] = "message"
    text: Said | None = None
    sequence: Annotated[int, msgspec.Meta(ge=0, lt=2**53)] | None = None
    time: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    replaces: Annotated[str, msgspec.Meta(max_length=128)] | None = None
    language: Annotated[str, msgspec.Meta(max_length=8)] | None = None
    survey: Literal["csat", "nps", "ces"] | None = None
    score: float | None = None
    comment: Said | None = None


class Claims(msgspec.Struct, frozen=True):
    """Whose token it is. `conversation_id` is the only one that it opens, until `ends` (seconds
    since 1970)."""

    visitor: str
    conversation: str
    conversation_id: str
    name: str | None
    identities: list[dict[str, Any]]
    ends: float


def token_of(asked: NewToken, workspace: str, connector: str, key: str, now_us: int) -> str:
    """The visitor's token, signed with the connector's newest `browser_key`."""
    now = now_us // SECOND_US
    visitor = asked.visitor
    claims = {
        "aud": _audience(workspace, connector),
        "sub": visitor.id,
        "conversation": asked.conversation,
        "iat": now,
        "exp": now + asked.ttl_s,
        **({} if visitor.name is None else {"name": visitor.name}),
        "identities": [msgspec.to_builtins(one) for one in visitor.identities],
    }
    return sign_hs256(claims, key)


def read_token(
    token: str, workspace: str, connector: str, keys: tuple[str, ...], now_us: int
) -> Claims | None:
    """None for a token that is forged, expired, of another connector, or names nobody."""
    claims = claims_of(token, keys, now_us)
    if claims is None or claims.get("aud") not in (None, _audience(workspace, connector)):
        return None
    return _claims(claims, workspace, connector, claims.get("exp"))


def ticket_of(claims: Claims, workspace: str, connector: str, key: str, now_us: int) -> str:
    """What opens the visitor's stream, and nothing else, for the next TICKET_LIFE_S: a browser's
    EventSource can send no header, and an address is written into logs."""
    now = now_us // SECOND_US
    said = {
        "aud": _stream(workspace, connector),
        "sub": claims.visitor,
        "conversation": claims.conversation,
        "ends": claims.ends,
        "iat": now,
        "exp": now + TICKET_LIFE_S,
    }
    return sign_hs256(said, key)


def read_ticket(
    ticket: str, workspace: str, connector: str, keys: tuple[str, ...], now_us: int
) -> Claims | None:
    """None for a ticket that is forged, expired or of another connector, and for a token."""
    claims = claims_of(ticket, keys, now_us)
    if claims is None or claims.get("aud") != _stream(workspace, connector):
        return None
    return _claims(claims, workspace, connector, claims.get("ends"))


def _claims(claims: dict[str, Any], workspace: str, connector: str, ends: Any) -> Claims | None:
    visitor, key, name = (claims.get(each) for each in ("sub", "conversation", "name"))
    if not (isinstance(visitor, str) and visitor and isinstance(key, str) and key):
        return None
    if not isinstance(ends, int | float):
        return None
    known = claims.get("identities")
    return Claims(
        visitor=visitor,
        conversation=key,
        conversation_id=ids.conversation_id(workspace, connector, "chat", key),
        name=name if isinstance(name, str) else None,
        identities=known if isinstance(known, list) else [],
        ends=ends,
    )


def _stream(workspace: str, connector: str) -> str:
    return f"{STREAM}{workspace}:{connector}"


def _audience(workspace: str, connector: str) -> str:
    return f"omniroute:{workspace}:{connector}"


def request_of(said: Spoken, claims: Claims, url: str, now_us: int) -> InboundRequest:
    """What the visitor says as the connector's codec reads it, with who he is from his token."""
    author = {"role": "customer", "id": claims.visitor, "name": claims.name}
    whole = {
        **msgspec.to_builtins(said),
        "conversation": claims.conversation,
        "author": {name: value for name, value in author.items() if value is not None},
        "identities": claims.identities,
    }
    if is_backdated(moment(whole, "time"), now_us):
        del whole["time"]
    body = json.dumps(whole, ensure_ascii=False).encode("utf-8", "replace")
    return InboundRequest("POST", url, (("Content-Type", "application/json"),), body, now_us)


def shown_to_visitor(row: dict[str, Any], sequence: int) -> ChatMessage | None:
    """A message as its visitor sees it: no internal remarks, no agents' ids. None: not at all."""
    if row["time"] is None or not _HIDDEN.isdisjoint(row["flags"] or ()):
        return None
    author = row["author"] or {}
    changed = row["edited_at"] is not None or row["deleted"]
    html = row["edit_html"] if changed else row["html"]
    own = author.get("role") == "customer"
    files = [] if row["deleted"] else row["attachments"] or []
    return {
        "sequence": sequence,
        "id": row["vendor_id"] if own else None,
        "message_id": row["message_id"],
        "time": format_instant(round(row["time"].timestamp() * SECOND_US)),
        "direction": row["direction"],
        "author": {"role": author.get("role"), "name": author.get("name")},
        "text": row["edit_text"] if changed else row["text"],
        "html": safe(html) if html else None,
        "attachments": [_file(one) for one in files],
        "edited": changed and not row["deleted"],
        "deleted": row["deleted"],
    }


def _file(one: dict[str, Any]) -> ChatFile:
    return {
        "name": one.get("name"),
        "content_type": one.get("content_type"),
        "size": one.get("size"),
    }


def allowed_origin(settings: WebChatSettings, own_url: str, origin: str | None) -> bool:
    """Whether a page of this origin may call; without an origin it is no page of another site."""
    return origin is None or origin in settings.origins or own_url.startswith(f"{origin}/")
