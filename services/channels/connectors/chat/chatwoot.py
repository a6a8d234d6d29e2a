"""Chatwoot: messages and states of its conversations, by account or inbox webhooks.

https://www.chatwoot.com/docs/product/others/webhooks
"""

from typing import Any
from urllib.parse import unquote

from pydantic import Field

from services.channels.connectors import fields
from services.channels.connectors.chat import chatwoot_history
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
from services.channels.connectors.posting import signed
from services.channels.connectors.reading import digest_of, given, moment, payload_of
from services.channels.connectors.signatures import BodyHmac
from shared.contracts import interactions
from shared.contracts.instants import parse_instant
from shared.contracts.interactions import Attachment, Author, Delivery


class ChatwootSettings(Settings):
    base_url: str | None = Field(
        default=None,
        max_length=256,
        pattern=r"^https?://[^\s/?#@]+$",
        description="Your Chatwoot, such as https://app.chatwoot.com: what was missed is listed there.",
    )
    account_id: int | None = Field(default=None, ge=1, description="The account's number there.")


SETUP = """\
1. In Chatwoot, Settings > Integrations > Webhooks, add the connector's inbound URL and choose
   «Message created», «Message updated», «Conversation created», «Conversation status changed».
2. Put the webhook's secret into `webhook_secret`; a list of two while you rotate it.

Chatwoot does not repeat a webhook: what was missed is listed by its API every five minutes, once
`base_url`, `account_id` and the secret `api_access_token` are set. For a Chatwoot inside your network
OMNIROUTE_FETCH_ALLOW has to name it.
"""

_SIGNATURE = BodyHmac(
    "webhook_secret",
    "X-Chatwoot-Signature",
    prefix="sha256=",
    message="{timestamp}.{body}",
    timestamp_header="X-Chatwoot-Timestamp",
)
_DIRECTIONS = {0: "incoming", 1: "outgoing", 2: "activity", 3: "template"}


def parse(request: InboundRequest, _: ChatwootSettings, __: Context) -> Parsed:
    parsed = Parsed()
    payload = payload_of(request, parsed)
    if not payload:
        return parsed
    name = fields.text(payload, "event") or "?"
    if name in ("message_created", "message_updated"):
        _message(payload, name, request, parsed)
    elif name in ("conversation_created", "conversation_status_changed", "conversation_resolved"):
        _conversation(payload, name, parsed)
    else:
        tell = parsed.note if name != "?" else parsed.lose
        tell("not_an_interaction", f"The event {name[:64]!r} is no interaction.")
    return parsed


def _key(payload: dict[str, Any], conversation: dict[str, Any]) -> str | None:
    number = fields.key(conversation, "id") or fields.key(conversation, "display_id")
    account = fields.key(payload, "account", "id") or fields.key(conversation, "account_id") or ""
    return f"{account}:{number}" if number else None


def _vendor(payload: dict[str, Any], conversation: dict[str, Any]) -> dict[str, Any]:
    known = given(payload, "event", "id", "source_id", "message_type")
    return known | fields.known(
        conversation_id=conversation.get("id"),
        inbox_id=fields.at(conversation, "inbox_id") or fields.at(payload, "inbox", "id"),
        account_id=fields.at(payload, "account", "id"),
        platform=fields.text(conversation, "channel"),
    )


def _message(payload: dict[str, Any], name: str, request: InboundRequest, parsed: Parsed) -> None:
    conversation = fields.obj(payload, "conversation")
    number, key = fields.key(payload, "id"), _key(payload, conversation)
    if number is None or key is None:
        parsed.lose("missing_id", "A message has no id or no conversation.")
        return
    direction = payload.get("message_type")
    direction = _DIRECTIONS.get(direction, "") if isinstance(direction, int) else direction
    if direction == "activity":
        parsed.note("not_an_interaction", "A note of activity is no interaction.")
        return
    event = Normalised(
        vendor_id=number,
        message_key=f"message:{number}",
        conversation_key=key,
        occurred_at_us=moment(payload, "created_at"),
        vendor=_vendor(payload, conversation),
    )
    _attribute(event, payload, conversation, direction == "incoming")
    if name == "message_updated" and not _change(event, payload, number, parsed):
        return
    if event.type in (interactions.MESSAGE, interactions.MESSAGE_EDITED):
        _say(event, payload)
    rating = fields.obj(payload, *_RATING)
    if rating:
        event = _rated(event, payload, number, rating)
    elif name == "message_updated" and (answer := _submitted(payload)):
        event = _answered(event, payload, number, answer)
    parsed.events.append(event)


_RATING = ("content_attributes", "submitted_values", "csat_survey_response")


