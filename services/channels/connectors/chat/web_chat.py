"""Our own web chat: posted by your server with Standard Webhooks, or by a browser with a JWT.

The shape is that of `plain`; `sequence` counts up in each conversation.
"""

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from services.channels.connectors import fields, plain
from services.channels.connectors.bearer import bearer_of, hs256, in_time
from services.channels.connectors.port import (
    Connector,
    Context,
    Example,
    InboundRequest,
    Parsed,
    Secrets,
    Settings,
    Verdict,
)
from services.channels.connectors.posting import standard
from services.channels.connectors.reading import given
from services.channels.connectors.signatures import AnyOf, StandardWebhooks
from shared.contracts import interactions
from shared.contracts.instants import SECOND_US, parse_instant

MAX_TOKEN_LIFE_S = 3600
STREAM = "omniroute-stream:"
"""How the audience of a stream's ticket begins: it lets nobody speak."""
_SKEW_S = 60
VISITOR_LATE_S = 300
"""How far back a visitor may date what he says: by its time a message waits, and he would go before all
who wrote before him. What is older counts from its arrival; the site's own server may say otherwise."""

SETUP = """\
From your server: POST to the connector's inbound URL, signed as Standard Webhooks say (headers
`webhook-id`, `webhook-timestamp`, `webhook-signature`) with `signing_secret`.

From a browser: your server gets a token for its visitor (`POST connectors/{id}/chat-tokens` with the
conversation, the visitor's id, name and identities), or makes one itself: a JWT (HS256, with
`browser_key`) with `sub` (the visitor's id), `conversation`, `iat` and `exp`, at most an hour apart.
The page sends it as `Authorization: Bearer …`, posts to `connectors/{id}/chat/messages` and reads
there what was said (`?after=SEQUENCE&wait=25`), or opens `connectors/{id}/chat/stream` (Server-Sent
Events, resumed by `Last-Event-ID` or `?after=SEQUENCE`); for an EventSource, which sends no token, the
page gets a `?ticket=` by `POST connectors/{id}/chat/stream-tickets`, good for a minute. List the page's origin under `origins`. The inbound
URL takes such a token as well. A page can only speak as that visitor in that conversation: its
`author` is left out or has that id, it states no identities, flags or html, and a `time` more than
five minutes back counts as the arrival.

Body: `{"id": "<made by the client>", "conversation": "c-1", "sequence": 1, "time": "…",
"text": "Hello"}`, or `{"events": [ … ]}`. `type` is message (the default), edit, delete (both with
`replaces`), start, end, status or feedback. Repeating an `id` is safe: it counts once.
"""

Origin = Annotated[str, Field(max_length=255, pattern=r"^https?://[a-z0-9.-]+(:[0-9]{1,5})?$")]


class WebChatSettings(Settings):
    origins: tuple[Origin, ...] = Field(
        default=(),
        max_length=50,
        description="Origins of the pages that may chat from a browser, such as https://shop.example.",
    )


_SERVER = StandardWebhooks()
_NOT_FROM_BROWSERS = ("identities", "flags", "html", "direction", "delivery_status")


@dataclass(frozen=True, slots=True)
class BrowserToken:
    """A short-lived JWT that lets one visitor speak in one conversation."""

    secret_names: tuple[str, ...] = ("browser_key",)

    def verify(self, request: InboundRequest, secrets: Secrets) -> Verdict:
        known = secrets.get("browser_key", ())
        if not known:
            return "none"
        claims = claims_of(bearer_of(request) or "", known, request.received_at_us)
        if claims is None or str(claims.get("aud")).startswith(STREAM):
            return "invalid"
        payload = fields.decode_json(request.body, Parsed())
        spoken = plain.unwrapped(payload)
        return "valid" if all(_allowed(each, claims) for each in spoken) else "invalid"


def claims_of(token: str, keys: tuple[str, ...], now_us: int) -> dict[str, Any] | None:
    """What a visitor's token says; None for one that is forged, expired or lives too long."""
    claims = hs256(token, keys)
    return claims if claims is not None and _short_lived(claims, now_us) else None


def _short_lived(claims: dict[str, Any], received_at_us: int) -> bool:
    start, end = fields.number(claims, "iat"), fields.number(claims, "exp")
    if start is None or end is None or end - start > MAX_TOKEN_LIFE_S:
        return False
    return in_time(claims, received_at_us, _SKEW_S)


