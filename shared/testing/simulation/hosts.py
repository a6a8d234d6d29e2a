"""Hosts that run every service, as processes do: they start, die, freeze, stop, and answer calls."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, TypeVar, cast

import msgspec

from shared.bus.memory import MemoryBus, SendFault
from shared.bus.port import Outgoing, Record
from shared.contracts import topics
from shared.contracts.core import Core, CoreFactory
from shared.runtime.limits import Limits
from shared.runtime.port import NotOwner, OutcomeUnknown, Unavailable
from shared.runtime.runtime import Runtime
from shared.runtime.store.memory import Fault, MemoryStore
from shared.runtime.store.memory_database import MemoryDatabase
from shared.runtime.store.port import Batch, Store
from shared.testing.simulation.chance import Chance
from shared.testing.simulation.fairness import Fairness
from shared.testing.simulation.faulty import FaultyBus, FaultyStore, HostClock, Network

T = TypeVar("T")
PATIENCE_S = 4.0
DRAIN_S = 2.0
STOP_S = 60.0
LIMITS = Limits(
    batch_inputs=24,
    overlap_inputs=3,
    inbox_records=400,
    commands=200,
    poll_records=150,
    poll_wait_ms=1000,
    intake_pause_s=0.1,
    lease_s=3,
    heartbeat_s=0.8,
    replica_alive_s=3,
    attach_grace_s=0.3,
    backoff_most_s=1,
    load_chunk=50,
    publish_rows=40,
    outbox_rows=2_000,
    outbox_memory_rows=60,
    snapshot_inputs=150,
    snapshot_pause_s=20,
    maintain_s=100_000,
    caution_inputs=16,
)

MakeStore = Callable[[MemoryDatabase, str, Callable[[str], Fault | None]], MemoryStore]


class Heard(NamedTuple):
    """What a router has heard of an open task's running or paused clock. Of a reopened task's it may
    have been told before, so that only `due_us` is said."""

    due_us: int | None
    warned: float | None = None
    breached: bool | None = None


class Parts(msgspec.Struct, frozen=True):
    """What a simulation is made of. `work` shows an agent's work (API.md), `wrong` says what does
    not hold in a router's core, `heard` what it has heard of its open tasks' clocks, by (task,
    clock), `disagree` where an SLA service's core believes otherwise of its tasks. Mutants bring other stores and runtimes."""

    factories: tuple[Callable[[], CoreFactory], ...]
    work: Callable[[Core, str], dict[str, Any]]
    wrong: Callable[[Core], list[str]]
    heard: Callable[[Core], dict[tuple[str, str], Heard]]
    disagree: Callable[[Core, Core], list[str]]
    store: MakeStore = MemoryStore
    runtime: Callable[..., Runtime] = Runtime
    limits: Limits = LIMITS


class Unknown(Exception):
    """The caller got no answer: done or not, he cannot know."""


class Host:
    """One incarnation of a machine: dead once, dead for ever."""

    def __init__(self, cluster: "Cluster", name: str) -> None:
        self.chance = cluster.chance
        self.name = name
        self.url = f"http://{name}"
        self.offset_us = 0
        self.dead = False
        self.stopping = False
        self.died: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.runtimes: dict[str, Runtime] = {}
        self._thawed = asyncio.Event()
        self._thawed.set()
        self._cluster = cluster
        self._burial: list[asyncio.Task[None]] = []
        self._calls: set[asyncio.Future[Any]] = set()
        self.left: list[str] = []

    async def start(self) -> None:
        cluster = self._cluster
        for make in cluster.parts.factories:
            factory = make()
            store = FaultyStore(
                lambda inject, name=factory.service: cluster.parts.store(
                    cluster.database, name, inject
                ),
                self,
                cluster.network,
                lambda batch, name=factory.service: cluster.stored(name, batch),
            )
            bus = FaultyBus(
                cluster.bus,
                self,
                lambda found, name=factory.service: cluster.fairness.polled(name, found),
            )
            runtime = cluster.parts.runtime(
                factory,
                bus,
                cast("Store", store),
                HostClock(self),
                replica=self.name,
                url=self.url,
                partitions=cluster.partitions,
                limits=cluster.parts.limits,
            )
            self.runtimes[factory.service] = runtime
            await runtime.start()

    async def awake(self) -> None:
        """See `faulty.Moments`."""
        if self.dead:
            await asyncio.get_running_loop().create_future()
        if not self._thawed.is_set():
            await self._thawed.wait()

    @property
    def unanswered(self) -> list[str]:
        """Calls that hang: of a host at rest, or of one that stopped in good order."""
        return self.left if self.dead else [str(call) for call in self._calls]

    def _forget(self, call: "asyncio.Future[Any]") -> None:
        self._calls.discard(call)
        if not call.cancelled():
            call.exception()

    @property
    def frozen(self) -> bool:
        return not self._thawed.is_set()

    def crash(self, fault: str) -> None:
        """Dead at once, in the middle of whatever it does."""
        if self.dead:
            return
        self.chance.count(fault)
        self.dead = True
        self.died.set_result(None)
        self._thawed.set()
        for call in self._calls:
            call.cancel()
        self._burial = [
            asyncio.ensure_future(runtime.abandon()) for runtime in self.runtimes.values()
        ]
        self._cluster.forget(self)

    async def stop(self) -> None:
        """A clean stop, as for a deployment."""
        self.stopping = True
        stopping = asyncio.ensure_future(self._stop())
        await asyncio.wait(
            {stopping, self.died}, timeout=STOP_S, return_when=asyncio.FIRST_COMPLETED
        )
        if not self.dead and not stopping.done():
            raise AssertionError(f"{self.name} does not stop")
        stopping.cancel()
        if not self.dead and self._calls:
            # As a server does: calls under way are answered before the process ends.
            await asyncio.wait(set(self._calls), timeout=DRAIN_S)
        if not self.dead:
            self.chance.count("clean stop")
            self.dead = True
            self.died.set_result(None)
            self.left = [str(call) for call in self._calls if not call.done()]
            self._cluster.forget(self)

    async def _stop(self) -> None:
        for runtime in self.runtimes.values():
            await runtime.stop()

    async def freeze(self, seconds: float) -> None:
        """Nothing of it moves, as after SIGSTOP; what it had sent is on its way."""
        self._thawed.clear()
        await asyncio.sleep(seconds)
        self._thawed.set()

    async def serve(self, call: Callable[[], Awaitable[T]]) -> T:
        """A request over the network. Raises Unknown where no answer comes, and what `call` does."""
        if self.dead:
            raise Unavailable("connection refused")
        await self.awake()
        work = asyncio.ensure_future(call())
        self._calls.add(work)
        work.add_done_callback(self._forget)
        await asyncio.wait(
            {work, self.died}, timeout=PATIENCE_S, return_when=asyncio.FIRST_COMPLETED
        )
        if work.cancelled() or (self.dead and not self.stopping):
            raise Unknown  # it died, perhaps while it was stopping
        if not work.done():
            self.chance.count("client gave up waiting")
            raise Unknown
        return work.result()


