"""MessageBird (Bird): SMS, and conversations of many apps, by JSON or form.

https://developers.messagebird.com/api/conversations/#webhooks
https://developers.messagebird.com/api/#verifying-http-requests
"""

from typing import Any

from pydantic import Field

from services.channels.connectors import fields
from services.channels.connectors.chat import messagebird_history
from services.channels.connectors.chat.bird import read_bird
from services.channels.connectors.chat.messagebird_signature import (
    MessageBirdHmac,
    MessageBirdToken,
    sign,
)
from services.channels.connectors.identities import PHONE, identities, phone
from services.channels.connectors.port import (
    Connector,
    Context,
    Example,
    InboundRequest,
    Normalised,
    Parsed,
    Settings,
)
from services.channels.connectors.reading import digest_of, given, moment, payload_of
from services.channels.connectors.signatures import AnyOf, form_of
from shared.contracts import interactions
from shared.contracts.instants import parse_instant
from shared.contracts.interactions import Attachment, Author, Delivery


class MessageBirdSettings(Settings):
    region: str | None = Field(
        default=None, max_length=2, description="Country (ISO 3166) of numbers without a prefix."
    )


SETUP = """\
1. For SMS, in Flow Builder, forward the message to the connector's inbound URL with POST; for
   conversations, `POST /v1/webhooks` with the events `message.created` and `message.updated`; on
   Bird, webhook subscriptions of the service `channels` (`sms.inbound`, `whatsapp.inbound`, …).
2. Put the account's signing key into `signing_key`; a list of two while you rotate it.
3. Behind a proxy, set `public_url` to the address exactly as MessageBird calls it: it is signed.

An SMS flow may leave out the message's id: add `{{id}}` to the flow, or two equal messages of the
same second count as one.
"""


def parse(request: InboundRequest, settings: MessageBirdSettings, _: Context) -> Parsed:
    parsed = Parsed()
    if request.method.upper() == "GET":
        payload: dict[str, Any] = dict(reversed(request.query))
    elif request.media_type == "application/x-www-form-urlencoded":
        payload = dict(reversed(form_of(request.body) or []))
    else:
        payload = payload_of(request, parsed)
    if parsed.problems:
        return parsed
    kind = fields.text(payload, "type") or ""
    if isinstance(payload.get("payload"), dict) and fields.text(payload, "service"):
        read_bird(payload, parsed)
    elif kind.startswith("message."):
        _message(payload, kind, parsed)
    elif kind.startswith(("conversation.", "contact.")):
        _conversation(payload, kind, parsed)
    elif fields.text(payload, "status") and "statusDatetime" in payload:
        _report(payload, settings, parsed)
    else:
        _sms(payload, settings, parsed)
    return parsed


_SMS = (
    "id",
    "message_id",
    "reference",
    "originator",
    "recipient",
    "createdDatetime",
    "currentTime",
)


def _sms(payload: dict[str, Any], settings: MessageBirdSettings, parsed: Parsed) -> None:
    sender = fields.key(payload, "originator") or fields.key(payload, "sender")
    ours = fields.key(payload, "recipient") or fields.key(payload, "receiver")
    names = ("body", "incomingMessage", "payload", "message")
    said = next((text for name in names if (text := fields.text(payload, name))), None)
    if sender is None:
        parsed.lose("missing_sender", "A message has no originator.")
        return
    stamp = fields.key(payload, "createdDatetime") or fields.key(payload, "currentTime")
    own = fields.key(payload, "id")
    event = Normalised(
        vendor_id=own or digest_of(sender, ours, said, stamp, fields.key(payload, "message_id")),
        conversation_key=f"{ours or ''}:{sender}",
        occurred_at_us=moment({"at": stamp}, "at"),
        author=Author("customer", id=sender),
        identities=identities(sms=sender, **{PHONE: phone(sender, settings.region)}),
        text=said,
        attachments=[Attachment(url=url) for url in fields.texts(payload, "mediaUrls")],
        subject=fields.text(payload, "subject"),
        vendor=given(payload, *_SMS),
    )
    if not event.text and not event.attachments:
        event.text, event.generated, event.flags = "(empty message)", True, ["unsupported"]
    parsed.events.append(event)


_STATUSES = {
    "sent": "sent",
    "delivered": "delivered",
    "read": "read",
    "failed": "failed",
    "delivery_failed": "failed",
    "rejected": "failed",
    "expired": "failed",
}


