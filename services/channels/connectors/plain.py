"""Our own shape of an interaction, for senders that write it themselves: web chat, any webhook.

    {"id": "m-1", "type": "message", "conversation_key": "c-1", "time": "2026-03-02T09:00:00Z",
     "author": {"role": "customer", "id": "kim", "name": "Kim"}, "text": "Hello", "sequence": 3}

The names are those of `POST events`; `conversation` stands for `conversation_key`. An edit or a
deletion `replaces` an earlier `id`.
"""

import base64
import binascii
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, get_args

from services.channels.connectors import fields
from services.channels.connectors.email.markup import safe, to_text
from services.channels.connectors.identities import EMAIL, PHONE, email, phone
from services.channels.connectors.port import Blob, Normalised, Parsed
from services.channels.connectors.reading import cleaned, digest_of, given, moment
from shared.contracts import interactions
from shared.contracts.interactions import (
    Attachment,
    Author,
    Delivery,
    Flag,
    Identity,
    Role,
)

MAX_ATTACHMENTS = 50
TYPES: Mapping[str, str] = {
    "message": interactions.MESSAGE,
    "message_edited": interactions.MESSAGE_EDITED,
    "edit": interactions.MESSAGE_EDITED,
    "message_deleted": interactions.MESSAGE_DELETED,
    "delete": interactions.MESSAGE_DELETED,
    "delivery_status": interactions.DELIVERY_STATUS,
    "status": interactions.DELIVERY_STATUS,
    "conversation_started": interactions.CONVERSATION_STARTED,
    "start": interactions.CONVERSATION_STARTED,
    "conversation_ended": interactions.CONVERSATION_ENDED,
    "end": interactions.CONVERSATION_ENDED,
    "feedback": interactions.FEEDBACK,
    **{name: name for name in interactions.INTERACTION_TYPES},
}
_ROLES: dict[str, Role] = {role: role for role in get_args(Role)}
_FLAGS: tuple[Flag, ...] = get_args(Flag)
_SEGMENTED = (interactions.TRANSCRIPT_SEGMENT, interactions.TRANSCRIPT_PARTIAL)


def read(raw: Mapping[str, Any], parsed: Parsed, fallback_id: str | None = None) -> None:
    """Append what one object means to `parsed`. `fallback_id` names it where it has no id."""
    kind = TYPES.get(fields.text(raw, "type") or "message")
    key = fields.key(raw, "conversation_key") or fields.key(raw, "conversation")
    if kind is None or kind in _SEGMENTED:
        parsed.lose("unknown_event", f"The type {str(raw.get('type'))[:64]!r} is not known.")
    elif key is None:
        parsed.lose("missing_conversation", "An event has no conversation_key.")
    else:
        event = _event(raw, kind, key, fallback_id)
        if _filled(event, raw, parsed):
            parsed.events.append(event)


def _event(raw: Mapping[str, Any], kind: str, key: str, fallback_id: str | None) -> Normalised:
    own = fields.key(raw, "id") or fallback_id or digest_of(cleaned(dict(raw)))
    author = _author(raw, kind)
    direction = fields.text(raw, "direction")
    inbound = direction == "inbound" or (direction != "outbound" and author.role == "customer")
    return Normalised(
        vendor_id=own,
        conversation_key=key,
        type=kind,
        occurred_at_us=moment(raw, "time"),
        author=author,
        direction="inbound" if inbound else "outbound",
        subject=fields.text(raw, "subject"),
        language=(fields.text(raw, "language") or "")[:8] or None,
        identities=_identities(raw),
        in_reply_to=fields.key(raw, "in_reply_to"),
        flags=[flag for flag in _FLAGS if flag in fields.texts(raw, "flags")],
        attributes=cleaned(fields.obj(raw, "attributes")),
        vendor=given(raw, "id", "sequence", "type"),
    )


def _author(raw: Mapping[str, Any], kind: str) -> Author:
    author = fields.obj(raw, "author")
    role = fields.text(author, "role")
    usual: Role = "system" if kind == interactions.DELIVERY_STATUS else "customer"
    return Author(
        _ROLES.get(role or "", usual), fields.text(author, "name"), fields.key(author, "id")
    )


