"""One workspace as its shard holds it: the core, and what the runtime itself remembers of it."""

import asyncio
from collections import deque
from collections.abc import Sequence

import msgspec

from shared.contracts.core import Core, CoreFactory, Entity, Input, Outcome, Prepared
from shared.runtime.arrivals import Arrival
from shared.runtime.store.port import Store, StoreUnavailable, WorkspaceRow, WorkspaceState

SLICE = 200  # entities given to a core before others have their turn


class Inconsistent(Exception):
    """Core and store disagree about the past: a defect, and nobody may decide on top of it."""


class Applied(msgspec.Struct):
    """An input of the batch in hand and what it did."""

    arrival: Arrival
    what: Input
    outcome: Outcome


class Workspace:
    """`dirty`: a batch in the making has touched it. `in_flight`: its commit is on its way. In both
    cases the core holds what is not committed yet, so no reader may look."""

    def __init__(self, row: WorkspaceRow, core: Core, state: WorkspaceState) -> None:
        self.id = row.id
        self.row = row
        self.core = core
        self.dirty = False
        self.in_flight = False
        self.applied: list[Applied] = []
        self.wake_us: int | None = core.wake_at_us()
        self.timer_failures = 0
        self.timer_fed = False
        self.snapshot_at = 0.0
        self.number = state.number
        self.now_us = state.now_us
        self.seq = state.seq
        self.snapshot_number = state.snapshot_number
        self.behind = state.behind
        self.producers = dict(state.producers)
        self.published = dict(state.published)
        self.failed = {source: list(numbers) for source, numbers in state.failed.items()}
        self.config_queued = state.config_version
        self.config_pending: deque[int] = deque()
        self.committed = state

    @property
    def readable(self) -> bool:
        """The core is as committed."""
        return not (self.dirty or self.in_flight)

    @property
    def config_version(self) -> int:
        """All shared configuration up to here was taken in."""
        return self.config_pending[0] - 1 if self.config_pending else self.config_queued

    def took_config(self, version: int) -> None:
        """A version that was queued has become an input (or was given up)."""
        while self.config_pending and self.config_pending[0] <= version:
            self.config_pending.popleft()

    def state(self) -> WorkspaceState:
        """The figures as they are now, to be stored."""
        return WorkspaceState(
            workspace=self.id,
            number=self.number,
            now_us=self.now_us,
            seq=self.seq,
            config_version=self.config_version,
            snapshot_number=self.snapshot_number,
            behind=self.behind,
            producers=dict(self.producers),
            published=dict(self.published),
            failed={source: list(numbers) for source, numbers in self.failed.items()},
        )

    def apply(self, what: Input) -> Outcome:
        """Give the core its next input. Raises Refused, or anything else for a fault."""
        outcome = self.core.apply(self.now_us, self.number + 1, what)
        seq = self.seq
        for event in outcome.events:
            seq += 1
            if event.seq != seq:
                raise AssertionError(f"the core emitted seq {event.seq} where {seq} was next")
        self.number += 1
        self.seq = seq
        return outcome


async def load_core(
    store: Store, factory: CoreFactory, row: WorkspaceRow, state: WorkspaceState, chunk: int
) -> Core:
    """The core as last committed. Raises Inconsistent, StoreUnavailable. Others have their turn every few
    milliseconds, however large it is.

    Who reads in parts while another owner commits reads a mixture, on which a core may fail in any way.
    """
    core = factory.create(row.id, row.seed)
    after = ("", "")
    try:
        while state.number:
            entities = await store.open_entities(row.id, after, chunk)
            if not entities:
                break
            await _take_in(core, entities)
            after = (entities[-1].kind, entities[-1].key)
        if isinstance(core, Prepared):
            for _ in core.prepare():
                await asyncio.sleep(0)
        last_seq = core.last_seq
        core.wake_at_us()  # derives what else follows from the entities
    except StoreUnavailable:
        raise
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
        raise Inconsistent(f"workspace {row.id!r} cannot be loaded: {why}") from error
    if last_seq != state.seq:
        raise Inconsistent(
            f"workspace {row.id!r}: the core remembers event {last_seq}, the store has {state.seq}"
        )
    return core


async def _take_in(core: Core, entities: Sequence[Entity]) -> None:
    for start in range(0, len(entities), SLICE):
        core.load(entities[start : start + SLICE])
        await asyncio.sleep(0)
