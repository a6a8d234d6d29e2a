"""Connectors as a resource, their kinds, and a preview that publishes nothing."""

from typing import Annotated, Any

from fastapi import Depends, Request, Response

from services.channels import vendors
from services.channels.connectors import registry
from services.channels.connectors.preview import PreviewBody
from services.channels.context import Channels, channels_of, wall_us
from services.channels.resources import ConnectorBody, check_connector
from services.channels.shapes import ConnectorKinds, Preview, ShownConnector, WatchedConnector
from services.channels.store import StoredConnector
from shared.contracts.problems import not_found
from shared.http.auth import Caller, require
from shared.http.bodies import read_body
from shared.http.calls import Call
from shared.http.idempotency import idempotency_of, once
from shared.http.pages import DEFAULT_LIMIT, Cursor, Limit, decode_cursor, page
from shared.http.preconditions import precondition_of, versioned
from shared.http.replies import json_reply, no_content
from shared.http.routes import BATCH_BODY_BYTES, api_router

router = api_router("connectors")

Reads = Annotated[Caller, Depends(require("connectors:read"))]
Writes = Annotated[Caller, Depends(require("connectors:write"))]
Service = Annotated[Channels, Depends(channels_of)]


_PUT = Call(
    body=ConnectorBody,
    example={
        "id": "site",
        "kind": "web_chat",
        "settings": {"origins": ["https://www.example.org"]},
        "secrets": {"browser_key": "0123456789abcdef0123456789abcdef"},
    },
    answer=ShownConnector,
    created=True,
    etag=True,
    conditional=True,
    keyed=True,
)
_PREVIEW = Call(
    body=PreviewBody,
    example={
        "kind": "web_chat",
        "url": "https://contact.example.org/inbound",
        "headers": [["Content-Type", "application/json"]],
        "body_base64": "eyJpZCI6ICJtLTEiLCAidHlwZSI6ICJtZXNzYWdl"
        "IiwgImNvbnZlcnNhdGlvbiI6ICJ2aXNpdC03IiwgImF1dGhvciI6IHsicm9sZSI6ICJjdX"
        "N0b21lciIsICJuYW1lIjogIktpbSJ9LCAidGV4dCI6ICJIZWxsbyJ9",
    },
    answer=Preview,
)


@router.get("/connector-kinds", openapi_extra=Call(answer=ConnectorKinds).extra)
async def list_connector_kinds(caller: Reads) -> Response:
    """Every kind: settings' schema, secrets, and how to set the vendor up."""
    return json_reply(ConnectorKinds(kinds=registry.describe()))


@router.get("/connectors", openapi_extra=Call(answer=ShownConnector, page="connectors").extra)
async def list_connectors(
    caller: Reads, channels: Service, cursor: Cursor = None, limit: Limit = DEFAULT_LIMIT
) -> Response:
    """All of them, by id."""
    after = "" if cursor is None else decode_cursor(cursor, str)
    rows = await channels.store.connectors(caller.workspace, after, limit + 1)
    shown = [vendors.shown(row, channels) for row in rows]
    return page("connectors", shown, limit, lambda one: one["id"])


@router.put(
    "/connectors/{connector}",
    summary="Create or replace a connector",
    openapi_extra=_PUT.extra,
)
async def put_connector(
    connector: str,
    request: Request,
    caller: Writes,
    channels: Service,
) -> Response:
    """Create or replace. Secrets are sealed at rest and never read back; without `secrets` in the
    body those stored stay."""
    body = await read_body(request, dict[str, Any])
    resource = check_connector(connector, body)
    demand = precondition_of(request)
    given = "secrets" in body
    one = vendors.new_connector(caller.workspace, resource, channels, with_secrets=given)
    none = vendors.no_secrets(caller.workspace, connector, channels)

    async def put() -> Response:
        stored, created = await channels.store.put_connector(one, demand, none)
        channels.errands.changed.set()
        shown = vendors.shown(stored, channels)
        return versioned(request, shown, stored.version, 201 if created else 200)

    key = idempotency_of(request, caller, await request.body())
    return await once(channels.replies, caller.workspace, key, put)


@router.get("/connectors/{connector}", openapi_extra=Call(answer=WatchedConnector, etag=True).extra)
async def get_connector(
    connector: str, request: Request, caller: Reads, channels: Service
) -> Response:
    """Its settings, the names of its secrets, the address to give to the vendor, and how its fetches
    fare."""
    stored = await existing_connector(channels, caller.workspace, connector)
    return versioned(request, await vendors.shown_whole(stored, channels), stored.version)


@router.delete(
    "/connectors/{connector}", status_code=204, openapi_extra=Call(conditional=True).extra
)
async def delete_connector(
    connector: str, request: Request, caller: Writes, channels: Service
) -> Response:
    """Its address answers 404 from now on; what came through it stays."""
    demand = precondition_of(request)
    if not await channels.store.delete_connector(caller.workspace, connector, demand):
        raise not_found("connector", connector)
    return no_content()


@router.post("/connectors:preview", max_body_size=BATCH_BODY_BYTES, openapi_extra=_PREVIEW.extra)
async def preview_connector(
    request: Request,
    caller: Annotated[Caller, Depends(require("connectors:preview"))],
    channels: Service,
) -> Response:
    """What a vendor's request would become: verdict, answer, events, problems."""
    body = await read_body(request, dict[str, Any])
    workspace = await channels.directory.of(caller.workspace)
    answer = await channels.readers.preview(
        len(await request.body()),
        body,
        workspace=workspace.id,
        now_us=wall_us(),
        languages=workspace.languages,
    )
    return json_reply(answer)


async def existing_connector(channels: Channels, workspace: str, name: str) -> StoredConnector:
    """Raises Refused (not-found)."""
    stored = await channels.store.connector(workspace, name)
    if stored is None:
        raise not_found("connector", name)
    return stored
