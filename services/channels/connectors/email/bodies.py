"""The bodies and files of a mail's parts: which part is text to read, and which is a file."""

import binascii
import re
from email.message import Message

import msgspec

from services.channels.connectors.email import charsets, markup
from services.channels.connectors.email.headers import BROKEN, decoded, readable
from services.channels.connectors.fields import clean

MAX_DEPTH = 60
_TEXTS = ("text/plain", "text/html")
_REPORTS = (
    "message/delivery-status",
    "message/global-delivery-status",
    "message/disposition-notification",
    "message/feedback-report",
    "message/rfc822",
    "message/rfc822-headers",
    "text/rfc822-headers",
)
_UNREAD = ("text/x-amp-html", "text/watch-html")


class File(msgspec.Struct):
    """A file that came with the mail, decoded."""

    content: bytes
    content_type: str
    name: str | None = None
    inline: bool = False
    content_id: str | None = None


class Section(msgspec.Struct):
    """One stretch of the body: plain text, HTML, or both as alternatives."""

    plain: str = ""
    html: str = ""


class Bodies(msgspec.Struct):
    """What a mail holds. `charset` is the first that a text part declares."""

    sections: list[Section] = []
    files: list[File] = []
    charset: str | None = None

    def text(self) -> str:
        """The plain text, made from HTML where a section has no other."""
        texts = (each.plain.strip() or markup.to_text(each.html) for each in self.sections)
        return "\n\n".join(text for text in texts if text.strip())

    def html(self) -> str:
        """The HTML, "" when no section has any."""
        if not any(each.html.strip() for each in self.sections):
            return ""
        return "\n".join(
            each.html if each.html.strip() else markup.of_text(each.plain)
            for each in self.sections
            if each.html.strip() or each.plain.strip()
        )


def collect(message: Message) -> Bodies:
    """Walk a mail's parts, in order."""
    found = Bodies()
    _walk(message, found, parent="", depth=0)
    return found


def _walk(part: Message, found: Bodies, parent: str, depth: int) -> None:
    kind = part.get_content_type()
    payload = part.get_payload()
    if isinstance(payload, list) and part.get_content_maintype() == "multipart":
        children = [each for each in payload if isinstance(each, Message)]
        if depth >= MAX_DEPTH:
            return
        if kind == "multipart/alternative":
            _alternatives(children, found, depth)
        else:
            for child in children:
                _walk(child, found, kind, depth + 1)
        return
    _leaf(part, kind, found, parent)


def _alternatives(children: list[Message], found: Bodies, depth: int) -> None:
    """The same content several times: one section with the best of each form."""
    inner = Bodies()
    for child in children:
        _walk(child, inner, "multipart/alternative", depth + 1)
    plain = "\n\n".join(each.plain for each in inner.sections if each.plain.strip())
    html = "\n".join(each.html for each in inner.sections if each.html.strip())
    if plain or html:
        found.sections.append(Section(plain, html))
    found.files += inner.files
    found.charset = found.charset or inner.charset


def _leaf(part: Message, kind: str, found: Bodies, parent: str) -> None:
    name = _filename(part)
    disposition = _word(part, "content-disposition")
    in_report = parent == "multipart/report" and kind in _REPORTS
    if (in_report and not name) or kind in _UNREAD:
        return
    file_like = disposition == "attachment" or name is not None
    readable_kind = kind in _TEXTS or kind.startswith("multipart/")
    if readable_kind and not file_like and not _encoded_file(part):
        _body(part, kind, found)
        return
    content_id = _header(part, "content-id").strip("<> ") or None
    found.files.append(
        File(
            content=_file_content(part),
            content_type=kind,
            name=name,
            inline=disposition == "inline" or (disposition == "" and content_id is not None),
            content_id=content_id,
        )
    )


def _encoded_file(part: Message) -> bool:
    """A part that is uuencoded as a whole is a file, whatever type it claims."""
    encoding = _word(part, "content-transfer-encoding")
    return encoding in ("x-uuencode", "uuencode", "x-uue", "uue")


