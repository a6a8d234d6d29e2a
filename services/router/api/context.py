"""What the router's calls share: the runtime, presence leases, and how a command is put to it."""

from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from fastapi import Depends, Request, Response

from services.router.domain.commands import Command, encode
from services.router.presence import PresenceLeases
from shared.http.auth import Caller
from shared.http.idempotency import REPLAYED, idempotency_of
from shared.http.preconditions import Precondition, etag, precondition_of
from shared.http.replies import json_reply
from shared.runtime.core import Input
from shared.runtime.port import Reply, RuntimePort
from shared.runtime.store.port import Store


@dataclass(frozen=True, slots=True)
class Router:
    """`store` is for reads of what has left memory."""

    runtime: RuntimePort
    store: Store
    presence: PresenceLeases


def router_of(request: Request) -> Router:
    return request.app.state.router


Service = Annotated[Router, Depends(router_of)]


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
    """The core's reply to PutResource."""

    id: str
    version: int
    created: bool
    body: msgspec.Raw
    warnings: list[Any] = []


async def put(request: Request, caller: Caller, service: Router, command: Command) -> Response:
    """A resource's PUT: 201 when it is new, its body, warnings where it is doubtful, its ETag."""
    reply = await submit(request, caller, service, command)
    written = msgspec.json.decode(reply.body, type=Written)
    shown: dict[str, Any] = msgspec.json.decode(bytes(written.body))
    if written.warnings:
        shown["warnings"] = written.warnings
    headers = {"ETag": etag(written.version), **_replayed(reply)}
    return json_reply(shown, 201 if written.created else 200, headers)


def _replayed(reply: Reply) -> dict[str, str]:
    return {REPLAYED: "true"} if reply.replayed else {}


def wanted_version(request: Request) -> tuple[int | None, Precondition]:
    """(the one version that If-Match names, the whole demand)."""
    demand = precondition_of(request)
    one = demand.versions[0] if demand.versions and len(demand.versions) == 1 else None
    return one, demand
