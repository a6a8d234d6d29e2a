"""What codecs of JSON share: the payload as an object, instants in any unit, ids as given."""

import math
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from hashlib import sha256
from typing import Any

from services.channels.connectors import fields
from services.channels.connectors.port import InboundRequest, Parsed
from shared.contracts.instants import parse_instant

_LONGEST = 512


def payload_of(request: InboundRequest, parsed: Parsed) -> dict[str, Any]:
    """The body's JSON object; empty, with a problem noted, when it is none."""
    payload = fields.decode_json(request.body, parsed)
    if isinstance(payload, dict) and payload:
        return payload
    if not parsed.problems:
        parsed.lose("unusable_payload", "The body is no JSON object.")
    return {}


def objects_of(request: InboundRequest, parsed: Parsed, *wrappers: str) -> list[dict[str, Any]]:
    """The objects of a polled body: one item, a list of items, or a page with them under one of
    the `wrappers`. A page without items is fine; anything else without is a problem."""
    payload = fields.decode_json(request.body, parsed)
    if isinstance(payload, list):
        found = list(fields.items(payload))
        if payload and not found:
            parsed.lose("unusable_payload", "The body holds no item.")
        return found
    if isinstance(payload, dict):
        for name in wrappers:
            if isinstance(payload.get(name), list | dict):
                return list(fields.items(payload, name))
    if isinstance(payload, dict) and payload:
        return [payload]
    if not parsed.problems:
        parsed.lose("unusable_payload", "The body holds no item.")
    return []


def moment(source: Any, *path: str) -> int | None:
    """Microseconds of an instant at a path: ISO 8601 with an offset, RFC 2822, or a number since
    1970 whose size tells its unit (seconds to nanoseconds). None for what is no time."""
    return moment_of(fields.at(source, *path))


def moment_of(value: Any) -> int | None:
    """`moment` of the value itself."""
    found = fields.number(value)
    if found is not None:
        return _scaled(found)
    if not isinstance(value, str) or len(value) > 64:
        return None
    try:
        return parse_instant(value.strip())
    except (ValueError, OverflowError):
        return _dated(value)


def _scaled(number: float) -> int | None:
    if number <= 0:
        return None
    for limit, factor in ((1e11, 1e6), (1e14, 1e3), (1e17, 1.0), (1e20, 1e-3)):
        if number < limit:
            return round(number * factor)
    return None


_UTC = re.compile(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d(?:\.\d{1,9})?) ?UTC\Z")


def _dated(text: str) -> int | None:
    try:
        if plain := _UTC.match(text):  # Ruby's way to print an instant
            return parse_instant(f"{plain[1]}T{plain[2]}Z")
        moment = parsedate_to_datetime(text)
        return None if moment.tzinfo is None else round(moment.timestamp() * 1_000_000)
    except (ValueError, OverflowError, TypeError, IndexError):
        return None


def given(source: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Some of the vendor's scalars, as given: numbers stay numbers, texts are cleaned and cut."""
    found: dict[str, Any] = {}
    for name in names:
        value = source.get(name)
        if isinstance(value, str):
            value = fields.clean(value, _LONGEST)
        if (
            isinstance(value, bool)
            or (isinstance(value, int) and abs(value) < 2**63)
            or (isinstance(value, str) and value)
        ):
            found[name] = value
    return found


MAX_NODES = 2_000


def cleaned(value: Any, limit: int = fields.MAX_TEXT, *, nodes: int = MAX_NODES) -> Any:
    """A copy of JSON that every consumer can keep: no NUL, no number beyond 64 bits, at most
    so many values."""
    return _cleaned(value, [nodes], limit)


def _cleaned(value: Any, left: list[int], limit: int) -> Any:
    left[0] -= 1
    if left[0] < 0:
        return None
    if isinstance(value, str):
        return fields.clean(value, limit)
    if isinstance(value, dict):
        return {
            fields.clean(str(name), 256): _cleaned(each, left, limit)
            for name, each in list(value.items())[: max(left[0], 0)]
        }
    if isinstance(value, list | tuple):
        return [_cleaned(each, left, limit) for each in value[: max(left[0], 0)]]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**63:
        return float(value) if abs(value) < 10**300 else None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, bool | int | float) else str(value)[:limit]


def digest_of(*parts: object) -> str:
    """A key for what the vendor gives none: the same for the same content."""
    text = "\x1f".join(map(str, parts))
    return "hash:" + sha256(text.encode("utf-8", "replace")).hexdigest()[:40]


def once(key: str, seen: dict[str, int]) -> str:
    """The key, told apart from the same one earlier in the payload by its place."""
    count = seen.get(key, 0)
    seen[key] = count + 1
    return f"{key}#{count}" if count else key
