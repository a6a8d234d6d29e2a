"""A replica that a test drives step by step: no tasks, no real time, no network."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from shared.bus.memory import MemoryBus
from shared.bus.port import Outgoing, Record
from shared.contracts import topics
from shared.contracts.core import CoreFactory, Input
from shared.contracts.envelope import Envelope, from_record, to_headers
from shared.contracts.instants import format_instant
from shared.runtime.clock import VirtualClock
from shared.runtime.limits import Limits
from shared.runtime.port import Reply
from shared.runtime.runtime import Runtime
from shared.runtime.store.memory import MemoryStore
from shared.runtime.store.memory_database import MemoryDatabase
from shared.testing.counter_core import CounterFactory, counted

T = TypeVar("T")

CHAT = topics.INTERACTIONS["chat"]
TESTED_LIMITS = Limits(poll_wait_ms=0, attach_grace_s=0, timer_pause_ms=1)


class World:
    """One memory bus and database, a virtual clock, and the replicas of one service."""

    def __init__(
        self,
        *,
        partitions: int = 1,
        limits: Limits = TESTED_LIMITS,
        factory: CoreFactory | None = None,
        reads: tuple[str, ...] = (CHAT, topics.SLA_EVENTS),
    ) -> None:
        self.clock = VirtualClock()
        self.bus = MemoryBus(lambda: self.clock.wall_us() // 1000)
        self.database = MemoryDatabase(self.clock)
        self.partitions = partitions
        self.limits = limits
        self.factory: CoreFactory = factory or CounterFactory()
        self.reads = reads
        self.replicas: list[Runtime] = []
        self.stores: list[MemoryStore] = []

    async def prepare(self, workspaces: dict[str, int]) -> None:
        await self.bus.ensure_topics(dict.fromkeys(topics.ALL_TOPICS, self.partitions))
        for name, partition in workspaces.items():
            self.database.add_workspace(name, partition)

    def replica(self, name: str = "one", **more: Any) -> Runtime:
        """A replica that has not begun; `settle` takes shards for it and runs them."""
        store = MemoryStore(self.database, self.factory.service)
        runtime = Runtime(
            self.factory,
            self.bus,
            store,
            self.clock,
            replica=name,
            url=f"http://{name}",
            topics=self.reads,
            partitions=self.partitions,
            limits=self.limits,
            **more,
        )
        self.replicas.append(runtime)
        self.stores.append(store)
        return runtime

    async def post(
        self,
        workspace: str,
        event_id: str,
        body: bytes | None = None,
        *,
        partition: int = 0,
        topic: str = CHAT,
        sequence: int | None = None,
        previous: int | None = None,
        source: str = "test",
        kind: str = "count",
    ) -> None:
        """Put an event on the bus."""
        extensions = () if previous is None else (("previous", str(previous)),)
        envelope = Envelope(
            id=event_id,
            source=source,
            type=kind,
            time=format_instant(self.clock.wall_us()),
            workspace=workspace,
            data=counted() if body is None else body,
            sequence=sequence,
            extensions=extensions,
        )
        await self.bus.send([Outgoing(topic, partition, None, envelope.data, to_headers(envelope))])

    async def settle(self, runtime: Runtime, rounds: int = 50) -> None:
        """Lease, read, decide and publish until nothing moves any more."""
        await runtime.step_leases()
        await runtime.step_config()
        for _ in range(rounds):
            if not await turn(runtime):
                return
            await self.clock.advance(0.01, turns=1)
        raise AssertionError("the replica does not come to rest")

    async def published(
        self, topic: str = topics.ROUTING_EVENTS, partition: int = 0
    ) -> list[Record]:
        """Everything on a topic's partition."""
        reader = self.bus.reader()
        start = (await self.bus.bounds([(topic, partition)]))[topic, partition][0]
        await reader.assign({(topic, partition): start})
        records: list[Record] = []
        while found := await reader.poll(10_000, 0):
            records.extend(found)
        await reader.stop()
        return records


async def turn(runtime: Runtime) -> bool:
    """One step of everything a replica does but leases; False when nothing moved."""
    worked = False
    await runtime.intake.step()
    for shard in tuple(runtime.shards.values()):
        before = len(shard.inbox)
        worked = await shard.step() or worked
        worked = await shard.publish() or worked
        worked = worked or bool(before) or bool(len(shard.inbox)) or not shard.following.attached
    return worked


async def command(runtime: Runtime, workspace: str, **body: Any) -> Reply:
    """Submit while driving the replica; returns what submit returns or raises what it raises."""
    what = Input("command", "count", counted(**body))
    return await drive(runtime, lambda: runtime.submit(workspace, what))


async def drive(runtime: Runtime, call: Callable[[], Coroutine[Any, Any, T]], turns: int = 50) -> T:
    """Await a call of the runtime that only comes back when the replica is driven."""
    task = asyncio.ensure_future(call())
    for _ in range(turns):
        await asyncio.sleep(0)
        if task.done():
            break
        await turn(runtime)
    return await asyncio.wait_for(task, 5)


def sequences(records: list[Record]) -> list[int]:
    """`ce_sequence` of each record, in order."""
    return [from_record(each.headers, each.value).sequence or 0 for each in records]
