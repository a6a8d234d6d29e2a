"""`POST events`: one CloudEvent, a batch, or NDJSON; 202 once all accepted rows are durable."""

from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import Depends, Request, Response

from services.channels.connectors.language import detect
from services.channels.context import Channels, channels_of, outgoing, wall_us
from services.channels.directory import WorkspaceFacts
from services.channels.events import (
    MAX_BATCH_BYTES,
    Accepted,
    Intake,
    Rejected,
    Row,
    read_batch,
    read_binary,
    read_ndjson,
    read_single,
)
from shared.contracts.problems import Fault, Refused
from shared.http.auth import Caller, require
from shared.http.bodies import check_content_type
from shared.http.replies import json_reply
from shared.http.routes import api_router

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
NDJSON = "application/x-ndjson"
BINARY = "application/json"
FORMS = (STRUCTURED, BATCH, NDJSON, BINARY)

router = api_router("events")


@router.post("/events", status_code=202, max_body_size=MAX_BATCH_BYTES)
async def post_events(
    request: Request,
    caller: Annotated[Caller, Depends(require("events:write"))],
    channels: Annotated[Channels, Depends(channels_of)],
) -> Response:
    """Accept events. A bad row is rejected with its problem and does not hold back the others."""
    workspace = await channels.directory.of(caller.workspace)
    blobs: list[bytes] = []
    rows = list(_rows(request, await request.body(), _intake(workspace, blobs)))
    accepted = [row for row in rows if isinstance(row, Accepted)]
    if not accepted:
        raise _all_bad([row for row in rows if isinstance(row, Rejected)])
    for content in blobs:
        await channels.blobs.keep(content)
    await channels.intake.publish(
        [outgoing(row.envelope, row.channel, workspace.partition) for row in accepted]
    )
    return json_reply({"results": [_result(row) for row in rows]}, 202)


def _intake(workspace: WorkspaceFacts, blobs: list[bytes]) -> Intake:
    def keep(content: bytes) -> str:
        blobs.append(content)
        return _sha256(content)

    return Intake(
        workspace=workspace.id,
        received_us=wall_us(),
        detect_language=lambda text: detect(text, workspace.languages),
        keep_blob=keep,
    )


def _sha256(content: bytes) -> str:
    from hashlib import sha256

    return sha256(content).hexdigest()


def _rows(request: Request, body: bytes, intake: Intake) -> Iterable[Row]:
    sent = check_content_type(request, FORMS)
    if sent == STRUCTURED:
        return [read_single(body, intake)]
    if sent == BATCH:
        return read_batch(body, intake)
    if sent == NDJSON:
        return read_ndjson(body, intake)
    headers = {name.lower(): value for name, value in request.headers.items()}
    if "ce-specversion" not in headers:
        raise Refused(
            "unsupported-media-type",
            "Content-Type application/json is for binary mode, with ce- headers "
            f"(ce-specversion, ce-id, …). For a whole event as JSON send {STRUCTURED}.",
        )
    return [read_binary(headers, body, intake)]


def _result(row: Row) -> dict[str, Any]:
    if isinstance(row, Rejected):
        return {"index": row.index, "id": row.id, "status": "rejected", "problem": row.problem}
    return {
        "index": row.index,
        "id": row.id,
        "event_id": row.envelope.id,
        "conversation_id": row.conversation_id,
        "status": "accepted",
    }


def _all_bad(rows: list[Rejected]) -> Refused:
    errors: list[Fault] = [fault for row in rows for fault in row.problem.errors]
    detail = rows[0].problem.detail if len(rows) == 1 else f"None of {len(rows)} events is usable."
    return Refused("validation", detail, errors=errors[:100])
