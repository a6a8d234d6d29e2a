"""The store in memory, for simulation: one database, a view per replica, faults on demand."""

from bisect import bisect_right
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Literal

import msgspec

from shared.contracts.core import Entity
from shared.runtime.store.memory_database import MemoryDatabase, ShardRecord
from shared.runtime.store.port import (
    Batch,
    CommitUnknown,
    ConfigVersion,
    InputRow,
    JournalRow,
    ReplyRow,
    ShardLease,
    ShardRow,
    Snapshot,
    StaleEpoch,
    StoreUnavailable,
    WorkspaceRow,
    WorkspaceState,
)

Fault = Literal["unavailable", "rollback", "lost-commit", "lost-rollback", "stale"]
"""unavailable: nothing answered. For a commit: rollback (nothing stored), lost-commit (stored, and
the answer lost), lost-rollback (not stored, and nobody knows), stale (another owner took over)."""

_DAY_US = 86_400_000_000
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(WorkspaceState).decode


def _no_fault(call: str) -> Fault | None:
    return None


class MemoryStore:
    """One replica's view of a MemoryDatabase. `inject` is asked at every call, by its name."""

    def __init__(
        self,
        database: MemoryDatabase,
        service: str,
        inject: Callable[[str], Fault | None] = _no_fault,
    ) -> None:
        self.service = service
        self.inject = inject
        self._database = database
        self._data = database.service(service)

    # Leases

    async def prepare(self, partitions: int, today_us: int) -> None:
        self._ask("prepare")
        for partition in range(partitions):
            self._data.shards.setdefault(partition, ShardRecord(positions={}))

    async def register(self, replica: str, url: str, alive_s: float) -> list[str]:
        self._ask("register")
        self._data.replicas[replica] = (url, self._now())
        return self._alive(alive_s)

    async def unregister(self, replica: str) -> None:
        self._ask("unregister")
        self._data.replicas.pop(replica, None)

    async def shards(self) -> list[ShardRow]:
        self._ask("shards")
        return [
            ShardRow(
                partition,
                shard.epoch,
                shard.owner,
                shard.owner_url,
                self._is_free(shard),
                shard.halted,
            )
            for partition, shard in sorted(self._data.shards.items())
        ]

    async def positions(self, partition: int) -> dict[str, int]:
        self._ask("positions")
        shard = self._data.shards.get(partition)
        return {} if shard is None else dict(shard.positions)

    async def acquire(
        self, partition: int, replica: str, url: str, lease_s: float
    ) -> ShardLease | None:
        self._ask("acquire")
        shard = self._data.shards.get(partition)
        if shard is None or not self._is_free(shard):
            return None
        shard.epoch += 1
        shard.owner, shard.owner_url = replica, url
        shard.lease_until = self._now() + lease_s
        return self._lease(partition, shard)

    async def reacquire(self, partition: int, epoch: int, lease_s: float) -> ShardLease:
        self._ask("reacquire")
        shard = self._held(partition, epoch)
        shard.epoch += 1
        shard.lease_until = self._now() + lease_s
        return self._lease(partition, shard)

    async def renew(
        self, held: Mapping[int, tuple[int, int]], lease_s: float
    ) -> tuple[set[int], set[int]]:
        self._ask("renew")
        renewed: set[int] = set()
        for partition, (epoch, published) in held.items():
            shard = self._data.shards[partition]
            if shard.epoch == epoch:
                shard.lease_until = self._now() + lease_s
                shard.published = max(shard.published, published)
                renewed.add(partition)
        return renewed, set(held) - renewed

    async def release(self, partition: int, epoch: int, published: int) -> None:
        self._ask("release")
        shard = self._data.shards[partition]
        if shard.epoch == epoch:
            shard.owner = shard.owner_url = None
            shard.lease_until = -1.0
            shard.published = max(shard.published, published)

    async def halt(self, partition: int, epoch: int, reason: str) -> None:
        self._ask("halt")
        self._held(partition, epoch).halted = reason

    async def alive(self, alive_s: float) -> list[str]:
        self._ask("alive")
        return self._alive(alive_s)

    async def standing(self, partition: int) -> ShardLease | None:
        self._ask("standing")
        shard = self._data.shards.get(partition)
        return None if shard is None else self._lease(partition, shard)

    async def unheard(self, partition: int, topic: str, after: Mapping[str, int]) -> int | None:
        self._ask("unheard")
        rows = self._data.journal.get(partition, [])
        news = (row for row in rows if row.workspace in after and row.topic == topic)
        return next((row.position for row in news if row.seq > after[row.workspace]), None)

    async def realign(
        self,
        partition: int,
        positions: Mapping[str, int],
        published: int | None = None,
        unhalt: bool = False,
    ) -> bool:
        self._ask("realign")
        shard = self._data.shards.get(partition)
        if shard is None or not self._is_free(shard):
            return False
        shard.epoch += 1
        shard.positions.update(positions)
        if published is not None:
            shard.published = min(shard.published, published)
        if unhalt:
            shard.halted = None
        return True

    def clear_halt(self, partition: int, positions: Mapping[str, int] | None = None) -> None:
        """What an operator does."""
        shard = self._data.shards[partition]
        shard.halted = None
        shard.positions.update(positions or {})

    def steal(self, partition: int) -> None:
        """Another owner takes the shard over and is gone again: epochs of before are stale."""
        shard = self._data.shards[partition]
        shard.epoch += 1
        shard.owner, shard.lease_until = "thief", -1.0

    # Loading

    async def workspaces(self, partitions: Collection[int]) -> list[WorkspaceRow]:
        self._ask("workspaces")
        rows = self._database.workspaces
        return [rows[name] for name in sorted(rows) if rows[name].partition in partitions]

    async def workspace(self, workspace: str) -> WorkspaceRow | None:
        self._ask("workspace")
        return self._database.workspaces.get(workspace)

    async def states(self, workspaces: Collection[str]) -> dict[str, WorkspaceState]:
        self._ask("states")
        states = self._data.states
        return {name: _unpack(states[name]) for name in workspaces if name in states}

    async def open_entities(
        self, workspace: str, after: tuple[str, str], limit: int
    ) -> list[Entity]:
        self._ask("open_entities")
        return [each for each in self._entities(workspace, after) if each.open][:limit]

    async def entities(self, workspace: str, kind: str, keys: Collection[str]) -> list[Entity]:
        self._ask("entities")
        stored = self._data.entities.get(workspace, {})
        return [stored[kind, key] for key in sorted(keys) if (kind, key) in stored]

    async def config_since(self, after: Mapping[str, int], limit: int) -> list[ConfigVersion]:
        self._ask("config_since")
        found = [
            version
            for workspace in sorted(after)
            for version in self._database.config.get(workspace, [])
            if version.version > after[workspace]
        ]
        return found[:limit]

    # Deciding

    async def seen(self, ids: Sequence[bytes]) -> set[bytes]:
        self._ask("seen")
        return {each for each in ids if each in self._data.seen}

    async def replies(
        self, keys: Sequence[tuple[str, str, str]]
    ) -> dict[tuple[str, str, str], ReplyRow]:
        self._ask("replies")
        return {key: self._data.replies[key] for key in keys if key in self._data.replies}

    async def commit(self, batch: Batch) -> None:
        fault = self.inject("commit")
        if fault == "stale":
            self.steal(batch.partition)
        shard = self._held(batch.partition, batch.epoch)
        if fault in ("rollback", "unavailable"):
            raise StoreUnavailable("told to roll back")
        if fault != "lost-rollback":
            self._store(batch, shard)
        if fault in ("lost-commit", "lost-rollback"):
            raise CommitUnknown("told to lose the answer")

    def _store(self, batch: Batch, shard: ShardRecord) -> None:
        data = self._data
        shard.lease_until = self._now() + batch.lease_s
        shard.positions.update(batch.positions)
        shard.published = max(shard.published, batch.published)
        self._store_inputs(batch)
        for name, entity in batch.entities:
            stored = data.entities.setdefault(name, {})
            if entity.body is None:
                stored.pop((entity.kind, entity.key), None)
            else:
                stored[entity.kind, entity.key] = entity
        self._store_journal(batch)
        data.seen.update((each, batch.seen_us) for each in batch.seen)
        data.states.update((state.workspace, _pack(state)) for state in batch.states)
        for row in batch.replies:
            data.replies[row.workspace, row.scope, row.key] = row
        for name, writes in batch.config:
            self._database.write_config(name, self.service, writes)
        data.rows.extend(batch.rows)
        for name, number, now_us in batch.snapshots:
            entities = [each for each in self._entities(name, ("", "")) if each.open]
            kept = data.snapshots.setdefault(name, [])
            kept.append((Snapshot(name, number, now_us), entities))

    def _store_inputs(self, batch: Batch) -> None:
        for row in batch.inputs:
            rows = self._data.inputs.setdefault(row.workspace, [])
            following = rows[-1].first_no + rows[-1].count if rows else row.first_no
            if row.first_no != following:
                raise AssertionError(f"inputs of {row.workspace!r} are not in sequence")
            rows.append(row)

    def _store_journal(self, batch: Batch) -> None:
        rows = self._data.journal.setdefault(batch.partition, [])
        for row in batch.journal:
            if row.position != (rows[-1].position if rows else 0) + 1:
                raise AssertionError("journal positions are not in sequence")
            rows.append(row)
            if row.seq:
                self._data.by_workspace.setdefault(row.workspace, []).append(row)

    # Reading

    async def outbox(self, partition: int, after: int, limit: int) -> list[JournalRow]:
        self._ask("outbox")
        return self._data.journal.get(partition, [])[after : after + limit]

    async def journal(
        self, workspace: str, after_seq: int, types: Collection[str] | None, limit: int
    ) -> list[JournalRow]:
        self._ask("journal")
        rows = self._data.by_workspace.get(workspace, [])
        first = bisect_right(rows, after_seq, key=lambda row: row.seq)
        if types is None:
            return rows[first : first + limit]
        return [row for row in rows[first:] if row.type in types][:limit]

    async def inputs(self, workspace: str, after_no: int, limit: int) -> list[InputRow]:
        self._ask("inputs")
        rows = self._data.inputs.get(workspace, [])
        first = bisect_right(rows, after_no, key=lambda row: row.first_no)
        return rows[first : first + limit]

    async def snapshot_before(self, workspace: str, number: int) -> Snapshot | None:
        self._ask("snapshot_before")
        kept = self._data.snapshots.get(workspace, [])
        found = [snapshot for snapshot, _ in kept if snapshot.number <= number]
        return found[-1] if found else None

    async def snapshot_entities(
        self, workspace: str, number: int, after: tuple[str, str], limit: int
    ) -> list[Entity]:
        self._ask("snapshot_entities")
        for snapshot, entities in self._data.snapshots.get(workspace, []):
            if snapshot.number == number:
                return [each for each in entities if (each.kind, each.key) > after][:limit]
        return []

    async def all_entities(
        self, workspace: str, after: tuple[str, str], limit: int
    ) -> list[Entity]:
        self._ask("all_entities")
        return self._entities(workspace, after)[:limit]

    # Keeping

    async def maintain(
        self,
        now_us: int,
        inputs_before_us: int,
        replies_before_us: int,
        seen_days: int,
        limit: int,
    ) -> int:
        self._ask("maintain")
        data = self._data
        oldest_day = now_us // _DAY_US - seen_days
        data.seen = {key: at for key, at in data.seen.items() if at // _DAY_US >= oldest_day}
        old = [key for key, row in data.replies.items() if row.at_us < replies_before_us][:limit]
        for key in old:
            del data.replies[key]
        return len(old) + sum(
            self._prune_inputs(name, inputs_before_us, limit) for name in data.snapshots
        )

    def _prune_inputs(self, workspace: str, before_us: int, limit: int) -> int:
        kept = self._data.snapshots[workspace]
        past = [snapshot for snapshot, _ in kept if snapshot.now_us < before_us]
        if not past:
            return 0
        last = past[-1].number
        self._data.snapshots[workspace] = [each for each in kept if each[0].number >= last]
        rows = self._data.inputs.get(workspace, [])
        gone = min(limit, sum(1 for row in rows if row.first_no <= last))
        del rows[:gone]
        return gone

    async def wait_config(self, timeout_s: float) -> None:
        await self._database.clock.sleep(timeout_s)

    async def close(self) -> None:
        return None

    def _ask(self, call: str) -> None:
        if self.inject(call) is not None:
            raise StoreUnavailable(f"told to fail at {call}")

    def _now(self) -> float:
        return self._database.clock.monotonic()

    def _alive(self, alive_s: float) -> list[str]:
        now, replicas = self._now(), self._data.replicas
        return sorted(name for name, (_, at) in replicas.items() if now - at <= alive_s)

    def _is_free(self, shard: ShardRecord) -> bool:
        return shard.owner is None or shard.lease_until <= self._now()

    def _held(self, partition: int, epoch: int) -> ShardRecord:
        shard = self._data.shards.get(partition)
        if shard is None or shard.epoch != epoch:
            raise StaleEpoch(f"shard {partition} has another owner")
        return shard

    def _lease(self, partition: int, shard: ShardRecord) -> ShardLease:
        rows = self._data.journal.get(partition, [])
        last = rows[-1].position if rows else 0
        return ShardLease(
            partition, shard.epoch, dict(shard.positions), shard.published, last, shard.halted
        )

    def _entities(self, workspace: str, after: tuple[str, str]) -> list[Entity]:
        stored = self._data.entities.get(workspace, {})
        return [stored[key] for key in sorted(stored) if key > after]
