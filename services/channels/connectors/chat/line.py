"""LINE: messages, unsends, postbacks and followers, by the Messaging API's webhook.

https://developers.line.biz/en/reference/messaging-api/#webhooks
"""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from services.channels.connectors import fields
from services.channels.connectors.fetching import file
from services.channels.connectors.identities import identities
from services.channels.connectors.port import (
    Connector,
    Context,
    Example,
    Fetch,
    InboundRequest,
    Normalised,
    NotYet,
    Page,
    Parsed,
    Settings,
    Told,
)
from services.channels.connectors.posting import signed
from services.channels.connectors.reading import digest_of, given, moment, once, payload_of
from services.channels.connectors.signatures import BodyHmac
from shared.contracts import interactions
from shared.contracts.instants import parse_instant
from shared.contracts.interactions import Attachment, Author
from shared.fetching.ask import Ask

SETUP = """\
1. In the LINE Developers Console, Messaging API tab: enter the connector's inbound URL, turn on
   «Use webhook» and «Webhook redelivery».
2. Put the channel secret into `channel_secret`; a list of two while you reissue it.

Pictures, films and files come as message ids; fetching them needs `channel_access_token`.
"""

_SIGNATURE = BodyHmac("channel_secret", "X-Line-Signature", encoding="base64")
_MEDIA = {"image": "image/jpeg", "video": "video/mp4", "audio": "audio/x-m4a", "file": None}


def parse(request: InboundRequest, _: Settings, __: Context) -> Parsed:
    parsed = Parsed()
    payload = payload_of(request, parsed)
    if not payload:
        return parsed
    if not isinstance(payload.get("events"), list):
        parsed.lose("unusable_payload", "The payload has no events.")
        return parsed
    bot = fields.key(payload, "destination") or ""
    seen: dict[str, int] = {}
    for raw in fields.items(payload, "events"):
        _read(raw, bot, seen, parsed)
    if not payload["events"]:
        parsed.note("verification", "LINE tests the address.")
    return parsed


def _read(raw: dict[str, Any], bot: str, seen: dict[str, int], parsed: Parsed) -> None:
    kind = fields.text(raw, "type") or "?"
    read = _READERS.get(kind)
    if read is None:
        known = kind in _SILENT
        code = "not_an_interaction" if known else "unknown_event"
        parsed.note(code, f"The event {kind[:64]!r} is no interaction.")
        return
    if _thread(raw) is None:
        parsed.lose("missing_source", f"An event {kind[:64]!r} has no source.")
        return
    event = _event(raw, bot, seen)
    read(event, raw, parsed)


_SILENT = ("accountLink", "beacon", "videoPlayComplete", "memberJoined", "memberLeft", "things",
           "membership", "module", "activated", "deactivated", "botSuspended", "botResumed",
           "delivery")  # fmt: skip


def _thread(raw: dict[str, Any]) -> str | None:
    source = fields.obj(raw, "source")
    return (
        fields.key(source, "groupId")
        or fields.key(source, "roomId")
        or fields.key(source, "userId")
    )


def _event(raw: dict[str, Any], bot: str, seen: dict[str, int]) -> Normalised:
    source = fields.obj(raw, "source")
    person = fields.key(source, "userId")
    vendor_id = fields.key(raw, "webhookEventId") or digest_of(sorted(raw.items(), key=str))
    event = Normalised(
        vendor_id=once(vendor_id, seen),
        conversation_key=f"{bot}:{_thread(raw)}",
        occurred_at_us=moment(raw, "timestamp"),
        author=Author("customer", id=person),
        identities=identities(line=person),
        vendor=given(raw, "webhookEventId", "type", "mode", "timestamp")
        | given(source, "userId", "groupId", "roomId")
        | fields.known(destination=bot, reply_token=fields.key(raw, "replyToken")),
    )
    if fields.text(raw, "mode") == "standby":
        event.flags = ["standby"]
    if fields.flag(raw, "deliveryContext", "isRedelivery"):
        event.flags = [*event.flags, "redelivered"]
    return event


def _message(event: Normalised, raw: dict[str, Any], parsed: Parsed) -> None:
    message = fields.obj(raw, "message")
    number, kind = fields.key(message, "id"), fields.text(message, "type") or "?"
    if number is None:
        parsed.lose("missing_id", "A message has no id.")
        return
    event.message_key = f"message:{number}"
    event.vendor |= {"message_id": number, "message_type": kind}
    event.in_reply_to = fields.key(message, "quotedMessageId")
    event.text = fields.text(message, "text")
    event.attributes = fields.known(
        image_set=given(fields.obj(message, "imageSet"), "id", "index", "total"),
        quote_token=fields.text(message, "quoteToken"),
    )
    _fill(event, message, kind)
    if event.vendor["type"] == "messageEdited":
        event.type, event.replaces = interactions.MESSAGE_EDITED, f"message:{number}"
        event.original_id = number
    parsed.events.append(event)


def _fill(event: Normalised, message: dict[str, Any], kind: str) -> None:
    if kind in _MEDIA:
        event.attachments = [_file(message, kind)]
    elif kind == "location":
        event.text, event.generated = _place(message), True
        event.attributes["location"] = given(message, "title", "address") | fields.known(
            latitude=fields.number(message, "latitude"),
            longitude=fields.number(message, "longitude"),
        )
    elif kind == "sticker":
        words = ", ".join(fields.texts(message, "keywords")[:3])
        event.text = event.text or (f"(sticker: {words})" if words else "(sticker)")
        event.generated = True
        event.attributes["sticker"] = given(message, "packageId", "stickerId")
    if not event.text and not event.attachments:
        event.text, event.generated = f"(unsupported message: {kind[:64]})", True
        event.flags = [*event.flags, "unsupported"]


