"""A workspace as it was at a past moment: rebuilt from a snapshot and the inputs after it."""

import asyncio

import msgspec

from shared.contracts.core import Core, CoreFactory, Entity, Input
from shared.contracts.problems import Refused
from shared.runtime.store.port import Snapshot, Store

CHUNK = 500
MAX_INPUTS = 200_000
_inputs = msgspec.msgpack.Decoder(list[Input])


async def rebuild(store: Store, factory: CoreFactory, workspace: str, at_us: int) -> Core:
    """The core after the last input whose `now` was at or before `at_us`.

    Yields to the event loop between batches. Raises Refused: `gone` when the inputs that lead to
    that moment are no longer kept (or are more than MAX_INPUTS), not-found.
    """
    row = await store.workspace(workspace)
    if row is None:
        raise Refused("not-found", f"There is no workspace {workspace!r}.")
    core = factory.create(workspace, row.seed)
    number = await _load(store, core, workspace, at_us)
    begun = number
    while rows := await store.inputs(workspace, number, CHUNK):
        for stored in rows:
            if stored.now_us > at_us:
                return core
            if stored.first_no != number + 1 or number - begun > MAX_INPUTS:
                raise Refused("gone", "That moment is no longer kept.")
            for what in _inputs.decode(stored.body):
                number += 1
                core.apply(stored.now_us, number, what)
            core.changes()
            await asyncio.sleep(0)
    return core


async def _load(store: Store, core: Core, workspace: str, at_us: int) -> int:
    """Load the latest snapshot at or before the moment; its number, 0 when there is none."""
    snapshot = await _snapshot(store, workspace, at_us)
    if snapshot is None:
        return 0
    after = ("", "")
    while chunk := await store.snapshot_entities(workspace, snapshot.number, after, CHUNK):
        core.load(chunk)
        after = _place(chunk[-1])
    return snapshot.number


async def _snapshot(store: Store, workspace: str, at_us: int) -> Snapshot | None:
    found = await store.snapshot_before(workspace, 2**62)
    while found is not None and found.now_us > at_us:
        found = await store.snapshot_before(workspace, found.number - 1)
    return found


def _place(entity: Entity) -> tuple[str, str]:
    return (entity.kind, entity.key)