def _rated(
    asked: Normalised, payload: dict[str, Any], number: str, rating: dict[str, Any]
) -> Normalised:
    """The customer's answer to a survey, which Chatwoot tells as a change of the question."""
    said = fields.text(rating, "feedback_message")
    return Normalised(
        vendor_id=f"{number}:csat:{digest_of(rating.get('rating'), said)}",
        conversation_key=asked.conversation_key,
        type=interactions.FEEDBACK,
        occurred_at_us=moment(payload, "updated_at"),
        survey="csat",
        score=fields.number(rating, "rating"),
        comment=said,
        vendor=asked.vendor,
    )


def _submitted(payload: dict[str, Any]) -> str | None:
    """What was chosen or filled in where a bot asked."""
    address = fields.text(payload, "content_attributes", "submitted_email")
    lines = [_answer(each) for each in _values(payload)]
    return "\n".join(lines) or address


def _answered(asked: Normalised, payload: dict[str, Any], number: str, answer: str) -> Normalised:
    """The customer's answer, which Chatwoot tells as a change of the question."""
    event = Normalised(
        vendor_id=f"{number}:submitted:{digest_of(answer)}",
        conversation_key=asked.conversation_key,
        occurred_at_us=moment(payload, "updated_at"),
        in_reply_to=number,
        text=answer,
        vendor=asked.vendor,
    )
    _attribute(event, {"sender": None}, fields.obj(payload, "conversation"), True)
    return event


def _attribute(
    event: Normalised, payload: dict[str, Any], conversation: dict[str, Any], inbound: bool
) -> None:
    sender = fields.obj(payload, "sender")
    name, own = fields.text(sender, "name"), fields.key(sender, "id")
    attributes = fields.obj(payload, "content_attributes")
    event.in_reply_to = fields.key(attributes, "in_reply_to") or event.in_reply_to
    if not inbound:
        bot = fields.text(sender, "type") in ("agent_bot", "captain_assistant")
        automatic = bot or payload.get("message_type") in ("template", 3) or not sender
        event.author = Author("bot" if automatic else "agent", name, own)
        event.direction, event.flags = "outbound", ["echo"]
        if fields.flag(payload, "private"):
            event.flags, event.attributes = ["suppress"], {"note": True}
        return
    sender = sender or fields.obj(conversation, "meta", "sender")
    event.author = Author("customer", fields.text(sender, "name"), fields.key(sender, "id"))
    known = {
        "chatwoot": fields.key(sender, "id"),
        "external": fields.key(sender, "identifier"),
        EMAIL: email(fields.text(sender, "email")),
        PHONE: phone(fields.text(sender, "phone_number")),
    }
    event.identities = identities(**known)


def _change(event: Normalised, payload: dict[str, Any], number: str, parsed: Parsed) -> bool:
    """What was updated: deleted, a receipt for one of ours, or other words."""
    attributes = fields.obj(payload, "content_attributes")
    status: Any = fields.text(payload, "status")
    if fields.flag(attributes, "deleted"):
        event.type, event.vendor_id = interactions.MESSAGE_DELETED, f"{number}:deleted"
    elif event.direction == "outbound" and status in ("delivered", "read", "failed"):
        event.vendor_id, event.message_key = f"{number}:{status}", None
        event.type, event.author = interactions.DELIVERY_STATUS, Author("system")
        error = fields.text(attributes, "external_error")
        event.delivery_status = Delivery(number, status, error)
        event.flags = []
        return True
    elif event.direction == "outbound" and status == "sent" and not attributes:
        parsed.note("not_an_interaction", "A message of ours was sent.")
        return False
    else:
        event.type = interactions.MESSAGE_EDITED
        changed = digest_of(payload.get("content"), attributes, payload.get("attachments"))
        event.vendor_id = f"{number}:{changed}"
    event.replaces, event.original_id = event.message_key, number
    return True


def _say(event: Normalised, payload: dict[str, Any]) -> None:
    event.text = fields.text(payload, "content")
    event.subject = fields.text(
        payload, "conversation", "additional_attributes", "mail_subject"
    ) or fields.text(payload, "content_attributes", "email", "subject")
    for each in fields.items(payload, "attachments"):
        place = fields.number(each, "coordinates_lat"), fields.number(each, "coordinates_long")
        if fields.text(each, "file_type") == "location":
            title = fields.text(each, "fallback_title")
            spot = f"{place[0]}, {place[1]}"
            event.text = event.text or f"Location: {f'{title} ({spot})' if title else spot}"
            continue
        if fields.text(each, "file_type") == "contact":
            event.text = event.text or _card(each)
            continue
        if fields.text(each, "file_type") == "fallback" and not fields.text(each, "data_url"):
            event.text = event.text or fields.text(each, "fallback_title")
            continue
        url = fields.text(each, "data_url") or fields.text(each, "external_url")
        kind = fields.text(each, "file_type")
        media = f"{kind}/*" if kind in ("image", "audio", "video") else None
        size = fields.integer(each, "file_size")
        if url:
            name = _file_name(url, fields.text(each, "extension"))
            file = Attachment(name, media, size, url, vendor_id=fields.key(each, "id"))
            event.attachments.append(file)
    if not event.text and not event.attachments:
        kind = fields.text(payload, "content_type") or "?"
        event.text, event.generated = f"(unsupported message: {kind[:64]})", True
        event.flags = [*event.flags, "unsupported"]