def _file(message: dict[str, Any], kind: str) -> Attachment:
    return Attachment(
        name=fields.text(message, "fileName"),
        content_type=_MEDIA[kind],
        size=fields.integer(message, "fileSize"),
        url=fields.text(message, "contentProvider", "originalContentUrl"),
        vendor_id=fields.key(message, "id"),
    )


def _place(message: dict[str, Any]) -> str:
    parts = (fields.text(message, "title"), fields.text(message, "address"))
    label = ", ".join(part for part in parts if part)
    spot = f"{fields.number(message, 'latitude')}, {fields.number(message, 'longitude')}"
    return f"Location: {label} ({spot})" if label else f"Location: {spot}"


def _unsend(event: Normalised, raw: dict[str, Any], parsed: Parsed) -> None:
    number = fields.key(raw, "unsend", "messageId")
    if number is None:
        parsed.lose("missing_original", "An unsend does not say of which message.")
        return
    event.type, event.replaces = interactions.MESSAGE_DELETED, f"message:{number}"
    event.message_key, event.original_id = event.replaces, number
    event.vendor["message_id"] = number
    parsed.events.append(event)


def _postback(event: Normalised, raw: dict[str, Any], parsed: Parsed) -> None:
    data, params = fields.text(raw, "postback", "data"), fields.obj(raw, "postback", "params")
    chosen = ", ".join(str(value)[:64] for value in params.values() if isinstance(value, str))
    event.text = chosen or data or "(postback)"
    event.attributes = fields.known(
        postback=data, postback_params={str(k)[:64]: str(v)[:256] for k, v in params.items()}
    )
    if "newRichMenuAliasId" in params:  # another page of the menu is no word to anybody
        event.text, event.generated = "Turned the menu's page", True
        event.flags = [*event.flags, "suppress"]
    parsed.events.append(event)


def _started(event: Normalised, raw: dict[str, Any], parsed: Parsed) -> None:
    event.type = interactions.CONVERSATION_STARTED
    parsed.events.append(event)


def _ended(event: Normalised, raw: dict[str, Any], parsed: Parsed) -> None:
    """Blocked by its user, or thrown out of a group: nothing can be answered any more."""
    event.type, event.reason = interactions.CONVERSATION_ENDED, "ended"
    parsed.events.append(event)


_READERS: dict[str, Callable[[Normalised, dict[str, Any], Parsed], None]] = {
    "message": _message,
    "messageEdited": _message,
    "unsend": _unsend,
    "postback": _postback,
    "follow": _started,
    "join": _started,
    "unfollow": _ended,
    "leave": _ended,
}


def _content(names: Mapping[str, str], _: str | None, __: int) -> Ask | None:
    """A file at LINE, or where its sender keeps it."""
    if "url" in names:
        return Ask(names["url"])
    number = quote(names.get("vendor_id", ""), safe="")
    return Ask(f"https://api-data.line.me/v2/bot/message/{number}/content")


def _ready(told: Told) -> Page:
    if told.status == 202:
        raise NotYet("LINE still prepares the file.")
    return file(told)


def examples() -> tuple[Example, ...]:
    at_us = parse_instant("2026-03-02T09:20:00Z")

    def one(name: str, kind: str, event: str, revises: str | None = None, **parts: Any) -> Example:
        raw = {
            "type": kind,
            "mode": "active",
            "timestamp": at_us // 1000,
            "source": {"type": "user", "userId": "Uexample"},
            "webhookEventId": f"01EXAMPLE{name.upper()}",
            "deliveryContext": {"isRedelivery": False},
            **parts,
        }
        payload = {"destination": "Ubot", "events": [raw]}
        request = signed(_SIGNATURE, "example-secret", payload, at_us + 600_000)
        secrets = {"channel_secret": ("example-secret",)}
        return Example(name, request, secrets, (event,), revises)

    said, changed = ({"id": "1", "type": "text", "text": text} for text in ("Hello?", "Hello!"))
    image = {"id": "2", "type": "image", "contentProvider": {"type": "line"}}
    return (
        one("text", "message", interactions.MESSAGE, message=said),
        one("edited", "messageEdited", interactions.MESSAGE_EDITED, "text", message=changed),
        one("unsent", "unsend", interactions.MESSAGE_DELETED, "text", unsend={"messageId": "1"}),
        one("image", "message", interactions.MESSAGE, message=image),
        one("postback", "postback", interactions.MESSAGE, postback={"data": "talk=human"}),
        one("follow", "follow", interactions.CONVERSATION_STARTED),
        one("unfollow", "unfollow", interactions.CONVERSATION_ENDED),
    )


CONNECTOR = Connector(
    kind="line",
    channel="chat",
    title="LINE",
    setup=SETUP,
    signature=_SIGNATURE,
    parse=parse,
    examples=examples,
    secrets={
        "channel_secret": "Channel secret of the Messaging API channel: signs each request.",
        "channel_access_token": "For fetching files. Not needed to receive messages.",
    },
    retry_horizon_s=4 * 86_400,
    order_by="timestamp",
    fetches=(
        Fetch(
            "media",
            "GET https://api-data.line.me/v2/bot/message/{vendor_id}/content",
            secret="channel_access_token",
            prepare=_content,
            read=_ready,
        ),
    ),
)
