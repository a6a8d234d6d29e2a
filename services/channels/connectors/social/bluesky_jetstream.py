"""Bluesky: commits of the Jetstream firehose, polled notifications and posts.

https://github.com/bluesky-social/jetstream
https://docs.bsky.app/docs/api/app-bsky-notification-list-notifications
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from pydantic import Field

from services.channels.connectors import fields
from services.channels.connectors.fetching import Row, Unfilled, file, newest_first
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
from shared.contracts import interactions
from shared.contracts.instants import parse_instant
from shared.contracts.interactions import Attachment, Author
from shared.fetching.ask import Ask


class BlueskySettings(Settings):
    did: str | None = Field(
        default=None,
        description="Your account's DID: its posts are ours, those that name it theirs.",
    )
    only_mine: bool = Field(
        default=False,
        description="Pass on only what mentions, answers or is written by `did`: the firehose holds "
        "everybody's posts.",
    )


SETUP = """\
Bluesky pushes nothing. With `app_password` mentions and answers are polled by `listNotifications`
every minute, or as `poll_every_s` says. A reader of Jetstream of your own
(`wss://…/subscribe?wantedCollections=app.bsky.feed.post`, kept at `time_us`, reconnecting a few
seconds earlier) can post each message, or a list or page of them, to the connector's inbound URL,
whose last part is a secret.

1. Set `did` to your account's; with the firehose, set `only_mine` too.
"""

_POST = "app.bsky.feed.post"
_REACTIONS = {
    "app.bsky.feed.like": "like",
    "app.bsky.feed.repost": "repost",
}


def parse(request: InboundRequest, settings: BlueskySettings, _: Context) -> Parsed:
    parsed = Parsed()
    for raw in objects_of(request, parsed, "notifications", "events", "records", "posts"):
        kind = fields.text(raw, "kind")
        if kind == "commit" or (kind is None and isinstance(raw.get("commit"), dict)):
            _commit(raw, settings, parsed)
        elif kind in ("identity", "account"):
            parsed.note("not_an_interaction", f"The event {kind!r} is no interaction.")
        elif fields.key(raw, "uri") is not None:
            _polled(raw, settings, parsed)
        else:
            parsed.lose("unknown_event", "An object that is neither a commit nor a record.")
    return parsed


def _commit(raw: dict[str, Any], settings: BlueskySettings, parsed: Parsed) -> None:
    commit, did = fields.obj(raw, "commit"), fields.key(raw, "did")
    collection, rkey = fields.key(commit, "collection"), fields.key(commit, "rkey")
    rev, operation = fields.key(commit, "rev"), fields.text(commit, "operation") or "create"
    if did is None or collection is None or rkey is None:
        parsed.lose("missing_id", "A commit lacks its did, collection or rkey.")
        return
    if collection != _POST and collection not in _REACTIONS:
        parsed.note("not_an_interaction", f"A record of {collection[:64]!r} is no interaction.")
        return
    uri, record = f"at://{did}/{collection}/{rkey}", fields.obj(commit, "record")
    if settings.only_mine and operation != "delete" and not _mine(did, record, settings.did):
        parsed.note("filtered", "A record that does not concern the account.")
        return
    event = _event(uri, did, record, settings)
    event.vendor_id = f"{uri}:{rev or ''}"
    event.occurred_at_us = moment(raw, "time_us") or event.occurred_at_us
    event.vendor |= given(raw, "did", "kind", "time_us", "cursor")
    event.vendor |= given(commit, "collection", "rkey", "rev", "cid", "operation")
    if operation in ("update", "delete"):
        changed = interactions.MESSAGE_EDITED, interactions.MESSAGE_DELETED
        event.type, event.replaces = changed[operation == "delete"], uri
    if operation != "delete":
        _say(event, record, collection, did)
    parsed.events.append(event)


def _polled(raw: dict[str, Any], settings: BlueskySettings, parsed: Parsed) -> None:
    """A notification, a post view or a record as `getRecord` gives it."""
    uri = fields.key(raw, "uri") or ""
    parts = uri.removeprefix("at://").split("/")
    record = fields.obj(raw, "record") or fields.obj(raw, "value")
    collection = parts[1] if len(parts) == 3 else fields.text(record, "$type") or ""
    if collection != _POST and collection not in _REACTIONS:
        parsed.note("not_an_interaction", f"A record of {collection[:64]!r} is no interaction.")
        return
    author = fields.obj(raw, "author")
    did = fields.key(author, "did") or parts[0]
    event = _event(uri, did, record, settings)
    event.vendor |= given(raw, "uri", "cid", "reason", "indexedAt")
    event.author.name = fields.text(author, "displayName") or fields.text(author, "handle")
    if event.author.role == "customer":
        event.identities = identities(bluesky=did, bluesky_handle=fields.text(author, "handle"))
    _say(event, record, collection, did)
    parsed.events.append(event)


def _mine(did: str, record: dict[str, Any], own: str | None) -> bool:
    if own is None or did == own:
        return True
    subject = fields.text(record, "subject", "uri") or ""
    related = [fields.text(record, "reply", name, "uri") or "" for name in ("root", "parent")]
    if any(uri.startswith(f"at://{own}/") for uri in (subject, *related)):
        return True
    return own in _mentioned(record)


def _mentioned(record: dict[str, Any]) -> list[str]:
    return [
        did
        for facet in fields.items(record, "facets")
        for feature in fields.items(facet, "features")
        if (did := fields.key(feature, "did"))
    ]


def _event(uri: str, did: str, record: dict[str, Any], settings: BlueskySettings) -> Normalised:
    ours = settings.did is not None and did == settings.did
    root = fields.key(record, "reply", "root", "uri") or uri
    languages = fields.texts(record, "langs")
    return Normalised(
        vendor_id=uri,
        message_key=uri,
        conversation_key=root,
        occurred_at_us=moment(record, "createdAt"),
        author=Author("agent" if ours else "customer", id=did),
        direction="outbound" if ours else "inbound",
        flags=["echo"] if ours else [],
        identities=[] if ours else identities(bluesky=did),
        in_reply_to=fields.key(record, "reply", "parent", "uri"),
        language=languages[0].partition("-")[0][:8] if languages else None,
        attributes={"public": True},
        vendor={"uri": uri},
    )


def _say(event: Normalised, record: dict[str, Any], collection: str, did: str) -> None:
    """A like or repost says nothing of its own: it names the post, and opens nothing."""
    if collection in _REACTIONS:
        event.in_reply_to = fields.key(record, "subject", "uri")
        event.flags = [*event.flags, "suppress"]
        event.attributes |= {"reaction": {"name": _REACTIONS[collection]}}
        return
    event.text = fields.text(record, "text")
    media = fields.obj(record, "embed", "media") or fields.obj(record, "embed")
    files = [*fields.items(media, "images"), *([media] if fields.obj(media, "video") else [])]
    for each in files:
        blob = fields.obj(each, "image") or fields.obj(each, "video")
        link = fields.key(blob, "ref", "$link")
        if link:
            kind, size = fields.text(blob, "mimeType"), fields.integer(blob, "size")
            name = fields.text(each, "alt")
            event.attachments.append(Attachment(name, kind, size, vendor_id=f"{did}/{link}"))
    link = fields.text(record, "embed", "external", "uri")
    if not event.text and not event.attachments:
        event.text, event.generated = link or "(empty post)", True
        event.flags = [*event.flags, *([] if link else ["unsupported"])]


_SESSION = Grant(
    "https://bsky.social/xrpc/com.atproto.server.createSession",
    {"identifier": "{app_password_user}", "password": "{app_password_word}"},
    json=True,
    token="accessJwt",
    lasts_s=3600,
)


def _row(notice: dict[str, Any]) -> Row:
    return Row(fields.key(notice, "indexedAt") or "", fields.key(notice, "uri") or "", notice)


def _blob(names: Mapping[str, str], _: str | None, __: int) -> Ask | None:
    """A picture or film, by its author's DID and its CID."""
    did, _, cid = names.get("vendor_id", "").rpartition("/")
    if not did or not cid:
        raise Unfilled(["vendor_id"])
    url = "https://bsky.social/xrpc/com.atproto.sync.getBlob"
    return Ask(f"{url}?{urlencode({'did': did, 'cid': cid})}")


