"""X Activity API: mentions, replies, quotes, direct messages, by webhook.

https://docs.x.com/x-api/activity/introduction
"""

from typing import Any

from services.channels.connectors import fields
from services.channels.connectors.fetching import MEDIA_BY_URL
from services.channels.connectors.port import (
    Connector,
    Context,
    Example,
    InboundRequest,
    Normalised,
    Parsed,
    Settings,
)
from services.channels.connectors.reading import given, moment, payload_of
from services.channels.connectors.social import x_events
from shared.contracts import interactions
from shared.contracts.instants import parse_instant
from shared.contracts.interactions import Attachment, Author, Delivery

SETUP = """\
1. Register the connector's inbound URL (without a port) with `POST /2/webhooks`; X tests it at once
   and again every hour (CRC), answered with `consumer_secret`.
2. Subscribe (`POST /2/activity/subscriptions`) to `post.mention.create`, `post.reply.create`,
   `post.quote.create`, `post.delete`, `dm.received`, `dm.sent`, `dm.read` for your account.
3. Put the app's API secret key into `consumer_secret`; a list of two, the new one first, while you
   rotate it.

Encrypted chats (`chat.received`) cannot be read here and are kept as dead letters. What was missed
is replayed with X's replay job, which needs `bearer_token`.
"""

_POSTS = ("post.mention.create", "post.reply.create", "post.quote.create", "post.create",
          "post.repost.create")  # fmt: skip


def parse(request: InboundRequest, _: Settings, __: Context) -> Parsed:
    parsed = Parsed()
    payload = payload_of(request, parsed)
    if not payload:
        return parsed
    found = list(fields.items(payload, "data"))
    if not found:
        parsed.lose("unusable_payload", "The payload has no data.")
    for data in found:
        _read(data, parsed)
    x_events.readable(parsed)
    return parsed


def _read(data: dict[str, Any], parsed: Parsed) -> None:
    kind = fields.text(data, "event_type") or "?"
    owner = fields.key(data, "filter", "user_id")
    before = len(parsed.events)
    if kind in _POSTS:
        _post(data, kind, owner, parsed)
    elif kind == "post.delete":
        _deleted(data, owner, parsed)
    elif kind in ("dm.received", "dm.sent"):
        _direct(data, owner, parsed)
    elif kind == "dm.read":
        _read_receipt(data, owner, parsed)
    elif kind.startswith("chat."):
        parsed.lose("encrypted", f"The event {kind[:64]!r} is encrypted.")
    elif kind == "?":
        parsed.lose("unknown_event", "An event has no event_type.")
    else:
        parsed.note("not_an_interaction", f"The event {kind[:64]!r} is no interaction.")
    for event in parsed.events[before:]:
        event.vendor = given(data, "event_uuid", "event_type", "tag") | event.vendor


def _post(data: dict[str, Any], kind: str, owner: str | None, parsed: Parsed) -> None:
    post = fields.obj(data, "payload")
    number, author = fields.key(post, "id"), fields.key(post, "author_id")
    if number is None or author is None:
        parsed.lose("missing_id", "A post has no id or no author.")
        return
    first = next(iter(fields.texts(post, "edit_history_tweet_ids")), number)
    ours = author == owner
    customer = fields.key(post, "in_reply_to_user_id") if ours else author
    event = Normalised(
        vendor_id=f"post:{number}",
        message_key=f"post:{first}",
        conversation_key=_thread(owner, fields.key(post, "conversation_id") or first, customer),
        occurred_at_us=moment(post, "created_at"),
        text=fields.text(post, "note_tweet", "text") or fields.text(post, "text"),
        in_reply_to=fields.key(post, "in_reply_to_tweet_id") or _referenced(post, "replied_to"),
        language=_language(post),
        attachments=_media(data, post),
        vendor=given(post, "id", "conversation_id", "author_id", "in_reply_to_tweet_id"),
        attributes=fields.known(public=True, quoted=_referenced(post, "quoted")),
    )
    users = fields.at(data, "includes", "users") or fields.at(data, "payload", "includes", "users")
    event.author, people = x_events.named(author, x_events.person_of(users, author))
    if ours:
        event.author.role, event.direction, event.flags = "agent", "outbound", ["echo"]
    else:
        event.identities = people
    if kind == "post.repost.create":
        event.flags = [*event.flags, "suppress"]
    if first != number:
        event.type, event.replaces = interactions.MESSAGE_EDITED, f"post:{first}"
        event.original_id = first
    if not event.text and not event.attachments:
        event.text, event.generated = "(empty post)", True
        event.flags = [*event.flags, "unsupported"]
    parsed.events.append(event)


def _thread(owner: str | None, conversation: str, customer: str | None) -> str:
    """One person in one public thread."""
    return f"{owner or ''}:{conversation}:{customer or ''}"


def _language(post: dict[str, Any]) -> str | None:
    """X's own guess; its codes for «none» and «link only» are not languages."""
    code = fields.text(post, "lang") or ""
    return code if len(code) == 2 else None


def _referenced(post: dict[str, Any], kind: str) -> str | None:
    for each in fields.items(post, "referenced_tweets"):
        if fields.text(each, "type") == kind:
            return fields.key(each, "id")
    return None


def _media(data: dict[str, Any], post: dict[str, Any]) -> list[Attachment]:
    wanted = fields.texts(post, "attachments", "media_keys")
    found: list[Attachment] = []
    for each in fields.items(data, "includes", "media"):
        key = fields.key(each, "media_key")
        url = fields.text(each, "url") or fields.text(each, "preview_image_url")
        if key in wanted and url:
            found.append(Attachment(content_type="image/*", url=url, vendor_id=key))
    return found


