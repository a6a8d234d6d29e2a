"""Mailgun: mail by a route's forward() or store(), in pieces or raw, and what became of ours.

The signature covers a timestamp and a token, not the mail: it proves freshness, no more.
https://documentation.mailgun.com/docs/mailgun/user-manual/receive-forward-store/receive-http
"""

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode

from services.channels.connectors import fields, forms
from services.channels.connectors.email import provided
from services.channels.connectors.email.bodies import File
from services.channels.connectors.email.email_mime import EmailSettings
from services.channels.connectors.fetching import file
from services.channels.connectors.port import (
    DAY_S,
    Answer,
    Answers,
    Connector,
    Context,
    Example,
    Fetch,
    InboundRequest,
    Normalised,
    Parsed,
    Secrets,
    Verdict,
)
from services.channels.connectors.public_keys import not_ahead
from services.channels.connectors.signatures import any_same, decimal_us, digest
from shared.contracts import interactions
from shared.contracts.instants import SECOND_US, parse_instant
from shared.contracts.interactions import Attachment, Author, Delivery

SETUP = """\
1. Create a route with `forward("<inbound URL>")`. An address that ends in `mime` gets raw mail, the
   only lossless form: add `?as=mime` to the inbound URL. `store(notify="<inbound URL>")` works too;
   its attachments stay at Mailgun for three days and are named by their address.
2. Put the HTTP webhook signing key into `signing_key`; a list of two during rotation.
3. The signature covers only a timestamp and a token, not the mail: whoever sees one request can
   write others with it. Keep the inbound URL to yourself. Repeats are signed as the first was, so
   age alone refuses nothing; the ids tell a repeat.
4. For what becomes of your own mail, add the same URL to the webhooks Delivered and Permanent
   Failure.
"""

_STATUS = {
    "accepted": "sent",
    "delivered": "delivered",
    "opened": "read",
    "failed": "failed",
    "rejected": "failed",
}


@dataclass(frozen=True, slots=True)
class MailgunSignature:
    """Hex HMAC-SHA256 over timestamp + token, which lie in the form or under JSON's `signature`.

    https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks
    """

    secret: str = "signing_key"

    @property
    def secret_names(self) -> tuple[str, ...]:
        return (self.secret,)

    def verify(self, request: InboundRequest, secrets: Secrets) -> Verdict:
        known = secrets.get(self.secret, ())
        if not known:
            return "none"
        told = _proof(request)
        stamp, token = fields.key(told, "timestamp"), fields.key(told, "token")
        given = fields.key(told, "signature")
        if not (stamp and token and given):
            return "invalid"
        if not not_ahead(decimal_us(stamp), request.received_at_us):
            return "invalid"
        expected = [digest("sha256", secret, (stamp + token).encode()) for secret in known]
        return "valid" if any_same(expected, given.lower()) else "invalid"


def _proof(request: InboundRequest) -> dict[str, Any]:
    if request.media_type == "application/json":
        return fields.obj(fields.decode_json(request.body, Parsed()), "signature")
    return {**forms.texts_of(forms.fields_of(request) or [])}


def parse(request: InboundRequest, settings: EmailSettings, _: Context) -> Parsed:
    parsed = Parsed()
    if request.media_type == "application/json":
        payload = fields.decode_json(request.body, parsed)
        raw = fields.at(payload, "body-mime")
        if isinstance(raw, str) and raw:  # what stayed at Mailgun, fetched
            mail = raw.encode("utf-8", "replace")
            parsed.events.append(provided.raw_event(mail, settings, parsed))
        else:
            _notice(payload, parsed)
        return parsed
    found = forms.fields_of(request)
    if not found:
        parsed.lose("no_form", "The body is no form.")
        return parsed
    plain = forms.texts_of(found)
    raw = next((each.content for each in found if each.name == "body-mime"), b"")
    if raw.strip():
        event = provided.raw_event(raw, settings, parsed)
    elif {"message-headers", "body-plain", "body-html", "from"} & plain.keys():
        event = _pieces(found, plain, settings, parsed)
    else:
        _at_mailgun(fields.text(plain, "message-url"), fields.key(plain, "Message-Id"), parsed)
        return parsed
    event.vendor |= fields.known(
        token=fields.key(plain, "token"),
        envelope_from=fields.key(plain, "sender"),
        envelope_to=fields.key(plain, "recipient"),
        message_url=fields.key(plain, "message-url"),
    )
    parsed.events.append(event)
    return parsed


