"""Kept requests read again through today's codecs: new revisions of events, which only update.

A run goes over a span of the topic `raw` in pieces, each bounded in records and time, so that it
can be watched, stopped and taken up again: whoever asked holds the cursor, and no state is kept but
the number of revisions of each event.
"""

import asyncio
import time
from typing import Any

import msgspec

from services.channels import vendors
from services.channels.archive import message_values
from services.channels.connectors.handling import Event, revised
from services.channels.context import Channels, outgoing
from services.channels.directory import WorkspaceFacts
from services.channels.raw import RawRequest, read_raw
from services.channels.store import StoredConnector
from shared.bus.port import (
    MAX_RECORD_BYTES,
    BusUnavailable,
    PositionOutOfRange,
    Reader,
    Record,
    TopicPartition,
)
from shared.contracts import ids, interactions, topics
from shared.contracts.instants import format_instant, parse_instant
from shared.contracts.problems import Refused

MAX_RECORDS = 2_000
"""Most records of the log that one piece reads, of whatever connector."""
BATCH_RECORDS = 200
BUDGET_S = 3.0
READ_TIMEOUT_MS = 5_000
MAX_CHANGES = 100
MAX_FAILURES = 20
EARLY_MS = 300_000
"""The log's clock may be behind ours."""
LATE_MS = topics.DAY_MS
"""A request may lie in the spool for so long before it comes to the log."""

_COMPARED = (interactions.MESSAGE, interactions.TRANSCRIPT_SEGMENT)
_ASIDE = frozenset(
    {"message_id", "received_us", "time_us", "revision", "vendor_id", "agent_id", "task_id"}
)


class Place(msgspec.Struct, array_like=True):
    """Where a run is: offsets of the raw log, the span in microseconds, end exclusive."""

    run: str
    dry_run: bool
    begun: int
    offset: int
    end: int
    from_us: int
    to_us: int


class Change(msgspec.Struct):
    """A message that reads otherwise now. `fields` [] : the archive has not had it before."""

    message_id: str
    event_id: str
    replay_of: str
    revision: int
    type: str
    fields: list[str]


class Failure(msgspec.Struct):
    received_at: str
    code: str
    message: str


class Piece(msgspec.Struct):
    """What became of a piece of a run. Of `events`, those of `_COMPARED` are changed, new or
    unchanged against the archive; partial transcripts are left aside. `progress` is 0 to 1."""

    run: str
    dry_run: bool
    requests: int = 0
    events: int = 0
    published: int = 0
    changed: int = 0
    new: int = 0
    unchanged: int = 0
    unusable: int = 0
    changes: list[Change] = []
    failures: list[Failure] = []
    kept_from: str | None = None
    progress: float = 1.0
    next: str | None = None

    def fail(self, raw: RawRequest, code: str, message: str) -> None:
        self.unusable += 1
        if len(self.failures) < MAX_FAILURES:
            self.failures.append(Failure(format_instant(raw.received_at_us), code, message))


