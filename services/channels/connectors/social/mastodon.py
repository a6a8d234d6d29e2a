"""Mastodon: mentions and direct posts, by streaming or polling; statuses, by admin webhooks.

https://docs.joinmastodon.org/entities/Status/
https://docs.joinmastodon.org/admin/webhooks/
"""

from typing import Any

from pydantic import Field

from services.channels.connectors import fields
from services.channels.connectors.email.markup import safe, to_text
from services.channels.connectors.fetching import (
    MAX_PAGES,
    MEDIA_BY_URL,
    Row,
    fresh,
    payload,
    posted,
    rows,
    with_argument,
)
from services.channels.connectors.identities import identities
from services.channels.connectors.port import (
    DAY_S,
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
from services.channels.connectors.posting import signed
from services.channels.connectors.reading import given, moment, objects_of
from services.channels.connectors.signatures import BodyHmac
from shared.contracts import interactions
from shared.contracts.instants import parse_instant
from shared.contracts.interactions import Attachment, Author


class MastodonSettings(Settings):
    account: str | None = Field(
        default=None,
        description="Your account as its server writes it (`shop`): its posts are ours.",
    )
    base_url: str | None = Field(
        default=None,
        max_length=256,
        pattern=r"^https?://[^\s/?#@]+$",
        description="Your server, such as https://social.example: mentions are polled there.",
    )


SETUP = """\
1. On your own server: Administration > Webhooks, add the connector's inbound URL for
   `status.created` and `status.updated`, and put the webhook's secret into `webhook_secret`.
2. On any server: mentions are no webhooks. With `base_url` and `access_token` they are polled by
   `GET /api/v1/notifications` every minute, or as `poll_every_s` says. A notification, a list of
   them, or a message of the streaming API can also be posted here as it is, signed with
   `webhook_secret` as a webhook is.
3. Set `account`.
"""

_SIGNATURE = BodyHmac("webhook_secret", "X-Hub-Signature", prefix="sha256=")
_QUIET = ("favourite", "reblog", "follow", "follow_request", "poll", "admin.sign_up",
          "admin.report", "severed_relationships", "moderation_warning")  # fmt: skip


def parse(request: InboundRequest, settings: MastodonSettings, _: Context) -> Parsed:
    parsed = Parsed()
    for raw in objects_of(request, parsed, "statuses"):
        _read(raw, settings, parsed)
    return parsed


def _read(raw: dict[str, Any], settings: MastodonSettings, parsed: Parsed) -> None:
    """A webhook, a message of a stream, a notification, or a status."""
    name = fields.text(raw, "event") or ""
    inner = raw.get("payload") if "payload" in raw else raw.get("object")
    if name == "delete":
        _deleted(inner, parsed)
    elif name and isinstance(inner, str):
        value = fields.decode_json(inner.encode("utf-8", "replace"), parsed)
        _read_inner(value, name, settings, parsed)
    elif name:
        _read_inner(inner, name, settings, parsed)
    elif isinstance(raw.get("status"), dict) and "type" in raw:
        _notification(raw, settings, parsed)
    elif "uri" in raw or "content" in raw:
        _status(raw, settings, False, parsed)
    elif fields.text(raw, "type") in _QUIET:
        parsed.note("not_an_interaction", "A notification without a post is no interaction.")
    else:
        parsed.lose("unknown_event", "An object that is neither a status nor a notification.")


def _read_inner(value: Any, name: str, settings: MastodonSettings, parsed: Parsed) -> None:
    if not isinstance(value, dict):
        parsed.lose("unusable_payload", f"The event {name[:64]!r} holds no object.")
    elif name == "notification":
        _notification(value, settings, parsed)
    elif name in ("update", "status.created", "status.update", "status.updated"):
        _status(value, settings, name in ("status.update", "status.updated"), parsed)
    else:
        parsed.note("not_an_interaction", f"The event {name[:64]!r} is no interaction.")


def _notification(raw: dict[str, Any], settings: MastodonSettings, parsed: Parsed) -> None:
    kind = fields.text(raw, "type") or "?"
    if kind in ("mention", "status", "update", "quote"):
        before = len(parsed.events)
        _status(fields.obj(raw, "status"), settings, kind == "update", parsed)
        for event in parsed.events[before:]:
            event.vendor |= fields.known(notification_id=fields.key(raw, "id"), notification=kind)
    else:
        parsed.note("not_an_interaction", f"The notification {kind[:64]!r} is no interaction.")


def _status(raw: dict[str, Any], settings: MastodonSettings, edited: bool, parsed: Parsed) -> None:
    uri = fields.key(raw, "uri") or fields.key(raw, "url")
    number, account = fields.key(raw, "id"), fields.obj(raw, "account")
    who = fields.text(account, "acct") or fields.text(account, "username")
    if number is None or who is None:
        parsed.lose("missing_id", "A status has no id or no account.")
        return
    changed = fields.key(raw, "edited_at")
    revised = edited and changed is not None
    event = Normalised(
        vendor_id=f"{uri or number}:{changed}" if revised else uri or number,
        message_key=f"status:{number}",
        conversation_key=f"{settings.account or ''}:{who}",
        occurred_at_us=moment(raw, "edited_at" if revised else "created_at"),
        language=fields.text(raw, "language"),
        in_reply_to=fields.key(raw, "in_reply_to_id"),
        vendor=given(raw, "id", "uri", "visibility", "in_reply_to_id", "edited_at"),
        attributes=fields.known(
            public=fields.text(raw, "visibility") in ("public", "unlisted"),
            spoiler=fields.text(raw, "spoiler_text"),
        ),
    )
    ours = settings.account is not None and who == settings.account
    bot = fields.flag(account, "bot")
    name = fields.text(account, "display_name") or fields.text(account, "username")
    event.author = Author("agent" if ours else "bot" if bot else "customer", name, who)
    if ours:
        event.direction, event.flags = "outbound", ["echo"]
        event.conversation_key = f"{who}:{_addressed(raw) or who}"
    else:
        event.identities = identities(mastodon=who, mastodon_url=fields.text(account, "url"))
    if raw.get("reblog"):
        event.flags = [*event.flags, "suppress"]
    if revised:
        event.type, event.replaces = interactions.MESSAGE_EDITED, f"status:{number}"
        event.original_id = number
    _say(event, raw)
    parsed.events.append(event)


def _addressed(raw: dict[str, Any]) -> str | None:
    return next((fields.text(each, "acct") for each in fields.items(raw, "mentions")), None)


def _say(event: Normalised, raw: dict[str, Any]) -> None:
    content = fields.text(raw, "content") or fields.text(raw, "reblog", "content") or ""
    event.html = safe(content) if content else None
    event.text = to_text(content).strip() or fields.text(raw, "text") or None
    for each in fields.items(raw, "media_attachments"):
        kind, url = fields.text(each, "type") or "", fields.text(each, "url")
        media = {"gifv": "video/*", "unknown": None}.get(kind, f"{kind}/*")
        name, number = fields.text(each, "description"), fields.key(each, "id")
        if url:
            event.attachments.append(Attachment(name, media, url=url, vendor_id=number))
    asked = [fields.text(each, "title") for each in fields.items(raw, "poll", "options")]
    if any(asked):
        poll = f"Poll: {' / '.join(each for each in asked if each)}"
        event.text, event.generated = "\n".join(filter(None, (event.text, poll))), not event.text
    if not event.text and not event.attachments:
        event.text, event.generated = "(empty post)", True
        event.flags = [*event.flags, "unsupported"]


def _deleted(value: Any, parsed: Parsed) -> None:
    """The stream tells a deleted status's id, not whose it was."""
    number = fields.key({"id": value}, "id") or fields.key(value, "id")
    if number is None:
        parsed.lose("missing_original", "A deletion does not say of which status.")
        return
    event = Normalised(
        vendor_id=f"status:{number}:deleted",
        message_key=f"status:{number}",
        conversation_key=f"status:{number}",
        type=interactions.MESSAGE_DELETED,
        replaces=f"status:{number}",
        original_id=number,
        author=Author("system"),
        vendor={"id": number},
    )
    parsed.events.append(event)


def _polled(told: Told) -> Page:
    """Notifications after the cursor, the oldest page first; within a page the newest is first."""
    found = list(rows(payload(told), ""))
    if not found:
        return Page()
    listed = [
        Row(fields.key(one, "created_at") or "", fields.key(one, "id") or "", one) for one in found
    ]
    new = (
        found if told.cursor is not None else [one.item for one in fresh(listed, None, told.at_us)]
    )
    newest = listed[0].identity
    page = Page(payloads=[posted(new)] if new else [], cursor=newest)
    if told.cursor is not None and told.page + 1 < MAX_PAGES:
        page.then = with_argument(told.ask, "min_id", newest)
    page.again = told.cursor is not None and page.then is None
    return page


def examples() -> tuple[Example, ...]:
    at_us = parse_instant("2026-03-02T09:30:00Z")
    secrets = {"webhook_secret": ("example-webhook-secret",)}

    def one(name: str, payload: Any, event: str, revises: str | None = None) -> Example:
        request = signed(_SIGNATURE, "example-webhook-secret", payload, at_us)
        return Example(name, request, secrets, (event,), revises)

    status = {
        "id": "110",
        "uri": "https://social.example/users/kim/statuses/110",
        "created_at": "2026-03-02T09:29:58.000Z",
        "edited_at": None,
        "visibility": "public",
        "language": "en",
        "content": "<p>@shop where is my order?</p>",
        "account": {"id": "5", "username": "kim", "acct": "kim@social.example"},
    }
    edited = {"edited_at": "2026-03-02T09:29:59.000Z", "content": "<p>@shop, my order?</p>"}
    mention = {"id": "9", "type": "mention", "status": {**status, "id": "111", "uri": "urn:111"}}
    return (
        one("created", {"event": "status.created", "object": status}, interactions.MESSAGE),
        one(
            "updated",
            {"event": "status.updated", "object": {**status, **edited}},
            interactions.MESSAGE_EDITED,
            "created",
        ),
        one("mention", mention, interactions.MESSAGE),
    )


CONNECTOR = Connector(
    kind="mastodon",
    channel="social",
    title="Mastodon",
    setup=SETUP,
    signature=_SIGNATURE,
    parse=parse,
    examples=examples,
    settings=MastodonSettings,
    secrets={
        "webhook_secret": "Secret of the admin webhook: signs each request.",
        "access_token": "For polling notifications.",
    },
    retry_horizon_s=3650 * DAY_S,
    fetches=(
        Fetch(
            "poll",
            "GET {base_url}/api/v1/notifications?types[]=mention&min_id={cursor}&limit=80",
            secret="access_token",
            cursor="the newest notification's id",
            every_s=60,
            needs=("base_url",),
            read=_polled,
        ),
        MEDIA_BY_URL,
    ),
)
