"""Open clocks and a change of their policies: a dry run, and the migration itself."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

import msgspec
from fastapi import Depends, Request, Response

from services.sla import live
from services.sla.api.context import Service, Sla
from services.sla.api.resources import submit
from services.sla.domain import shapes
from services.sla.domain.commands import MigratePolicy
from services.sla.domain.policy import Mode, check_references, compile_policy
from services.sla.dry_run import Proposal
from services.sla.resources import read_calendar, read_policy
from shared.contracts.problems import invalid, not_found
from shared.http.auth import Caller, require
from shared.http.bodies import read_body
from shared.http.calls import Call, written
from shared.http.idempotency import REPLAYED
from shared.http.replies import json_reply
from shared.http.routes import api_router
from shared.http.sse import SseEvent, event_stream, wants_sse
from shared.runtime.port import NotOwner

router = api_router("sla-policies")
PROPOSED_MAX = 50
_MOST = msgspec.Meta(extra_json_schema={"maxItems": PROPOSED_MAX})
Modes = Literal["recompute", "forward", "reset", "proportional"]


class MigrateBody(msgspec.Struct, forbid_unknown_fields=True):
    """`mode`: how open clocks move (default: the policy's `on_change`); `dry_run`: only say what
    would happen."""

    mode: Modes | None = None
    dry_run: bool = False


class DryRunBody(msgspec.Struct, forbid_unknown_fields=True):
    """Policies and calendars as they would be written, and how open clocks would move to them."""

    policies: Annotated[list[Annotated[dict[str, Any], written("SlaPolicy")]], _MOST] = []
    calendars: Annotated[list[Annotated[dict[str, Any], written("Calendar")]], _MOST] = []
    mode: Modes | None = None


_EVENTS = {"progress": shapes.DryRunProgress, "report": shapes.DryRunReport}
_MIGRATE = Call(
    body=MigrateBody,
    example={"mode": "recompute", "dry_run": False},
    answer=shapes.Migration | shapes.DryRunReport,
    events=_EVENTS,
    keyed=True,
)
_DRY_RUN = Call(
    body=DryRunBody,
    example={
        "policies": [
            {
                "id": "standard",
                "calendar": "office",
                "targets": {"first_response": {"target_s": 1800}},
            }
        ],
        "mode": "recompute",
    },
    answer=shapes.DryRunReport,
    events=_EVENTS,
)


@router.post("/sla-policies/{name}:migrate", openapi_extra=_MIGRATE.extra)
async def migrate_sla_policy(
    name: str,
    request: Request,
    caller: Annotated[Caller, Depends(require("config:write"))],
    service: Service,
) -> Response:
    """Moves the policy's open clocks to the policies and calendars in force now: `{"id",
    "version", "mode", "clocks"}`. They move in portions, each told by `sla.clock.moved`."""
    body = await read_body(request, MigrateBody)
    if body.dry_run:
        if await service.runtime.query(caller.workspace, lambda core: live.resource(core, "sla_policy", name)) is None:  # fmt: skip
            raise not_found("SLA policy", name)
        what = Proposal([], [], body.mode, [name])
        return await _answer(request, caller.workspace, service, what)
    reply = await submit(request, caller, service, MigratePolicy(id=name, mode=body.mode))
    headers = {REPLAYED: "true"} if reply.replayed else {}
    return json_reply(msgspec.json.decode(reply.body), 200, headers)


@router.post("/sla-policies:dry-run", openapi_extra=_DRY_RUN.extra)
async def dry_run_sla_policies(
    request: Request,
    caller: Annotated[Caller, Depends(require("evaluate"))],
    service: Service,
) -> Response:
    """What a change of policies or calendars would do to the open clocks: how many move, by how
    much, which would breach. As `text/event-stream` with its progress."""
    body = await read_body(request, DryRunBody)
    if not body.policies and not body.calendars:
        raise invalid("/policies", "missing", "nothing is to change", "policies or calendars")
    for field, listed in (("policies", body.policies), ("calendars", body.calendars)):
        if len(listed) > PROPOSED_MAX:
            raise invalid(f"/{field}", "too_many", "too many", f"at most {PROPOSED_MAX}")
    what = await _proposal(caller.workspace, service, body.policies, body.calendars, body.mode)
    return await _answer(request, caller.workspace, service, what)


async def _proposal(
    workspace: str,
    service: Sla,
    policies: list[dict[str, Any]],
    calendars: list[dict[str, Any]],
    mode: Mode | None,
) -> Proposal:
    """The change, checked as the writes would be; and the policies that it concerns."""
    for kind, listed in (("policies", policies), ("calendars", calendars)):
        for index, one in enumerate(listed):
            if not isinstance(one.get("id"), str):
                raise invalid(f"/{kind}/{index}/id", "missing", "the id is missing", "id")
    new = {one["id"]: read_calendar(one, one["id"], f"/calendars/{index}") for index, one in enumerate(calendars)}  # fmt: skip
    written = [read_policy(one, one["id"], f"/policies/{index}") for index, one in enumerate(policies)]  # fmt: skip
    stored = await service.runtime.query(
        workspace,
        lambda core: (live.resources(core, "calendar"), live.resources(core, "sla_policy")),
    )
    known = [*new, *(one["id"] for one in stored[0])]
    for index, one in enumerate(written):
        check_references(compile_policy(one, 0), known, f"/policies/{index}")
    present = {one["id"]: one for one in stored[1]}
    if any(one["id"] not in present for one in written):
        return Proposal(written, list(new.values()), mode, None)
    concerned = {one["id"] for one in written}
    for one in stored[1]:
        named = {calendar for _, calendar in compile_policy(one, 0).calendars()}
        if named & new.keys():
            concerned.add(one["id"])
    return Proposal(written, list(new.values()), mode, sorted(concerned))


async def _answer(request: Request, workspace: str, service: Sla, what: Proposal) -> Response:
    """The report; where the caller takes a stream, with its progress."""
    owner = await service.runtime.owner_of(workspace)
    if owner != "":  # only the owner has the clocks; the edge sends the call there
        raise NotOwner(owner)
    steps = service.dry_runs.run(workspace, what)
    if wants_sse(request):
        return event_stream(request, _events(steps))
    report: dict[str, Any] = {}
    async for step in steps:
        report = step
    return json_reply(report)


async def _events(steps: AsyncIterator[dict[str, Any]]) -> AsyncIterator[SseEvent]:
    async for step in steps:
        kind = "progress" if "of" in step else "report"
        yield SseEvent(msgspec.json.encode(step), None, kind)
