"""Telegram bots: messages, edits, channel posts, buttons and membership, by the Bot API's webhook.

https://core.telegram.org/bots/api#update
"""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from services.channels.connectors import fields
from services.channels.connectors.chat import telegram_content
from services.channels.connectors.fetching import file, payload
from services.channels.connectors.identities import PHONE, identities, phone
from services.channels.connectors.port import (
    Connector,
    Context,
    Example,
    Fetch,
    InboundRequest,
    Normalised,
    Page,
    Parsed,
    Settings,
    Told,
)
from services.channels.connectors.posting import posted
from services.channels.connectors.reading import given, moment, payload_of
from services.channels.connectors.signatures import StaticToken
from shared.contracts import interactions
from shared.contracts.instants import parse_instant
from shared.contracts.interactions import Author
from shared.fetching.ask import Ask

SETUP = """\
1. Choose a secret of 1 to 256 letters, digits, `_` and `-`; put it into `secret_token`.
2. Call `setWebhook` with the connector's inbound URL, that `secret_token` and `allowed_updates`
   `["message","edited_message","channel_post","edited_channel_post","business_message",
   "edited_business_message","deleted_business_messages","guest_message","callback_query",
   "message_reaction","my_chat_member"]`.
3. While you rotate it, list the old and the new secret.

Files come as `file_id`s; fetching them (`getFile`) needs `bot_token`. Telegram keeps undelivered
updates for 24 hours.
"""

_SIGNATURE = StaticToken("secret_token", "X-Telegram-Bot-Api-Secret-Token")
_SILENT = (
    "inline_query",
    "chosen_inline_result",
    "shipping_query",
    "pre_checkout_query",
    "poll",
    "poll_answer",
    "chat_member",
    "chat_join_request",
    "chat_boost",
    "removed_chat_boost",
    "message_reaction_count",
    "business_connection",
    "purchased_paid_media",
    "managed_bot",
    "subscription",
)


def parse(request: InboundRequest, _: Settings, __: Context) -> Parsed:
    parsed = Parsed()
    update = payload_of(request, parsed)
    if not update:
        return parsed
    number = fields.integer(update, "update_id")
    if number is None:
        parsed.lose("missing_id", "The update has no update_id.")
        return parsed
    for name, read in _READERS.items():
        if isinstance(update.get(name), dict):
            read(update, update[name], name, parsed)
            return parsed
    kind = next((name for name in _SILENT if update.get(name) is not None), None)
    if kind:
        parsed.note("not_an_interaction", f"The update {kind} is no interaction.")
    else:
        names = ", ".join(str(name)[:40] for name in list(update)[:8] if name != "update_id")
        parsed.lose("unknown_event", f"An update of unknown type ({names or 'empty'}).")
    return parsed


def _event(update: dict[str, Any], raw: dict[str, Any], **more: Any) -> Normalised:
    """An event in its chat, and where there are topics in its topic: in a channel's direct messages
    each person has one."""
    chat = fields.key(raw, "chat", "id")
    topic = fields.key(raw, "message_thread_id") if raw.get("is_topic_message") else None
    topic = fields.key(raw, "direct_messages_topic", "topic_id") or topic
    business = fields.key(raw, "business_connection_id")
    vendor = given(update, "update_id") | given(raw, "message_id", "media_group_id", "date")
    vendor |= given(raw, "message_thread_id", "business_connection_id")
    vendor |= fields.known(chat_id=fields.at(raw, "chat", "id"))
    return Normalised(
        vendor_id=f"{update['update_id']}",
        conversation_key=":".join(part for part in (business, chat, topic) if part),
        occurred_at_us=more.pop("occurred_at_us", None) or moment(raw, "date"),
        vendor=vendor | more.pop("vendor", {}),
        **more,
    )


def _message_key(raw: dict[str, Any]) -> str:
    chat, number = fields.key(raw, "chat", "id"), fields.key(raw, "message_id")
    return f"message:{chat}:{number}"


def _name(person: dict[str, Any]) -> str | None:
    parts = (fields.text(person, "first_name"), fields.text(person, "last_name"))
    full = " ".join(part for part in parts if part)
    return full or fields.text(person, "title") or fields.text(person, "username")


def _author(raw: dict[str, Any]) -> tuple[Author, dict[str, Any]]:
    """Who wrote: a person, or the channel or group in whose name it was written."""
    sender = fields.obj(raw, "sender_chat") or fields.obj(raw, "from") or fields.obj(raw, "chat")
    bot = fields.flag(sender, "is_bot")
    author = Author("bot" if bot else "customer", _name(sender), fields.key(sender, "id"))
    return author, sender


