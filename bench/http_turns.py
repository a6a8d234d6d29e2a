"""What HTTP costs one process for each kind of call that a busy centre makes all the time.

    python -m bench.http_turns [--instructions]

Bytes go into the server's own protocol class over a transport that takes everything, and come out as
answers: parser, server, application and the router's committed state are those of production; the bus
and the router's batches answer at once. What it leaves out is the kernel, the event loop's sockets and
PostgreSQL. Prints CPU microseconds a call, the best of several rounds; with `--instructions` machine
instructions instead, counted by valgrind (which must be installed): those are the same under any load.

    post      POST events of one event
    notice    GET work?wait=25 that waits, is woken, and answers two offers
    no news   GET work?wait=0 that answers 304
    accept, complete   an agent's commands, their reply ready
"""

import argparse
import asyncio
import gc
import random
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import uvicorn
import uvloop
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from uvicorn.server import ServerState

from bench import machine
from bench.bodies import event
from bench.posting import request
from bench.router_core import centre
from services.channels.api.routers import ROUTERS as CHANNELS
from services.channels.context import Channels
from services.channels.directory import Directory
from services.channels.intake import Intake
from services.router.api.context import Router, present_of
from services.router.api.routers import ROUTERS as ROUTER
from services.router.domain.core import RouterCore, RouterFactory
from services.router.presence import PresenceLeases
from services.sla.api.routers import ROUTERS as SLA
from shared.bus.memory import MemoryBus
from shared.bus.port import Outgoing
from shared.contracts import topics
from shared.db.key_store import KeyStore
from shared.http.app import create_app
from shared.http.auth import Access, Authenticator
from shared.http.principals import KeyRecord
from shared.http.ratelimit import Rate, RateLimiter
from shared.http.serve import HttpServer
from shared.runtime.clock import RealClock
from shared.runtime.limits import Limits
from shared.runtime.port import Reply
from shared.runtime.runtime import Runtime
from shared.runtime.store.memory import MemoryStore
from shared.runtime.store.memory_database import MemoryDatabase
from shared.runtime.supervisor import calm_collector
from shared.testing.replica import turn

WORKSPACE = "bench"
BASE = f"/v1/workspaces/{WORKSPACE}"
KEY = "omr_0123456789abcdef_0123456789abcdef0123456789abcdef012345"
AGENTS = 200
AT_ONCE = 20
ROUNDS = 7
CALLS = 1_000
COUNTED = 200
_REPLY = Reply(
    b'{"id":"tsk_0123456789abcdef","state":"assigned","agent_id":"a1","offers":[]}', False
)


class Heard:
    """A listener that hears."""

    connected = True

    def on(self, *_: object) -> None: ...

    @property
    def sure_at(self) -> float:
        return time.monotonic()


class Keys(KeyStore):
    """The key store, its one key known already."""

    async def _read(self, digest: bytes) -> Any:
        return _KNOWN


class _Known:
    record = KeyRecord("k", WORKSPACE, "admin")
    expires_at_us = None


_KNOWN = _Known()


class Platform:
    async def exists(self, workspace: str) -> bool:
        return True

    async def facts(self, workspace: str) -> tuple[int, dict[str, Any]] | None:
        return 0, {}


class Taking:
    """A bus that has everything a turn of the event loop later, as a group commit answers."""

    async def send(self, records: Sequence[Outgoing]) -> list[int]:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[list[int]] = loop.create_future()
        loop.call_soon(done.set_result, [0] * len(records))
        return await done


class Answering(Runtime):
    """The router's runtime; a command's reply comes a turn of the event loop later."""

    async def submit(self, workspace: str, what: Any, *, idempotency: Any = None) -> Reply:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Reply] = loop.create_future()
        loop.call_soon(done.set_result, _REPLY)
        return await done


async def routing() -> Answering:
    """A runtime that owns one workspace: each agent there has offers or tasks."""
    clock = RealClock()
    bus, database = MemoryBus(), MemoryDatabase(clock)
    await bus.ensure_topics(dict.fromkeys(topics.ALL_TOPICS, 1))
    database.add_workspace(WORKSPACE, 0)
    factory = RouterFactory()
    limits = Limits(poll_wait_ms=0, attach_grace_s=0, lease_s=1e6)
    running = Answering(
        factory, bus, MemoryStore(database, "router"), clock,
        replica="one", url="http://one", partitions=1, limits=limits,
    )  # fmt: skip
    await running.step_leases()
    await running.step_config()
    for _ in range(50):
        await turn(running)
    workspaces = running.shards[0].workspaces
    assert workspaces[WORKSPACE].readable
    workspaces[WORKSPACE].core = centre(AGENTS, 0, random.Random(1)).core
    return running


def application(running: Answering) -> FastAPI:
    """All three services' calls, as in one process; only these of them are answered."""
    none = cast("Any", None)
    platform, heard = Platform(), cast("Any", Heard())
    channels = Channels(
        store=none, directory=Directory(platform), intake=Intake(cast("Any", Taking()), none),
        blobs=none, secrets=none, replies=none, bus=none, revisions=none, chat_waits=none,
        chat_rates=none, errands=none, archive_reached=none, public_url="",
    )  # fmt: skip
    leases = PresenceLeases(running, running.owned, present_of)

    async def ready() -> dict[str, bool | str]:
        return {}

    return create_app(
        "Omniroute", "Bench", [*CHANNELS, *ROUTER, *SLA],
        version="0",
        access=Access(
            Authenticator(Keys(none, heard)), platform, RateLimiter(Rate(1e9, 1e9), lambda _: None)
        ),
        ready=ready,
        registry=CollectorRegistry(),
        access_log="faults",
        state={"channels": channels, "router": Router(running, none, leases)},
    )  # fmt: skip


