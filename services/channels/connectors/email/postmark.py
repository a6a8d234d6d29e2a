"""Postmark: a mail as JSON. Postmark cannot sign; a password in the URL and an unguessable path
guard the address. https://postmarkapp.com/developer/webhooks/inbound-webhook
"""

import base64
import binascii
import json
from typing import Any

from services.channels.connectors import fields
from services.channels.connectors.credentials import BasicAuth
from services.channels.connectors.email import provided
from services.channels.connectors.email.bodies import File
from services.channels.connectors.email.email_mime import EmailSettings
from services.channels.connectors.port import (
    DAY_S,
    Connector,
    Context,
    Example,
    InboundRequest,
    Normalised,
    Parsed,
)
from shared.contracts import interactions
from shared.contracts.instants import parse_instant
from shared.contracts.interactions import Author, Delivery

SETUP = """\
1. Enter the connector's inbound URL as the inbound webhook of the server; its path is a secret. Tick
   «Include raw email content in JSON payload»: only raw mail is lossless.
2. Better still, add a user and a password to the URL (`https://user:password@…`) and put
   `user:password` into the secret `basic_auth`; a list of two during rotation.
3. Postmark repeats for ten hours, but 403 would stop it: a wrong password is answered 401, so that a
   rotation loses no mail.
4. Mail to `<hash>+TOKEN@inbound.postmarkapp.com` joins the conversation that TOKEN names.
"""


def parse(request: InboundRequest, settings: EmailSettings, _: Context) -> Parsed:
    parsed = Parsed()
    payload = fields.decode_json(request.body, parsed)
    if payload is None:
        return parsed
    message = fields.obj(payload)
    identity = fields.key(message, "MessageID")
    if fields.text(message, "RecordType") not in (None, "Inbound"):
        _notice(message, parsed)
    elif identity is None or not {"From", "FromFull", "RawEmail", "TextBody"} & message.keys():
        parsed.lose("unusable_payload", "The JSON is no inbound mail.")
    else:
        parsed.events.append(_mail(message, identity, settings, parsed))
    return parsed


def _mail(
    message: dict[str, Any], identity: str, settings: EmailSettings, parsed: Parsed
) -> Normalised:
    raw = message.get("RawEmail")
    if isinstance(raw, str) and raw.strip():
        event = provided.raw_event(raw.encode("utf-8", "replace"), settings, parsed)
    else:
        event = _pieces(message, identity, settings, parsed)
    stripped = fields.text(message, "StrippedTextReply") or ""
    event.reply_text = provided.visible_reply(event, stripped)
    token = fields.key(message, "MailboxHash")
    if token:
        candidates = [f"token:{token}", *event.thread_candidates]
        event.thread_candidates = list(dict.fromkeys(candidates))
    event.vendor_id = _vendor_id(event, identity)
    event.vendor |= fields.known(
        id=identity,
        mailbox_hash=token,
        envelope_to=fields.key(message, "OriginalRecipient"),
        stream=fields.key(message, "MessageStream"),
        tag=fields.key(message, "Tag"),
    )
    return event


def _vendor_id(event: Normalised, identity: str) -> str:
    """Postmark's id. Its test button always sends the same one, so that does not count alone."""
    return f"{identity}:{event.vendor_id}" if not identity.strip("0-") else identity


def _pieces(
    message: dict[str, Any], identity: str, settings: EmailSettings, parsed: Parsed
) -> Normalised:
    headers = provided.header_pairs(
        (each.get("Name"), each.get("Value")) for each in fields.items(message, "Headers")
    )
    known = {
        "From": _address(message, "From"),
        "To": fields.text(message, "To"),
        "Cc": fields.text(message, "Cc"),
        "Reply-To": fields.text(message, "ReplyTo"),
        "Date": fields.text(message, "Date"),
        "Subject": fields.text(message, "Subject"),
    }
    headers = provided.completed(headers, known)
    headers += provided.delivered_to([fields.key(message, "OriginalRecipient") or ""])
    text, html = fields.text(message, "TextBody"), fields.text(message, "HtmlBody")
    return provided.pieces_event(headers, text, html, _files(message, parsed), settings, parsed)


def _address(message: dict[str, Any], name: str) -> str | None:
    full = fields.obj(message, f"{name}Full")
    address, person = fields.key(full, "Email"), fields.text(full, "Name")
    if address is None:
        return fields.text(message, name)
    quoted = (person or "").replace("\\", "").replace('"', "'")
    return f'"{quoted}" <{address}>' if quoted else address


def _files(message: dict[str, Any], parsed: Parsed) -> list[File]:
    files: list[File] = []
    for each in fields.items(message, "Attachments"):
        try:
            content = base64.b64decode(str(each.get("Data") or each.get("Content") or ""))
        except (binascii.Error, ValueError):
            parsed.lose("broken_attachment", "An attachment is no base64.")
            continue
        identity = fields.key(each, "ContentID")
        kind = fields.key(each, "ContentType") or "application/octet-stream"
        kind = kind.partition(";")[0].strip()
        files.append(File(content, kind, fields.key(each, "Name"), bool(identity), identity))
    return files


