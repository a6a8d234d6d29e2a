"""Clocks: lists for operations, those of a conversation, and why a deadline is what it is."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec
from fastapi import Depends, Query, Request, Response

from services.sla import live
from services.sla.api.context import Service, instant, moment, span, stored_clock
from services.sla.api.figures import Since, Until
from services.sla.api.tables import CSV_TEXT, Format, table_reply, wants_csv
from services.sla.domain.shapes import Clock, ExplainedClock, State
from services.sla.store import NEVER
from shared.contracts.problems import not_found
from shared.http.auth import Caller, require
from shared.http.calls import Call
from shared.http.pages import (
    DEFAULT_LIMIT,
    MAX_LIMIT,
    Cursor,
    Limit,
    decode_cursor,
    encode_cursor,
    page,
)
from shared.http.replies import json_reply
from shared.http.routes import api_router

router = api_router("clocks")
Reads = Annotated[Caller, Depends(require("clocks:read"))]
Cycle = Annotated[int, msgspec.Meta(ge=0, lt=2**31)]


def _filters(
    metric: Annotated[str | None, Query(description="of this metric, or named clock")] = None,
    queue: Annotated[str | None, Query(description="of this queue")] = None,
    agent: Annotated[str | None, Query(description="of this agent")] = None,
    policy: Annotated[str | None, Query(description="under this SLA policy")] = None,
    channel: Annotated[str | None, Query(description="on this channel")] = None,
    conversation: Annotated[str | None, Query(description="of this conversation")] = None,
    task: Annotated[str | None, Query(description="of this task")] = None,
) -> dict[str, str | None]:
    """What clocks are asked for by, by column; None: whatever it is."""
    return {
        "metric": metric,
        "queue": queue,
        "agent_id": agent,
        "policy_id": policy,
        "channel": channel,
        "conversation_id": conversation,
        "task_id": task,
    }


Filters = Annotated[dict[str, str | None], Depends(_filters)]
_BREACHES = Call(answer=Clock, page="breaches", media=CSV_TEXT)


@router.get("/clocks", openapi_extra=Call(answer=Clock, page="clocks").extra)
async def list_clocks(
    caller: Reads,
    service: Service,
    filters: Filters,
    state: Annotated[
        list[State] | None, Query(description="in one of these states; repeat it for several")
    ] = None,
    due_after: Annotated[str | None, Query(description="RFC 3339: due at it or later")] = None,
    due_before: Annotated[str | None, Query(description="RFC 3339: due before it")] = None,
    sort: Annotated[Literal["due_at"], Query(description="the order, next due first")] = "due_at",
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Response:
    """By due instant, in [due_after, due_before) where asked; those without one (paused) last."""
    since = moment("due_after", due_after, NEVER) if due_after else None
    before = moment("due_before", due_before, NEVER) if due_before else None
    after = None if cursor is None else _place(decode_cursor(cursor, tuple[str, str]))
    rows = await service.store.clocks(
        caller.workspace,
        states=state,
        filters=filters,
        due_after=since,
        due_before=before,
        after=after,
        limit=limit + 1,
    )
    shown = await _present(service, caller.workspace, rows)
    return _page("clocks", rows, shown, limit, _due_place)


@router.get(
    "/conversations/{conversation}/clocks", openapi_extra=Call(answer=Clock, page="clocks").extra
)
async def list_conversation_clocks(
    conversation: str,
    caller: Reads,
    service: Service,
    cursor: Cursor = None,
    limit: Limit = MAX_LIMIT,
) -> Response:
    """All clocks of a conversation, in the order of their start."""
    after = None
    if cursor is not None:
        at, metric, cycle, name = decode_cursor(cursor, tuple[str, str, Cycle, str])
        after = (moment("cursor", at, datetime.now(UTC)), metric, cycle, name)
    rows = await service.store.of_conversation(caller.workspace, conversation, after, limit + 1)
    shown = await _present(service, caller.workspace, rows)
    return _page("clocks", rows, shown, limit, _start_place)


@router.get("/clocks/{clock}/explanation", openapi_extra=Call(answer=ExplainedClock).extra)
async def explain_clock(clock: str, caller: Reads, service: Service) -> Response:
    """The ledger: what every second of the clock was, and because of what. It is empty where the work
    ended so long ago (a week after the last event) that only its figures are kept."""
    row = await service.store.clock(caller.workspace, clock)
    if row is None:
        raise not_found("clock", clock)
    found = await service.runtime.query(
        caller.workspace, lambda core: live.explained(core, row["conversation_id"], clock)
    )
    return json_reply(found or {**stored_clock(row), "summary": _history(row), "late": [], "ledger": []})  # fmt: skip


@router.get("/breaches", openapi_extra=_BREACHES.extra)
async def list_breaches(
    caller: Annotated[Caller, Depends(require("figures:read"))],
    service: Service,
    request: Request,
    filters: Filters,
    since: Since = None,
    until: Until = None,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
    form: Format = None,
) -> Response:
    """Clocks breached in [from, to) (default: the last 24 hours), latest first. As CSV a page too: where
    there is more, a `Link` header with `rel="next"` says where."""
    start, end = span(since, until)
    after = None if cursor is None else _place(decode_cursor(cursor, tuple[str, str]))
    rows = await service.store.breaches(caller.workspace, start, end, filters, after, limit + 1)
    shown = await _present(service, caller.workspace, rows)
    if wants_csv(request, form):
        table = [{k: v for k, v in one.items() if k != "ledger"} for one in shown[:limit]]
        reply = table_reply(request, "csv", table)
        if len(shown) > limit:
            following = encode_cursor(_breach_place(rows[limit - 1]))
            query = request.url.include_query_params(cursor=following).query
            reply.headers["Link"] = f'<?{query}>; rel="next"'
        return reply
    return _page("breaches", rows, shown, limit, _breach_place)


def _page(
    plural: str,
    rows: list[dict[str, Any]],
    shown: list[Clock],
    limit: int,
    place: Callable[[dict[str, Any]], Any],
) -> Response:
    """Places are those of the rows as they were read: a clock may have been paused, or its breach taken
    back, before it is shown."""
    places = {row["id"]: place(row) for row in rows}
    return page(plural, shown, limit, lambda one: places[one["id"]])


async def _present(service: Service, workspace: str, rows: list[dict[str, Any]]) -> list[Clock]:
    """Stored clocks; those in memory as of this moment. The ledger of history is not kept."""
    wanted = {row["conversation_id"] for row in rows}
    current: dict[str, Clock] = {}
    if wanted:
        current = await service.runtime.query(workspace, lambda core: live.clocks_of(core, wanted))
    return [current.get(row["id"]) or {**stored_clock(row), "ledger": []} for row in rows]


def _due_place(row: dict[str, Any]) -> tuple[str | None, str]:
    return (instant(row["due_at"] or NEVER), row["id"])


def _start_place(row: dict[str, Any]) -> tuple[str | None, str, int, str]:
    return (instant(row["started_at"]), row["metric"], row["cycle"], row["id"])


def _breach_place(row: dict[str, Any]) -> tuple[str | None, str]:
    return (instant(row["breached_at"]), row["id"])


def _history(row: dict[str, Any]) -> str:
    """What is still known of a clock whose ledger is not kept any more."""
    start, due = instant(row["started_at"]), instant(row["due_at"])
    parts = [
        f"{row['metric']} began {start} with {row['target_s']:g} s of open time on calendar"
        f" {row['calendar']} under policy {row['policy_id']}"
    ]
    if due is not None:
        parts.append(f"due {due}")
    if row["ended_at"] is not None:
        parts.append(f"{row['state'].replace('_', ' ')} {instant(row['ended_at'])} after {row['elapsed_s']:g} s")  # fmt: skip
    if row["breached_at"] is not None:
        parts.append(f"breached {instant(row['breached_at'])}")
    return "; ".join([*parts, "its ledger is not kept any more"])


def _place(position: tuple[str, str]) -> tuple[datetime, str]:
    at, name = position
    return moment("cursor", at, datetime.now(UTC)), name