def _deleted(data: dict[str, Any], owner: str | None, parsed: Parsed) -> None:
    """X does not say of which conversation: the post may have been its first."""
    number, author = (fields.key(data, "payload", name) for name in ("id", "author_id"))
    if number is None:
        parsed.lose("missing_original", "A deletion does not say of which post.")
        return
    event = Normalised(
        vendor_id=f"post:{number}:deleted",
        message_key=f"post:{number}",
        conversation_key=_thread(owner, number, author),
        type=interactions.MESSAGE_DELETED,
        replaces=f"post:{number}",
        original_id=number,
        occurred_at_us=moment(data, "payload", "deleted_at"),
        author=Author("agent" if author == owner else "customer", id=author),
        direction="outbound" if author == owner else "inbound",
        vendor=given(fields.obj(data, "payload"), "id", "author_id"),
    )
    parsed.events.append(event)


def _direct(data: dict[str, Any], owner: str | None, parsed: Parsed) -> None:
    body = fields.obj(data, "payload")
    found = list(fields.items(body, "direct_message_events"))
    if not found and fields.key(body, "sender_id"):
        found = [_newer(body)]
    if not found:
        parsed.lose("unusable_payload", "A direct message event holds no message.")
    for raw in found:
        x_events.direct_message(raw, owner, body.get("users"), parsed)


def _newer(body: dict[str, Any]) -> dict[str, Any]:
    """The API v2 form of a direct message, in the older one. Without `participant_ids` the id of a
    conversation between two names both: "1234-5678"."""
    sender = fields.key(body, "sender_id")
    told = fields.texts(body, "participant_ids")
    told = told or (fields.key(body, "dm_conversation_id") or "").split("-")
    others = [each for each in told if each.isdecimal() and each != sender]
    return {
        "id": body.get("id"),
        "created_timestamp": body.get("created_at"),
        "message_create": {
            "sender_id": sender,
            "target": {"recipient_id": others[0] if others else None},
            "message_data": {"text": body.get("text")},
        },
    }


def _read_receipt(data: dict[str, Any], owner: str | None, parsed: Parsed) -> None:
    body = fields.obj(data, "payload")
    source = next(fields.items(body, "direct_message_mark_read_events"), body)
    last = fields.key(source, "last_read_event_id")
    reader = fields.key(source, "sender_id")
    if last is None or reader is None:
        parsed.note("not_an_interaction", "A read receipt names no message.")
        return
    event = Normalised(
        vendor_id=f"dm:{last}:read",
        conversation_key=f"{owner}:dm:{reader}",
        type=interactions.DELIVERY_STATUS,
        direction="outbound",
        author=Author("system"),
        occurred_at_us=moment(source, "created_timestamp"),
        delivery_status=Delivery(last, "read"),
        vendor={"last_read_event_id": last},
    )
    parsed.events.append(event)


def examples() -> tuple[Example, ...]:
    at_us = parse_instant("2026-03-02T09:30:00Z")

    def one(name: str, kind: str, payload: Any, event: str, revises: str | None = None) -> Example:
        data = {
            "event_uuid": f"uuid-{name}",
            "filter": {"user_id": "100"},
            "event_type": kind,
            "payload": payload,
            "includes": {"users": [{"id": "200", "name": "Kim", "username": "kim"}]},
        }
        return x_events.example(name, {"data": data}, at_us + 300_000, event, revises=revises)

    post = {
        "id": "1001",
        "author_id": "200",
        "conversation_id": "1001",
        "created_at": "2026-03-02T09:29:59.000Z",
        "text": "@shop my order is late",
        "edit_history_tweet_ids": ["1001"],
    }
    edited = {"id": "1002", "text": "@shop order late", "edit_history_tweet_ids": ["1001", "1002"]}
    direct = {
        "type": "message_create",
        "id": "300",
        "created_timestamp": str(at_us // 1000),
        "message_create": {
            "target": {"recipient_id": "100"},
            "sender_id": "200",
            "message_data": {"text": "Order 77"},
        },
    }
    gone = {"id": "1001", "author_id": "200", "deleted_at": "2026-03-02T09:29:59.500Z"}
    return (
        one("mention", "post.mention.create", post, interactions.MESSAGE),
        one(
            "edit",
            "post.mention.create",
            {**post, **edited},
            interactions.MESSAGE_EDITED,
            "mention",
        ),
        one("gone", "post.delete", gone, interactions.MESSAGE_DELETED, "mention"),
        one(
            "reply",
            "post.reply.create",
            {**post, "id": "1003", "in_reply_to_tweet_id": "999", "edit_history_tweet_ids": []},
            interactions.MESSAGE,
        ),
        one("dm", "dm.received", {"direct_message_events": [direct]}, interactions.MESSAGE),
    )


CONNECTOR = Connector(
    kind="x_activity",
    channel="social",
    title="X (Activity API)",
    setup=SETUP,
    signature=x_events.SIGNATURE,
    parse=parse,
    examples=examples,
    secrets={**x_events.SECRETS, "bearer_token": "For replay jobs. Not needed to receive."},
    handshake=x_events.handshake,
    handshakes=x_events.handshakes,
    fetches=(x_events.replay("POST https://api.x.com/2/webhooks/replay"), MEDIA_BY_URL),
)