def _allowed(raw: dict[str, Any], claims: dict[str, Any]) -> bool:
    """Whether a page may say this. Anything else could be said in another's name."""
    key = fields.key(raw, "conversation_key") or fields.key(raw, "conversation")
    visitor, author = fields.key(claims, "sub"), raw.get("author")
    mine = key is not None and key == fields.key(claims, "conversation")
    if not mine or visitor is None or any(name in raw for name in _NOT_FROM_BROWSERS):
        return False
    if author is None:
        return True
    role, own = fields.at(author, "role"), fields.key(author, "id")
    return isinstance(author, dict) and role in (None, "customer") and own in (None, visitor)


def parse(request: InboundRequest, _: Settings, context: Context) -> Parsed:
    parsed = Parsed()
    payload = fields.decode_json(request.body, parsed)
    found = plain.unwrapped(payload)
    by_visitor = bearer_of(request) is not None
    if not found and not parsed.problems:
        parsed.lose("unusable_payload", "The body holds no event.")
    for raw in found:
        if fields.key(raw, "id") is None:
            parsed.lose("missing_id", "An event has no id; the client is to make one.")
            continue
        before = len(parsed.events)
        plain.read(_placed(raw), parsed)
        for event in parsed.events[before:]:
            if by_visitor and is_backdated(event.occurred_at_us, context.received_at_us):
                event.occurred_at_us = None
            event.vendor |= given(raw, "id")
            event.original_id = fields.key(raw, "replaces") if event.replaces else None
    return parsed


def is_backdated(occurred_at_us: int | None, received_at_us: int) -> bool:
    """Whether it is further back than a visitor may say."""
    late_us = VISITOR_LATE_S * SECOND_US
    return occurred_at_us is not None and received_at_us - occurred_at_us > late_us


def _placed(raw: dict[str, Any]) -> dict[str, Any]:
    """Ids are made by each client, so they count within their conversation only: no id of one may
    reach into another whose key goes on after a colon."""
    key = fields.key(raw, "conversation_key") or fields.key(raw, "conversation") or ""
    key = key.replace("%", "%25").replace(":", "%3A")
    author = fields.obj(raw, "author")
    lent: dict[str, Any] = {"id": f"{key}:{fields.key(raw, 'id')}"}
    if raw.get("replaces") is not None:
        lent["replaces"] = f"{key}:{fields.key(raw, 'replaces')}"
    visitor = fields.key(author, "id")
    if visitor and fields.text(author, "role") in (None, "customer"):
        known = raw.get("identities")
        own = {"scheme": "web_chat", "value": visitor}
        lent["identities"] = [own, *(known if isinstance(known, list) else [])]
    return {**raw, **lent}


def examples() -> tuple[Example, ...]:
    at_us = parse_instant("2026-03-02T09:20:00Z")
    secret = "whsec_ZXhhbXBsZS1zaWduaW5nLXNlY3JldA=="

    def one(number: int, name: str, event: str, revises: str | None = None, **raw: Any) -> Example:
        payload = {
            "id": f"m-{number}",
            "conversation": "c-1",
            "sequence": number,
            "time": "2026-03-02T09:19:59Z",
            "author": {"role": "customer", "id": "visitor-1", "name": "Kim"},
            **raw,
        }
        request = standard(_SERVER, secret, f"d-{number}", payload, at_us)
        return Example(name, request, {"signing_secret": (secret,)}, (event,), revises)

    gone = {"type": "delete", "replaces": "m-2"}
    return (
        one(1, "start", interactions.CONVERSATION_STARTED, type="start"),
        one(2, "text", interactions.MESSAGE, text="Do you deliver to Graz?"),
        one(
            3,
            "edit",
            interactions.MESSAGE_EDITED,
            "text",
            type="edit",
            replaces="m-2",
            text="Do you deliver to Linz?",
        ),
        one(4, "delete", interactions.MESSAGE_DELETED, "text", **gone),
        one(5, "feedback", interactions.FEEDBACK, type="feedback", score=5, comment="Quick"),
        one(6, "end", interactions.CONVERSATION_ENDED, type="end"),
    )


CONNECTOR = Connector(
    kind="web_chat",
    channel="chat",
    title="Web chat",
    setup=SETUP,
    signature=AnyOf((_SERVER, BrowserToken())),
    parse=parse,
    examples=examples,
    settings=WebChatSettings,
    secrets={
        "signing_secret": "Signs what your server posts (whsec_…).",
        "browser_key": "Signs the visitors' tokens (HS256); at least 32 characters.",
    },
    order_by="sequence",
)
