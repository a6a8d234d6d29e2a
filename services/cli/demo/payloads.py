"""Vendors' requests of ours: what WhatsApp, Messenger, Twilio and a mail server would post, signed
as they sign. The demo and the end-to-end test send them."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any

import msgspec

from services.channels.connectors.chat import whatsapp_examples as whatsapp
from services.channels.connectors.email import email_mime
from services.channels.connectors.phone import twilio_transcription as twilio
from services.channels.connectors.port import InboundRequest
from services.channels.connectors.signatures import HUB_SIGNATURE_256
from services.channels.connectors.social import messenger
from shared.contracts.instants import SECOND_US, format_instant


@dataclass(frozen=True, slots=True)
class Address:
    """A connector's inbound URL as the vendor knows it, and the secret that the vendor signs with
    ("" where it does not sign)."""

    url: str
    secret: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Person:
    """A customer. `id` is the vendor's: a phone number's digits, a page-scoped id, an address."""

    id: str
    name: str


def whatsapp_message(
    to: Address, person: Person, text: str, *, wamid: str, at_us: int
) -> InboundRequest:
    """A text message; the same `wamid` again is a redelivery."""
    raw = whatsapp.message(wamid, "text", {"body": text}, at_us, **{"from": person.id})
    return _whatsapp(to, person, raw, at_us)


def whatsapp_edit(
    to: Address, person: Person, text: str, *, wamid: str, original: str, at_us: int
) -> InboundRequest:
    """The message `original` now reads `text`; `wamid` is the edit's own id."""
    inner = {"type": "text", "text": {"body": text}}
    content = {"original_message_id": original, "message": inner}
    raw = whatsapp.message(wamid, "edit", content, at_us, **{"from": person.id})
    return _whatsapp(to, person, raw, at_us)


def _whatsapp(to: Address, person: Person, raw: dict[str, Any], at_us: int) -> InboundRequest:
    payload = whatsapp.payload_of("messages", raw, customer=person.id, name=person.name)
    return whatsapp.sign(payload, at_us, url=to.url, secret=to.secret)


def messenger_message(
    to: Address, person: Person, text: str, *, mid: str, at_us: int
) -> InboundRequest:
    """A message to the page; the same `mid` again is a redelivery."""
    return _messenger(to, person, {"message": {"mid": mid, "text": text}}, at_us)


def messenger_edit(
    to: Address, person: Person, text: str, *, mid: str, number: int = 1, at_us: int
) -> InboundRequest:
    """The message `mid` now reads `text`, its edit `number`."""
    edit = {"message_edit": {"mid": mid, "text": text, "num_edit": number}}
    return _messenger(to, person, edit, at_us)


def _messenger(to: Address, person: Person, item: dict[str, Any], at_us: int) -> InboundRequest:
    payload = messenger.payload_of({"sender": {"id": person.id}, **item}, at_us)
    return messenger.sign(payload, at_us, url=to.url, secret=to.secret)


def call_started(to: Address, call: str, *, caller: str, at_us: int) -> InboundRequest:
    """Twilio begins to transcribe the call `call`."""
    return _call(to, call, "started", 1, caller, at_us)


def call_said(
    to: Address,
    call: str,
    text: str,
    *,
    number: int,
    caller: str,
    at_us: int,
    final: bool = True,
    by_customer: bool = True,
) -> InboundRequest:
    """An utterance; `number` counts the call's requests, the same one again is a redelivery."""
    said = msgspec.json.encode({"transcript": text, "confidence": 0.94}).decode()
    track = "inbound_track" if by_customer else "outbound_track"
    more = {"Track": track, "TranscriptionData": said, "Final": "true" if final else "false"}
    return _call(to, call, "content", number, caller, at_us, **more)


def call_ended(to: Address, call: str, *, number: int, caller: str, at_us: int) -> InboundRequest:
    """The transcription of the call stops."""
    return _call(to, call, "stopped", number, caller, at_us)


def _call(
    to: Address, call: str, name: str, number: int, caller: str, at_us: int, **more: str
) -> InboundRequest:
    form = {
        "AccountSid": "AC00000000000000000000000000000000",
        "CallSid": call,
        "TranscriptionSid": f"GT{call[2:]}",
        "SequenceId": number,
        "Timestamp": format_instant(at_us),
        "TranscriptionEvent": f"transcription-{name}",
        "From": caller,
        **more,
    }
    return twilio.sign(form, at_us, url=to.url, secret=to.secret)


def mail(
    to: Address,
    person: Person,
    subject: str,
    text: str,
    *,
    message_id: str,
    at_us: int,
    recipient: str,
    in_reply_to: str | None = None,
    attachment: tuple[str, bytes] | None = None,
) -> InboundRequest:
    """A mail as the mail server pipes it. Ids are without angle brackets; `attachment` is (file
    name, content)."""
    message = EmailMessage()
    message["From"] = f'"{person.name}" <{person.id}>'
    message["To"] = recipient
    message["Subject"] = subject
    message["Date"] = format_datetime(datetime.fromtimestamp(at_us // SECOND_US, UTC))
    message["Message-ID"] = f"<{message_id}>"
    if in_reply_to is not None:
        message["In-Reply-To"] = message["References"] = f"<{in_reply_to}>"
    message.set_content(text)
    if attachment is not None:
        name, content = attachment
        message.add_attachment(content, maintype="application", subtype="pdf", filename=name)
    return raw_mail(to, message.as_bytes(), at_us)


def signed_by_meta(to: Address, body: bytes, at_us: int) -> InboundRequest:
    """Any body as Meta would sign it: for recorded payloads, whose secrets nobody has."""
    signature = HUB_SIGNATURE_256.sign(to.secret, body)
    headers = (("Content-Type", "application/json"), (HUB_SIGNATURE_256.header, signature))
    return InboundRequest("POST", to.url, headers, body, at_us)


def signed_by_twilio(to: Address, pairs: Iterable[tuple[str, str]], at_us: int) -> InboundRequest:
    """Any form, as (name, value) pairs with unique names, as Twilio would sign it."""
    return twilio.sign(dict(pairs), at_us, url=to.url, secret=to.secret)


def raw_mail(to: Address, raw: bytes, at_us: int) -> InboundRequest:
    """Any mail as the mail server pipes it."""
    return email_mime.request_of(raw, at_us, url=to.url)
