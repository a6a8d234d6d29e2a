"""Calendars and SLA policies, and what they would say: `calendars:evaluate`, `sla-policies:evaluate`."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response

from services.sla import live
from services.sla.api.context import Service, Sla
from services.sla.api.described import (
    ASK_CALENDARS,
    DAYS,
    DELETE,
    TITLES,
    TRY_POLICY,
    SpecialDays,
    get_call,
    list_call,
    put_call,
)
from services.sla.domain.commands import Command, DeleteResource, ResourceKind
from services.sla.evaluate import evaluate as evaluate_policy
from services.sla.feeds import has_addresses
from services.sla.resources import read_calendar, read_policy
from services.sla.writing import put_of
from shared.calendars import evaluate as evaluate_calendar
from shared.calendars import parse_calendar
from shared.calendars.closures import DAYS_MAX as SPECIAL_DAYS_MAX
from shared.calendars.closures import special_days
from shared.contracts.core import Input
from shared.contracts.problems import invalid, not_found
from shared.http.auth import Caller, require
from shared.http.bodies import read_body
from shared.http.idempotency import REPLAYED, idempotency_of
from shared.http.pages import DEFAULT_LIMIT, Cursor, Limit, decode_cursor, page
from shared.http.preconditions import demanded, etag, versioned
from shared.http.replies import json_reply, no_content
from shared.http.routes import api_router
from shared.runtime.port import Reply

PATHS: dict[ResourceKind, tuple[str, str]] = {
    "calendar": ("calendars", "calendars"),
    "sla_policy": ("sla-policies", "sla_policies"),
}
_READ: dict[ResourceKind, Callable[[object, str], dict[str, Any]]] = {
    "calendar": read_calendar,
    "sla_policy": read_policy,
}

Reads = Annotated[Caller, Depends(require("config:read"))]
Writes = Annotated[Caller, Depends(require("config:write"))]
Tries = Annotated[Caller, Depends(require("evaluate"))]


def resource_router(kind: ResourceKind) -> APIRouter:
    """PUT, GET, DELETE of one kind, and its list."""
    path, plural = PATHS[kind]
    routes = api_router(path)

    @routes.put(
        f"/{path}/{{name}}",
        name=f"put_{kind}",
        summary=f"Create or replace {TITLES[kind]}",
        openapi_extra=put_call(kind).extra,
    )
    async def put_one(  # pyright: ignore[reportUnusedFunction]
        name: str, request: Request, caller: Writes, service: Service
    ) -> Response:
        body = _READ[kind](await read_body(request, dict[str, Any]), name)
        await service.runtime.refresh_config(caller.workspace)
        version = await demanded(request, lambda: _version(caller, service, kind, name))
        if has_addresses(body):
            body = await _with_feeds(caller, service, name, body)
        command = await put_of(kind, name, body, version)
        reply = await submit(request, caller, service, command)
        return _written(reply)

    @routes.get(f"/{path}/{{name}}", name=f"get_{kind}", openapi_extra=get_call(kind).extra)
    async def get_one(  # pyright: ignore[reportUnusedFunction]
        name: str, request: Request, caller: Reads, service: Service
    ) -> Response:
        found = await service.runtime.query(
            caller.workspace, lambda core: live.resource(core, kind, name)
        )
        if found is None:
            raise not_found(kind.replace("_", " "), name)
        return versioned(request, found[1], found[0])

    @routes.delete(
        f"/{path}/{{name}}", status_code=204, name=f"delete_{kind}", openapi_extra=DELETE.extra
    )
    async def delete_one(  # pyright: ignore[reportUnusedFunction]
        name: str, request: Request, caller: Writes, service: Service
    ) -> Response:
        await service.runtime.refresh_config(caller.workspace)
        version = await demanded(request, lambda: _version(caller, service, kind, name))
        command = DeleteResource(resource=kind, id=name, if_version=version)
        await submit(request, caller, service, command)
        return no_content()

    @routes.get(f"/{path}", name=f"list_{plural}", openapi_extra=list_call(kind, plural).extra)
    async def list_all(  # pyright: ignore[reportUnusedFunction]
        caller: Reads, service: Service, cursor: Cursor = None, limit: Limit = DEFAULT_LIMIT
    ) -> Response:
        skip = 0 if cursor is None else decode_cursor(cursor, int)
        rows = await service.runtime.query(
            caller.workspace, lambda core: live.resources(core, kind)
        )
        numbered = list(enumerate(rows))[max(skip, 0) : max(skip, 0) + limit + 1]
        place = {body["id"]: number + 1 for number, body in numbered}
        return page(plural, [body for _, body in numbered], limit, lambda one: place[one["id"]])

    return routes


async def _version(caller: Caller, service: Sla, kind: ResourceKind, name: str) -> int | None:
    found = await service.runtime.query(
        caller.workspace, lambda core: live.resource(core, kind, name)
    )
    return None if found is None else found[0]


async def _with_feeds(
    caller: Caller, service: Sla, name: str, body: dict[str, Any]
) -> dict[str, Any]:
    """A calendar with the text of its feeds. Raises Refused."""
    known = await service.runtime.query(
        caller.workspace, lambda core: live.resource(core, "calendar", name)
    )
    filled = await service.feeds.filled(body, None if known is None else known[1])
    return read_calendar(filled, name)


async def submit(request: Request, caller: Caller, service: Sla, command: Command) -> Reply:
    key = idempotency_of(request, caller, await request.body())
    body = msgspec.json.encode(command)
    what = Input("command", type(command).__name__, body, actor=caller.actor)
    return await service.runtime.submit(caller.workspace, what, idempotency=key)


def _written(reply: Reply) -> Response:
    written = msgspec.json.decode(reply.body)
    shown = dict(written["body"])
    if written.get("warnings"):
        shown["warnings"] = written["warnings"]
    headers = {"ETag": etag(written["version"])}
    if reply.replayed:
        headers[REPLAYED] = "true"
    return json_reply(shown, 201 if written["created"] else 200, headers)


evaluations = api_router("evaluation")


@evaluations.get("/calendars/{name}/days", openapi_extra=DAYS.extra)
async def list_calendar_days(
    name: str,
    caller: Reads,
    service: Service,
    since: Annotated[
        str | None, Query(alias="from", description="YYYY-MM-DD; by default today")
    ] = None,
    until: Annotated[
        str | None, Query(alias="to", description="YYYY-MM-DD, inclusive; by default a year later")
    ] = None,
) -> Response:
    """Holidays, dates of feeds and overrides from a date to another, both inclusive (default: a
    year from today): what a feed brings, and which of it is switched off."""
    found = await service.runtime.query(
        caller.workspace, lambda core: live.resource(core, "calendar", name)
    )
    if found is None:
        raise not_found("calendar", name)
    first = _day("from", since, date.today())
    last = _day("to", until, first + timedelta(days=365))
    if not 0 <= (last - first).days < SPECIAL_DAYS_MAX:
        expected = f"from before to, at most {SPECIAL_DAYS_MAX} days apart"
        raise invalid("/query/to", "range", "The span is empty or too long.", expected)
    found_days = special_days(parse_calendar(found[1]), first, last)
    return json_reply(SpecialDays(days=found_days, next=None))


def _day(name: str, text: str | None, default: date) -> date:
    try:
        return default if text is None else date.fromisoformat(text)
    except ValueError as error:
        raise invalid(f"/query/{name}", "date", f"{text!r} is no date", "YYYY-MM-DD") from error


@evaluations.post("/calendars:evaluate", openapi_extra=ASK_CALENDARS.extra)
async def evaluate_calendars(request: Request, caller: Tries, service: Service) -> Response:
    """Deadlines, elapsed open time, open or not, windows: of a calendar given or stored."""
    body = await read_body(request, dict[str, Any])
    stored = await service.runtime.query(
        caller.workspace, lambda core: live.resources(core, "calendar")
    )
    return json_reply(evaluate_calendar(body, _lookup(stored)))


@evaluations.post("/sla-policies:evaluate", openapi_extra=TRY_POLICY.extra)
async def evaluate_sla_policies(request: Request, caller: Tries, service: Service) -> Response:
    """The clocks that a policy would run over events, with their ledgers."""
    body = await read_body(request, dict[str, Any])
    stored = await service.runtime.query(
        caller.workspace, lambda core: live.resources(core, "calendar")
    )
    return json_reply(evaluate_policy(body, _lookup(stored)))


def _lookup(stored: list[dict[str, Any]]) -> Callable[[str], dict[str, Any] | None]:
    by_id = {body["id"]: body for body in stored}
    return by_id.get
