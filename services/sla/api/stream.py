"""Live screens: every SLA event as soon as it is committed, resumable."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Request, Response

from services.sla.api.context import Service, Sla
from shared.http.auth import Caller, require
from shared.http.routes import api_router
from shared.http.sse import SseEvent, event_stream, last_event_id
from shared.runtime.port import JOURNAL

router = api_router("stream")
PAGE = 200
IDLE_S = 30.0


@router.get("/sla/stream")
async def stream(
    request: Request,
    caller: Annotated[Caller, Depends(require("clocks:read", ticket=True))],
    service: Service,
) -> Response:
    """Server-Sent Events of `sla.events`, resumed by Last-Event-ID (or `?after=`)."""
    start = last_event_id(request)
    return event_stream(request, _events(caller.workspace, service, start or 0))


async def _events(workspace: str, service: Sla, after: int) -> AsyncIterator[SseEvent]:
    with service.runtime.watch(workspace, [JOURNAL]) as watch:
        while True:
            rows = await service.runtime.journal(workspace, after, None, PAGE)
            for row in rows:
                after = row.seq
                yield SseEvent(row.data, str(row.seq), row.type)
            if len(rows) < PAGE:
                await watch.changed(IDLE_S)
            await asyncio.sleep(0)
