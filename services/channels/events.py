"""`POST events`: what a platform sends, turned into interaction events. Pure.

The four forms of API.md: one CloudEvent as JSON, one in binary mode, a JSON batch, NDJSON. A bad row
says what is wrong where, and does not hold back the others.
"""

import base64
import binascii
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from typing import Any, Literal, cast
from urllib.parse import unquote_to_bytes

import msgspec

from services.channels.limits import check
from services.channels.posted import (
    JSON_FAULTS,
    KNOWN,
    REQUIRED,
    EventData,
    Extensions,
    Posted,
    PostedAttachment,
    decode,
    decode_all,
    decode_data,
    from_attributes,
)
from shared.contracts import ids, interactions
from shared.contracts.envelope import Envelope
from shared.contracts.instants import InstantOutOfRange, format_once, normal_instant
from shared.contracts.interactions import Flag, Interaction
from shared.contracts.problems import Fault, Problem, Refused, invalid
from shared.contracts.topics import Channel
from shared.contracts.values import refuse_nul

CONNECTOR = "events"
MAX_ROWS = 5_000
MAX_BATCH_BYTES = 10 * 1024 * 1024
MAX_EVENT_BYTES = 900 * 1024
"""Most bytes of one normalised event, attachments not counted: below the bus's limit of a record."""


class Accepted(msgspec.Struct):
    """A row that may be published."""

    index: int
    id: str
    envelope: Envelope
    channel: Channel
    conversation_id: str


class Rejected(msgspec.Struct):
    index: int
    id: str | None
    problem: Problem


Row = Accepted | Rejected


class Intake(msgspec.Struct):
    """What the rows of one request have in common. `blobs` collects decoded attachments by their
    sha256; they are to be stored before the rows are published. `of_row` are those of the row that is
    being read, which may yet be rejected."""

    workspace: str
    received_us: int
    detect_language: Callable[[str], str | None]
    received_at: str = ""
    blobs: dict[str, bytes] = {}
    of_row: dict[str, bytes] = {}

    def __post_init__(self) -> None:
        self.received_at = format_once(self.received_us)


_anything = msgspec.json.Decoder()
_raw_rows = msgspec.json.Decoder(list[msgspec.Raw])
_encode = msgspec.json.Encoder().encode


def read_single(body: bytes, intake: Intake) -> Row:
    """`application/cloudevents+json`."""
    return _row(0, body, intake, "")


def read_binary(headers: Iterable[tuple[bytes, bytes]], body: bytes, intake: Intake) -> Row:
    """Binary mode: `ce-` headers (lower-case names) and the data as body."""
    name: str | None = None
    try:
        attributes = _attributes(headers)
        name = attributes.get("id")
        for one in REQUIRED[:-1]:
            if one not in attributes:
                raise invalid(f"/{one}", "missing", f"The header ce-{one} is missing.", f"ce-{one}")
        known: dict[str, Any] = {
            one: attributes.pop(one) for one in KNOWN if one in attributes and one != "data"
        }
        known["data"] = decode_data(body)
        posted, extensions = from_attributes(known, attributes)
        if b"\\u0000" in body:
            refuse_nul(known["data"], ("data",))
        return _accepted(0, posted, extensions, intake)
    except Refused as refused:
        return Rejected(0, name, refused.problem())


