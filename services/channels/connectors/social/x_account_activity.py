"""X Account Activity API (the older one): posts that concern an account, and its direct messages.

https://docs.x.com/x-api/enterprise-gnip-2.0/fundamentals/account-activity
"""

from collections.abc import Callable
from typing import Any

from pydantic import Field

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
from shared.contracts.interactions import Author, Delivery


class XAccountSettings(Settings):
    webhook_id: str | None = Field(
        default=None,
        max_length=64,
        pattern=r"^[0-9]+$",
        description="The webhook's id: with it, what was missed is replayed every hour.",
    )


SETUP = """\
For accounts that still have the Account Activity API; new ones take the kind `x_activity`.

1. Register the connector's inbound URL (without a port); X tests it at once and every 24 hours
   (CRC), answered with `consumer_secret`.
2. Subscribe your account to all activities.
3. Put the app's API secret key into `consumer_secret`; a list of two, the new one first, while you
   rotate it.
"""


def parse(request: InboundRequest, _: XAccountSettings, __: Context) -> Parsed:
    parsed = Parsed()
    payload = payload_of(request, parsed)
    if not payload:
        return parsed
    owner = fields.key(payload, "for_user_id")
    found = False
    for name, read in _READERS.items():
        for raw in fields.items(payload, name):
            found = True
            read(raw, owner, payload, parsed)
    if not found:
        silent = [str(name) for name in payload if str(name).endswith(("_events", "_event"))]
        if silent:
            parsed.note("not_an_interaction", f"{silent[0][:64]} is no interaction.")
        else:
            parsed.lose("unusable_payload", "The payload holds no events.")
    for event in parsed.events:
        event.vendor = fields.known(for_user_id=owner) | event.vendor
    x_events.readable(parsed)
    return parsed


def _text(tweet: dict[str, Any]) -> str | None:
    full = fields.text(tweet, "extended_tweet", "full_text") or fields.text(tweet, "full_text")
    return full or fields.text(tweet, "text")


def _tweet(raw: dict[str, Any], owner: str | None, payload: dict[str, Any], parsed: Parsed) -> None:
    number = fields.key(raw, "id_str") or fields.key(raw, "id")
    user = fields.obj(raw, "user")
    author = fields.key(user, "id_str") or fields.key(user, "id")
    if number is None or author is None:
        parsed.lose("missing_id", "A post has no id or no author.")
        return
    ours = author == owner
    replied = fields.key(raw, "in_reply_to_status_id_str")
    other = fields.key(raw, "in_reply_to_user_id_str") if ours else author
    first = fields.key(raw, "edit_history", "initial_tweet_id") or number
    extended = fields.obj(raw, "extended_tweet") or raw
    event = Normalised(
        vendor_id=f"post:{number}",
        message_key=f"post:{first}",
        conversation_key=f"{owner or ''}:posts:{other or ''}",
        occurred_at_us=moment(raw, "timestamp_ms") or _dated(raw),
        text=_text(raw),
        in_reply_to=replied,
        language=fields.text(raw, "lang") if len(fields.text(raw, "lang") or "") == 2 else None,
        attachments=x_events.media_of(extended),
        vendor=given(raw, "id_str", "in_reply_to_status_id_str", "timestamp_ms")
        | fields.known(author_id=author),
        attributes=fields.known(public=True, quoted=fields.key(raw, "quoted_status_id_str")),
    )
    event.author, people = x_events.named(author, user)
    if ours:
        event.author.role, event.direction, event.flags = "agent", "outbound", ["echo"]
    else:
        event.identities = people
    if isinstance(raw.get("retweeted_status"), dict):
        event.flags = [*event.flags, "suppress"]
    if first != number:
        event.type, event.replaces = interactions.MESSAGE_EDITED, f"post:{first}"
        event.original_id = first
    if not event.text and not event.attachments:
        event.text, event.generated = "(empty post)", True
        event.flags = [*event.flags, "unsupported"]
    parsed.events.append(event)


_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


def _dated(raw: dict[str, Any]) -> int | None:
    """`Thu Dec 19 11:27:49 +0000 2019`, X's own way to write an instant."""
    parts = (fields.text(raw, "created_at") or "").split()
    if len(parts) != 6 or parts[1] not in _MONTHS:
        return None
    month = _MONTHS.index(parts[1]) + 1
    return moment({"at": f"{parts[5]}-{month:02}-{parts[2]}T{parts[3]}{parts[4]}"}, "at")


