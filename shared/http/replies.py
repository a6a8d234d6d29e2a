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
    return _Json(content if isinstance(content, bytes) else _encode(content), status, headers)


def no_content() -> Response:
    return Response(status_code=204)


class _Json(Response):
    """JSON, its headers written out: Starlette's own way to them takes longer than encoding a short
    answer."""

    def __init__(
        self, content: bytes, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        self.status_code = status
        self.background = None
        self.body = content
        self.raw_headers = [
            (b"content-length", b"%d" % len(content)),
            (b"content-type", b"application/json"),
        ]
        for name, text in (headers or {}).items():
            self.raw_headers.append((name.lower().encode("latin-1"), text.encode("latin-1")))


def json_accepted(content: bytes) -> Response:
    """202 with `content`, which is JSON."""
    return _Json(content, 202)
