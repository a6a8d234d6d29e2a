"""The machine-readable parts of a mail about a mail: what became of it, who opened or refused it.

RFC 3464 (delivery status), RFC 8098 (disposition), RFC 5965 (complaints).
"""

import re
from collections.abc import Iterator

import msgspec

from services.channels.connectors.email import encodings
from services.channels.connectors.email.headers import message_ids, readable
from services.channels.connectors.email.structure import Part

STATUS = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.])")
_ADDRESS = re.compile(
    r"<?((?:\"[^\"\s<>]{1,128}\"|[^\s<>;:,\"()\[\]|]{1,128})@[^\s<>;:,\"()\[\]|]{1,255})>?"
)


def addresses_in(text: str) -> Iterator[str]:
    """The addresses in some words, without what stands around them."""
    for found in _ADDRESS.finditer(text):
        address = found[1].removeprefix("SMTP=").strip("'`.")
        if not address.startswith("@") and not address.endswith("@"):
            yield address


def first_address(text: str) -> str | None:
    return next(addresses_in(text), None)


class Report(msgspec.Struct):
    """The machine-readable parts of a multipart/report (or of what looks like one)."""

    kind: str = ""
    status: str | None = None
    action: str | None = None
    recipient: str | None = None
    message_id: str | None = None
    disposition: str = ""


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
    if root.kind == "multipart/report" or root.parameters.get("report-type"):
        return root  # one whose boundaries are broken is a report all the same
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
        source = source_of(part)
        report.message_id = field(source, "Original-Message-ID") or report.message_id
        report.disposition = (field(source, "Disposition") or "").lower()
        report.recipient = first_address(
            (field(source, "Final-Recipient") or "").rpartition(";")[2]
        )
    elif part.kind == "message/feedback-report":
        report.kind = report.kind or "feedback-report"
    elif part.kind in _ORIGINALS:
        report.message_id = report.message_id or field(source_of(part), "Message-ID")


_ORIGINALS = ("message/rfc822", "message/rfc822-headers", "text/rfc822-headers")


def enclosed_id(root: Part) -> str | None:
    """The Message-ID of the first mail within a mail that is no report."""
    parts = (part for part in root.children[:MAX_PARTS] if part.kind in _ORIGINALS)
    return next((found for part in parts if (found := field(source_of(part), "Message-ID"))), None)


def _read_status(text: str, report: Report) -> None:
    """The first recipient that failed, else the first of all."""
    blocks = [block for block in re.split(r"\n[ \t]*\n", text) if field(block, "Action")]
    blocks.sort(key=lambda block: (field(block, "Action") or "").lower() != "failed")
    block = blocks[0] if blocks else text
    report.action = (field(block, "Action") or "").lower() or None
    found = STATUS.search(field(block, "Status") or "")
    found = found or STATUS.search(field(block, "Diagnostic-Code") or "")
    report.status = found[1] if found else None
    whom = field(block, "Final-Recipient") or field(block, "Original-Recipient") or ""
    report.recipient = first_address(whom.rpartition(";")[2])


def field(text: str, name: str) -> str | None:
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
