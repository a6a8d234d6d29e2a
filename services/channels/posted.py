"""The strict shape of a posted CloudEvent, and the place of each fault in one that is not so. Pure."""

import base64
import binascii
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Literal, cast

import msgspec

from shared.contracts import interactions
from shared.contracts.problems import Refused, invalid
from shared.contracts.topics import Channel
from shared.http.bodies import fault_of

MAX_KEY_CHARS = 512
MAX_TEXT_CHARS = 262_144
MAX_ATTRIBUTES = 64
MAX_IDENTITIES = 20
MAX_ATTACHMENTS = 50

ACCEPTED_TYPES = (*interactions.INTERACTION_TYPES, interactions.TRANSCRIPT_PARTIAL)
_SPOKEN = frozenset({interactions.MESSAGE, interactions.MESSAGE_EDITED})
_CONVERSATION_ID = 36


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
    extensions: dict[str, str] = {}


_one = msgspec.json.Decoder(Posted)
_anything = msgspec.json.Decoder()


def decode(body: bytes) -> Posted:
    """One CloudEvent as JSON. Raises Refused; the common shape takes the fast path."""
    try:
        return _one.decode(body)
    except msgspec.DecodeError:
        return _explained(body)


KNOWN = tuple(field for field in Posted.__struct_fields__ if field != "extensions")


def _explained(body: bytes) -> Posted:
    """The slow path: events with extension attributes, nulls or faults, each fault named."""
    try:
        event = _anything.decode(body)
    except msgspec.DecodeError as error:
        raise invalid("", "json", f"The event is not JSON: {error}.", "a CloudEvent") from error
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


def from_attributes(known: dict[str, Any], extensions: Mapping[str, Any]) -> Posted:
    given = {name: value for name, value in known.items() if value is not None}
    _check_json_data(given.get("datacontenttype"))
    for name in ("specversion", "id", "source", "type", "data"):
        if name not in given:
            raise invalid(
                f"/{name}", "missing", f"The attribute {name!r} is missing.", "a CloudEvent 1.0"
            )
    try:
        posted = msgspec.convert(given, Posted)
    except msgspec.ValidationError as error:
        fault = fault_of(error, Posted)
        raise Refused("validation", fault.message, errors=[fault]) from error
    posted.extensions = dict(_extension(name, value) for name, value in extensions.items())
    return posted


def _check_json_data(content_type: object) -> None:
    if isinstance(content_type, str) and "json" not in content_type.lower():
        raise invalid(
            "/datacontenttype", "unsupported", f"Data of type {content_type!r} cannot be read.",
            "application/json",
        )  # fmt: skip


def _extension(name: str, value: object) -> tuple[str, str]:
    if not (name.isascii() and name.isalnum() and name == name.lower()):
        close = get_close_matches(name, KNOWN, 1)
        hint = f"did you mean {close[0]!r}? Extension names are" if close else "extension names are"
        raise invalid(
            f"/{name}", "unknown_field", f"Unknown attribute {name!r}.", f"{hint} a-z and 0-9"
        )
    if isinstance(value, bool):
        return name, "true" if value else "false"
    if isinstance(value, (str, int)):
        return name, str(value)
    raise invalid(
        f"/{name}", "type", f"The extension attribute {name!r} is no scalar.", "text or number"
    )


def decode_data(body: bytes) -> Any:
    try:
        return _anything.decode(body)
    except msgspec.DecodeError as error:
        raise invalid(
            "/data", "json", f"The data is not JSON: {error}.", "a JSON object"
        ) from error


def _decode_base64(text: object) -> Any:
    try:
        return decode_data(base64.b64decode(str(text), validate=True))
    except binascii.Error as error:
        raise invalid("/data_base64", "base64", f"Not base64: {error}.", "base64") from error


def check(posted: Posted) -> None:
    data = posted.data
    for name in ("id", "source"):
        if not 0 < len(getattr(posted, name)) <= MAX_KEY_CHARS:
            raise invalid(
                f"/{name}", "length", f"{name!r} is empty or too long.", f"1 to {MAX_KEY_CHARS}"
            )
    if posted.type not in ACCEPTED_TYPES:
        close = get_close_matches(posted.type, ACCEPTED_TYPES, 1)
        expected = f"did you mean {close[0]!r}?" if close else ", ".join(ACCEPTED_TYPES)
        raise invalid("/type", "unknown_type", f"Unknown event type {posted.type!r}.", expected)
    _check_conversation(data)
    _check_limits(data)
    _check_content(posted.type, data)


def _check_conversation(data: EventData) -> None:
    if data.conversation_id is not None:
        digits = data.conversation_id[4:]
        if (
            data.conversation_id[:4] != "cnv_"
            or len(data.conversation_id) != _CONVERSATION_ID
            or not digits.isalnum()
        ):
            raise invalid("/data/conversation_id", "format", "This is no conversation id.", "cnv_…")
    elif not data.conversation_key:
        raise invalid(
            "/data/conversation_key", "missing", "The event names no conversation.",
            "conversation_key (yours) or conversation_id (ours)",
        )  # fmt: skip
    elif len(data.conversation_key) > MAX_KEY_CHARS:
        raise invalid(
            "/data/conversation_key", "length", "The key is too long.", f"at most {MAX_KEY_CHARS}"
        )


def _check_limits(data: EventData) -> None:
    for name, limit in (
        ("text", MAX_TEXT_CHARS),
        ("html", MAX_TEXT_CHARS),
        ("subject", 998),
        ("comment", 10_000),
    ):
        if (value := getattr(data, name)) is not None and len(value) > limit:
            raise invalid(
                f"/data/{name}",
                "length",
                f"{name!r} has {len(value)} characters.",
                f"at most {limit}",
            )
    for name, limit in (
        ("identities", MAX_IDENTITIES),
        ("attachments", MAX_ATTACHMENTS),
        ("attributes", MAX_ATTRIBUTES),
    ):
        if (value := getattr(data, name)) is not None and len(value) > limit:
            raise invalid(
                f"/data/{name}", "length", f"{name!r} has {len(value)} entries.", f"at most {limit}"
            )


def _check_content(event_type: str, data: EventData) -> None:
    if event_type in _SPOKEN and not (data.text or data.html or data.attachments):
        raise invalid(
            "/data/text", "missing", "A message needs content.", "text, html or attachments"
        )
    if event_type in (interactions.TRANSCRIPT_SEGMENT, interactions.TRANSCRIPT_PARTIAL):
        if data.segment is None:
            raise invalid(
                "/data/segment", "missing", "A transcript segment needs its place.", "{index, …}"
            )
        if data.text is None:
            raise invalid("/data/text", "missing", "A transcript segment needs its text.", "text")
    if (
        event_type in (interactions.MESSAGE_EDITED, interactions.MESSAGE_DELETED)
        and not data.replaces
    ):
        raise invalid(
            "/data/replaces", "missing", "Which message is meant?", "the original event's id"
        )
    if event_type == interactions.DELIVERY_STATUS and data.delivery_status is None:
        raise invalid(
            "/data/delivery_status", "missing", "There is no status.", "{message_id, status}"
        )
    if event_type == interactions.FEEDBACK and data.survey is None:
        raise invalid("/data/survey", "missing", "Which survey is it?", "csat, nps or ces")
