"""Strict decoding by msgspec, and its errors as faults with JSON pointers. Pure."""

import re
from difflib import get_close_matches
from functools import cache
from typing import Any, TypeVar

import msgspec

from shared.contracts.problems import Fault, Refused

T = TypeVar("T")

_PLACE = re.compile(r" - at `(?:key in )?(.+)`\Z", re.DOTALL)
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]")
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`\Z", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.*)`\Z", re.DOTALL)
_EXPECTED = re.compile(r"Expected (.+?)(?:, got (.+))?\Z", re.DOTALL)


@cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def decode_body(body: bytes, kind: type[T], *, prefix: str = "") -> T:
    """JSON -> `kind`. Raises Refused("validation"); `prefix` is put before the pointer."""
    try:
        return _decoder(kind).decode(body)
    except msgspec.ValidationError as error:
        fault = fault_of(error, kind, prefix)
        raise Refused("validation", fault.message, errors=[fault]) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        message = f"The body is not JSON: {error}."
        fault = Fault(prefix, "json", message)
        raise Refused("validation", message, errors=[fault]) from error


def fault_of(error: msgspec.ValidationError, kind: Any = None, prefix: str = "") -> Fault:
    """A msgspec error as a fault. `kind`, where given, is searched for the nearest field name."""
    text = str(error)
    place = _PLACE.search(text)
    steps = _steps(place.group(1)) if place else []
    message = text[: place.start()] if place else text
    if found := _UNKNOWN.match(message):
        return unknown_field(prefix, steps, found.group(1), fields_at(kind, steps))
    if found := _MISSING.match(message):
        name = found.group(1)
        return Fault(
            _join(prefix, [*steps, name]), "missing", f"{name!r} is required.", f"a {name}"
        )
    if found := _EXPECTED.match(message):
        return Fault(_join(prefix, steps), "type", f"{message}.", found.group(1))
    return Fault(_join(prefix, steps), "value", f"{message}.")


def unknown_field(prefix: str, steps: list[str], name: str, known: list[str]) -> Fault:
    """The fault of a field that is not known, with the nearest name that is."""
    near = get_close_matches(name, known, n=1, cutoff=0.6)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    expected = near[0] if near else (", ".join(sorted(known)) or None)
    return Fault(
        _join(prefix, [*steps, name]), "unknown_field", f"{name!r} is not known.{hint}", expected
    )


def fields_at(kind: Any, steps: list[str]) -> list[str]:
    """Names of the fields of the struct that lies at `steps` within `kind`; [] when none does."""
    infos = [] if kind is None else [msgspec.inspect.type_info(kind)]
    for step in steps:
        infos = [inner for info in infos for inner in _inside(info, step)]
    return [
        field.encode_name
        for info in _flat(infos)
        if isinstance(info, msgspec.inspect.StructType)
        for field in info.fields
    ]


def _flat(infos: list[Any]) -> list[Any]:
    return [
        inner
        for info in infos
        for inner in (info.types if isinstance(info, msgspec.inspect.UnionType) else (info,))
    ]


def _inside(info: Any, step: str) -> list[Any]:
    found: list[Any] = []
    for one in _flat([info]):
        if isinstance(one, msgspec.inspect.StructType):
            found += [field.type for field in one.fields if field.encode_name == step]
        elif isinstance(one, msgspec.inspect.ListType):
            found.append(one.item_type)
        elif isinstance(one, msgspec.inspect.DictType):
            found.append(one.value_type)
    return found


def _steps(path: str) -> list[str]:
    """`$.data.items[3].role` -> ["data", "items", "3", "role"]; `[...]` (a dict's value) -> "*"."""
    return [(name or ("*" if index == "..." else index)) for name, index in _STEP.findall(path[1:])]


def _join(prefix: str, steps: list[str]) -> str:
    return prefix + "".join("/" + one.replace("~", "~0").replace("/", "~1") for one in steps)
