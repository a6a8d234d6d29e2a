"""Routers of the API: paths below /v1/workspaces/{workspace}, and what an id in a path may be."""

import re
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.convertors import Convertor, register_url_convertor
from starlette.routing import Match
from starlette.types import Scope

from shared.http.auth import ACTION
from shared.http.edge import MAX_BODY

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
    `shared.http.edge`, which answers a problem."""

    def __init__(
        self,
        path: str,
        endpoint: Callable[..., Any],
        *,
        max_body_size: int | None = None,
        **options: Any,
    ) -> None:
        self._body_bytes = max_body_size
        super().__init__(_PLAIN_PARAMETER.sub(r"{\1:name}", path), endpoint, **options)
        actions = [getattr(one.call, ACTION, None) for one in self.dependant.dependencies]
        if action := next((one for one in actions if one), None):
            self.openapi_extra = {
                "security": [{"bearer": []}],
                "x-omniroute-action": action,
                **(self.openapi_extra or {}),
            }

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
