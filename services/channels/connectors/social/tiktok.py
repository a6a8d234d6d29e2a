"""TikTok business messaging: direct messages and comments of a business account.

https://business-api.tiktok.com/portal/docs?id=1832190670631937
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from services.channels.connectors import fields
from services.channels.connectors.fetching import Unfilled, payload
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
    Secrets,
    Settings,
    Told,
    Verdict,
)
from services.channels.connectors.posting import encoded, posted
from services.channels.connectors.reading import digest_of, given, moment, payload_of
from services.channels.connectors.signatures import any_same, decimal_us, digest, fresh
from shared.contracts import interactions
from shared.contracts.instants import parse_instant
from shared.contracts.interactions import Attachment, Author, Delivery
from shared.fetching.ask import Ask

SETUP = """\
1. In the TikTok for Business developer portal, create the app and, with its credentials, register
   the connector's inbound URL as callback for the events `DIRECT_MESSAGE` and `COMMENT`.
2. Put the app's secret into `client_secret`; a list of two while you rotate it.

TikTok tells of a comment, and in Europe of a message, without its words: they are fetched with
`access_token`. A message's words in Europe, and pictures, cannot be fetched yet.
"""

TOLERANCE_S = 300


@dataclass(frozen=True, slots=True)
class TikTokSignature:
    """`TikTok-Signature: t=<seconds>,s=<hex HMAC-SHA256 over t.body>`."""

    secret_names: tuple[str, ...] = ("client_secret",)
    header: str = "TikTok-Signature"

    def verify(self, request: InboundRequest, secrets: Secrets) -> Verdict:
        known = secrets.get("client_secret", ())
        if not known:
            return "none"
        parts = (part.partition("=") for part in (request.header(self.header) or "").split(","))
        given_parts = {name.strip(): value.strip() for name, _, value in parts}
        stamp, signature = given_parts.get("t", ""), given_parts.get("s", "")
        at_us = decimal_us(stamp)
        if at_us is None or not fresh(at_us, request.received_at_us, TOLERANCE_S):
            return "invalid"
        expected = [self.sign(secret, stamp, request.body) for secret in known]
        return "valid" if signature and any_same(expected, signature) else "invalid"

    def sign(self, secret: str, stamp: str, body: bytes) -> str:
        return digest("sha256", secret, f"{stamp}.".encode() + body)


_SIGNATURE = TikTokSignature()


def parse(request: InboundRequest, _: Settings, __: Context) -> Parsed:
    parsed = Parsed()
    payload = payload_of(request, parsed)
    if not payload:
        return parsed
    kind = fields.text(payload, "event") or ("im_receive_msg" if "message_id" in payload else "?")
    content = _content(payload)
    read = _READERS.get(kind)
    if read is not None:
        read(payload, content, parsed)
    elif kind == "?":
        parsed.lose("unknown_event", "The payload names no event.")
    else:
        parsed.note("not_an_interaction", f"The event {kind[:64]!r} is no interaction.")
    return parsed


def _content(payload: dict[str, Any]) -> dict[str, Any]:
    """The event's content: JSON in a string, an object, or the payload itself."""
    content = payload.get("content")
    if isinstance(content, str):
        content = fields.decode_json(content.encode("utf-8", "replace"), Parsed())
    if isinstance(content, dict):
        return content
    return payload if "message_id" in payload or "conversation_id" in payload else {}


def _event(payload: dict[str, Any], content: dict[str, Any], vendor_id: str) -> Normalised:
    names = ("message_id", "conversation_id", "comment_id", "video_id", "type", "timestamp")
    return Normalised(
        vendor_id=vendor_id,
        conversation_key=fields.key(content, "conversation_id") or "",
        occurred_at_us=moment(content, "timestamp") or moment(payload, "create_time"),
        vendor=given(content, *names)
        | given(payload, "event", "user_openid")
        | fields.known(
            from_id=fields.key(content, "from_user", "id"),
            to_id=fields.key(content, "to_user", "id"),
        ),
    )