def _answered(raw: dict[str, Any]) -> str | None:
    """The message that this one answers. In a topic Telegram names the topic's beginning as that,
    where nothing is answered."""
    original = fields.obj(raw, "reply_to_message")
    return None if "forum_topic_created" in original else fields.key(original, "message_id")


def _of_the_business(raw: dict[str, Any]) -> bool:
    """A business account's own message: its private chats have the other person's id."""
    if not raw.get("business_connection_id") or fields.text(raw, "chat", "type") != "private":
        return False
    return fields.key(raw, "from", "id") not in (None, fields.key(raw, "chat", "id"))


def _message(update: dict[str, Any], raw: dict[str, Any], name: str, parsed: Parsed) -> None:
    if fields.key(raw, "message_id") is None or fields.key(raw, "chat", "id") is None:
        parsed.lose("missing_id", "A message has no message_id or no chat.")
        return
    if not telegram_content.says_something(raw):
        parsed.note("not_an_interaction", "A service message of the chat is no interaction.")
        return
    author, sender = _author(raw)
    content = telegram_content.content_of(raw)
    own = fields.obj(raw, "sender_business_bot") or fields.flag(sender, "is_bot")
    if fields.flag(raw, "is_automatic_forward"):  # the linked channel's post, copied into its group
        content.flags = [*content.flags, "suppress"]
    if _of_the_business(raw) and not own:
        author.role, own = "agent", True
    reply = _answered(raw)
    event = _event(
        update,
        raw,
        message_key=_message_key(raw),
        author=author,
        in_reply_to=reply,
        identities=[]
        if author.role == "agent"
        else identities(
            telegram=author.id,
            telegram_username=fields.text(sender, "username"),
            **{PHONE: phone(content.phone)},
        ),
        text=content.text,
        attachments=content.attachments,
        attributes=content.attributes,
        flags=[*content.flags, *(["echo"] if own else [])],
        generated=content.generated,
    )
    if own:
        event.direction = "outbound"
    if name.startswith("edited_"):
        event.type = interactions.MESSAGE_EDITED
        event.replaces, event.original_id = _message_key(raw), fields.key(raw, "message_id")
        event.occurred_at_us = moment(raw, "edit_date") or event.occurred_at_us
    parsed.events.append(event)


def _deleted(update: dict[str, Any], raw: dict[str, Any], name: str, parsed: Parsed) -> None:
    numbers = [n for n in (fields.at(raw, "message_ids") or []) if isinstance(n, int)]
    if not numbers or fields.key(raw, "chat", "id") is None:
        parsed.lose("missing_id", "A deletion does not say of which messages.")
        return
    for number in numbers[: fields.MAX_ITEMS]:
        single = {**raw, "message_id": number}
        event = _event(update, single, type=interactions.MESSAGE_DELETED)
        event.vendor_id = f"{update['update_id']}:{number}"
        event.message_key = event.replaces = _message_key(single)
        event.original_id = str(number)
        parsed.events.append(event)


def _button(update: dict[str, Any], raw: dict[str, Any], name: str, parsed: Parsed) -> None:
    """A press on one of the bot's buttons: what the person answers, in the chat of the button.
    Telegram does not say when."""
    person = fields.obj(raw, "from")
    message = fields.obj(raw, "message") or {"chat": {"id": fields.at(person, "id")}}
    data = fields.text(raw, "data") or fields.text(raw, "game_short_name")
    if fields.key(person, "id") is None or fields.key(message, "chat", "id") is None:
        parsed.lose("missing_sender", "A button's press has no sender.")
        return
    event = _event(
        update,
        {**message, "date": None},
        author=Author("customer", _name(person), fields.key(person, "id")),
        identities=identities(
            telegram=fields.key(person, "id"), telegram_username=fields.text(person, "username")
        ),
        in_reply_to=fields.key(message, "message_id"),
        text=_label(message, data) or data or "(button)",
        attributes=fields.known(button=data),
        vendor=fields.known(callback_query_id=fields.key(raw, "id")),
    )
    parsed.events.append(event)


def _label(message: dict[str, Any], data: str | None) -> str | None:
    """The words on the button that was pressed."""
    rows = fields.at(message, "reply_markup", "inline_keyboard")
    for row in rows if isinstance(rows, list) else []:
        for button in fields.items({"row": row}, "row"):
            if data and fields.text(button, "callback_data") == data:
                return fields.text(button, "text")
    return None


