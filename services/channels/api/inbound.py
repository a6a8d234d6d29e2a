"""The vendors' addresses: open without a token, guarded by signature or by an unguessable path."""

import hmac
from typing import Annotated

from fastapi import Depends, Request, Response

from services.channels import vendors
from services.channels.api.connectors import existing_connector
from services.channels.connectors import registry
from services.channels.connectors.port import Answer, InboundRequest
from services.channels.context import Channels, channels_of, wall_us
from services.channels.store import StoredConnector
from shared.contracts.problems import not_found
from shared.http.auth import check_ids
from shared.http.routes import api_router

MAX_INBOUND_BYTES = 30 * 1024 * 1024

router = api_router("inbound")
Service = Annotated[Channels, Depends(channels_of)]


@router.get("/connectors/{connector}/inbound")
async def handshake(
    workspace: str, connector: str, request: Request, channels: Service
) -> Response:
    """A vendor's test of its address."""
    return await _by_signature(workspace, connector, request, channels)


@router.post("/connectors/{connector}/inbound", max_body_size=MAX_INBOUND_BYTES)
async def inbound(workspace: str, connector: str, request: Request, channels: Service) -> Response:
    """A vendor's webhook. The answer is the one that this vendor needs."""
    return await _by_signature(workspace, connector, request, channels)


@router.get("/connectors/{connector}/inbound/{token}")
async def handshake_by_token(
    workspace: str, connector: str, token: str, request: Request, channels: Service
) -> Response:
    """The same test, of an address that is itself the secret."""
    return await _by_token(workspace, connector, token, request, channels)


@router.post("/connectors/{connector}/inbound/{token}", max_body_size=MAX_INBOUND_BYTES)
async def inbound_by_token(
    workspace: str, connector: str, token: str, request: Request, channels: Service
) -> Response:
    """The webhook of a vendor that cannot sign: the path is the secret."""
    return await _by_token(workspace, connector, token, request, channels)


async def _by_signature(
    workspace: str, connector: str, request: Request, channels: Channels
) -> Response:
    check_ids({"workspace": workspace, "connector": connector})
    stored = await existing_connector(channels, workspace, connector)
    if not registry.get(stored.kind).signed:
        raise not_found("connector", connector)
    return await _receive(request, channels, stored)


async def _by_token(
    workspace: str, connector: str, token: str, request: Request, channels: Channels
) -> Response:
    check_ids({"workspace": workspace, "connector": connector})
    stored = await existing_connector(channels, workspace, connector)
    if not hmac.compare_digest(token.encode(), stored.inbound_token.encode()):
        raise not_found("connector", connector)
    return await _receive(request, channels, stored)


async def _receive(request: Request, channels: Channels, stored: StoredConnector) -> Response:
    if not stored.enabled:
        raise not_found("connector", stored.id)
    received_us = wall_us()
    path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    headers = tuple(
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw
    )
    inbound_request = InboundRequest(
        request.method, channels.public_url + path, headers, await request.body(), received_us
    )
    received = await vendors.receive(channels, stored, inbound_request)
    return _response(received.answer)


def _response(answer: Answer) -> Response:
    headers = dict(answer.headers)
    headers.setdefault("Content-Type", "text/plain; charset=utf-8")
    return Response(answer.body, answer.status, headers)