def _message(payload: dict[str, Any], content: dict[str, Any], parsed: Parsed) -> None:
    number = fields.key(content, "message_id")
    if number is None or fields.key(content, "conversation_id") is None:
        parsed.lose("missing_id", "A message has no message_id or no conversation_id.")
        return
    event = _event(payload, content, number)
    business = fields.key(payload, "user_openid")
    who = fields.key(content, "from_user", "id") or fields.key(content, "unique_identifier")
    sent = fields.text(payload, "event") == "im_send_msg" or (who is not None and who == business)
    if sent:
        event.author = Author("agent", fields.text(content, "from"), who)
        event.direction, event.flags = "outbound", ["echo"]
    else:
        event.author = Author("customer", fields.text(content, "from"), who)
        event.identities = identities(tiktok=who)
    reply = fields.obj(content, "referenced_message_info")
    event.in_reply_to = fields.key(reply, "referenced_message_id")
    _say(event, content)
    parsed.events.append(event)


_SEEN = {"image": "image/*", "emoji": "image/*", "sticker": "image/*", "video": "video/*"}


def _say(event: Normalised, content: dict[str, Any]) -> None:
    kind = fields.text(content, "type") or "?"
    event.text = fields.text(content, "text", "body")
    media = fields.key(content, "image", "media_id") or fields.key(content, "video", "media_id")
    if media:
        name = "image/*" if kind == "image" else "video/*"
        event.attachments = [Attachment(content_type=name, vendor_id=media)]
    url = fields.text(content, kind, "url")
    if url and not media:
        event.attachments = [Attachment(content_type=_SEEN.get(kind), url=url)]
    shared = fields.obj(content, "share_post")
    if shared:
        event.text = fields.text(shared, "embed_url") or fields.text(shared, "video_id")
        event.generated = True
    if not event.text and not event.attachments:
        event.text, event.generated = f"(unsupported message: {kind[:64]})", True
        event.flags = [*event.flags, "unsupported"]


def _read(payload: dict[str, Any], content: dict[str, Any], parsed: Parsed) -> None:
    conversation = fields.key(content, "conversation_id")
    last = fields.key(content, "read", "last_read_timestamp") or fields.key(content, "timestamp")
    if conversation is None or last is None:
        parsed.lose("missing_id", "A receipt has no conversation or no time.")
        return
    event = _event(payload, content, f"{conversation}:read:{last}")
    event.type, event.direction = interactions.DELIVERY_STATUS, "outbound"
    event.author = Author("system")
    event.delivery_status = Delivery(f"watermark:{last}", "read")
    parsed.events.append(event)


def _announced(payload: dict[str, Any], content: dict[str, Any], parsed: Parsed) -> None:
    """A message whose words TikTok leaves out (European Economic Area)."""
    account = fields.key(payload, "user_openid") or ""
    stamp = fields.key(content, "timestamp") or fields.key(payload, "create_time") or ""
    key = fields.key(content, "message_id") or digest_of(account, stamp)
    parsed.want("message", key, business_id=account, timestamp=stamp)


def _comment(payload: dict[str, Any], content: dict[str, Any], parsed: Parsed) -> None:
    number, video = fields.key(content, "comment_id"), fields.key(content, "video_id")
    if number is None:
        parsed.lose("missing_id", "A comment has no comment_id.")
        return
    account = fields.key(payload, "user_openid") or ""
    thread = fields.key(content, "parent_comment_id")
    thread = thread if thread not in (None, "0") else number
    action = fields.text(content, "comment_action") or "insert"
    text = fields.text(content, "text")
    if action != "delete" and text is None:
        if action in ("insert", "edit"):
            parsed.want("message", f"comment:{number}", business_id=account, video_id=video or "")
        else:
            parsed.note("not_an_interaction", f"The action {action[:32]!r} is no interaction.")
        return
    event = _event(payload, content, f"comment:{number}")
    event.conversation_key = f"{account}:comment:{thread}"
    event.text, event.attributes = text, {"public": True}
    who = fields.key(content, "unique_identifier")
    event.author, event.identities = Author("customer", id=who), identities(tiktok=who)
    if action == "delete":
        event.vendor_id, event.message_key = f"comment:{number}:deleted", f"comment:{number}"
        event.type, event.replaces = interactions.MESSAGE_DELETED, f"comment:{number}"
        event.original_id = number
    parsed.events.append(event)


