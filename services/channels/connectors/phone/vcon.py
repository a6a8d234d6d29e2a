"""vCon: a finished conversation as one document, plain or signed (JWS).

https://datatracker.ietf.org/doc/draft-ietf-vcon-vcon-core/ (0.0.2, and 0.0.1's names)
"""

import json
from hashlib import sha256
from typing import Any

from pydantic import Field

from services.channels.connectors import calls, fields
from services.channels.connectors.email.markup import to_text
from services.channels.connectors.email.mime import parse_mail
from services.channels.connectors.identities import EMAIL, PHONE, email, identities, phone
from services.channels.connectors.phone.vcon_form import (
    VconSignature,
    content_of,
    document_of,
    faults,
    media_type,
)
from services.channels.connectors.port import (
    DAY_S,
    Answer,
    Answers,
    Blob,
    Connector,
    Context,
    Example,
    InboundRequest,
    Normalised,
    Parsed,
    Settings,
)
from shared.contracts import interactions
from shared.contracts.instants import parse_instant
from shared.contracts.interactions import Attachment, Author, Identity, Role


class VconSettings(Settings):
    customer_party: int = Field(
        default=0, ge=0, description="Index of the customer where parties carry no `role`."
    )
    route: bool = Field(
        default=False,
        description="Whether messages are routed and measured as if they came now. By default a vCon "
        "is history: it opens no task and starts no clock.",
    )


SETUP = """\
1. Post the document with `Content-Type: application/vcon+json` to the connector's inbound URL, which
   is a secret. Its `uuid` is the conversation's key; the same document twice changes nothing, and a
   changed dialog replaces the earlier one.
2. For signed documents (JWS with `x5c`) put the PEM certificate of the authority you trust into
   `trusted_certificate`: then unsigned documents and other signers are refused. Without it a broken
   signature is refused all the same, but nobody vouches for the signer. Encrypted documents are not
   supported.
3. A document with a fault is answered 422 and kept as a dead letter. Recordings that a document
   only names by address stay there.
"""

_ROLES: dict[str, Role] = {
    "customer": "customer",
    "caller": "customer",
    "contact": "customer",
    "agent": "agent",
    "ai": "bot",
    "bot": "bot",
    "system": "system",
}


def parse(request: InboundRequest, settings: VconSettings, _: Context) -> Parsed:
    parsed = Parsed()
    payload = fields.decode_json(request.body, parsed)
    if payload is None:
        return parsed
    document, form = document_of(payload, parsed)
    if document is None:
        return parsed
    found = faults(document)
    for fault in found[:20]:
        parsed.lose("invalid_vcon", fault)
    if found:
        return parsed
    reader = _Reader(document, form, settings, parsed)
    for number, dialog in enumerate(fields.items(document, "dialog")):
        reader.dialog(number, dialog)
    for number, analysis in enumerate(fields.items(document, "analysis")):
        reader.analysis(number, analysis)
    for number, attachment in enumerate(fields.items(document, "attachments")):
        reader.attachment(number, attachment)
    if not (parsed.events or parsed.problems):
        parsed.note("silence", "The document holds no dialog.")
    return parsed


