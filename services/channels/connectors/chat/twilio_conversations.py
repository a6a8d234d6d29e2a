"""Twilio Conversations: messages, edits, removals and delivery receipts, a form per event.

https://www.twilio.com/docs/conversations/conversations-webhooks
"""

import json
from typing import Any

from pydantic import Field

from services.channels.connectors import fields
from services.channels.connectors.chat import twilio_history
from services.channels.connectors.chat.twilio_forms import (
    AUTH_TOKEN,
    SIGNATURE,
    form,
    request_of,
)
from services.channels.connectors.identities import EMAIL, PHONE, email, identities, phone
from services.channels.connectors.port import (
    Connector,
    Context,
    Example,
    InboundRequest,
    Normalised,
    Parsed,
    Settings,
)
from services.channels.connectors.reading import cleaned, digest_of, given, moment
from shared.contracts import interactions
from shared.contracts.instants import parse_instant
from shared.contracts.interactions import Attachment, Author, Delivery


class TwilioConversationsSettings(Settings):
    agents: tuple[str, ...] = Field(
        default=(), max_length=500, description="Identities of agents, as in the chat participants."
    )
    bots: tuple[str, ...] = Field(
        default=("system",), max_length=100, description="Identities of bots; never customers."
    )
    account_sid: str | None = Field(
        default=None,
        max_length=64,
        pattern=r"^AC[A-Za-z0-9]+$",
        description="The account's SID: with it, what was missed is listed.",
    )


SETUP = """\
1. Under Conversations > Webhooks, enter the connector's inbound URL as post-webhook with POST and
   choose onMessageAdded, onMessageUpdated, onMessageRemoved, onDeliveryUpdated,
   onConversationAdded, onConversationStateUpdated, onConversationRemoved.
2. Put the account's auth token into `auth_token`; a list of two during rotation.
3. Behind a proxy, set `public_url` to the address exactly as Twilio calls it.
4. Name in `agents` the identities that your agents write with.

Twilio does not repeat these webhooks: what was missed is listed every quarter of an hour by
the Conversations API, once `account_sid` is set.
"""

_NAMES = ("EventType", "ConversationSid", "MessageSid", "Index", "ParticipantSid", "Author",
          "AccountSid", "ChatServiceSid", "MessagingServiceSid", "Status", "StateTo",
          "ErrorCode", "RetryCount")  # fmt: skip
_STATUSES = {"sent": "sent", "delivered": "delivered", "read": "read", "failed": "failed",
             "undelivered": "failed"}  # fmt: skip


def parse(request: InboundRequest, settings: TwilioConversationsSettings, _: Context) -> Parsed:
    parsed = Parsed()
    values = form(request, parsed)
    if not values:
        return parsed
    kind = fields.text(values, "EventType") or "?"
    if fields.key(values, "ConversationSid") is None:
        tell = parsed.note if kind.startswith(("onUser", "onParticipant")) else parsed.lose
        tell("missing_conversation", f"The event {kind[:64]!r} has no ConversationSid.")
    elif kind in ("onMessageAdded", "onMessageUpdated", "onMessageRemoved"):
        _message(values, kind, settings, parsed)
    elif kind == "onDeliveryUpdated":
        _status(values, parsed)
    elif kind in ("onConversationAdded", "onConversationRemoved", "onConversationStateUpdated"):
        _conversation(values, kind, parsed)
    else:
        parsed.note("not_an_interaction", f"The event {kind[:64]!r} is no interaction.")
    return parsed


def _event(values: dict[str, Any], vendor_id: str, **more: Any) -> Normalised:
    stamps = ("DateUpdated", "DateCreated") if "Updated" in vendor_id else ("DateCreated",)
    found = [at for name in stamps if (at := moment(values, name)) is not None]
    return Normalised(
        vendor_id=vendor_id,
        conversation_key=fields.key(values, "ConversationSid") or "",
        occurred_at_us=found[0] if found else None,
        vendor=given(values, *_NAMES),
        **more,
    )


def _author(values: dict[str, Any], settings: TwilioConversationsSettings) -> Author:
    name = fields.key(values, "Author")
    if name in settings.bots:
        return Author("bot", id=name)
    return Author("agent" if name in settings.agents else "customer", id=name)


def _message(
    values: dict[str, Any], kind: str, settings: TwilioConversationsSettings, parsed: Parsed
) -> None:
    sid = fields.key(values, "MessageSid")
    if sid is None:
        parsed.lose("missing_id", "A message has no MessageSid.")
        return
    if kind == "onMessageUpdated":
        stamp = fields.key(values, "DateUpdated") or digest_of(values.get("Body"))
        event = _event(values, f"{sid}:onMessageUpdated:{stamp}", replaces=sid, message_key=sid)
        event.type = interactions.MESSAGE_EDITED
    elif kind == "onMessageRemoved":
        event = _event(values, f"{sid}:removed", replaces=sid, message_key=sid)
        event.type = interactions.MESSAGE_DELETED
        event.occurred_at_us = moment(values, "DateRemoved") or event.occurred_at_us
    else:
        event = _event(values, sid)
    event.author = _author(values, settings)
    if event.author.role != "customer":
        event.direction, event.flags = "outbound", ["echo"]
    else:
        event.identities = _identities(event.author.id or "")
    if kind != "onMessageRemoved":
        _say(event, values)
    parsed.events.append(event)


