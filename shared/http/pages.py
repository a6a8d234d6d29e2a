"""Cursor pages: `{"<plural>": […], "next"}`, taken on with `?cursor=`."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import Query, Response

from shared.contracts.problems import Refused, invalid
from shared.http.replies import json_reply

T = TypeVar("T")

DEFAULT_LIMIT = 50
MAX_LIMIT = 200
MAX_CURSOR_CHARS = 1024

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="entries a page holds at most")]
Cursor = Annotated[
    str | None, Query(max_length=MAX_CURSOR_CHARS, description="`next` of the page before")
]


def encode_cursor(position: Any) -> str:
    """Where the next page begins (a tuple of plain values) as an opaque text."""
    return urlsafe_b64encode(msgspec.json.encode(position)).rstrip(b"=").decode()


def decode_cursor(text: str, kind: type[T]) -> T:
    """The position in a cursor, as `kind` (`tuple[int, str]`), its texts without NUL, which no
    database takes. Raises Refused("validation")."""
    try:
        raw = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
        position = msgspec.json.decode(raw, type=kind)
    except (ValueError, msgspec.DecodeError) as error:
        raise not_ours() from error
    nul = rb"\u0000" in raw.replace(rb"\\", b"")
    if nul or encode_cursor(position) != text:
        raise not_ours()
    return position


def not_ours() -> Refused:
    """The refusal of a cursor that we did not give out."""
    return invalid("/query/cursor", "cursor", "The cursor is not one of ours.", "`next` of a page")


def page(
    plural: str, rows: Sequence[T], limit: int, position: Callable[[T], Any], **more: Any
) -> Response:
    """A page out of up to `limit` + 1 rows: the one too many says that there is a next page.

    `position` gives the position of a row; the next page begins after the last row shown.
    """
    shown = rows[:limit]
    following = encode_cursor(position(shown[-1])) if len(rows) > limit and shown else None
    return json_reply({plural: shown, "next": following, **more})
