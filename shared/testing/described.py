"""Real answers held against the published OpenAPI document: nothing may be answered that it does not say."""

import copy
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, cast
from urllib.parse import urlsplit

import jsonschema
from jsonschema.protocols import Validator

Json = dict[str, Any]
_PARAMETER = re.compile(r"{[^}]+}")
_METHODS = ("get", "put", "post", "delete", "patch")


class Described:
    """A document whose schemas are closed here: a field that an answer has and the schema has not
    fails too, although clients must bear it."""

    def __init__(self, document: Json) -> None:
        self.document = document
        self._root = {"components": _closed(document["components"])}
        self._validators: dict[str, Validator] = {}
        self._paths = [
            (re.compile(_PARAMETER.sub("[^/:]+", re.escape(path).replace(r"\{", "{").replace(r"\}", "}")) + r"\Z"), path)
            for path in document["paths"]
        ]  # fmt: skip

    def operations(self) -> Iterator[tuple[str, str, Json]]:
        """(METHOD, path, operation) of all."""
        for path, methods in self.document["paths"].items():
            for method in _METHODS:
                if method in methods:
                    yield method.upper(), path, methods[method]

    def operation(self, method: str, url: str) -> Json | None:
        """What a call is in the document; None where it is none of its calls."""
        place = urlsplit(url).path
        found = [path for pattern, path in self._paths if pattern.match(place)]
        found.sort(key=lambda path: path.count("{"))
        return next(
            (self.document["paths"][path][method.lower()] for path in found
             if method.lower() in self.document["paths"][path]),
            None,
        )  # fmt: skip

    def check(
        self, method: str, url: str, status: int, headers: Mapping[str, str], body: bytes
    ) -> None:
        """Raises AssertionError where an answer is not as the document says."""
        operation = self.operation(method, url)
        assert operation is not None, f"{method} {url} is not described"
        if operation["responses"].get("200", {}).get("description") == "As the vendor expects it":
            return
        where = f"{method} {url} -> {status}"
        if status == 405:
            return
        assert str(status) in operation["responses"], f"{where} is not described: {body[:500]!r}"
        said = operation["responses"][str(status)]
        for name in ("ETag", "Retry-After", "WWW-Authenticate"):
            if name in said.get("headers", {}):
                assert name.lower() in {one.lower() for one in headers}, f"{where} without {name}"
        content: Json = said.get("content", {})
        kind = headers.get("content-type", "").partition(";")[0].strip()
        if not content or "*/*" in content:
            assert content or not body, f"{where} has a body: {body[:200]!r}"
            return
        assert kind in content, f"{where} is of type {kind}"
        if kind == "application/json" or kind.endswith("+json"):
            self.valid(content[kind]["schema"], json.loads(body), where)

    def valid(self, schema: Json, value: Any, where: str) -> None:
        """Raises AssertionError where the value does not meet a schema of the document."""
        key = json.dumps(schema, sort_keys=True)
        if key not in self._validators:
            whole = {**_closed(schema), **self._root}
            self._validators[key] = jsonschema.Draft202012Validator(whole)
        faults = sorted(self._validators[key].iter_errors(value), key=lambda one: one.path)
        told = [f"{fault.json_path}: {fault.message[:300]}" for fault in faults[:5]]
        assert not faults, f"{where}: {told}"


def _closed(schema: Any) -> Any:
    """A copy in which objects with fields have no others."""
    made = copy.deepcopy(schema)
    _close(made, inside_all_of=False)
    return made


def _close(schema: Any, *, inside_all_of: bool) -> None:
    if isinstance(schema, list):
        for one in cast(list[Any], schema):
            _close(one, inside_all_of=inside_all_of)
        return
    if not isinstance(schema, dict):
        return
    schema = cast(Json, schema)
    if "allOf" in schema:
        schema["unevaluatedProperties"] = False
    elif (
        "properties" in schema
        and schema.get("title") != "Page"
        and not inside_all_of
        and schema.get("type") == "object"
    ):
        schema.setdefault("additionalProperties", False)
    for name, inner in schema.items():
        if name in ("example", "default", "enum", "examples"):
            continue
        _close(inner, inside_all_of=name == "allOf")
