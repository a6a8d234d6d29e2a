"""Raw payloads normalised again: a run in pieces, each call one of them."""

from typing import Annotated

import msgspec
from fastapi import Depends, Request, Response

from services.channels import renormalise
from services.channels.api.connectors import existing_connector
from services.channels.context import Channels, channels_of, wall_us
from services.channels.renormalise import Place
from shared.contracts.instants import parse_instant
from shared.contracts.problems import invalid
from shared.http.auth import Caller, require
from shared.http.bodies import read_body
from shared.http.calls import Call
from shared.http.pages import MAX_CURSOR_CHARS, decode_cursor, encode_cursor
from shared.http.replies import json_reply
from shared.http.routes import api_router

router = api_router("connectors")


class RenormaliseBody(
    msgspec.Struct, forbid_unknown_fields=True, rename={"since": "from", "until": "to"}
):
    """The body: a span to begin with (`to` is now when it is absent), or the cursor to go on."""

    since: str | None = None
    until: str | None = None
    dry_run: bool = False
    cursor: Annotated[str, msgspec.Meta(max_length=MAX_CURSOR_CHARS)] | None = None


_RENORMALISE = Call(
    body=RenormaliseBody,
    example={"from": "2026-11-01T00:00:00Z", "dry_run": True},
    answer=renormalise.Piece,
)


@router.post("/connectors/{connector}:renormalise", openapi_extra=_RENORMALISE.extra)
async def renormalise_connector(
    connector: str,
    request: Request,
    caller: Annotated[Caller, Depends(require("connectors:renormalise"))],
    channels: Annotated[Channels, Depends(channels_of)],
) -> Response:
    """Read kept payloads again through today's codec and publish what they become as new revisions,
    which only update. One call does a piece: ask again with `cursor` = `next` until that is null.

    With `dry_run` nothing is published, stored or remembered; the answer is otherwise the same.
    """
    asked = await read_body(request, RenormaliseBody)
    stored = await existing_connector(channels, caller.workspace, connector)
    kept_from = None
    if asked.cursor is not None:
        place = _continued(asked)
    else:
        span = _span(asked, wall_us())
        place, kept_from = await renormalise.begin(channels, stored, *span, dry_run=asked.dry_run)
    piece, place = await renormalise.proceed(channels, stored, place)
    piece.kept_from = kept_from
    piece.next = encode_cursor(place) if place.offset < place.end else None
    return json_reply(piece)


def _continued(asked: RenormaliseBody) -> Place:
    if asked.since is not None or asked.until is not None:
        raise invalid("/from", "conflict", "The cursor already holds the span.", "only the cursor")
    place = decode_cursor(asked.cursor or "", Place)
    if not 0 <= place.begun <= place.offset <= place.end < 2**63:
        raise invalid("/cursor", "cursor", "The cursor is not one of ours.", "`next`")
    return place


def _span(asked: RenormaliseBody, now_us: int) -> tuple[int, int]:
    if asked.since is None:
        raise invalid(
            "/from", "missing", "From when on?", "an instant, such as 2026-03-02T09:00:00Z"
        )
    from_us = _instant(asked.since, "/from")
    to_us = now_us if asked.until is None else _instant(asked.until, "/to")
    if to_us <= from_us:
        raise invalid("/to", "range", "The span ends before it begins.", "an instant after `from`")
    return from_us, to_us


def _instant(text: str, pointer: str) -> int:
    try:
        return parse_instant(text)
    except (ValueError, OverflowError):
        expected = "RFC 3339 with an offset, such as 2026-03-02T09:00:00Z"
        raise invalid(pointer, "instant", f"{text[:64]!r} is no instant.", expected) from None
