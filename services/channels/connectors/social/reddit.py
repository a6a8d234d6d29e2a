"""Reddit: private messages, comments and posts, polled as things and listings.

https://www.reddit.com/dev/api/ · https://github.com/reddit-archive/reddit/wiki/JSON
"""

from collections.abc import Callable
from html import unescape
from typing import Any

from pydantic import Field

from services.channels.connectors import fields
from services.channels.connectors.email.markup import safe
from services.channels.connectors.fetching import Row, newest, newest_first
from services.channels.connectors.identities import identities
from services.channels.connectors.port import (
    DAY_S,
    Connector,
    Context,
    Example,
    Fetch,
    Grant,
    InboundRequest,
    Normalised,
    Parsed,
    Settings,
)
from services.channels.connectors.posting import posted
from services.channels.connectors.reading import given, moment, objects_of
from services.channels.connectors.signatures import Unsigned
from services.channels.connectors.social.polled import with_edit
from shared.contracts import interactions
from shared.contracts.instants import parse_instant
from shared.contracts.interactions import Attachment, Author


class RedditSettings(Settings):
    username: str | None = Field(
        default=None, description="Your account's name (without u/): what it writes is ours."
    )
    subreddit: str | None = Field(
        default=None,
        max_length=64,
        pattern=r"^[A-Za-z0-9_+]+$",
        description="A subreddit whose posts and comments are polled.",
    )


SETUP = """\
Reddit pushes nothing: `/message/inbox` is polled every minute and, where `subreddit` is set,
`/r/<subreddit>/comments` and `/r/<subreddit>/new`. An edit shows as `edited`, a deletion as the text
`[deleted]`. A poller of your own can post things or listings to the connector's inbound URL, whose
last part is a secret.

1. Create an app, and put its `client_id` and `client_secret`, and a permanent `refresh_token` of your
   account with the scopes `privatemessages` and `read`, into the secrets of these names.
2. Set `username` and, to follow one, `subreddit`.
"""

_GONE = ("[deleted]", "[removed]")


def parse(request: InboundRequest, settings: RedditSettings, _: Context) -> Parsed:
    parsed = Parsed()
    for raw in objects_of(request, parsed, "things", "children"):
        _thing(raw, settings, parsed, 0)
    return parsed


def _thing(raw: dict[str, Any], settings: RedditSettings, parsed: Parsed, depth: int) -> None:
    kind, data = fields.text(raw, "kind"), fields.obj(raw, "data")
    if kind is None and fields.text(raw, "name"):
        kind, data = (fields.text(raw, "name") or "").partition("_")[0], raw
    if kind == "Listing":
        for each in fields.items(data, "children") if depth < 3 else ():
            _thing(each, settings, parsed, depth + 1)
        return
    read = _READERS.get(kind or "")
    if read is None:
        tell = parsed.note if kind else parsed.lose
        tell("not_an_interaction" if kind else "unknown_event", f"A thing {str(kind)[:32]!r}.")
        return
    before = len(parsed.events)
    read(data, settings, parsed)
    if kind == "t4" and len(parsed.events) > before and depth < 3:
        for each in fields.items(data, "replies", "data", "children"):
            _thing(each, settings, parsed, depth + 1)


def _event(
    data: dict[str, Any], settings: RedditSettings, key: str | None, body: str | None
) -> Normalised | None:
    name = fields.key(data, "name")
    if name is None:
        return None
    who = fields.text(data, "author")
    ours = who is not None and who.lower() == (settings.username or "").lower()
    known = None if who in _GONE else who
    other = (fields.text(data, "dest") if ours else known) or ""
    return Normalised(
        vendor_id=name,
        message_key=name,
        conversation_key=f"{key or name}:{other.lower()}" if other else key or name,
        occurred_at_us=moment(data, "created_utc"),
        author=Author("agent" if ours else "customer", who, known),
        direction="outbound" if ours else "inbound",
        flags=["echo"] if ours else [],
        identities=[] if ours else identities(reddit=known),
        text=body,
        in_reply_to=fields.key(data, "parent_id"),
        vendor=given(
            data, "name", "id", "link_id", "parent_id", "subreddit", "permalink", "edited"
        ),
    )


def _finish(event: Normalised | None, data: dict[str, Any], parsed: Parsed) -> None:
    if event is None:
        parsed.lose("missing_id", "A thing has no name.")
        return
    if event.text in _GONE:
        event.type, event.replaces = interactions.MESSAGE_DELETED, event.message_key
        event.vendor_id, event.text, event.html = f"{event.vendor_id}:deleted", None, None
        parsed.events.append(event)
        return
    if not event.text and not event.attachments:
        event.text, event.generated = event.subject or "(empty message)", True
    edited = data.get("edited")
    changed = fields.key(data, "edited") if isinstance(edited, int | float) else None
    parsed.events += with_edit(event, changed if edited is not False and edited != 0 else None)


def _html(data: dict[str, Any], name: str) -> str | None:
    source = fields.text(data, name)
    return safe(unescape(source)) if source else None


