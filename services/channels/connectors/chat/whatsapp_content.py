"""What a WhatsApp message of each type says: readable text, attachments, attributes.

https://developers.facebook.com/docs/whatsapp/cloud-api/webhooks/components
"""

from collections.abc import Callable
from typing import Any

import msgspec

from services.channels.connectors import fields
from services.channels.connectors.answers import lines_of
from shared.contracts.interactions import Attachment, Flag


class Content(msgspec.Struct):
    """`reply_to` is the message that it refers to, where the type itself says so; `generated` marks
    a text that describes what was sent."""

    text: str | None = None
    attachments: list[Attachment] = []
    attributes: dict[str, Any] = {}
    flags: list[Flag] = []
    reply_to: str | None = None
    generated: bool = False


def content_of(message: dict[str, Any]) -> Content:
    """The content of a message; flagged unsupported, with a readable text, when nobody could say."""
    kind = fields.text(message, "type") or "unknown"
    read = _READERS.get(kind)
    content = read(message, fields.obj(message, kind)) if read else _unsupported(message, kind)
    if not content.text and not content.attachments and "unsupported" not in content.flags:
        content = _unsupported(message, kind)
    content.attributes |= fields.known(
        forwarded=_forwarded(message),
        referral=fields.obj(message, "referral"),
        referred_product=fields.obj(message, "context", "referred_product"),
    )
    return content


def _forwarded(message: dict[str, Any]) -> bool | None:
    context = fields.obj(message, "context")
    often = fields.flag(context, "frequently_forwarded")
    return True if often or fields.flag(context, "forwarded") else None


def _unsupported(message: dict[str, Any], kind: str) -> Content:
    why = next((_reason(each) for each in fields.items(message, "errors")), None)
    label = f"(unsupported message: {why or kind[:64]})"
    return Content(text=label, flags=["unsupported"], generated=True)


def _reason(error: dict[str, Any]) -> str | None:
    return (
        fields.text(error, "error_data", "details")
        or fields.text(error, "message")
        or fields.text(error, "title")
    )


def _text(message: dict[str, Any], part: dict[str, Any]) -> Content:
    return Content(text=fields.text(part, "body"))


def _media(message: dict[str, Any], part: dict[str, Any]) -> Content:
    """Media ids expire within days; the shell fetches them with the connector's token."""
    vendor_id = fields.key(part, "id")
    url = fields.text(part, "url") or fields.text(part, "link")
    if not vendor_id and not url:
        return Content(text=fields.text(part, "caption"))
    attachment = Attachment(
        name=fields.text(part, "filename"),
        content_type=fields.text(part, "mime_type"),
        url=url,
        vendor_id=vendor_id,
    )
    return Content(
        text=fields.text(part, "caption"),
        attachments=[attachment],
        attributes=fields.known(
            voice=fields.flag(part, "voice") or None, media_sha256=fields.text(part, "sha256")
        ),
    )


def _location(message: dict[str, Any], part: dict[str, Any]) -> Content:
    latitude, longitude = fields.number(part, "latitude"), fields.number(part, "longitude")
    name, address = fields.text(part, "name"), fields.text(part, "address")
    label = ", ".join(each for each in (name, address) if each)
    spot = None if latitude is None or longitude is None else f"{latitude}, {longitude}"
    shown = " ".join(each for each in (label, f"({spot})" if label and spot else spot) if each)
    place = fields.known(latitude=latitude, longitude=longitude, name=name, address=address)
    place |= fields.known(url=fields.text(part, "url"))
    return Content(
        text=f"Location: {shown}" if shown else None, attributes={"location": place}, generated=True
    )


def _contacts(message: dict[str, Any], _: dict[str, Any]) -> Content:
    lines = [line for each in fields.items(message, "contacts") if (line := _card(each))]
    return Content(text="\n".join(lines) or None, generated=True)


