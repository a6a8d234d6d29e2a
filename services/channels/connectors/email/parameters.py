"""The value of a Content-Type or Content-Disposition header: its word and its parameters, as mail
programs write them. RFC 2045, RFC 2231, and what breaks both."""

import re
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from services.channels.connectors.email import charsets

MAX_VALUE = 4096
MAX_PARAMETERS = 100

# A stretch up to the next semicolon outside quotes. Possessive: no backtracking, whatever comes.
_SEGMENT = re.compile(r'(?>"(?:[^"\\]|\\.)*+"|[^;"]|")++', re.DOTALL)
_NAME = re.compile(r"\s*([A-Za-z0-9!#$%&'*+.^_`{|}~-]{1,80})\s*=\s*", re.DOTALL)
_KIND = re.compile(r"[a-z0-9][a-z0-9.+_-]{0,80}/[a-z0-9][a-z0-9.+_-]{0,120}")


_FEW = 120  # bytes of what is remembered: not a boundary, but what most parts say


def parameters(value: bytes) -> tuple[str, dict[str, str]]:
    """(the first word in lower case, parameters by name in lower case, the first of each). Not to be
    changed: what many parts say is read once."""
    return _remembered(value) if len(value) <= _FEW else _read(value)


def _read(value: bytes) -> tuple[str, dict[str, str]]:
    text = readable_bytes(value)
    word, semicolon, rest = text.partition(";")
    words = word.split(None, 1)
    if len(words) > 1 and "=" in words[1]:  # "text/plain charset=utf-8"
        rest = words[1] + semicolon + rest
    return (words[0].lower() if words else ""), _joined(_pairs(rest)) if rest else {}


_remembered = lru_cache(maxsize=1024)(_read)


@lru_cache(maxsize=1024)
def media_type(word: str) -> str:
    """The type that a Content-Type names; "" where it names none."""
    if found := _KIND.match(word):
        return found[0]
    return "multipart/mixed" if word == "multipart" else ""


def readable_bytes(value: bytes, charset: str | None = None) -> str:
    """A header's bytes as text, whatever they are in."""
    if len(value) > MAX_VALUE:
        value = value[:MAX_VALUE]
    if value.isascii() and b"\x1b" not in value:
        return value.decode("ascii").replace("\x00", "")
    return charsets.decode(value, "iso-2022-jp" if b"\x1b" in value else None, charset)


def _pairs(text: str) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    bare = False
    for found in _SEGMENT.finditer(text):
        segment = found[0]
        named = _NAME.match(segment)
        if named:
            given = segment[named.end() :].strip()
            bare = not given.startswith('"')
            pairs.append((named[1].lower(), given if bare else _unquoted(given)))
        elif bare and pairs and segment.strip():
            # A semicolon inside a value that ought to have been quoted.
            pairs[-1] = (pairs[-1][0], f"{pairs[-1][1]};{segment.rstrip()}")
        if len(pairs) >= MAX_PARAMETERS:
            break
    return pairs


def _unquoted(text: str) -> str:
    end = len(text) - 1
    while end > 0 and text[end] != '"':
        end -= 1
    inner = text[1:end] if end > 0 else text[1:]
    return re.sub(r'\\(["\\])', r"\1", inner)


def _joined(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """Parameters with RFC 2231's continuations put together and its percent encoding undone."""
    plain: dict[str, str] = {}
    split: dict[str, dict[int, tuple[bool, str]]] = {}
    for name, value in pairs:
        base, star, index = name.partition("*")
        if not star:
            plain.setdefault(name, value)
            continue
        coded = index.endswith("*") or index == ""
        number = index.rstrip("*")
        at = int(number) if number.isascii() and number.isdecimal() and len(number) < 4 else 0
        split.setdefault(base, {}).setdefault(at, (coded, value))
    for base, pieces in split.items():
        plain[base] = _extended([pieces[at] for at in sorted(pieces)])
    return plain


def _extended(pieces: list[tuple[bool, str]]) -> str:
    charset: str | None = None
    raw = b""
    for at, (coded, value) in enumerate(pieces):
        if coded and at == 0 and value.count("'") >= 2:
            charset, _, value = value.split("'", 2)
        raw += unquote_to_bytes(value) if coded else value.encode("utf-8", "replace")
    return charsets.decode(raw, charset)
