"""A batch as the values of the statements' parameters, in their order. [] means: nothing to write."""

from collections.abc import Sequence
from typing import Any

import msgspec

from shared.contracts.core import Entity
from shared.db.literals import blobs, flags, numbers, texts
from shared.runtime.store import days
from shared.runtime.store.port import Batch, JournalRow, WorkspaceState

Columns = list[Any]

_encode_state = msgspec.msgpack.Encoder().encode


def of_structs(rows: Sequence[Any]) -> Columns:
    """Structs, a column for each of their fields."""
    if not rows:
        return []
    return [list(column) for column in zip(*map(msgspec.structs.astuple, rows), strict=True)]


def of_journal(partition: int, rows: Sequence[JournalRow]) -> Columns:
    """Positions follow each other, so the first one is enough."""
    if not rows:
        return []
    return [
        partition,
        rows[0].position,
        texts([row.workspace for row in rows]),
        numbers([row.seq for row in rows]),
        numbers([row.previous for row in rows]),
        texts([row.type for row in rows]),
        texts([row.topic for row in rows]),
        texts([row.key for row in rows]),
        *blobs([row.data for row in rows]),
        numbers([row.at_us for row in rows]),
    ]


def of_seen(batch: Batch) -> Columns:
    """Ids of 16 bytes, sorted, as one value."""
    if not batch.seen:
        return []
    return [days.day_of(batch.seen_us), b"".join(sorted(batch.seen)), len(batch.seen)]


def of_kept(entities: Sequence[tuple[str, Entity]]) -> Columns:
    kept = [(name, each, each.body) for name, each in entities if each.body is not None]
    if not kept:
        return []
    return [
        texts([name for name, _, _ in kept]),
        texts([each.kind for _, each, _ in kept]),
        texts([each.key for _, each, _ in kept]),
        *blobs([body for _, _, body in kept]),
        flags([each.open for _, each, _ in kept]),
    ]


def of_deleted(entities: Sequence[tuple[str, Entity]]) -> Columns:
    gone = [(name, each) for name, each in entities if each.body is None]
    if not gone:
        return []
    return [
        [name for name, _ in gone],
        [each.kind for _, each in gone],
        [each.key for _, each in gone],
    ]


def of_states(states: Sequence[WorkspaceState]) -> Columns:
    if not states:
        return []
    return [[each.workspace for each in states], [_encode_state(each) for each in states]]
