"""winmail.dat, undone: Outlook's own wrapping of what it sends (TNEF). MS-OXTNEF, MS-OXPROPS.

Never raises: what can be read before the content breaks off is given.
"""

import struct
from collections.abc import Iterator

import msgspec

from services.channels.connectors.email import charsets, lzfu, rtf

KINDS = frozenset({"application/ms-tnef", "application/vnd.ms-tnef"})
NAME = "winmail.dat"
MAX_ATTRIBUTES = 2_000
MAX_PROPERTIES = 2_000
MAX_FILES = 200
MAX_DEPTH = 3

_SIGNATURE = b"\x78\x9f\x3e\x22"
_RENDERED, _TITLE, _DATA, _FILE_PROPERTIES = 0x69002, 0x18010, 0x6800F, 0x69005
_BODY, _PROPERTIES, _CODEPAGE = 0x2800C, 0x69003, 0x69007

_PLAIN, _RTF, _HTML = 0x1000, 0x1009, 0x1013
_CONTENT, _LONG_NAME, _SHORT_NAME, _MIME, _CONTENT_ID = 0x3701, 0x3707, 0x3704, 0x370E, 0x3712

_SIZES = {0x02: 4, 0x03: 4, 0x04: 4, 0x05: 8, 0x06: 8, 0x07: 8, 0x0A: 4, 0x0B: 4, 0x14: 8,
          0x40: 8, 0x48: 16}  # fmt: skip
_ANSI, _UNICODE, _BINARY, _OBJECT = 0x1E, 0x1F, 0x102, 0x0D
_COUNTED = frozenset({_ANSI, _UNICODE, _BINARY, _OBJECT})
_SEVERAL = 0x1000
_GUID = 16


class Inside(msgspec.Struct):
    """A file that was wrapped."""

    content: bytes = b""
    name: str | None = None
    content_type: str | None = None
    content_id: str | None = None


class Opened(msgspec.Struct):
    """What was wrapped: files, and the message's text in either form, "" without."""

    files: list[Inside] = []
    plain: str = ""
    html: str = ""


def opened(content: bytes, depth: int = 0) -> Opened | None:
    """The content of a winmail.dat; None for what is none."""
    if not content.startswith(_SIGNATURE):
        return None
    found, codepage = Opened(), "cp1252"
    for name, data in _attributes(content):
        try:
            if name == _CODEPAGE and len(data) >= 4:
                codepage = f"cp{struct.unpack_from('<I', data)[0]}"
            else:
                _take(found, name, data, codepage, depth)
        except (struct.error, ValueError, LookupError):
            continue  # one broken attribute hides no other
    found.files = [one for one in found.files if one.content]
    return found


def _attributes(content: bytes) -> Iterator[tuple[int, bytes]]:
    at = len(_SIGNATURE) + 2
    for _ in range(MAX_ATTRIBUTES):
        if at + 9 > len(content):
            return
        _, name, length = struct.unpack_from("<BII", content, at)
        yield name, content[at + 9 : at + 9 + length]
        at += 9 + length + 2


def _take(found: Opened, name: int, data: bytes, codepage: str, depth: int) -> None:
    if name == _RENDERED and len(found.files) < MAX_FILES:
        found.files.append(Inside())
    elif name == _BODY:
        found.plain = _text(data, codepage)
    elif name == _PROPERTIES:
        formatted = b""
        for which, kind, value in _properties(data):
            if which == _PLAIN:
                found.plain = _words(kind, value, codepage)
            elif which == _HTML:
                found.html = charsets.decode(value, None)
            elif which == _RTF:
                formatted = value
        if formatted and not found.plain.strip() and not found.html.strip():
            found.plain, found.html = rtf.read(lzfu.decompressed(formatted))
    elif found.files:
        _take_of_file(found, found.files[-1], name, data, codepage, depth)


def _take_of_file(
    found: Opened, file: Inside, name: int, data: bytes, codepage: str, depth: int
) -> None:
    if name == _TITLE:
        file.name = file.name or _text(data, codepage) or None
    elif name == _DATA:
        file.content = data
    elif name == _FILE_PROPERTIES:
        for which, kind, value in _properties(data):
            _describe(found, file, (which, kind, value), codepage, depth)


def _describe(
    found: Opened, file: Inside, told: tuple[int, int, bytes], codepage: str, depth: int
) -> None:
    which, kind, value = told
    if which == _LONG_NAME or (which == _SHORT_NAME and not file.name):
        file.name = _words(kind, value, codepage) or file.name
    elif which == _MIME:
        file.content_type = _words(kind, value, codepage) or None
    elif which == _CONTENT_ID:
        file.content_id = _words(kind, value, codepage).strip("<>") or None
    elif which == _CONTENT and kind == _BINARY:
        file.content = file.content or value
    elif which == _CONTENT and kind == _OBJECT:
        inner = opened(value[_GUID:], depth + 1) if depth < MAX_DEPTH else None
        if inner is None:
            file.content = file.content or value[_GUID:]
        else:  # a message that was attached: its files are the mail's
            found.files[-1:-1] = inner.files


def _properties(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(which, type, value) of each property; of several values the first."""
    count, at = struct.unpack_from("<I", data)[0], 4
    for _ in range(min(count, MAX_PROPERTIES)):
        kind, which = struct.unpack_from("<HH", data, at)
        at += 4
        if which >= 0x8000:
            at = _after_name(data, at)
        values = 1
        if kind & _SEVERAL or kind in _COUNTED:
            values, at = struct.unpack_from("<I", data, at)[0], at + 4
        first = b""
        for number in range(min(values, MAX_PROPERTIES)):
            value, at = _value(data, at, kind & ~_SEVERAL)
            first = value if number == 0 else first
        yield which, kind & ~_SEVERAL, first


def _after_name(data: bytes, at: int) -> int:
    """Where a property begins whose name comes first: a number or a text in a set's namespace."""
    named_by, length = struct.unpack_from("<II", data, at + _GUID)
    at += _GUID + 8
    return at + _padded(length) if named_by == 1 else at


def _value(data: bytes, at: int, kind: int) -> tuple[bytes, int]:
    if kind in _COUNTED:
        length = struct.unpack_from("<I", data, at)[0]
        at += 4
        if at + length > len(data):
            raise ValueError("a value that breaks off")
        return data[at : at + length], at + _padded(length)
    size = _SIZES[kind]
    return data[at : at + size], at + size


def _padded(length: int) -> int:
    return (length + 3) & ~3


def _words(kind: int, value: bytes, codepage: str) -> str:
    if kind == _UNICODE:
        return value.decode("utf-16-le", "replace").rstrip("\x00")
    return _text(value, codepage) if kind == _ANSI else ""


def _text(data: bytes, codepage: str) -> str:
    return charsets.decode(data.rstrip(b"\x00"), codepage)
