"""Intercom: what customers, teammates and bots write in conversations, a notification per topic.

https://developers.intercom.com/docs/references/webhooks/webhook-models
"""

from typing import Any

from services.channels.connectors import fields
from services.channels.connectors.chat import intercom_history
from services.channels.connectors.email.markup import pictures_of, safe, to_text
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
from shared.contracts.interactions import Attachment, Author, Role

SETUP = """\
1. In the Developer Hub, open the app's Webhooks page and enter the connector's inbound URL.
2. Subscribe to `conversation.user.created`, `conversation.user.replied`,
   `conversation.admin.replied`, `conversation.admin.single.created`, `conversation.admin.noted`,
   `conversation.admin.closed`, `conversation_part.redacted`, `conversation.rating.added`.
3. Put the app's client secret into `client_secret`; a list of two while you rotate it.

Intercom repeats a delivery once, after a minute: what was missed is listed by the Conversations API
with `access_token`.
"""

_SIGNATURE = BodyHmac("client_secret", "X-Hub-Signature", algorithm="sha1", prefix="sha1=")
_ROLES: dict[str, Role] = {
    "user": "customer",
    "lead": "customer",
    "contact": "customer",
    "admin": "agent",
    "team": "agent",
    "bot": "bot",
}


def parse(request: InboundRequest, _: Settings, __: Context) -> Parsed:
    parsed = Parsed()
    payload = payload_of(request, parsed)
    if not payload:
        return parsed
    topic = fields.text(payload, "topic") or "?"
    item = fields.obj(payload, "data", "item")
    if topic == "ping" or fields.text(item, "type") == "ping":
        parsed.note("ping", "Intercom tests the address.")
    elif topic.startswith("ticket."):
        _ticket(payload, topic, item, parsed)
    elif not topic.startswith(("conversation.", "conversation_part.")):
        parsed.note("not_an_interaction", f"The topic {topic[:64]!r} is no interaction.")
    elif topic == "conversation_part.tag.created":
        parsed.note("not_an_interaction", "What is tagged has been told when it was written.")
    elif not _id(item):
        parsed.lose("missing_conversation", "The notification has no conversation.")
    else:
        _conversation(payload, topic, item, parsed)
    return parsed


def _conversation(
    payload: dict[str, Any], topic: str, item: dict[str, Any], parsed: Parsed
) -> None:
    before = len(parsed.events)
    parts = list(fields.items(item, "conversation_parts", "conversation_parts"))
    if fields.text(item, "type") == "conversation_part":
        parts = [item]
    if topic == "conversation_part.redacted":
        _redacted(payload, item, parts, parsed)
    elif topic == "conversation.rating.added":
        _rating(payload, item, parsed)
    elif topic in ("conversation.user.created", "conversation.admin.single.created"):
        _opening(payload, item, parsed)
    for part in parts if topic != "conversation_part.redacted" else []:
        _part(payload, item, part, parsed)
    if topic in ("conversation.admin.closed", "conversation.deleted"):
        now = {"id": item.get("id"), "created_at": item.get("updated_at")}
        event = _event(payload, item, f"{_id(item)}:{topic}:{_stamp(payload, item)}", now)
        event.type, event.reason = interactions.CONVERSATION_ENDED, "ended"
        parsed.events.append(event)
    if len(parsed.events) == before:
        parsed.note("not_an_interaction", f"The topic {topic[:64]!r} brings no message.")


def _ticket(payload: dict[str, Any], topic: str, item: dict[str, Any], parsed: Parsed) -> None:
    """What a contact wrote into a ticket, and what was answered there."""
    ticket = fields.obj(item, "ticket") or item
    if fields.key(ticket, "id") is None:
        parsed.lose("missing_conversation", "The notification has no ticket.")
        return
    before = len(parsed.events)
    if topic == "ticket.created":
        _described(payload, ticket, parsed)
    parts = [
        *fields.items(item, "ticket_part"),
        *fields.items(ticket, "ticket_parts", "ticket_parts"),
    ]
    for part in parts:
        _part(payload, ticket, part, parsed)
    if topic == "ticket.closed" or (topic == "ticket.state.updated" and _resolved(ticket)):
        event = _event(payload, ticket, f"{_id(ticket)}:{topic}:{_stamp(payload, ticket)}", {})
        event.type, event.reason = interactions.CONVERSATION_ENDED, "ended"
        parsed.events.append(event)
    if len(parsed.events) == before:
        parsed.note("not_an_interaction", f"The topic {topic[:64]!r} brings no message.")


