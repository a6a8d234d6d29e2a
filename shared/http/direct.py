"""Hot calls, served without FastAPI's layers: those cost more than authenticating, reading, checking
and answering such a call together.

What the layers do for a call is done here too: its route is matched, its limit of the body kept, an
exception answered by the application's handlers. The route is documented like every other. FastAPI's
spans and figures are made in its layers, so where OpenTelemetry is set up all calls go through them.
"""

from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from opentelemetry import metrics, trace
from starlette.types import ASGIApp, Receive, Scope, Send

from shared.http.auth import Caller, require
from shared.http.bodies import whole_body
from shared.http.calls import NOTHING_SAID, Call
from shared.http.permissions import Action
from shared.http.routes import Route
from shared.http.subjects import ROOT, subject_of


class DirectRoute(Route):
    """A route whose endpoint takes the request alone and returns the response. Its `dependencies`
    say, for the documentation, what is demanded; the endpoint itself must demand it."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        return self.endpoint


Serves = Callable[[Request, Caller], Coroutine[Any, Any, Response]]


def direct_post(
    router: APIRouter, path: str, action: Action, call: Call = NOTHING_SAID
) -> Callable[[Serves], Serves]:
    """A decorator: POST `path` is a direct call, answered by what is decorated to who may `action`.
    Its name is the call's for clients."""
    enter = require(action)

    def add(serve: Serves) -> Serves:
        async def endpoint(request: Request) -> Response:
            return await serve(request, await enter(request))

        # Not `functools.wraps`: FastAPI would take the parameters of what is wrapped for the call's.
        endpoint.__name__, endpoint.__doc__ = serve.__name__, serve.__doc__
        router.add_api_route(
            path,
            endpoint,
            methods=["POST"],
            dependencies=[Depends(enter)],
            route_class_override=DirectRoute,
            openapi_extra=call.extra,
        )
        return serve

    return add


class DirectRequest(Request):
    """Remembers its body without Starlette's stream of it."""

    async def body(self) -> bytes:
        if not hasattr(self, "_body"):
            self._body = await whole_body(self)
        return self._body


class DirectCalls:
    """The direct routes of an application; an ASGI application for the calls that `find` finds."""

    def __init__(self, app: FastAPI, routes: Iterable[Route]) -> None:
        self._app = app
        self._routes: dict[tuple[str, str], list[DirectRoute]] = {}
        for route in [each for each in routes if isinstance(each, DirectRoute)]:
            for method in route.methods or ():
                key = (method, subject_of(route.path_format))
                self._routes.setdefault(key, []).append(route)

    def find(self, scope: Scope) -> bool:
        """Whether the call is of a direct route; then `scope` says of which, as routing does."""
        path: str = scope["path"]
        if not path.startswith(ROOT):
            return False
        for route in self._routes.get((scope["method"], subject_of(path)), ()):
            found = route.path_regex.match(path)
            if found is not None:
                route.enter(scope, found.groupdict())
                scope["app"] = self._app
                return True
        return False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = DirectRequest(scope, receive, send)
        try:
            response = await scope["endpoint"](request)
        except Exception as error:
            handler = self._handler(error)
            if handler is None:
                raise
            response = await handler(request, error)
        await response(scope, receive, send)

    def _handler(self, error: Exception) -> Callable[[Request, Exception], Any] | None:
        handlers: dict[Any, Any] = self._app.exception_handlers
        return next((handlers[kind] for kind in type(error).__mro__ if kind in handlers), None)


class Application(FastAPI):
    """FastAPI with a way around it: `direct` finds the calls that `served` serves. Whether
    OpenTelemetry is set up is looked at once, at the first call."""

    direct: DirectCalls | None = None
    served: ASGIApp | None = None
    _observed: bool | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        direct, served = self.direct, self.served
        if direct is None or served is None or scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        if self._observed is None:
            self._observed = _observed()
        if not self._observed and direct.find(scope):
            await served(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


# The API's own providers, which only wait for real ones.
_WAITING = frozenset({"ProxyTracerProvider", "_ProxyMeterProvider"})


def _observed() -> bool:
    """Whether OpenTelemetry's tracing or metrics are set up in this process."""
    return not (
        type(trace.get_tracer_provider()).__name__ in _WAITING
        and type(metrics.get_meter_provider()).__name__ in _WAITING
    )
