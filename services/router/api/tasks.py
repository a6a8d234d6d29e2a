"""Tasks: created, read, and moved through their life by agents, supervisors and platforms."""

import re
from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import Depends, Query, Request, Response

from services.router.api.context import Router, Service, act, router_of, wall_us
from services.router.api.forms import (
    AssignBody,
    FinishBody,
    LevelBody,
    NewTask,
    NothingBody,
    PriorityBody,
    ReasonBody,
    TransferBody,
    check_destination,
    checked,
    instant_at,
)
from services.router.domain import commands, explanation, shapes, views
from services.router.domain.core import RouterCore, RouterFactory
from services.router.domain.state import Task, TaskState
from services.router.domain.task_shape import ShownTask
from services.router.domain.workspace import Workspace
from services.router.local_times import local_time, local_window
from shared.contracts.instants import format_instant
from shared.contracts.problems import invalid, not_found
from shared.http.auth import Caller, require
from shared.http.bodies import read_body
from shared.http.calls import Call
from shared.http.direct import direct_post
from shared.http.pages import (
    DEFAULT_LIMIT,
    MAX_LIMIT,
    Cursor,
    Limit,
    decode_cursor,
    encode_cursor,
    page,
)
from shared.http.preconditions import demanded, etag
from shared.http.replies import json_reply
from shared.http.routes import api_router
from shared.runtime.past import rebuild

T = TypeVar("T")

router = api_router("tasks")
Reads = Annotated[Caller, Depends(require("tasks:read"))]
Acts = Annotated[Caller, Depends(require("tasks:act"))]
Steers = Annotated[Caller, Depends(require("tasks:steer"))]


def _change(body: Any = None, example: Any = None, *, needed: bool = False) -> Call:
    """A call that moves a task on; without `needed` its body may be left away."""
    return Call(
        body=body,
        example=example,
        optional_body=not needed,
        answer=ShownTask,
        keyed=True,
        conditional=True,
        may=(409,),
    )


_CREATE = Call(
    body=NewTask,
    example={
        "channel": "phone",
        "customer_id": "kim",
        "kind": "call_back",
        "priority": 5,
        "attributes": {"topic": "billing"},
        "text": "Please call me back about my invoice",
    },
    answer=ShownTask,
    keyed=True,
    may=(409,),
)
_LIST = Call(answer=ShownTask, page="tasks")
_GET = Call(answer=ShownTask, tagged=True)
_EXPLAIN = Call(answer=shapes.TaskExplanation)
_FINISH = _change(FinishBody, {"disposition": "solved", "tags": ["billing"], "note": "Refunded"})
_TRANSFER = _change(
    TransferBody,
    {"to": {"queue": "support"}, "mode": "blind", "note": "Asks about his router"},
    needed=True,
)
_REQUEUE = _change(ReasonBody, {"reason": "needs another language"})
_HOLD = _change(ReasonBody, {"reason": "waiting_on_customer"})
_RESUME = _change(NothingBody)
_ESCALATE = _change(LevelBody, {"level": "urgent"})
_ASSIGN = _change(AssignBody, {"agent": "ana", "override_capacity": False}, needed=True)
_REPRIORITIZE = _change(PriorityBody, {"priority": 50}, needed=True)
_CANCEL = _change(ReasonBody, {"reason": "duplicate"})
_CONVERSATION_ID = re.compile(r"cnv_[0-9a-f]{32}\Z")


@router.post("/tasks", status_code=201, openapi_extra=_CREATE.extra)
async def create_task(
    request: Request,
    caller: Annotated[Caller, Depends(require("tasks:create"))],
    service: Service,
) -> Response:
    """A call-back, ticket or custom task, in a conversation or for a customer (a new one). Times
    without an offset are in the customer's time zone, else the workspace's."""
    body = await read_body(request, NewTask)
    _check_new(body)
    channel, zone = await service.look(
        caller.workspace,
        lambda ws: (
            views.channel_of(ws, body.conversation_id),
            views.zone_of(ws, body.conversation_id, body.customer_id),
        ),
    )
    if channel not in (None, body.channel):
        message = f"The conversation is one of {channel}."
        expected = f"{channel}, or customer_id for a new conversation"
        raise invalid("/channel", "channel", message, expected)
    not_before_us, not_after_us = _window(body.not_before, body.not_after, zone)
    if not_before_us is not None and not_after_us is not None and not_after_us <= not_before_us:
        message = "not_after comes before not_before."
        raise invalid("/not_after", "order", message, "a time after not_before")
    command = commands.CreateTask(
        channel=body.channel,
        conversation_id=body.conversation_id,
        customer_id=body.customer_id,
        kind=body.kind,
        not_before_us=not_before_us,
        not_after_us=not_after_us,
        attributes=checked(body.attributes),
        priority=body.priority,
        text=body.text,
        language=body.language,
    )
    return await act(request, caller, service, command, 201)


