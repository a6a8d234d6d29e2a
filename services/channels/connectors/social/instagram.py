"""Instagram: direct messages, comments and mentions of a professional account, by Meta's webhooks.

https://developers.facebook.com/docs/instagram-platform/webhooks
"""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from pydantic import Field

from services.channels.connectors import fields, meta
from services.channels.connectors.fetching import MEDIA_BY_URL, payload, posted
from services.channels.connectors.identities import identities
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
from services.channels.connectors.reading import moment, payload_of
from services.channels.connectors.signatures import HUB_SIGNATURE_256
from services.channels.connectors.social.meta_messaging import read_change, read_item
from shared.contracts import interactions
from shared.contracts.instants import SECOND_US, parse_instant
from shared.contracts.interactions import Author
from shared.fetching.ask import Ask


class InstagramSettings(Settings):
    account_id: str | None = Field(
        default=None, description="The account's id, as a check on what arrives."
    )


SETUP = """\
1. In the Meta app, add Instagram and a webhook with the connector's inbound URL and your
   `verify_token`; Meta tests it at once.
2. Subscribe to `messages`, `message_edit`, `message_reactions`, `messaging_postbacks`,
   `messaging_seen`, `standby`, `comments`, `live_comments`, `mentions`.
3. Put the app's secret into `app_secret`; a list of two while you rotate it.

A mention brings ids only; its words are fetched with `access_token`.
"""


def parse(request: InboundRequest, settings: InstagramSettings, _: Context) -> Parsed:
    parsed = Parsed()
    payload = payload_of(request, parsed)
    if not payload:
        return parsed
    for entry in meta.entries(payload, parsed):
        _entry(entry, settings, parsed)
    return parsed


def _entry(entry: dict[str, Any], settings: InstagramSettings, parsed: Parsed) -> None:
    account = fields.key(entry, "id") or settings.account_id or ""
    if settings.account_id and account != settings.account_id:
        parsed.note("other_account", f"An entry is for account {account}.")
    found = False
    for name in ("messaging", "standby"):
        for raw in fields.items(entry, name):
            found = True
            read_item(raw, "instagram", account, name == "standby", parsed)
    for change in fields.items(entry, "changes"):
        found = True
        _change(entry, account, change, parsed)
    if not found and any(entry.get(name) == [] for name in ("messaging", "standby", "changes")):
        parsed.note("not_an_interaction", "An entry without messages.")
    elif not found:
        parsed.lose("unusable_payload", "An entry holds neither messages nor changes.")


def _change(entry: dict[str, Any], account: str, change: dict[str, Any], parsed: Parsed) -> None:
    field, value = fields.text(change, "field") or "?", fields.obj(change, "value")
    if read_change(change, "instagram", account, parsed):
        return
    if field in ("comments", "live_comments"):
        _comment(entry, account, value, parsed)
    elif field == "mentions":
        _mention(account, value, parsed)
    else:
        parsed.note("not_an_interaction", f"The change of {field[:64]!r} is no interaction.")


def _comment(entry: dict[str, Any], account: str, value: dict[str, Any], parsed: Parsed) -> None:
    """A comment below one of the account's media; each thread of comments is a conversation."""
    number, person = fields.key(value, "id"), fields.obj(value, "from")
    if number is None:
        parsed.lose("missing_id", "A comment has no id.")
        return
    who = fields.key(person, "id")
    parent = fields.key(value, "parent_id")
    own = who is not None and who in (account, fields.key(value, "from", "self_ig_scoped_id"))
    text = fields.text(value, "text")
    event = Normalised(
        vendor_id=f"comment:{number}",
        conversation_key=f"{account}:comment:{parent or number}",
        occurred_at_us=moment(value, "timestamp") or moment(entry, "time"),
        author=Author("agent" if own else "customer", fields.text(person, "username"), who),
        direction="outbound" if own else "inbound",
        flags=["echo"] if own else [],
        text=text or "(unsupported comment)",
        generated=text is None,
        in_reply_to=parent,
        identities=[]
        if own
        else identities(instagram=who, instagram_username=fields.text(person, "username")),
        vendor=fields.known(
            comment_id=number,
            parent_id=parent,
            media_id=fields.key(value, "media", "id"),
            account_id=account,
            kind="comment",
        ),
        attributes={"public": True},
    )
    if text is None:
        event.flags = [*event.flags, "unsupported"]
    parsed.events.append(event)


def _mention(account: str, value: dict[str, Any], parsed: Parsed) -> None:
    """Somebody names the account below, or in, media of their own: only the ids are told."""
    media, comment = fields.key(value, "media_id"), fields.key(value, "comment_id")
    if media is None:
        parsed.lose("missing_id", "A mention has no media_id.")
        return
    ids = {"account_id": account, "media_id": media}
    if comment:
        ids["comment_id"] = comment
    parsed.want("message", f"mention:{comment or media}", **ids)


