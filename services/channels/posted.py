"""The strict shape of a posted CloudEvent, and the place of each fault in one that is not so. Pure."""

import base64
import binascii
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Literal, cast

import msgspec

from shared.contracts import interactions
from shared.contracts.faults import fault_of
from shared.contracts.problems import Refused, invalid
from shared.contracts.topics import Channel

Extensions = tuple[tuple[str, str], ...]


class Author(msgspec.Struct, forbid_unknown_fields=True):
    role: interactions.Role
    name: str | None = None
    id: str | None = None


class Identity(msgspec.Struct, forbid_unknown_fields=True):
    scheme: str
    value: str


class Attachment(msgspec.Struct, forbid_unknown_fields=True):
    name: str | None = None
    content_type: str | None = None
    size: int | None = None
    url: str | None = None
    content_base64: str | None = None


class Segment(msgspec.Struct, forbid_unknown_fields=True):
    index: int
    start_ms: int | None = None
    end_ms: int | None = None
    speaker: str | None = None
    confidence: float | None = None


class Delivery(msgspec.Struct, forbid_unknown_fields=True):
    message_id: str
    status: Literal["sent", "delivered", "read", "failed"]
    error: str | None = None


class EventData(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`data` of a posted event, as API.md lists it."""

    channel: Channel
    direction: interactions.Direction
    author: Author
    conversation_key: str | None = None
    conversation_id: str | None = None
    text: str | None = None
    html: str | None = None
    subject: str | None = None
    language: str | None = None
    identities: list[Identity] | None = None
    attachments: list[Attachment] | None = None
    in_reply_to: str | None = None
    replaces: str | None = None
    flags: list[interactions.Flag] | None = None
    attributes: dict[str, Any] | None = None
    agent_id: str | None = None
    task_id: str | None = None
    segment: Segment | None = None
    delivery_status: Delivery | None = None
    reason: Literal["ended", "abandoned"] | None = None
    survey: Literal["csat", "nps", "ces"] | None = None
    score: float | None = None
    comment: str | None = None


class Posted(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A CloudEvent without extension attributes: the shape that nearly all senders use."""

    specversion: Literal["1.0"]
    id: str
    source: str
    type: str
    data: EventData
    time: str | None = None
    subject: str | None = None
    datacontenttype: str | None = None
    dataschema: str | None = None


KNOWN = Posted.__struct_fields__
REQUIRED = ("specversion", "id", "source", "type", "data")
MAX_EXTENSIONS = 32
MAX_EXTENSION_CHARS = 4096
JSON_FAULTS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_one = msgspec.json.Decoder(Posted)
_anything = msgspec.json.Decoder()


def decode(body: bytes) -> tuple[Posted, Extensions]:
    """One CloudEvent as JSON, and its extension attributes. Raises Refused; the common shape takes
    the fast path."""
    try:
        posted = _one.decode(body)
    except JSON_FAULTS:
        return _explained(body)
    if posted.datacontenttype is not None:
        _check_json_data(posted.datacontenttype)
    return posted, ()


def _explained(body: bytes) -> tuple[Posted, Extensions]:
    """The slow path: events with extension attributes, nulls or faults, each fault named."""
    event = _json(body, "", "event")
    if not isinstance(event, dict):
        raise invalid("", "type", "The event is not a JSON object.", "a CloudEvent")
    present = {
        name: value for name, value in cast("dict[str, Any]", event).items() if value is not None
    }
    if "data_base64" in present and "data" not in present:
        present["data"] = _decode_base64(present.pop("data_base64"))
    extensions = {name: value for name, value in present.items() if name not in KNOWN}
    known = {name: present[name] for name in KNOWN if name in present}
    return from_attributes(known, extensions)


def from_attributes(
    known: dict[str, Any], extensions: Mapping[str, Any]
) -> tuple[Posted, Extensions]:
    """The event of which these are the attributes, none of them null. Raises Refused."""
    _check_json_data(known.get("datacontenttype"))
    missing = [name for name in REQUIRED if name not in known]
    if missing:
        name = missing[0]
        raise invalid(f"/{name}", "missing", f"{name!r} is required.", "a CloudEvent 1.0")
    named = extensions_of(extensions)
    try:
        return msgspec.convert(known, Posted), named
    except msgspec.ValidationError as error:
        fault = fault_of(error, Posted)
        raise Refused("validation", fault.message, errors=[fault]) from error


def _check_json_data(content_type: object) -> None:
    if isinstance(content_type, str) and "json" not in content_type.lower():
        raise invalid(
            "/datacontenttype", "unsupported", f"Data of type {content_type[:80]!r} is not read.",
            "application/json",
        )  # fmt: skip


def extensions_of(given: Mapping[str, Any]) -> Extensions:
    if len(given) > MAX_EXTENSIONS:
        raise invalid(
            "", "too_many", f"{len(given)} unknown attributes.", f"at most {MAX_EXTENSIONS}"
        )
    return tuple(_extension(name, value) for name, value in given.items())


def _extension(name: str, value: object) -> tuple[str, str]:
    at = "/" + name.replace("~", "~0").replace("/", "~1")
    if not (name.isascii() and name.isalnum() and name == name.lower()):
        near = get_close_matches(name, KNOWN, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        expected = near[0] if near else "extension attributes have names of a-z and 0-9"
        raise invalid(at, "unknown_field", f"{name[:80]!r} is not known.{hint}", expected)
    if isinstance(value, bool):
        return name, "true" if value else "false"
    if not isinstance(value, (str, int)):
        raise invalid(at, "type", f"The extension attribute {name!r} is no scalar.", "text")
    text = str(value)
    if len(text) > MAX_EXTENSION_CHARS or "\x00" in text:
        expected = f"at most {MAX_EXTENSION_CHARS} characters, none of them NUL"
        raise invalid(at, "length", f"The extension attribute {name!r} is too long.", expected)
    return name, text


def decode_data(body: bytes) -> Any:
    """The data of an event in binary mode. Raises Refused."""
    return _json(body, "/data", "data")


def _json(body: bytes, pointer: str, what: str) -> Any:
    try:
        return _anything.decode(body)
    except JSON_FAULTS as error:
        raise invalid(pointer, "json", f"The {what} is not JSON: {error}.", "JSON") from error


def _decode_base64(text: object) -> Any:
    try:
        return decode_data(base64.b64decode(str(text), validate=True))
    except (binascii.Error, ValueError) as error:
        raise invalid("/data_base64", "base64", f"Not base64: {error}.", "base64") from error
