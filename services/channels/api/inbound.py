"""The vendors' addresses: open without a token, guarded by signature or by an unguessable path."""

import hmac
from functools import lru_cache

from fastapi import Request, Response

from services.channels import vendors
from services.channels.connectors import registry
from services.channels.connectors.port import Answer, InboundRequest
from services.channels.context import Channels, wall_us
from services.channels.store import StoredConnector
from shared.contracts.problems import not_found
from shared.http.auth import check_ids
from shared.http.bodies import whole_body
from shared.http.calls import Call
from shared.http.direct import DirectRoute
from shared.http.routes import api_router

MAX_INBOUND_BYTES = 30 * 1024 * 1024

router = api_router("inbound")
_VENDOR = Call(vendor=True)


@router.get("/connectors/{connector}/inbound", openapi_extra=_VENDOR.extra)
async def shake_hands(request: Request) -> Response:
    """A vendor's test of its address."""
    return await _by_signature(request)


async def take_inbound(request: Request) -> Response:
    """A vendor's webhook. The answer is the one that this vendor needs."""
    return await _by_signature(request)


@router.get("/connectors/{connector}/inbound/{token}", openapi_extra=_VENDOR.extra)
async def shake_hands_by_token(request: Request) -> Response:
    """The same test, of an address that is itself the secret."""
    return await _by_token(request)


async def take_inbound_by_token(request: Request) -> Response:
    """The webhook of a vendor that cannot sign: the path is the secret."""
    return await _by_token(request)


async def reachable(request: Request) -> Response:
    """Whether the address is there: Intercom, and others, ask by HEAD before they take it."""
    return Response() if await _addressed(request) else Response(status_code=404)


for path, endpoint in (("", take_inbound), ("/{token}", take_inbound_by_token)):
    router.add_api_route(
        f"/connectors/{{connector}}/inbound{path}",
        reachable,
        methods=["HEAD"],
        include_in_schema=False,
    )
    router.add_api_route(
        f"/connectors/{{connector}}/inbound{path}",
        endpoint,
        methods=["POST"],
        max_body_size=MAX_INBOUND_BYTES,
        route_class_override=DirectRoute,
        openapi_extra=_VENDOR.extra,
    )


async def _addressed(request: Request) -> bool:
    stored = await _known(request)
    token = request.path_params.get("token")
    if token is None:
        return stored.enabled and registry.get(stored.kind).signed
    return stored.enabled and hmac.compare_digest(token.encode(), stored.inbound_token.encode())


async def _by_signature(request: Request) -> Response:
    stored = await _known(request)
    if not registry.get(stored.kind).signed:
        raise not_found("connector", stored.id)
    return await _receive(request, stored)


async def _by_token(request: Request) -> Response:
    stored = await _known(request)
    token: str = request.path_params["token"]
    if not hmac.compare_digest(token.encode(), stored.inbound_token.encode()):
        raise not_found("connector", stored.id)
    return await _receive(request, stored)


async def _known(request: Request) -> StoredConnector:
    """The connector that the path names; the token in it is looked at elsewhere."""
    workspace, name = request.path_params["workspace"], request.path_params["connector"]
    check_ids({"workspace": workspace, "connector": name})
    channels: Channels = request.app.state.channels
    stored = await channels.store.known_connector(workspace, name)
    if stored is None:
        raise not_found("connector", name)
    return stored


async def _receive(request: Request, stored: StoredConnector) -> Response:
    if not stored.enabled:
        raise not_found("connector", stored.id)
    channels: Channels = request.app.state.channels
    received_us = wall_us()
    path, query = request.scope["path"], request.scope["query_string"].decode(errors="replace")
    headers = tuple(
        [
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in request.scope["headers"]
        ]
    )
    inbound_request = InboundRequest(
        request.method,
        f"{channels.public_url}{path}?{query}" if query else channels.public_url + path,
        headers,
        await whole_body(request),
        received_us,
    )
    received = await vendors.receive(channels, stored, inbound_request)
    return _POSTED(received.answer) if request.method == "POST" else _response(received.answer)


def _response(answer: Answer) -> Response:
    headers = dict(answer.headers)
    headers.setdefault("Content-Type", "text/plain; charset=utf-8")
    return Response(answer.body, answer.status, headers)


# Nobody changes the response of a direct route; FastAPI does add to those of the others.
_POSTED = lru_cache(maxsize=256)(_response)
