"""Sunshine Conversations (Zendesk): messages of many messaging apps, several events a request.

https://developer.zendesk.com/api-reference/conversations/#section/Webhooks
"""

from collections.abc import Callable
from typing import Any

from services.channels.connectors import fields
from services.channels.connectors.chat.sunshine_v1 import as_v2
from services.channels.connectors.email.markup import safe, to_text
from services.channels.connectors.fetching import MEDIA_BY_URL
from services.channels.connectors.identities import EMAIL, email, identities
from services.channels.connectors.port import (
    Connector,
    Context,
    Example,
    InboundRequest,
    Normalised,
    Parsed,
    Settings,
)
from services.channels.connectors.posting import posted
from services.channels.connectors.reading import digest_of, given, moment, payload_of
from services.channels.connectors.signatures import StaticToken
from shared.contracts import interactions
from shared.contracts.instants import parse_instant
from shared.contracts.interactions import Attachment, Author, Delivery

SETUP = """\
1. Create a Conversations integration (or `POST /v2/apps/{appId}/integrations/{id}/webhooks`) with
   the connector's inbound URL as target, version v2, and the triggers `conversation:message`,
   `conversation:create`, `conversation:postback`, `conversation:message:delivery:user`,
   `conversation:message:delivery:failure`, `conversation:remove`.
2. Put the webhook's secret into `webhook_secret`: it comes back in `X-API-Key`.

Messages of `author.type` business are our own and flagged as echo.
"""

_SIGNATURE = StaticToken("webhook_secret", "X-API-Key")


def parse(request: InboundRequest, _: Settings, __: Context) -> Parsed:
    parsed = Parsed()
    payload = payload_of(request, parsed)
    if not payload:
        return parsed
    if fields.text(payload, "trigger"):
        payload = {**payload, "events": as_v2(payload)}
    if not isinstance(payload.get("events"), list):
        parsed.lose("unusable_payload", "The payload has neither events nor a trigger.")
        return parsed
    app = fields.key(payload, "app", "id") or fields.key(payload, "app", "_id") or ""
    for raw in fields.items(payload, "events"):
        kind = fields.text(raw, "type") or "?"
        read = _READERS.get(kind)
        if read is None:
            parsed.note("not_an_interaction", f"The event {kind[:64]!r} is no interaction.")
        elif fields.key(raw, "payload", "conversation", "id") is None:
            parsed.lose("missing_conversation", f"The event {kind[:64]!r} has no conversation.")
        else:
            read(app, raw, fields.obj(raw, "payload"), parsed)
    if not payload["events"]:
        parsed.note("empty", "The request holds no events.")
    return parsed


def _event(app: str, raw: dict[str, Any], vendor_id: str | None = None) -> Normalised:
    body = fields.obj(raw, "payload")
    conversation = fields.key(body, "conversation", "id") or ""
    vendor = given(raw, "id", "type", "createdAt") | fields.known(
        app_id=app or None,
        conversation_id=conversation,
        message_id=fields.key(body, "message", "id"),
        user_id=fields.key(body, "user", "id"),
    )
    own = vendor_id or fields.key(raw, "id") or digest_of(raw.get("type"), raw.get("createdAt"))
    return Normalised(
        vendor_id=own,
        conversation_key=conversation,
        occurred_at_us=moment(body, "message", "received") or moment(raw, "createdAt"),
        vendor=vendor,
    )


def _person(event: Normalised, author: dict[str, Any], body: dict[str, Any]) -> None:
    user = fields.obj(author, "user") or fields.obj(body, "user")
    own = fields.key(author, "userId") or fields.key(user, "id")
    names = (fields.text(user, "profile", "givenName"), fields.text(user, "profile", "surname"))
    name = fields.text(author, "displayName") or " ".join(part for part in names if part)
    event.author = Author("customer", name or None, own)
    known = {
        "sunshine": own,
        "external": fields.key(user, "externalId"),
        EMAIL: email(fields.text(user, "profile", "email")),
    }
    event.identities = identities(**known)


