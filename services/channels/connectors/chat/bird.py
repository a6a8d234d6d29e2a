"""Bird, MessageBird's present platform: messages of all its channels by webhook subscriptions.

https://docs.bird.com/api/channels-api/message-types
"""

from collections.abc import Iterator
from typing import Any

from services.channels.connectors import fields
from services.channels.connectors.email.markup import to_text
from services.channels.connectors.identities import EMAIL, PHONE, email, identities, phone
from services.channels.connectors.port import Normalised, Parsed
from services.channels.connectors.reading import given, moment
from shared.contracts import interactions
from shared.contracts.interactions import Attachment, Author, Delivery

_STATUSES = {"sent": "sent", "delivered": "delivered", "read": "read", "delivery_failed": "failed",
             "sending_failed": "failed", "rejected": "failed"}  # fmt: skip


def read_bird(notice: dict[str, Any], parsed: Parsed) -> None:
    """Append what a notice means: {service, event, payload}."""
    name = fields.text(notice, "event") or "?"
    message = fields.obj(notice, "payload")
    if not name.endswith((".inbound", ".outbound")):
        parsed.note("not_an_interaction", f"The event {name[:64]!r} is no interaction.")
        return
    sent = fields.text(message, "direction") == "outgoing" or name.endswith(".outbound")
    people = list(_people(message, "receiver" if sent else "sender"))
    number = fields.key(message, "id")
    who = fields.key(people[0], "identifierValue") if people else None
    if number is None or who is None:
        missing = "id" if number is None else "sender"
        parsed.lose(f"missing_{missing}", f"A message has no {missing}.")
        return
    event = _event(name, message, people[0], who, number)
    status: Any = _STATUSES.get(fields.text(message, "status") or "")
    if not sent:
        _say(event, fields.obj(message, "body"))
    elif status is None:
        parsed.note("unknown_status", "A change of status is not passed on.")
        return
    else:
        error = fields.text(message, "reason")
        event.vendor_id, event.message_key = f"{number}:{status}", None
        event.type, event.author = interactions.DELIVERY_STATUS, Author("system")
        event.direction = "outbound"
        event.delivery_status = Delivery(number, status, error if status == "failed" else None)
    parsed.events.append(event)


def _people(message: dict[str, Any], side: str) -> Iterator[dict[str, Any]]:
    yield from fields.items(message, side, "contact")
    yield from fields.items(message, side, "contacts")


def _event(
    name: str, message: dict[str, Any], person: dict[str, Any], who: str, number: str
) -> Normalised:
    platform = name.partition(".")[0]
    scheme = fields.text(person, "identifierKey") or platform
    known: dict[str, str | None] = {
        "bird": fields.key(person, "id"),
        PHONE: phone(who) if scheme == "phonenumber" else None,
        EMAIL: email(who) if scheme == "emailaddress" else None,
    }
    if scheme not in ("phonenumber", "emailaddress"):
        known[scheme[:64]] = who
    shown = fields.text(person, "annotations", "name") or fields.text(person, "displayName")
    return Normalised(
        vendor_id=number,
        message_key=number,
        conversation_key=f"{fields.key(message, 'channelId') or ''}:{who}",
        occurred_at_us=moment(message, "createdAt"),
        author=Author("customer", shown, fields.key(person, "id") or who),
        identities=identities(**known),
        in_reply_to=fields.key(message, "replyTo", "id"),
        vendor=given(message, "id", "channelId", "reference", "status", "direction", "createdAt")
        | fields.known(event=name[:64]),
    )


def _say(event: Normalised, body: dict[str, Any]) -> None:
    kind = fields.text(body, "type") or "?"
    part = fields.obj(body, kind)
    event.text = fields.text(part, "text") or fields.text(body, "text", "text")
    event.text = event.text or to_text(fields.text(part, "html") or "").strip() or None
    event.subject = fields.text(part, "subject") or fields.text(part, "metadata", "subject")
    event.attachments = [file for each in _files(part) if (file := _file(each, kind))]
    pressed = next((each for each in fields.items(part, "actions")), {})
    chosen = fields.obj(pressed, "postback") or fields.obj(part, "postback")
    event.text = event.text or fields.text(chosen, "text")
    event.attributes = fields.known(button=fields.text(chosen, "payload"))
    spot = fields.obj(part, "coordinates")
    if spot:
        place = f"{fields.number(spot, 'latitude')}, {fields.number(spot, 'longitude')}"
        label = fields.text(part, "location", "label") or fields.text(part, "location", "address")
        event.text = f"Location: {label} ({place})" if label else f"Location: {place}"
        event.generated = True
    if not event.text and not event.attachments:
        event.text, event.generated = f"(unsupported message: {kind[:64]})", True
        event.flags = ["unsupported"]


def _files(part: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for name in ("images", "files", "attachments"):
        yield from fields.items(part, name)


def _file(raw: dict[str, Any], kind: str) -> Attachment | None:
    url = fields.text(raw, "mediaUrl") or fields.text(raw, "url")
    if url is None:
        return None
    media = fields.text(raw, "contentType") or ("image/*" if kind in ("image", "gif") else None)
    name = fields.text(raw, "filename") or fields.text(raw, "altText")
    return Attachment(name=name, content_type=media, url=url)
