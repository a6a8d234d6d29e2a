"""Where the time of a post goes, part by part: one process, no network, a bus that takes everything.

    python -m bench.post_parts

Prints CPU microseconds a call, the best of several rounds, for one event and per event of a batch of
500. What it leaves out is the server's socket and HTTP parser, and the producer.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import uvloop
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from rich.console import Console
from rich.table import Table
from starlette.requests import Request

from bench.baselines import bare_endpoint
from bench.bodies import batch, event
from services.channels.api import events as api
from services.channels.context import Channels, outgoing
from services.channels.directory import Directory
from services.channels.events import Accepted, Intake, read_batch, read_single
from services.channels.intake import Intake as Publisher
from services.channels.posted import decode
from shared.bus.port import Outgoing
from shared.contracts.envelope import to_headers
from shared.http.app import create_app
from shared.http.auth import Access, Authenticator, require
from shared.http.principals import KeyRecord
from shared.http.ratelimit import Rate, RateLimiter

ROUNDS = 7
CALLS = 1000
BATCH = 500
PATH = "/v1/workspaces/bench/events"
STRUCTURED = b"application/cloudevents+json"
BATCHED = b"application/cloudevents-batch+json"


class Everyone:
    """Look-ups as the key store's cache answers them."""

    def __init__(self) -> None:
        self._record = KeyRecord("k", "bench", "platform")

    async def lookup(self, token: str) -> KeyRecord | None:
        sha256(token.encode()).digest()
        return self._record

    async def exists(self, workspace: str) -> bool:
        return True

    async def facts(self, workspace: str) -> tuple[int, dict[str, Any]] | None:
        return 0, {}


class Taking:
    """A bus that has everything at once."""

    async def send(self, records: Sequence[Outgoing]) -> list[int]:
        return [0] * len(records)


def application() -> FastAPI:
    everyone = Everyone()
    none = cast("Any", None)  # what a post does not come to
    service = Channels(
        store=none,
        directory=Directory(everyone),
        intake=Publisher(cast("Any", Taking()), none),
        blobs=none,
        secrets=none,
        replies=none,
        bus=none,
        revisions=none,
        chat_waits=none,
        chat_rates=none,
        errands=none,
        archive_reached=none,
        public_url="",
    )

    async def ready() -> dict[str, bool | str]:
        return {}

    return create_app(
        "Omniroute",
        "Bench",
        [api.router],
        version="0",
        access=Access(Authenticator(everyone), everyone, RateLimiter(Rate(1e9, 1e9))),
        ready=ready,
        registry=CollectorRegistry(),
        access_log="faults",
        state={"channels": service},
    )


def bare() -> FastAPI:
    """The baseline's endpoint on a producer that takes everything."""

    class Producer:
        async def send(self, *_: object) -> Any:
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            done.set_result(None)
            return done

        async def send_and_wait(self, *_: object) -> None:
            pass

    return bare_endpoint.routes(FastAPI(openapi_url=None), lambda: Producer())


def scope(path: str, content_type: bytes, length: int) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [
            (b"host", b"127.0.0.1"),
            (
                b"authorization",
                b"Bearer omr_0123456789abcdef_0123456789abcdef0123456789abcdef012345",
            ),
            (b"content-type", content_type),
            (b"content-length", b"%d" % length),
        ],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
        "state": {},
    }


async def call(app: FastAPI, path: str, content_type: bytes, body: bytes) -> None:
    status = 0

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]

    await app(scope(path, content_type, len(body)), receive, cast("Any", send))
    assert status == 202, status


async def cost(one: Callable[[], Awaitable[object]], calls: int = CALLS) -> float:
    """CPU microseconds of this thread per call; the best round."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.thread_time_ns()
        for _ in range(calls):
            await one()
        best = min(best, (time.thread_time_ns() - began) / calls / 1e3)
    return best


def plain(one: Callable[[], object]) -> Callable[[], Awaitable[object]]:
    async def run() -> object:
        return one()

    return run


def intake() -> Intake:
    return Intake("bench", time.time_ns() // 1000, lambda _: None)


async def singles() -> dict[str, float]:
    ours, base, body = application(), bare(), event(1)
    given = scope(PATH, STRUCTURED, len(body)) | {
        "app": ours,
        "path_params": {"workspace": "bench"},
    }
    enter = require("events:write")
    row = read_single(body, intake())
    assert isinstance(row, Accepted)
    numbers = iter(range(1, 10_000_000))
    return {
        "whole call": await cost(lambda: call(ours, PATH, STRUCTURED, event(next(numbers)))),
        "bare endpoint": await cost(lambda: call(base, "/event", STRUCTURED, body)),
        "token, role, rate": await cost(lambda: enter(Request(given))),
        "decode and check the shape": await cost(plain(lambda: decode(body))),
        "a row: decode, check, ids, encode": await cost(
            plain(lambda: read_single(event(next(numbers)), intake()))
        ),
        "headers": await cost(plain(lambda: to_headers(row.envelope))),
        "record": await cost(plain(lambda: outgoing(row.envelope, row.channel, 0))),
        "answer": await cost(plain(lambda: api.answer([row]))),
    }


async def batches() -> dict[str, float]:
    ours, base, body = application(), bare(), batch(1, BATCH)
    rows = [row for row in read_batch(body, intake()) if isinstance(row, Accepted)]
    found = {
        "whole call": await cost(lambda: call(ours, PATH, BATCHED, body), 20),
        "bare endpoint": await cost(lambda: call(base, "/batch", BATCHED, body), 20),
        "rows": await cost(plain(lambda: list(read_batch(body, intake()))), 20),
        "records": await cost(
            plain(lambda: [outgoing(row.envelope, row.channel, 0) for row in rows]), 20
        ),
        "answer": await cost(plain(lambda: api.answer(rows)), 20),
    }
    return {name: took / BATCH for name, took in found.items()}


async def main() -> None:
    for title, found in (("one event", await singles()), ("event of a batch", await batches())):
        table = Table(title=title, title_justify="left")
        table.add_column("part")
        table.add_column("µs CPU", justify="right")
        for name, took in found.items():
            table.add_row(name, f"{took:.2f}")
        Console().print(table)


if __name__ == "__main__":
    assert Path("bench").is_dir(), "run it from the project's folder"
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