def _resolved(ticket: dict[str, Any]) -> bool:
    state = fields.text(ticket, "ticket_state", "category") or fields.text(ticket, "ticket_state")
    return state == "resolved"


def _described(payload: dict[str, Any], ticket: dict[str, Any], parsed: Parsed) -> None:
    """A new ticket's own words. Contacts open tickets themselves, or an agent does it for them."""
    attributes = fields.obj(ticket, "ticket_attributes")
    title = fields.text(attributes, "_default_title_")
    told = fields.text(attributes, "_default_description_") or title
    if told is None:
        return
    contact = next(fields.items(ticket, "contacts", "contacts"), {})
    author = {"type": "user", **{name: contact.get(name) for name in ("id", "name", "email")}}
    said = {"author": author, "created_at": ticket.get("created_at"), "body": told}
    event = _event(payload, ticket, f"{_id(ticket)}:created", said)
    event.subject = title
    _say(event, said, parsed)


def _id(item: dict[str, Any]) -> str:
    return fields.key(item, "conversation_id") or fields.key(item, "id") or ""


def _stamp(payload: dict[str, Any], item: dict[str, Any]) -> str:
    return fields.key(item, "updated_at") or fields.key(payload, "created_at") or ""


def _event(
    payload: dict[str, Any], item: dict[str, Any], vendor_id: str, said: dict[str, Any]
) -> Normalised:
    author = fields.obj(said, "author")
    role = _ROLES.get(fields.text(author, "type") or "", "system")
    vendor = given(payload, "id", "topic", "app_id", "created_at", "delivery_attempts")
    vendor |= fields.known(conversation_id=_id(item), part_id=fields.key(said, "id"))
    ours = role != "customer"
    return Normalised(
        vendor_id=vendor_id,
        conversation_key=_id(item),
        occurred_at_us=moment(said, "created_at")
        or moment(item, "updated_at")
        or moment(payload, "created_at"),
        author=Author(role, fields.text(author, "name"), fields.key(author, "id")),
        direction="outbound" if ours else "inbound",
        identities=[] if ours else _identities(author, item),
        vendor=vendor,
    )


def _identities(author: dict[str, Any], item: dict[str, Any]) -> list[Any]:
    contact = next(fields.items(item, "contacts", "contacts"), {})
    person = fields.obj(item, "user") or contact
    known = {
        "intercom": fields.key(author, "id"),
        "external": fields.key(contact, "external_id") or fields.key(person, "user_id"),
        EMAIL: email(fields.text(author, "email") or fields.text(person, "email")),
        PHONE: phone(fields.text(author, "phone") or fields.text(person, "phone")),
    }
    return identities(**known)


def _opening(payload: dict[str, Any], item: dict[str, Any], parsed: Parsed) -> None:
    source = fields.obj(item, "source") or fields.obj(item, "conversation_message")
    own = fields.key(source, "id")
    if own is None:
        return
    moved = source if source.get("created_at") else {**source, "created_at": item.get("created_at")}
    event = _event(payload, item, f"{_id(item)}:{own}", moved)
    event.message_key = f"part:{own}"
    event.subject = to_text(fields.text(source, "subject") or "").strip() or None
    _say(event, source, parsed)


def _part(
    payload: dict[str, Any], item: dict[str, Any], part: dict[str, Any], parsed: Parsed
) -> None:
    own = fields.key(part, "id")
    kind = fields.text(part, "part_type") or "comment"
    spoken = fields.text(part, "body") or list(fields.items(part, "attachments"))
    if own is None or not spoken or fields.flag(part, "redacted"):
        return
    event = _event(payload, item, f"{_id(item)}:{own}", part)
    event.message_key = f"part:{own}"
    if kind.startswith("note"):  # also one that opens the conversation again
        event.flags = ["suppress"]
        event.attributes = {"note": True}
    _say(event, part, parsed)


