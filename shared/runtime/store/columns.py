"""A batch as the values of the statements' parameters, in their order. [] means: nothing to write."""

from collections.abc import Sequence
from typing import Any

import msgspec

from shared.contracts.core import Entity
from shared.db.literals import blobs, flags, numbers, texts
from shared.runtime.store import days
from shared.runtime.store.port import Batch, InputRow, JournalRow, WorkspaceState

Columns = list[Any]

_encode_state = msgspec.msgpack.Encoder().encode


def of_structs(rows: Sequence[Any]) -> Columns:
    """Structs, a column for each of their fields."""
    if not rows:
        return []
    return [list(column) for column in zip(*map(msgspec.structs.astuple, rows), strict=True)]


def of_inputs(rows: Sequence[InputRow]) -> Columns:
    if not rows:
        return []
    workspaces, firsts, counts, at, cores, zones, holidays, bodies = zip(
        *map(msgspec.structs.astuple, rows), strict=True
    )
    return [
        texts(workspaces),
        numbers(firsts),
        numbers(counts),
        numbers(at),
        texts(cores),
        texts(zones),
        texts(holidays),
        *blobs(bodies),
    ]


def of_journal(partition: int, rows: Sequence[JournalRow]) -> Columns:
    """Positions follow each other, so the first one is enough."""
    if not rows:
        return []
    positions, workspaces, seqs, previous, types, topics, keys, data, at = zip(
        *map(msgspec.structs.astuple, rows), strict=True
    )
    return [
        partition,
        positions[0],
        texts(workspaces),
        numbers(seqs),
        numbers(previous),
        texts(types),
        texts(topics),
        texts(keys),
        *blobs(data),
        numbers(at),
    ]


def of_seen(batch: Batch) -> Columns:
    """Ids of 16 bytes, sorted, as one value."""
    if not batch.seen:
        return []
    return [days.day_of(batch.seen_us), b"".join(sorted(batch.seen)), len(batch.seen)]


def of_kept(entities: Sequence[tuple[str, Entity]]) -> Columns:
    kept = [pair for pair in entities if pair[1].body is not None]
    if not kept:
        return []
    names, its = zip(*kept, strict=True)
    kinds, keys, bodies, opened = zip(*map(msgspec.structs.astuple, its), strict=True)
    return [texts(names), texts(kinds), texts(keys), *blobs(bodies), flags(opened)]


def of_deleted(entities: Sequence[tuple[str, Entity]]) -> Columns:
    gone = [(name, each.kind, each.key) for name, each in entities if each.body is None]
    return [list(column) for column in zip(*gone, strict=True)]


def of_states(states: Sequence[WorkspaceState]) -> Columns:
    if not states:
        return []
    return [
        texts([each.workspace for each in states]),
        *blobs([_encode_state(each) for each in states]),
    ]
