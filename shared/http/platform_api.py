"""Workspaces, API keys and stream tickets over HTTP."""

from typing import Annotated, Any, Protocol, TypedDict

import msgspec
from fastapi import APIRouter, Depends, Request, Response

from shared.contracts.ids import CLIENT_ID
from shared.contracts.problems import Refused, invalid, not_found
from shared.http.auth import Caller, require
from shared.http.bodies import read_body
from shared.http.calls import Call, Written
from shared.http.idempotency import Replies, idempotency_of, once
from shared.http.pages import DEFAULT_LIMIT, Cursor, Limit, decode_cursor, page
from shared.http.preconditions import Precondition, precondition_of, versioned
from shared.http.principals import ANY_WORKSPACE, Role, Tickets
from shared.http.replies import json_reply, no_content
from shared.http.resources import read_resource
from shared.http.routes import api_router
from shared.http.workspace_body import WorkspaceBody

MAX_NAME_CHARS = 200


class WorkspaceRecord(msgspec.Struct, frozen=True):
    """`settings` is the resource's body as written; `version` counts its writes from 1."""

    id: str
    settings: dict[str, Any]
    version: int


class KeyEntry(msgspec.Struct, frozen=True):
    """A key as lists show it. Instants are RFC 3339."""

    id: str
    name: str
    role: Role
    agent: str | None
    created_at: str
    last_used_at: str | None = None


class NewKey(msgspec.Struct, frozen=True):
    """The token is shown this once."""

    id: str
    token: str


class StreamTicket(TypedDict):
    """Good for one stream that is opened until `expires_at`."""

    ticket: str
    expires_at: str


class PlatformPort(Protocol):
    """What this API needs of the platform's store."""

    async def get_workspace(self, workspace: str) -> WorkspaceRecord | None: ...

    async def put_workspace(
        self, workspace: str, settings: dict[str, Any], demand: Precondition, actor: str
    ) -> tuple[WorkspaceRecord, bool]:
        """(record, created). Creating chooses the partition. Raises Refused (412)."""
        ...

    async def create_key(
        self, workspace: str, name: str, role: Role, agent: str | None
    ) -> NewKey: ...

    async def list_keys(self, workspace: str, after: str | None, limit: int) -> list[KeyEntry]:
        """Live keys by id, beginning after `after`."""
        ...

    async def rotate_key(self, workspace: str, key: str) -> NewKey | None:
        """A new token for the key; the old one ends at once. None: no such key."""
        ...

    async def delete_key(self, workspace: str, key: str) -> bool:
        """Revoke at once. False: no such key."""
        ...


class KeyBody(msgspec.Struct, forbid_unknown_fields=True):
    name: Annotated[
        str, msgspec.Meta(extra_json_schema={"minLength": 1, "maxLength": MAX_NAME_CHARS})
    ]
    role: Role
    agent: str | None = None


def platform_router(platform: PlatformPort, tickets: Tickets, replies: Replies) -> APIRouter:
    """`PUT/GET /v1/workspaces/{workspace}`, `keys` and `stream-tickets` of every service."""
    routes = api_router("workspaces and keys")
    _add_workspace(routes, platform, replies)
    _add_keys(routes, platform, replies)
    _add_tickets(routes, tickets)
    return routes


def _add_workspace(routes: APIRouter, platform: PlatformPort, replies: Replies) -> None:
    @routes.put(
        "", summary="Create a workspace or change its settings", openapi_extra=_PUT_WORKSPACE.extra
    )
    async def put_workspace(  # pyright: ignore[reportUnusedFunction]
        request: Request,
        caller: Caller = Depends(require("workspaces:admin", must_exist=False)),
    ) -> Response:
        body = await read_resource(request, WorkspaceBody, id_in_path=caller.workspace)
        demand = precondition_of(request)
        key = idempotency_of(request, caller, await request.body())

        async def put() -> Response:
            if await platform.get_workspace(caller.workspace) is None:
                _check_may_create(caller)
            settings = body.model_dump(mode="json", exclude_unset=True)
            record, created = await platform.put_workspace(
                caller.workspace, settings, demand, caller.actor
            )
            return versioned(request, _shown(record), record.version, 201 if created else 200)

        return await once(replies, caller.workspace, key, put)

    @routes.get("", summary="A workspace's settings", openapi_extra=_GET_WORKSPACE.extra)
    async def get_workspace(  # pyright: ignore[reportUnusedFunction]
        request: Request, caller: Caller = Depends(require("workspaces:read"))
    ) -> Response:
        record = await platform.get_workspace(caller.workspace)
        if record is None:
            raise not_found("workspace", caller.workspace)
        return versioned(request, _shown(record), record.version)


