"""Strict decoding by msgspec, and its errors as faults with JSON pointers. Pure."""

import re
from collections.abc import Mapping
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
_NO_CHOICE = re.compile(r"Invalid enum value (.*)\Z", re.DOTALL)
_CODES = (("of length", "length"), ("matching regex", "format"), (">=", "range"), ("<=", "range"))
# msgspec's names of types, as a reader of JSON calls them.
_TYPE = re.compile(r"`([a-z |]+)`")
_WORDS = {
    "str": "text", "int": "a whole number", "float": "a number", "bool": "true or false",
    "array": "a list", "object": "an object", "null": "null",
}  # fmt: skip
_DICTIONARY = re.compile(r"a valid dictionary( or (?:instance of )?\w+.*)?", re.DOTALL)
_LIMITS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<", "min_length": "length >=", "max_length": "length <=", "pattern": "matching"}  # fmt: skip


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
        message = f"The body is not JSON: {why_no_json(body, error)}."
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
        return missing_field(prefix, steps, found.group(1), kind)
    message = _in_words(message)
    if found := _EXPECTED.match(message):
        wanted = found.group(1)
        # A value of the right type that breaks a limit says which kind of limit.
        code = next((code for text, code in _CODES if text in wanted), "type")
        return Fault(_join(prefix, steps), code, f"{message}.", wanted)
    if found := _NO_CHOICE.match(message):
        known = ", ".join(_choices(kind, steps)) or None
        told = f"{found.group(1)} is not one of {known}." if known else f"{message}."
        return Fault(_join(prefix, steps), "value", told, known)
    return Fault(_join(prefix, steps), "value", f"{message}.")


def why_no_json(body: bytes, error: Exception) -> str:
    """msgspec's reason; it calls truncated also what is empty, or holds half of a surrogate pair."""
    if "truncated" not in str(error):
        return str(error)
    if not body.strip():
        return "it is empty"
    return "a surrogate stands alone" if b"\\ud" in body.lower() else "it ends too early"


def plain(message: str) -> str:
    """pydantic's message without Python's words."""
    return _DICTIONARY.sub("an object", message)


def missing_field(prefix: str, steps: list[str], name: str, kind: Any = None) -> Fault:
    """The fault of a field that has to be there: its values, where they can be counted."""
    place = _join(prefix, [*steps, name])
    if name.isdecimal():
        return Fault(place, "missing", f"Item {name} of the list is missing.", "a value there")
    article = "an" if name[:1].lower() in "aeiou" else "a"
    choices = ", ".join(_choices(kind, [*steps, name]))
    expected = f"one of {choices}" if choices else f"{article} {name}"
    return Fault(place, "missing", f"{name!r} is required.", expected)


def limit_of(context: Mapping[str, Any]) -> str | None:
    """What would be right, of the context of a pydantic error: the values, or the limit broken."""
    if context.get("expected"):
        return str(context["expected"])
    for name, sign in _LIMITS.items():
        if name in context:
            return f"{sign} {context[name]}"
    return None


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


def _choices(kind: Any, steps: list[str]) -> list[str]:
    """The values that the place `steps` within `kind` takes, where they are counted."""
    infos = [] if kind is None else [msgspec.inspect.type_info(kind)]
    for step in steps:
        infos = [inner for info in infos for inner in _inside(info, step)]
    found: list[str] = []
    for info in _flat(infos):
        if isinstance(info, msgspec.inspect.LiteralType):
            found += [str(value) for value in info.values]
        elif isinstance(info, msgspec.inspect.EnumType):
            found += [str(one.value) for one in info.cls]
    return found


def _in_words(message: str) -> str:
    def word(found: re.Match[str]) -> str:
        return " or ".join(_WORDS.get(one, one) for one in found.group(1).split(" | "))

    return _TYPE.sub(word, message).replace("\\\\Z'", "$'")


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