# Those of a mail's headers that Mailgun repeats as fields.
_HEADERS = ("Message-Id", "In-Reply-To", "References", "Date", "Cc", "Reply-To")


def _pieces(
    found: list[forms.Field], plain: dict[str, str], settings: EmailSettings, parsed: Parsed
) -> Normalised:
    listed = _json(plain.get("message-headers"), parsed)
    pairs = [each for each in listed if isinstance(each, list) and len(each) == 2]
    headers = provided.header_pairs((a, b) for a, b in pairs)
    known = {
        "From": plain.get("from") or plain.get("sender"),
        "To": plain.get("To") or plain.get("recipient"),
        "Subject": plain.get("subject"),
        **{name: plain.get(name) for name in _HEADERS},
    }
    headers = provided.completed(headers, known)
    headers += provided.delivered_to([plain.get("recipient", "")])
    event = provided.pieces_event(
        headers, plain.get("body-plain"), plain.get("body-html"), _files(found), settings, parsed
    )
    stripped, signature = plain.get("stripped-text", ""), plain.get("stripped-signature", "")
    event.reply_text = provided.visible_reply(event, stripped, signature)
    event.attachments += _stored(plain, parsed)
    return event


def _json(text: str | None, parsed: Parsed) -> list[Any]:
    if not text:
        return []
    value = fields.decode_json(text.encode("utf-8", "replace"), parsed)
    return value if isinstance(value, list) else []


def _files(found: list[forms.Field]) -> list[File]:
    """The attachments; `content-id-map` tells which of them the HTML shows."""
    told = next((each.content for each in found if each.name == "content-id-map"), b"{}")
    shown = fields.obj(fields.decode_json(told, Parsed()))
    identities = {field: cid.strip("<> ") for cid, field in shown.items() if isinstance(field, str)}
    return [
        File(
            content=each.content,
            content_type=each.content_type.partition(";")[0].strip() or "application/octet-stream",
            name=each.filename or None,
            inline=each.name in identities,
            content_id=identities.get(each.name),
        )
        for each in found
        if each.filename is not None
    ]


def _stored(plain: dict[str, str], parsed: Parsed) -> list[Attachment]:
    """What store() keeps at Mailgun: named by its address, to be fetched."""
    listed = _json(plain.get("attachments"), parsed)
    return [
        Attachment(
            name=fields.key(each, "name"),
            content_type=fields.key(each, "content-type"),
            size=fields.integer(each, "size"),
            url=fields.text(each, "url"),
        )
        for each in fields.items({"files": listed}, "files")
    ]


def _notice(payload: Any, parsed: Parsed) -> None:
    """What became of a mail of ours."""
    if payload is None:
        return
    data = fields.obj(payload, "event-data")
    what, message = fields.key(data, "event"), fields.key(data, "message", "headers", "message-id")
    if what is None:
        parsed.lose("unusable_payload", "The JSON has no event-data.event.")
        return
    if what == "stored":
        _at_mailgun(fields.text(data, "storage", "url"), message, parsed)
        return
    status = _STATUS.get(what)
    if status is None or message is None:
        parsed.note("not_an_interaction", f"The event {what[:64]!r} is no message.")
        return
    if status == "failed" and fields.text(data, "severity") == "temporary":
        parsed.note("not_an_interaction", "A temporary failure: Mailgun tries again.")
        return
    at, why = fields.number(data, "timestamp"), _why(data)
    identity = fields.key(data, "id") or sha256(f"{what}:{message}".encode()).hexdigest()
    parsed.events.append(
        Normalised(
            vendor_id=f"event:{identity}",
            conversation_key=message,
            type=interactions.DELIVERY_STATUS,
            occurred_at_us=None if at is None else int(at * SECOND_US),
            direction="outbound",
            author=Author(role="system"),
            delivery_status=Delivery(message, status, why if status == "failed" else None),  # type: ignore[arg-type]
            vendor=fields.known(id=identity, event=what, recipient=fields.key(data, "recipient")),
        )
    )


