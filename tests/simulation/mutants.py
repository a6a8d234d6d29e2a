"""The runtime with one safeguard taken out, each: the simulation must notice every one of them."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any
from unittest.mock import patch

import msgspec

from services.router.domain import capacity, clocks
from services.sla.domain import events
from services.sla.domain.events import Event
from shared.bus.port import BusUnavailable
from shared.contracts.sla import ClockBound
from shared.runtime.arrivals import Arrival
from shared.runtime.committing import Committing
from shared.runtime.inbox import Inbox, Taken
from shared.runtime.outbox import to_outgoing
from shared.runtime.port import Reply
from shared.runtime.round import Round, answer
from shared.runtime.shard import Shard
from shared.runtime.store.memory import MemoryStore
from shared.runtime.store.port import CommitUnknown, StoreUnavailable
from shared.testing.simulation.hosts import Parts

Mutant = Callable[[Parts], tuple[Parts, AbstractContextManager[Any]]]


class NoEpoch(MemoryStore):
    """Whoever once held a shard may go on to write."""

    def _held(self, partition, epoch):
        return self._data.shards[partition]


class NoCursor(MemoryStore):
    """Nobody remembers what was published: a new owner begins with what comes next."""

    def _lease(self, partition, shard):
        lease = super()._lease(partition, shard)
        return msgspec.structs.replace(lease, published=lease.last_position)


class NoDedupe(MemoryStore):
    """No event was ever seen before."""

    async def seen(self, ids):
        return set()


class NoReplies(MemoryStore):
    """No answer was ever given before."""

    async def replies(self, keys):
        return {}


class TornCommit(MemoryStore):
    """A rolled-back commit leaves its inputs behind."""

    async def commit(self, batch):
        try:
            await super().commit(batch)
        except StoreUnavailable:
            self._data.seen.update((each, batch.seen_us) for each in batch.seen)
            raise


def memory_kept() -> AbstractContextManager[Any]:
    """After a failed commit the owner goes on with what it has in memory."""

    def fail(self: Shard, error: Exception) -> None:
        if isinstance(error, CommitUnknown | StoreUnavailable) and self.following.attached:
            for workspace in self.workspaces.values():
                workspace.applied = []
                workspace.dirty = workspace.in_flight = False
            return
        whole(self, error)

    whole = Shard.fail
    return patch.object(Shard, "fail", fail)


def published_before_commit() -> AbstractContextManager[Any]:
    """Events go out while their commit is still on its way."""
    build = Committing._build

    async def early(self: Committing, round_: Round):
        batch = await build(self, round_)
        partition = self._tenure.partition
        service = self._outbox._store.service
        records = [to_outgoing(service, partition, row) for row in batch.journal if row.topic]
        if records:
            with suppress(BusUnavailable):
                await self._outbox._bus.send(records)
        return batch

    return patch.object(Committing, "_build", early)


def answered_before_commit() -> AbstractContextManager[Any]:
    """Callers get their 2xx before the store has their command."""
    feed = Round._feed

    async def early(self: Round, workspace: Any, arrival: Arrival) -> None:
        await feed(self, workspace, arrival)
        if arrival.future is not None and workspace.applied:
            answer([(arrival.future, Reply(workspace.applied[-1].outcome.reply))])

    return patch.object(Round, "_feed", early)


def positions_ahead() -> AbstractContextManager[Any]:
    """A commit stores where reading is, not where deciding is."""
    return patch.object(Inbox, "positions", lambda self: dict(self._next))


def first_come() -> AbstractContextManager[Any]:
    """A workspace is served until its queue is empty; the others wait."""

    def take(self: Inbox, count: int, size: int) -> Taken:
        taken: Taken = []
        while self._turns and len(taken) < count:
            name = max(self._turns, key=lambda each: len(self._queues[each]))
            queue = self._queues[name]
            arrival = queue.popleft()
            if not queue:
                self._turns.remove(name)
                del self._queues[name]
            taken.append((name, arrival))
        self._count(taken, -1)
        return taken

    return patch.object(Inbox, "take", take)


def bond_unread() -> AbstractContextManager[Any]:
    """What a clock had come to before its task was known is nobody's."""
    note = clocks._note

    def deaf(ws: Any, task: Any, event: Any, name: str) -> None:
        if isinstance(event, ClockBound):
            event.state, event.warned, event.breached = "running", 0.0, False
        note(ws, task, event, name)

    return patch.object(clocks, "_note", deaf)


def order_of_kinds() -> AbstractContextManager[Any]:
    """What the router decided at one instant is put in the order of its kinds."""
    return patch.object(
        Event, "sort_key", property(lambda e: (e.at_us, events._RANK[e.type], 0, 0, e.order))
    )


def no_room() -> AbstractContextManager[Any]:
    """An agent who serves a channel always has room for one more."""

    def room(ws: Any, desk: Any, channel: str) -> bool:
        return channel in desk.config.channels

    return patch.object(capacity, "has_room", room)


def _store(store: type[MemoryStore]) -> Mutant:
    return lambda parts: (msgspec.structs.replace(parts, store=store), nullcontext())


def _patched(change: Callable[[], AbstractContextManager[Any]]) -> Mutant:
    return lambda parts: (parts, change())


MUTANTS: dict[str, Mutant] = {
    "no-epoch": _store(NoEpoch),
    "no-cursor": _store(NoCursor),
    "no-dedupe": _store(NoDedupe),
    "no-replies": _store(NoReplies),
    "torn-commit": _store(TornCommit),
    "memory-kept": _patched(memory_kept),
    "published-before-commit": _patched(published_before_commit),
    "answered-before-commit": _patched(answered_before_commit),
    "positions-ahead": _patched(positions_ahead),
    "first-come": _patched(first_come),
    "bond-unread": _patched(bond_unread),
    "order-of-kinds": _patched(order_of_kinds),
    "no-room": _patched(no_room),
}