_STATUS = {"Delivery": "delivered", "Bounce": "failed", "Open": "read"}


# Postmark counts as bounces what answers a mail that arrived, and a delay.
_NO_FAILURE = frozenset(
    ["AutoResponder", "Transient", "Subscribe", "Unsubscribe", "AddressChange", "OpenRelayTest"]
)


def _notice(message: dict[str, Any], parsed: Parsed) -> None:
    """What became of a mail of ours."""
    kind, identity = fields.text(message, "RecordType") or "", fields.key(message, "MessageID")
    status = _STATUS.get(kind)
    if status is None or identity is None:
        parsed.note("not_an_interaction", f"The record {kind[:64]!r} is no message.")
        return
    if kind == "Bounce" and fields.text(message, "Type") in _NO_FAILURE:
        parsed.note("not_an_interaction", f"A bounce of the type {message['Type']} is no failure.")
        return
    at = next(
        (t for n in ("DeliveredAt", "BouncedAt", "ReceivedAt") if (t := fields.text(message, n))),
        "",
    )
    why = fields.text(message, "Description") or fields.text(message, "Details")
    event = Normalised(
        vendor_id=f"{identity}:{kind}",
        conversation_key=identity,
        type=interactions.DELIVERY_STATUS,
        occurred_at_us=_instant(at),
        direction="outbound",
        author=Author(role="system"),
        delivery_status=Delivery(identity, status, why if status == "failed" else None),  # type: ignore[arg-type]
        vendor=fields.known(id=identity, event=kind),
    )
    parsed.events.append(event)


def _instant(text: str) -> int | None:
    try:
        return parse_instant(text)
    except (ValueError, OverflowError):
        return None


URL = "https://omniroute.example/v1/workspaces/demo/connectors/postmark/inbound/a-long-random-word"


def request_of(message: dict[str, Any], received_at_us: int, *, url: str = URL) -> InboundRequest:
    """A mail of ours as the request that Postmark would send."""
    headers = (("Content-Type", "application/json"),)
    return InboundRequest("POST", url, headers, json.dumps(message).encode(), received_at_us)


def examples() -> tuple[Example, ...]:
    at_us = parse_instant("2026-03-02T09:00:30Z")
    whom = {"Email": "kim@example.org", "Name": "Kim Example", "MailboxHash": ""}
    file = {"Name": "a.txt", "ContentType": "text/plain", "Data": "NDcxMQ==", "ContentLength": 4}
    pieces = {
        "MessageID": "5b0e3a7c-0000-4000-8000-000000000001",
        "From": "kim@example.org",
        "FromFull": whom,
        "To": "hash+T-1@inbound.postmarkapp.com",
        "OriginalRecipient": "hash+T-1@inbound.postmarkapp.com",
        "MailboxHash": "T-1",
        "Subject": "Invoice",
        "Date": "Mon, 02 Mar 2026 10:00:00 +0100",
        "TextBody": "The invoice is wrong.",
        "Headers": [{"Name": "Message-ID", "Value": "<first@mail.example.org>"}],
        "Attachments": [file],
    }
    lines = [
        "From: Kim Example <kim@example.org>",
        "To: help@acme.example",
        "Date: Mon, 02 Mar 2026 10:00:00 +0100",
        "Message-ID: <second@mail.example.org>",
        "Subject: Invoice",
        "",
        "It is still wrong.",
    ]
    raw = {
        "MessageID": "5b0e3a7c-0000-4000-8000-000000000002",
        "FromFull": whom,
        "RawEmail": "\r\n".join(lines),
    }
    delivered = {
        "RecordType": "Delivery",
        "MessageID": "5b0e3a7c-0000-4000-8000-000000000003",
        "DeliveredAt": "2026-03-02T09:00:00Z",
    }
    return (
        Example("pieces", request_of(pieces, at_us), {}, (interactions.MESSAGE,)),
        Example("raw", request_of(raw, at_us), {}, (interactions.MESSAGE,)),
        Example("delivered", request_of(delivered, at_us), {}, (interactions.DELIVERY_STATUS,)),
    )


CONNECTOR = Connector(
    kind="postmark",
    channel="email",
    title="Postmark inbound",
    setup=SETUP,
    signature=BasicAuth(path_suffices=True),
    parse=parse,
    examples=examples,
    settings=EmailSettings,
    secrets={"basic_auth": "`user:password` of the webhook's URL; may be left out."},
    retry_horizon_s=DAY_S,
    max_body_bytes=30 * 1024 * 1024,
    covers_body=False,
)