def _say(event: Normalised, raw: dict[str, Any], parsed: Parsed) -> None:
    body = fields.text(raw, "body") or ""
    marked = "<" in body
    event.text = (to_text(body).strip() if marked else body.strip()) or None
    event.html = safe(body) if marked else None
    event.attachments = [
        Attachment(
            name=fields.text(each, "name"),
            content_type=fields.text(each, "content_type"),
            size=fields.integer(each, "filesize"),
            url=fields.text(each, "url"),
        )
        for each in fields.items(raw, "attachments")
    ]
    if event.html:  # a picture that a customer pastes stands in the body alone
        known = {each.url for each in event.attachments}
        shown = [url for url in pictures_of(event.html) if url not in known]
        event.attachments += [Attachment(content_type="image/*", url=url) for url in shown]
    if event.author.role == "bot":
        event.flags = [*event.flags, "echo"]
    if not event.text and not event.attachments:
        event.text, event.generated = "(unsupported message)", True
        event.flags = [*event.flags, "unsupported"]
    parsed.events.append(event)


def _redacted(
    payload: dict[str, Any], item: dict[str, Any], parts: list[dict[str, Any]], parsed: Parsed
) -> None:
    """What was redacted must be deleted here too."""
    gone = [part for part in parts if part.get("redacted") is not False]
    if not gone and fields.flag(item, "source", "redacted"):
        gone = [fields.obj(item, "source")]
    for part in gone:
        own = fields.key(part, "id")
        if own is not None:
            event = _event(payload, item, f"{_id(item)}:{own}:redacted", part)
            event.type, event.replaces = interactions.MESSAGE_DELETED, f"part:{own}"
            event.message_key, event.original_id = event.replaces, own
            parsed.events.append(event)
    if not gone:
        parsed.lose("missing_original", "A redaction does not say of which part.")


def _rating(payload: dict[str, Any], item: dict[str, Any], parsed: Parsed) -> None:
    rating = fields.obj(item, "conversation_rating")
    stamp = fields.key(rating, "created_at") or digest_of(rating.get("rating"))
    event = _event(payload, item, f"{_id(item)}:rating:{stamp}", rating)
    event.type, event.author = interactions.FEEDBACK, Author("customer")
    event.direction, event.survey = "inbound", "csat"
    event.score, event.comment = fields.number(rating, "rating"), fields.text(rating, "remark")
    parsed.events.append(event)


def examples() -> tuple[Example, ...]:
    at_us = parse_instant("2026-03-02T09:20:00Z")
    stamp = at_us // 1_000_000
    secrets = {"client_secret": ("example-client-secret",)}
    kim = {"type": "user", "id": "kim", "name": "Kim", "email": "kim@example.org"}
    ana = {"type": "admin", "id": "7", "name": "Ana"}

    def one(name: str, topic: str, event: str, revises: str | None = None, **item: Any) -> Example:
        payload = {
            "type": "notification_event",
            "app_id": "app",
            "topic": topic,
            "id": f"notif_{name}",
            "created_at": stamp,
            "data": {"item": {"type": "conversation", "id": "9", "updated_at": stamp, **item}},
        }
        request = signed(_SIGNATURE, "example-client-secret", payload, at_us + 300_000)
        return Example(name, request, secrets, (event,), revises)

    def parts(**part: Any) -> dict[str, Any]:
        full = {"part_type": "comment", "created_at": stamp, **part}
        return {"conversation_parts": {"conversation_parts": [full]}}

    source = {"id": "100", "body": "<p>My bill is wrong</p>", "author": kim}
    return (
        one(
            "created",
            "conversation.user.created",
            interactions.MESSAGE,
            source=source,
            created_at=stamp,
        ),
        one(
            "reply",
            "conversation.user.replied",
            interactions.MESSAGE,
            **parts(id="101", body="<p>Any news?</p>", author=kim),
        ),
        one(
            "answer",
            "conversation.admin.replied",
            interactions.MESSAGE,
            **parts(id="102", body="<p>Soon</p>", author=ana),
        ),
        one(
            "redacted",
            "conversation_part.redacted",
            interactions.MESSAGE_DELETED,
            "reply",
            **parts(id="101", body=None, author=kim, redacted=True),
        ),
        one(
            "rating",
            "conversation.rating.added",
            interactions.FEEDBACK,
            conversation_rating={"rating": 5, "remark": "Quick", "created_at": stamp},
        ),
        one("closed", "conversation.admin.closed", interactions.CONVERSATION_ENDED),
    )


CONNECTOR = Connector(
    kind="intercom",
    channel="chat",
    title="Intercom",
    setup=SETUP,
    signature=_SIGNATURE,
    parse=parse,
    examples=examples,
    secrets={
        "client_secret": "Client secret of the app: signs each notification.",
        "access_token": "For what was missed. Not needed to receive messages.",
    },
    order_by="created_at",
    fetches=intercom_history.FETCHES,
)
