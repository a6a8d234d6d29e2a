"""Rebuild a workspace from its stored inputs and compare, byte for byte, with what was stored."""

from collections.abc import AsyncIterator

import msgspec

from shared.contracts.core import Core, CoreFactory, Emitted, Entity, Input
from shared.runtime.store.port import InputRow, JournalRow, Snapshot, Store

CHUNK = 500
_MOST_DIFFERENCES = 20
_inputs = msgspec.msgpack.Decoder(list[Input])


class ReplayReport(msgspec.Struct, kw_only=True):
    """`differences` is empty when everything was equal; it holds the first 20.

    `first` and `last` are the numbers of the inputs applied, `at_us` the last one's `now`.
    `versions` are the core's versions that had decided, `core` is the state reached.
    """

    workspace: str
    first: int
    last: int
    at_us: int
    events: int
    entities: int
    snapshots: int
    versions: list[str]
    differences: list[str]
    core: Core

    @property
    def identical(self) -> bool:
        return not self.differences


async def replay(
    store: Store,
    factory: CoreFactory,
    workspace: str,
    *,
    until: int | None = None,
    from_snapshot: bool = False,
) -> ReplayReport:
    """Apply the stored inputs up to number `until` (all of its batch; None: to the end).

    Begins at input 1; where inputs are past keeping, or with `from_snapshot`, at the earliest or
    the latest snapshot that serves. Compares events with the journal, the state with each
    snapshot passed and, at the end of the log, with the stored entities, closed ones included.
    Raises ValueError where there is no such workspace or nothing to begin from. The workspace
    should be at rest: what is committed meanwhile is not waited for.
    """
    row = await store.workspace(workspace)
    if row is None:
        raise ValueError(f"there is no workspace {workspace!r}")
    run = _Run(store, workspace, factory.create(workspace, row.seed))
    await run.begin(until, from_snapshot=from_snapshot)
    async for stored in _rows(store, workspace, run.number):
        if until is not None and stored.first_no > until:
            break
        await run.apply(stored)
    await run.finish()
    return run.report