def _identities(author: str) -> list[Any]:
    """Who writes by SMS or WhatsApp is known by number; chat participants by their identity."""
    scheme, _, rest = author.rpartition(":")
    number = phone(rest) if rest.startswith("+") else None
    scheme = scheme if scheme in ("whatsapp", "messenger", "rcs") else "twilio"
    known = {scheme: rest if scheme != "twilio" else author, PHONE: number, EMAIL: email(author)}
    return identities(**known)


def _say(event: Normalised, values: dict[str, Any]) -> None:
    event.text = fields.text(values, "Body")
    event.attachments = _media(values.get("Media"))
    event.attributes = fields.known(attributes=cleaned(_decoded(values.get("Attributes"))))
    if not event.text and not event.attachments:
        event.text, event.generated = "(empty message)", True
        event.flags = [*event.flags, "unsupported"]


def _media(value: Any) -> list[Attachment]:
    return [
        Attachment(
            name=fields.text(each, "Filename"),
            content_type=fields.text(each, "ContentType"),
            size=fields.integer(each, "Size"),
            vendor_id=fields.key(each, "Sid"),
        )
        for each in fields.items({"media": _decoded(value)}, "media")
    ][:10]


def _decoded(value: Any) -> Any:
    """JSON in a string, as Twilio sends Media and Attributes."""
    if not isinstance(value, str):
        return value
    found = fields.decode_json(value.encode("utf-8", "replace"), Parsed())
    return found if isinstance(found, list | dict) else None


def _status(values: dict[str, Any], parsed: Parsed) -> None:
    sid, status = fields.key(values, "MessageSid"), (fields.text(values, "Status") or "").lower()
    known: Any = _STATUSES.get(status)
    if sid is None:
        parsed.lose("missing_id", "A receipt has no MessageSid.")
    elif known is None:
        parsed.note("unknown_status", f"The status {status[:32]!r} is not passed on.")
    else:
        who = fields.key(values, "ParticipantSid") or ""
        event = _event(values, f"{sid}:{status}:{who}", direction="outbound")
        event.type, event.author = interactions.DELIVERY_STATUS, Author("system")
        code = fields.text(values, "ErrorCode")
        error = code if code not in (None, "0") else None
        event.delivery_status = Delivery(message_id=sid, status=known, error=error)
        parsed.events.append(event)


def _conversation(values: dict[str, Any], kind: str, parsed: Parsed) -> None:
    sid = fields.key(values, "ConversationSid")
    state = (fields.text(values, "StateTo") or "").lower()
    stamp = fields.key(values, "StateUpdated") or fields.key(values, "DateUpdated") or ""
    if kind == "onConversationAdded":
        event = _event(values, f"{sid}:added", type=interactions.CONVERSATION_STARTED)
    elif kind == "onConversationRemoved" or state == "closed":
        event = _event(values, f"{sid}:Updated:closed:{stamp}", reason="ended")
        event.type = interactions.CONVERSATION_ENDED
        event.occurred_at_us = moment(values, "StateUpdated") or event.occurred_at_us
    else:
        parsed.note("not_an_interaction", f"The state {state[:32]!r} is no interaction.")
        return
    event.author = Author("system")
    parsed.events.append(event)


def examples() -> tuple[Example, ...]:
    at_us = parse_instant("2026-03-02T09:20:00Z")
    common = {"AccountSid": "ACexample", "ConversationSid": "CHexample"}
    secrets = {"auth_token": (AUTH_TOKEN,)}

    def one(name: str, kind: str, event: str, revises: str | None = None, **more: Any) -> Example:
        stamp = {"DateCreated": "2026-03-02T09:19:59.500Z"}
        values = {**common, "EventType": kind, **stamp, **more}
        return Example(name, request_of(values, at_us), secrets, (event,), revises)

    said = {"MessageSid": "IM1", "Index": 4, "Author": "+4915112345678"}
    later = {"DateUpdated": "2026-03-02T09:19:59.900Z"}
    media = json.dumps([{"Sid": "ME1", "ContentType": "image/png", "Filename": "a.png"}])
    return (
        one("text", "onMessageAdded", interactions.MESSAGE, **said, Body="Still no parcel"),
        one(
            "edited",
            "onMessageUpdated",
            interactions.MESSAGE_EDITED,
            "text",
            **said,
            **later,
            Body="Still no parcel?",
        ),
        one("removed", "onMessageRemoved", interactions.MESSAGE_DELETED, "text", **said),
        one(
            "media",
            "onMessageAdded",
            interactions.MESSAGE,
            **{**said, "MessageSid": "IM2"},
            Media=media,
        ),
        one(
            "delivered",
            "onDeliveryUpdated",
            interactions.DELIVERY_STATUS,
            MessageSid="IM3",
            Status="delivered",
        ),
        one("added", "onConversationAdded", interactions.CONVERSATION_STARTED),
        one(
            "closed",
            "onConversationStateUpdated",
            interactions.CONVERSATION_ENDED,
            StateTo="closed",
            **later,
        ),
    )


CONNECTOR = Connector(
    kind="twilio_conversations",
    channel="chat",
    title="Twilio Conversations",
    setup=SETUP,
    signature=SIGNATURE,
    by_get=True,
    parse=parse,
    examples=examples,
    settings=TwilioConversationsSettings,
    secrets={"auth_token": "Auth token of the Twilio account: signs each request."},
    fetches=twilio_history.CONVERSATIONS,
)
