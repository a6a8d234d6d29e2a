"""The router's process under test: the production runtime and core on Kafka and PostgreSQL.

`python -m bench.router_process` (with the environment of `omniroute up`) reads orders from its input,
one JSON object a line, and answers each with one. Desktops are played in the same process through
`Runtime.submit`, as the HTTP calls do it, without HTTP: an agent accepts an offer when the event has
been committed and published, and completes the task when the acceptance is committed.
"""

import asyncio
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import uvloop

from bench import centre
from bench.centre import Resource
from services.cli.foundation import Foundation, foundation
from services.cli.foundation import running as running_task
from services.cli.modules import runtime, with_windows
from services.router.domain.commands import (
    AcceptOffer,
    Command,
    CompleteTask,
    PutResource,
    SetPresence,
    encode,
)
from services.router.domain.config import TYPES
from services.router.domain.core import RouterFactory
from shared.bus.port import Bus, Outgoing, Reader, TopicPartition
from shared.contracts import topics
from shared.contracts.core import Input
from shared.http.logging import setup_logging
from shared.runtime.runtime import Runtime
from shared.settings import read_settings

OFFERED = b"routing.offer.created.v1"
WINDOW = 1_500
STEP = 250


class Order(msgspec.Struct):
    """What to measure: `burst` counts conversations; `lives` and `soak` whole lives of tasks, for
    `seconds` or until `count` events have come. `messages`: customers' messages per conversation."""

    what: str
    workspace: str
    agents: int
    chats: int
    count: int = 0
    seconds: float = 0
    warm_s: float = 0
    messages: int = 1


class Result(msgspec.Struct):
    """`tasks` done in `seconds` of the wall, `cpu_s` of this process; memory is resident, MiB, at
    equal steps of the run."""

    tasks: int
    events: int
    seconds: float
    cpu_s: float
    partition: int
    start: int
    database_url: str
    inputs_per_commit: float = 0
    memory_mib: list[float] = []


class Offer(msgspec.Struct):
    offer_id: str
    agent_id: str
    task_id: str


_offer = msgspec.json.Decoder(Offer)


class TapBus:
    """The bus, telling of each offer once it is published."""

    def __init__(self, inner: Bus) -> None:
        self._inner = inner
        self.on_offer: Callable[[Offer], None] = lambda _: None
        self.published = 0

    async def start(self) -> None:
        await self._inner.start()

    async def stop(self) -> None:
        await self._inner.stop()

    async def ensure_topics(self, partitions: Mapping[str, int]) -> None:
        await self._inner.ensure_topics(partitions)

    async def send(self, records: Sequence[Outgoing]) -> list[int]:
        offsets = await self._inner.send(records)
        self.published += len(records)
        for record in records:
            if record.value is not None and record.headers[4][1] == OFFERED:
                self.on_offer(_offer.decode(record.value))
        return offsets

    async def bounds(
        self, partitions: Sequence[TopicPartition]
    ) -> dict[TopicPartition, tuple[int, int]]:
        return await self._inner.bounds(partitions)

    def reader(self) -> Reader:
        return self._inner.reader()