class _Run:
    """One replay under way."""

    def __init__(self, store: Store, workspace: str, core: Core) -> None:
        self._store = store
        self._workspace = workspace
        self._core = core
        self._kept: dict[tuple[str, str], Entity] = {}
        self._whole = True
        self.number = 0
        self.report = ReplayReport(
            workspace=workspace,
            first=1,
            last=0,
            at_us=0,
            events=0,
            entities=0,
            snapshots=0,
            versions=[],
            differences=[],
            core=core,
        )

    async def begin(self, until: int | None, *, from_snapshot: bool) -> None:
        first = await self._store.inputs(self._workspace, 0, 1)
        snapshot: Snapshot | None = None
        if from_snapshot:
            snapshot = await self._store.snapshot_before(
                self._workspace, until if until is not None else 2**62
            )
        elif first and first[0].first_no > 1:
            snapshot = await self._store.snapshot_before(self._workspace, first[0].first_no - 1)
            if snapshot is None or snapshot.number != first[0].first_no - 1:
                raise ValueError("the first inputs are gone and no snapshot leads up to the rest")
        if snapshot is not None:
            await self._load(snapshot)

    async def _load(self, snapshot: Snapshot) -> None:
        async for chunk in _chunks(self._store, snapshot):
            self._core.load(chunk)
            self._kept.update(((each.kind, each.key), each) for each in chunk)
        self._whole = False
        self.number = snapshot.number
        self.report.first, self.report.last = snapshot.number + 1, snapshot.number
        self.report.at_us = snapshot.now_us

    async def apply(self, stored: InputRow) -> None:
        if stored.core_version not in self.report.versions:
            self.report.versions.append(stored.core_version)
        before = self._core.last_seq
        emitted: list[Emitted] = []
        if stored.first_no != self.number + 1:
            self._differ(f"input {self.number + 1} is missing")
        self.number = stored.first_no - 1
        for what in _inputs.decode(stored.body):
            self.number += 1
            try:
                outcome = self._core.apply(stored.now_us, self.number, what)
            except Exception as error:
                self._differ(f"input {self.number} failed: {type(error).__name__}: {error}")
                continue
            emitted.extend(outcome.events)
        for entity in self._core.changes():
            self._kept[entity.kind, entity.key] = entity
        self.report.last, self.report.at_us = self.number, stored.now_us
        await self._compare_events(before, emitted, stored.now_us)
        await self._compare_snapshot()

    async def _compare_events(self, before: int, emitted: list[Emitted], now_us: int) -> None:
        self.report.events += len(emitted)
        if not emitted:
            return
        rows = await self._store.journal(self._workspace, before, None, len(emitted))
        if len(rows) < len(emitted):
            self._differ(f"the journal ends before event {emitted[-1].seq}")
        for event, row in zip(emitted, rows, strict=False):
            if not _is_same(event, row) or row.at_us != now_us:
                self._differ(f"event {row.seq} ({row.type}) differs")

    async def _compare_snapshot(self) -> None:
        snapshot = await self._store.snapshot_before(self._workspace, self.number)
        if snapshot is None or snapshot.number != self.number:
            return
        self.report.snapshots += 1
        stored: list[Entity] = []
        async for chunk in _chunks(self._store, snapshot):
            stored.extend(chunk)
        self._compare(f"snapshot {snapshot.number}", stored, self._core.dump())

    async def finish(self) -> None:
        """At the end of the log the stored entities are what the core holds and has closed."""
        after = await self._store.inputs(self._workspace, self.number, 1)
        dumped = self._core.dump()
        self.report.entities = len(dumped)
        kept = [each for each in self._kept.values() if each.body is not None and each.open]
        self._compare("changes", sorted(kept, key=_place), dumped)
        if after:
            return
        stored = await self._stored()
        self._compare("entities", [each for each in stored if each.open], dumped)
        closed = [each for each in stored if not each.open]
        if self._whole:
            shut = [each for each in self._kept.values() if each.body is not None and not each.open]
            self._compare("history", closed, sorted(shut, key=_place))
        else:
            known = [each for each in closed if _place(each) in self._kept]
            self._compare("history", known, [self._kept[_place(each)] for each in known])

    async def _stored(self) -> list[Entity]:
        found: list[Entity] = []
        after = ("", "")
        while chunk := await self._store.all_entities(self._workspace, after, CHUNK):
            found.extend(chunk)
            after = _place(chunk[-1])
        return found

    def _compare(self, where: str, stored: list[Entity], made: list[Entity]) -> None:
        if stored == made:
            return
        left = {_place(each): each for each in stored}
        right = {_place(each): each for each in made}
        for place in sorted(left.keys() | right.keys()):
            if left.get(place) != right.get(place):
                self._differ(f"{where}: {place[0]} {place[1]!r} differs")
        if [*left] != [*right] and left == right:
            self._differ(f"{where}: another order")

    def _differ(self, what: str) -> None:
        if len(self.report.differences) < _MOST_DIFFERENCES:
            self.report.differences.append(what)


def _is_same(event: Emitted, row: JournalRow) -> bool:
    return (event.seq, event.type, event.topic, event.key, event.data) == (
        row.seq,
        row.type,
        row.topic,
        row.key,
        row.data,
    )


def _place(entity: Entity) -> tuple[str, str]:
    return (entity.kind, entity.key)


async def _rows(store: Store, workspace: str, after: int) -> AsyncIterator[InputRow]:
    while rows := await store.inputs(workspace, after, CHUNK):
        for row in rows:
            yield row
            after = row.first_no + row.count - 1


async def _chunks(store: Store, snapshot: Snapshot) -> AsyncIterator[list[Entity]]:
    after = ("", "")
    while chunk := await store.snapshot_entities(snapshot.workspace, snapshot.number, after, CHUNK):
        yield chunk
        after = _place(chunk[-1])
