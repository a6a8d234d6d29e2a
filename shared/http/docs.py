"""/openapi.json and /docs; the page's script and style come from an installed package."""

import re
from collections.abc import Iterable
from importlib.resources import files
from typing import Any, cast

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from shared.contracts.problems import STATUS, not_found
from shared.http.problems import PROBLEM_TYPE
from shared.http.replies import json_reply

_ASSETS = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon.png": "image/png",
}
_PARAMETER = re.compile(r"{([^}:]+)}")
_METHODS = ("get", "put", "post", "delete", "patch", "head", "options")
_REF = "#/components/schemas/"
_INNER = "x-omniroute-schemas"
_ALWAYS = (400, 404, 503)
_SECURED = (401, 403, 429)
_WITH_BODY = (409, 412, 413, 415, 422)
_TITLES = {
    400: "Validation: `errors` say which field is wrong and what would be right",
    401: "No token, or a bad one",
    403: "Another workspace, or a role that may not",
    404: "Not found",
    409: "Conflict; `reason` says which",
    412: "The resource has changed: If-Match does not hold",
    413: "The body is too large",
    415: "The body is of a type that this call does not take",
    422: "The Idempotency-Key was used with another body",
    429: "Over the workspace's rate",
    503: "Unavailable, or the outcome is unknown; repeat after Retry-After",
}


def install(app: FastAPI) -> None:
    """Serve the description and a page to read and try it. Open without a token."""
    app.openapi = lambda: describe(app)

    async def openapi(request: Request) -> Response:
        return json_reply(app.openapi())

    async def page(request: Request) -> Response:
        return get_swagger_ui_html(
            openapi_url="/openapi.json",
            title=app.title,
            swagger_js_url="/docs/assets/swagger-ui-bundle.js",
            swagger_css_url="/docs/assets/swagger-ui.css",
            swagger_favicon_url="/docs/assets/favicon.png",
        )

    async def asset(request: Request) -> Response:
        name: str = request.path_params["name"]
        if name not in _ASSETS:
            raise not_found("asset", name)
        content = (files("fastapi_offline") / "static" / name).read_bytes()
        return Response(
            content, media_type=_ASSETS[name], headers={"Cache-Control": "max-age=86400"}
        )

    app.add_route("/openapi.json", openapi, include_in_schema=False)
    app.add_route("/docs", page, include_in_schema=False)
    app.add_route("/docs/assets/{name}", asset, include_in_schema=False)


def body_of(kind: Any, *content_types: str, required: bool = True) -> dict[str, Any]:
    """`openapi_extra` of a route that decodes its own body: `kind` is a pydantic model, a msgspec
    struct, or a JSON Schema."""
    schema, inner = _schema_of(kind)
    content = {one: {"schema": schema} for one in content_types or ("application/json",)}
    return {"requestBody": {"required": required, "content": content}, _INNER: inner}


def _schema_of(kind: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """(schema, the schemas it refers to by name)."""
    if isinstance(kind, dict):
        return cast(dict[str, Any], kind), {}
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        schema = kind.model_json_schema(ref_template=_REF + "{model}")
        return schema, schema.pop("$defs", {})
    (schema,), inner = msgspec.json.schema_components([kind], ref_template=_REF + "{name}")
    return schema, inner


def describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, made once: with problems, path ids and security in every call."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=[*app.routes, *app.state.subjects.routes],
        )
        components: dict[str, Any] = document.setdefault("components", {})
        components.setdefault("schemas", {})["Problem"] = _PROBLEM_SCHEMA
        components["schemas"].pop("HTTPValidationError", None)
        components["schemas"].pop("ValidationError", None)
        components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
        for path, calls in document.get("paths", {}).items():
            for method in _METHODS:
                if method in calls:
                    calls[method] = _with_schemas(calls[method], components["schemas"])
                    _complete(path, method, calls[method])
        app.openapi_schema = document
    return app.openapi_schema


def _with_schemas(call: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    """The call, with what its body refers to among the document's schemas.

    A name that another call uses for another schema is numbered.
    """
    inner: dict[str, Any] = call.pop(_INNER, {})
    text = msgspec.json.encode([call, inner]).decode()
    for name in inner:
        free, number = name, 1
        while schemas.get(free, inner[name]) != inner[name]:
            number += 1
            free = f"{name}{number}"
        text = text.replace(f'"{_REF}{name}"', f'"{_REF}{free}"')
        text = text.replace(f'"{name}":{{', f'"{free}":{{') if free != name else text
    call, inner = msgspec.json.decode(text)
    schemas.update(inner)
    return call


def _complete(path: str, method: str, call: dict[str, Any]) -> None:
    parameters: list[dict[str, Any]] = call.setdefault("parameters", [])
    known = {one["name"] for one in parameters if one.get("in") == "path"}
    parameters.extend(_path_parameter(name) for name in _names(path) if name not in known)
    responses: dict[str, Any] = call["responses"]
    if "HTTPValidationError" in str(responses.get("422")):
        del responses["422"]
    statuses = [*_ALWAYS]
    if "security" in call:
        statuses += _SECURED
    if method in ("put", "post", "patch", "delete"):
        statuses += _WITH_BODY
    for status in statuses:
        responses.setdefault(str(status), _problem_response(status))


def _names(path: str) -> Iterable[str]:
    return _PARAMETER.findall(path)


def _path_parameter(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"},
    }


def _problem_response(status: int) -> dict[str, Any]:
    response: dict[str, Any] = {
        "description": _TITLES[status],
        "content": {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    if status in (429, 503):
        response["headers"] = {"Retry-After": {"schema": {"type": "integer"}}}
    if status == 401:
        response["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}}}
    return response


_PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {
            "type": "string",
            "enum": [*(f"/problems/{kind}" for kind in STATUS), "/problems/internal"],
        },
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "reason": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "code", "message"],
                "properties": {
                    "pointer": {"type": "string", "description": "RFC 6901, into the body"},
                    "code": {"type": "string"},
                    "message": {"type": "string"},
                    "expected": {"type": "string"},
                },
            },
        },
    },
}
