"""The journal: every event of the workspace, from 1 without gaps; as a page or as a stream."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated, TypedDict

import msgspec
from fastapi import Depends, Query, Request, Response

from services.router.api.context import Router, Service
from shared.contracts import routing
from shared.contracts.problems import invalid
from shared.http.auth import Caller, require
from shared.http.calls import Call
from shared.http.replies import json_reply
from shared.http.routes import api_router
from shared.http.sse import NOW, SseEvent, begin_after, event_stream, wants_sse
from shared.rules import nearest
from shared.runtime.port import JOURNAL, JournalEvent

router = api_router("journal")
PAGE = 200
MAX_PAGE = 1_000
IDLE_S = 30.0


class JournalEntry(msgspec.Struct):
    """An event as the journal holds it; `data` is that of its type (docs/contracts/schemas.json)."""

    seq: int
    type: str
    data: Annotated[msgspec.Raw, msgspec.Meta(extra_json_schema={"type": "object"})]


class Events(TypedDict):
    """`next`: what to ask for as `after`; null where there is no more for now."""

    events: list[JournalEntry]
    next: int | None


_EVENTS = Call(answer=Events, events=routing.TYPES, resumes=True)


@router.get("/events", openapi_extra=_EVENTS.extra)
async def list_events(
    request: Request,
    caller: Annotated[Caller, Depends(require("journal:read", ticket=True))],
    service: Service,
    after: Annotated[
        str,
        Query(
            pattern=r"^([0-9]{1,18}|now)$",
            description="events after this sequence number; for a stream also `now`: only what comes",
        ),
    ] = "0",
    types: Annotated[
        list[str] | None, Query(description="of these types: comma-separated, or repeated")
    ] = None,
    limit: Annotated[
        int, Query(ge=1, le=MAX_PAGE, description="events that an answer holds at most")
    ] = PAGE,
) -> Response:
    """Events after sequence number `after`; with Accept: text/event-stream as they are committed,
    resumed by Last-Event-ID, with `?after=now` only those that come."""
    wanted = _wanted(types)
    if wants_sse(request):
        end = partial(_end, service, caller.workspace)
        # The owner's stream is woken by what happens; another replica's would wait for its turn.
        await end()
        start, now = await begin_after(request, end)
        return event_stream(request, _stream(caller, service, start, wanted, now=now))
    if after == NOW:
        expected = "a sequence number, or Accept: text/event-stream"
        raise invalid("/query/after", "stream", "Only a stream begins now.", expected)
    rows = await service.runtime.journal(caller.workspace, int(after), wanted, limit)
    following = rows[-1].seq if len(rows) == limit else None
    return json_reply(Events(events=[_shown(row) for row in rows], next=following))


def _wanted(types: list[str] | None) -> list[str] | None:
    """Names of types; None: all. One that no event has is refused: it would wait for ever."""
    if types is None:
        return None
    named = [name.strip() for text in types for name in text.split(",") if name.strip()]
    for name in named:
        if name not in routing.TYPES:
            expected = nearest(name, routing.TYPES) or "such as routing.task.created.v1"
            message = f"{name[:80]!r} is no type of routing events."
            raise invalid("/query/types", "unknown_type", message, expected)
    return named or None


async def _end(service: Router, workspace: str) -> int:
    """The number of the last event. Raises what the runtime's queries raise, NotOwner too."""
    return await service.runtime.query(workspace, lambda core: core.last_seq)


async def _stream(
    caller: Caller, service: Router, after: int, types: list[str] | None, *, now: bool
) -> AsyncIterator[SseEvent]:
    if now:  # who is cut off before the first event resumes here
        yield SseEvent(b"", str(after))
    with service.runtime.watch(caller.workspace, [JOURNAL]) as watch:
        while True:
            rows = await service.runtime.journal(caller.workspace, after, types, PAGE)
            for row in rows:
                after = row.seq
                yield SseEvent(row.data, str(row.seq), row.type)
            if len(rows) < PAGE:
                await watch.changed(IDLE_S)
                await _end(service, caller.workspace)
            await asyncio.sleep(0)


def _shown(row: JournalEvent) -> JournalEntry:
    return JournalEntry(row.seq, row.type, msgspec.Raw(row.data))