def examples() -> tuple[Example, ...]:
    at_us = parse_instant("2026-03-02T09:30:00Z")

    def one(
        name: str, operation: str, record: Any, event: str, revises: str | None = None
    ) -> Example:
        commit = {
            "rev": f"rev-{name}",
            "operation": operation,
            "collection": _POST,
            "rkey": "3kexample",
            **({"record": record} if record else {}),
        }
        payload = {"did": "did:plc:kim", "time_us": at_us - 900_000, "kind": "commit"}
        return Example(name, posted({**payload, "commit": commit}, at_us), {}, (event,), revises)

    post = {"$type": _POST, "text": "@shop is it vegan?", "createdAt": "2026-03-02T09:29:59Z"}
    other = {**post, "text": "@shop thanks"}
    uri = "at://did:plc:kim/app.bsky.feed.post/3kother"
    notice = {"uri": uri, "cid": "c1", "author": {"did": "did:plc:kim"}, "record": other}
    page = {"notifications": [{**notice, "reason": "mention"}]}
    return (
        one("create", "create", post, interactions.MESSAGE),
        one("update", "update", {**post, "text": "Vegan?"}, interactions.MESSAGE_EDITED, "create"),
        one("delete", "delete", None, interactions.MESSAGE_DELETED, "create"),
        Example("polled", posted(page, at_us), {}, (interactions.MESSAGE,)),
    )


CONNECTOR = Connector(
    kind="bluesky_jetstream",
    channel="social",
    title="Bluesky",
    setup=SETUP,
    signature=Unsigned(),
    parse=parse,
    examples=examples,
    settings=BlueskySettings,
    secrets={"app_password": "Handle and app password joined by «:», for polling."},
    retry_horizon_s=3650 * DAY_S,
    fetches=(
        Fetch(
            "poll",
            "GET https://bsky.social/xrpc/app.bsky.notification.listNotifications"
            "?reasons=mention&reasons=reply&limit=100",
            secret="app_password",
            cursor="the newest indexedAt",
            every_s=60,
            grant=_SESSION,
            read=newest_first("notifications", _row, "indexedAt", "cursor", "cursor"),
        ),
        Fetch(
            "media",
            "GET https://bsky.social/xrpc/com.atproto.sync.getBlob",
            prepare=_blob,
            read=file,
        ),
    ),
)
