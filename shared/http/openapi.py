"""The OpenAPI document: made once, when it is asked for, of the routes and of what `calls` says of them."""

import re
from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from shared.http.calls import JSON, REF, RESUME_QUERY, TICKET_QUERY, Call
from shared.http.permissions import GRANTS, OWN_ONLY, Action
from shared.http.principals import ROLES
from shared.http.problems import PROBLEM_TYPE
from shared.http.routes import Route
from shared.http.schemas import ID, Components

_PARAMETER = re.compile(r"([^/{}:]*)[/:]?{([^}:]+)}")
SSE = "text/event-stream"
_TITLES = {
    400: "Validation: `errors` say which field or parameter is wrong and what would be right",
    401: "No token, or a bad one",
    403: "Another workspace, or a role that may not",
    404: "Not found",
    409: "Conflict; `reason` says which",
    410: "It is no longer kept",
    412: "The resource has changed: If-Match does not hold",
    413: "Too large",
    415: "The body is of a type that this call does not take",
    422: "The Idempotency-Key was used with another body",
    429: "Over the workspace's rate",
    503: "Unavailable, or the outcome is unknown; repeat after Retry-After",
}
_DONE = {200: "As asked", 201: "Created", 202: "Accepted, and durable", 204: "Done; no body"}
_TEXT = {"type": "string"}
_TAG = {"schema": _TEXT, "description": "the version of what is answered"}
SECURITY = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "an API key (`POST keys`, `omniroute token`) or a JWT of a trusted issuer",
    },
    "ticket": {"type": "apiKey", "in": "query", "name": "ticket", "description": TICKET_QUERY["ticket"]},
    "visitor": {
        "type": "http",
        "scheme": "bearer",
        "description": "a web chat visitor's token (`POST connectors/{connector}/chat-tokens`)",
    },
}  # fmt: skip


def describe(app: FastAPI) -> dict[str, Any]:
    """The document of all routes of `app`, made at the first call."""
    if app.openapi_schema is None:
        routes = [*app.routes, *app.state.subjects.routes]
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=routes
        )
        components = Components()
        for route in routes:
            if isinstance(route, Route) and route.include_in_schema:
                for method in route.methods or ():
                    operation = document["paths"][route.path_format][method.lower()]
                    _Operation(route, method, operation, components).complete()
        document["components"] = {
            "schemas": dict(sorted(components.schemas.items())),
            "securitySchemes": SECURITY,
        }
        app.openapi_schema = document
    return app.openapi_schema


