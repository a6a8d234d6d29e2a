"""/health/live, /health/ready and /metrics."""

import hmac
from collections.abc import Awaitable, Callable
from typing import Literal, TypedDict

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from shared.contracts.problems import Refused
from shared.http.calls import Call
from shared.http.replies import json_reply
from shared.http.routes import api_router

Ready = Callable[[], Awaitable[dict[str, bool | str]]]

_LOOPBACK = ("127.", "::1", "::ffff:127.")


class Alarm(str):
    """What a person must look at in a part that is ready all the same: it takes no traffic away."""

    __slots__ = ()


class Live(TypedDict):
    status: Literal["live"]


class Readiness(TypedDict):
    """`parts`: true, or in words what is the matter; answered with 503 while one keeps the process
    from being ready."""

    status: Literal["ready", "not ready"]
    parts: dict[str, bool | str]


_LIVE = Call(answer=Live, unguarded=True)
_READY = Call(answer=Readiness, unguarded=True, unready=True)


def router(ready: Ready, registry: CollectorRegistry, metrics_token: str | None) -> APIRouter:
    """The routes that watch a process. `ready`: part -> True, an `Alarm`, or False or a reason why
    not (a text)."""
    routes = api_router("health", prefix="")

    @routes.get("/health/live", summary="The process answers", openapi_extra=_LIVE.extra)
    async def live() -> Response:  # pyright: ignore[reportUnusedFunction]
        return json_reply(Live(status="live"))

    @routes.get("/health/ready", summary="All parts are running", openapi_extra=_READY.extra)
    async def is_ready(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        parts = await ready()
        if request.app.state.stopping.is_set:
            parts = {**parts, "server": "stopping"}
        reasons = {
            name: state
            for name, state in parts.items()
            if state is not True and not isinstance(state, Alarm)
        }
        said = {name: str(each) if isinstance(each, str) else each for name, each in parts.items()}
        body = Readiness(status="not ready" if reasons else "ready", parts=said)
        headers = {"Retry-After": "1"} if reasons else None
        return json_reply(body, 503 if reasons else 200, headers)

    @routes.get("/metrics", include_in_schema=False)
    async def metrics(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        _check_metrics_access(request, metrics_token)
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    for path, endpoint in (
        ("/health/live", live),
        ("/health/ready", is_ready),
        ("/metrics", metrics),
    ):
        # What load balancers and watchers ask by default.
        routes.add_api_route(path, endpoint, methods=["HEAD"], include_in_schema=False)
    return routes


def _check_metrics_access(request: Request, metrics_token: str | None) -> None:
    peer = request.client.host if request.client else ""
    if peer.startswith(_LOOPBACK) and "x-forwarded-for" not in request.headers:
        return
    sent = request.headers.get("authorization", "")
    expected = f"Bearer {metrics_token}"
    if metrics_token and hmac.compare_digest(sent.encode(), expected.encode()):
        return
    raise Refused("unauthenticated", "Metrics are for loopback, or for OMNIROUTE_METRICS_TOKEN.")
