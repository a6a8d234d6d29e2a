"""What an event costs one process that serves all three services, at an even pace.

    python -m bench.one_process [--events 600] [--rate 500] [--agents 200] [--calls | --samples FILE]

`POST events` through the server's own protocol, the embedded log's appender and readers, the runtimes of
router, SLA and archive with their tasks, timers and pauses, their commits made up as statements, and the
agents' long-polls until their answers: all of it production's. Time is the event loop's own and passes
only while nothing is to be done, and PostgreSQL takes each statement in a fixed time: so batches are as
large as on a machine that is fast enough, under any load, and every run does the same. It leaves out
the kernel, the loop's sockets and what the driver does with a statement.

Prints CPU microseconds an event (the best of several rounds) and statements an event; with `--calls` how
many functions are called instead, which no load changes; `--samples FILE` keeps the stacks that a timer of
CPU time saw, collapsed.
"""

import argparse
import asyncio
import collections
import gc
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, cast

import msgspec
import uvicorn
from prometheus_client import CollectorRegistry
from uvicorn.server import ServerState

from bench import centre, http_turns
from bench.posting import request
from bench.surroundings import Log, Loop, LoopClock, Store
from services.channels.archive import ArchiveFactory
from services.channels.archive_store import archive_statements
from services.channels.context import Channels
from services.channels.directory import Directory
from services.channels.intake import Intake
from services.router.domain.commands import Command, PutResource, SetPresence, encode
from services.router.domain.config import TYPES
from services.router.domain.core import RouterFactory
from services.router.metrics import RouterMetrics
from services.sla.domain.core import SlaFactory
from services.sla.metrics import SlaMetrics
from services.sla.projection import row_statements
from shared.contracts.core import CoreFactory, Input
from shared.http.logging import setup_logging
from shared.http.serve import HttpServer
from shared.runtime.limits import limits_of
from shared.runtime.metrics import RuntimeMetrics
from shared.runtime.runtime import Runtime
from shared.runtime.store.committing import RowStatements
from shared.runtime.store.memory_database import MemoryDatabase
from shared.runtime.supervisor import calm_collector

# What is private of others is what is to be measured.
# pyright: reportPrivateUsage=false

WORKSPACE = "bench"
BASE = f"/v1/workspaces/{WORKSPACE}"
CHATS = 10_000
POSTERS = 16
ROUNDS = 5
_EVENT = (
    b'{"specversion":"1.0","id":"m-%d","source":"crm","type":"interaction.message.v1",'
    b'"data":{"channel":"chat","conversation_key":"thread-%d","direction":"inbound",'
    b'"author":{"role":"customer","name":"Kim Example"},"text":"%d","attributes":{"topic":"%b"}}}'
)
_ETAG = re.compile(rb'etag: "(\d+)"', re.IGNORECASE)


class Wire(http_turns.Wire):
    """Calls back with each answer, a turn of the loop later, as a socket does."""

    def __init__(self, answered: Callable[[bytes], None]) -> None:
        super().__init__()
        self._answered = answered

    def write(self, data: bytes) -> None:
        super().write(data)
        asyncio.get_running_loop().call_soon(self._answered, data)


class Desk:
    """As a desktop: asks again with the revision that it was answered."""

    def __init__(self, bench: "Bench", agent: str) -> None:
        self._bench = bench
        self._first = request("GET", f"{BASE}/agents/{agent}/work?wait=25", http_turns.KEY)
        self._again = self._first[:-2] + b'If-None-Match: "%b"\r\n\r\n'
        self._protocol = bench.connect(self.answered)

    def ask(self) -> None:
        self._protocol.data_received(self._first)

    def answered(self, data: bytes) -> None:
        found = _ETAG.search(data)
        assert found is not None, data
        if data.startswith(b"HTTP/1.1 200"):
            self._bench.notices += 1
        self._protocol.data_received(self._again % found[1])


