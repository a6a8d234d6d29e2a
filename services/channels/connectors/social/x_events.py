"""What X's two webhooks share: the CRC handshake, the signature, direct messages, examples.

https://docs.x.com/x-api/webhooks/quickstart
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from services.channels.connectors import fields
from services.channels.connectors.fetching import filled
from services.channels.connectors.identities import identities
from services.channels.connectors.port import (
    Answer,
    Example,
    Fetch,
    HandshakeExample,
    Handshaken,
    InboundRequest,
    Normalised,
    Page,
    Parsed,
    Secrets,
    Settings,
    Told,
)
from services.channels.connectors.posting import signed
from services.channels.connectors.reading import given, moment
from services.channels.connectors.signatures import BodyHmac
from shared.contracts.instants import SECOND_US
from shared.contracts.interactions import Attachment, Author
from shared.fetching.ask import Ask

_DATE = "%Y%m%d%H%M"
_FIRST_REPLAY_S = 3600


def replay(request: str) -> Fetch:
    """X sends what the webhook missed once more, to the webhook: all that is asked for is that it do."""

    def prepare(names: Mapping[str, str], cursor: str | None, at_us: int) -> Ask | None:
        since, until = cursor or _minute(at_us, _FIRST_REPLAY_S), _minute(at_us)
        if since >= until:
            return None
        url = filled(request.partition(" ")[2], names)
        return Ask(f"{url}?from_date={since}&to_date={until}", "POST")

    def read(told: Told) -> Page:
        return Page(cursor=_minute(told.at_us))

    return Fetch(
        "reconcile",
        request,
        secret="bearer_token",
        cursor="the minute up to which was replayed",
        every_s=3600,
        prepare=prepare,
        read=read,
    )


def _minute(at_us: int, before_s: int = 0) -> str:
    return datetime.fromtimestamp(at_us / SECOND_US - before_s, UTC).strftime(_DATE)


SIGNATURE = BodyHmac(
    "consumer_secret", "X-Twitter-Webhooks-Signature", encoding="base64", prefix="sha256="
)
SECRETS = {"consumer_secret": "API secret key (consumer secret) of the X app: signs each request."}
SECRET = {"consumer_secret": ("example-consumer-secret",)}
_JSON = (("Content-Type", "application/json"),)


def handshake(request: InboundRequest, secrets: Secrets, _: Settings) -> Handshaken | None:
    """CRC: the token, signed with the consumer secret (during rotation the first, the new one)."""
    token = request.argument("crc_token")
    if request.method.upper() != "GET" or token is None:
        return None
    known = secrets.get("consumer_secret", ())
    if not known:
        return Handshaken("none", Answer(200, "{}", _JSON))
    signature = SIGNATURE.sign(known[0], token.encode("utf-8", "surrogatepass"))
    return Handshaken("valid", Answer(200, json.dumps({"response_token": signature}), _JSON))


def handshakes() -> tuple[HandshakeExample, ...]:
    request = InboundRequest("GET", "https://omniroute.example/inbound?crc_token=c-42", (), b"", 0)
    token = SIGNATURE.sign("example-consumer-secret", b"c-42")
    answer = Answer(200, json.dumps({"response_token": token}), _JSON)
    return (HandshakeExample("crc", request, SECRET, answer),)


def example(
    name: str, payload: dict[str, Any], at_us: int, *events: str, revises: str | None = None
) -> Example:
    """A payload of ours as X would send it."""
    request = signed(SIGNATURE, "example-consumer-secret", payload, at_us)
    return Example(name, request, SECRET, events, revises)


def person_of(users: Any, number: str | None) -> dict[str, Any]:
    """A user out of a map by id (each may be wrapped in `data`) or out of a list."""
    if number is None:
        return {}
    found = fields.obj(users, number) if isinstance(users, dict) else {}
    for each in users if isinstance(users, list) else []:
        inner = fields.obj(each, "data") or each
        if fields.key(inner, "id") == number:
            found = inner
    return fields.obj(found, "data") or found


def named(number: str | None, person: dict[str, Any]) -> tuple[Author, list[Any]]:
    """A customer as author, with identities."""
    handle = fields.text(person, "username") or fields.text(person, "screen_name")
    return (
        Author("customer", fields.text(person, "name"), number),
        identities(x=number, x_username=handle),
    )


def readable(parsed: Parsed) -> None:
    """X writes &amp;, &lt; and &gt; for what people typed: `text` is as given, `reply_text` as typed."""
    for event in parsed.events:
        if event.text and "&" in event.text:
            typed = _ESCAPED.sub(lambda found: _TYPED[found[0]], event.text)
            event.reply_text = typed if typed != event.text else None


_TYPED = {"&amp;": "&", "&lt;": "<", "&gt;": ">"}
_ESCAPED = re.compile("&(?:amp|lt|gt);")


def direct_message(raw: dict[str, Any], owner: str | None, users: Any, parsed: Parsed) -> None:
    """Append a `message_create` of direct_message_events; `owner` is the account it is for."""
    number, create = fields.key(raw, "id"), fields.obj(raw, "message_create")
    sender = fields.key(create, "sender_id")
    recipient = fields.key(create, "target", "recipient_id")
    if number is None or sender is None:
        missing = "id" if number is None else "sender"
        parsed.lose(f"missing_{missing}", f"A direct message has no {missing}.")
        return
    ours = owner is not None and sender == owner
    customer, account = (recipient, sender) if ours else (sender, owner or recipient)
    if customer is None:
        parsed.lose("missing_recipient", "A direct message of ours does not say to whom.")
        return
    data = fields.obj(create, "message_data")
    event = Normalised(
        vendor_id=f"dm:{number}",
        message_key=f"dm:{number}",
        conversation_key=f"{account}:dm:{customer}",
        occurred_at_us=moment(raw, "created_timestamp"),
        text=fields.text(data, "text"),
        attachments=_media(fields.obj(data, "attachment", "media")),
        vendor=given(raw, "id", "created_timestamp")
        | fields.known(sender_id=sender, recipient_id=recipient, for_user_id=owner),
        attributes=fields.known(
            button=fields.text(data, "quick_reply_response", "metadata"),
            ctas=[fields.text(each, "url") for each in fields.items(data, "ctas")],
        ),
    )
    event.author, people = named(sender, person_of(users, sender))
    if ours:
        event.author.role, event.direction, event.flags = "agent", "outbound", ["echo"]
    else:
        event.identities = people
    if not event.text and not event.attachments:
        event.text, event.generated, event.flags = "(empty message)", True, ["unsupported"]
    parsed.events.append(event)


def _media(raw: dict[str, Any]) -> list[Attachment]:
    """A picture, or the best of a film's variants."""
    variants = [
        each
        for each in fields.items(raw, "video_info", "variants")
        if fields.text(each, "url") and fields.text(each, "content_type") == "video/mp4"
    ]
    if variants:
        best = max(variants, key=lambda each: fields.number(each, "bitrate") or 0.0)
        url, kind = fields.text(best, "url"), "video/mp4"
    else:
        url = fields.text(raw, "media_url_https") or fields.text(raw, "media_url")
        kind = "image/*"
    number = fields.key(raw, "id_str") or fields.key(raw, "id")
    return [Attachment(content_type=kind, url=url, vendor_id=number)] if url else []


def media_of(tweet: dict[str, Any]) -> list[Attachment]:
    """The pictures and films of a tweet of the older format."""
    source = fields.obj(tweet, "extended_entities") or fields.obj(tweet, "entities")
    return [file for each in fields.items(source, "media") for file in _media(each)]
