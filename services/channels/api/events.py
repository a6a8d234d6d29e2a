"""`POST events`: one CloudEvent, a batch, or NDJSON; 202 once all accepted rows are durable."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Literal

import msgspec
from fastapi import Depends, Request, Response

from services.channels.connectors import language
from services.channels.context import Channels, outgoing, wall_us
from services.channels.directory import WorkspaceFacts
from services.channels.events import (
    MAX_BATCH_BYTES,
    MAX_ROWS,
    Accepted,
    Intake,
    Rejected,
    Row,
    read_batch,
    read_binary,
    read_ndjson,
    read_single,
)
from services.channels.posted import KNOWN, EventData, Posted
from shared.contracts.problems import Fault, Problem, Refused
from shared.http.auth import require
from shared.http.bodies import check_content_type, whole_body
from shared.http.calls import Call
from shared.http.direct import DirectRoute
from shared.http.idempotency import idempotency_of, once
from shared.http.replies import json_accepted
from shared.http.routes import api_router

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
NDJSON = ("application/x-ndjson", "application/ndjson")
BINARY = "application/json"
FORMS = (STRUCTURED, BATCH, *NDJSON, BINARY)
CACHED_CHARS = 160
_ATTRIBUTES = frozenset(f"ce-{name}".encode() for name in KNOWN)

router = api_router("events")
_encode = msgspec.json.Encoder().encode


_enter = require("events:write")


class Result(msgspec.Struct, omit_defaults=True):
    """What became of one row."""

    index: int
    id: str | None
    status: Literal["accepted", "rejected"]
    event_id: str | None = None
    conversation_id: str | None = None
    problem: Problem | None = None


class Results(msgspec.Struct):
    results: list[Result]


_EXAMPLE = {
    "specversion": "1.0",
    "id": "m-1",
    "source": "crm",
    "type": "interaction.message.v1",
    "time": "2026-11-22T09:00:00Z",
    "data": {
        "channel": "chat",
        "conversation_key": "thread-77",
        "direction": "inbound",
        "author": {"role": "customer", "name": "Kim"},
        "identities": [{"scheme": "email", "value": "kim@example.org"}],
        "text": "My invoice is wrong",
        "attributes": {"topic": "billing"},
    },
}
_BATCH = Annotated[list[Posted], msgspec.Meta(max_length=MAX_ROWS)]
_LINES = {"type": "string", "description": "one event a line"}
_LINE = msgspec.json.encode(_EXAMPLE).decode() + "\n"
_POST = Call(
    body={
        STRUCTURED: Posted,
        BATCH: _BATCH,
        **dict.fromkeys(NDJSON, _LINES),
        BINARY: EventData,
    },
    example={
        STRUCTURED: _EXAMPLE,
        BATCH: [_EXAMPLE],
        **dict.fromkeys(NDJSON, _LINE),
        BINARY: _EXAMPLE["data"],
    },
    answer=Results,
    keyed=True,
)


async def post_events(request: Request) -> Response:
    """Accept events. A bad row is rejected with its problem and does not hold back the others.

    An event sent again has no further effect, with an Idempotency-Key or without; with one the
    answer is the first one's, and another body is refused."""
    caller = await _enter(request)
    channels: Channels = request.app.state.channels
    body = await whole_body(request)
    key = idempotency_of(request, caller, _said(request, body))
    if key is None:
        return await _accept(request, caller.workspace, channels, body)
    return await once(
        channels.replies,
        caller.workspace,
        key,
        lambda: _accept(request, caller.workspace, channels, body),
    )


def _said(request: Request, body: bytes) -> bytes:
    """All that is said of events: in binary mode the headers say which one the body is of."""
    told = [pair for pair in request.scope["headers"] if pair[0] in _ATTRIBUTES]
    return b"\n".join([body, *(b"%b: %b" % pair for pair in sorted(told))]) if told else body


async def _accept(request: Request, name: str, channels: Channels, body: bytes) -> Response:
    workspace = await channels.directory.of(name)
    intake = _intake(workspace)
    rows = _rows(request, body, intake)
    accepted = [row for row in rows if isinstance(row, Accepted)]
    if rows and not accepted:
        raise _all_bad([row for row in rows if isinstance(row, Rejected)])
    for content in intake.blobs.values():
        await channels.blobs.keep(content)
    await channels.intake.publish(
        [outgoing(row.envelope, row.channel, workspace.partition) for row in accepted]
    )
    return json_accepted(answer(rows))


router.add_api_route(
    "/events",
    post_events,
    methods=["POST"],
    status_code=202,
    dependencies=[Depends(_enter)],
    openapi_extra=_POST.extra,
    max_body_size=MAX_BATCH_BYTES,
    route_class_override=DirectRoute,
)


def _intake(workspace: WorkspaceFacts) -> Intake:
    languages = workspace.languages
    return Intake(
        workspace=workspace.id,
        received_us=wall_us(),
        detect_language=lambda text: _detected(text, languages),
    )


def _detected(text: str, languages: tuple[str, ...]) -> str | None:
    if not languages:
        return None
    if len(text) <= CACHED_CHARS:
        return _remembered(text, languages)
    return language.detect(text, languages)


@lru_cache(4096)
def _remembered(text: str, languages: tuple[str, ...]) -> str | None:
    """Short texts come again and again: greetings, thanks, questions of the season."""
    return language.detect(text, languages)


def _rows(request: Request, body: bytes, intake: Intake) -> Sequence[Row]:
    sent = check_content_type(request, FORMS)
    if sent == STRUCTURED:
        return [read_single(body, intake)]
    if sent == BATCH:
        return list(read_batch(body, intake))
    if sent in NDJSON:
        return list(read_ndjson(body, intake))
    if "ce-specversion" not in request.headers:
        raise Refused(
            "unsupported-media-type",
            "Content-Type application/json is for binary mode, with ce- headers "
            f"(ce-specversion, ce-id, …). For a whole event as JSON send {STRUCTURED}.",
        )
    return [read_binary(request.headers.raw, body, intake)]


def answer(rows: Sequence[Row]) -> bytes:
    """The body of the answer: what became of each row, in order."""
    return _encode(Results([_result(row) for row in rows]))


def _result(row: Row) -> Result:
    if isinstance(row, Rejected):
        return Result(row.index, row.id, "rejected", problem=row.problem)
    return Result(row.index, row.id, "accepted", row.envelope.id, row.conversation_id)


def _all_bad(rows: list[Rejected]) -> Refused:
    errors: list[Fault] = [fault for row in rows for fault in row.problem.errors]
    detail = rows[0].problem.detail if len(rows) == 1 else f"None of {len(rows)} events is usable."
    return Refused("validation", detail, errors=errors[:100])
