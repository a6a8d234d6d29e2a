"""Routers of the API: paths below /v1/workspaces/{workspace}, and what an id in a path may be."""

import re
from collections.abc import Callable
from functools import cached_property
from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.convertors import Convertor, register_url_convertor
from starlette.routing import Match
from starlette.types import Scope

from shared.http.auth import ACTION, TICKET
from shared.http.calls import CALL, NOTHING_SAID, RESUME_QUERY, TICKET_QUERY, Call
from shared.http.edge import MAX_BODY
from shared.http.permissions import Action

WORKSPACE_PREFIX = "/v1/workspaces/{workspace}"
BATCH_BODY_BYTES = 10 * 1024 * 1024

_PLAIN_PARAMETER = re.compile(r"{([a-zA-Z_][a-zA-Z0-9_]*)}")


class _NameConvertor(Convertor[str]):
    """A path segment without ":", so that `tasks/{task}` does not swallow `tasks/x:complete`."""

    regex = "[^/:]+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("name", _NameConvertor())


class Route(APIRoute):
    """A route whose plain parameters end at "/" or ":", and whose `max_body_size` is kept by
    `shared.http.edge`, which answers a problem. The name of its endpoint names it for clients too;
    `openapi_extra` is a `Call`'s `extra`."""

    def __init__(
        self,
        path: str,
        endpoint: Callable[..., Any],
        *,
        max_body_size: int | None = None,
        **options: Any,
    ) -> None:
        self._body_bytes = max_body_size
        extra = dict(options.pop("openapi_extra", None) or {})
        self.call: Call = extra.pop(CALL, NOTHING_SAID)
        name: str = options.get("name") or endpoint.__name__
        options["operation_id"] = options.get("operation_id") or name
        options["summary"] = options.get("summary") or name.replace("_", " ").capitalize()
        path = _PLAIN_PARAMETER.sub(r"{\1:name}", path)
        super().__init__(path, endpoint, openapi_extra=extra or None, **options)
        demands = [one.call for one in self.dependant.dependencies if hasattr(one.call, ACTION)]
        self.action: Action | None = getattr(demands[0], ACTION) if demands else None
        self.takes_ticket = any(getattr(one, TICKET) for one in demands) or (
            self.call.visitor and bool(self.call.events)
        )

    @cached_property
    def query_names(self) -> frozenset[str]:
        """The query parameters that the call takes, by the names that clients send."""
        found: set[str] = set(RESUME_QUERY if self.call.resumes else ())
        if self.takes_ticket:
            found |= TICKET_QUERY.keys()
        waiting = [self.dependant]
        while waiting:
            one = waiting.pop()
            found.update(each.alias for each in one.query_params)
            waiting += one.dependencies
        return frozenset(found)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child_scope = super().matches(scope)
        if match is not Match.NONE and self._body_bytes is not None:
            child_scope[MAX_BODY] = self._body_bytes
        return match, child_scope

    def enter(self, scope: Scope, path_params: dict[str, str]) -> None:
        """Put into `scope` what a full match of `matches` says."""
        scope["route"] = self
        scope["endpoint"] = self.endpoint
        scope["path_params"] = path_params
        if self._body_bytes is not None:
            scope[MAX_BODY] = self._body_bytes


def api_router(tag: str, *, prefix: str = WORKSPACE_PREFIX) -> APIRouter:
    """A router for one subject. `tag` groups its calls in the documentation.

    Name the path parameter that holds an agent's id `{agent}`: `require` confines agents by it.
    A route with larger bodies says `max_body_size=BATCH_BODY_BYTES`.
    """
    return APIRouter(prefix=prefix, tags=[tag], route_class=Route)