class Wire:
    """A transport that takes everything; `answered` counts whole answers by their heads."""

    def __init__(self) -> None:
        self.answered = 0
        self.last = b""

    def write(self, data: bytes) -> None:
        if data.startswith(b"HTTP/1.1 "):
            self.answered += 1
            self.last = data

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        raise AssertionError(self.last)

    def get_extra_info(self, name: str, default: object = None) -> object:
        return {"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)}.get(name, default)

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Bench:
    """Connections to the application, and the kinds of calls."""

    def __init__(self, app: FastAPI, running: Answering) -> None:
        self._running = running
        self._core = cast("RouterCore", running.shards[0].workspaces[WORKSPACE].core)
        server = HttpServer(app)
        config: uvicorn.Config = server._server.config  # pyright: ignore[reportPrivateUsage]
        config.load()
        state = ServerState()
        state.default_headers = [(b"date", b"Sat, 28 Nov 2026 21:46:16 GMT")]
        self._wires = [Wire() for _ in range(AT_ONCE)]
        self._protocols: list[Any] = []
        for wire in self._wires:
            made: Any = cast("Any", config.http_protocol_class)(
                config=config, server_state=state, app_state={}
            )
            made.connection_made(wire)
            self._protocols.append(made)
        self._numbers = iter(range(1, 1 << 40))
        desks = self._core.desks
        self._offers = [(name, offer) for name, desk in desks.items() for offer in desk.offers]
        self._busy = [name for name, desk in desks.items() if len(desk.offers) >= 2]
        assert len(self._busy) >= AT_ONCE

    async def round(self, asked: Sequence[bytes], status: int, woken: Sequence[str] = ()) -> None:
        """One request on each connection, and their answers."""
        before = self._wires[0].answered
        for protocol, one in zip(self._protocols, asked, strict=True):
            protocol.data_received(one)
        if woken:
            for _ in range(3):
                await asyncio.sleep(0)
            assert self._wires[0].answered == before
            for agent in woken:
                self._core.desks[agent].agent.revision += 1
            self._running.watches.wake(WORKSPACE, [f"agent:{agent}" for agent in woken])
        turns = 0
        while any(wire.answered == before for wire in self._wires):
            await asyncio.sleep(0)
            turns += 1
            assert turns < 50, "no answer"
        assert b" %d " % status in self._wires[0].last[:16], self._wires[0].last

    async def post(self) -> None:
        kind = "application/cloudevents+json"
        path = f"{BASE}/events"
        bodies = [event(next(self._numbers)) for _ in range(AT_ONCE)]
        await self.round([request("POST", path, KEY, kind, body) for body in bodies], 202)

    async def notice(self) -> None:
        agents = self._busy[:AT_ONCE]
        await self.round([self._look(agent, 25) for agent in agents], 200, agents)

    async def no_news(self) -> None:
        await self.round([self._look(agent, 0) for agent in self._busy[:AT_ONCE]], 304)

    def _look(self, agent: str, wait_s: int) -> bytes:
        seen = f'If-None-Match: "{self._core.desks[agent].agent.revision}"\r\n'.encode()
        return request("GET", f"{BASE}/agents/{agent}/work?wait={wait_s}", KEY, headers=seen)

    async def accept(self) -> None:
        paths = [f"{BASE}/agents/{name}/offers/{offer}:accept" for name, offer in self._offers]
        await self.round([request("POST", path, KEY) for path in paths[:AT_ONCE]], 200)

    async def complete(self) -> None:
        tasks = list(self._core.tasks)[:AT_ONCE]
        kind = "application/json"
        await self.round(
            [request("POST", f"{BASE}/tasks/{one}:complete", KEY, kind, b"{}") for one in tasks],
            200,
        )

    def kinds(self) -> Iterator[tuple[str, Callable[[], Any]]]:
        for one in (self.post, self.notice, self.no_news, self.accept, self.complete):
            yield one.__name__.replace("_", " "), one


async def prepared() -> Bench:
    running = await routing()
    bench = Bench(application(running), running)
    for _, one in bench.kinds():
        for _ in range(10):
            await one()
    gc.collect()
    calm_collector()
    return bench


async def timed() -> None:
    bench = await prepared()
    for name, one in bench.kinds():
        best = float("inf")
        for _ in range(ROUNDS):
            began = time.thread_time_ns()
            for _ in range(CALLS // AT_ONCE):
                await one()
            best = min(best, (time.thread_time_ns() - began) / CALLS / 1e3)
        print(f"{name:10} {best:8.1f} us CPU a call")


async def counted() -> None:
    """Run by valgrind: what a fixed number of calls of each kind takes."""
    bench = await prepared()
    for name, one in bench.kinds():
        machine.start()
        for _ in range(COUNTED // AT_ONCE):
            await one()
        machine.stop(name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instructions", action="store_true")
    parser.add_argument("--counted", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--keep", type=Path, help="an empty folder for valgrind's files")
    options = parser.parse_args()
    if options.instructions:
        for name, found in machine.counted(__spec__.name, "--counted", keep=options.keep).items():
            print(f"{name:10} {found // COUNTED:9,} instructions a call")
        return
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(counted() if options.counted else timed())


if __name__ == "__main__":
    main()