class _Reader:
    """Turns the parts of one document into events."""

    def __init__(
        self, document: dict[str, Any], form: str, settings: VconSettings, parsed: Parsed
    ) -> None:
        self._uuid = fields.key(document, "uuid") or ""
        self._parties = list(fields.items(document, "parties"))
        self._subject = fields.text(document, "subject")
        self._created_us = calls.instant(fields.text(document, "created_at"))
        self._form, self._settings, self._parsed = form, settings, parsed

    def dialog(self, number: int, dialog: dict[str, Any]) -> None:
        kind = fields.text(dialog, "type")
        event = self._event(f"dialog:{number}", dialog)
        event.vendor |= fields.known(
            dialog=str(number), type=kind, message_id=fields.key(dialog, "message_id")
        )
        self._speaker(event, dialog)
        if kind == "text":
            self._text(event, dialog)
        elif kind == "recording":
            file = self._file(dialog)
            length = fields.number(dialog, "duration")
            event.text = f"Recording: {file.name or 'unnamed'}"
            event.text += f" ({length:g} s)" if length is not None else ""
            event.attachments, event.generated = [file], True
            event.attributes = fields.known(vcon_dialog=kind, duration_s=length)
        else:
            why = fields.text(dialog, "disposition")
            event.text = f"Call {kind}{f': {why}' if why else ''}"
            event.author, event.generated = Author(role="system"), True
            event.attributes = fields.known(vcon_dialog=kind, disposition=why)
        self._parsed.events.append(event)

    def _event(self, place: str, part: dict[str, Any]) -> Normalised:
        """An event for a part of the document; another content at the same place is a new one."""
        key = f"{self._uuid}:{place}"
        at_us = calls.instant(fields.text(part, "start")) or self._created_us
        return Normalised(
            vendor_id=f"{key}:{calls.short_hash(json.dumps(part, sort_keys=True))}",
            message_key=key,
            conversation_key=self._uuid,
            occurred_at_us=at_us,
            subject=self._subject,
            author=Author(role="system"),
            flags=[] if self._settings.route else ["suppress"],
            vendor={"uuid": self._uuid, "form": self._form, "parties": len(self._parties)},
        )

    def _speaker(self, event: Normalised, dialog: dict[str, Any]) -> None:
        listed = dialog.get("parties")
        first = listed[0] if isinstance(listed, list) and listed else listed
        index = fields.integer(dialog, "originator")
        index = index if index is not None else first
        if not isinstance(index, int) or isinstance(index, bool):
            return
        party = self._parties[index]
        role = _ROLES.get((fields.text(party, "role") or "").lower())
        role = role or ("customer" if index == self._settings.customer_party else "agent")
        known = _identities(party)
        name = fields.text(party, "name")
        event.author = Author(role=role, name=name, id=known[0].value if known else None)
        event.identities = known if role == "customer" else []
        event.direction = "inbound" if role == "customer" else "outbound"

    def _text(self, event: Normalised, dialog: dict[str, Any]) -> None:
        kind, content = media_type(dialog), content_of(dialog)
        if kind.startswith(("multipart/", "message/")):
            head = (
                b""
                if kind == "message/rfc822"
                else f"Content-Type: {_flat(dialog)}\r\n\r\n".encode()
            )
            mail = parse_mail(head + content, self._parsed)
            event.text, event.html = mail.text or None, mail.html
            event.attachments = mail.attachments
        elif kind == "text/html":
            event.text = fields.clean(to_text(content.decode("utf-8", "replace"))) or None
        else:
            event.text = fields.clean(content.decode("utf-8", "replace")) or None
        if not (event.text or event.html or event.attachments):
            url = fields.text(dialog, "url")
            event.text, event.generated = f"[text without content{f': {url}' if url else ''}]", True

    def _file(self, part: dict[str, Any]) -> Attachment:
        content = content_of(part) if fields.text(part, "body") is not None else None
        file = Attachment(
            name=fields.key(part, "filename"),
            content_type=media_type(part) or None,
            url=fields.text(part, "url"),
        )
        if content is not None:
            blob = Blob(sha256(content).hexdigest(), content)
            self._parsed.blobs.append(blob)
            file.sha256, file.size = blob.sha256, len(content)
        return file

    def analysis(self, number: int, analysis: dict[str, Any]) -> None:
        kind = fields.key(analysis, "type") or "analysis"
        text = _readable(_unfolded(analysis))
        if text is None:
            self._parsed.note("not_an_interaction", f"The analysis {number} ({kind}) is no text.")
            return
        event = self._event(f"analysis:{number}", analysis)
        event.text, event.generated = f"{kind.capitalize()}: {text}", True
        event.flags, event.attributes = ["suppress"], {"vcon_analysis": kind}
        event.vendor |= {"analysis": str(number), "type": kind}
        self._parsed.events.append(event)

    def attachment(self, number: int, attachment: dict[str, Any]) -> None:
        if fields.text(attachment, "url") is None and fields.text(attachment, "filename") is None:
            kind = fields.key(attachment, "type") or fields.key(attachment, "purpose") or "unnamed"
            self._parsed.note("not_an_interaction", f"The attachment {number} ({kind}) is no file.")
            return
        event = self._event(f"attachment:{number}", attachment)
        event.attachments, event.flags = [self._file(attachment)], ["suppress"]
        event.vendor |= {"attachment": str(number)}
        self._parsed.events.append(event)


