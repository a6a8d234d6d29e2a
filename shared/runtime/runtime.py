"""One service's replica: it takes shards, lets them decide, and answers for them. See `port`."""

import contextlib
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import TypeVar

import structlog

from shared.bus.port import Bus, BusUnavailable
from shared.contracts import topics as contract_topics
from shared.contracts.core import Core, CoreFactory, Input
from shared.runtime import leases, port
from shared.runtime.arrivals import Arrival
from shared.runtime.clock import Clock
from shared.runtime.deps import Deps
from shared.runtime.intake import Intake
from shared.runtime.limits import Limits
from shared.runtime.metrics import RuntimeMetrics
from shared.runtime.port import (
    EnrichConfig,
    IdempotencyKey,
    JournalEvent,
    NotOwner,
    Readiness,
    Reply,
    Unavailable,
    UnknownWorkspace,
    WatchPort,
)
from shared.runtime.shard import Shard
from shared.runtime.store.port import ShardRow, Store, StoreUnavailable, WorkspaceRow
from shared.runtime.supervisor import Supervisor
from shared.runtime.tasks import Tasks
from shared.runtime.tenure import Phase
from shared.runtime.timeline import Timeline
from shared.runtime.watches import Watches

log = structlog.get_logger(__name__)

T = TypeVar("T")
_DAY_US = 86_400_000_000


