"""Resources that people write -> their canonical form, or every fault with its JSON pointer."""

import types
from collections.abc import Mapping
from typing import Any, Union, get_args, get_origin

import msgspec
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from services.router.domain.config import TYPES
from services.router.domain.references import Known, references, warnings
from services.router.forms import FORMS, Form
from shared.contracts.faults import plain, why_no_json
from shared.contracts.problems import Fault, Refused, Warn
from shared.contracts.values import refuse_nul
from shared.rules import nearest

BODY_MAX_BYTES = 1_048_576

_CODES = {
    "extra_forbidden": "unknown_field",
    "missing": "missing",
    "literal_error": "one_of",
    "greater_than": "range",
    "greater_than_equal": "range",
    "less_than": "range",
    "less_than_equal": "range",
    "finite_number": "range",
    "too_long": "too_long",
    "too_short": "too_short",
    "string_too_long": "too_long",
    "string_too_short": "too_short",
    "string_pattern_mismatch": "pattern",
}


class Parsed(msgspec.Struct, frozen=True):
    """`resource` is the struct of config.py and `canonical` its JSON object, both None when there
    are `faults`."""

    resource: Any = None
    canonical: dict[str, Any] | None = None
    faults: list[Fault] = []


def parse(kind: str, body: bytes | Mapping[str, Any], name: str) -> Parsed:
    """Reads a resource of `kind` (agent, queue, policy, escalation, customer, team).

    `name` is the id of the path: it may be left out of the body, but not differ. Never raises for
    what is in the body.
    """
    given, fault = _object(body)
    if fault:
        return Parsed(faults=[fault])
    if given.setdefault("id", name) != name:
        message = f"the id in the body is not {name!r}"
        return Parsed(faults=[Fault("/id", "id_mismatch", message, name)])
    try:
        refuse_nul(given)
    except Refused as refused:
        return Parsed(faults=list(refused.errors))
    form = FORMS[kind]
    try:
        read = form.model_validate(given)
    except ValidationError as error:
        found = error.errors(include_url=False)
        return Parsed(faults=[_fault(one, given, form) for one in found])
    return _canonical(kind, read)


def check(
    kind: str, body: bytes | Mapping[str, Any], name: str, known: Known
) -> tuple[Any, dict[str, Any], list[Warn]]:
    """Parses and checks what it names: (struct, canonical JSON object, warnings).

    Raises Refused (validation) with every fault.
    """
    parsed = parse(kind, body, name)
    faults = parsed.faults or references(parsed.resource, known)
    if faults or parsed.canonical is None:
        raise Refused("validation", f"the {kind} {name!r} is not valid", errors=faults)
    return parsed.resource, parsed.canonical, warnings(parsed.resource, known)


def _object(body: bytes | Mapping[str, Any]) -> tuple[dict[str, Any], Fault | None]:
    if isinstance(body, Mapping):
        return dict(body), None
    if len(body) > BODY_MAX_BYTES:
        limit = f"at most {BODY_MAX_BYTES} bytes"
        return {}, Fault("", "too_large", f"the body has {len(body)} bytes", limit)
    try:
        given = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return {}, Fault("", "json", f"the body is no JSON: {why_no_json(body, error)}")
    if not isinstance(given, dict):
        return {}, Fault("", "type", "the body is no JSON object", "an object")
    return given, None


def _canonical(kind: str, read: Form) -> Parsed:
    resource = msgspec.convert(read.model_dump(exclude_none=True), TYPES[kind])
    written = msgspec.json.decode(msgspec.json.encode(resource))
    return Parsed(resource=resource, canonical=whole_numbers(written))


def whole_numbers(value: Any) -> Any:
    """60.0 as 60, as people write it; attributes stay as they were given."""
    if isinstance(value, dict):
        return {k: v if k == "attributes" else whole_numbers(v) for k, v in value.items()}
    if isinstance(value, list):
        return [whole_numbers(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


# -- faults


def _fault(error: ErrorDetails, given: dict[str, Any], form: type[Form]) -> Fault:
    place = _place(error["loc"], given)
    context = error.get("ctx") or {}
    pointer = "".join(f"/{_escape(part)}" for part in place) + str(context.get("at", ""))
    code = _CODES.get(error["type"]) or (
        "type" if error["type"].endswith("_type") else error["type"]
    )
    if error["type"] == "extra_forbidden":
        return _unknown_field(pointer, place, form)
    expected = context.get("expected") or _expected(error)
    return Fault(pointer, code, plain(error["msg"]), plain(str(expected)) if expected else None)


def _place(loc: tuple[str | int, ...], given: Any) -> list[str | int]:
    """The part of pydantic's location that is a place in the body as it was given."""
    place: list[str | int] = []
    for part in loc:
        if part == "[key]" or not isinstance(given, dict | list):
            break
        place.append(part)
        given = _inside(given, part)
    return place


def _inside(given: dict[str, Any] | list[Any], part: str | int) -> Any:
    if isinstance(given, dict):
        return given.get(str(part))
    return given[part] if isinstance(part, int) and part < len(given) else None


def _unknown_field(pointer: str, place: list[str | int], form: type[Form]) -> Fault:
    known = _fields(form, place[:-1])
    name = str(place[-1])
    guess = nearest(name, known)
    expected = guess or f"one of {', '.join(sorted(known))}"
    return Fault(pointer, "unknown_field", f"there is no field {name!r}", expected)


def _expected(error: ErrorDetails) -> str | None:
    context = error.get("ctx") or {}
    for name in ("ge", "gt", "le", "lt", "pattern", "min_length", "max_length"):
        if name in context:
            return f"{_SIGNS[name]} {whole_numbers(context[name])}"
    known, _, rest = error["msg"].partition("Input should be ")
    return rest if rest and not known else None


_SIGNS = {
    "ge": ">=",
    "gt": ">",
    "le": "<=",
    "lt": "<",
    "pattern": "matching",
    "min_length": "length >=",
    "max_length": "length <=",
}


def _fields(form: type[BaseModel], place: list[str | int]) -> list[str]:
    """Names of the fields that the form knows at a place."""
    kind: Any = form
    for part in place:
        model = _model(kind)
        if model is not None:
            kind = model.model_fields[str(part)].annotation
        else:
            kind = _item(kind)
    model = _model(kind)
    return list(model.model_fields) if model else []


def _model(kind: Any) -> type[BaseModel] | None:
    kind = _bare(kind)
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _item(kind: Any) -> Any:
    """What a list or a map of this type holds."""
    arguments = get_args(_bare(kind))
    return arguments[-1] if arguments else None


def _bare(kind: Any) -> Any:
    """A type without Annotated and without `| None`."""
    while True:
        if hasattr(kind, "__metadata__"):
            kind = get_args(kind)[0]
        elif get_origin(kind) in (Union, types.UnionType):
            kind = next(one for one in get_args(kind) if one is not type(None))
        else:
            return kind


def _escape(part: str | int) -> str:
    return str(part).replace("~", "~0").replace("/", "~1")
