"""What the router's calls share: the runtime, presence leases, and how a command is put to it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import Depends, Request, Response

from services.router.domain.commands import Command, PutResource, encode
from services.router.domain.core import RouterCore
from services.router.domain.workspace import Workspace
from services.router.presence import PresenceLeases, Present
from services.router.shown import shown
from shared.contracts.core import Core, Input
from shared.http.auth import Caller
from shared.http.idempotency import REPLAYED, idempotency_of
from shared.http.preconditions import etag
from shared.http.replies import json_reply
from shared.runtime.port import Reply, RuntimePort
from shared.runtime.store.port import Store

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Router:
    """`store` is for reads of what has left memory."""

    runtime: RuntimePort
    store: Store
    presence: PresenceLeases

    async def look(self, workspace: str, view: Callable[[Workspace], T]) -> T:
        """`view` of the committed state, at the present moment. Raises what the runtime does."""
        return await self.runtime.query(workspace, lambda core: view(as_workspace(core)))


def wall_us() -> int:
    return time.time_ns() // 1000


def as_committed(core: Core) -> RouterCore:
    """The core as its last input left it, for views without a word about now."""
    assert isinstance(core, RouterCore)
    assert core.last_seq >= 0
    return core


def as_workspace(core: Core) -> Workspace:
    """The core as views read it: waits are counted until now."""
    ws = as_committed(core)
    ws.begin(max(ws.meta.now_us, wall_us()))
    return ws


def present_of(core: Core) -> Present:
    """Who has a presence lease, and whose has lapsed."""
    ws = as_workspace(core)
    lapsed = frozenset(name for name, desk in ws.desks.items() if desk.agent.lapsed)
    agents = frozenset(
        name
        for name, desk in ws.desks.items()
        if desk.agent.status != "offline" and name not in lapsed
    )
    return Present(agents, lapsed, ws.settings.lease_s)


def router_of(request: Request) -> Router:
    return request.app.state.router


async def _router_of(request: Request) -> Router:
    """A plain function as dependency would cost a thread at each call."""
    return router_of(request)


Service = Annotated[Router, Depends(_router_of)]


async def submit(request: Request, caller: Caller, service: Router, command: Command) -> Reply:
    """Put a command in order; returns once it is committed. Raises what `RuntimePort.submit` does."""
    key = idempotency_of(request, caller, await request.body())
    what = Input("command", type(command).__name__, encode(command), actor=caller.actor)
    return await service.runtime.submit(caller.workspace, what, idempotency=key)


async def act(
    request: Request, caller: Caller, service: Router, command: Command, status: int = 200
) -> Response:
    """A command whose reply is the response's body."""
    reply = await submit(request, caller, service, command)
    return json_reply(reply.body, status, _replayed(reply))


class Written(msgspec.Struct):
    """The core's reply to PutResource. `changed`: it is not as it was."""

    id: str
    version: int
    created: bool
    body: msgspec.Raw
    changed: bool = True
    warnings: list[Any] = []


async def put(request: Request, caller: Caller, service: Router, command: PutResource) -> Response:
    """A resource's PUT: 201 when it is new, its body, warnings where it is doubtful, its ETag."""
    reply = await submit(request, caller, service, command)
    written = msgspec.json.decode(reply.body, type=Written)
    seen = shown(command.resource, msgspec.json.decode(bytes(written.body)))
    if written.warnings:
        seen["warnings"] = written.warnings
    headers = {"ETag": etag(written.version), **_replayed(reply)}
    return json_reply(seen, 201 if written.created else 200, headers)


def _replayed(reply: Reply) -> dict[str, str]:
    return {REPLAYED: "true"} if reply.replayed else {}
