"""Posted forms, urlencoded or multipart, as bytes: which charset a field is in, its sender says."""

from email.message import Message

import msgspec

from services.channels.connectors.port import InboundRequest
from services.channels.connectors.signatures import form_of

MAX_FIELDS = 1000


class Field(msgspec.Struct, frozen=True):
    """One field of a form; a file has a `filename`."""

    name: str
    content: bytes
    filename: str | None = None
    content_type: str = ""
    content_id: str | None = None


def fields_of(request: InboundRequest) -> list[Field] | None:
    """The fields in their order; None when the body is no form or has too many fields."""
    if request.media_type == "application/x-www-form-urlencoded":
        pairs = form_of(request.body, MAX_FIELDS)
        encoded = ((name, value.encode("utf-8", "replace")) for name, value in pairs or [])
        return None if pairs is None else [Field(name, value) for name, value in encoded]
    if request.media_type == "multipart/form-data":
        return _multipart(request)
    return None


def _multipart(request: InboundRequest) -> list[Field] | None:
    boundary = _header_of(request.header("content-type") or "").get_param("boundary")
    if not isinstance(boundary, str) or not boundary or len(boundary) > 200:
        return None
    edge = b"--" + boundary.encode("latin-1", "replace")
    parts = (b"\r\n" + request.body).split(b"\r\n" + edge, MAX_FIELDS + 2)
    if len(parts) < 2 or len(parts) > MAX_FIELDS + 1:
        return None
    found: list[Field] = []
    for part in parts[1:]:
        if part.startswith(b"--"):
            break
        field = _field(part)
        if field is not None:
            found.append(field)
    return found


def _field(part: bytes) -> Field | None:
    head, gap, content = part.partition(b"\r\n\r\n")
    if not gap:
        return None
    headers: dict[str, str] = {}
    for line in head.decode("utf-8", "replace").split("\r\n"):
        name, colon, value = line.partition(":")
        if colon:
            headers.setdefault(name.strip().lower(), value.strip())
    disposition = _header_of(headers.get("content-disposition", ""))
    name = disposition.get_param("name")
    named = disposition.get_param("filename", header="content-disposition") is not None
    filename = disposition.get_filename() if named else None
    if not isinstance(name, str):
        return None
    return Field(
        name,
        content,
        filename,
        headers.get("content-type", ""),
        headers.get("content-id", "").strip("<> ") or None,
    )


def _header_of(value: str) -> Message:
    """A structured header's value as stdlib reads it, whichever header it was."""
    message = Message()
    value = value.replace("\r", " ").replace("\n", " ")
    message["Content-Type"] = value
    message["Content-Disposition"] = value
    return message


def texts_of(found: list[Field]) -> dict[str, str]:
    """The fields without a file name as UTF-8 text, the first of each name."""
    plain = [field for field in found if field.filename is None]
    return {field.name: field.content.decode("utf-8", "replace") for field in reversed(plain)}
