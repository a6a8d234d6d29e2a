"""Whether a mail was written by a machine: bounce, automatic reply, list, do-not-answer, own loop.

RFC 3834 (Auto-Submitted), RFC 3464 (delivery status), RFC 2369 and 2919 (lists).
"""

import re
from collections.abc import Iterable

import msgspec

from services.channels.connectors.email import encodings
from services.channels.connectors.email.headers import Headers, message_ids, readable
from services.channels.connectors.email.structure import Part
from shared.contracts.interactions import Address, Bounce, Flag

_STATUS = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.])")
_RECIPIENT = re.compile(r"<?([^\s<>;:,]{1,128}@[^\s<>;:,]{1,255})>?")
_DAEMON = re.compile(r"(?i)\A(mailer-daemon|postmaster|mail-daemon|mdaemon|bounce[sd]?)\b")
_FAILED = re.compile(
    r"(?i)undeliver|delivery (status|failure|has failed)|mail delivery|returned mail"
    r"|failure notice|non.?delivery|delivery.{0,20}delayed|unzustellbar|nicht zugestellt"
    r"|non remis|no se (ha )?pud|mancata consegna|onbestelbaar"
)


class Report(msgspec.Struct):
    """The machine-readable parts of a multipart/report (or of what looks like one)."""

    kind: str = ""
    status: str | None = None
    action: str | None = None
    recipient: str | None = None
    message_id: str | None = None


def read_report(root: Part) -> Report | None:
    """The report in a mail, None when it carries none. A gateway may have put it into a mixed mail,
    with its own words around."""
    found = _report_part(root)
    if found is None:
        return None
    report = Report(kind=found.parameters.get("report-type", "").lower())
    for part in found.children[:MAX_PARTS]:
        _read_part(part, report)
    return report


MAX_PARTS = 40


def _report_part(root: Part) -> Part | None:
    if root.kind == "multipart/report":
        return root
    if any(each.kind in _STATUS_KINDS for each in root.children):
        return root
    return next((each for each in root.children if each.kind == "multipart/report"), None)


_STATUS_KINDS = ("message/delivery-status", "message/global-delivery-status")


def _read_part(part: Part, report: Report) -> None:
    if part.kind in _STATUS_KINDS:
        report.kind = report.kind or "delivery-status"
        _read_status(source_of(part), report)
    elif part.kind == "message/disposition-notification":
        report.kind = report.kind or "disposition-notification"
        report.message_id = _field(source_of(part), "Original-Message-ID") or report.message_id
    elif part.kind in ("message/rfc822", "message/rfc822-headers", "text/rfc822-headers"):
        report.message_id = report.message_id or _field(source_of(part), "Message-ID")


def _read_status(text: str, report: Report) -> None:
    """The first recipient that failed, else the first of all."""
    blocks = [block for block in re.split(r"\n[ \t]*\n", text) if _field(block, "Action")]
    blocks.sort(key=lambda block: (_field(block, "Action") or "").lower() != "failed")
    block = blocks[0] if blocks else text
    report.action = (_field(block, "Action") or "").lower() or None
    found = _STATUS.search(_field(block, "Status") or "")
    report.status = found[1] if found else None
    whom = _field(block, "Final-Recipient") or _field(block, "Original-Recipient") or ""
    report.recipient = _recipient(whom)


def _recipient(text: str) -> str | None:
    found = _RECIPIENT.search(text.rpartition(";")[2])
    return found[1] if found else None


def _field(text: str, name: str) -> str | None:
    """A header-like field of some text, without brackets when it is a message id."""
    found = re.search(rf"(?im)^{name}[ \t]*:[ \t]*([^\n]*(?:\n[ \t]+[^\n]*)*)", text)
    if not found:
        return None
    value = " ".join(found[1].split())
    if name.lower().endswith("message-id"):
        return next(iter(message_ids(value)), None)
    return value or None


def source_of(part: Part, limit: int = 100_000) -> str:
    """The text of a part that holds headers."""
    name = encodings.encoding(part.field("content-transfer-encoding"))
    raw = encodings.decoded(part.body[:limit], name, text=True)
    return readable_lines(raw)


def readable_lines(raw: bytes) -> str:
    """Lines of headers as text, whatever they are in."""
    return "\n".join(readable(line) for line in raw.splitlines())


def bounce_of(
    headers: Headers, senders: Iterable[Address], report: Report | None, text: str
) -> Bounce | None:
    """What a bounce says; None when the mail is none. A notice of success is none."""
    if report is not None and report.kind in ("delivery-status", ""):
        if report.action in ("delivered", "relayed", "expanded"):
            return None
        seen = _bounce_by_text(headers, senders, text)
        return Bounce(
            report.status or seen.status,
            report.recipient or seen.recipient,
            report.message_id or seen.message_id,
        )
    failed = headers.raw("x-failed-recipients")
    daemon = any(_DAEMON.match(sender.address) for sender in senders)
    null = headers.raw("return-path").strip() == "<>"
    if not failed and not (daemon and (null or _FAILED.search(headers.text("subject")))):
        return None
    return _bounce_by_text(headers, senders, text)


def _bounce_by_text(headers: Headers, senders: Iterable[Address], text: str) -> Bounce:
    """What the words of a bounce tell, where no report does."""
    status = _STATUS.search(text[:20_000])
    failed = _recipient(headers.raw("x-failed-recipients"))
    recipient = failed or _recipient_in(text[:20_000], senders)
    original = _field(text[:50_000], "Message-ID")
    return Bounce(status[1] if status else None, recipient, original)


def _recipient_in(text: str, senders: Iterable[Address]) -> str | None:
    own = {sender.address.lower() for sender in senders}
    found = (match[1] for match in _RECIPIENT.finditer(text))
    return next((each for each in found if each.lower() not in own), None)


_AUTOMATIC = ("auto-generated", "auto-replied", "auto-notified")
_AUTO_HEADERS = ("x-autoreply", "x-autorespond", "x-auto-reply-from", "x-mail-autoreply")


def flags_of(
    headers: Headers, *, bounce: bool, report: Report | None, own_loop: bool
) -> list[Flag]:
    """The mail's flags, kept apart: each says one thing."""
    flags: list[Flag] = []
    if bounce:
        flags.append("bounce")
    listed = headers.has("list-id") or headers.has("list-unsubscribe")
    precedence = headers.token("precedence")
    listed = listed or precedence == "list"
    if _automatic(headers, listed) or (report is not None and not bounce):
        flags.append("auto_reply")
    if listed:
        flags.append("list")
    suppress = headers.raw("x-auto-response-suppress").strip().lower()
    if suppress and suppress != "none":
        flags.append("suppress")
    if own_loop:
        flags.append("own_loop")
    return flags


def _automatic(headers: Headers, listed: bool) -> bool:
    """RFC 3834's header by its token (auto-forwarded is a person's mail), and its predecessors. A
    null return path or a bulk precedence says it too, unless a list explains them."""
    submitted = headers.token("auto-submitted")
    if submitted in _AUTOMATIC or any(headers.has(name) for name in _AUTO_HEADERS):
        return headers.token("x-autoreply") != "no"
    if headers.token("precedence") == "auto_reply" or headers.has("x-loop"):
        return True
    bulk = headers.token("precedence") in ("bulk", "junk")
    return not listed and (bulk or headers.raw("return-path").strip() == "<>")