def _message(app: str, raw: dict[str, Any], body: dict[str, Any], parsed: Parsed) -> None:
    message = fields.obj(body, "message")
    number = fields.key(message, "id")
    if number is None:
        parsed.lose("missing_id", "A message has no id.")
        return
    event = _event(app, raw, number)
    author = fields.obj(message, "author")
    if fields.text(author, "type") == "user":
        _person(event, author, body)
    else:
        role = "bot" if fields.at(author, "subtypes") == ["AI"] else "agent"
        event.author = Author(role, fields.text(author, "displayName"))
        event.direction, event.flags = "outbound", ["echo"]
    event.vendor |= fields.known(source=fields.text(message, "source", "type"))
    event.vendor |= fields.known(original_id=fields.key(message, "source", "originalMessageId"))
    quoted = fields.obj(message, "quotedMessage")
    event.in_reply_to = fields.key(quoted, "message", "id") or fields.key(
        quoted, "externalMessageId"
    )
    _say(event, fields.obj(message, "content"))
    parsed.events.append(event)


def _say(event: Normalised, content: dict[str, Any]) -> None:
    kind = fields.text(content, "type") or "?"
    event.text = fields.text(content, "text") or fields.text(content, "textFallback")
    marked = fields.text(content, "htmlText")
    event.text = event.text or fields.text(content, "markdownText")
    if marked and not event.text:
        event.text, event.html = to_text(marked).strip() or None, safe(marked)
    event.vendor["message_type"] = kind
    event.attributes = fields.known(payload=fields.text(content, "payload"))
    url = fields.text(content, "mediaUrl")
    if url:
        media, size = fields.text(content, "mediaType"), fields.integer(content, "mediaSize")
        name = fields.text(content, "altText")
        event.attachments = [Attachment(name=name, content_type=media, size=size, url=url)]
    if kind == "location":
        spot = fields.obj(content, "coordinates")
        place = f"{fields.number(spot, 'lat')}, {fields.number(spot, 'long')}"
        name = fields.text(content, "location", "name") or fields.text(
            content, "location", "address"
        )
        event.text = f"Location: {name} ({place})" if name else f"Location: {place}"
        event.generated = True
    elif kind == "formResponse" and not event.text:
        lines = [_answer(each) for each in fields.items(content, "fields")]
        event.text = "\n".join(line for line in lines if line) or None
    elif kind in ("carousel", "list", "form") and not event.text:
        event.text, event.generated = _offered(content), True
    if not event.text and not event.attachments:
        event.text, event.generated = f"(unsupported message: {kind[:64]})", True
        event.flags = [*event.flags, "unsupported"]


def _offered(content: dict[str, Any]) -> str | None:
    """The cards of a carousel or list, or the questions of a form."""
    lines = [
        " – ".join(line for line in (fields.text(each, a), fields.text(each, b)) if line)
        for several, a, b in (("items", "title", "description"), ("fields", "label", "placeholder"))
        for each in fields.items(content, several)
    ]
    return "\n".join(line for line in lines if line) or None


def _answer(field: dict[str, Any]) -> str | None:
    name = fields.text(field, "label") or fields.text(field, "name")
    chosen = [fields.text(each, "label") for each in fields.items(field, "select")]
    value = fields.text(field, "text") or fields.text(field, "email") or ", ".join(map(str, chosen))
    return f"{name}: {value}" if name else value or None


def _postback(app: str, raw: dict[str, Any], body: dict[str, Any], parsed: Parsed) -> None:
    event = _event(app, raw)
    _person(event, {}, body)
    data = fields.text(body, "postback", "payload")
    event.text = fields.text(body, "postback", "text") or data or "(postback)"
    event.attributes = fields.known(postback=data)
    parsed.events.append(event)