def _identities(raw: Mapping[str, Any]) -> list[Identity]:
    found: list[Identity] = []
    for each in fields.items(raw, "identities"):
        scheme, value = fields.key(each, "scheme"), fields.key(each, "value")
        if scheme == EMAIL:
            value = email(value)
        elif scheme == PHONE:
            value = phone(value)
        if scheme and value and Identity(scheme, value) not in found:
            found.append(Identity(scheme, value))
    return found


def _filled(event: Normalised, raw: Mapping[str, Any], parsed: Parsed) -> bool:
    """Fill in what its type needs; False, with the problem noted, without it."""
    if event.type in (interactions.MESSAGE_EDITED, interactions.MESSAGE_DELETED):
        event.replaces = fields.key(raw, "replaces")
        if event.replaces is None:
            parsed.lose("missing_original", "An edit or deletion does not say of which message.")
            return False
    if event.type in (interactions.MESSAGE, interactions.MESSAGE_EDITED):
        return _said(event, raw, parsed)
    if event.type == interactions.DELIVERY_STATUS:
        return _receipt(event, raw, parsed)
    if event.type == interactions.CONVERSATION_ENDED:
        abandoned = fields.text(raw, "reason") == "abandoned"
        event.reason = "abandoned" if abandoned else "ended"
    if event.type == interactions.FEEDBACK:
        survey = fields.text(raw, "survey")
        event.survey = "nps" if survey == "nps" else "ces" if survey == "ces" else "csat"
        event.score, event.comment = fields.number(raw, "score"), fields.text(raw, "comment")
    return True


def _said(event: Normalised, raw: Mapping[str, Any], parsed: Parsed) -> bool:
    html = fields.text(raw, "html")
    event.html = safe(html) if html else None
    event.text = fields.text(raw, "text") or (to_text(html).strip() if html else None) or None
    for each in list(fields.items(raw, "attachments"))[:MAX_ATTACHMENTS]:
        event.attachments.append(_attachment(each, parsed))
    if event.text or event.html or event.attachments:
        return True
    parsed.lose("empty_message", "A message has neither text nor html nor attachments.")
    return False


def _attachment(raw: dict[str, Any], parsed: Parsed) -> Attachment:
    file = Attachment(
        name=fields.text(raw, "name"),
        content_type=fields.text(raw, "content_type"),
        size=fields.integer(raw, "size"),
        url=fields.text(raw, "url"),
        vendor_id=fields.key(raw, "vendor_id"),
    )
    encoded = raw.get("content_base64")
    if isinstance(encoded, str):
        try:
            content = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            parsed.lose("bad_attachment", "An attachment's content is not base64.")
            return file
        file.sha256, file.size = sha256(content).hexdigest(), len(content)
        parsed.blobs.append(Blob(file.sha256, content))
    return file


def _receipt(event: Normalised, raw: Mapping[str, Any], parsed: Parsed) -> bool:
    receipt = fields.obj(raw, "delivery_status") or raw
    number, status = fields.key(receipt, "message_id"), fields.text(receipt, "status")
    if number is None or status not in ("sent", "delivered", "read", "failed"):
        parsed.lose("missing_id", "A receipt has no message_id or no known status.")
        return False
    known: Any = status
    event.delivery_status = Delivery(number, known, fields.text(receipt, "error"))
    event.direction = "outbound"
    return True


def unwrapped(payload: Any) -> list[dict[str, Any]]:
    """The objects of a body: itself, a list, `events`, or the `data` of a CloudEvent or of a
    Standard Webhooks payload, which lends it its id, type and time."""
    several = payload.get("events") if isinstance(payload, dict) else payload
    if isinstance(several, list):
        return [_lifted(each) for each in several[: fields.MAX_ITEMS] if isinstance(each, dict)]
    return [_lifted(payload)] if isinstance(payload, dict) and payload else []


def _lifted(raw: dict[str, Any]) -> dict[str, Any]:
    data = raw.get("data")
    if not isinstance(data, dict):
        return raw
    lent: dict[str, Any] = {"id": raw.get("id"), "time": raw.get("time") or raw.get("timestamp")}
    if raw.get("type") in TYPES:
        lent["type"] = raw["type"]
    return {**{name: value for name, value in lent.items() if value is not None}, **data}
