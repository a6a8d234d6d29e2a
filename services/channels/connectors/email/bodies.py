"""The bodies and files of a mail's parts: which part is text to read, and which is a file."""

import re

import msgspec

from services.channels.connectors.email import (
    charsets,
    encodings,
    invitations,
    markup,
    smime,
    tnef,
)
from services.channels.connectors.email.flowed import unflowed
from services.channels.connectors.email.headers import decoded, readable
from services.channels.connectors.email.parameters import media_type, parameters
from services.channels.connectors.email.pictures import without_pictures
from services.channels.connectors.email.structure import Part, split
from services.channels.connectors.fields import clean

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


_CARDS = ("text/calendar", "text/vcard", "text/x-vcard", "text/directory", "text/csv")
_ENRICHED = (
    "text/enriched",
    "text/richtext",
)  # RFC 1896 and its ancestor, from old Apple and Eudora


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


MAX_PLAIN = 2_000_000


class Room(msgspec.Struct):
    """How many more characters of a mail are read, of all its parts together: a part may be as large
    as a mail."""

    plain: int = MAX_PLAIN
    html: int = markup.MAX_SOURCE + 1  # by the last one it is known that there was more

    def section(self, plain: str = "", html: str = "") -> Section:
        """As much of a stretch as there is room for."""
        kept = Section(plain[: self.plain], html[: self.html])
        self.plain -= len(kept.plain)
        self.html -= len(kept.html)
        return kept


class Bodies(msgspec.Struct):
    """What a mail holds. `charset` is the first that a text part declares, `spare` what a wrapping
    of Outlook or an invitation says beside the mail's own text, `wrappings` how many signatures
    around it were opened."""

    sections: list[Section] = []
    spare: list[Section] = []
    files: list[File] = []
    charset: str | None = None
    wrappings: int = 0
    room: Room = msgspec.field(default_factory=Room)

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


def collect(root: Part) -> Bodies:
    """Walk a mail's parts, in order."""
    found = Bodies()
    _walk(root, found, parent="")
    if not any(each.plain.strip() or each.html.strip() for each in found.sections):
        found.sections += found.spare or _enclosed(root)
    return found


def _walk(part: Part, found: Bodies, parent: str) -> None:
    if not part.children:
        _leaf(part, found, parent)
    elif part.kind == "multipart/alternative":
        _alternatives(part.children, found)
    else:
        for child in part.children:
            _walk(child, found, part.kind)


def _alternatives(children: list[Part], found: Bodies) -> None:
    """The same content several times: one section with the best of each form."""
    inner = Bodies(wrappings=found.wrappings, room=found.room)
    for child in children:
        _walk(child, inner, "multipart/alternative")
    plain = "\n\n".join(each.plain for each in inner.sections if each.plain.strip())
    html = "\n".join(each.html for each in inner.sections if each.html.strip())
    if plain or html:
        found.sections.append(Section(plain, html))
    found.files += inner.files
    found.spare += inner.spare
    found.charset = found.charset or inner.charset


def _enclosed(root: Part) -> list[Section]:
    """The text of the first mail within a mail that says nothing itself: somebody passed it on, or
    a program sent it in pieces, of which this is one."""
    part = next((each for each in (root, *root.children) if each.kind in _MAILS), None)
    if part is None:
        return []
    inner = Bodies()
    if part.kind == _PIECE and part.parameters.get("number", "1").strip() != "1":
        return [Section(charsets.decode(part.body))]
    _walk(split(_content(part, text=False)), inner, parent="")
    return inner.sections


_PIECE = "message/partial"
_MAILS = ("message/rfc822", "message/global", _PIECE)


def _leaf(part: Part, found: Bodies, parent: str) -> None:
    kind = part.kind
    in_report = parent == "multipart/report" and kind in _REPORTS
    if kind in _UNREAD:
        return
    value = part.field("content-disposition")
    disposition, named = parameters(value) if value else ("", {})
    name = _filename(part, named)
    if in_report and not name:
        return
    file_like = name is not None and parent != ""
    # A body that is alone and has no name is no file, even where it says so.
    file_like = file_like or (disposition == "attachment" and (parent != "" or name is not None))
    if kind in _ENRICHED and not file_like:
        if parent != "multipart/alternative" or not found.sections:
            _body(part, found)
        return
    uuencoded = encodings.encoding(part.field("content-transfer-encoding")) == "uu"
    # A part that is uuencoded as a whole is a file, whatever type it claims.
    alone = parent == "" and kind.startswith("text/") and kind not in _CARDS
    if (kind in _TEXTS or alone) and not file_like and not uuencoded:
        _body(part, found)
        return
    if uuencoded and name is None and (begun := _BEGUN.search(part.body, 0, 2000)):
        name = readable(begun[1].strip())
    if (kind in tnef.KINDS or (name or "").lower() == tnef.NAME) and _unwrapped(part, found):
        return
    if _signed(kind, name) and _opened(part, found):
        return
    if kind == "text/calendar":
        invited = invitations.words_of(charsets.decode(_content(part, text=True)))
        found.spare += [found.room.section(clean(invited, 10**9))] if invited else []
    name = name or _usual_name(part)
    content_id = _header(part, "content-id").strip("<> ") or None
    found.files.append(
        File(
            content=_content(part, text=False),
            content_type=kind,
            name=name,
            inline=disposition == "inline" or (disposition == "" and content_id is not None),
            content_id=content_id,
        )
    )