def _direct(
    raw: dict[str, Any], owner: str | None, payload: dict[str, Any], parsed: Parsed
) -> None:
    if fields.text(raw, "type") != "message_create":
        kind = (fields.text(raw, "type") or "?")[:64]
        parsed.note("not_an_interaction", f"The direct message event {kind!r} is no interaction.")
        return
    x_events.direct_message(raw, owner, payload.get("users"), parsed)


def _deleted(
    raw: dict[str, Any], owner: str | None, payload: dict[str, Any], parsed: Parsed
) -> None:
    number = fields.key(raw, "status", "id")
    author = fields.key(raw, "status", "user_id")
    if number is None:
        parsed.lose("missing_original", "A deletion does not say of which post.")
        return
    parsed.events.append(
        Normalised(
            vendor_id=f"post:{number}:deleted",
            message_key=f"post:{number}",
            conversation_key=f"{owner or ''}:posts:{author or ''}",
            type=interactions.MESSAGE_DELETED,
            replaces=f"post:{number}",
            original_id=number,
            occurred_at_us=moment(raw, "timestamp_ms"),
            author=Author("agent" if author == owner else "customer", id=author),
            direction="outbound" if author == owner else "inbound",
            vendor=fields.known(id=number, author_id=author),
        )
    )


def _read_receipt(
    raw: dict[str, Any], owner: str | None, payload: dict[str, Any], parsed: Parsed
) -> None:
    last, reader = fields.key(raw, "last_read_event_id"), fields.key(raw, "sender_id")
    if last is None or reader is None or reader == owner:
        parsed.note("not_an_interaction", "A read receipt that is not a customer's.")
        return
    parsed.events.append(
        Normalised(
            vendor_id=f"dm:{last}:read",
            conversation_key=f"{owner}:dm:{reader}",
            type=interactions.DELIVERY_STATUS,
            direction="outbound",
            author=Author("system"),
            occurred_at_us=moment(raw, "created_timestamp"),
            delivery_status=Delivery(last, "read"),
            vendor={"last_read_event_id": last},
        )
    )


Reader = Callable[[dict[str, Any], str | None, dict[str, Any], Parsed], None]
_READERS: dict[str, Reader] = {
    "tweet_create_events": _tweet,
    "tweet_edit_events": _tweet,
    "direct_message_events": _direct,
    "tweet_delete_events": _deleted,
    "direct_message_mark_read_events": _read_receipt,
}


def examples() -> tuple[Example, ...]:
    at_us = parse_instant("2026-03-02T09:30:00Z")
    millis = str(at_us // 1000)

    def one(name: str, part: str, raw: Any, event: str, revises: str | None = None) -> Example:
        payload = {"for_user_id": "100", part: [raw]}
        return x_events.example(name, payload, at_us + 300_000, event, revises=revises)

    tweet = {
        "id_str": "1001",
        "text": "@shop my order is late",
        "timestamp_ms": millis,
        "user": {"id_str": "200", "name": "Kim", "screen_name": "kim"},
    }
    create = {"target": {"recipient_id": "100"}, "sender_id": "200"}
    direct = {"type": "message_create", "id": "300", "created_timestamp": millis}
    edit = {"id_str": "1002", "edit_history": {"initial_tweet_id": "1001"}}
    read = {"last_read_event_id": "299", "sender_id": "200", "created_timestamp": millis}
    gone = {"status": {"id": "1001", "user_id": "200"}, "timestamp_ms": millis}
    return (
        one("post", "tweet_create_events", tweet, interactions.MESSAGE),
        one("edit", "tweet_create_events", {**tweet, **edit}, interactions.MESSAGE_EDITED, "post"),
        one("gone", "tweet_delete_events", gone, interactions.MESSAGE_DELETED, "post"),
        one(
            "dm",
            "direct_message_events",
            {**direct, "message_create": {**create, "message_data": {"text": "Order 77"}}},
            interactions.MESSAGE,
        ),
        one("read", "direct_message_mark_read_events", read, interactions.DELIVERY_STATUS),
    )


CONNECTOR = Connector(
    kind="x_account_activity",
    channel="social",
    title="X (Account Activity API)",
    setup=SETUP,
    signature=x_events.SIGNATURE,
    parse=parse,
    examples=examples,
    settings=XAccountSettings,
    secrets={**x_events.SECRETS, "bearer_token": "For replay jobs. Not needed to receive."},
    handshake=x_events.handshake,
    handshakes=x_events.handshakes,
    fetches=(
        x_events.replay(
            "POST https://api.x.com/2/account_activity/replay/webhooks/{webhook_id}/subscriptions/all"
        ),
        MEDIA_BY_URL,
    ),
)
