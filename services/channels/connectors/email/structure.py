"""A raw mail as a tree of parts. Bytes are split and never decoded here, and nothing raises.

The standard library's parser gives up where boundaries are missing, wrong or not closed and where a
line within the headers is no header, and takes most of the time of reading a mail. What mail
programs and gateways really send is split here in one pass over the bytes of each level.
"""

import re
from functools import lru_cache

import msgspec

from services.channels.connectors.email.parameters import media_type, parameters

MAX_DEPTH = 60
MAX_HEAD = 256 * 1024
"""Most bytes of one entity's headers; what is beyond them is body."""
MAX_FIELDS = 1000
MAX_PIECES = 1000
"""Of one multipart; what follows them is one more."""


class Part(msgspec.Struct):
    """One entity: its headers (names in lower case, values as they came, in order), the bytes below
    them, still encoded, and, of a multipart, its parts. `declared`: the kind is its own word."""

    fields: list[tuple[str, bytes]]
    body: bytes
    kind: str = "text/plain"
    parameters: dict[str, str] = {}
    children: list["Part"] = []
    declared: bool = False

    def field(self, name: str) -> bytes:
        """The first value of a header that is not empty; b"" without one."""
        return next((value for key, value in self.fields if key == name and value), b"")


_FIELD = re.compile(rb"([!-9;-~]{1,200})[ \t]*:")
_KNOWN = re.compile(
    rb"(?i)(from|to|cc|subject|date|message-id|mime-version|content-[a-z-]+|received|reply-to"
    rb"|return-path|references|in-reply-to|delivered-to|x-[a-z0-9-]+)[ \t]*:"
)
_ENDS = (b"\r\n\r\n", b"\n\n", b"\r\r", b"\n\r\n")  # an empty line, by whose newlines ever
_LISTED = ("to", "cc", "from", "reply-to")


def split(raw: bytes, *, flat: bool = False) -> Part:
    """The tree of a mail. `flat`: one part, whatever it says of itself."""
    raw = raw.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n")
    fields, body = _head(raw)
    return Part(fields, body) if flat else _entity(fields, body, 0, "text/plain")


def _entity(fields: list[tuple[str, bytes]], body: bytes, depth: int, usual: str) -> Part:
    part = Part(fields, body, usual)
    value = part.field("content-type")
    if value:
        kind, part.parameters = parameters(value)
        kind = media_type(kind)
        part.kind, part.declared = kind or usual, bool(kind)
    if part.kind.startswith("multipart/") and depth < MAX_DEPTH:
        usual = "message/rfc822" if part.kind == "multipart/digest" else "text/plain"
        for piece in _pieces(part):
            part.children.append(_entity(*_head(piece, inner=True), depth + 1, usual))
    return part


def _head(raw: bytes, *, inner: bool = False) -> tuple[list[tuple[str, bytes]], bytes]:
    """(headers, body). An inner part may have no headers at all."""
    if raw[:1] in (b"\n", b"\r"):
        return [], raw[2:] if raw.startswith(b"\r\n") else raw[1:]
    end, length = _end_of_head(raw)
    head = raw[:end]
    if inner and not length and not _KNOWN.match(head):
        return [], raw
    fields, used = _fields(head)
    if used < len(head):
        return fields, raw[used:]
    return fields, raw[end + length :]


def _end_of_head(raw: bytes) -> tuple[int, int]:
    """(where the first empty line begins, its length); (MAX_HEAD, 0) without one."""
    end, length = MAX_HEAD, 0
    for mark in _ENDS:
        at = raw.find(mark, 0, min(end + len(mark) - 1, MAX_HEAD))
        if at >= 0:
            end, length = at, len(mark)
    return end, length


# A header with its continuations, up to the end of its last line. Possessive: no backtracking.
_WHOLE = re.compile(
    rb"(([!-9;-~]{1,200}+)[ \t]*+:([^\r\n\x0b\x0c]*+(?:\r?\n[ \t][^\r\n\x0b\x0c]*+)*+)(?:\r?\n|\Z))"
)


def _fields(head: bytes) -> tuple[list[tuple[str, bytes]], int]:
    """(the headers, how many bytes they are)."""
    found = _WHOLE.findall(head)
    if len(found) > MAX_FIELDS or sum([len(whole) for whole, _, _ in found]) < len(head):
        return _broken_fields(head)
    return [(_lowered(name), _unfolded(value)) for _, name, value in found], len(head)


