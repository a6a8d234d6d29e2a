"""Customers beyond their resource: one profile over all channels, merges, identities, import."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import msgspec
from fastapi import Depends, Request, Response
from starlette.responses import StreamingResponse

from services.router import importing
from services.router.api.context import Router, Service, Written, act
from services.router.domain import commands as cmd
from services.router.domain import merges
from services.router.domain.customers import RULES
from services.router.domain.shapes import CustomerProfile, ResolvedIdentities
from services.router.domain.workspace import Workspace
from services.router.importing import CSV, NDJSON, ImportRow, rows, told
from shared.contracts.core import Input
from shared.contracts.interactions import Identity
from shared.contracts.problems import Problem, Refused, invalid
from shared.http.auth import Caller, require
from shared.http.bodies import check_content_type, read_body
from shared.http.calls import Call
from shared.http.replies import json_reply
from shared.http.routes import api_router
from shared.runtime.port import NotOwner, OutcomeUnknown, Unavailable

AT_ONCE = 64  # rows of an import that wait for their commit together
PROGRESS_EVERY = 500  # rows
ROWS_SHOWN_MAX = 1_000  # rejected, and as many doubtful ones
WRITES_MAX = 5  # of a row, while others write the same customer or a part is away
IDENTITIES_MAX = 50
# What may end an import that has begun: its shard has moved, or is away for longer than it waits.
_AWAY = (NotOwner, Unavailable, OutcomeUnknown)

router = api_router("customers")
Reads = Annotated[Caller, Depends(require("config:read"))]
Writes = Annotated[Caller, Depends(require("config:write"))]


class IntoBody(msgspec.Struct, forbid_unknown_fields=True):
    into: str


class IdentitiesBody(msgspec.Struct, forbid_unknown_fields=True):
    identities: Annotated[
        list[Identity],
        msgspec.Meta(extra_json_schema={"minItems": 1, "maxItems": IDENTITIES_MAX}),
    ]


_PROFILE = Call(answer=CustomerProfile)
_MERGE = Call(
    body=IntoBody, example={"into": "kim"}, answer=CustomerProfile, keyed=True, may=(409,)
)
_UNMERGE = Call(answer=CustomerProfile, keyed=True, may=(409,))
_RESOLVE = Call(
    body=IdentitiesBody,
    example={"identities": [{"scheme": "email", "value": "Kim@example.org"}]},
    answer=ResolvedIdentities,
)
_LINES = "a customer a line, as `PUT customers/{name}` takes it"
_HEAD = "a head and a customer a line: id, name, tier, language, timezone, email, phone, `identity.…`, `attributes.…`"
_IMPORT = Call(
    body={
        NDJSON: {"type": "string", "description": _LINES},
        CSV: {"type": "string", "description": _HEAD},
    },
    example={
        NDJSON: '{"id": "kay", "name": "Kay", "tier": "gold"}\n',
        CSV: "id,name,email,attributes.plan\nlee,Lee,lee@example.org,basic\n",
    },
    media={NDJSON: {"type": "string", "description": "lines of `progress`, at last the `result`"}},
    may=(413,),
)


@router.get("/customers/{name}/profile", openapi_extra=_PROFILE.extra)
async def get_customer_profile(name: str, caller: Reads, service: Service) -> Response:
    """The customer with what was merged into him, open and recent work, and who had it last."""
    return json_reply(await service.look(caller.workspace, lambda ws: merges.profile(ws, name)))


@router.post("/customers/{name}:merge", openapi_extra=_MERGE.extra)
async def merge_customer(name: str, request: Request, caller: Writes, service: Service) -> Response:
    """This customer is from now on `into`; both stay as written, so that it can be undone."""
    body = await read_body(request, IntoBody)
    return await act(request, caller, service, cmd.MergeCustomer(customer=name, into=body.into))


@router.post("/customers/{name}:unmerge", openapi_extra=_UNMERGE.extra)
async def unmerge_customer(
    name: str, request: Request, caller: Writes, service: Service
) -> Response:
    """Undoes a merge: both are as they were written."""
    return await act(request, caller, service, cmd.UnmergeCustomer(customer=name))


@router.post("/customers:resolve", openapi_extra=_RESOLVE.extra)
async def resolve_identities(request: Request, caller: Reads, service: Service) -> Response:
    """Whom identities mean, which of them decides, and the rules by which they are compared."""
    body = await read_body(request, IdentitiesBody)
    if not 0 < len(body.identities) <= IDENTITIES_MAX:
        message = f"{len(body.identities)} identities are given."
        raise invalid("/identities", "length", message, f"1 to {IDENTITIES_MAX}")
    found = await service.look(caller.workspace, lambda ws: ws.customers.explain(body.identities))
    chosen = next((one["customer"] for one in found if one["customer"] is not None), None)
    return json_reply(ResolvedIdentities(customer=chosen, identities=found, rules=RULES))


# -- import


class Tally(msgspec.Struct):
    """What became of the rows so far; those that said nothing new are in no count but `done`.
    `warned`: of rows that were taken, but are doubtful."""

    total: int
    done: int = 0
    created: int = 0
    changed: int = 0
    rejected: int = 0
    warned: int = 0
    rejections: list[dict[str, Any]] = []
    warnings: list[dict[str, Any]] = []

    def reject(self, row: ImportRow, errors: list[Any]) -> None:
        self.rejected += 1
        if len(self.rejections) < ROWS_SHOWN_MAX:
            self.rejections.append({**_place(row), "errors": errors})

    def take(self, row: ImportRow, written: Written) -> None:
        self.created += written.created
        self.changed += written.changed and not written.created
        self.warned += bool(written.warnings)
        if written.warnings and len(self.warnings) < ROWS_SHOWN_MAX:
            self.warnings.append({**_place(row), "warnings": written.warnings})


def _place(row: ImportRow) -> dict[str, Any]:
    return {"row": row.row, "line": row.line, "id": row.id or None}


@router.post(
    "/customers:import", openapi_extra=_IMPORT.extra, max_body_size=importing.BODY_MAX_BYTES
)
async def import_customers(request: Request, caller: Writes, service: Service) -> Response:
    """NDJSON (a customer a line) or CSV. Answers NDJSON: lines of progress, at last the result. A
    bad row holds back no other; what a row does not name stays as it is, and the same file again changes
    nothing. Where the import has to stop, the last line says why beside the result so far
    (`problem`): send the file again."""
    kind = check_content_type(request, (NDJSON, CSV))
    # Before the answer begins: the replica that owns the shard serves it.
    await service.look(caller.workspace, lambda ws: None)
    given = await asyncio.to_thread(rows, await request.body(), kind)
    lines = _import(caller, service, given)
    return StreamingResponse(lines, media_type=NDJSON)


async def _import(caller: Caller, service: Router, given: list[ImportRow]) -> AsyncIterator[bytes]:
    tally = Tally(len(given), rejections=[], warnings=[])
    tell_at = PROGRESS_EVERY
    for piece in _pieces(given):
        rows_of = [_take(caller, service, row, tally) for row in piece]
        told = await asyncio.gather(*rows_of, return_exceptions=True)
        failed = [one for one in told if one is not None]
        tally.done += len(piece) - len(failed)
        if failed:
            yield _line({"result": tally, "problem": _stopped(failed[0], tally)})
            return
        if tell_at <= tally.done < tally.total:
            tell_at = tally.done + PROGRESS_EVERY
            yield _line({"progress": {"done": tally.done, "total": tally.total}})
    yield _line({"result": tally})


def _stopped(failed: BaseException, tally: Tally) -> Problem:
    """Why an import ends early. Raises what is no reason for that."""
    if not isinstance(failed, _AWAY):
        raise failed
    said = f"The import stopped after {tally.done} of {tally.total} rows; send the file again."
    return Refused("unavailable", said).problem()


def _pieces(given: list[ImportRow]) -> Iterator[list[ImportRow]]:
    """Rows that may be written together: of one customer only one, so that his last row is the last."""
    piece: dict[str, ImportRow] = {}
    for row in given:
        name = row.id or f"row {row.row}"
        if name in piece or len(piece) >= AT_ONCE:
            yield list(piece.values())
            piece = {}
        piece[name] = row
    if piece:
        yield list(piece.values())


def _line(shown: dict[str, Any]) -> bytes:
    return msgspec.json.encode(shown) + b"\n"


async def _take(caller: Caller, service: Router, row: ImportRow, tally: Tally) -> None:
    if row.faults:
        tally.reject(row, [msgspec.to_builtins(one) for one in row.faults])
        return
    try:
        tally.take(row, await _write(caller, service, row))
    except Refused as refused:
        errors = [msgspec.to_builtins(one) for one in refused.errors]
        tally.reject(row, errors or [{"code": refused.kind, "message": refused.detail}])


async def _write(
    caller: Caller, service: Router, row: ImportRow, tries: int = WRITES_MAX
) -> Written:
    """The customer as he is with what the row says; anew where somebody else wrote him meanwhile."""
    version, body = await service.look(caller.workspace, lambda ws: _known(ws, row.id))
    parsed = told(row, msgspec.json.decode(body, type=dict[str, Any]) if body else None)
    if parsed.canonical is None:
        raise Refused("validation", parsed.faults[0].message, errors=parsed.faults)
    raw = msgspec.Raw(msgspec.json.encode(parsed.canonical))
    command = cmd.PutResource(resource="customer", id=row.id, body=raw, if_version=version)
    what = Input("command", "PutResource", cmd.encode(command), actor=caller.actor)
    try:
        reply = await service.runtime.submit(caller.workspace, what)
    except Refused as refused:
        if refused.kind != "precondition-failed" or tries <= 1:
            raise
        return await _write(caller, service, row, tries - 1)
    except (Unavailable, OutcomeUnknown) as away:
        if tries <= 1:
            raise
        await asyncio.sleep(away.retry_after_s)
        return await _write(caller, service, row, tries - 1)
    return msgspec.json.decode(reply.body, type=Written)


def _known(ws: Workspace, name: str) -> tuple[int, bytes]:
    """Version (0: there is none) and body of a customer as he was written."""
    found = ws.resource("customer", name)
    return (found.version, found.body) if found is not None and found.body else (0, b"")