class Centre:
    """One workspace with its agents, the generator that speaks for customers, and what was done."""

    def __init__(self, parts: Foundation, bus: TapBus, running: Runtime, order: Order) -> None:
        self._parts = parts
        self._bus = bus
        self._running = running
        self._order = order
        self.partition = -1
        self.start = 0
        self.offered = self.done = self.sent = 0
        self.news = asyncio.Event()
        self._serving: set[asyncio.Task[None]] = set()
        self._generator: asyncio.subprocess.Process | None = None

    async def open(self) -> None:
        order = self._order
        made, _ = await self._parts.platform.create_workspace(
            order.workspace, self._parts.settings.partitions
        )
        self.partition = made.partition
        for each in centre.rules_of_work():
            await self._put(each)
        agents = list(centre.agents(order.agents, order.chats))
        await asyncio.gather(*map(self._put, agents))
        await asyncio.gather(
            *(self.command(SetPresence(agent=name, status="available")) for _, name, _ in agents)
        )
        place = (topics.INTERACTIONS["chat"], self.partition)
        self.start = (await self._bus.bounds([place]))[place][1]
        command = [
            "-m", "bench.producing", self._parts.settings.kafka or "", order.workspace,
            str(self.partition), str(order.messages),
        ]  # fmt: skip
        pipe = asyncio.subprocess.PIPE
        self._generator = await asyncio.create_subprocess_exec(
            sys.executable, *command, stdin=pipe, stdout=pipe
        )
        await self._answered()

    async def close(self) -> None:
        assert self._generator is not None and self._generator.stdin is not None
        self._generator.stdin.close()
        await self._generator.wait()

    async def _put(self, resource: Resource) -> None:
        kind, name, body = resource
        raw = msgspec.json.encode(msgspec.convert({"id": name, **body}, TYPES[kind]))
        await self.command(PutResource(resource=kind, id=name, body=msgspec.Raw(raw)))

    async def command(self, command: Command) -> None:
        what = Input("command", type(command).__name__, encode(command), actor="bench")
        await self._running.submit(self._order.workspace, what)

    async def say(self, count: int) -> None:
        """Let the generator publish; returns when Kafka has acknowledged all."""
        assert self._generator is not None and self._generator.stdin is not None
        self._generator.stdin.write(f"{self.sent} {count}\n".encode())
        self.sent += count
        await self._answered()

    async def _answered(self) -> None:
        assert self._generator is not None and self._generator.stdout is not None
        if not await self._generator.stdout.readline():
            raise RuntimeError("the generator ended")

    # -- what agents do

    def count(self, _: Offer) -> None:
        self.offered += 1
        self.news.set()

    def serve(self, offer: Offer) -> None:
        self.offered += 1
        task = asyncio.ensure_future(self._serve(offer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, offer: Offer) -> None:
        agent = offer.agent_id
        await self.command(AcceptOffer(agent=agent, offer=offer.offer_id))
        await self.command(CompleteTask(task=offer.task_id, agent=agent, disposition="ok"))
        self.done += 1
        self.news.set()


async def burst(here: Centre, order: Order) -> float:
    """Seconds from the order to publish until the last conversation's offer is published."""
    began = time.perf_counter()
    saying = asyncio.ensure_future(here.say(order.count))
    while here.offered < order.count:
        here.news.clear()
        await here.news.wait()
    await saying
    return time.perf_counter() - began


async def lives(here: Centre, tasks: Callable[[], bool], messages: int) -> None:
    """Keep WINDOW tasks open until `tasks` says that it is enough."""
    while not tasks():
        opened = here.sent // messages
        if opened - here.done > WINDOW - STEP:
            here.news.clear()
            await here.news.wait()
            continue
        await here.say(STEP * messages)


async def measure(parts: Foundation, bus: TapBus, running: Runtime, order: Order) -> Result:
    here = Centre(parts, bus, running, order)
    await here.open()
    bus.on_offer = here.count if order.what == "burst" else here.serve
    try:
        return await _measured(here, parts, order, running)
    finally:
        await here.close()


async def _measured(here: Centre, parts: Foundation, order: Order, running: Runtime) -> Result:
    if order.warm_s:
        until = time.monotonic() + order.warm_s
        await lives(here, lambda: time.monotonic() > until, order.messages)
    done, offered, sent = here.done, here.offered, here.sent
    commits = _commits(running)
    began, cpu = time.perf_counter(), time.process_time()
    memory: list[float] = []
    if order.what == "burst":
        took = await burst(here, order)
    else:
        if order.seconds:
            end = time.monotonic() + order.seconds
            await lives(here, lambda: time.monotonic() > end, order.messages)
        else:
            memory = await _soak(here, order)
        took = time.perf_counter() - began
    inputs, count = (now - then for now, then in zip(_commits(running), commits, strict=True))
    return Result(
        tasks=here.offered - offered if order.what == "burst" else here.done - done,
        events=here.sent - sent,
        seconds=took,
        cpu_s=time.process_time() - cpu,
        partition=here.partition,
        start=here.start,
        database_url=parts.database_url,
        inputs_per_commit=inputs / max(1, count),
        memory_mib=memory,
    )


async def _soak(here: Centre, order: Order) -> list[float]:
    """Resident memory at each tenth of the run."""
    memory: list[float] = []
    for tenth in range(1, 11):
        upto = order.count * tenth // 10
        await lives(here, lambda upto=upto: here.sent >= upto, order.messages)
        memory.append(resident_mib())
    return memory


def resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def _commits(running: Runtime) -> tuple[float, float]:
    """(inputs, commits) so far, from the runtime's own figures."""
    found = {
        sample.name: sample.value
        for metric in running.metrics.batch_inputs.collect()
        for sample in metric.samples
    }
    return (
        found.get("omniroute_batch_inputs_sum", 0.0),
        found.get("omniroute_batch_inputs_count", 0.0),
    )


async def main() -> None:
    setup_logging("warning", "json")
    loop = asyncio.get_running_loop()
    async with foundation(read_settings(), replica="bench", url="http://127.0.0.1:1") as made:
        bus = TapBus(made.bus)
        parts = replace(made, bus=bus)
        async with (
            runtime(parts, RouterFactory(), enrich_config=with_windows) as (running, _),
            running_task(parts.listener.run, "listener"),
        ):
            while not running.shards or not running.ready().ready:  # noqa: ASYNC110, tells nobody
                await asyncio.sleep(0.05)
            while line := await loop.run_in_executor(None, sys.stdin.readline):
                order = msgspec.json.decode(line, type=Order)
                result = await measure(parts, bus, running, order)
                print(msgspec.json.encode(result).decode(), flush=True)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
