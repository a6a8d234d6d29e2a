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