@lru_cache(maxsize=2048)
def _lowered(name: bytes) -> str:
    return name.lower().decode("ascii")


def _unfolded(value: bytes) -> bytes:
    if b"\n" not in value:
        return value.strip()
    return b" ".join([line.strip() for line in value.split(b"\n")])


def _broken_fields(head: bytes) -> tuple[list[tuple[str, bytes]], int]:
    """`_fields` where a line is neither a header nor a continuation: it is left out while a header
    that everybody knows still follows; else the body begins with it."""
    fields: list[tuple[str, list[bytes]]] = []
    at = 0
    known = -1
    for line in head.splitlines(keepends=True):
        if line[:1] in (b" ", b"\t") and fields:
            fields[-1][1].append(line.strip())
        elif found := _FIELD.match(line):
            if len(fields) < MAX_FIELDS:
                fields.append((found[1].lower().decode("ascii"), [line[found.end() :].strip()]))
        elif not (line.startswith((b"From ", b">From ")) or line.isspace()):
            known = known if known >= 0 else _last_known(head)
            if at >= known:
                break
            if fields and fields[-1][0] in _LISTED and b"@" in line and b"<?" not in line:
                fields[-1][1].append(line.strip())
        at += len(line)
    return [(name, b" ".join(lines)) for name, lines in fields], at


def _last_known(head: bytes) -> int:
    """Where the last line begins that is a well-known header; 0 where there is none."""
    at = last = 0
    for line in head.splitlines(keepends=True):
        if _KNOWN.match(line):
            last = at
        at += len(line)
    return last


# A delimiter that nobody declared: a line of it, and a part's headers right below.
_LOOKS_DELIMITED = re.compile(
    rb"(?mi)^--([^\s-][^\r\n]{0,98}?|-{1,30}[^\s-][^\r\n]{0,68}?)[ \t]*\r?\n(?=content-[a-z-]{1,40}:)"
)
_SEARCHED = 65_536


def _pieces(part: Part) -> list[bytes]:
    """The raw parts of a multipart. [] where nothing delimits any: then it is no multipart, and its
    bytes are read as text."""
    boundary = part.parameters.get("boundary", "")
    declared = boundary.encode("utf-8", "surrogateescape").rstrip()
    pieces, before = _between(part.body, declared) if declared else ([], b"")
    if pieces:
        return pieces
    if before.strip():
        part.body = before
    found = _LOOKS_DELIMITED.search(part.body, 0, _SEARCHED)
    if found:
        pieces, _ = _between(part.body, found[1])
    if not pieces:
        part.kind, part.declared = "text/plain", False
    return pieces


def _between(body: bytes, boundary: bytes) -> tuple[list[bytes], bytes]:
    """(what is between a boundary's lines, what is before the first). The last need not be closed;
    what follows a closed one is nobody's text."""
    mark = b"--" + boundary
    pieces: list[bytes] = []
    start, before = -1, b""
    at = body.find(mark)
    while at >= 0:
        line = _delimits(body, at, at + len(mark))
        if line is not None:
            above = body[max(start, 0) : _before_newline(body, at)]
            if start < 0:
                before = above
            elif len(pieces) >= MAX_PIECES:
                break
            else:
                pieces.append(above)
            start, closed = line
            if closed:
                return pieces, before
        at = body.find(mark, at + len(mark))
    if start >= 0 and (pieces or body[start:].strip()):
        pieces.append(body[start:])
    return pieces, before


def _delimits(body: bytes, at: int, end: int) -> tuple[int, bool] | None:
    """(where the next line begins, whether this one closes) for a delimiter line; else None."""
    if at > 0 and body[at - 1] not in b"\r\n":
        return None
    newline = body.find(b"\n", end, end + 80)
    if newline < 0:
        newline = body.find(b"\r", end, end + 80)
    rest = body[end:newline] if newline >= 0 else body[end : end + 80]
    rest = rest.strip()
    if rest not in (b"", b"--"):
        return None
    return (newline + 1 if newline >= 0 else len(body)), rest == b"--"


def _before_newline(body: bytes, at: int) -> int:
    if body[at - 2 : at] == b"\r\n":
        return at - 2
    return max(at - 1, 0)
