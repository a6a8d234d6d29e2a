"""Responses encoded by msgspec: structs, dicts and bytes that are JSON already."""

from collections.abc import Mapping
from typing import Any

import msgspec
from fastapi import Response

_encode = msgspec.json.Encoder().encode


def json_reply(
    content: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """`content` as JSON; bytes are sent as they are (JSON from a core)."""
    body = content if isinstance(content, bytes) else _encode(content)
    written = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]
    for name, text in (headers or {}).items():
        written.append((name.lower().encode("latin-1"), text.encode("latin-1")))
    return _Whole(body, status, written)


def json_accepted(content: bytes) -> Response:
    """202 with `content`, which is JSON."""
    return json_reply(content, 202)


def unchanged(tag: str) -> Response:
    """304: what the caller has is current."""
    return _Whole(b"", 304, [(b"etag", tag.encode("latin-1"))])


def no_content() -> Response:
    return Response(status_code=204)


class _Whole(Response):
    """Its headers written out: Starlette's own way to them takes longer than encoding a short
    answer."""

    def __init__(self, content: bytes, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.status_code = status
        self.background = None
        self.body = content
        self.raw_headers = headers
