"""SendGrid Inbound Parse: a mail as a multipart form, in pieces or raw.

https://www.twilio.com/docs/sendgrid/for-developers/parsing-email/setting-up-the-inbound-parse-webhook
"""

import base64
import json
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from services.channels.connectors import fields, forms
from services.channels.connectors.email import charsets, provided
from services.channels.connectors.email.bodies import File
from services.channels.connectors.email.email_mime import EmailSettings
from services.channels.connectors.email.sendgrid_events import is_events, read_events
from services.channels.connectors.port import (
    DAY_S,
    Connector,
    Context,
    Example,
    InboundRequest,
    Normalised,
    Parsed,
)
from services.channels.connectors.public_keys import EcdsaOverBody
from shared.contracts import interactions
from shared.contracts.instants import SECOND_US, parse_instant

SETUP = """\
1. Point the MX record of a host at `mx.sendgrid.net` and add it under Settings > Inbound Parse with
   the connector's inbound URL. Tick «POST the raw, full MIME message»: only raw mail is lossless.
2. Create a webhook security policy with a signature, attach it to the parse setting and put the
   public key it shows into `public_key`; a list of two during rotation.
3. SendGrid repeats for about three days what is answered 5xx, and drops what is answered 4xx: give
   the new key before you change it there.
4. To see what becomes of your own mails, enter the same address under Mail Settings > Event
   Webhook.
5. List your own addresses under `addresses`, the domains of your Message-IDs under
   `message_id_domains`.
"""

_SIGNATURE = EcdsaOverBody()
_FACTS = ("sender_ip", "spam_score", "SPF", "dkim")


def parse(request: InboundRequest, settings: EmailSettings, _: Context) -> Parsed:
    if is_events(request):
        return read_events(request)
    parsed = Parsed()
    found = forms.fields_of(request)
    if not found:
        parsed.lose("no_form", "The body is no form.")
        return parsed
    plain = forms.texts_of(found)
    raw = next((each.content for each in found if each.name in ("email", "rawEmail")), b"")
    envelope = _json(plain.get("envelope"))
    recipients = fields.texts(envelope, "to")
    if raw.strip():
        event = provided.raw_event(_stamped(raw, recipients), settings, parsed)
    elif {"headers", "text", "html", "subject", "from"} & plain.keys():
        event = _pieces(found, recipients, settings, parsed)
    else:
        parsed.lose("unusable_payload", "The form holds no mail.")
        return parsed
    event.vendor |= _facts(plain, envelope, recipients)
    parsed.events.append(event)
    return parsed


def _stamped(raw: bytes, recipients: list[str]) -> bytes:
    """The raw mail, told to whom SendGrid had it delivered."""
    lines = provided.delivered_to(address for address in recipients if address.isascii())
    return b"".join(f"{name}: {value}\r\n".encode() for name, value in lines) + raw.lstrip()


def _pieces(
    found: list[forms.Field], recipients: list[str], settings: EmailSettings, parsed: Parsed
) -> Normalised:
    told = {each.name: each.content for each in reversed(found) if each.filename is None}
    declared = _json(told.get("charsets", b"").decode("utf-8", "replace"))

    def text(name: str) -> str:
        return charsets.decode(told.get(name, b""), fields.text(declared, name) or "utf-8")

    pairs = provided.header_lines(text("headers"))
    subject = text("subject").strip()
    if subject:
        pairs = [pair for pair in pairs if pair[0].lower() != "subject"] + [("Subject", subject)]
    known = {"From": text("from"), "To": text("to"), "Cc": text("cc")}
    pairs = provided.completed(pairs, known) + provided.delivered_to(recipients)
    files = _files(found, _json(told.get("attachment-info", b"").decode("utf-8", "replace")))
    return provided.pieces_event(pairs, text("text"), text("html"), files, settings, parsed)


