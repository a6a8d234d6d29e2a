"""JSON Schemas of the code's own types: the components of the OpenAPI document, each under one name."""

from collections.abc import Iterator
from types import UnionType
from typing import Any, cast, get_args

import msgspec
from pydantic import BaseModel

from shared.contracts.problems import STATUS, Problem, Warn
from shared.http.calls import REF, Written

ID = {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"}


class NameTaken(Exception):
    """Two types of one name: a client made of the document could not tell them apart."""


class Components:
    """Gathers the schemas that a document refers to."""

    def __init__(self) -> None:
        self.schemas: dict[str, Any] = {}
        self._add("Problem", _problem())
        self.ref(Problem)

    def ref(self, kind: Any) -> dict[str, Any]:
        """The schema that stands for `kind`. Raises NameTaken."""
        if isinstance(kind, dict):
            return cast(dict[str, Any], kind)
        if isinstance(kind, Written):
            return self._written(kind)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return self._model(kind, kind.__name__)
        if isinstance(kind, UnionType):
            return {"anyOf": [self.ref(one) for one in get_args(kind)]}
        (schema,), inner = msgspec.json.schema_components([kind], ref_template=REF + "{name}")
        structs = {one.__name__: one for one in _structs(msgspec.inspect.type_info(kind))}
        for name, one in inner.items():
            if name != "Problem":
                self._add(name, _complete(one, structs.get(name)))
        return schema

    def page(self, plural: str, kind: Any) -> dict[str, Any]:
        """A cursor page: what all pages have, and this one's list."""
        name = "".join(part.capitalize() for part in plural.split("_")) + "Page"
        self._add("Page", PAGE)
        listed = {"type": "array", "items": self.ref(kind)}
        own = {"type": "object", "properties": {plural: listed}, "required": [plural]}
        self._add(name, {"title": name, "allOf": [{"$ref": REF + "Page"}, own]})
        return {"$ref": REF + name}

    def _written(self, kind: Written) -> dict[str, Any]:
        """With the id that each answer shows, and the warnings that a PUT's may hold."""
        extra: dict[str, Any] = {}
        if kind.warnings:
            extra["warnings"] = {
                "type": "array",
                "items": self.ref(Warn),
                "readOnly": True,
                "description": "what is legal but doubtful; only in the answer to a PUT",
            }
        return self._model(kind.model, kind.name, extra)

    def _model(
        self, kind: type[BaseModel], name: str, extra: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        whole = kind.model_json_schema(ref_template=REF + "{model}")
        inner: dict[str, Any] = whole.pop("$defs", {})
        own = inner.get(kind.__name__, whole)  # one that holds itself is among them
        named = own if extra is None else {**_with_id(own, extra), "title": name}
        for one, schema in {**inner, name: named}.items():
            self._add(one, schema)
        return {"$ref": REF + name}

    def _add(self, name: str, schema: dict[str, Any]) -> None:
        schema = _with_items(schema)
        if self.schemas.setdefault(name, schema) != schema:
            raise NameTaken(f"{name}: {schema} is not {self.schemas[name]}")


def _structs(info: Any) -> Iterator[type[msgspec.Struct]]:
    """All structs within a type."""
    seen: set[Any] = set()
    waiting: list[Any] = [info]
    while waiting:
        one = waiting.pop()
        kind = getattr(one, "cls", None)
        if kind is not None:
            if kind in seen:
                continue
            seen.add(kind)
        if isinstance(one, msgspec.inspect.StructType):
            yield one.cls
        for name in ("type", "item_type", "value_type"):
            waiting += [inner] if (inner := getattr(one, name, None)) is not None else []
        for name in ("types", "item_types"):
            waiting += getattr(one, name, ())
        waiting += [each.type for each in getattr(one, "fields", ())]


def _complete(schema: dict[str, Any], kind: type[msgspec.Struct] | None) -> dict[str, Any]:
    """What is only ever answered has all its fields, those too that code may leave out."""
    if kind is None:
        return schema
    config = kind.__struct_config__
    if config.omit_defaults or config.forbid_unknown_fields:
        return schema
    return {**schema, "required": list(kind.__struct_encode_fields__)}


def _with_items(schema: Any) -> Any:
    """With `items` in every array: generators of clients refuse those of whatever there is."""
    if isinstance(schema, list):
        return [_with_items(one) for one in cast(list[Any], schema)]
    if not isinstance(schema, dict):
        return schema
    given = cast(dict[str, Any], schema)
    whole = {name: _with_items(one) for name, one in given.items()}
    bare = whole.get("type") == "array" and not {"items", "prefixItems"} & whole.keys()
    return {**whole, "items": {}} if bare else whole


def _with_id(schema: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
    """A resource's schema: an id, which a PUT may also leave to the address."""
    named = {**ID, "description": "as in the address, where a PUT may leave it"}
    properties = {"id": named, **{k: v for k, v in schema["properties"].items() if k != "id"}}
    required = dict.fromkeys(["id", *schema.get("required", ())])
    return {**schema, "properties": {**properties, **extra}, "required": list(required)}


PAGE = {
    "title": "Page",
    "type": "object",
    "description": "A page of a list: as long as `next` is given there is more, asked for with `?cursor=`.",
    "properties": {
        "next": {
            "anyOf": [{"type": "string"}, {"type": "null"}],
            "description": "the `cursor` of the next page; null on the last",
        }
    },
    "required": ["next"],
}


def _problem() -> dict[str, Any]:
    """The struct of all refusals, with its types counted."""
    _, inner = msgspec.json.schema_components([Problem], ref_template=REF + "{name}")
    schema: dict[str, Any] = inner["Problem"]
    kinds = [*(f"/problems/{kind}" for kind in STATUS), "/problems/internal"]
    schema["properties"]["type"] = {"type": "string", "enum": kinds}
    return schema
