"""Composition of an HTTP application out of services' routers."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from fastapi import APIRouter, FastAPI
from prometheus_client import CollectorRegistry
from starlette.datastructures import State

from shared.http import docs, forward, health, problems, subjects
from shared.http.auth import Access
from shared.http.cors import Cors
from shared.http.direct import Application, DirectCalls
from shared.http.edge import Edge, HttpMetrics
from shared.http.forward import Forwarder
from shared.http.logging import AccessLog, AccessPolicy
from shared.http.stopping import Stopping
from shared.runtime.port import NotOwner

BODY_BYTES = 1024 * 1024

Ready = Callable[[], Awaitable[dict[str, bool | str]]]
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def create_app(
    title: str,
    description: str,
    routers: Sequence[APIRouter],
    *,
    version: str,
    access: Access,
    ready: Ready,
    registry: CollectorRegistry,
    metrics_token: str | None = None,
    forwarder: Forwarder | None = None,
    lifespan: Lifespan | None = None,
    max_body_bytes: int = BODY_BYTES,
    access_log: AccessPolicy = "all",
    cors_origins: Sequence[str] = (),
    state: dict[str, Any] | None = None,
) -> FastAPI:
    """An application serving `routers` (of `routes.api_router`) of one service or of several.

    ready          part -> True, or False or a reason (text) why it is not; any such: 503
    registry       what /metrics shows; the HTTP figures are added to it, so one app per registry
    metrics_token  opens /metrics to others than loopback
    forwarder      sends calls on to the owner of their shard: whenever a route raises NotOwner.
                   None: this process owns every shard, and trusts no forwarded call
    cors_origins   pages of these may call the API from a browser, besides what routes say themselves
    state          is set on `app.state` by name, for the routers' dependencies
    """
    app = Application(
        title=title,
        description=description,
        version=version,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    app.state = _FoundState()
    app.state.access = access
    app.state.stopping = Stopping()
    for name, value in (state or {}).items():
        setattr(app.state, name, value)
    problems.install(app)
    app.add_exception_handler(NotOwner, forward.at_owner(forwarder))
    app.router.routes.extend(health.router(ready, registry, metrics_token).routes)
    routes = subjects.install(app, [route for router in routers for route in router.routes])
    docs.install(app)
    edge: dict[str, Any] = {
        "max_body_bytes": max_body_bytes,
        "metrics": HttpMetrics(registry),
        "seal": None if forwarder is None else forwarder.seal,
        "access_log": AccessLog(access_log),
        "cors": Cors(cors_origins) if cors_origins else None,
    }
    app.add_middleware(Edge, **edge)
    app.direct = DirectCalls(app, routes)
    app.served = Edge(app.direct, **edge)
    return app


class _FoundState(State):
    """Starlette's, whose attributes are found where an object's are: there each call would first
    look in vain, and an error be made of it."""

    def __setattr__(self, key: str, value: Any) -> None:
        super().__setattr__(key, value)
        self.__dict__[key] = value

    def __delattr__(self, key: str) -> None:
        super().__delattr__(key)
        del self.__dict__[key]
