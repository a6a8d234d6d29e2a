"""Facebook Messenger: messages to a page, by Meta's webhooks.

https://developers.facebook.com/docs/messenger-platform/webhooks
"""

import json
from typing import Any

from pydantic import Field

from services.channels.connectors import fields, meta
from services.channels.connectors.fetching import MEDIA_BY_URL
from services.channels.connectors.port import (
    Connector,
    Context,
    Example,
    InboundRequest,
    Parsed,
    Settings,
)
from services.channels.connectors.signatures import HUB_SIGNATURE_256
from services.channels.connectors.social import page_feed
from services.channels.connectors.social.meta_messaging import read_change, read_item
from shared.contracts import interactions
from shared.contracts.instants import parse_instant


class MessengerSettings(Settings):
    page_id: str | None = Field(default=None, description="The page, as a check on what arrives.")


SETUP = """\
1. In the Meta app, add Messenger and a webhook with the connector's inbound URL and your
   `verify_token`; Meta tests it at once.
2. Subscribe the page to `messages`, `message_edits`, `message_echoes`, `message_reactions`,
   `messaging_postbacks`, `message_deliveries`, `message_reads`, `standby`; for what the public writes
   on the page also to `feed`, `mention` and `ratings`.
3. Put the app's secret into `app_secret`; a list of two while you rotate it.
"""


def parse(request: InboundRequest, settings: MessengerSettings, _: Context) -> Parsed:
    parsed = Parsed()
    payload = fields.decode_json(request.body, parsed)
    if payload is None:
        return parsed
    if "messaging" in fields.obj(payload) or "standby" in fields.obj(payload):
        payload = {"entry": [payload]}
    for entry in meta.entries(payload, parsed):
        _entry(entry, settings, parsed)
    return parsed


def _entry(entry: dict[str, Any], settings: MessengerSettings, parsed: Parsed) -> None:
    page = fields.key(entry, "id") or settings.page_id
    if settings.page_id and page != settings.page_id:
        parsed.note("other_account", f"An entry is for page {page}, not {settings.page_id}.")
    found = False
    for name in ("messaging", "standby"):
        for raw in fields.items(entry, name):
            found = True
            read_item(raw, "messenger", page, name == "standby", parsed)
    for change in fields.items(entry, "changes"):
        found = True
        field = fields.text(change, "field") or "?"
        if field in page_feed.FIELDS:
            page_feed.read_change(entry, page or "", change, parsed)
        elif not read_change(change, "messenger", page, parsed):
            parsed.note("not_an_interaction", f"The change of {field[:64]!r} is no message.")
    if not found and any(entry.get(name) == [] for name in ("messaging", "standby", "changes")):
        parsed.note("not_an_interaction", "An entry without messages.")
    elif not found:
        parsed.lose("unusable_payload", "An entry holds neither messages nor changes.")


URL = "https://omniroute.example/v1/workspaces/demo/connectors/page/inbound"
APP_SECRET = "example-app-secret"
VERIFY_TOKEN = "example-verify-token"
_SECRETS = {"app_secret": (APP_SECRET,), "verify_token": (VERIFY_TOKEN,)}
_PAGE, _PSID = "700000000000001", "800000000000002"


def sign(
    payload: dict[str, Any], received_at_us: int, *, url: str = URL, secret: str = APP_SECRET
) -> InboundRequest:
    """A payload of ours as the request that Meta would send."""
    body = json.dumps(payload, separators=(",", ":")).encode()
    headers = (
        ("Content-Type", "application/json"),
        (HUB_SIGNATURE_256.header, HUB_SIGNATURE_256.sign(secret, body)),
    )
    return InboundRequest("POST", url, headers, body, received_at_us)


def payload_of(item: dict[str, Any], at_us: int, *, standby: bool = False) -> dict[str, Any]:
    """A page's payload with one messaging item, sent by a customer unless the item says who."""
    filled = {
        "sender": {"id": _PSID},
        "recipient": {"id": _PAGE},
        "timestamp": at_us // 1000,
        **item,
    }
    entry = {"id": _PAGE, "time": at_us // 1000, "standby" if standby else "messaging": [filled]}
    return {"object": "page", "entry": [entry]}


def examples() -> tuple[Example, ...]:
    at_us = parse_instant("2026-03-02T09:30:00Z")

    def one(
        name: str,
        event: str,
        item: dict[str, Any],
        *,
        revises: str | None = None,
        standby: bool = False,
    ) -> Example:
        request = sign(payload_of(item, at_us, standby=standby), at_us + 400_000)
        return Example(name, request, _SECRETS, (event,), revises)

    photo = {"type": "image", "payload": {"url": "https://cdn.example/photo.jpg"}}
    page_writes = {"sender": {"id": _PAGE}, "recipient": {"id": _PSID}}
    return (
        one("text", interactions.MESSAGE, {"message": {"mid": "m_1", "text": "Where is it?"}}),
        one("photo", interactions.MESSAGE, {"message": {"mid": "m_2", "attachments": [photo]}}),
        one(
            "edit",
            interactions.MESSAGE_EDITED,
            {"message_edit": {"mid": "m_1", "text": "Where is my parcel?", "num_edit": 1}},
            revises="text",
        ),
        one(
            "deleted",
            interactions.MESSAGE_DELETED,
            {"message": {"mid": "m_1", "is_deleted": True}},
            revises="text",
        ),
        one(
            "echo",
            interactions.MESSAGE,
            {**page_writes, "message": {"mid": "m_3", "text": "On its way", "is_echo": True}},
        ),
        one(
            "postback",
            interactions.MESSAGE,
            {"postback": {"mid": "m_4", "title": "Talk to us", "payload": "HUMAN"}},
        ),
        one(
            "reaction",
            interactions.MESSAGE,
            {"reaction": {"mid": "m_3", "action": "react", "reaction": "love", "emoji": "❤"}},
        ),
        one("delivery", interactions.DELIVERY_STATUS, {"delivery": {"mids": ["m_3"]}}),
        one("read", interactions.DELIVERY_STATUS, {"read": {"watermark": at_us // 1000}}),
        one(
            "standby",
            interactions.MESSAGE,
            {"message": {"mid": "m_5", "text": "Hello again"}},
            standby=True,
        ),
    )


CONNECTOR = Connector(
    kind="messenger",
    channel="social",
    title="Facebook Messenger",
    setup=SETUP,
    signature=HUB_SIGNATURE_256,
    parse=parse,
    examples=examples,
    settings=MessengerSettings,
    secrets=meta.SECRETS,
    handshake=meta.handshake,
    handshakes=meta.handshakes,
    answers=meta.ANSWERS,
    retry_horizon_s=meta.RETRY_HORIZON_S,
    max_body_bytes=meta.MAX_BODY_BYTES,
    fetches=(MEDIA_BY_URL,),
)
