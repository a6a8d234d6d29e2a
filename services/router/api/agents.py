"""An agent's desktop: presence, work by long-poll or stream, and answers to offers."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from typing import Annotated

import msgspec
from fastapi import Depends, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import Field, TypeAdapter, ValidationError

from services.router.api.context import (
    Router,
    Service,
    act,
    as_committed,
    as_workspace,
    router_of,
)
from services.router.api.forms import DeclineBody, PresenceBody, instant_at
from services.router.domain import explanation, shapes, views
from services.router.domain.commands import AcceptOffer, DeclineOffer, SetPresence
from services.router.domain.task_shape import ShownTask
from shared.contracts.core import Core
from shared.http.auth import Caller, require
from shared.http.bodies import read_body
from shared.http.calls import Call
from shared.http.direct import DirectRoute, direct_post
from shared.http.preconditions import etag, is_current, not_modified
from shared.http.replies import json_reply
from shared.http.routes import api_router
from shared.http.sse import SseEvent, event_stream
from shared.http.stopping import stopping_of

MAX_WAIT_S = 60
STREAM_RENEW_S = 10.0

router = api_router("agents")
Streams = Annotated[Caller, Depends(require("work:read", ticket=True))]

_PRESENCE = Call(
    body=PresenceBody,
    example={"status": "available"},
    answer=shapes.ShownPresence,
    keyed=True,
    may=(409,),
)
_WORK = Call(answer=shapes.Work, etag=True)
_STREAM = Call(events={"work": shapes.Work})
_ACCEPT = Call(answer=ShownTask, keyed=True, may=(409,))
_DECLINE = Call(
    body=DeclineBody,
    optional_body=True,
    example={"reason": "I am about to leave"},
    answer=ShownTask,
    keyed=True,
    may=(409,),
)
_EXPLANATION = Call(answer=shapes.AgentExplanation)


@router.put("/agents/{agent}/presence", openapi_extra=_PRESENCE.extra)
async def put_presence(
    agent: str,
    request: Request,
    caller: Annotated[Caller, Depends(require("presence:write"))],
    service: Service,
) -> Response:
    """Set the agent's status; `after_current`: once he has no work left."""
    body = await read_body(request, PresenceBody)
    if _is_agent(caller, agent):
        await service.presence.renew(caller.workspace, agent)
    command = SetPresence(
        agent=agent,
        status=body.status,
        reason=body.reason,
        after_current=body.after_current,
    )
    return await act(request, caller, service, command)


Wait = Annotated[float, Query(ge=0, le=MAX_WAIT_S, description="seconds to wait for a change")]
_enter_work = require("work:read")
# As desktops send it; any other is read by the rules.
_PLAIN_WAIT = re.compile(rb"wait=([0-9]{1,2})\Z")
_wait = TypeAdapter[float](Annotated[float, Field(ge=0, le=MAX_WAIT_S)])


async def get_work(request: Request) -> Response:
    """The agent's offers and tasks: at once, or with If-None-Match as soon as they change; 304
    after `wait` seconds, sooner where the token expires. The agent's own call renews his presence
    lease, also while it waits."""
    caller = await _enter_work(request)
    service = router_of(request)
    agent: str = request.path_params["agent"]
    clock = asyncio.get_running_loop().time
    wait_s = min(_wait_of(request), caller.principal.left_s(time.time()))
    deadline = clock() + wait_s
    own, renew_s = _is_agent(caller, agent), float(MAX_WAIT_S)
    if own:
        await service.presence.renew(caller.workspace, agent)
        renew_s = service.presence.renew_every_s(caller.workspace)
    stopping = stopping_of(request)
    with service.runtime.watch(caller.workspace, [f"agent:{agent}"]) as watch:
        stopping.tell(wake := watch.wake)
        try:
            while True:
                revision, snapshot = await service.runtime.query(
                    caller.workspace, lambda core: _news(core, agent, request)
                )
                if snapshot is not None:
                    return json_reply(snapshot, 200, {"ETag": etag(revision)})
                left_s = deadline - clock()
                if stopping.is_set or left_s <= 0:
                    return not_modified(revision)
                if not await watch.changed(min(left_s, renew_s)) and left_s > renew_s and own:
                    if await request.is_disconnected():
                        return not_modified(revision)
                    await service.presence.renew(caller.workspace, agent)
        finally:
            stopping.forget(wake)


