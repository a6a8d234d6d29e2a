"""Content-Transfer-Encoding, undone: what is no valid encoding is given as it is, never lost."""

import binascii
import re

_WORD = re.compile(rb"[A-Za-z0-9-]{1,40}")
_BLANKS = b" \t\r\n\x00"
_NAMES = {
    b"quoted-printable": "qp", b"quotedprintable": "qp", b"qp": "qp",
    b"base64": "base64", b"base-64": "base64", b"b64": "base64",
    b"x-uuencode": "uu", b"uuencode": "uu", b"x-uue": "uu", b"uue": "uu",
}  # fmt: skip


def encoding(value: bytes) -> str:
    """ "qp", "base64", "uu", or "" for bytes as they are."""
    word = _WORD.search(value)
    return _NAMES.get(word[0].lower(), "") if word else ""


def decoded(body: bytes, name: str, *, text: bool) -> bytes:
    """The bytes of a body. What follows a text's base64 (the footer of a list) is kept below it."""
    if name == "qp":
        return binascii.a2b_qp(body)
    if name == "base64":
        return _base64(body, text)
    if name == "uu":
        return uudecoded(body)
    return body


def _base64(body: bytes, text: bool) -> bytes:
    kept = body.translate(None, _BLANKS)
    if not _is_base64(kept):
        if text:
            return _mixed(body)
        kept = kept.partition(b"==")[0].translate(None, _LITTER)
    return padded(kept.rstrip(b"="))


_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_LITTER = bytes(set(range(256)) - set(_ALPHABET))


def _is_base64(kept: bytes) -> bool:
    """Whether nothing is in it but base64 and, at its end, padding."""
    other = kept.translate(None, _ALPHABET)
    return other in (b"", b"=", b"==", b"===") and kept.endswith(other)


def padded(kept: bytes) -> bytes:
    """Base64 without blanks and padding, decoded; a last character that stands alone is dropped."""
    if len(kept) % 4 == 1:
        kept = kept[:-1]
    try:
        return binascii.a2b_base64(kept + b"=" * (-len(kept) % 4))
    except binascii.Error:
        return b""


def _mixed(body: bytes) -> bytes:
    """A text of which some lines are base64: those decoded, the others as they are."""
    if (meant := _littered(body)) is not None:
        return meant
    lines = body[:_MIXED_UPTO].splitlines(keepends=True)
    at = 0
    while at < len(lines) and _is_base64(lines[at].translate(None, b"\t\r\n")):
        at += 1
    good = b"".join(lines[:at]).translate(None, _BLANKS)
    if len(good) < 8:
        return body
    rest = b"".join(lines[at:]) + body[_MIXED_UPTO:]
    return padded(good.rstrip(b"=")) + (b"\n\n" + rest if rest.strip() else b"")


_MIXED_UPTO = 4 * 1024 * 1024  # bytes that are looked at line by line
_MAX_LITTER = 0.15


def _littered(body: bytes) -> bytes | None:
    """Base64 with some characters between that are none, which RFC 2045 has us pass over; None for
    what is rather words, or whose bytes are no text."""
    if b" " in body.strip():
        return None
    kept = body.translate(None, _BLANKS)
    good = kept.translate(None, _LITTER)
    if len(good) < 8 or len(kept.rstrip(b"=")) - len(good) > _MAX_LITTER * len(kept):
        return None
    content = padded(good)
    if content.translate(None, _CONTROLS) != content:
        return None
    other = len(content) - len(content.translate(None, _BEYOND_ASCII))
    return content if other < 0.3 * len(content) or _is_utf8(content) else None


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


_BEYOND_ASCII = bytes(range(0x80, 0x100))
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\r\x1b")) + b"\x7f"


_LINE = re.compile(rb"[^\r\n]+")


def uudecoded(body: bytes) -> bytes:
    """The bytes of a uuencoded body, from its "begin" (or its first line) to its "end"."""
    chunks: list[bytes] = []
    for found in _LINE.finditer(body):
        line = found[0]
        if line.startswith(b"begin ") or not line.strip(b"` "):
            continue
        if line.strip() == b"end":
            break
        chunk = uu_line(line)
        if chunk is None:
            return b"".join(chunks) if chunks else body
        chunks.append(chunk)
    return b"".join(chunks)


def uu_line(line: bytes) -> bytes | None:
    """One line of uuencode; None for what is none. Some encoders write more characters than the
    line's length says."""
    try:
        return binascii.a2b_uu(line)
    except binascii.Error:
        wanted = ((line[0] - 32 & 63) * 4 + 5) // 3
        try:
            return binascii.a2b_uu(line[:wanted])
        except binascii.Error:
            return None