def _flat(dialog: dict[str, Any]) -> str:
    written = fields.text(dialog, "mediatype") or fields.text(dialog, "mimetype") or ""
    return " ".join(written.split())


def _identities(party: dict[str, Any]) -> list[Identity]:
    number = (fields.text(party, "tel") or "").removeprefix("tel:")
    address = (fields.text(party, "mailto") or "").removeprefix("mailto:")
    return identities(**{PHONE: phone(number), EMAIL: email(address)})


def _unfolded(analysis: dict[str, Any]) -> Any:
    """The body; what is JSON in a text, as JSON."""
    body = analysis.get("body")
    if fields.text(analysis, "encoding") != "json" or not isinstance(body, str):
        return body
    found = fields.decode_json(body.encode("utf-8", "replace"), Parsed())
    return found if isinstance(found, dict | list) else body


def _readable(body: Any) -> str | None:
    """The text of an analysis: as it is, of a list of utterances, of the World Transcription Format
    (draft-howe-vcon-wtf-extension), or of Deepgram's answer."""
    if isinstance(body, str):
        return fields.clean(body).strip() or None
    if isinstance(body, list):
        said = (fields.text(each, "text") for each in fields.items({"all": body}, "all"))
        return "\n".join(text for text in said if text) or None
    channels = fields.items(body, "results", "channels")
    best = (next(fields.items(each, "alternatives"), {}) for each in channels)
    texts = [text for each in best if (text := fields.text(each, "transcript"))]
    told = fields.text(body, "text") or fields.text(body, "transcript")
    told = told or fields.text(body, "transcript", "text") or fields.text(body, "summary")
    return "\n".join(texts) or told or _readable(list(fields.items(body, "segments")))


URL = "https://omniroute.example/v1/workspaces/demo/connectors/vcons/inbound/a-long-random-word"


def document() -> dict[str, Any]:
    """A vCon of ours."""
    said = {
        "type": "text",
        "start": "2026-03-02T09:10:00.000+00:00",
        "parties": [0, 1],
        "mediatype": "text/plain",
        "encoding": "none",
        "body": "My invoice is wrong.",
    }
    recording = {
        "type": "recording",
        "start": "2026-03-02T09:12:00.000+00:00",
        "duration": 33.5,
        "parties": [0, 1],
        "url": "https://recordings.example/call.mp3",
        "mediatype": "audio/x-mp3",
        "filename": "call.mp3",
    }
    kim = {"tel": "+4915112345678", "name": "Kim", "role": "customer"}
    return {
        "vcon": "0.0.2",
        "uuid": "0195544a-b9b1-8ee4-b9a2-000000000001",
        "created_at": "2026-03-02T09:13:00.000+00:00",
        "parties": [kim, {"mailto": "ana@acme.example", "name": "Ana", "role": "agent"}],
        "dialog": [said, {**said, "parties": [1, 0], "body": "I correct it."}, recording],
        "analysis": [],
        "attachments": [],
    }


def upload(payload: Any, received_at_us: int, *, url: str = URL) -> InboundRequest:
    """A document as somebody would post it."""
    headers = (("Content-Type", "application/vcon+json"),)
    return InboundRequest("POST", url, headers, json.dumps(payload).encode(), received_at_us)


def examples() -> tuple[Example, ...]:
    at_us = parse_instant("2026-03-02T09:15:00Z")
    return (Example("document", upload(document(), at_us), {}, (interactions.MESSAGE,) * 3),)


CONNECTOR = Connector(
    kind="vcon",
    channel="phone",
    title="vCon import",
    setup=SETUP,
    signature=VconSignature(),
    parse=parse,
    examples=examples,
    settings=VconSettings,
    secrets={"trusted_certificate": "PEM certificate that signers' certificates lead to."},
    answers=Answers(unusable=Answer(422)),
    retry_horizon_s=36_500 * DAY_S,
    max_body_bytes=30 * 1024 * 1024,
    covers_body=False,
)
