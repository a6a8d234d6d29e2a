"""Bodies of resources that people write: pydantic, its errors as faults with pointers and hints."""

from collections.abc import Sequence
from typing import Any, TypeVar, cast, get_args

import msgspec
from fastapi import Request
from pydantic import BaseModel, ConfigDict, ValidationError

from shared.contracts.faults import limit_of, missing_field, plain, unknown_field, why_no_json
from shared.contracts.problems import Fault, Refused, invalid
from shared.contracts.values import refuse_written_nul
from shared.http.bodies import check_content_type
from shared.http.problems import pointer

M = TypeVar("M", bound=BaseModel)

MAX_FAULTS = 50
_DECODE = msgspec.json.Decoder()


class Resource(BaseModel):
    """Base of resource bodies: unknown fields are refused, nothing is converted on the quiet."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


async def read_resource(request: Request, model: type[M], *, id_in_path: str | None = None) -> M:
    """The request's body as `model`. An `id` in it must equal `id_in_path`, and is filled in
    from there. Raises Refused("validation") with every fault, or "unsupported-media-type".
    """
    check_content_type(request, ("application/json",))
    return parse_resource(await request.body(), model, id_in_path=id_in_path)


def parse_resource(body: bytes, model: type[M], *, id_in_path: str | None = None) -> M:
    """JSON -> `model`. Raises Refused("validation")."""
    try:
        content = _DECODE.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise invalid("", "json", f"The body is not JSON: {why_no_json(body, error)}.") from error
    if not isinstance(content, dict):
        raise invalid("", "type", "The body is not an object.", "object")
    refuse_written_nul(body)
    fields = cast(dict[str, Any], content)
    if id_in_path is not None:
        if fields.setdefault("id", id_in_path) != id_in_path:
            raise invalid("/id", "id", "The id differs from the path's.", id_in_path)
        if "id" not in model.model_fields:
            del fields["id"]
    return validate_resource(fields, model)


def validate_resource(content: Any, model: type[M], *, prefix: Sequence[Any] = ()) -> M:
    """Plain JSON values -> `model`. Raises Refused("validation"); `prefix` leads the pointers."""
    try:
        # By way of JSON, so that strict mode takes what JSON can say (tuples, instants, enums).
        return model.model_validate_json(msgspec.json.encode(content))
    except ValidationError as error:
        faults = faults_of(error, model, content, prefix)
        raise Refused("validation", faults[0].message, errors=faults) from error


def faults_of(
    error: ValidationError, model: type[BaseModel], content: Any, prefix: Sequence[Any] = ()
) -> list[Fault]:
    """pydantic's errors about `content` as faults, at most MAX_FAULTS of them.

    Where a union was meant otherwise than one of its members, only what lies deepest is told.
    """
    found = error.errors(include_url=False, include_input=False, include_context=True)
    faults = [_fault(one, model, content, prefix) for one in found[:MAX_FAULTS]]
    places = {fault.pointer for fault, _ in faults}
    return [
        fault
        for fault, of_union in faults
        if not of_union or not any(place.startswith(fault.pointer + "/") for place in places)
    ]


def _fault(
    error: Any, model: type[BaseModel], content: Any, prefix: Sequence[Any]
) -> tuple[Fault, bool]:
    """(fault, whether it is about one member of a union)."""
    place = _place(error["loc"], content, str(error["type"]))
    return _told(error, model, prefix, place), len(place) < len(error["loc"])


def _told(error: Any, model: type[BaseModel], prefix: Sequence[Any], place: Sequence[Any]) -> Fault:
    code = str(error["type"])
    where = pointer([*prefix, *place])
    if code == "extra_forbidden" and place:
        parent = [str(part) for part in place[:-1]]
        known = sorted({name for one in _models_at(model, place[:-1]) for name in _names(one)})
        return unknown_field(pointer(prefix), parent, str(place[-1]), known)
    if code == "missing":
        return missing_field(pointer([*prefix, *place[:-1]]), [], str(place[-1]))
    context: dict[str, Any] = error.get("ctx", {})
    if code == "value_error":
        return Fault(where, "value", str(context.get("error", error["msg"])))
    return Fault(where, code, f"{plain(error['msg'])}.", limit_of(context))


def _place(loc: Sequence[Any], content: Any, code: str) -> list[Any]:
    """pydantic's loc without what is no part of the body: names of a union's members, "[key]"."""
    place: list[Any] = []
    for at, part in enumerate(loc):
        if isinstance(content, dict) and part in content:
            content = cast(dict[Any, Any], content)[part]
        elif isinstance(content, list) and isinstance(part, int):
            items = cast(list[Any], content)
            content = items[part] if part < len(items) else None
        elif code != "missing" or at < len(loc) - 1:
            continue
        place.append(part)
    return place


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _models_at(model: type[BaseModel], place: Sequence[Any]) -> list[type[BaseModel]]:
    kinds: list[Any] = [model]
    for part in place:
        kinds = [found for kind in kinds for found in _step(kind, part)]
    return [kind for kind in kinds if _is_model(kind)]


def _names(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _step(kind: Any, part: Any) -> list[Any]:
    """The types that may lie at `part` within `kind`, unions taken apart."""
    if _is_model(kind):
        for name, field in kind.model_fields.items():
            if part in (name, field.alias):
                return _members(field.annotation)
        return []
    arguments = get_args(kind)
    if not arguments or isinstance(arguments[0], str):
        return []
    if isinstance(part, int) and getattr(kind, "__origin__", None) in (list, tuple, set):
        return _members(arguments[0])
    if getattr(kind, "__origin__", None) is dict:
        return _members(arguments[1])
    return []


def _members(kind: Any) -> list[Any]:
    """A union's members, Annotated and aliases undone; [kind] for another type."""
    value = getattr(kind, "__value__", None)
    if value is not None:
        return _members(value)
    if hasattr(kind, "__metadata__"):
        return _members(get_args(kind)[0])
    if type(kind).__name__ in ("UnionType", "_UnionGenericAlias", "Union"):
        return [inner for one in get_args(kind) for inner in _members(one)]
    return [kind]
