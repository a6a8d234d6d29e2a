"""What values may be that people and platforms write freely: texts and attributes. Pure."""

from typing import Any, cast

import msgspec

from shared.contracts.problems import invalid

MAX_DEPTH = 16

_INT64 = 1 << 63
_WRITTEN_NUL = b"\\u0000"


def refuse_nul(value: Any, place: tuple[str, ...] = ()) -> None:
    """Raise Refused where a text holds NUL, which databases and desktops do not take. However deep."""
    left: list[tuple[Any, tuple[str, ...]]] = [(value, place)]
    while left:
        value, place = left.pop()
        if isinstance(value, str):
            if "\x00" in value:
                at = _pointer(place)
                raise invalid(at, "nul", "The text holds a NUL character.", "text without \\u0000")
        elif isinstance(value, dict):
            fields = cast("dict[str, Any]", value)
            left += [(name, place) for name in reversed(fields)]
            left += [(one, (*place, name)) for name, one in reversed(fields.items())]
        elif isinstance(value, list):
            items = enumerate(cast("list[Any]", value))
            left += reversed([(one, (*place, str(index))) for index, one in items])


def refuse_written_nul(body: bytes) -> None:
    """The same for a JSON text that has been read already: nearly none needs a second look."""
    if _WRITTEN_NUL in body:
        refuse_nul(msgspec.json.decode(body))


def check_value(value: Any, place: tuple[str, ...]) -> None:
    """Attributes are for rules: shallow, and with numbers that every reader holds exactly. Raises
    Refused; `place` is where the value stands."""
    if isinstance(value, (str, float, bool)) or value is None:
        return
    if isinstance(value, int):
        if not -_INT64 <= value < _INT64:
            raise invalid(_pointer(place), "range", "The number is too large.", "64 bits")
        return
    if len(place) > MAX_DEPTH:
        raise invalid(_pointer(place), "depth", "This is nested too deep.", f"{MAX_DEPTH} levels")
    inner = cast("dict[str, Any]", value).items() if isinstance(value, dict) else enumerate(value)
    for name, one in inner:
        check_value(one, (*place, str(name)))


def check_size(attributes: dict[str, Any], most_bytes: int, pointer: str) -> None:
    """Raises Refused where attributes take more than `most_bytes` as JSON."""
    size = len(msgspec.json.encode(attributes))
    if size > most_bytes:
        message = f"The attributes take {size} bytes."
        raise invalid(pointer, "too_large", message, f"at most {most_bytes} bytes")


def _pointer(place: tuple[str, ...]) -> str:
    return "".join("/" + one.replace("~", "~0").replace("/", "~1") for one in place)
