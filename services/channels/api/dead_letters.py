"""Dead letters: what could not be used, readable, and replayed after a fix."""

from base64 import b64decode
from typing import Annotated, Any, Literal

import msgspec
from fastapi import Depends, Query, Response

from services.channels import vendors
from services.channels.api.connectors import existing_connector
from services.channels.api.conversations import instant_text, place
from services.channels.context import Channels, channels_of
from services.channels.outgoing.delivery import FETCH_OWED, owed_again
from services.channels.raw import RawRequest
from services.channels.shapes import Replayed, ShownDeadLetter
from shared.bus.port import Outgoing
from shared.contracts.deadletter import DeadLetter, unpack_headers
from shared.contracts.problems import Refused, not_found
from shared.http.auth import Caller, require
from shared.http.calls import Call
from shared.http.pages import DEFAULT_LIMIT, Cursor, Limit, page
from shared.http.replies import json_reply
from shared.http.routes import api_router

router = api_router("dead letters")
Service = Annotated[Channels, Depends(channels_of)]
Code = Annotated[str | None, Query(pattern="^[A-Za-z0-9_-]{1,64}$")]
_REPLAY = Call(answer=Replayed, may=(409, 410))


@router.get("/dead-letters", openapi_extra=Call(answer=ShownDeadLetter, page="dead_letters").extra)
async def list_dead_letters(
    caller: Annotated[Caller, Depends(require("dead-letters:read"))],
    channels: Service,
    reason: Annotated[Code, Query(description="given up for this reason")] = None,
    failed_in: Annotated[
        Literal["channels", "router", "sla", "archive"] | None,
        Query(description="given up by this part"),
    ] = None,
    connector: Annotated[Code, Query(description="of this connector")] = None,
    replayed: Annotated[
        bool | None, Query(description="true: only replayed ones, false: only those to look at")
    ] = None,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Response:
    """Newest first."""
    before = None if cursor is None else place(cursor)
    wanted = {"reason": reason, "failed_in": failed_in, "connector": connector}
    rows = await channels.store.dead_letters(
        caller.workspace, before, limit + 1, wanted, replayed=replayed
    )
    shown = [_shown(row) for row in rows]
    return page("dead_letters", shown, limit, lambda one: (one["at"], one["id"]))


@router.post("/dead-letters/{letter}:replay", status_code=202, openapi_extra=_REPLAY.extra)
async def replay_dead_letter(
    letter: str,
    caller: Annotated[Caller, Depends(require("dead-letters:replay"))],
    channels: Service,
) -> Response:
    """A record goes to its topic again, with its first id; a request is parsed again;
    what could not be fetched is owed again."""
    row = await channels.store.dead_letter(caller.workspace, letter)
    if row is None:
        raise not_found("dead letter", letter)
    found = msgspec.json.decode(row["body"], type=DeadLetter)
    count = await _replayed(channels, caller.workspace, found)
    await channels.store.mark_replayed(caller.workspace, letter)
    return json_reply(Replayed(id=letter, status="replayed", events=count), 202)


async def _replayed(channels: Channels, workspace: str, letter: DeadLetter) -> int:
    if letter.event_type == FETCH_OWED:
        stored = await existing_connector(channels, workspace, letter.connector or "")
        await channels.errands.again(stored, owed_again(letter))
        return 0
    if letter.value_base64 is None:
        raise Refused("gone", "The record was too large to be kept with its dead letter.")
    value = b64decode(letter.value_base64)
    if letter.connector is not None:
        raw = msgspec.json.decode(value, type=RawRequest)
        stored = await existing_connector(channels, workspace, raw.connector)
        return await vendors.replay(channels, stored, raw)
    if letter.topic is None or letter.partition is None:
        raise Refused("gone", "The dead letter is no record of a topic.")
    headers = unpack_headers(letter.headers)
    key = next((text for name, text in headers if name == "ce_partitionkey"), None)
    await channels.intake.publish([Outgoing(letter.topic, letter.partition, key, value, headers)])
    return 1


def _shown(row: dict[str, Any]) -> ShownDeadLetter:
    return {
        "id": row["id"],
        "at": instant_text(row["at"]),
        "failed_in": row["failed_in"],
        "reason": row["reason"],
        "detail": row["detail"],
        "topic": row["topic"],
        "connector": row["connector"],
        "event_id": row["event_id"],
        "replayed_at": instant_text(row["replayed_at"]),
    }