def _statuses(status: Any) -> Callable[[str, dict[str, Any], dict[str, Any], Parsed], None]:
    def read(app: str, raw: dict[str, Any], body: dict[str, Any], parsed: Parsed) -> None:
        number = fields.key(body, "message", "id")
        if number is None:
            parsed.lose("missing_id", "A receipt has no message id.")
            return
        event = _event(app, raw)
        event.type, event.direction = interactions.DELIVERY_STATUS, "outbound"
        event.author = Author("system")
        error = fields.text(body, "error", "message") or fields.text(body, "error", "code")
        event.delivery_status = Delivery(message_id=number, status=status, error=error)
        parsed.events.append(event)

    return read


def _started(app: str, raw: dict[str, Any], body: dict[str, Any], parsed: Parsed) -> None:
    event = _event(app, raw)
    event.type = interactions.CONVERSATION_STARTED
    _person(event, {}, body)
    parsed.events.append(event)


def _removed(app: str, raw: dict[str, Any], body: dict[str, Any], parsed: Parsed) -> None:
    event = _event(app, raw)
    event.type, event.reason = interactions.CONVERSATION_ENDED, "ended"
    event.author = Author("system")
    parsed.events.append(event)


_READERS: dict[str, Callable[[str, dict[str, Any], dict[str, Any], Parsed], None]] = {
    "conversation:message": _message,
    "conversation:postback": _postback,
    "conversation:create": _started,
    "conversation:remove": _removed,
    "conversation:message:delivery:channel": _statuses("sent"),
    "conversation:message:delivery:user": _statuses("delivered"),
    "conversation:message:delivery:failure": _statuses("failed"),
}


def examples() -> tuple[Example, ...]:
    at_us = parse_instant("2026-03-02T09:20:00Z")
    secrets = {"webhook_secret": ("example-webhook-secret",)}

    def one(name: str, kind: str, event: str, **body: Any) -> Example:
        full = {"conversation": {"id": "c1", "type": "personal"}, **body}
        raw = {
            "id": f"e-{name}",
            "type": kind,
            "createdAt": "2026-03-02T09:19:59.440Z",
            "payload": full,
        }
        payload = {"app": {"id": "a1"}, "webhook": {"id": "w1", "version": "v2"}, "events": [raw]}
        header = (_SIGNATURE.header, "example-webhook-secret")
        return Example(name, posted(payload, at_us, header), secrets, (event,))

    kim = {"type": "user", "userId": "u1", "displayName": "Kim"}
    said = {"id": "m1", "author": kim, "content": {"type": "text", "text": "Hi"}}
    media = {"type": "image", "mediaUrl": "https://media.example/1.png", "mediaType": "image/png"}
    return (
        one(
            "text",
            "conversation:message",
            interactions.MESSAGE,
            message={**said, "source": {"type": "whatsapp"}},
        ),
        one(
            "image",
            "conversation:message",
            interactions.MESSAGE,
            message={"id": "m2", "author": kim, "content": media},
        ),
        one(
            "ours",
            "conversation:message",
            interactions.MESSAGE,
            message={**said, "id": "m3", "author": {"type": "business"}},
        ),
        one(
            "failed",
            "conversation:message:delivery:failure",
            interactions.DELIVERY_STATUS,
            message={"id": "m3"},
            error={"code": "unauthorized"},
        ),
        one("created", "conversation:create", interactions.CONVERSATION_STARTED, user={"id": "u1"}),
        one("removed", "conversation:remove", interactions.CONVERSATION_ENDED),
    )


CONNECTOR = Connector(
    kind="sunshine",
    channel="chat",
    title="Sunshine Conversations (Zendesk)",
    setup=SETUP,
    signature=_SIGNATURE,
    parse=parse,
    examples=examples,
    secrets={
        "webhook_secret": "The webhook's secret: comes back in X-API-Key.",
        "api_key": "Key id and secret joined by «:», for what was missed.",
    },
    covers_body=False,
    edits=False,
    fetches=(MEDIA_BY_URL,),
)
