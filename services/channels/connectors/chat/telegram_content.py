"""What a Telegram message says: text, files, and a readable text for what is neither.

https://core.telegram.org/bots/api#message
"""

from typing import Any

import msgspec

from services.channels.connectors import fields
from shared.contracts.interactions import Attachment, Flag


class Content(msgspec.Struct):
    """`phone` is the sender's own, where he shared it; `generated` marks a text of ours."""

    text: str | None = None
    attachments: list[Attachment] = []
    attributes: dict[str, Any] = {}
    flags: list[Flag] = []
    phone: str | None = None
    generated: bool = False


_FILES = {
    "document": None,
    "video": "video/mp4",
    "audio": "audio/mpeg",
    "voice": "audio/ogg",
    "video_note": "video/mp4",
    "animation": "video/mp4",
    "sticker": "image/webp",
    "live_photo": "video/mp4",
}
_SERVICE = (
    "new_chat_members",
    "left_chat_member",
    "new_chat_title",
    "new_chat_photo",
    "delete_chat_photo",
    "group_chat_created",
    "supergroup_chat_created",
    "channel_chat_created",
    "migrate_to_chat_id",
    "migrate_from_chat_id",
    "pinned_message",
    "message_auto_delete_timer_changed",
    "forum_topic_created",
    "forum_topic_edited",
    "forum_topic_closed",
    "forum_topic_reopened",
    "general_forum_topic_hidden",
    "general_forum_topic_unhidden",
    "video_chat_scheduled",
    "video_chat_started",
    "video_chat_ended",
    "video_chat_participants_invited",
    "boost_added",
    "chat_background_set",
    "write_access_allowed",
    "proximity_alert_triggered",
    "checklist_tasks_done",
    "checklist_tasks_added",
    "paid_message_price_changed",
    "direct_message_price_changed",
    "suggested_post_approved",
    "suggested_post_approval_failed",
    "suggested_post_declined",
    "suggested_post_paid",
    "suggested_post_refunded",
    "giveaway_created",
    "giveaway_completed",
    "connected_website",
    "chat_owner_left",
    "chat_owner_changed",
    "managed_bot_created",
    "poll_option_added",
    "poll_option_deleted",
)


def says_something(message: dict[str, Any]) -> bool:
    """Whether it is more than a note of the chat itself (somebody joined, a new title)."""
    if fields.text(message, "text") or fields.text(message, "caption"):
        return True
    return not any(_given(message, name) for name in _SERVICE)


def _given(message: dict[str, Any], name: str) -> bool:
    """Whether it is there: libraries write null, false or an empty list for what is not. An empty
    object says something: a topic was closed."""
    return message.get(name) not in (None, False, "", [])


def content_of(message: dict[str, Any]) -> Content:
    """The content; flagged unsupported, with a readable text, when it cannot be shown."""
    content = Content(
        text=fields.text(message, "text") or fields.text(message, "caption"),
        attachments=_attachments(message),
        attributes=_attributes(message),
    )
    if not content.text and not content.attachments:
        content.text, content.generated = _described(message), True
    contact = fields.obj(message, "contact")
    if contact and fields.key(contact, "user_id") == fields.key(message, "from", "id"):
        content.phone = fields.text(contact, "phone_number")
    if not content.text and not content.attachments:
        names = [name for name in message if name not in _ENVELOPE and _given(message, name)]
        content.text = f"(unsupported message: {', '.join(names)[:64] or 'empty'})"
        content.flags = ["unsupported"]
    return content


_ENVELOPE = ("message_id", "from", "chat", "date", "edit_date", "sender_chat", "via_bot")


def _attachments(message: dict[str, Any]) -> list[Attachment]:
    paid = fields.items(message, "paid_media", "paid_media")
    return [*_files(message), *(file for each in paid for file in _files(each))]


def _files(message: dict[str, Any]) -> list[Attachment]:
    animated = fields.obj(message, "animation")  # Telegram repeats it as a document
    found = [
        _file(fields.obj(message, name), content_type)
        for name, content_type in _FILES.items()
        if fields.obj(message, name) and not (name == "document" and animated)
    ]
    sizes = [each for each in fields.items(message, "photo") if fields.key(each, "file_id")]
    if sizes:
        largest = max(sizes, key=lambda each: fields.number(each, "width") or 0.0)
        found.append(_file(largest, "image/jpeg"))
    return [each for each in found if each.vendor_id]