def _report(payload: dict[str, Any], settings: MessageBirdSettings, parsed: Parsed) -> None:
    number, status = fields.key(payload, "id"), fields.text(payload, "status") or ""
    to = fields.key(payload, "recipient") or ""
    known: Any = _STATUSES.get(status)
    if number is None or known is None:
        parsed.note("unknown_status", f"The status {status[:32]!r} is not passed on.")
        return
    event = Normalised(
        vendor_id=f"{number}:{to}:{status}",
        conversation_key=f"{fields.key(payload, 'originator') or ''}:{to}",
        type=interactions.DELIVERY_STATUS,
        direction="outbound",
        author=Author("system"),
        occurred_at_us=moment(payload, "statusDatetime"),
        identities=identities(sms=to, **{PHONE: phone(to, settings.region)}),
        delivery_status=Delivery(number, known, fields.text(payload, "statusErrorCode")),
        vendor=given(payload, "id", "reference", "recipient", "status"),
    )
    parsed.events.append(event)


def _place(payload: dict[str, Any], vendor_id: str) -> Normalised:
    message = fields.obj(payload, "message")
    conversation = fields.key(message, "conversationId") or fields.key(
        payload, "conversation", "id"
    )
    updated = fields.text(payload, "type") == "message.updated"
    return Normalised(
        vendor_id=vendor_id,
        conversation_key=conversation or "",
        occurred_at_us=(moment(message, "updatedDatetime") if updated else None)
        or moment(message, "createdDatetime")
        or moment(payload, "conversation", "createdDatetime"),
        in_reply_to=fields.key(message, "replyTo", "id"),
        vendor=given(message, "id", "channelId", "platform", "type", "status", "from", "to")
        | given(payload, "workspaceId"),
    )


def _message(payload: dict[str, Any], kind: str, parsed: Parsed) -> None:
    message = fields.obj(payload, "message")
    number = fields.key(message, "id")
    event = _place(payload, number or "")
    if number is None or not event.conversation_key:
        parsed.lose("missing_id", "A message has no id or no conversation.")
        return
    sent = fields.text(message, "direction") == "sent"
    status: Any = _STATUSES.get(fields.text(message, "status") or "")
    if kind != "message.created" and sent:
        if status is None:
            parsed.note("unknown_status", "A change of status is not passed on.")
            return
        error = fields.text(message, "error", "description")
        event.vendor_id = f"{number}:{status}"
        event.type, event.direction = interactions.DELIVERY_STATUS, "outbound"
        event.author, event.delivery_status = Author("system"), Delivery(number, status, error)
        parsed.events.append(event)
        return
    _attribute(event, payload, sent)
    if kind == "message.updated":
        stamp = fields.key(message, "updatedDatetime") or digest_of(message.get("content"))
        event.vendor_id, event.message_key = f"{number}:updated:{stamp}", number
        deleted = fields.text(message, "status") == "deleted"
        event.type = interactions.MESSAGE_DELETED if deleted else interactions.MESSAGE_EDITED
        event.replaces = number
    if event.type != interactions.MESSAGE_DELETED:
        _say(event, message)
    parsed.events.append(event)


def _attribute(event: Normalised, payload: dict[str, Any], sent: bool) -> None:
    contact = fields.obj(payload, "contact")
    names = (fields.text(contact, "firstName"), fields.text(contact, "lastName"))
    name = fields.text(contact, "displayName") or " ".join(part for part in names if part)
    number = fields.key(contact, "msisdn") or fields.key(payload, "message", "from")
    if sent:
        event.author, event.direction, event.flags = Author("agent"), "outbound", ["echo"]
    else:
        own = fields.key(contact, "id") or number
        event.author = Author("customer", name or None, own)
        event.identities = identities(
            messagebird=fields.key(contact, "id"), **{PHONE: phone(number)}
        )


_MEDIA = ("image", "video", "audio", "file", "whatsappSticker")


def _say(event: Normalised, message: dict[str, Any]) -> None:
    content, kind = fields.obj(message, "content"), fields.text(message, "type") or "?"
    event.text = fields.text(content, "text") or fields.text(content, "email", "content", "text")
    for name in _MEDIA:
        url = fields.text(content, name, "url") or fields.text(content, name, "link")
        if url:
            media = f"{name}/*" if name in ("image", "video", "audio") else None
            event.attachments.append(Attachment(content_type=media, url=url))
            event.text = event.text or fields.text(content, name, "caption")
    place = fields.obj(content, "location")
    if place:
        spot = f"{fields.number(place, 'latitude')}, {fields.number(place, 'longitude')}"
        event.text, event.generated = f"Location: {spot}", True
    if not event.text and not event.attachments:
        event.text = _cards(content)
        event.generated = event.text is not None
    reply = fields.obj(content, "interactive", "reply") or fields.obj(content, "button")
    event.text = event.text or fields.text(reply, "text") or fields.text(reply, "title")
    if not event.text and not event.attachments:
        event.text, event.generated = f"(unsupported message: {kind[:64]})", True
        event.flags = [*event.flags, "unsupported"]