class Runtime:
    """`topics` are what the service reads (default: the contracts' CONSUMES), `partitions` how
    many shards there are, `url` where other replicas reach this one; `peers` are the stores of the
    services whose events it reads, by service: they say which events there are (see `timeline`).

    `start` runs everything in tasks; a simulation leaves it and calls `step_leases`, `step_config`,
    `intake.step` and each shard's `step` and `publish` itself.
    """

    def __init__(
        self,
        factory: CoreFactory,
        bus: Bus,
        store: Store,
        clock: Clock,
        *,
        replica: str,
        url: str,
        topics: Collection[str] | None = None,
        partitions: int = contract_topics.DEFAULT_PARTITIONS,
        limits: Limits | None = None,
        enrich_config: EnrichConfig | None = None,
        metrics: RuntimeMetrics | None = None,
        supervisor: Supervisor | None = None,
        peers: Mapping[str, Store] | None = None,
    ) -> None:
        self.service = factory.service
        self.replica = replica
        self.url = url
        self.shards: dict[int, Shard] = {}
        self.limits = limits or Limits()
        self.metrics = metrics or RuntimeMetrics()
        self._store = store
        self._clock = clock
        self._partitions = partitions
        chosen = contract_topics.CONSUMES[self.service] if topics is None else topics
        self.watches = Watches(clock, self.limits.watches)
        self._deps = Deps(
            factory,
            bus,
            store,
            clock,
            self.limits,
            self.metrics,
            self.watches,
            enrich_config,
        )
        self.intake = Intake(
            self.service,
            bus,
            tuple(chosen),
            self.shards,
            clock,
            self.limits,
            self.metrics,
            Timeline(bus, self.service, chosen, peers or {}),
        )
        self._supervisor = supervisor
        self._partition_of: dict[str, int] = {}
        self._rows: dict[int, ShardRow] = {}
        self._tasks = Tasks(self.service, clock, self.limits)
        self._prepared = False
        self._stopping = False
        self._joined_once = False

    # Life

    async def start(self) -> None:
        """Begin to take shards. Comes back at once; PostgreSQL or the bus may be away."""
        self._tasks.spawn(
            "leases", lambda: self._tasks.repeat(self.step_leases, self.limits.heartbeat_s)
        )
        self._tasks.spawn("intake", self._run_intake)
        self._tasks.spawn("config", self._run_config)
        self._tasks.spawn(
            "maintenance", lambda: self._tasks.repeat(self.step_maintenance, self.limits.maintain_s)
        )
        self._tasks.spawn("measures", lambda: self._tasks.repeat(self._measure, 5.0))

    async def stop(self) -> None:
        self._stopping = True
        for name in ("leases", "config", "maintenance", "measures"):
            await self._tasks.cancel(name)
        for partition in sorted(self.shards):
            await self._give_up(partition)
        await self._tasks.end("intake")
        await self.intake.stop()
        with contextlib.suppress(StoreUnavailable):
            await self._store.unregister(self.replica)

    async def abandon(self) -> None:
        """Die without a word, as a killed process does; for tests."""
        self._stopping = True
        for shard in self.shards.values():
            shard.lose()
        await self._tasks.cancel_all()
        for shard in self.shards.values():
            shard.ground()
        await self.intake.stop()
        self.shards.clear()

    def ready(self) -> Readiness:
        why = [
            f"shard {partition}: {shard.tenure.told(shard.state)}"
            for partition, shard in sorted(self.shards.items())
            if not shard.live
        ]
        waiting = any(
            not shard.live and shard.phase is not Phase.HALTED for shard in self.shards.values()
        )
        if not self._joined_once:
            why.append("no contact with the database yet")
        return Readiness(self._joined_once and not waiting and not self._stopping, why)

    # Calls

    async def submit(
        self, workspace: str, what: Input, *, idempotency: IdempotencyKey | None = None
    ) -> Reply:
        shard = await self._shard(workspace)
        # No local name for the arrival: it holds the answer, and a refusal's traceback holds this frame.
        return await self._owned(
            workspace,
            shard.submit(workspace, Arrival(what, len(what.body), idempotency=idempotency)),
        )

    async def query(self, workspace: str, fn: Callable[[Core], T]) -> T:
        at_hand = self.shards.get(self._partition_of.get(workspace, -1))
        if at_hand is not None and (core := at_hand.readable(workspace)) is not None:
            return fn(core)
        shard = await self._shard(workspace)
        return await self._owned(workspace, shard.query(workspace, fn))

    def watch(self, workspace: str, names: Collection[str]) -> WatchPort:
        return self.watches.open(workspace, names)

    async def journal(
        self,
        workspace: str,
        after_seq: int,
        types: Collection[str] | None = None,
        limit: int = 100,
    ) -> list[JournalEvent]:
        page = min(limit, self.limits.journal_page)
        rows = await self._asking(self._store.journal(workspace, after_seq, types, page))
        return [JournalEvent(row.seq, row.type, row.data, row.at_us, row.key) for row in rows]

    async def owner_of(self, workspace: str) -> str | None:
        partition = await self._find(workspace)
        shard = self.shards.get(partition)
        if shard is not None and shard.phase is not Phase.LOST:
            return ""
        row = self._rows.get(partition)
        if row is None or row.expired or row.owner == self.replica:
            return None
        return row.owner_url

    def owned(self) -> list[str]:
        """The workspaces whose shards decide here just now, sorted."""
        return sorted(
            name for shard in self.shards.values() if shard.live for name in shard.workspaces
        )

    async def refresh_config(self, workspace: str) -> None:
        shard = await self._shard(workspace)
        row = await self._asking(self._store.workspace(workspace))
        if row is None:
            raise UnknownWorkspace(workspace)
        await self._owned(workspace, shard.config_reached(workspace, row.version))

    async def _shard(self, workspace: str) -> Shard:
        shard = self.shards.get(await self._find(workspace))
        if shard is None or shard.phase is Phase.LOST:
            raise NotOwner(await self.owner_of(workspace) or None)
        return shard

    async def _find(self, workspace: str) -> int:
        """A workspace's partition is chosen once, so it may be remembered."""
        partition = self._partition_of.get(workspace)
        if partition is None:
            row = await self._asking(self._store.workspace(workspace))
            if row is None:
                raise UnknownWorkspace(workspace)
            partition = self._partition_of[workspace] = row.partition
        return partition

    async def _owned(self, workspace: str, call: Awaitable[T]) -> T:
        """Name the new owner where the shard was lost meanwhile."""
        try:
            return await call
        except NotOwner as lost:
            raise NotOwner(await self.owner_of(workspace) or None) from lost
        finally:
            del call  # it holds its exception, whose traceback holds this frame

    async def _asking(self, call: Awaitable[T]) -> T:
        try:
            return await call
        except StoreUnavailable as error:
            raise Unavailable("the database does not answer", self.limits.retry_after_s) from error

    # Leases

    async def step_leases(self) -> None:
        """One round of the lease protocol. Raises StoreUnavailable."""
        store, limits = self._store, self.limits
        if not self._prepared:
            await store.prepare(self._partitions, self._clock.wall_us())
            self._prepared = True
        await self._renew()
        alive = await store.register(self.replica, self.url, limits.replica_alive_s)
        rows = await store.shards()
        self._rows = {row.partition: row for row in rows}
        self._drop_lost()
        self._heed_halts(rows)
        share = leases.fair_share(alive, self.replica, self._partitions)
        for partition in leases.to_take(rows, self.shards, share, alive, self.replica):
            await self._take(partition)
        for partition in leases.to_give(self.shards, share):
            await self._give_up(partition)
        self.metrics.owned.labels(self.service).set(len(self.shards))
        self._joined_once = True

    async def _renew(self) -> None:
        held = {
            partition: (shard.epoch, shard.outbox.published)
            for partition, shard in self.shards.items()
            if shard.phase is not Phase.LOST
        }
        if not held:
            return
        sent_at = self._clock.monotonic()
        renewed, lost = await self._store.renew(held, self.limits.lease_s)
        for partition, (epoch, _) in held.items():
            shard = self.shards.get(partition)
            if shard is None or shard.epoch != epoch:
                continue
            if partition in lost:
                shard.lose()
            elif partition in renewed:
                shard.heartbeat(sent_at)

    def _drop_lost(self) -> None:
        for partition, shard in tuple(self.shards.items()):
            if shard.phase is Phase.LOST:
                del self.shards[partition]
                self.metrics.forget_shard(self.service, partition)

    def _heed_halts(self, rows: Collection[ShardRow]) -> None:
        for row in rows:
            shard = self.shards.get(row.partition)
            if shard is not None and row.halted is None and row.epoch == shard.epoch:
                shard.unhalt()

    async def _take(self, partition: int) -> None:
        sent_at = self._clock.monotonic()
        lease = await self._store.acquire(partition, self.replica, self.url, self.limits.lease_s)
        if lease is None:
            return
        shard = Shard(lease, sent_at, self._deps)
        log.info("shard taken", service=self.service, partition=partition, epoch=lease.epoch)
        self.shards[partition] = shard
        if "leases" in self._tasks:
            self._tasks.spawn(("shard", shard), lambda: self._run_shard(shard))
            self._tasks.spawn(("outbox", shard), lambda: self._run_outbox(shard))

    async def _give_up(self, partition: int) -> None:
        """Finish the batch in hand, publish what is committed, and release the lease at once."""
        shard = self.shards.pop(partition)
        epoch, held = shard.epoch, shard.phase is not Phase.LOST
        shard.leave()
        await self._tasks.end(("shard", shard))
        if held:
            await self._publish_rest(shard)
            epoch = shard.epoch
        published = shard.outbox.published
        shard.lose()
        await self._tasks.end(("outbox", shard))
        if held:
            with contextlib.suppress(StoreUnavailable):
                await self._store.release(partition, epoch, published)
        self.metrics.forget_shard(self.service, partition)

    async def _publish_rest(self, shard: Shard) -> None:
        await self._tasks.cancel(("outbox", shard))

        async def rest() -> None:
            while await shard.publish():
                pass

        with contextlib.suppress(BusUnavailable, StoreUnavailable):
            await self._clock.within(rest(), self.limits.stop_publish_s)

    # Configuration, keeping

    async def step_config(self) -> None:
        """Tell the shards what `platform` says of their workspaces. Raises StoreUnavailable."""
        rows = await self._store.workspaces(list(self.shards))
        by_partition: dict[int, list[WorkspaceRow]] = {}
        for row in rows:
            by_partition.setdefault(row.partition, []).append(row)
        for partition, its in by_partition.items():
            shard = self.shards.get(partition)
            if shard is not None and shard.phase is Phase.RUNNING:
                shard.notice(its)

    async def step_maintenance(self) -> None:
        """Make days ahead and delete what is past keeping. Raises StoreUnavailable."""
        limits, now_us = self.limits, self._clock.wall_us()
        while await self._store.maintain(
            now_us,
            now_us - limits.inputs_days * _DAY_US,
            now_us - limits.replies_hours * 3_600_000_000,
            limits.seen_days,
            limits.prune_rows,
        ):
            await self._clock.sleep(0.05)

    async def _measure(self) -> None:
        for partition, shard in tuple(self.shards.items()):
            label = (self.service, str(partition))
            self.metrics.outbox.labels(*label).set(shard.outbox.depth)
            self.metrics.waiting.labels(*label).set(len(shard.inbox))
            self.metrics.halted.labels(*label).set(shard.phase is Phase.HALTED)
        live = sum(shard.live for shard in self.shards.values())
        self.metrics.live.labels(self.service).set(live)
        await self.intake.measure()

    # Tasks

    async def _run_shard(self, shard: Shard) -> None:
        loads = 0
        while shard.phase is not Phase.LOST and not shard.tenure.leaving:
            worked = await shard.step()
            if shard.following.reading != loads:
                loads = shard.following.reading
                if self._supervisor is not None:
                    self._supervisor.loaded()
            if worked:
                await shard.gather()
                continue
            await self._clock.within(shard.signals.work.wait(), shard.rest_s())
            shard.signals.work.clear()
        with contextlib.suppress(Exception):
            await shard.land()

    async def _run_outbox(self, shard: Shard) -> None:
        failures = 0
        while shard.phase is not Phase.LOST:
            try:
                worked = await shard.publish()
                failures = 0
            except (BusUnavailable, StoreUnavailable) as error:
                failures += 1
                log.warning("publishing waits", partition=shard.partition, why=str(error))
                await self._clock.sleep(self._tasks.pause_s(failures))
                continue
            if worked and shard.outbox.depth < self.limits.publish_rows:
                await self._clock.sleep(self.limits.publish_pause_ms / 1000)
            elif not worked:
                await self._clock.within(shard.signals.unpublished.wait(), self.limits.idle_s)
                shard.signals.unpublished.clear()

    async def _run_intake(self) -> None:
        failures = 0
        while not self._stopping:
            try:
                worked = await self.intake.step()
                failures = 0
            except (BusUnavailable, StoreUnavailable) as error:
                failures += 1
                log.warning("reading waits", service=self.service, why=str(error))
                await self._clock.sleep(self._tasks.pause_s(failures))
                continue
            if not worked:
                await self._clock.sleep(self.limits.intake_pause_s)

    async def _run_config(self) -> None:
        while True:
            try:
                await self._store.wait_config(self.limits.config_poll_s)
                await self.step_config()
            except StoreUnavailable as error:
                log.warning("configuration waits", service=self.service, why=str(error))
                await self._clock.sleep(self.limits.config_poll_s)


__all__ = ["Runtime", "port"]