async def begin(
    channels: Channels, stored: StoredConnector, from_us: int, to_us: int, *, dry_run: bool
) -> tuple[Place, str | None]:
    """(the start of a run, since when raw requests are kept). Raises Refused (unavailable)."""
    await channels.revisions.prune()
    workspace = await channels.directory.of(stored.workspace)
    where = (topics.RAW, workspace.partition)
    reader = channels.bus.reader()
    try:
        low, end = (await channels.bus.bounds([where]))[where]
        first = await _at(reader, where, low) if low < end else None
        offset = await _seek(reader, where, low, end, from_us // 1000 - EARLY_MS)
    except BusUnavailable as away:
        raise _away() from away
    finally:
        await reader.stop()
    run = ids.derive("rnm", stored.workspace, stored.id, time.time_ns())
    kept_from = None if first is None else format_instant(first.timestamp_ms * 1000)
    return Place(run, dry_run, offset, offset, end, from_us, to_us), kept_from


async def _seek(reader: Reader, where: TopicPartition, low: int, end: int, at_ms: int) -> int:
    """The first offset whose record is not older than `at_ms`; `end` when all are."""
    while low < end:
        middle = (low + end) // 2
        record = await _at(reader, where, middle)
        if record is None:
            end = middle
        elif record.timestamp_ms < at_ms:
            low = record.offset + 1
        else:
            end = middle
    return low


async def _at(reader: Reader, where: TopicPartition, offset: int) -> Record | None:
    """The record there, or the first one kept after it; None when nothing comes."""
    try:
        await reader.assign({where: offset})
    except PositionOutOfRange as moved:
        await reader.assign({where: moved.earliest})
    return next(iter(await reader.poll(1, READ_TIMEOUT_MS)), None)


async def proceed(channels: Channels, stored: StoredConnector, place: Place) -> tuple[Piece, Place]:
    """One piece of a run, and where the next begins (`offset` == `end`: it is over).

    Everything published is durable when this returns; asked again with the same place, the same
    events are published again. Raises Refused (unavailable, outcome-unknown).
    """
    piece = Piece(place.run, place.dry_run)
    workspace = await channels.directory.of(stored.workspace)
    where = (topics.RAW, workspace.partition)
    until = time.monotonic() + BUDGET_S
    reader = channels.bus.reader()
    read = 0
    try:
        await _assign(reader, where, place)
        while place.offset < place.end and read < MAX_RECORDS and time.monotonic() < until:
            records = await reader.poll(BATCH_RECORDS, READ_TIMEOUT_MS)
            if not records:
                raise _away()
            read += len(records)
            await _batch(channels, stored, workspace, place, records, piece)
            place.offset = _reached(place, records)
    except BusUnavailable as away:
        raise _away() from away
    finally:
        await reader.stop()
    whole = place.end - place.begun
    piece.progress = 1.0 if not whole else round((place.offset - place.begun) / whole, 4)
    return piece, place


async def _assign(reader: Reader, where: TopicPartition, place: Place) -> None:
    """Retention may have passed the place: then from what is still kept."""
    try:
        await reader.assign({where: place.offset})
    except PositionOutOfRange as moved:
        place.offset = min(max(place.offset, moved.earliest), place.end)
        if place.offset < place.end:
            await reader.assign({where: place.offset})


def _reached(place: Place, records: list[Record]) -> int:
    last = records[-1]
    over = last.timestamp_ms > place.to_us // 1000 + LATE_MS
    return place.end if over else min(last.offset + 1, place.end)


async def _batch(
    channels: Channels,
    stored: StoredConnector,
    workspace: WorkspaceFacts,
    place: Place,
    records: list[Record],
    piece: Piece,
) -> None:
    found: dict[str, Event] = {}
    for record in records:
        raw = read_raw(record, stored.workspace, stored.id) if record.offset < place.end else None
        if raw is None or not place.from_us <= raw.received_at_us < place.to_us:
            continue
        piece.requests += 1
        for event in await _reread(channels, stored, raw, workspace, piece):
            found.setdefault(event.envelope.id, event)
        await asyncio.sleep(0)
    if found:
        events = list(found.values())
        events = await vendors.threaded(
            channels, stored.workspace, events, remember=not place.dry_run
        )
        await _publish(channels, workspace, place, events, piece)


async def _reread(
    channels: Channels,
    stored: StoredConnector,
    raw: RawRequest,
    workspace: WorkspaceFacts,
    piece: Piece,
) -> list[Event]:
    try:
        handled = await vendors.reread(channels, stored, raw, workspace)
    except Refused as refused:
        if refused.kind != "gone":
            raise
        piece.fail(raw, "gone", refused.detail)
        return []
    lost = next((problem for problem in handled.problems if problem.lost), None)
    if lost is not None:
        piece.fail(raw, lost.code, lost.message)
    if not piece.dry_run:
        for blob in handled.blobs:
            await channels.blobs.keep(blob.content)
    return [
        each for each in handled.events if each.envelope.type != interactions.TRANSCRIPT_PARTIAL
    ]


async def _publish(
    channels: Channels,
    workspace: WorkspaceFacts,
    place: Place,
    events: list[Event],
    piece: Piece,
) -> None:
    keys = [ids.dedupe_key(event.envelope.id) for event in events]
    ask = channels.revisions.counts if place.dry_run else channels.revisions.raise_all
    counts = await ask(workspace.id, place.run, keys)
    again = [revised(event, counts[key]) for event, key in zip(events, keys, strict=True)]
    piece.events += len(again)
    await _compare(channels, workspace.id, again, piece)
    if place.dry_run:
        return
    records = [
        outgoing(one.envelope, one.interaction.channel, workspace.partition) for one in again
    ]
    fitting = [record for record in records if record.size() <= MAX_RECORD_BYTES]
    await channels.intake.publish(fitting)
    piece.published += len(fitting)


async def _compare(channels: Channels, workspace: str, events: list[Event], piece: Piece) -> None:
    """What reads otherwise than in the archive."""
    compared = [event for event in events if event.envelope.type in _COMPARED]
    messages = list({event.interaction.message_id for event in compared})
    archived = await channels.revisions.archived(workspace, messages)
    for event in compared:
        held = archived.get(event.interaction.message_id)
        fields = [] if held is None else _differing(event, held)
        if held is None:
            piece.new += 1
        elif fields:
            piece.changed += 1
        else:
            piece.unchanged += 1
            continue
        if len(piece.changes) < MAX_CHANGES:
            piece.changes.append(_change(event, fields))


def _change(event: Event, fields: list[str]) -> Change:
    data = event.interaction
    return Change(
        data.message_id,
        event.envelope.id,
        data.replay_of or "",
        data.revision,
        event.envelope.type,
        fields,
    )


def _differing(event: Event, held: dict[str, Any]) -> list[str]:
    time_us = parse_instant(event.envelope.time)
    values = message_values(event.envelope.type, event.interaction, time_us)
    found = [name for name in values if name not in _ASIDE and values[name] != held[name]]
    if round(held["time"].timestamp() * 1_000_000) != time_us:
        found.append("time")
    return found


def _away() -> Refused:
    return Refused("unavailable", "The raw log cannot be read now.", retry_after_s=5)
