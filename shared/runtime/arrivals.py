"""What waits to be decided: records from the bus, commands, versions of configuration."""

import asyncio

import msgspec

from shared.bus.port import Record
from shared.contracts import topics
from shared.contracts.core import Input
from shared.contracts.envelope import from_record
from shared.contracts.ids import dedupe_key
from shared.contracts.instants import parse_instant
from shared.runtime.port import IdempotencyKey, Reply

# Our own services number what they publish; all else is known by its id.
SEQUENCED: frozenset[str] = frozenset({topics.ROUTING_EVENTS, topics.SLA_EVENTS})


class Arrival(msgspec.Struct, gc=False):
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


def of_record(record: Record) -> tuple[str, Arrival]:
    """The workspace ("" when the record names none) and what arrived."""
    size = len(record.value or b"")
    try:
        return _of_event(record, size)
    except ValueError as error:
        return "", Arrival(None, size, record.topic, record.offset, record=record, fault=str(error))


def _of_event(record: Record, size: int) -> tuple[str, Arrival]:
    event = from_record(record.headers, record.value)
    time_us = parse_instant(event.time) if event.time else record.timestamp_ms * 1000
    what = Input(
        kind="event",
        name=event.type,
        body=event.data,
        id=event.id,
        time_us=time_us,
        source=event.source,
    )
    arrival = Arrival(what, size, record.topic, record.offset, record=record)
    if record.topic in SEQUENCED and event.sequence is not None:
        arrival.sequence = event.sequence
        arrival.previous = _previous(event.extensions)
    else:
        arrival.seen_key = seen_key(event.workspace, event.source, event.id)
    return event.workspace, arrival


def seen_key(workspace: str, source: str, event_id: str) -> bytes:
    """16 bytes to remember an event by. Our own ids hold the workspace already."""
    if event_id.startswith("evt_"):
        return dedupe_key(event_id)
    return dedupe_key(f"{len(workspace)}:{workspace}:{len(source)}:{source}:{event_id}")


def _previous(extensions: tuple[tuple[str, str], ...]) -> int:
    for name, text in extensions:
        if name == "previous" and text.isdecimal():
            return int(text)
    return -1