def _body(part: Message, kind: str, found: Bodies) -> None:
    charset = _charset(part)
    found.charset = found.charset or charset
    text = charsets.decode(_content(part), charset)
    if kind == "text/html":
        found.sections.append(Section(html=text))
    else:
        text, files = extract_uuencoded(text)
        found.files += files
        found.sections.append(Section(plain=text))


def _content(part: Message) -> bytes:
    """The decoded content; the bytes as they are where the encoding is broken."""
    try:
        content = part.get_payload(decode=True)
    except BROKEN:
        content = None
    if isinstance(content, bytes):
        return content
    payload = part.get_payload()
    return payload.encode("utf-8", "surrogateescape") if isinstance(payload, str) else b""


def _file_content(part: Message) -> bytes:
    """A file's bytes; a mail within the mail as its source."""
    payload = part.get_payload()
    if not isinstance(payload, list):
        return _content(part)
    inner = [each for each in payload if isinstance(each, Message)]
    try:
        return b"\n".join(each.as_bytes() for each in inner)
    except BROKEN:
        return b"\n".join(_source(each) for each in inner)


def _source(message: Message) -> bytes:
    """A mail's source where the standard library cannot write it: its headers and, of a simple one,
    its content."""
    lines = [f"{name}: {value}\n" for name, value in message.raw_items()]
    head = "".join(lines).encode("utf-8", "surrogateescape")
    payload = message.get_payload()
    inner = payload if isinstance(payload, list) else []
    parts = [_source(each) for each in inner if isinstance(each, Message)]
    return head + b"\n" + (b"\n".join(parts) if parts else _content(message))


def _charset(part: Message) -> str | None:
    try:
        charset = part.get_param("charset")
    except BROKEN:
        return None
    if isinstance(charset, tuple):
        charset = charset[2]
    return charset if isinstance(charset, str) and charset else None


def _filename(part: Message) -> str | None:
    """The file's name from either header; None where neither gives one."""
    try:
        name = part.get_filename()
    except BROKEN:
        name = None
    if not name:
        return None
    name = decoded(readable(str(name), _charset(part)))
    name = re.split(r"[\\/]", name)[-1]
    return " ".join(name.split())[:255] or None


def _word(part: Message, name: str) -> str:
    """The first word of a header, in lower case; "" for what is no plain word."""
    value = _header(part, name).partition(";")[0].strip().lower()
    return value if re.fullmatch(r"[a-z0-9-]{1,40}", value) else ""


def _header(part: Message, name: str) -> str:
    value = next((str(v) for k, v in part.raw_items() if str(k).lower() == name), "")
    return clean(readable(value), 512)


_BEGIN = re.compile(r"begin [0-7]{3,4} (\S.{0,200})\Z")


def extract_uuencoded(text: str) -> tuple[str, list[File]]:
    """Text without the uuencoded files in it, and the files."""
    if not (text.startswith("begin ") or "\nbegin " in text):
        return text, []
    kept: list[str] = []
    files: list[File] = []
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        started = _BEGIN.match(lines[at])
        block = _uu_block(lines, at + 1) if started else None
        if started and block is not None:
            content, at = block
            name = started[1].strip()
            files.append(File(content, "application/octet-stream", name=name))
        else:
            kept.append(lines[at])
            at += 1
    return "\n".join(kept), files


def _uu_block(lines: list[str], at: int) -> tuple[bytes, int] | None:
    """The bytes of a block and the line after its end; None when it is none after all."""
    chunks: list[bytes] = []
    while at < len(lines):
        line = lines[at]
        if line.strip() == "end":
            return b"".join(chunks), at + 1
        if line.strip("` "):
            try:
                chunks.append(binascii.a2b_uu(line.encode("ascii")))
            except (binascii.Error, UnicodeError):
                return None
        at += 1
    return None