class Bench:
    """The process, and its callers."""

    def __init__(self) -> None:
        self.notices = 0
        self.posted = 0
        self._clock = LoopClock()
        self._log, self._database = Log(), MemoryDatabase(self._clock)
        self._metrics = RuntimeMetrics(CollectorRegistry())
        self._metrics.observe("router", RouterMetrics(CollectorRegistry()))
        self._metrics.observe("sla", SlaMetrics(CollectorRegistry()))
        self._stores: list[Store] = []
        self._router = self._runtime(RouterFactory())
        self._others = [
            self._runtime(SlaFactory(), row_statements),
            self._runtime(ArchiveFactory(), archive_statements),
        ]
        self._posters: collections.deque[Any] = collections.deque()

    def _runtime(self, factory: CoreFactory, rows: RowStatements | None = None) -> Runtime:
        store = Store(self._database, factory.service, rows)
        self._stores.append(store)
        return Runtime(
            factory, self._log, store, self._clock, replica="one", url="http://one",
            limits=limits_of(factory.service, 1e6), metrics=self._metrics,
        )  # fmt: skip

    async def open(self, agents: int) -> None:
        self._database.add_workspace(WORKSPACE, 0)
        for running in (self._router, *self._others):
            await running.start()
        await asyncio.sleep(5)
        for kind, name, body in [*centre.rules_of_work(), *centre.agents(agents, CHATS)]:
            raw = msgspec.json.encode(msgspec.convert({"id": name, **body}, TYPES[kind]))
            await self._command(PutResource(resource=kind, id=name, body=msgspec.Raw(raw)))
            if kind == "agent":
                await self._command(SetPresence(agent=name, status="available"))
        await asyncio.sleep(5)
        for store in self._stores:
            store.made_up = True
        self._serve()
        self._posters.extend(self._poster() for _ in range(POSTERS))
        for number in range(agents):
            Desk(self, f"a{number}").ask()
        await asyncio.sleep(1)

    async def _command(self, command: Command) -> None:
        what = Input("command", type(command).__name__, encode(command), actor="bench")
        await self._router.submit(WORKSPACE, what)

    def _serve(self) -> None:
        app = http_turns.application(cast("Any", self._router))
        given: Channels = app.state.channels
        named = {name: getattr(given, name) for name in Channels.__slots__}
        named |= {
            "directory": Directory(http_turns.Platform()),
            "intake": Intake(self._log, cast("Any", None)),
        }
        app.state.channels = Channels(**named)
        self._leases = asyncio.ensure_future(app.state.router.presence.run())
        self._config: uvicorn.Config = HttpServer(app)._server.config
        self._config.load()
        self._state = ServerState()
        self._state.default_headers = [(b"date", b"Sat, 28 Nov 2026 21:46:16 GMT")]

    def connect(self, answered: Callable[[bytes], None]) -> Any:
        made: Any = cast("Any", self._config.http_protocol_class)(
            config=self._config, server_state=self._state, app_state={}
        )
        made.connection_made(Wire(answered))
        return made

    def _poster(self) -> Any:
        def answered(data: bytes) -> None:
            assert data.startswith(b"HTTP/1.1 202"), data
            self._posters.append(protocol)

        protocol = self.connect(answered)
        return protocol

    def _post(self, named: int) -> None:
        path, kind = f"{BASE}/events", "application/cloudevents+json"
        body = _EVENT % (named, named, named, centre.topic(named).encode())
        self._posters.popleft().data_received(request("POST", path, http_turns.KEY, kind, body))

    async def round(self, events: int, rate: float) -> None:
        """So many events, until their offers were told and all services have come to rest."""
        before = self.notices
        for _ in range(events):
            self._post(self.posted)
            self.posted += 1
            await asyncio.sleep(1 / rate)
        await asyncio.sleep(0.8)
        assert self.notices > before, "no offer came"

    def asked(self) -> Mapping[str, int]:
        found = collections.Counter(self._log.writing.asked.counts)
        for store in self._stores:
            found.update(store.asked.counts)
        return found


async def prepared(agents: int, rate: float) -> Bench:
    bench = Bench()
    await bench.open(agents)
    await bench.round(100, rate)
    gc.collect()
    calm_collector()
    return bench


async def timed(events: int, agents: int, rate: float) -> None:
    bench, best = await prepared(agents, rate), float("inf")
    before, notices = collections.Counter(bench.asked()), bench.notices
    for _ in range(ROUNDS):
        began = time.thread_time_ns()
        await bench.round(events, rate)
        best = min(best, (time.thread_time_ns() - began) / events / 1e3)
    print(f"{best:.1f} us CPU an event")
    for kind, count in (collections.Counter(bench.asked()) - before).items():
        print(f"{count / events / ROUNDS:.3f} {kind} an event")
    print(f"{(bench.notices - notices) / events / ROUNDS:.3f} notices an event")


async def called(events: int, agents: int, rate: float) -> None:
    """The load generator's calls are among them, and the event loop's own."""
    bench, calls = await prepared(agents, rate), 0

    def note(_frame: FrameType, event: str, _given: Any) -> None:
        nonlocal calls
        if event in ("call", "c_call"):
            calls += 1

    sys.setprofile(note)
    await bench.round(events, rate)
    sys.setprofile(None)
    print(f"{calls / events:,.0f} calls of functions an event")


async def sampled(events: int, agents: int, rate: float, stacks: collections.Counter[str]) -> None:
    bench = await prepared(agents, rate)

    def note(_: int, top: FrameType | None) -> None:
        frames: list[str] = []
        while top is not None:
            code = top.f_code
            frames.append(f"{'/'.join(code.co_filename.split('/')[-3:])}:{code.co_qualname}")
            top = top.f_back
        stacks[";".join(reversed(frames))] += 1

    signal.signal(signal.SIGPROF, note)
    signal.setitimer(signal.ITIMER_PROF, 0.001, 0.001)
    began = time.thread_time_ns()
    for _ in range(ROUNDS):
        await bench.round(events, rate)
    took = time.thread_time_ns() - began
    signal.setitimer(signal.ITIMER_PROF, 0)
    print(f"{took / events / ROUNDS / 1e3:.1f} us an event, {sum(stacks.values())} samples")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=600)
    parser.add_argument("--rate", type=float, default=500)
    parser.add_argument("--agents", type=int, default=200)
    parser.add_argument("--calls", action="store_true", help="how many functions are called")
    parser.add_argument(
        "--samples", type=Path, help="a file for stacks, collapsed, with their samples"
    )
    options = parser.parse_args()
    sizes = options.events, options.agents, options.rate
    setup_logging("warning", "json")
    stacks = collections.Counter[str]()
    if options.calls:
        work = called(*sizes)
    elif options.samples:
        work = sampled(*sizes, stacks)
    else:
        work = timed(*sizes)
    Loop().run_until_complete(work)
    if options.samples:
        options.samples.write_text("".join(f"{one} {n}\n" for one, n in stacks.items()))
    sys.stdout.flush()
    os._exit(0)  # as if killed: hundreds of tasks wait, and nothing of them is to be kept


if __name__ == "__main__":
    main()
