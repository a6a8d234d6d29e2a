"""What waits to be decided: records from the bus, commands, versions of configuration."""

import asyncio

import msgspec

from shared.bus.port import Record
from shared.contracts import topics
from shared.contracts.core import Input
from shared.contracts.envelope import EnvelopeError, from_record
from shared.contracts.ids import dedupe_key
from shared.contracts.instants import is_ours, parse_instant
from shared.runtime.port import IdempotencyKey, Reply

# Our own services number what they publish; all else is known by its id.
SEQUENCED: frozenset[str] = frozenset(topics.WRITTEN_BY)


SEQUENCE_DIGITS = 18  # more is no number that PostgreSQL keeps


class Arrival(msgspec.Struct):
    """One thing that waits. `what` None: it could not be read, and `fault` says why.

    `seen_key` or (`source` of `what`, `sequence`) tell whether it came before; `previous` is the
    producer's last sequence number on the topic (-1: not said). `done`: part of a batch.
    """

    what: Input | None
    size: int = 0
    topic: str = ""
    offset: int = -1
    seen_key: bytes | None = None
    sequence: int = 0
    previous: int = -1
    record: Record | None = None
    fault: str = ""
    future: "asyncio.Future[Reply] | None" = None
    idempotency: IdempotencyKey | None = None
    config_version: int = 0
    done: bool = False


class _Read(msgspec.Struct, frozen=True, gc=False):
    """What a record says, to whichever service."""

    workspace: str
    what: Input
    seen_key: bytes | None
    sequence: int = 0
    previous: int = -1


def of_record(record: Record) -> tuple[str, Arrival]:
    """The workspace ("" when the record names none) and what arrived."""
    read, topic, offset = record.read, record.topic, record.offset
    if not isinstance(read, _Read):
        try:
            read = _read(record)
        except ValueError as error:
            size = len(record.value or b"")
            return "", Arrival(None, size, topic, offset, record=record, fault=str(error))
        msgspec.structs.force_setattr(record, "read", read)
    what = read.what
    return read.workspace, Arrival(
        what, len(what.body), topic, offset, read.seen_key, read.sequence, read.previous, record
    )


def _read(record: Record) -> _Read:
    """Reads the headers themselves: an Envelope would be made for nothing else."""
    attributes = dict(record.headers)
    try:
        name, event_id, source, workspace = (
            attributes["ce_type"].decode(),
            attributes["ce_id"].decode(),
            attributes["ce_source"].decode(),
            attributes["ce_workspace"].decode(),
        )
        time = attributes.get("ce_time", b"").decode()
    except (KeyError, UnicodeDecodeError):
        name = event_id = source = workspace = time = ""
    if not (name and event_id and source and workspace) or "ce_specversion" not in attributes:
        from_record(record.headers, record.value)  # says what is missing
        raise EnvelopeError("the record is no CloudEvent")
    if record.value is None:
        raise EnvelopeError("the record has no value")
    time_us = parse_instant(time) if time else max(0, record.timestamp_ms * 1000)
    if not is_ours(time_us):
        raise EnvelopeError("ce_time is before 1970 or after 9999")
    what = Input("event", name, record.value, event_id, "", time_us, source)
    sequence = attributes.get("ce_sequence") if record.topic in SEQUENCED else None
    if sequence is None:
        return _Read(workspace, what, seen_key(workspace, source, event_id))
    previous = _previous(attributes.get("ce_previous"))
    return _Read(workspace, what, None, _number(sequence), previous)


def seen_key(workspace: str, source: str, event_id: str) -> bytes:
    """16 bytes to remember an event by. Our own ids hold the workspace already."""
    if event_id.startswith("evt_"):
        return dedupe_key(event_id)
    return dedupe_key(f"{len(workspace)}:{workspace}:{len(source)}:{source}:{event_id}")


def _number(sequence: bytes) -> int:
    if not sequence.isdigit() or len(sequence) > SEQUENCE_DIGITS:
        raise EnvelopeError("ce_sequence is no number of ours")
    return int(sequence)


def _previous(text: bytes | None) -> int:
    known = text is not None and text.isdigit() and len(text) <= SEQUENCE_DIGITS
    return int(text) if known and text else -1
