"""Customers beyond their resource: one profile over all channels, merges, identities, import."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

import msgspec
from fastapi import Depends, Request, Response
from starlette.responses import StreamingResponse

from services.router.api.context import Router, Service, Written, act
from services.router.domain import commands as cmd
from services.router.domain import merges
from services.router.domain.customers import RULES
from services.router.importing import CSV, NDJSON, ImportRow, rows
from shared.contracts.core import Input
from shared.contracts.interactions import Identity
from shared.contracts.problems import Refused, invalid
from shared.http.auth import Caller, require
from shared.http.bodies import check_content_type, read_body
from shared.http.replies import json_reply
from shared.http.routes import api_router

AT_ONCE = 64  # rows of an import that wait for their commit together
PROGRESS_EVERY = 500  # rows
REJECTED_SHOWN_MAX = 1_000
IDENTITIES_MAX = 50

router = api_router("customers")
Reads = Annotated[Caller, Depends(require("config:read"))]
Writes = Annotated[Caller, Depends(require("config:write"))]


class IntoBody(msgspec.Struct, forbid_unknown_fields=True):
    into: str


class IdentitiesBody(msgspec.Struct, forbid_unknown_fields=True):
    identities: list[Identity]


@router.get("/customers/{name}/profile")
async def profile(name: str, caller: Reads, service: Service) -> Response:
    """The customer with what was merged into him, open and recent work, and who had it last."""
    return json_reply(await service.look(caller.workspace, lambda ws: merges.profile(ws, name)))


@router.post("/customers/{name}:merge")
async def merge(name: str, request: Request, caller: Writes, service: Service) -> Response:
    """This customer is from now on `into`; both stay as written, so that it can be undone."""
    body = await read_body(request, IntoBody)
    return await act(request, caller, service, cmd.MergeCustomer(customer=name, into=body.into))


@router.post("/customers/{name}:unmerge")
async def unmerge(name: str, request: Request, caller: Writes, service: Service) -> Response:
    return await act(request, caller, service, cmd.UnmergeCustomer(customer=name))


@router.post("/customers:resolve")
async def resolve(request: Request, caller: Reads, service: Service) -> Response:
    """Whom identities mean, which of them decides, and the rules by which they are compared."""
    body = await read_body(request, IdentitiesBody)
    if not 0 < len(body.identities) <= IDENTITIES_MAX:
        message = f"{len(body.identities)} identities are given."
        raise invalid("/identities", "length", message, f"1 to {IDENTITIES_MAX}")
    found = await service.look(caller.workspace, lambda ws: ws.customers.explain(body.identities))
    chosen = next((one["customer"] for one in found if one["customer"] is not None), None)
    return json_reply({"customer": chosen, "identities": found, "rules": RULES})


# -- import


class Tally(msgspec.Struct):
    """What became of the rows so far; those that said nothing new are in no count but `done`."""

    total: int
    done: int = 0
    created: int = 0
    changed: int = 0
    rejected: int = 0
    rejections: list[dict[str, Any]] = []

    def reject(self, row: ImportRow, errors: list[Any]) -> None:
        self.rejected += 1
        if len(self.rejections) < REJECTED_SHOWN_MAX:
            self.rejections.append({"row": row.row, "id": row.id or None, "errors": errors})


@router.post("/customers:import")
async def import_customers(request: Request, caller: Writes, service: Service) -> Response:
    """NDJSON (a customer a line) or CSV. Answers NDJSON: lines of progress, at last the result. A
    bad row holds back no other; the same file again changes nothing."""
    kind = check_content_type(request, (NDJSON, CSV))
    given = await asyncio.to_thread(rows, await request.body(), kind)
    lines = _import(caller, service, given)
    return StreamingResponse(lines, media_type=NDJSON)


async def _import(caller: Caller, service: Router, given: list[ImportRow]) -> AsyncIterator[bytes]:
    tally = Tally(len(given), rejections=[])
    for start in range(0, len(given), AT_ONCE):
        piece = given[start : start + AT_ONCE]
        await asyncio.gather(*(_take(caller, service, row, tally) for row in piece))
        tally.done += len(piece)
        if tally.done % PROGRESS_EVERY < AT_ONCE and tally.done < tally.total:
            yield _line({"progress": {"done": tally.done, "total": tally.total}})
    yield _line({"result": tally})


def _line(shown: dict[str, Any]) -> bytes:
    return msgspec.json.encode(shown) + b"\n"


async def _take(caller: Caller, service: Router, row: ImportRow, tally: Tally) -> None:
    if row.faults:
        tally.reject(row, [msgspec.to_builtins(one) for one in row.faults])
        return
    command = cmd.PutResource(resource="customer", id=row.id, body=msgspec.Raw(row.body))
    what = Input("command", "PutResource", cmd.encode(command), actor=caller.actor)
    try:
        reply = await service.runtime.submit(caller.workspace, what)
    except Refused as refused:
        tally.reject(row, [{"code": refused.kind, "message": refused.detail}])
        return
    written = msgspec.json.decode(reply.body, type=Written)
    tally.created += written.created
    tally.changed += written.changed and not written.created
