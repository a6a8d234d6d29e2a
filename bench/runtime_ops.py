"""What the router's runtime costs an event of a burst, its core with it, without sockets.

    python -m bench.runtime_ops [--events 2000] [--agents 100] [--machine]

New conversations go through the production runtime: aiokafka takes them out of Kafka's format, they are
decided and made up for one commit, and what they cause is put into Kafka's format. PostgreSQL and Kafka
take everything at once: a commit ends as a statement with its values, what is published as a batch. So
it leaves out the kernel, the event loop's sockets, and waiting. Prints CPU microseconds an event, the
best of several rounds; with `--machine` machine instructions instead, counted by valgrind (which must
be installed): those are the same under any load.
"""

import argparse
import asyncio
import gc
import time
from collections.abc import Callable, Sequence
from typing import Any, cast

import msgspec
import uvloop
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.memory_records import MemoryRecords

from bench import centre, machine
from bench.producing import record
from services.router.domain.commands import Command, PutResource, SetPresence, encode
from services.router.domain.config import TYPES
from services.router.domain.core import RouterFactory
from shared.bus import admission
from shared.bus.kafka import lanes, reader
from shared.bus.memory import MemoryBus
from shared.bus.port import Outgoing
from shared.contracts import topics
from shared.contracts.core import Input
from shared.contracts.instants import format_instant
from shared.db.engine import create_engine
from shared.http.logging import setup_logging
from shared.runtime.clock import RealClock
from shared.runtime.limits import Limits
from shared.runtime.runtime import Runtime
from shared.runtime.store import committing, statements
from shared.runtime.store.memory import MemoryStore
from shared.runtime.store.memory_database import MemoryDatabase
from shared.runtime.store.port import Batch
from shared.runtime.supervisor import calm_collector
from shared.testing.replica import turn

# What is private of others is what is to be measured.
# pyright: reportPrivateUsage=false

WORKSPACE = "bench"
CHATS = 1_000
FETCHED = 500
BATCH_BYTES = 512 << 10
ROUNDS = 5


class Store(MemoryStore):
    """Once `made_up`, commits end as what PostgreSQL would be sent."""

    made_up = False

    def __init__(self, database: MemoryDatabase) -> None:
        super().__init__(database, "router")
        nowhere, sql = (
            create_engine("postgresql://nobody@127.0.0.1/none"),
            statements.for_schema("router"),
        )
        self._committer = committing.Committer(
            nowhere, "router", sql, cast("Any", None), None, None
        )

    async def commit(self, batch: Batch) -> None:
        if self.made_up:
            self._committer._statement(batch, ())
            await asyncio.sleep(0)
        else:
            await super().commit(batch)

    async def seen(self, ids: Sequence[bytes]) -> set[bytes]:
        return set()


class Bus(MemoryBus):
    """Once `made_up`, what is sent ends as what Kafka would be sent."""

    made_up = False

    async def send(self, records: Sequence[Outgoing]) -> list[int]:
        if not self.made_up:
            return await super().send(records)
        admission.refuse_unknown(admission.places(records), self._partitions)
        admission.admit(records)
        call, index = lanes._Call(len(records), asyncio.get_running_loop()), 0
        while index < len(records):
            batch = lanes._Batch(BatchBuilder(BATCH_BYTES, 0))
            index = batch.take(records, index, call)
            batch.builder._build()
        await asyncio.sleep(0)
        return call.offsets


class Bench:
    """A router that owns one workspace, and the customers' events as Kafka holds them."""

    def __init__(self) -> None:
        clock = RealClock()
        self._bus, self._database = Bus(), MemoryDatabase(clock)
        self._store = Store(self._database)
        limits = Limits(
            poll_wait_ms=0, attach_grace_s=0, lease_s=1e6, batch_ms=1e6, turn_ms=1e6,
            snapshot_inputs=1 << 40,
        )  # fmt: skip
        self._running = Runtime(
            RouterFactory(), self._bus, self._store, clock,
            replica="one", url="http://one", partitions=1, limits=limits,
        )  # fmt: skip
        self._said = 0

    async def open(self, agents: int) -> None:
        await self._bus.ensure_topics(dict.fromkeys(topics.ALL_TOPICS, 1))
        self._database.add_workspace(WORKSPACE, 0)
        await self._running.step_leases()
        await self._running.step_config()
        for _ in range(50):
            await turn(self._running)
        for kind, name, body in [*centre.rules_of_work(), *centre.agents(agents, CHATS)]:
            raw = msgspec.json.encode(msgspec.convert({"id": name, **body}, TYPES[kind]))
            await self._command(PutResource(resource=kind, id=name, body=msgspec.Raw(raw)))
            if kind == "agent":
                await self._command(SetPresence(agent=name, status="available"))
        self._bus.made_up = self._store.made_up = True

    async def _command(self, command: Command) -> None:
        what = Input("command", type(command).__name__, encode(command), actor="bench")
        asked = asyncio.ensure_future(self._running.submit(WORKSPACE, what))
        while not asked.done():
            await turn(self._running)
            await asyncio.sleep(0)
        await asked

    async def round(
        self, events: int, counting: Callable[[], Any], counted: Callable[[], Any]
    ) -> None:
        """So many events, from Kafka's answers to the batches that are sent. What is made for it
        beforehand is not counted."""
        answers = [self._answer(FETCHED) for _ in range(0, events, FETCHED)]
        gc.collect()
        calm_collector()
        shard, place = self._running.shards[0], TopicPartition(topics.INTERACTIONS["chat"], 0)
        counting()
        for answer in answers:
            fetched = PartitionRecords(place, MemoryRecords(answer), [], 0, None, None, True, 0)
            shard.offer([reader._record(each) for each in fetched])
        while shard.inbox or shard.outbox.depth:
            await shard.step()
            await shard.publish()
        counted()

    def _answer(self, count: int) -> bytes:
        now_us = time.time_ns() // 1000
        builder: Any = BatchBuilder(8 << 20, 0)
        for number in range(self._said, self._said + count):
            one = record(number, WORKSPACE, 0, 1, format_instant(now_us))
            headers = list(one.headers)
            builder.append(timestamp=now_us // 1000, key=one.key, value=one.value, headers=headers)
        self._said += count
        return bytes(builder._build())


async def timed(events: int, agents: int) -> None:
    bench, marks = Bench(), list[int]()

    def mark() -> None:
        marks.append(time.thread_time_ns())

    await bench.open(agents)
    for _ in range(ROUNDS):
        await bench.round(events, mark, mark)
    best = min(end - begin for begin, end in zip(marks[::2], marks[1::2], strict=True))
    print(f"{best / events / 1e3:.1f} us CPU an event")


async def counted(events: int, agents: int) -> None:
    """Run by valgrind."""
    bench = Bench()
    await bench.open(agents)
    await bench.round(FETCHED, lambda: None, lambda: None)
    await bench.round(events, machine.start, lambda: machine.stop("events"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=2_000, help="a multiple of 500")
    parser.add_argument("--agents", type=int, default=100)
    parser.add_argument("--machine", action="store_true", help="by valgrind, which must be there")
    parser.add_argument("--counted", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    sizes = options.events, options.agents
    if options.machine:
        told = ("--counted", "--events", str(sizes[0]), "--agents", str(sizes[1]))
        for total in machine.counted(__spec__.name, *told).values():
            print(f"{total // options.events:,} machine instructions an event")
        return
    setup_logging("warning", "json")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(counted(*sizes) if options.counted else timed(*sizes))


if __name__ == "__main__":
    main()