def _news(core: Core, agent: str, request: Request) -> tuple[int, shapes.Work | None]:
    """(revision, snapshot), None where the caller has it already."""
    revision = views.work_revision(as_committed(core), agent)
    if is_current(request, revision):
        return revision, None
    return views.work(as_workspace(core), agent)


async def _work_parameters(agent: str, wait: Wait = 0) -> None:
    """For the documentation: the call itself goes past FastAPI."""


router.add_api_route(
    "/agents/{agent}/work",
    get_work,
    methods=["GET"],
    dependencies=[Depends(_enter_work), Depends(_work_parameters)],
    route_class_override=DirectRoute,
    openapi_extra=_WORK.extra,
)


def _wait_of(request: Request) -> float:
    plain = _PLAIN_WAIT.match(request.scope["query_string"])
    if plain is not None and (wait_s := int(plain[1])) <= MAX_WAIT_S:
        return wait_s
    text = request.query_params.get("wait")
    if text is None:
        return 0
    try:
        return _wait.validate_python(text)
    except ValidationError as error:
        raise RequestValidationError(
            [{**fault, "loc": ("query", "wait")} for fault in error.errors(include_url=False)]
        ) from None


async def _work(service: Router, workspace: str, agent: str) -> tuple[int, shapes.Work]:
    return await service.look(workspace, lambda ws: views.work(ws, agent))


@router.get("/agents/{agent}/stream", openapi_extra=_STREAM.extra)
async def stream_work(agent: str, request: Request, caller: Streams, service: Service) -> Response:
    """The same snapshots as Server-Sent Events `work`, each as soon as it is committed."""
    await _work(service, caller.workspace, agent)
    return event_stream(request, _snapshots(agent, caller, service))


async def _snapshots(agent: str, caller: Caller, service: Router) -> AsyncIterator[SseEvent]:
    sent = -1
    with service.runtime.watch(caller.workspace, [f"agent:{agent}"]) as watch:
        while True:
            if _is_agent(caller, agent):
                await service.presence.renew(caller.workspace, agent)
            revision, snapshot = await _work(service, caller.workspace, agent)
            if revision != sent:
                sent = revision
                yield SseEvent(msgspec.json.encode(snapshot), str(revision), "work")
            renew_s = service.presence.renew_every_s(caller.workspace)
            await watch.changed(min(STREAM_RENEW_S, renew_s))


@direct_post(router, "/agents/{agent}/offers/{offer}:accept", "offers:answer", _ACCEPT)
async def accept_offer(request: Request, caller: Caller) -> Response:
    """The task is the agent's. Repeated: the same answer; a dead offer: 409 with its reason."""
    service = router_of(request)
    agent, offer = request.path_params["agent"], request.path_params["offer"]
    if _is_agent(caller, agent):
        await service.presence.renew(caller.workspace, agent)
    return await act(request, caller, service, AcceptOffer(agent=agent, offer=offer))


@direct_post(router, "/agents/{agent}/offers/{offer}:decline", "offers:answer", _DECLINE)
async def decline_offer(request: Request, caller: Caller) -> Response:
    """Not now; `retry_at` says when this task may be offered again."""
    body = await read_body(request, DeclineBody) if await request.body() else DeclineBody()
    command = DeclineOffer(
        agent=request.path_params["agent"],
        offer=request.path_params["offer"],
        reason=body.reason,
        retry_us=instant_at("/retry_at", body.retry_at),
    )
    return await act(request, caller, router_of(request), command)


@router.get("/agents/{agent}/explanation", openapi_extra=_EXPLANATION.extra)
async def explain_agent(
    agent: str,
    request: Request,
    caller: Annotated[Caller, Depends(require("agents:read"))],
    service: Service,
) -> Response:
    """Why the agent has, or has not, what waits."""
    found = await service.look(caller.workspace, lambda ws: explanation.explain_agent(ws, agent))
    return json_reply(found)


def _is_agent(caller: Caller, agent: str) -> bool:
    """Whether the call comes from the agent's desktop, rather than from who looks over it."""
    principal = caller.principal
    return principal.agent == agent or "admin" in principal.roles