def _ask_comment(names: Mapping[str, str], _: str | None, __: int) -> Ask | None:
    if "video_id" not in names:
        raise Unfilled(["video_id"])
    query = {
        "business_id": names.get("business_id", ""),
        "video_id": names["video_id"],
        "comment_ids": json.dumps([names.get("key", "").removeprefix("comment:")]),
    }
    url = "https://business-api.tiktok.com/open_api/v1.3/business/comment/list/"
    return Ask(f"{url}?{urlencode(query)}")


def _comments(told: Told) -> Page:
    """The comment as its webhook would have told it with its words."""
    found = payload(told)
    if fields.integer(found, "code") not in (0, None):
        raise NotYet(f"TikTok answered {fields.integer(found, 'code')}.")
    wanted = told.ids.get("key", "").removeprefix("comment:")
    listed = fields.items(found, "data", "comments")
    one = next((each for each in listed if fields.key(each, "comment_id") == wanted), None)
    if one is None or fields.text(one, "text") is None:
        return Page(lost="TikTok's answer does not hold the comment.")
    content = {**one, "video_id": told.ids.get("video_id"), "comment_action": "insert"}
    notice = {
        "event": "comment.update",
        "user_openid": told.ids.get("business_id"),
        "create_time": fields.integer(one, "create_time"),
        "content": json.dumps(content),
    }
    return Page(payloads=[encoded(notice)])


_READERS: dict[str, Callable[[dict[str, Any], dict[str, Any], Parsed], None]] = {
    "im_receive_msg": _message,
    "im_send_msg": _message,
    "im_mark_read_msg": _read,
    "im_receive_msg_eu": _announced,
    "comment.update": _comment,
}


def sign(payload: dict[str, Any], received_at_us: int) -> InboundRequest:
    """A payload of ours as TikTok would send it."""
    stamp = str(received_at_us // 1_000_000)
    signature = _SIGNATURE.sign("example-client-secret", stamp, encoded(payload))
    return posted(payload, received_at_us, (_SIGNATURE.header, f"t={stamp},s={signature}"))


def examples() -> tuple[Example, ...]:
    at_us = parse_instant("2026-03-02T09:30:00Z")
    secrets = {"client_secret": ("example-client-secret",)}

    def one(
        name: str, kind: str, events: tuple[str, ...], revises: str | None = None, **content: Any
    ) -> Example:
        payload = {
            "client_key": "app",
            "event": kind,
            "create_time": at_us // 1_000_000,
            "user_openid": "biz-1",
            "content": encoded({"timestamp": at_us // 1000, **content}).decode(),
        }
        return Example(name, sign(payload, at_us + 500_000), secrets, events, revises)

    message = (interactions.MESSAGE,)
    said = {"conversation_id": "tc-1", "from": "Kim", "from_user": {"id": "kim-1"}}
    image = {"type": "image", "image": {"media_id": "tm-1"}}
    ours = {**said, "from_user": {"id": "biz-1"}, "message_id": "t3", "type": "text"}
    comment = {"comment_id": "k1", "video_id": "v1", "unique_identifier": "kim-1"}
    return (
        one(
            "text",
            "im_receive_msg",
            message,
            message_id="t1",
            type="text",
            text={"body": "Restock?"},
            **said,
        ),
        one("image", "im_receive_msg", message, message_id="t2", **image, **said),
        one("ours", "im_send_msg", message, text={"body": "On Monday"}, **ours),
        one(
            "read",
            "im_mark_read_msg",
            (interactions.DELIVERY_STATUS,),
            conversation_id="tc-1",
            read={"last_read_timestamp": at_us // 1000},
        ),
        one("comment", "comment.update", message, text="Love it", **comment),
        one(
            "gone",
            "comment.update",
            (interactions.MESSAGE_DELETED,),
            "comment",
            comment_action="delete",
            **comment,
        ),
        one("announced", "im_receive_msg_eu", ()),
    )


CONNECTOR = Connector(
    kind="tiktok",
    channel="social",
    title="TikTok business messaging",
    setup=SETUP,
    signature=_SIGNATURE,
    parse=parse,
    examples=examples,
    secrets={
        "client_secret": "Secret of the TikTok app: signs each request.",
        "access_token": "For comments' words and pictures.",
    },
    fetches=(
        Fetch(
            "message",
            "GET https://business-api.tiktok.com/open_api/v1.3/business/comment/list/",
            secret="access_token",
            auth="header:Access-Token",
            prepare=_ask_comment,
            read=_comments,
        ),
    ),
)
