"""A raw RFC 5322 mail to what it says: subject, people, text, HTML, attachments. Never an exception,
best text always."""

from hashlib import sha256

import msgspec

from services.channels.connectors.email import markup, reports
from services.channels.connectors.email.bodies import Bodies, collect
from services.channels.connectors.email.bounces import bounce_of
from services.channels.connectors.email.dates import instant
from services.channels.connectors.email.headers import Headers
from services.channels.connectors.email.reply import is_forwarded, reply_of
from services.channels.connectors.email.structure import Part, split
from services.channels.connectors.fields import clean
from services.channels.connectors.port import Blob, Parsed
from shared.contracts.interactions import Address, Attachment, Bounce

MAX_TEXT = 400_000  # characters that go on the bus; the raw mail is kept whole elsewhere
MAX_PARTS = 200
MAX_ATTACHMENTS = 200


class Mail(msgspec.Struct, kw_only=True):
    """A parsed mail. Ids are without brackets; `date_us` is the sender's clock; a mail without a
    Message-ID has a `synthetic` one, the same each time the same mail comes."""

    headers: Headers
    subject: str
    sender: list[Address]
    to: list[Address]
    cc: list[Address]
    reply_to: list[Address]
    recipients: list[Address]
    message_id: str
    synthetic: bool
    digest: str
    in_reply_to: list[str]
    references: list[str]
    date_us: int | None
    text: str
    html: str | None
    reply_text: str
    attachments: list[Attachment]
    report: reports.Report | None
    bounce: Bounce | None


_RECIPIENTS = ("to", "cc", "delivered-to", "x-original-to", "envelope-to", "x-envelope-to")


def parse_mail(raw: bytes, parsed: Parsed) -> Mail:
    """The mail in some bytes; what was wrong, and the attachments' contents, go to `parsed`."""
    root = _tree(raw, parsed)
    found = collect(root)
    head = Headers(root.fields, found.charset)
    sender = _sender(head)
    subject = head.text("subject")
    text = _text(found, parsed)
    report = reports.read_report(root)
    bounce = bounce_of(head, sender, report, text)
    if bounce is not None and not bounce.message_id:
        bounce.message_id = reports.enclosed_id(root)
    digest = _digest(head, raw)
    message_id = next(iter(head.ids("message-id")), "")
    return Mail(
        headers=head,
        subject=subject,
        sender=sender,
        to=head.addresses("to"),
        cc=head.addresses("cc"),
        reply_to=head.addresses("reply-to"),
        recipients=[each for name in _RECIPIENTS for each in head.addresses(name)],
        message_id=message_id or f"{digest}@synthetic.invalid",
        synthetic=not message_id,
        digest=digest,
        in_reply_to=head.ids("in-reply-to"),
        references=head.ids("references"),
        date_us=instant(head.text("date")),
        text=text,
        html=_html(found, parsed),
        reply_text=reply_of(text, forwarded=is_forwarded(subject)),
        attachments=_attachments(found, parsed),
        report=report,
        bounce=bounce,
    )


def _tree(raw: bytes, parsed: Parsed) -> Part:
    """The mail's parts; one with too many or too deeply nested ones is read as one text."""
    if raw.lower().count(b"boundary") <= MAX_PARTS:
        return split(raw)
    parsed.note("too_many_parts", f"The mail has more than {MAX_PARTS} nested parts.")
    return split(raw, flat=True)


_SENDERS = ("from", "sender", "reply-to", "return-path")


def _sender(head: Headers) -> list[Address]:
    """Who sent it; where From names nobody, the next best header that does."""
    given: list[Address] = []
    for name in _SENDERS:
        found = head.addresses(name)
        if any(one.address for one in found):
            return found
        given = given or found
    return given


def _text(found: Bodies, parsed: Parsed) -> str:
    text = found.text()
    if "\r" in text:
        text = text.replace("\r\n", "\n")
        text = text.replace("\r", "\n") if "\r" in text else text
    text = clean(text, 10**9).strip()
    if len(text) > MAX_TEXT:
        parsed.note("text_cut", f"The text is longer than {MAX_TEXT} characters.")
    return text[:MAX_TEXT]


def _html(found: Bodies, parsed: Parsed) -> str | None:
    html = clean(found.html(), 10**9)
    if not html.strip():
        return None
    if len(html) > markup.MAX_SOURCE:
        parsed.note("html_cut", f"Only the first {markup.MAX_SOURCE} characters of HTML are read.")
    safe = markup.safe(html)
    if len(safe) <= markup.MAX_HTML:
        return safe
    parsed.note("html_left_out", f"The HTML is longer than {markup.MAX_HTML} characters.")
    return None


def _attachments(found: Bodies, parsed: Parsed) -> list[Attachment]:
    if len(found.files) > MAX_ATTACHMENTS:
        parsed.lose("too_many_attachments", f"The mail has more than {MAX_ATTACHMENTS}.")
    attachments: list[Attachment] = []
    for file in found.files[:MAX_ATTACHMENTS]:
        digest = sha256(file.content).hexdigest()
        parsed.blobs.append(Blob(digest, file.content))
        attachments.append(
            Attachment(
                name=file.name,
                content_type=file.content_type,
                size=len(file.content),
                sha256=digest,
                inline=file.inline,
                content_id=file.content_id,
            )
        )
    return attachments


def _digest(head: Headers, raw: bytes) -> str:
    """What two deliveries of a mail share and two mails do not: sender, date, subject and body, but
    no trace of the route."""
    body = raw.replace(b"\r\n", b"\n").partition(b"\n\n")[2].strip()
    parts = [head.raw(name) for name in ("message-id", "from", "date", "to", "subject")]
    known = "\x00".join(parts).encode("utf-8", "replace")
    return sha256(known + b"\x00" + body).hexdigest()[:32]