def _card(attachment: dict[str, Any]) -> str | None:
    """A shared contact: Chatwoot puts the number where other files have a title."""
    names = [fields.text(attachment, "meta", part) for part in ("first_name", "last_name")]
    names += [fields.text(attachment, "meta", part) for part in ("firstName", "lastName")]
    shown = " ".join(part for part in names if part)
    number = fields.text(attachment, "fallback_title")
    label = ", ".join(part for part in (shown, number) if part)
    return f"Contact: {label}" if label else None


def _file_name(url: str, extension: str | None) -> str | None:
    """The last part of the address, where it is a file's name."""
    name = unquote(url.partition("?")[0].rpartition("/")[2])
    named = "." in name[1:-1] or bool(extension and name)
    return fields.clean(name, 255) if named else None


def _values(payload: dict[str, Any]) -> list[dict[str, Any]]:
    return list(fields.items(payload, "content_attributes", "submitted_values"))


def _answer(value: dict[str, Any]) -> str:
    name = fields.text(value, "name") or fields.text(value, "title") or "?"
    return f"{name}: {fields.text(value, 'value') or ''}"


def _conversation(payload: dict[str, Any], name: str, parsed: Parsed) -> None:
    key = _key(payload, payload)
    status = fields.text(payload, "status") or ""
    ended = name == "conversation_resolved" or status == "resolved"
    if key is None:
        parsed.lose("missing_conversation", "A conversation has no id.")
        return
    if name != "conversation_created" and not ended:
        parsed.note("not_an_interaction", f"The status {status[:32]!r} is no interaction.")
        return
    stamp = fields.key(payload, "updated_at") or fields.key(payload, "timestamp") or ""
    started = name == "conversation_created"
    parsed.events.append(
        Normalised(
            vendor_id=f"{key}:{name}:{'' if started else stamp}",
            conversation_key=key,
            type=interactions.CONVERSATION_STARTED if started else interactions.CONVERSATION_ENDED,
            reason=None if started else "ended",
            author=Author("system"),
            occurred_at_us=moment(payload, "created_at" if started else "updated_at")
            or moment(payload, "timestamp"),
            vendor=_vendor(payload, payload),
        )
    )


def examples() -> tuple[Example, ...]:
    at_us = parse_instant("2026-03-02T09:20:00Z")
    secrets = {"webhook_secret": ("example-webhook-secret",)}
    conversation = {"id": 12, "inbox_id": 3, "channel": "Channel::WebWidget"}

    def one(name: str, kind: str, event: str, revises: str | None = None, **raw: Any) -> Example:
        payload = {
            "event": kind,
            "account": {"id": 1},
            "created_at": "2026-03-02T09:19:59.000Z",
            **raw,
        }
        request = signed(_SIGNATURE, "example-webhook-secret", payload, at_us + 200_000)
        return Example(name, request, secrets, (event,), revises)

    said = {
        "id": 70,
        "content": "Hello",
        "message_type": "incoming",
        "sender": {"id": 5, "name": "Kim", "email": "kim@example.org", "type": "contact"},
        "conversation": conversation,
    }
    sent = {**said, "id": 71, "message_type": "outgoing", "sender": {"id": 2, "type": "user"}}
    gone = {**said, "content_attributes": {"deleted": True}}
    photo = {"id": 1, "file_type": "image", "data_url": "https://c.example/1.png"}
    return (
        one("text", "message_created", interactions.MESSAGE, **said),
        one(
            "edit",
            "message_updated",
            interactions.MESSAGE_EDITED,
            "text",
            **{**said, "content": "Hello there"},
        ),
        one("deleted", "message_updated", interactions.MESSAGE_DELETED, "text", **gone),
        one(
            "photo",
            "message_created",
            interactions.MESSAGE,
            **{**said, "id": 72, "content": None, "attachments": [photo]},
        ),
        one("ours", "message_created", interactions.MESSAGE, **sent),
        one("read", "message_updated", interactions.DELIVERY_STATUS, **sent, status="read"),
        one("created", "conversation_created", interactions.CONVERSATION_STARTED, **conversation),
    )


CONNECTOR = Connector(
    kind="chatwoot",
    channel="chat",
    title="Chatwoot",
    setup=SETUP,
    signature=_SIGNATURE,
    parse=parse,
    examples=examples,
    settings=ChatwootSettings,
    secrets={
        "webhook_secret": "Secret of the webhook: signs each request.",
        "api_access_token": "For what was missed. Not needed to receive messages.",
    },
    fetches=chatwoot_history.FETCHES,
)