def _signed(kind: str, name: str | None) -> bool:
    return kind in smime.KINDS or (name or "").lower().endswith(smime.SUFFIX)


_MAX_WRAPPINGS = 8


def _opened(part: Part, found: Bodies) -> bool:
    """Take the mail within a signature. False where it is encrypted: it stays a file."""
    inside = smime.signed_content(_content(part, text=False))
    if inside is None or found.wrappings >= _MAX_WRAPPINGS:
        return False
    found.wrappings += 1
    _walk(split(inside), found, parent="")
    return True


def _usual_name(part: Part) -> str | None:
    """A name for what programs attach without one: a mail by its subject, an invitation."""
    if part.kind == "text/calendar":
        return "invite.ics"
    if part.kind not in ("message/rfc822", "message/global"):
        return None
    subject = decoded(readable(split(_content(part, text=False), flat=True).field("subject")))
    title = " ".join(re.sub(r'[\\/:*?"<>|]', " ", subject).split())[:200].strip(". ")
    return f"{title or 'message'}.eml"


def _unwrapped(part: Part, found: Bodies) -> bool:
    """Take what Outlook wrapped. False where there is no file in it: it stays a file itself."""
    inside = tnef.opened(_content(part, text=False))
    if inside is None:
        return False
    if inside.plain.strip() or inside.html.strip():
        words = clean(inside.plain, 10**9), clean(inside.html, 10**9)
        found.spare.append(found.room.section(*words))
    for one in inside.files:
        name = " ".join(clean(re.split(r"[\\/]", one.name or "")[-1], 255).split()) or None
        kind = media_type(one.content_type or "") or "application/octet-stream"
        inline = one.content_id is not None
        found.files.append(File(one.content, kind, name, inline, one.content_id))
    return bool(inside.files)


_BEGUN = re.compile(rb"(?m)^begin [0-7]{3,4} (\S.{0,200}?)\r?$")
_HTML = re.compile(r"(?i)\s*(?:<!doctype html|<html[\s>])")
_META_CHARSET = re.compile(rb"(?i)<meta\b[^>]{0,200}?\bcharset\s*=\s*[\"']?([a-z0-9._:-]{1,40})")


def _body(part: Part, found: Bodies) -> None:
    charset = part.parameters.get("charset") or None
    content = _content(part, text=True)
    if charset is None and part.kind == "text/html":
        meta = _META_CHARSET.search(content, 0, 4096)
        charset = meta[1].decode("ascii") if meta else None
    found.charset = found.charset or charset
    text = charsets.decode(content, charset).removeprefix("\ufeff")
    if part.kind == "text/html" or (not part.declared and _HTML.match(text)):
        found.sections.append(found.room.section(html=_pictured(text, found)))
    elif part.kind in _ENRICHED:
        found.sections.append(found.room.section(_unenriched(text[: found.room.plain])))
    else:
        text = _read_of(text, found.room.plain)
        if part.parameters.get("format", "").lower() == "flowed":
            deleted = part.parameters.get("delsp", "").lower() == "yes"
            text = unflowed(text, delete_space=deleted)
        text, files = extract_uuencoded(text)
        found.files += files
        found.sections.append(found.room.section(text))


_UU_LINE = 20  # characters: fewer in a line, and it is no file


def _read_of(text: str, room: int) -> str:
    """What is looked at of a plain text: all of it where files may stand in it, uuencoded."""
    if len(text) <= room or ("\nbegin " in text and text.count("\n") * _UU_LINE < len(text)):
        return text
    return text[:room]


def _pictured(html: str, found: Bodies) -> str:
    """The HTML with its own pictures among the mail's files."""

    def keep(content: bytes, kind: str, identity: str) -> None:
        found.files.append(File(content, kind, inline=True, content_id=identity))

    return without_pictures(html, keep)


def _unenriched(text: str) -> str:
    """Enriched text without its commands; "<<" stands for a bracket."""
    return _COMMAND.sub(lambda found: "<" if found[0] == "<<" else "", text)


_COMMAND = re.compile(r"<<|<param>[^<]{0,200}</param>|</?[a-zA-Z][a-zA-Z0-9-]{0,60}>")


def _content(part: Part, *, text: bool) -> bytes:
    """The decoded content; the bytes as they are where the encoding is broken."""
    name = encodings.encoding(part.field("content-transfer-encoding"))
    if name == "base64" and part.kind.startswith("message/") and b":" in part.body[:200]:
        return part.body  # declared base64, but a mail as it is
    return encodings.decoded(part.body, name, text=text) if name else part.body


def _filename(part: Part, named: dict[str, str]) -> str | None:
    """The file's name from either header; None where neither gives one."""
    name = named.get("filename") or named.get("name") or part.parameters.get("name")
    if not name:
        return None
    name = re.split(r"[\\/]", decoded(name))[-1]
    return " ".join(name.split())[:255] or None


def _header(part: Part, name: str) -> str:
    return clean(readable(part.field(name)), 512)


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
            chunk = encodings.uu_line(line.encode("ascii", "replace"))
            if chunk is None:
                return None
            chunks.append(chunk)
        at += 1
    return None
