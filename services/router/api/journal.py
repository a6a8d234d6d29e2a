"""The journal: every event of the workspace, from 1 without gaps; as a page or as a stream."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

import msgspec
from fastapi import Depends, Query, Request, Response

from services.router.api.context import Router, Service
from shared.http.auth import Caller, require
from shared.http.replies import json_reply
from shared.http.routes import api_router
from shared.http.sse import SseEvent, event_stream, last_event_id, wants_sse
from shared.runtime.port import JOURNAL, JournalEvent

router = api_router("journal")
PAGE = 200
MAX_PAGE = 1_000
MAX_SEQ = 2**63 - 1
IDLE_S = 30.0


class Shown(msgspec.Struct):
    seq: int
    type: str
    data: msgspec.Raw


@router.get("/events")
async def events(
    request: Request,
    caller: Annotated[Caller, Depends(require("journal:read", ticket=True))],
    service: Service,
    after: Annotated[int, Query(ge=0, le=MAX_SEQ)] = 0,
    types: Annotated[str | None, Query(max_length=2000, description="comma-separated")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = PAGE,
) -> Response:
    """Events after sequence number `after`; with Accept: text/event-stream as they are committed,
    resumed by Last-Event-ID."""
    wanted = [one.strip() for one in types.split(",") if one.strip()] if types else None
    if wants_sse(request):
        start = last_event_id(request)
        return event_stream(request, _stream(caller, service, start or 0, wanted))
    rows = await service.runtime.journal(caller.workspace, after, wanted, limit)
    following = rows[-1].seq if len(rows) == limit else None
    return json_reply({"events": [_shown(row) for row in rows], "next": following})


async def _stream(
    caller: Caller, service: Router, after: int, types: list[str] | None
) -> AsyncIterator[SseEvent]:
    with service.runtime.watch(caller.workspace, [JOURNAL]) as watch:
        while True:
            rows = await service.runtime.journal(caller.workspace, after, types, PAGE)
            for row in rows:
                after = row.seq
                yield SseEvent(row.data, str(row.seq), row.type)
            if len(rows) < PAGE:
                await watch.changed(IDLE_S)
            await asyncio.sleep(0)


def _shown(row: JournalEvent) -> Shown:
    return Shown(row.seq, row.type, msgspec.Raw(row.data))