def _reaction(update: dict[str, Any], raw: dict[str, Any], name: str, parsed: Parsed) -> None:
    person = fields.obj(raw, "user") or fields.obj(raw, "actor_chat")
    if fields.key(raw, "chat", "id") is None or fields.key(person, "id") is None:
        parsed.lose("missing_sender", "A reaction has no chat or no sender.")
        return
    shown = [fields.text(each, "emoji") or "(emoji)" for each in fields.items(raw, "new_reaction")]
    event = _event(
        update,
        raw,
        author=Author("customer", _name(person), fields.key(person, "id")),
        identities=identities(telegram=fields.key(person, "id")),
        in_reply_to=fields.key(raw, "message_id"),
        text=f"Reacted {' '.join(shown)}" if shown else "Removed the reaction",
        flags=["suppress"],
        generated=True,
        attributes={"reaction": fields.known(emoji=shown, removed=None if shown else True)},
    )
    parsed.events.append(event)


def _membership(update: dict[str, Any], raw: dict[str, Any], name: str, parsed: Parsed) -> None:
    """Somebody starts or blocks the bot."""
    person = fields.obj(raw, "from")
    status = fields.text(raw, "new_chat_member", "status") or ""
    if fields.key(raw, "chat", "id") is None or fields.text(raw, "chat", "type") != "private":
        parsed.note("not_an_interaction", "The bot's membership of a group is no interaction.")
        return
    ended = status in ("kicked", "left")
    event = _event(
        update,
        raw,
        type=interactions.CONVERSATION_ENDED if ended else interactions.CONVERSATION_STARTED,
        author=Author("customer", _name(person), fields.key(person, "id")),
        identities=identities(telegram=fields.key(person, "id")),
        reason="ended" if ended else None,
        vendor=fields.known(status=status),
    )
    parsed.events.append(event)


_READERS: dict[str, Callable[[dict[str, Any], dict[str, Any], str, Parsed], None]] = {
    **dict.fromkeys(
        (
            "message",
            "edited_message",
            "channel_post",
            "edited_channel_post",
            "business_message",
            "edited_business_message",
            "guest_message",
        ),
        _message,
    ),
    "deleted_business_messages": _deleted,
    "callback_query": _button,
    "message_reaction": _reaction,
    "my_chat_member": _membership,
}


def _file(told: Told) -> Page:
    """Where the file is, then the file. Telegram gives out files of at most 20 MB."""
    if told.page:
        return file(told)
    path = fields.key(payload(told), "result", "file_path")
    if path is None or ".." in path:
        return Page(lost="Telegram's answer names no file.")
    origin, _, rest = told.ask.url.partition("/bot{secret}/")
    assert rest
    return Page(then=Ask(f"{origin}/file/bot{{secret}}/{quote(path)}"))


def examples() -> tuple[Example, ...]:
    at_us = parse_instant("2026-03-02T09:20:00Z")
    person = {"id": 5550001, "is_bot": False, "first_name": "Kim", "username": "kim_example"}
    base = {"chat": {"id": 5550001, "type": "private"}, "from": person, "date": at_us // 1_000_000}

    def one(number: int, key: str, raw: Any, event: str, revises: str | None = None) -> Example:
        update = {"update_id": 900000 + number, key: {**base, **raw}}
        header = (_SIGNATURE.header, "example-secret_token")
        request = posted(update, at_us + 700_000, header)
        secrets = {"secret_token": ("example-secret_token",)}
        return Example(f"{key} {number}", request, secrets, (event,), revises)

    photo = [{"file_id": "F1", "width": 90, "height": 90, "file_size": 900}]
    gone = {"message_ids": [1], "business_connection_id": "B1"}
    return (
        one(1, "message", {"message_id": 1, "text": "My router is broken"}, interactions.MESSAGE),
        one(
            2,
            "edited_message",
            {"message_id": 1, "text": "My new router is broken", "edit_date": at_us // 1_000_000},
            interactions.MESSAGE_EDITED,
            revises="message 1",
        ),
        one(3, "message", {"message_id": 2, "photo": photo}, interactions.MESSAGE),
        one(4, "deleted_business_messages", gone, interactions.MESSAGE_DELETED),
    )


CONNECTOR = Connector(
    kind="telegram",
    channel="chat",
    title="Telegram",
    setup=SETUP,
    signature=_SIGNATURE,
    parse=parse,
    examples=examples,
    secrets={
        "secret_token": "The secret_token given to setWebhook: Telegram sends it back each time.",
        "bot_token": "The bot's token, for fetching files. Not needed to receive messages.",
    },
    covers_body=False,
    order_by="update_id",
    fetches=(
        Fetch(
            "media",
            "GET https://api.telegram.org/bot{secret}/getFile?file_id={vendor_id}",
            secret="bot_token",
            auth="path",
            read=_file,
        ),
    ),
)