def _why(data: dict[str, Any]) -> str | None:
    """The mail server's words for a failure, else Mailgun's."""
    told = fields.obj(data, "delivery-status")
    return (
        fields.text(told, "description")
        or fields.text(told, "message")
        or fields.text(data, "reason")
    )


def _at_mailgun(url: str | None, key: str | None, parsed: Parsed) -> None:
    """A mail of which only the address at Mailgun was told."""
    if url is None:
        parsed.lose("unusable_payload", "Neither a mail nor the address of one.")
    else:
        parsed.want("message", key or url, message_url=url)


URL = "https://omniroute.example/v1/workspaces/demo/connectors/mailgun/inbound"
SIGNING_KEY = "example-signing-key"


def proof(stamp: int, token: str, secret: str = SIGNING_KEY) -> dict[str, str]:
    """What Mailgun signs with."""
    signature = digest("sha256", secret, f"{stamp}{token}".encode())
    return {"timestamp": str(stamp), "token": token, "signature": signature}


def sign(form: dict[str, str], received_at_us: int, *, url: str = URL) -> InboundRequest:
    """A form of ours as the request that Mailgun would send."""
    told = proof(received_at_us // SECOND_US, sha256(str(form).encode()).hexdigest()[:50])
    headers = (("Content-Type", "application/x-www-form-urlencoded"),)
    body = urlencode({**form, **told}).encode()
    return InboundRequest("POST", url, headers, body, received_at_us)


def examples() -> tuple[Example, ...]:
    at_us = parse_instant("2026-03-02T09:00:30Z")
    secrets = {"signing_key": (SIGNING_KEY,)}

    def headers(name: str) -> list[list[str]]:
        return [
            ["From", "Kim Example <kim@example.org>"],
            ["To", "help@acme.example"],
            ["Date", "Mon, 02 Mar 2026 10:00:00 +0100"],
            ["Message-Id", f"<{name}@mail.example.org>"],
            ["Subject", "Invoice"],
        ]

    pieces = {
        "recipient": "help@acme.example",
        "sender": "kim@example.org",
        "message-headers": json.dumps(headers("pieces")),
        "body-plain": "The invoice is wrong.\n\n> We sent it on Friday.",
        "stripped-text": "The invoice is wrong.",
    }
    block = "".join(f"{name}: {value}\r\n" for name, value in headers("raw"))
    raw = {"recipient": "help@acme.example", "body-mime": block + "\r\nIt is still wrong.\r\n"}
    notice = {
        "signature": proof(at_us // SECOND_US, "token-of-the-notice"),
        "event-data": {
            "id": "evt1",
            "event": "failed",
            "timestamp": at_us / SECOND_US,
            "message": {"headers": {"message-id": "ours@acme.example"}},
            "delivery-status": {"description": "No such mailbox"},
        },
    }
    json_headers = (("Content-Type", "application/json"),)
    told = InboundRequest("POST", URL, json_headers, json.dumps(notice).encode(), at_us)
    return (
        Example("pieces", sign(pieces, at_us), secrets, (interactions.MESSAGE,)),
        Example("raw", sign(raw, at_us), secrets, (interactions.MESSAGE,)),
        Example("failure", told, secrets, (interactions.DELIVERY_STATUS,)),
    )


CONNECTOR = Connector(
    kind="mailgun",
    channel="email",
    title="Mailgun routes",
    setup=SETUP,
    signature=MailgunSignature(),
    parse=parse,
    examples=examples,
    settings=EmailSettings,
    secrets={
        "signing_key": "HTTP webhook signing key of the Mailgun account.",
        "api_key": "Only for store(): the key that fetches what stays at Mailgun.",
    },
    # 406 ends Mailgun's repeats, any other refusal brings the mail again for eight hours.
    answers=Answers(too_large=Answer(406)),
    retry_horizon_s=DAY_S,
    max_body_bytes=30 * 1024 * 1024,
    covers_body=False,
    fetches=(
        Fetch(
            "media",
            "GET {url}",
            secret="api_key",
            auth="basic:=api",
            hosts=("mailgun.net", "mailgun.org"),
            read=file,
        ),
        Fetch(
            "message",
            "GET {message_url}",
            secret="api_key",
            auth="basic:=api",
            hosts=("mailgun.net", "mailgun.org"),
            headers=(("Accept", "message/rfc2822"),),
        ),
    ),
)
