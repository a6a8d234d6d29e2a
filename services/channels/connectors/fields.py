"""Reading JSON that anybody may have written: each function gives the type asked for, or nothing.

Text comes out without NUL and lone surrogates, which PostgreSQL and UTF-8 refuse.
"""

import json
import math
from collections.abc import Iterator
from typing import Any

import msgspec

from services.channels.connectors.port import Parsed

MAX_DEPTH = 64
MAX_ITEMS = 5001
"""Most items of a list that are read: more than the events that are taken of a payload, so that what
is left out is noticed (`handling.assemble`)."""
MAX_TEXT = 200_000


def decode_json(body: bytes, parsed: Parsed) -> Any:
    """The body's JSON; None, with a problem noted, when it is none or nested beyond MAX_DEPTH."""
    try:
        value = _decode(body)
    except (ValueError, RecursionError):
        parsed.lose("invalid_json", "The body is not JSON.")
        return None
    if body.count(b"{") + body.count(b"[") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        parsed.lose("too_deep", f"The JSON is nested more than {MAX_DEPTH} levels deep.")
        return None
    if value is None:
        parsed.lose("unusable_payload", "The body is null.")
    return value


def _decode(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, ValueError):
        # Lone surrogates, a byte-order mark and bytes that are not UTF-8 are read all the same.
        return json.loads(body.decode("utf-8-sig", "replace"))


def _depth(value: Any) -> int:
    """Depth of nesting, without recursion."""
    depth, level = 0, [value]
    while level and depth <= MAX_DEPTH:
        depth += 1
        level = [child for node in level for child in _children(node)]
    return depth


def _children(node: Any) -> list[Any]:
    if isinstance(node, dict):
        return [child for child in node.values() if isinstance(child, dict | list)]
    if isinstance(node, list):
        return [child for child in node if isinstance(child, dict | list)]
    return []


def clean(value: str, limit: int = MAX_TEXT) -> str:
    """Text without NUL and lone surrogates, cut at the limit."""
    if "\x00" in value:
        value = value.replace("\x00", "")
    if not value.isascii():
        value = _encodable(value)
    return value[:limit]


def _encodable(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-8", "replace").decode()
    return value


def text(source: Any, *path: str) -> str | None:
    """Non-empty text at a path of keys; numbers count as their digits."""
    value = at(source, *path)
    if isinstance(value, str):
        return clean(value) or None
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return str(value) if abs(value) < 10**30 else None
    return str(value) if isinstance(value, float) and math.isfinite(value) else None


def key(source: Any, *path: str) -> str | None:
    """Like `text`, for identifiers: at most 512 characters."""
    value = text(source, *path)
    return value[:512] if value else None


def at(source: Any, *path: str) -> Any:
    """The value at a path of keys; None where there is none."""
    for name in path:
        if not isinstance(source, dict):
            return None
        source = source.get(name)
    return source


def obj(source: Any, *path: str) -> dict[str, Any]:
    """The object at a path; empty where there is none."""
    value = at(source, *path)
    return value if isinstance(value, dict) else {}


def items(source: Any, *path: str) -> Iterator[dict[str, Any]]:
    """The objects in the list at a path (a lone object counts as a list of one)."""
    value = at(source, *path)
    if isinstance(value, dict):
        yield value
    elif isinstance(value, list):
        yield from (each for each in value[:MAX_ITEMS] if isinstance(each, dict))


def texts(source: Any, *path: str) -> list[str]:
    """The texts in the list at a path."""
    value = at(source, *path)
    if not isinstance(value, list):
        return []
    return [clean(each, 512) for each in value[:MAX_ITEMS] if isinstance(each, str) and each]


def number(source: Any, *path: str) -> float | None:
    """A finite number at a path; digits in text count."""
    value = at(source, *path)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def integer(source: Any, *path: str) -> int | None:
    """A whole number of at most 18 digits at a path; digits in text count."""
    value = at(source, *path)
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and value.strip().isascii() and len(value) <= 20:
        digits = value.strip()
        value = int(digits) if digits.lstrip("-").isdecimal() and digits.count("-") < 2 else None
    return value if isinstance(value, int) and abs(value) < 10**18 else None


def flag(source: Any, *path: str) -> bool:
    """Whether the value at a path is true."""
    return at(source, *path) is True


def known(**values: Any) -> dict[str, Any]:
    """The values that are there, for `vendor` and `attributes`."""
    return {name: value for name, value in values.items() if value not in (None, "", [], {})}