class Cluster:
    """All hosts, with what they share: database, bus, network and chance."""

    def __init__(self, chance: Chance, parts: Parts, partitions: int) -> None:
        self.chance = chance
        self.parts = parts
        self.partitions = partitions
        self.clock = HostClock(None)
        self.database = MemoryDatabase(self.clock)
        self.network = Network()
        self.bus = MemoryBus(lambda: self.clock.wall_us() // 1000, self._inject)
        self.fairness = Fairness()
        self.stale_batches = 0
        self.hosts: list[Host] = []
        self.all_hosts: list[Host] = []
        self._random = chance.stream("cluster")
        self._sends = chance.stream("sends")
        self._born = 0

    async def prepare(self, workspaces: dict[str, int]) -> None:
        await self.bus.ensure_topics(dict.fromkeys(topics.ALL_TOPICS, self.partitions))
        for number, (name, partition) in enumerate(sorted(workspaces.items())):
            self.database.add_workspace(name, partition, seed=self.chance.seed * 100 + number)

    async def add_host(self) -> Host:
        self._born += 1
        host = Host(self, f"host{self._born:03d}")
        self.hosts.append(host)
        self.all_hosts.append(host)
        await host.start()
        return host

    def forget(self, host: Host) -> None:
        self.hosts.remove(host)

    @property
    def services(self) -> tuple[str, ...]:
        return tuple(make().service for make in self.parts.factories)

    def stored(self, service: str, batch: Batch) -> None:
        """A batch was stored just now; by nobody but the shard's owner, as the store has it."""
        if batch.epoch != self.epoch(service, batch.partition):
            self.stale_batches += 1
        self.fairness.committed(service, batch)

    def inputs(self) -> dict[str, int]:
        """How many each service has decided."""
        return {name: self.database.service(name).decided() for name in self.services}

    def epoch(self, service: str, partition: int) -> int:
        """A shard's epoch, as the store has it."""
        return self.database.service(service).shards[partition].epoch

    def steal(self, service: str, partition: int) -> None:
        """Another owner takes the shard, and is gone again."""
        if partition in self.database.service(service).shards:
            MemoryStore(self.database, service).steal(partition)

    def owner(self, service: str, partition: int) -> Runtime | None:
        """The runtime that serves a shard, by the word of store and host."""
        for host in self.hosts:
            shard = host.runtimes[service].shards.get(partition)
            if shard is not None and shard.live:
                held = shard.epoch == self.epoch(service, partition)
                return host.runtimes[service] if held else None
        return None

    async def call(self, service: str, act: Callable[[Runtime], Awaitable[T]]) -> T:
        """Ask any host, which forwards once. Raises Unknown, Unavailable, and what `act` does."""
        if not self.hosts:
            raise Unavailable("nobody listens")
        host = self._random.choice(self.hosts)
        try:
            return await self._at(host, service, act)
        except NotOwner as elsewhere:
            owner = next((each for each in self.hosts if each.url == elsewhere.url), None)
        if owner is None:
            raise Unavailable("nobody owns it just now")
        try:
            return await self._at(owner, service, act)
        except NotOwner as lost:
            raise Unavailable("it moved meanwhile") from lost

    async def _at(self, host: Host, service: str, act: Callable[[Runtime], Awaitable[T]]) -> T:
        try:
            return await host.serve(lambda: act(host.runtimes[service]))
        except OutcomeUnknown as error:
            raise Unknown from error

    def _inject(self, records: Sequence[Outgoing]) -> SendFault | None:
        if self.chance.calm:
            return None
        drawn = self._sends.random()
        if drawn < 0.004:
            self.chance.count("send failed")
            return "unavailable"
        if drawn < 0.008 and len(records) > 1:
            self.chance.count("send torn")
            return "torn"
        if drawn < 0.012:
            self.chance.count("send answer lost")
            return "answer-lost"
        return None


__all__ = ["LIMITS", "Batch", "Cluster", "Host", "Parts", "Record", "Unknown"]