def _comment(data: dict[str, Any], settings: RedditSettings, parsed: Parsed) -> None:
    """A comment: its author's conversation below one post."""
    event = _event(data, settings, fields.key(data, "link_id"), fields.text(data, "body"))
    if event is not None:
        event.html = _html(data, "body_html")
        event.attributes = fields.known(public=True, subreddit=fields.text(data, "subreddit"))
    _finish(event, data, parsed)


def _post(data: dict[str, Any], settings: RedditSettings, parsed: Parsed) -> None:
    event = _event(data, settings, fields.key(data, "name"), fields.text(data, "selftext"))
    if event is not None:
        event.subject, event.html = fields.text(data, "title"), _html(data, "selftext_html")
        event.attributes = fields.known(public=True, subreddit=fields.text(data, "subreddit"))
        url = fields.text(data, "url")
        if url and data.get("is_self") is False:
            event.text = event.text or f"{event.subject or ''} {url}".strip()
            if fields.text(data, "post_hint") == "image":
                event.attachments = [Attachment(content_type="image/*", url=url)]
    _finish(event, data, parsed)


def _private(data: dict[str, Any], settings: RedditSettings, parsed: Parsed) -> None:
    first = fields.key(data, "first_message_name") or fields.key(data, "name")
    event = _event(data, settings, first, fields.text(data, "body"))
    if event is not None:
        event.conversation_key = first or event.conversation_key
        event.subject, event.html = fields.text(data, "subject"), _html(data, "body_html")
    _finish(event, data, parsed)


_READERS: dict[str, Callable[[dict[str, Any], RedditSettings, Parsed], None]] = {
    "t1": _comment,
    "t3": _post,
    "t4": _private,
}


_GRANT = Grant(
    "https://www.reddit.com/api/v1/access_token",
    {"grant_type": "refresh_token", "refresh_token": "{refresh_token}"},
    basic=("client_id", "client_secret"),
)


def _row(thing: dict[str, Any]) -> Row:
    data = fields.obj(thing, "data")
    edited = data.get("edited")
    changed = fields.key(data, "edited") if not isinstance(edited, bool) else None
    return Row(
        newest(fields.key(data, "created_utc"), changed), fields.key(data, "name") or "", thing
    )


def examples() -> tuple[Example, ...]:
    at_us = parse_instant("2026-03-02T09:30:00Z")
    stamp = at_us / 1_000_000 - 60
    message, edit = interactions.MESSAGE, interactions.MESSAGE_EDITED

    def one(
        label: str, kind: str, events: tuple[str, ...], revises: str | None = None, **data: Any
    ) -> Example:
        full = {"author": "kim", "created_utc": stamp, "edited": False, **data}
        listing = {"kind": "Listing", "data": {"children": [{"kind": kind, "data": full}]}}
        return Example(label, posted(listing, at_us), {}, events, revises)

    comment = {"name": "t1_a", "link_id": "t3_p", "parent_id": "t3_p"}
    private = {"name": "t4_m", "first_message_name": None, "subject": "Order", "dest": "shop"}
    return (
        one("comment", "t1", (message,), **comment, body="Does it float?"),
        one("gone", "t1", (interactions.MESSAGE_DELETED,), "comment", **comment, body="[deleted]"),
        one(
            "edited",
            "t1",
            (message, edit),
            **{**comment, "name": "t1_b", "edited": stamp + 30},
            body="Does it swim?",
        ),
        one("post", "t3", (message,), name="t3_q", title="Broken", selftext="It sank"),
        one("private", "t4", (message,), **private, body="Where is order 77?"),
    )


CONNECTOR = Connector(
    kind="reddit",
    channel="social",
    title="Reddit",
    setup=SETUP,
    signature=Unsigned(),
    parse=parse,
    examples=examples,
    settings=RedditSettings,
    secrets={
        "access_token": "OAuth token of your account, where you renew it yourself.",
        "client_id": "The app's id, which renews the token together with the next two.",
        "client_secret": "The app's secret.",
        "refresh_token": "Permanent refresh token of your account.",
    },
    retry_horizon_s=3650 * DAY_S,
    fetches=(
        Fetch(
            "poll",
            "GET https://oauth.reddit.com/message/inbox?limit=100&raw_json=1",
            name="inbox",
            secret="access_token",
            cursor="the newest created_utc",
            every_s=60,
            grant=_GRANT,
            read=newest_first("data.children", _row, "data.created_utc", "data.after", "after"),
        ),
        Fetch(
            "poll",
            "GET https://oauth.reddit.com/r/{subreddit}/comments?limit=100&raw_json=1",
            name="comments",
            secret="access_token",
            cursor="the newest created_utc or edited",
            every_s=60,
            needs=("subreddit",),
            grant=_GRANT,
            read=newest_first("data.children", _row, "data.created_utc", "data.after", "after"),
        ),
        Fetch(
            "poll",
            "GET https://oauth.reddit.com/r/{subreddit}/new?limit=100&raw_json=1",
            name="posts",
            secret="access_token",
            cursor="the newest created_utc or edited",
            every_s=60,
            needs=("subreddit",),
            grant=_GRANT,
            read=newest_first("data.children", _row, "data.created_utc", "data.after", "after"),
        ),
    ),
)
