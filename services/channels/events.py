"""`POST events`: what a platform sends, turned into interaction events. Pure.

The four forms of API.md: one CloudEvent as JSON, one in binary mode, a JSON batch, NDJSON. A bad row
says what is wrong where, and does not hold back the others.
"""

import base64
import binascii
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, cast

import msgspec

from services.channels.posted import (
    KNOWN,
    Attachment,
    EventData,
    Posted,
    check,
    decode,
    decode_data,
    from_attributes,
)
from shared.contracts import ids, interactions
from shared.contracts.envelope import Envelope
from shared.contracts.instants import format_instant, parse_instant
from shared.contracts.interactions import Interaction
from shared.contracts.problems import Fault, Problem, Refused, invalid
from shared.contracts.topics import Channel

CONNECTOR = "events"
MAX_ROWS = 5_000
MAX_BATCH_BYTES = 10 * 1024 * 1024
MAX_ROW_BYTES = 768 * 1024


class Accepted(msgspec.Struct):
    """A row that may be published. `blobs` are decoded attachments, by sha256, to be stored first."""

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
# Takes a decoded attachment, promises to keep it, and gives its sha256.
KeepBlob = Callable[[bytes], str]


class Intake(msgspec.Struct, frozen=True):
    """What the rows of one request have in common."""

    workspace: str
    received_us: int
    detect_language: Callable[[str], str | None]
    keep_blob: KeepBlob


_anything = msgspec.json.Decoder()
_raw_rows = msgspec.json.Decoder(list[msgspec.Raw])
_encode = msgspec.json.Encoder().encode


def read_single(body: bytes, intake: Intake) -> Row:
    """`application/cloudevents+json`."""
    return _row(0, body, intake, "")


def read_binary(headers: Mapping[str, str], body: bytes, intake: Intake) -> Row:
    """Binary mode: `ce-` headers (lower-case names) and the data as body."""
    attributes = {name[3:]: value for name, value in headers.items() if name.startswith("ce-")}
    try:
        missing = [
            name for name in ("specversion", "id", "source", "type") if name not in attributes
        ]
        if missing:
            header = f"ce-{missing[0]}"
            raise invalid(f"/{missing[0]}", "missing", f"The header {header} is missing.", header)
        data = decode_data(body)
        known = {name: attributes.pop(name, None) for name in KNOWN if name != "data"}
        posted = from_attributes({**known, "data": data}, attributes)
        return _accepted(0, posted, intake)
    except Refused as refused:
        return Rejected(0, attributes.get("id"), refused.problem())


def read_batch(body: bytes, intake: Intake) -> Iterator[Row]:
    """`application/cloudevents-batch+json`. Raises Refused when the body is no list or too long."""
    try:
        rows = _raw_rows.decode(body)
    except msgspec.DecodeError as error:
        raise invalid(
            "", "json", f"The batch is not a JSON array: {error}.", "[{…}, {…}]"
        ) from error
    _check_count(len(rows))
    return (_row(index, bytes(raw), intake, f"/{index}") for index, raw in enumerate(rows))


def read_ndjson(body: bytes, intake: Intake) -> Iterator[Row]:
    """One CloudEvent a line; empty lines are passed over but counted."""
    lines = [(number, line) for number, line in enumerate(body.split(b"\n")) if line.strip()]
    _check_count(len(lines))
    return (_row(number, line, intake, f"/{number}") for number, line in lines)


def _check_count(rows: int) -> None:
    if rows == 0:
        raise invalid("", "empty", "The batch holds no event.", f"1 to {MAX_ROWS} events")
    if rows > MAX_ROWS:
        raise Refused(
            "too-large",
            f"The batch holds {rows} events; at most {MAX_ROWS} are taken at once.",
            errors=[Fault("", "too_many", f"{rows} events", f"at most {MAX_ROWS}")],
        )


def _row(index: int, body: bytes, intake: Intake, at: str) -> Row:
    try:
        if len(body) > MAX_ROW_BYTES:
            raise invalid(
                "", "too_large", f"The event has {len(body)} bytes.", f"at most {MAX_ROW_BYTES}"
            )
        return _accepted(index, decode(body), intake)
    except Refused as refused:
        problem = refused.problem()
        for fault in problem.errors:
            fault.pointer = at + fault.pointer
        return Rejected(index, _id_of(body), problem)


def _id_of(body: bytes) -> str | None:
    try:
        found = cast("dict[str, Any]", _anything.decode(body))["id"]
        return found if isinstance(found, str) else None
    except (msgspec.DecodeError, LookupError, TypeError):
        return None