def _ask_mention(names: Mapping[str, str], _: str | None, __: int) -> Ask | None:
    """The comment that names the account, or the caption."""
    number = names.get("comment_id")
    wanted = (
        f"mentioned_comment.comment_id({number}){{id,text,timestamp,from}}"
        if number
        else f"mentioned_media.media_id({names.get('media_id')}){{id,caption,timestamp,username}}"
    )
    account = quote(names.get("account_id", ""), safe="")
    return Ask(f"https://graph.facebook.com/v23.0/{account}?{urlencode({'fields': wanted})}")


def _mentioned(told: Told) -> Page:
    """The words as the webhook of a comment would have told them."""
    found, account = payload(told), told.ids.get("account_id", "")
    comment, media = fields.obj(found, "mentioned_comment"), fields.obj(found, "mentioned_media")
    if not comment and not media:
        return Page(lost="Instagram's answer holds no mention.")
    person = fields.obj(comment, "from") or {"username": fields.text(media, "username")}
    number = fields.key(comment, "id") or f"mention:{fields.key(media, 'id')}"
    value = {
        "id": number,
        "text": fields.text(comment, "text") or fields.text(media, "caption"),
        "timestamp": fields.text(comment, "timestamp") or fields.text(media, "timestamp"),
        "from": person,
        "media": {"id": told.ids.get("media_id")},
    }
    change = {"field": "comments", "value": value}
    entry = {"id": account, "time": told.at_us // SECOND_US, "changes": [change]}
    return Page(payloads=[posted({"object": "instagram", "entry": [entry]})])


APP_SECRET, VERIFY_TOKEN = "example-app-secret", "example-verify-token"
URL = "https://omniroute.example/v1/workspaces/demo/connectors/instagram/inbound"
_SECRETS = {"app_secret": (APP_SECRET,), "verify_token": (VERIFY_TOKEN,)}
_ACCOUNT, _PERSON = "17840000000000001", "900000000000002"


def sign(payload: dict[str, Any], received_at_us: int) -> InboundRequest:
    """A payload of ours as the request that Meta would send."""
    body = json.dumps(payload, separators=(",", ":")).encode()
    headers = (
        ("Content-Type", "application/json"),
        (HUB_SIGNATURE_256.header, HUB_SIGNATURE_256.sign(APP_SECRET, body)),
    )
    return InboundRequest("POST", URL, headers, body, received_at_us)


def examples() -> tuple[Example, ...]:
    at_us = parse_instant("2026-03-02T09:30:00Z")

    def one(name: str, events: tuple[str, ...], revises: str | None = None, **part: Any) -> Example:
        entry = {"id": _ACCOUNT, "time": at_us // 1_000_000, **part}
        request = sign({"object": "instagram", "entry": [entry]}, at_us + 400_000)
        return Example(name, request, _SECRETS, events, revises)

    def said(**item: Any) -> list[dict[str, Any]]:
        people = {"sender": {"id": _PERSON}, "recipient": {"id": _ACCOUNT}}
        return [{**people, "timestamp": at_us // 1000, **item}]

    comment = {"id": "c1", "text": "In my size?", "from": {"id": _PERSON, "username": "kim"}}
    text = {"mid": "ig_1", "text": "Is it in stock?"}
    message = (interactions.MESSAGE,)
    return (
        one("text", message, messaging=said(message=text)),
        one(
            "edit",
            (interactions.MESSAGE_EDITED,),
            "text",
            messaging=said(message_edit={"mid": "ig_1", "text": "In stock?", "num_edit": 1}),
        ),
        one(
            "unsent",
            (interactions.MESSAGE_DELETED,),
            "text",
            messaging=said(message={"mid": "ig_1", "is_deleted": True}),
        ),
        one("standby", message, standby=said(message={"mid": "ig_2", "text": "Hello?"})),
        one("seen", (interactions.DELIVERY_STATUS,), messaging=said(read={"mid": "ig_0"})),
        one("comment", message, changes=[{"field": "comments", "value": comment}]),
        one("mention", (), changes=[{"field": "mentions", "value": {"media_id": "m7"}}]),
    )


CONNECTOR = Connector(
    kind="instagram",
    channel="social",
    title="Instagram",
    setup=SETUP,
    signature=HUB_SIGNATURE_256,
    parse=parse,
    examples=examples,
    settings=InstagramSettings,
    secrets={
        **meta.SECRETS,
        "access_token": "For mentions' words. Not needed to receive messages.",
    },
    handshake=meta.handshake,
    handshakes=meta.handshakes,
    answers=meta.ANSWERS,
    retry_horizon_s=meta.RETRY_HORIZON_S,
    max_body_bytes=meta.MAX_BODY_BYTES,
    fetches=(
        Fetch(
            "message",
            "GET https://graph.facebook.com/v23.0/{account_id}",
            secret="access_token",
            prepare=_ask_mention,
            read=_mentioned,
        ),
        MEDIA_BY_URL,
    ),
)
