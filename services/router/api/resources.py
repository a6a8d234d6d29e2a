"""The router's resources: agents, queues, policies, escalations, customers, teams."""

from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Request, Response

from services.router.api.context import Router, Service, put, submit
from services.router.api.described import (
    DELETE,
    get_call,
    list_call,
    put_call,
    written_as,
)
from services.router.domain import duty, evaluate, shapes, views
from services.router.domain.commands import DeleteResource, PutResource, ResourceKind
from services.router.evaluation import EvaluationBody, read_evaluation
from services.router.resources import parse
from services.router.shown import shown
from shared.contracts.problems import Refused, not_found
from shared.http.auth import Caller, require
from shared.http.bodies import check_content_type, read_body
from shared.http.calls import Call
from shared.http.pages import DEFAULT_LIMIT, Cursor, Limit, decode_cursor, page
from shared.http.permissions import Action
from shared.http.preconditions import demanded, versioned
from shared.http.replies import json_reply, no_content
from shared.http.routes import api_router

PLURALS: dict[ResourceKind, str] = {
    "agent": "agents",
    "queue": "queues",
    "policy": "policies",
    "escalation": "escalations",
    "customer": "customers",
    "team": "teams",
}


def resource_router(kind: ResourceKind) -> APIRouter:
    """PUT, GET, DELETE of one kind, and its list."""
    plural = PLURALS[kind]
    read: Action = "agents:read" if kind == "agent" else "config:read"
    write: Action = "agents:write" if kind == "agent" else "config:write"
    routes = api_router(plural)
    # An agent's own path is guarded by its name; the other kinds are open to no agent.
    parameter = "{agent}" if kind == "agent" else "{name}"

    @routes.put(
        f"/{plural}/{parameter}",
        name=f"put_{kind}",
        summary=f"Create or replace {written_as(kind)}",
        openapi_extra=put_call(kind).extra,
    )
    async def put_one(  # pyright: ignore[reportUnusedFunction]
        request: Request, caller: Annotated[Caller, Depends(require(write))], service: Service
    ) -> Response:
        name = _name(request, kind)
        check_content_type(request)
        parsed = parse(kind, await request.body(), name)
        if parsed.faults:
            message = parsed.faults[0].message
            raise Refused("validation", message, errors=list(parsed.faults))
        await service.runtime.refresh_config(caller.workspace)
        version = await demanded(request, lambda: _version(caller, service, kind, name))
        body = msgspec.Raw(msgspec.json.encode(parsed.canonical))
        command = PutResource(resource=kind, id=name, body=body, if_version=version)
        return await put(request, caller, service, command)

    @routes.get(f"/{plural}/{parameter}", name=f"get_{kind}", openapi_extra=get_call(kind).extra)
    async def get_one(  # pyright: ignore[reportUnusedFunction]
        request: Request, caller: Annotated[Caller, Depends(require(read))], service: Service
    ) -> Response:
        name = _name(request, kind)
        found = await service.look(caller.workspace, lambda ws: views.resource(ws, kind, name))
        if found is None:
            raise not_found(kind, name)
        version, body = found
        return versioned(request, shown(kind, body), version)

    @routes.delete(
        f"/{plural}/{parameter}", status_code=204, name=f"delete_{kind}", openapi_extra=DELETE.extra
    )
    async def delete_one(  # pyright: ignore[reportUnusedFunction]
        request: Request, caller: Annotated[Caller, Depends(require(write))], service: Service
    ) -> Response:
        name = _name(request, kind)
        version = await demanded(request, lambda: _version(caller, service, kind, name))
        command = DeleteResource(resource=kind, id=name, if_version=version)
        await submit(request, caller, service, command)
        return no_content()

    @routes.get(f"/{plural}", name=f"list_{plural}", openapi_extra=list_call(kind, plural).extra)
    async def list_all(  # pyright: ignore[reportUnusedFunction]
        caller: Annotated[Caller, Depends(require(read))],
        service: Service,
        cursor: Cursor = None,
        limit: Limit = DEFAULT_LIMIT,
    ) -> Response:
        after = "" if cursor is None else decode_cursor(cursor, str)
        only = caller.only_agent
        rows = await service.look(
            caller.workspace, lambda ws: views.resources(ws, kind, after, limit + 1, only)
        )
        seen = [shown(kind, body) for body in rows]
        return page(plural, seen, limit, lambda one: one["id"])

    return routes


def _name(request: Request, kind: ResourceKind) -> str:
    return request.path_params["agent" if kind == "agent" else "name"]


async def _version(caller: Caller, service: Router, kind: ResourceKind, name: str) -> int | None:
    found = await service.look(caller.workspace, lambda ws: views.resource(ws, kind, name))
    return None if found is None else found[0]


_STATUS = Call(answer=shapes.QueueStatus)
_DUTY = Call(answer=shapes.Duty)
_EVALUATE = Call(
    body=EvaluationBody,
    example={
        "policy_id": "default",
        "events": [{"channel": "chat", "text": "My invoice is wrong", "language": "de"}],
    },
    also=(evaluate.Sample,),
    answer=shapes.EvaluatedPolicy,
)

queues = api_router("queues")


@queues.get("/queues/{name}/status", openapi_extra=_STATUS.extra)
async def get_queue_status(
    name: str, caller: Annotated[Caller, Depends(require("queues:read"))], service: Service
) -> Response:
    """Who waits, who works, and how long a new task may expect to wait."""
    found = await service.look(caller.workspace, lambda ws: views.queue_status(ws, name))
    if found is None:
        raise not_found("queue", name)
    return json_reply(found)


teams = api_router("teams")


@teams.get("/teams/{name}/duty", openapi_extra=_DUTY.extra)
async def get_team_duty(
    name: str, caller: Annotated[Caller, Depends(require("config:read"))], service: Service
) -> Response:
    """Who of the team is on duty now, by its shifts, and who is there."""
    return json_reply(await service.look(caller.workspace, lambda ws: duty.roster(ws, name)))


@queues.post("/policies:evaluate", openapi_extra=_EVALUATE.extra)
async def evaluate_policy(
    request: Request, caller: Annotated[Caller, Depends(require("evaluate"))], service: Service
) -> Response:
    """What a policy would do with events or tasks; changes nothing."""
    asked = read_evaluation(await read_body(request, EvaluationBody))
    await service.runtime.refresh_config(caller.workspace)
    found = await service.look(caller.workspace, lambda ws: evaluate.evaluate(ws, asked))
    return json_reply(found)
