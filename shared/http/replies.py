"""Responses encoded by msgspec: structs, dicts and bytes that are JSON already."""

from collections.abc import Mapping
from typing import Any

import msgspec
from fastapi import Response

JSON_TYPE = "application/json"

_encode = msgspec.json.Encoder().encode


def json_reply(
    content: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """`content` as JSON; bytes are sent as they are (JSON from a core)."""
    body = content if isinstance(content, bytes) else _encode(content)
    return Response(body, status, headers, JSON_TYPE)


def no_content() -> Response:
    return Response(status_code=204)


class _Accepted(Response):
    """202 with JSON, its two headers written out: Starlette's own way to them takes longer than
    encoding such an answer."""

    def __init__(self, content: bytes) -> None:
        self.status_code = 202
        self.background = None
        self.body = content
        self.raw_headers = [
            (b"content-length", b"%d" % len(content)),
            (b"content-type", b"application/json"),
        ]


def json_accepted(content: bytes) -> Response:
    """202 with `content`, which is JSON."""
    return _Accepted(content)
