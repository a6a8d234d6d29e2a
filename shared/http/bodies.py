"""JSON bodies of requests, decoded strictly."""

from typing import TypeVar

from fastapi import Request
from starlette.requests import ClientDisconnect

from shared.contracts.faults import decode_body
from shared.contracts.problems import Refused
from shared.contracts.values import refuse_written_nul
from shared.http import headers

T = TypeVar("T")

JSON_TYPES = ("application/json",)


async def read_body(
    request: Request, kind: type[T], *, content_types: tuple[str, ...] = JSON_TYPES
) -> T:
    """The request's body as `kind` (a struct with forbid_unknown_fields=True).

    Raises Refused: "unsupported-media-type" for another content type, "validation" with a pointer.
    """
    check_content_type(request, content_types)
    body = await request.body()
    read = decode_body(body, kind)
    refuse_written_nul(body)
    return read


async def whole_body(request: Request) -> bytes:
    """The request's body, for a call that nobody else reads it of: Starlette's own way, a stream
    that is remembered, takes longer than the rest of reading. Raises ClientDisconnect."""
    receive, chunks = request.receive, list[bytes]()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunks.append(message.get("body", b""))
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def check_content_type(request: Request, content_types: tuple[str, ...] = JSON_TYPES) -> str:
    """The content type without parameters. Raises Refused("unsupported-media-type"), also for a body
    that is compressed."""
    given = headers.sent(request.scope, b"content-type") or ""
    sent = given.partition(";")[0].strip().lower()
    if sent not in content_types:
        raise Refused(
            "unsupported-media-type",
            f"Content-Type is {repr(sent) if sent else 'missing'}; send {' or '.join(content_types)}.",
        )
    coding = headers.sent(request.scope, b"content-encoding")
    if coding and coding.strip().lower() != "identity":
        detail = f"Content-Encoding {coding[:40]!r} is not read: send the body uncompressed."
        raise Refused("unsupported-media-type", detail)
    return sent
