"""Live screens: every SLA event as soon as it is committed, resumable, and figures now and then."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated

import msgspec
from fastapi import Depends, Query, Request, Response

from services.sla import live
from services.sla.api.context import Service, Sla, instant
from services.sla.api.figures import By
from services.sla.domain import shapes
from services.sla.domain.alarms import FIRING, RESOLVED, shown_alarm
from shared.contracts import sla
from shared.http.auth import Caller, require
from shared.http.calls import Call
from shared.http.routes import api_router
from shared.http.sse import SseEvent, begin_after, event_stream
from shared.runtime.port import JOURNAL

router = api_router("stream")
PAGE = 200
IDLE_S = 30.0
FIGURES = "sla.figures.v1"

_JSON = msgspec.json.Encoder()
_STREAM = Call(
    events={
        **sla.TYPES,
        FIRING: shapes.BurnEvent,
        RESOLVED: shapes.BurnEvent,
        FIGURES: shapes.LiveFigures,
    },
    resumes=True,
)


@router.get("/sla/stream", openapi_extra=_STREAM.extra)
async def stream_sla(
    request: Request,
    caller: Annotated[Caller, Depends(require("clocks:read", ticket=True))],
    service: Service,
    figures_s: Annotated[
        int | None, Query(ge=2, le=300, description="also send figures, each so many seconds")
    ] = None,
    by: By = "queue",
    metric: Annotated[
        str, Query(max_length=64, description="of the service level in the figures")
    ] = "first_response",
    window_s: Annotated[
        int, Query(ge=60, le=86_400, description="its span until now, in seconds")
    ] = 1_800,
) -> Response:
    """Server-Sent Events: those of `sla.events` and of burn alerts, after Last-Event-ID or `?after=` (a
    number); from the oldest kept where neither is given, only those that come with `?after=now`. With
    `figures_s` also `sla.figures.v1`, without an id: service level of what started in the last
    `window_s`, the forecast, and the alerts that fire."""
    end = partial(_end, service, caller.workspace)
    # The owner's stream is woken by what happens; another replica's would wait for its turn.
    await end()
    start, now = await begin_after(request, end)
    board = None
    if figures_s is not None:
        board = _Board(caller.workspace, service, by, metric, window_s)
    events = _events(caller.workspace, service, start, figures_s, board, now=now)
    return event_stream(request, events)


async def _end(service: Sla, workspace: str) -> int:
    """The number of the last event. Raises what the runtime's queries raise, NotOwner too."""
    return await service.runtime.query(workspace, lambda core: core.last_seq)


class _Board:
    """The figures of a live screen."""

    def __init__(
        self, workspace: str, service: Sla, by: shapes.By, metric: str, window_s: int
    ) -> None:
        self._workspace = workspace
        self._service = service
        self._by: shapes.By = by
        self._metric = metric
        self._window = timedelta(seconds=window_s)

    async def now(self) -> SseEvent:
        readings, workspace = self._service.readings, self._workspace
        at = datetime.now(UTC)
        levels = await readings.service_level(
            workspace, self._metric, at - self._window, at, self._by
        )
        alarms = await self._service.runtime.query(workspace, live.alarms)
        shown: shapes.LiveFigures = {
            "workspace": workspace,
            "at": instant(at) or "",
            "service_level": levels,
            "forecast": await readings.forecast(workspace, None, self._by),
            "burn_alerts": [shown_alarm(one) for one in alarms],
        }
        return SseEvent(_JSON.encode(shown), event=FIGURES)


async def _events(
    workspace: str,
    service: Sla,
    after: int,
    figures_s: int | None,
    board: _Board | None,
    *,
    now: bool,
) -> AsyncIterator[SseEvent]:
    loop = asyncio.get_running_loop()
    due = loop.time()
    if now:  # who is cut off before the first event resumes here
        yield SseEvent(b"", str(after))
    with service.runtime.watch(workspace, [JOURNAL]) as watch:
        while True:
            rows = await service.runtime.journal(workspace, after, None, PAGE)
            for row in rows:
                after = row.seq
                yield SseEvent(row.data, str(row.seq), row.type)
            wait_s = IDLE_S
            if board is not None and figures_s is not None:
                if loop.time() >= due:
                    yield await board.now()
                    due = loop.time() + figures_s
                wait_s = max(0.0, due - loop.time())
            if len(rows) < PAGE:
                await watch.changed(wait_s)
                await _end(service, workspace)
            await asyncio.sleep(0)
