"""`POST events`: one CloudEvent, a batch, or NDJSON; 202 once all accepted rows are durable."""

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from fastapi import Depends, Request, Response

from services.channels.context import Channels, outgoing, wall_us
from services.channels.directory import WorkspaceFacts
from services.channels.events import (
    MAX_BATCH_BYTES,
    MAX_ROWS,
    Accepted,
    Rejected,
    Row,
)
from services.channels.forms_posted import (
    BATCH,
    BINARY,
    FORMS,
    NDJSON,
    STRUCTURED,
    Read,
    Sent,
    read_posted,
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

_ATTRIBUTES = frozenset(f"ce-{name}".encode() for name in KNOWN)
LARGE_POST_BYTES = 256 * 1024
"""A larger batch is read in another process: ten megabytes of rows take seconds. One event, whose size is
that of its attachments, takes a tenth of a second at most."""

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
    rows, blobs = await _rows(request, body, channels, workspace)
    accepted = [row for row in rows if isinstance(row, Accepted)]
    if rows and not accepted:
        raise _all_bad([row for row in rows if isinstance(row, Rejected)])
    for content in blobs.values():
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


async def _rows(
    request: Request, body: bytes, channels: Channels, workspace: WorkspaceFacts
) -> Read:
    form = check_content_type(request, FORMS)
    headers = [pair for pair in request.headers.raw if form == BINARY and pair[0][:3] == b"ce-"]
    if form == BINARY and not any(name == b"ce-specversion" for name, _ in headers):
        raise Refused(
            "unsupported-media-type",
            "Content-Type application/json is for binary mode, with ce- headers "
            f"(ce-specversion, ce-id, …). For a whole event as JSON send {STRUCTURED}.",
        )
    sent = Sent(form, headers, body, workspace.id, workspace.languages, wall_us())
    if len(body) <= LARGE_POST_BYTES or form in (STRUCTURED, BINARY):
        return read_posted(sent)
    return await channels.readers.read(len(body), read_posted, sent)


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