def _add_keys(routes: APIRouter, platform: PlatformPort, replies: Replies) -> None:
    @routes.post(
        "/keys", status_code=201, summary="Create an API key", openapi_extra=_CREATE_KEY.extra
    )
    async def create_key(  # pyright: ignore[reportUnusedFunction]
        request: Request, caller: Caller = Depends(require("keys:admin"))
    ) -> Response:
        body = await read_body(request, KeyBody)
        _check_key(body)

        async def create() -> Response:
            made = await platform.create_key(caller.workspace, body.name, body.role, body.agent)
            return json_reply(made, 201)

        key = idempotency_of(request, caller, await request.body())
        return await once(replies, caller.workspace, key, create)

    @routes.get("/keys", summary="The keys that are in force", openapi_extra=_KEYS.extra)
    async def list_keys(  # pyright: ignore[reportUnusedFunction]
        cursor: Cursor = None,
        limit: Limit = DEFAULT_LIMIT,
        caller: Caller = Depends(require("keys:admin")),
    ) -> Response:
        after = None if cursor is None else decode_cursor(cursor, str)
        rows = await platform.list_keys(caller.workspace, after, limit + 1)
        return page("keys", rows, limit, lambda row: row.id)

    @routes.post(
        "/keys/{key}:rotate",
        summary="Give a key a new token; the old one ends at once",
        openapi_extra=_ROTATE_KEY.extra,
    )
    async def rotate_key(  # pyright: ignore[reportUnusedFunction]
        request: Request, caller: Caller = Depends(require("keys:admin"))
    ) -> Response:
        name: str = request.path_params["key"]

        async def rotate() -> Response:
            made = await platform.rotate_key(caller.workspace, name)
            if made is None:
                raise not_found("key", name)
            return json_reply(made)

        key = idempotency_of(request, caller, await request.body())
        return await once(replies, caller.workspace, key, rotate)

    @routes.delete(
        "/keys/{key}",
        status_code=204,
        summary="Revoke a key at once",
        openapi_extra=Call().extra,
    )
    async def delete_key(  # pyright: ignore[reportUnusedFunction]
        request: Request, caller: Caller = Depends(require("keys:admin"))
    ) -> Response:
        name: str = request.path_params["key"]
        if not await platform.delete_key(caller.workspace, name):
            raise not_found("key", name)
        return no_content()


def _add_tickets(routes: APIRouter, tickets: Tickets) -> None:
    @routes.post(
        "/stream-tickets",
        status_code=201,
        summary="A one-time ticket for a stream",
        openapi_extra=Call(answer=StreamTicket).extra,
    )
    async def create_stream_ticket(  # pyright: ignore[reportUnusedFunction]
        caller: Caller = Depends(require("tickets:create")),
    ) -> Response:
        ticket, expires_at = await tickets.create(caller.principal, caller.workspace)
        return json_reply(StreamTicket(ticket=ticket, expires_at=expires_at), 201)


def _check_may_create(caller: Caller) -> None:
    if caller.principal.workspace != ANY_WORKSPACE:
        raise Refused("forbidden", "Creating workspaces needs a token for '*'.")


def _check_key(body: KeyBody) -> None:
    if not 1 <= len(body.name) <= MAX_NAME_CHARS:
        raise invalid("/name", "length", "The name is empty or too long.", "1 to 200 characters")
    if body.role == "agent" and body.agent is None:
        raise invalid("/agent", "missing", "A key of role 'agent' names its agent.", "an agent id")
    if body.agent is not None and CLIENT_ID.match(body.agent) is None:
        raise invalid("/agent", "pattern", "The agent is not an id.", "[A-Za-z0-9_-]{1,64}")


def _shown(record: WorkspaceRecord) -> dict[str, Any]:
    return {**record.settings, "id": record.id}


_WORKSPACE = Written(WorkspaceBody, "Workspace", warnings=False)
_GET_WORKSPACE = Call(answer=_WORKSPACE, etag=True)
_PUT_WORKSPACE = Call(
    body=_WORKSPACE,
    example={
        "id": "acme",
        "timezone": "Europe/Berlin",
        "languages": ["de", "en"],
        "channels": {"chat": {"cost": 30}, "phone": {"cost": 100}},
        "lease_s": 60,
    },
    answer=_WORKSPACE,
    created=True,
    etag=True,
    conditional=True,
    keyed=True,
)
_CREATE_KEY = Call(
    body=KeyBody,
    example={"name": "Ana's desktop", "role": "agent", "agent": "ana"},
    answer=NewKey,
    keyed=True,
)
_KEYS = Call(answer=KeyEntry, page="keys")
_ROTATE_KEY = Call(answer=NewKey, keyed=True)