def _card(contact: dict[str, Any]) -> str | None:
    name = fields.text(contact, "name", "formatted_name")
    parts = (fields.text(contact, "name", "first_name"), fields.text(contact, "name", "last_name"))
    name = name or " ".join(part for part in parts if part)
    phones = [fields.text(each, "phone") for each in fields.items(contact, "phones")]
    mails = [fields.text(each, "email") for each in fields.items(contact, "emails")]
    firm = fields.text(contact, "org", "company")
    shown = ", ".join(each for each in (name, firm, *phones, *mails) if each)
    return f"Contact: {shown}" if shown else None


def _reaction(message: dict[str, Any], part: dict[str, Any]) -> Content:
    """A reaction with an empty emoji, or none, takes an earlier one back."""
    emoji = fields.text(part, "emoji")
    return Content(
        text=f"Reacted {emoji}" if emoji else "Removed the reaction",
        flags=["suppress"],
        generated=True,
        reply_to=fields.key(part, "message_id"),
        attributes={"reaction": fields.known(emoji=emoji, removed=None if emoji else True)},
    )


def _interactive(message: dict[str, Any], part: dict[str, Any]) -> Content:
    reply = fields.obj(part, "button_reply") or fields.obj(part, "list_reply")
    if reply:
        chosen = fields.known(id=fields.text(reply, "id"), title=fields.text(reply, "title"))
        chosen |= fields.known(description=fields.text(reply, "description"))
        text = fields.text(reply, "title") or fields.text(reply, "id")
        return Content(text=text, attributes={"interactive": chosen})
    form = fields.obj(part, "nfm_reply")
    if form:
        answers = fields.text(form, "response_json")
        named = fields.known(name=fields.text(form, "name"), response_json=answers)
        text = fields.text(form, "body") or fields.text(form, "name") or "Form"
        told = lines_of(answers) if answers else None
        shown = f"{text}\n{told}" if told else text
        return Content(text=shown, attributes={"interactive": named})
    return _permission(part)


def _permission(part: dict[str, Any]) -> Content:
    """A customer's answer to the question whether we may call."""
    reply = fields.obj(part, "call_permission_reply")
    answer = fields.text(reply, "response")
    text = f"Call permission: {answer}" if answer else None
    return Content(text=text, attributes={"call_permission": reply} if reply else {})


def _button(message: dict[str, Any], part: dict[str, Any]) -> Content:
    payload = fields.text(part, "payload")
    return Content(
        text=fields.text(part, "text") or payload, attributes=fields.known(button=payload)
    )


def _order(message: dict[str, Any], part: dict[str, Any]) -> Content:
    lines = ["Order:", *[_product(each) for each in fields.items(part, "product_items")]]
    note = fields.text(part, "text")
    catalogue = fields.known(catalog_id=fields.key(part, "catalog_id"))
    products = list(fields.items(part, "product_items"))
    return Content(
        text="\n".join([*lines, note] if note else lines),
        generated=True,
        attributes={"order": {**catalogue, "product_items": products}},
    )


def _product(item: dict[str, Any]) -> str:
    count = fields.text(item, "quantity") or "1"
    what = fields.text(item, "product_retailer_id") or "?"
    price = " ".join(
        each for each in (fields.text(item, "item_price"), fields.text(item, "currency")) if each
    )
    return f"{count} × {what}" + (f" ({price} each)" if price else "")


def _system(message: dict[str, Any], part: dict[str, Any]) -> Content:
    return Content(
        text=fields.text(part, "body") or fields.text(part, "type"),
        attributes={"system": fields.known(**{k: fields.text(part, k) for k in _SYSTEM})},
    )


_SYSTEM = ("type", "wa_id", "new_wa_id", "identity", "customer", "user_id")


def _welcome(message: dict[str, Any], _: dict[str, Any]) -> Content:
    return Content(text="Opened the chat", flags=["suppress"], generated=True)


_READERS: dict[str, Callable[[dict[str, Any], dict[str, Any]], Content]] = {
    "text": _text,
    **dict.fromkeys(("image", "video", "audio", "voice", "document", "sticker"), _media),
    "location": _location,
    "contacts": _contacts,
    "reaction": _reaction,
    "interactive": _interactive,
    "button": _button,
    "order": _order,
    "system": _system,
    "request_welcome": _welcome,
}