class _Operation:
    """One call of the document, completed in place."""

    def __init__(
        self, route: Route, method: str, operation: dict[str, Any], components: Components
    ) -> None:
        self._route = route
        self._call: Call = route.call
        self._reads = method in ("GET", "HEAD")
        self._operation = operation
        self._components = components

    def complete(self) -> None:
        self._secure()
        for kind in self._call.also:
            self._components.ref(kind)
        self._operation["parameters"] = [*self._path(), *self._query(), *self._headers()]
        if self._call.bodies:
            self._operation["requestBody"] = self._body()
        responses = {**self._refusals(), **self._answers()}
        self._operation["responses"] = {str(each): responses[each] for each in sorted(responses)}

    # -- who may

    def _secure(self) -> None:
        call, action = self._call, self._route.action
        ticket: list[dict[str, list[str]]] = [{"ticket": []}] if self._route.takes_ticket else []
        if call.visitor:
            self._operation["security"] = [{"visitor": []}, *ticket]
        elif action is not None:
            self._operation["security"] = [{"bearer": []}, *ticket]
            roles = [role for role in ROLES if role == "admin" or role in GRANTS[action]]
            self._operation["x-omniroute-action"] = action
            self._operation["x-omniroute-roles"] = roles
            told = self._operation.get("description", "")
            self._operation["description"] = f"{told}\n\n{_may(action, roles)}".strip()
        else:
            self._operation["security"] = []

    # -- parameters

    def _path(self) -> list[dict[str, Any]]:
        known = {one["name"]: one for one in self._given("path")}
        return [
            _path_parameter(name, what, known.get(name, {}))
            for what, name in _PARAMETER.findall(self._route.path_format)
        ]

    def _query(self) -> list[dict[str, Any]]:
        given = self._given("query")
        names = {one["name"] for one in given}
        more = {**(RESUME_QUERY if self._call.resumes else {})}
        return given + [_text("query", name, more[name]) for name in more if name not in names]

    def _given(self, place: str) -> list[dict[str, Any]]:
        return [one for one in self._operation.get("parameters", []) if one["in"] == place]

    def _headers(self) -> list[dict[str, Any]]:
        call = self._call
        found: list[dict[str, Any]] = []
        if call.keyed:
            told = (
                "1 to 255 visible characters: the same request again has one effect and one answer"
            )
            found.append(_text("header", "Idempotency-Key", told, pattern="^[!-~]{1,255}$"))
        if call.conditional:
            told = "an ETag, or `*`: only if the resource is as it was when it was read"
            found.append(_text("header", "If-Match", told, pattern=r'^(\*|(W/)?".*")$'))
            told = "`*`: only if there is none yet"
            found.append(_text("header", "If-None-Match", told, enum=["*"]))
        if call.etag and self._reads:
            told = "the ETag of what the caller has: 304 while that is current"
            found.append(_text("header", "If-None-Match", told))
        if call.resumes:
            told = "the `id` of the last event that was received"
            found.append(_text("header", "Last-Event-ID", told, pattern="^[0-9]{1,18}$"))
        return found

    # -- bodies

    def _body(self) -> dict[str, Any]:
        content: dict[str, Any] = {}
        for kind, body in self._call.bodies.items():
            content[kind] = {"schema": self._components.ref(body)}
            if (example := self._call.example_of(kind)) is not None:
                content[kind]["example"] = example
        return {"required": not self._call.optional_body, "content": content}

    def _answers(self) -> dict[int, Any]:
        call = self._call
        if call.vendor:
            return {200: {"description": "As the vendor expects it"}}
        status = self._route.status_code or 200
        done = {status: _DONE[status], **({201: _DONE[201]} if call.created else {})}
        answers = {code: self._answer(told) for code, told in done.items()}
        if call.unready:
            answers[503] = self._answer("It is not")
        if call.etag and self._reads:
            told = "What the caller has is current"
            answers[304] = {"description": told, "headers": {"ETag": _TAG}}
        return answers

    def _answer(self, told: str) -> dict[str, Any]:
        call, headers, content = self._call, dict[str, Any](), dict[str, Any]()
        if call.answer is not None:
            content[JSON] = {"schema": self._shown()}
        for kind, body in call.media.items():
            content[kind] = {"schema": self._components.ref(body)}
        if call.events:
            content[SSE] = self._stream()
        if call.etag or call.tagged:
            headers["ETag"] = _TAG
        if call.keyed:
            told_replayed = "`true` where this is the first answer again"
            headers["Idempotency-Replayed"] = {"schema": _TEXT, "description": told_replayed}
        answer: dict[str, Any] = {"description": told}
        if content:
            answer["content"] = content
        if headers:
            answer["headers"] = headers
        return answer

    def _shown(self) -> dict[str, Any]:
        call = self._call
        if call.page:
            return self._components.page(call.page, call.answer)
        return self._components.ref(call.answer)

    def _stream(self) -> dict[str, Any]:
        """What the `data` of each event holds, by its name."""
        events = {name: self._components.ref(kind) for name, kind in self._call.events.items()}
        told = "Server-Sent Events, kept alive by comments; `data` is JSON, as `x-omniroute-events` says"
        return {"schema": {"type": "string", "description": told}, "x-omniroute-events": events}

    # -- refusals

    def _refusals(self) -> dict[int, Any]:
        call = self._call
        if call.unguarded:
            return {}
        found = {400, 404, 503}
        if self._operation["security"]:
            found |= {401, 403, 429}
        if call.bodies or call.vendor:
            found |= {413, 415}
        if call.keyed:
            found |= {409, 422}
        if call.conditional:
            found |= {412}
        return {status: _problem_response(status) for status in sorted(found | set(call.may))}


def _may(action: Action, roles: Iterable[str]) -> str:
    own = (
        "; an agent reaches only what is his own" if action in OWN_ONLY and "agent" in roles else ""
    )
    return f"Roles: {', '.join(roles)}{own}."


def _text(place: str, name: str, told: str, **limits: Any) -> dict[str, Any]:
    schema = {"type": "string", **limits}
    return {"name": name, "in": place, "required": False, "description": told, "schema": schema}


_PATH_NAMES = {
    "workspace": "the workspace",
    "index": "the place in `attachments`, from 0",
    "token": "the secret part of an address whose vendor does not sign",
}


def _path_parameter(name: str, what: str, given: dict[str, Any]) -> dict[str, Any]:
    """`what` is the word before it: /queues/{name}."""
    told = _PATH_NAMES.get(name) or f"the id of one of `{what}`"
    schema: dict[str, Any] = given.get("schema", {})
    plain = schema.get("type", "string") == "string"
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": told,
        "schema": ID if plain else {k: v for k, v in schema.items() if k != "title"},
    }


def _problem_response(status: int) -> dict[str, Any]:
    response: dict[str, Any] = {
        "description": _TITLES[status],
        "content": {PROBLEM_TYPE: {"schema": {"$ref": f"{REF}Problem"}}},
    }
    if status in (429, 503):
        told = "seconds"
        response["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": told}}
    if status == 401:
        response["headers"] = {"WWW-Authenticate": {"schema": _TEXT}}
    return response