def _cards(content: dict[str, Any]) -> str | None:
    """Shared contacts, a line each; the lines of an order."""
    lines: list[str] = []
    for each in fields.items(content, "contacts"):
        names = [fields.text(each, "name", part) for part in ("formatted_name", "formattedName")]
        numbers = [fields.text(one, "phone") for one in fields.items(each, "phones")]
        mails = [fields.text(one, "email") for one in fields.items(each, "emails")]
        shown = ", ".join(part for part in (*names, *numbers, *mails) if part)
        lines += [f"Contact: {shown}"] if shown else []
    template = fields.text(content, "hsm", "templateName")
    lines += [f"Template: {template}"] if template else []
    order = fields.obj(content, "whatsappOrder")
    for each in fields.items(order, "products"):
        what = fields.text(each, "retailerID") or fields.text(each, "productRetailerId") or "?"
        lines.append(f"{fields.text(each, 'quantity') or '1'} × {what}")
    return "\n".join(lines) or None


def _conversation(payload: dict[str, Any], kind: str, parsed: Parsed) -> None:
    conversation = fields.obj(payload, "conversation")
    number = fields.key(conversation, "id")
    archived = fields.text(conversation, "status") == "archived"
    if number is None or not (kind == "conversation.created" or archived):
        parsed.note("not_an_interaction", f"The event {kind[:64]!r} is no interaction.")
        return
    stamp = fields.key(conversation, "updatedDatetime") or ""
    event = _place(payload, f"{number}:{kind}:{stamp}")
    event.type = interactions.CONVERSATION_STARTED
    if kind != "conversation.created":
        event.type, event.reason = interactions.CONVERSATION_ENDED, "ended"
        event.occurred_at_us = moment(conversation, "updatedDatetime") or event.occurred_at_us
    event.author = Author("system")
    parsed.events.append(event)


def examples() -> tuple[Example, ...]:
    at_us = parse_instant("2026-03-02T09:20:00Z")
    secrets = {"signing_key": ("example-signing-key",)}

    def one(name: str, event: str, payload: dict[str, Any], revises: str | None = None) -> Example:
        return Example(name, sign(payload, at_us), secrets, (event,), revises)

    def chat(kind: str, **message: Any) -> dict[str, Any]:
        full = {
            "id": "mb1",
            "conversationId": "cv1",
            "platform": "whatsapp",
            "direction": "received",
            "type": "text",
            "createdDatetime": "2026-03-02T09:19:59Z",
            **message,
        }
        return {"type": kind, "contact": {"id": "ct1", "msisdn": 4915112345678}, "message": full}

    sms = {
        "id": "sms1",
        "originator": "4915112345678",
        "recipient": "4930123456",
        "body": "Call me",
        "createdDatetime": "2026-03-02T09:19:58+00:00",
    }
    edited = {"content": {"text": "Good evening"}, "updatedDatetime": "2026-03-02T09:19:59.5Z"}
    sent = {"id": "mb2", "direction": "sent", "updatedDatetime": "2026-03-02T09:19:59Z"}
    photo = {"id": "mb3", "type": "image", "content": {"image": {"url": "https://m.example/1"}}}
    return (
        one("sms", interactions.MESSAGE, sms),
        one("text", interactions.MESSAGE, chat("message.created", content={"text": "Hello"})),
        one("edit", interactions.MESSAGE_EDITED, chat("message.updated", **edited), "text"),
        one("photo", interactions.MESSAGE, chat("message.created", **photo)),
        one(
            "read",
            interactions.DELIVERY_STATUS,
            chat("message.updated", **sent, status="read"),
        ),
    )


CONNECTOR = Connector(
    kind="messagebird",
    channel="chat",
    title="MessageBird (Bird)",
    setup=SETUP,
    signature=AnyOf((MessageBirdToken(), MessageBirdHmac())),
    by_get=True,
    parse=parse,
    examples=examples,
    settings=MessageBirdSettings,
    secrets={
        "signing_key": "Signing key of the account: signs each request.",
        "access_key": "For what was missed. Not needed to receive messages.",
    },
    fetches=messagebird_history.FETCHES,
)