def _accepted(index: int, posted: Posted, intake: Intake) -> Accepted:
    check(posted)
    workspace, data = intake.workspace, posted.data
    vendor_id = vendor_key(posted.source, posted.id)
    interaction = _interaction(posted, intake)
    envelope = Envelope(
        id=ids.event_id(workspace, CONNECTOR, vendor_id),
        source=posted.source,
        type=posted.type,
        time=_time(posted.time, intake.received_us),
        workspace=workspace,
        data=_encode(interaction),
        partitionkey=interaction.conversation_id,
        extensions=_extensions(posted),
    )
    return Accepted(index, posted.id, envelope, data.channel, interaction.conversation_id)


def vendor_key(source: str, name: str) -> str:
    """(source, id) as one text, unambiguous."""
    return f"{len(source)}:{source}{name}"


def _extensions(posted: Posted) -> tuple[tuple[str, str], ...]:
    found = dict(posted.extensions)
    for name in ("subject", "dataschema"):
        if value := getattr(posted, name):
            found[name] = value
    # Ours on the bus; a sender's own attributes of these names would be taken for them.
    for name in ("workspace", "sequence", "partitionkey"):
        found.pop(name, None)
    return tuple(found.items())


def _time(text: str | None, received_us: int) -> str:
    if text is None:
        return format_instant(received_us)
    try:
        return format_instant(parse_instant(text))
    except ValueError as error:
        raise invalid(
            "/time", "instant", f"The time is no instant: {error}.", "RFC 3339 with an offset"
        ) from error


def _interaction(posted: Posted, intake: Intake) -> Interaction:
    data, workspace = posted.data, intake.workspace
    own_id = ids.message_id(workspace, CONNECTOR, vendor_key(posted.source, posted.id))
    replaced = None
    if data.replaces:
        replaced = ids.message_id(workspace, CONNECTOR, vendor_key(posted.source, data.replaces))
    return Interaction(
        workspace=workspace,
        connector=CONNECTOR,
        channel=data.channel,
        conversation_id=_conversation_id(data, workspace),
        message_id=own_id,
        received_at=format_instant(intake.received_us),
        direction=data.direction,
        author=interactions.Author(data.author.role, data.author.name, data.author.id),
        conversation_key=data.conversation_key,
        text=data.text,
        html=data.html,
        subject=data.subject,
        language=data.language or _language(posted, intake),
        identities=[interactions.Identity(one.scheme, one.value) for one in data.identities or ()],
        attachments=[_attachment(i, one, intake) for i, one in enumerate(data.attachments or ())],
        in_reply_to=data.in_reply_to,
        replaces=data.replaces,
        replaces_message_id=replaced,
        flags=data.flags or [],
        attributes=data.attributes or {},
        agent_id=data.agent_id,
        task_id=data.task_id,
        segment=data.segment
        and msgspec.convert(msgspec.structs.asdict(data.segment), interactions.Segment),
        delivery_status=data.delivery_status
        and interactions.Delivery(*msgspec.structs.astuple(data.delivery_status)),
        reason=data.reason or _reason(posted.type),
        survey=data.survey,
        score=data.score,
        comment=data.comment,
        vendor={"id": posted.id, "source": posted.source},
    )


def _conversation_id(data: EventData, workspace: str) -> str:
    if data.conversation_id is not None:
        return data.conversation_id
    return ids.conversation_id(workspace, CONNECTOR, data.channel, data.conversation_key or "")


def _reason(event_type: str) -> Literal["ended"] | None:
    return "ended" if event_type == interactions.CONVERSATION_ENDED else None


def _language(posted: Posted, intake: Intake) -> str | None:
    data = posted.data
    if data.direction != "inbound" or data.author.role != "customer" or not data.text:
        return None
    return intake.detect_language(data.text)


def _attachment(index: int, given: Attachment, intake: Intake) -> interactions.Attachment:
    kept = interactions.Attachment(
        name=given.name, content_type=given.content_type, size=given.size, url=given.url
    )
    if given.content_base64 is not None:
        try:
            content = base64.b64decode(given.content_base64, validate=True)
        except (binascii.Error, ValueError) as error:
            raise invalid(
                f"/data/attachments/{index}/content_base64",
                "base64",
                f"Not base64: {error}.",
                "base64",
            ) from error
        kept.sha256, kept.size = intake.keep_blob(content), len(content)
    return kept