def _attributes(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    return {
        name[3:].decode("latin-1"): _header_text(name, value)
        for name, value in headers
        if name.startswith(b"ce-") and value
    }


def _header_text(name: bytes, value: bytes) -> str:
    """A header's value: quotes taken off, percent-decoded once, UTF-8. CloudEvents' HTTP binding
    1.0.2, section 3.1.3.2."""
    text = value.strip()
    if len(text) > 1 and text[:1] == text[-1:] == b'"':
        text = text[1:-1].replace(b'\\"', b'"').replace(b"\\\\", b"\\")
    at = "/" + name[3:].decode("latin-1")
    try:
        found = unquote_to_bytes(text).decode()
    except UnicodeDecodeError as error:
        raise invalid(
            at, "encoding", "The header is not UTF-8.", "percent-encoded UTF-8"
        ) from error
    refuse_nul(found, (at[1:],))
    return found


def read_batch(body: bytes, intake: Intake) -> Iterator[Row]:
    """`application/cloudevents-batch+json`. Raises Refused when the body is no list or too long."""
    events = decode_all(body)
    if events is not None and b"\\u0000" not in body:
        _check_count(len(events))
        return (_row_of(index, posted, intake) for index, posted in enumerate(events))
    try:
        rows = _raw_rows.decode(body)
    except JSON_FAULTS as error:
        detail = f"The batch is not a JSON array: {error}."
        raise invalid("", "json", detail, "[{…}, {…}]") from error
    _check_count(len(rows))
    return (_row(index, bytes(raw), intake, f"/{index}") for index, raw in enumerate(rows))


def read_ndjson(body: bytes, intake: Intake) -> Iterator[Row]:
    """One CloudEvent a line; empty lines are passed over but counted."""
    lines = [(number, line) for number, line in enumerate(body.split(b"\n")) if line.strip()]
    if not lines:
        raise invalid("", "empty", "The batch holds no event.", f"1 to {MAX_ROWS} events")
    _check_count(len(lines))
    return (_row(number, line, intake, f"/{number}") for number, line in lines)


def _check_count(rows: int) -> None:
    if rows > MAX_ROWS:
        detail = f"The batch holds {rows} events; at most {MAX_ROWS} are taken at once."
        fault = Fault("", "too_many", detail, f"at most {MAX_ROWS}")
        raise Refused("too-large", detail, errors=[fault])


def _row_of(index: int, posted: Posted, intake: Intake) -> Row:
    try:
        return _accepted(index, posted, (), intake)
    except Refused as refused:
        return _rejected(index, posted.id, refused, f"/{index}")


def _row(index: int, body: bytes, intake: Intake, at: str) -> Row:
    try:
        posted, extensions = decode(body)
        if body.find(b"\\u0000") >= 0:
            refuse_nul(_anything.decode(body))
        return _accepted(index, posted, extensions, intake)
    except Refused as refused:
        return _rejected(index, _id_of(body), refused, at)


def _rejected(index: int, name: str | None, refused: Refused, at: str) -> Rejected:
    """`at` is the row's place in the body."""
    problem = refused.problem()
    for fault in problem.errors:
        fault.pointer = at + fault.pointer
    return Rejected(index, name, problem)


def _id_of(body: bytes) -> str | None:
    try:
        found = cast("dict[str, Any]", _anything.decode(body))["id"]
        return found if isinstance(found, str) else None
    except (*JSON_FAULTS, LookupError, TypeError):
        return None


def _accepted(index: int, posted: Posted, extensions: Extensions, intake: Intake) -> Accepted:
    check(posted)
    if intake.of_row:
        intake.of_row = {}
    vendor_id = vendor_key(posted.source, posted.id)
    time = intake.received_at if posted.time is None else _time(posted.time)
    interaction = _interaction(posted, vendor_id, intake)
    if extensions:
        extensions = _kept(extensions, interaction)
    if posted.subject or posted.dataschema:
        extensions = (*extensions, *_described(posted))
    data = _encode(interaction)
    _check_size(len(data) + sum([len(text) for _, text in extensions]))
    if intake.of_row:
        intake.blobs.update(intake.of_row)
    envelope = Envelope(
        id=ids.event_id(intake.workspace, CONNECTOR, vendor_id),
        source=posted.source,
        type=posted.type,
        time=time,
        workspace=intake.workspace,
        data=data,
        partitionkey=interaction.conversation_id,
        extensions=extensions,
    )
    return Accepted(index, posted.id, envelope, posted.data.channel, interaction.conversation_id)


def _check_size(held: int) -> None:
    if held > MAX_EVENT_BYTES:
        detail = f"The event has {held} bytes without its attachments."
        raise invalid("/data", "too_large", detail, f"at most {MAX_EVENT_BYTES}")


def vendor_key(source: str, name: str) -> str:
    """(source, id) as one text, unambiguous."""
    return f"{len(source)}:{source}{name}"


# Ours on the bus: a sender's attributes of these names are kept in `vendor` instead.
_RESERVED = frozenset({"workspace", "sequence", "partitionkey", "previous", "data"})


def _kept(extensions: Extensions, interaction: Interaction) -> Extensions:
    reserved = {name: text for name, text in extensions if name in _RESERVED}
    if reserved:
        interaction.vendor["extensions"] = reserved
    return tuple(pair for pair in extensions if pair[0] not in _RESERVED)


def _described(posted: Posted) -> Iterator[tuple[str, str]]:
    """CloudEvents' own optional attributes that our envelope has no field for."""
    for name, text in (("subject", posted.subject), ("dataschema", posted.dataschema)):
        if text:
            yield name, text[:1024]


def _time(text: str) -> str:
    try:
        return normal_instant(text)
    except InstantOutOfRange as error:
        raise invalid("/time", "range", "The time is out of range.", "from 1970 to 9999") from error
    except (ValueError, OverflowError) as error:
        raise invalid(
            "/time", "instant", f"{text[:64]!r} is no instant.", "RFC 3339 with an offset"
        ) from error


def _interaction(posted: Posted, vendor_id: str, intake: Intake) -> Interaction:
    data, workspace = posted.data, intake.workspace
    interaction = Interaction(
        workspace=workspace,
        connector=CONNECTOR,
        channel=data.channel,
        conversation_id=_conversation_id(data, workspace),
        message_id=ids.message_id(workspace, CONNECTOR, vendor_id),
        received_at=intake.received_at,
        direction=data.direction,
        author=data.author,
        conversation_key=data.conversation_key,
        text=data.text,
        html=data.html,
        subject=data.subject,
        language=data.language or _language(data, intake),
        in_reply_to=data.in_reply_to,
        flags=_flags(posted),
        attributes=data.attributes or {},
        agent_id=data.agent_id,
        task_id=data.task_id,
        vendor={"id": posted.id, "source": posted.source},
    )
    if data.identities:
        interaction.identities = [*data.identities]
    if data.attachments:
        interaction.attachments = [
            _attachment(i, one, intake) for i, one in enumerate(data.attachments)
        ]
    if posted.type != interactions.MESSAGE:
        _add_particulars(interaction, posted, intake)
    return interaction


def _add_particulars(interaction: Interaction, posted: Posted, intake: Intake) -> None:
    """What other types than messages carry."""
    data = posted.data
    if data.replaces:
        interaction.replaces = data.replaces
        interaction.replaces_message_id = ids.message_id(
            intake.workspace, CONNECTOR, vendor_key(posted.source, data.replaces)
        )
    interaction.segment = data.segment
    interaction.delivery_status = data.delivery_status
    interaction.reason = data.reason or _reason(posted.type)
    interaction.survey, interaction.score = data.survey, data.score
    interaction.comment = data.comment


def _conversation_id(data: EventData, workspace: str) -> str:
    if data.conversation_id is not None:
        return data.conversation_id
    return ids.conversation_id(workspace, CONNECTOR, data.channel, data.conversation_key or "")


def _reason(event_type: str) -> Literal["ended"] | None:
    return "ended" if event_type == interactions.CONVERSATION_ENDED else None


_CHANGES: dict[str, Flag] = {
    interactions.MESSAGE_EDITED: "edited",
    interactions.MESSAGE_DELETED: "deleted",
}


def _flags(posted: Posted) -> list[Flag]:
    given = posted.data.flags
    own = _CHANGES.get(posted.type)
    if own is None:
        return list(dict.fromkeys(given)) if given else []
    return list(dict.fromkeys((*(given or ()), own)))


def _language(data: EventData, intake: Intake) -> str | None:
    if data.direction != "inbound" or data.author.role != "customer" or not data.text:
        return None
    return intake.detect_language(data.text)


def _attachment(index: int, given: PostedAttachment, intake: Intake) -> interactions.Attachment:
    kept = interactions.Attachment(
        name=given.name, content_type=given.content_type, size=given.size, url=given.url
    )
    if given.content_base64 is not None:
        content = decoded(given.content_base64, f"/data/attachments/{index}/content_base64")
        kept.sha256, kept.size = sha256(content).hexdigest(), len(content)
        intake.of_row[kept.sha256] = content
    return kept


def decoded(text: str, pointer: str) -> bytes:
    """Base64 -> bytes. Raises Refused."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid(pointer, "base64", f"Not base64: {error}.", "base64") from error