def _check_new(body: NewTask) -> None:
    if (body.conversation_id is None) == (body.customer_id is None):
        message = "Name either the conversation or the customer."
        raise invalid("/conversation_id", "one_of", message, "conversation_id or customer_id")
    if body.conversation_id is not None and not _CONVERSATION_ID.match(body.conversation_id):
        message = f"{body.conversation_id[:80]!r} is no conversation's id."
        raise invalid(
            "/conversation_id", "format", message, "cnv_ and 32 of 0-9 a-f, as we gave it"
        )


@router.get("/tasks", openapi_extra=_LIST.extra)
async def list_tasks(
    caller: Reads,
    service: Service,
    state: Annotated[
        list[TaskState] | None, Query(description="in one of these states; repeat it for several")
    ] = None,
    queue: Annotated[str | None, Query(description="in this queue, whatever its state")] = None,
    agent: Annotated[str | None, Query(description="had by, or offered to, this agent")] = None,
    conversation_id: Annotated[str | None, Query(description="of this conversation")] = None,
    customer_id: Annotated[
        str | None, Query(description="of this customer, and of who was merged with him")
    ] = None,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Response:
    """Tasks in memory (open ones, and those that ended lately), oldest first. An agent sees his."""
    after = 0 if cursor is None else decode_cursor(cursor, int)
    chosen = caller.only_agent or agent
    rows = await service.look(
        caller.workspace,
        lambda ws: views.tasks(
            ws,
            states=state,
            queue=queue,
            agent=chosen,
            conversation=conversation_id,
            customer=customer_id,
            after=after,
            limit=limit + 1,
        ),
    )
    return page("tasks", [shown for _, shown in rows], limit, lambda one: one["number"])


@router.get("/tasks/{task}", openapi_extra=_GET.extra)
async def get_task(task: str, caller: Reads, service: Service) -> Response:
    """A task, with an estimate while it waits; its ETag is its `version`."""
    found = await _task(task, caller, service)
    return json_reply(found, 200, {"ETag": etag(found["version"])})


async def _task(name: str, caller: Caller, service: Service) -> dict[str, Any]:
    """From memory, else from history. An agent finds only what is or was his."""
    agent = caller.only_agent
    shown = await service.look(caller.workspace, lambda ws: views.task(ws, name, agent=agent))
    if shown is not None:
        return shown
    return views.stored_task(await _stored(name, caller, service))


async def _stored(name: str, caller: Caller, service: Service) -> Task:
    """A task that has left memory."""
    stored = await service.store.entities(caller.workspace, "task", [name])
    if not stored or stored[0].body is None:
        raise not_found("task", name)
    found = msgspec.msgpack.decode(stored[0].body, type=Task)
    if caller.only_agent is not None and found.agent_id != caller.only_agent:
        raise not_found("task", name)
    return found


@router.get("/tasks/{task}/explanation", openapi_extra=_EXPLAIN.extra)
async def explain_task(
    task: str,
    caller: Reads,
    service: Service,
    agent: Annotated[str | None, Query(description="of this agent alone")] = None,
    at: Annotated[str | None, Query(description="RFC 3339: as it was at this past moment")] = None,
    cursor: Cursor = None,
    limit: Annotated[
        int | None, Query(ge=1, le=MAX_LIMIT, description="agents a page holds; without, 20 in all")
    ] = None,
) -> Response:
    """Why the task is where it is, who could have it, and what will change next. With `limit` (then
    `cursor`) all agents in pages, the nearest first."""
    pages = _page(cursor, limit)
    shown = await _task(task, caller, service)
    moment = instant_at("/query/at", at)
    if moment is not None:
        past = await rebuild(service.store, RouterFactory(), caller.workspace, moment)
        assert isinstance(past, RouterCore)
        return json_reply(explained(past, task, agent, pages))
    if "estimate" not in shown:
        stored = await _stored(task, caller, service)
        return json_reply(explanation.explain_stored(stored, format_instant(wall_us())))
    found = await service.look(caller.workspace, lambda ws: explained(ws, task, agent, pages))
    return json_reply(found)


def explained(
    ws: Workspace, task: str, agent: str | None, pages: explanation.Page | None
) -> shapes.TaskExplanation:
    """With the place of the next page as the cursor that clients send back."""
    found = explanation.explain_task(ws, task, agent=agent, page=pages)
    following = found["next"]
    return {**found, "next": None if following is None else encode_cursor(following)}


def _page(cursor: str | None, limit: int | None) -> explanation.Page | None:
    if cursor is None and limit is None:
        return None
    start = 0 if cursor is None else decode_cursor(cursor, int)
    return explanation.Page(max(0, start), limit or DEFAULT_LIMIT)


@direct_post(router, "/tasks/{task}:complete", "tasks:act", _FINISH)
async def complete_task(request: Request, caller: Caller) -> Response:
    """The work is done: assigned → wrapping, or completed where there is no wrap-up."""
    return await _end(request, caller, commands.CompleteTask)


@direct_post(router, "/tasks/{task}:close", "tasks:act", _FINISH)
async def close_task(request: Request, caller: Caller) -> Response:
    """Wrap-up is done: wrapping → completed."""
    return await _end(request, caller, commands.CloseTask)


@router.post("/tasks/{task}:transfer", openapi_extra=_TRANSFER.extra)
async def transfer_task(task: str, request: Request, caller: Acts, service: Service) -> Response:
    """To a queue, an agent or a policy; warm: the agent keeps it until somebody accepts. To a queue it goes
    with what it asks of agents, or without (`requires: drop`); a policy says itself what it asks."""
    body = await read_body(request, TransferBody)
    check_destination(body.to)
    command = commands.TransferTask(
        task=task,
        agent=caller.only_agent,
        to=body.to,
        mode=body.mode,
        keep_place=body.keep_place,
        requires=body.requires,
        note=body.note,
        attributes=checked(body.attributes),
    )
    return await _do(request, caller, service, command)


@router.post("/tasks/{task}:requeue", openapi_extra=_REQUEUE.extra)
async def requeue_task(task: str, request: Request, caller: Acts, service: Service) -> Response:
    """Back to its queues, keeping its place."""
    body = await _optional(request, ReasonBody)
    command = commands.RequeueTask(task=task, agent=caller.only_agent, reason=body.reason)
    return await _do(request, caller, service, command)


@router.post("/tasks/{task}:hold", openapi_extra=_HOLD.extra)
async def hold_task(task: str, request: Request, caller: Acts, service: Service) -> Response:
    """`waiting_on_customer` ends by itself with the customer's next message."""
    body = await _optional(request, ReasonBody)
    command = commands.HoldTask(task=task, agent=caller.only_agent, reason=body.reason or "hold")
    return await _do(request, caller, service, command)


@router.post("/tasks/{task}:resume", openapi_extra=_RESUME.extra)
async def resume_task(task: str, request: Request, caller: Acts, service: Service) -> Response:
    """It is on hold no longer."""
    await _optional(request, NothingBody)
    command = commands.ResumeTask(task=task, agent=caller.only_agent)
    return await _do(request, caller, service, command)


@router.post("/tasks/{task}:escalate", openapi_extra=_ESCALATE.extra)
async def escalate_task(task: str, request: Request, caller: Steers, service: Service) -> Response:
    """Fire the ladder's `level`, or the first that has not fired in this cycle."""
    body = await _optional(request, LevelBody)
    command = commands.EscalateTask(task=task, level=body.level)
    return await _do(request, caller, service, command)


@router.post("/tasks/{task}:assign", openapi_extra=_ASSIGN.extra)
async def assign_task(task: str, request: Request, caller: Steers, service: Service) -> Response:
    """Give it to an agent without an offer; over his capacity only by `override_capacity`."""
    body = await read_body(request, AssignBody)
    command = commands.AssignTask(
        task=task, to=body.agent, override_capacity=body.override_capacity
    )
    return await _do(request, caller, service, command)


@router.post("/tasks/{task}:reprioritize", openapi_extra=_REPRIORITIZE.extra)
async def reprioritize_task(
    task: str, request: Request, caller: Steers, service: Service
) -> Response:
    """It waits with this priority from now on; the higher comes first."""
    body = await read_body(request, PriorityBody)
    command = commands.ReprioritizeTask(task=task, priority=body.priority)
    return await _do(request, caller, service, command)


@router.post("/tasks/{task}:cancel", openapi_extra=_CANCEL.extra)
async def cancel_task(task: str, request: Request, caller: Steers, service: Service) -> Response:
    """It ends unanswered, and its offers are revoked."""
    body = await _optional(request, ReasonBody)
    command = commands.CancelTask(task=task, reason=body.reason or "cancelled")
    return await _do(request, caller, service, command)


async def _do(
    request: Request, caller: Caller, service: Router, command: commands.TaskCommand
) -> Response:
    """With If-Match only if the task is at the `version` that it names."""

    async def version() -> int:
        return (await _task(command.task, caller, service))["version"]

    command.if_version = await demanded(request, version)
    return await act(request, caller, service, command)


async def _optional(request: Request, kind: type[T]) -> T:
    """The body, or its defaults when there is none."""
    return await read_body(request, kind) if await request.body() else kind()


async def _end(request: Request, caller: Caller, kind: type[commands.CompleteTask]) -> Response:
    body = await _optional(request, FinishBody)
    command = kind(
        task=request.path_params["task"],
        agent=caller.only_agent,
        disposition=body.disposition,
        tags=body.tags or [],
        note=body.note,
    )
    return await _do(request, caller, router_of(request), command)


def _window(since: str | None, until: str | None, zone: str) -> tuple[int | None, int | None]:
    """Microseconds; a time without an offset is a wall clock's in `zone`."""
    places = ("/not_before", "/not_after")
    found = local_window(local_time(since), local_time(until), zone)
    texts = [
        given if local is None else local.isoformat()
        for given, local in zip((since, until), found, strict=True)
    ]
    not_before_us, not_after_us = map(instant_at, places, texts)
    return not_before_us, not_after_us
