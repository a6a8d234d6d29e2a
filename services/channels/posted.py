"""The strict shape of a posted CloudEvent, and the place of each fault in one that is not so. Pure."""

import base64
import binascii
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Literal, cast

import msgspec
from msgspec import Meta

from shared.contracts import interactions
from shared.contracts.faults import fault_of, why_no_json
from shared.contracts.problems import Refused, invalid
from shared.contracts.topics import Channel

Extensions = tuple[tuple[str, str], ...]

MAX_KEY_CHARS = 512
MAX_TEXT_CHARS = 262_144
MAX_ATTACHMENTS = 50
_INT64 = (1 << 63) - 1

Name = Annotated[str, Meta(max_length=MAX_KEY_CHARS)]
Key = Annotated[str, Meta(min_length=1, max_length=MAX_KEY_CHARS)]
Body = Annotated[str, Meta(max_length=MAX_TEXT_CHARS)]
ClientId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}\Z")]
Count = Annotated[int, Meta(ge=0, le=_INT64)]


# These are the bus's own structs with limits, so that what was decoded is what is published.


class PostedAuthor(interactions.Author, forbid_unknown_fields=True):
    name: Name | None = None
    id: Name | None = None


class PostedIdentity(interactions.Identity, frozen=True, forbid_unknown_fields=True):
    scheme: Annotated[str, Meta(min_length=1, max_length=64)]
    value: Key


class PostedAttachment(msgspec.Struct, forbid_unknown_fields=True):
    name: Annotated[str, Meta(max_length=1024)] | None = None
    content_type: Annotated[str, Meta(max_length=255)] | None = None
    size: Count | None = None
    url: Annotated[str, Meta(max_length=4096)] | None = None
    content_base64: str | None = None


class PostedSegment(interactions.Segment, forbid_unknown_fields=True):
    index: Count
    start_ms: Count | None = None
    end_ms: Count | None = None
    speaker: Name | None = None


class PostedDelivery(interactions.Delivery, forbid_unknown_fields=True):
    message_id: Key
    error: Annotated[str, Meta(max_length=1024)] | None = None


class EventData(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`data` of a posted event, as API.md lists it."""

    channel: Channel
    direction: interactions.Direction
    author: PostedAuthor
    conversation_key: Name | None = None
    conversation_id: Annotated[str, Meta(pattern=r"^cnv_[0-9a-f]{32}\Z")] | None = None
    text: Body | None = None
    html: Body | None = None
    subject: Annotated[str, Meta(max_length=998)] | None = None
    language: Annotated[str, Meta(max_length=35)] | None = None
    identities: Annotated[list[PostedIdentity], Meta(max_length=20)] | None = None
    attachments: Annotated[list[PostedAttachment], Meta(max_length=MAX_ATTACHMENTS)] | None = None
    in_reply_to: Name | None = None
    replaces: Name | None = None
    flags: Annotated[list[interactions.Flag], Meta(max_length=16)] | None = None
    attributes: Annotated[dict[str, Any], Meta(max_length=64)] | None = None
    agent_id: ClientId | None = None
    task_id: ClientId | None = None
    segment: PostedSegment | None = None
    delivery_status: PostedDelivery | None = None
    reason: Literal["ended", "abandoned"] | None = None
    survey: Literal["csat", "nps", "ces"] | None = None
    score: float | None = None
    comment: Annotated[str, Meta(max_length=10_000)] | None = None


class Posted(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A CloudEvent without extension attributes: the shape that nearly all senders use."""

    specversion: Literal["1.0"]
    id: Key
    source: Key
    type: Name
    data: EventData
    time: Annotated[str, Meta(max_length=64)] | None = None
    subject: Name | None = None
    datacontenttype: Annotated[str, Meta(max_length=255)] | None = None
    dataschema: Name | None = None


KNOWN = Posted.__struct_fields__
REQUIRED = ("specversion", "id", "source", "type", "data")
MAX_EXTENSIONS = 32
MAX_EXTENSION_CHARS = 4096
JSON_FAULTS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_one = msgspec.json.Decoder(Posted)
_many = msgspec.json.Decoder(list[Posted])
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


def decode_all(body: bytes) -> list[Posted] | None:
    """A JSON array of CloudEvents that all have the common shape; None when it is not that, and
    each event has to be looked at for itself."""
    try:
        events = _many.decode(body)
    except JSON_FAULTS:
        return None
    kinds = {posted.datacontenttype for posted in events}
    return events if all(kind is None or "json" in kind.lower() for kind in kinds) else None


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
        raise invalid(
            pointer, "json", f"The {what} is not JSON: {why_no_json(body, error)}.", "JSON"
        ) from error


def _decode_base64(text: object) -> Any:
    try:
        return decode_data(base64.b64decode(str(text), validate=True))
    except (binascii.Error, ValueError) as error:
        raise invalid("/data_base64", "base64", f"Not base64: {error}.", "base64") from error