def _file(raw: dict[str, Any], content_type: str | None) -> Attachment:
    if fields.flag(raw, "is_video"):
        content_type = "video/webm"
    elif fields.flag(raw, "is_animated"):
        content_type = "application/x-tgsticker"
    return Attachment(
        name=fields.text(raw, "file_name"),
        content_type=fields.text(raw, "mime_type") or content_type,
        size=fields.integer(raw, "file_size"),
        vendor_id=fields.key(raw, "file_id"),
    )


def _attributes(message: dict[str, Any]) -> dict[str, Any]:
    forward = fields.obj(message, "forward_origin") or message.get("forward_date")
    return fields.known(
        sticker_emoji=fields.text(message, "sticker", "emoji"),
        forwarded=True if forward else None,
        quote=fields.text(message, "quote", "text"),
        location=_place(message),
        links=_links(message),
    )


def _links(message: dict[str, Any]) -> list[str]:
    """Addresses behind words, which the text does not show."""
    named = (*fields.items(message, "entities"), *fields.items(message, "caption_entities"))
    found = [fields.text(each, "url") for each in named if each.get("type") == "text_link"]
    return [url[:2048] for url in found if url][:50]


def _place(message: dict[str, Any]) -> dict[str, Any]:
    spot = fields.obj(message, "venue", "location") or fields.obj(message, "location")
    return fields.known(
        latitude=fields.number(spot, "latitude"),
        longitude=fields.number(spot, "longitude"),
        name=fields.text(message, "venue", "title"),
        address=fields.text(message, "venue", "address"),
    )


def _described(message: dict[str, Any]) -> str | None:
    place = _place(message)
    if place:
        label = ", ".join(each for each in (place.get("name"), place.get("address")) if each)
        spot = f"{place.get('latitude')}, {place.get('longitude')}"
        return f"Location: {label} ({spot})" if label else f"Location: {spot}"
    contact = fields.obj(message, "contact")
    if contact:
        parts = [fields.text(contact, n) for n in ("first_name", "last_name", "phone_number")]
        return f"Contact: {' '.join(part for part in parts if part)}"
    if fields.obj(message, "poll"):
        options = [fields.text(each, "text") for each in fields.items(message, "poll", "options")]
        question = fields.text(message, "poll", "question") or ""
        return f"Poll: {question} ({' / '.join(each for each in options if each)})"
    if fields.obj(message, "checklist"):
        tasks = [fields.text(each, "text") for each in fields.items(message, "checklist", "tasks")]
        title = fields.text(message, "checklist", "title") or "Checklist"
        return "\n".join([title, *(f"- {each}" for each in tasks if each)])
    if fields.obj(message, "dice"):
        dice = fields.obj(message, "dice")
        return f"{fields.text(dice, 'emoji') or 'Dice'} {fields.text(dice, 'value') or ''}".strip()
    return (
        _paid(message)
        or fields.text(message, "web_app_data", "data")
        or fields.text(message, "game", "title")
        or ("(story)" if fields.obj(message, "story") else None)
        or _shared(message)
    )


_PAYMENTS = {"invoice": "Invoice", "successful_payment": "Paid", "refunded_payment": "Refunded"}
# Currencies whose smallest unit is the currency itself; all others are told in hundredths.
_WHOLE = ("XTR", "JPY", "KRW", "VND", "CLP", "ISK", "PYG", "UGX")


def _paid(message: dict[str, Any]) -> str | None:
    for name, label in _PAYMENTS.items():
        paid = fields.obj(message, name)
        amount, currency = fields.integer(paid, "total_amount"), fields.text(paid, "currency")
        if amount is not None and currency:
            shown = str(amount) if currency in _WHOLE else f"{amount / 100:.2f}"
            title = fields.text(paid, "title")
            return f"{label}: {title + ', ' if title else ''}{shown} {currency}"
    return None


def _shared(message: dict[str, Any]) -> str | None:
    """People or a chat that were chosen by a button which asks for them."""
    people = [
        " ".join(part for name in ("first_name", "last_name") if (part := fields.text(each, name)))
        or fields.text(each, "username")
        or fields.text(each, "user_id")
        for each in fields.items(message, "users_shared", "users")
    ]
    chat = fields.obj(message, "chat_shared")
    title = fields.text(chat, "title") or fields.text(chat, "chat_id")
    shown = [name for name in (*people, title) if name]
    return f"Shared: {', '.join(shown)}" if shown else None