def _files(found: list[forms.Field], info: dict[str, Any]) -> list[File]:
    files: list[File] = []
    for each in found:
        if each.filename is None:
            continue
        identity = each.content_id or fields.key(info, each.name, "content-id")
        kind = each.content_type.partition(";")[0].strip() or fields.key(info, each.name, "type")
        name = fields.key(info, each.name, "filename") or each.filename
        files.append(
            File(each.content, kind or "application/octet-stream", name, bool(identity), identity)
        )
    return files


def _facts(plain: dict[str, str], envelope: dict[str, Any], to: list[str]) -> dict[str, Any]:
    told = {name: fields.clean(plain[name], 512) for name in _FACTS if plain.get(name)}
    return told | fields.known(envelope_from=fields.key(envelope, "from"), envelope_to=to)


def _json(text: str | None) -> dict[str, Any]:
    """A field's JSON object; {} for anything else (`dkim` only looks like one)."""
    return fields.obj(fields.decode_json((text or "").encode("utf-8", "replace"), Parsed()))


URL = "https://omniroute.example/v1/workspaces/demo/connectors/parse/inbound"
# A key of ours for examples; it guards nothing.
_PRIVATE = ec.derive_private_key(0x5EED_0F_0A11_E8A3_91E5, ec.SECP256R1())
PUBLIC_KEY = base64.b64encode(
    _PRIVATE.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
).decode()
_BOUNDARY = "xYzZY"


def multipart(parts: list[tuple[str, bytes]], boundary: str = _BOUNDARY) -> bytes:
    """A multipart form; a name may carry further parameters (`file"; filename="a.txt`)."""
    found = b""
    for name, content in parts:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'
        found += head.encode() + content + b"\r\n"
    return found + f"--{boundary}--\r\n".encode()


def sign(body: bytes, received_at_us: int, *, url: str = URL) -> InboundRequest:
    """A form of ours as the request that SendGrid would send."""
    stamp = str(received_at_us // SECOND_US)
    signature = _PRIVATE.sign(stamp.encode() + body, ec.ECDSA(hashes.SHA256()))
    headers = (
        ("Content-Type", f"multipart/form-data; boundary={_BOUNDARY}"),
        (_SIGNATURE.header, base64.b64encode(signature).decode()),
        (_SIGNATURE.timestamp_header, stamp),
    )
    return InboundRequest("POST", url, headers, body, received_at_us)


_HEADERS = """\
From: Kim Example <kim@example.org>
To: help@acme.example
Date: Mon, 02 Mar 2026 10:00:00 +0100
Message-ID: <{0}@mail.example.org>
Subject: Invoice
"""


def examples() -> tuple[Example, ...]:
    at_us = parse_instant("2026-03-02T09:00:30Z")
    envelope = b'{"to":["help@acme.example"],"from":"kim@example.org"}'
    charset = json.dumps({"subject": "UTF-8", "text": "iso-8859-1"}).encode()
    pieces = multipart(
        [
            ("headers", _HEADERS.format("parsed").encode()),
            ("dkim", b"{@example.org : pass}"),
            ("subject", b"Invoice"),
            ("text", "Die Rechnung für März ist falsch.".encode("latin-1")),
            ("envelope", envelope),
            ("charsets", charset),
            ("attachments", b"1"),
            ('attachment1"; filename="invoice.txt', b"4711"),
        ]
    )
    raw = _HEADERS.format("raw").replace("\n", "\r\n").encode() + b"\r\nIt is still wrong.\r\n"
    whole = multipart([("email", raw), ("envelope", envelope)])
    secrets = {"public_key": (PUBLIC_KEY,)}
    return tuple(
        Example(name, sign(body, at_us), secrets, (interactions.MESSAGE,))
        for name, body in (("pieces", pieces), ("raw", whole))
    )


CONNECTOR = Connector(
    kind="sendgrid_inbound",
    channel="email",
    title="SendGrid Inbound Parse",
    setup=SETUP,
    signature=_SIGNATURE,
    parse=parse,
    examples=examples,
    settings=EmailSettings,
    secrets={"public_key": "Public key of the parse webhook's security policy."},
    retry_horizon_s=4 * DAY_S,
    max_body_bytes=30 * 1024 * 1024,
)
