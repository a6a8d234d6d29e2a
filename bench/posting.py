"""The load generator: a process of its own that posts prepared requests over kept connections.

`python -m bench.posting URL PATH …` prints one JSON line. It speaks plain HTTP/1.1 by hand, so that
it takes as little as possible of the cores that the servers are measured on.
"""

import argparse
import asyncio
import itertools
import time
from collections.abc import Iterator
from typing import TypeVar, cast
from urllib.parse import urlsplit

import msgspec
import uvloop

from bench.bodies import batch, event
from bench.webhooks import Webhook, webhook

L = TypeVar("L", bound="Line")


class Posted(msgspec.Struct):
    """`per_s` requests answered with 2xx per second, latencies in milliseconds. The slowest request
    was due `most_at_s` after the beginning."""

    requests: int
    failed: int
    per_s: float
    p50_ms: float
    p99_ms: float
    most_ms: float
    most_at_s: float


class Line(asyncio.Protocol):
    """A connection with one request in flight at a time; `answered` is called with each answer.
    Answers must carry Content-Length."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def write(self, request: bytes) -> None:
        assert self.transport is not None
        self.transport.write(request)

    def answered(self, status: int, body: bytes) -> None:
        raise NotImplementedError

    def data_received(self, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
        self._buffer = data
        head_end = data.find(b"\r\n\r\n")
        if head_end < 0:
            return
        head = data[:head_end].lower()
        at = head.find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(data) < head_end + 4 + length:
            return
        self._buffer = b""
        self.answered(int(head[9:12]), data[head_end + 4 :])


class Connection(Line):
    """Its answers can be awaited."""

    def __init__(self) -> None:
        super().__init__()
        self._answer: asyncio.Future[int] | None = None

    def send(self, request: bytes) -> "asyncio.Future[int]":
        """The status of the answer, once it is here whole."""
        self._answer = asyncio.get_running_loop().create_future()
        self.write(request)
        return self._answer

    def answered(self, status: int, body: bytes) -> None:
        assert self._answer is not None
        self._answer.set_result(status)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError("closed"))


async def connect(url: str, made: L) -> L:
    """`made`, connected."""
    parts = urlsplit(url)
    loop = asyncio.get_running_loop()
    await loop.create_connection(lambda: made, parts.hostname or "", parts.port or 0)
    return made


def requests(form: str, path: str, token: str, size: int, first: int) -> Iterator[bytes]:
    """Requests that differ in the events' ids only; `size` 1 is one event, else a batch. Another
    `form` than events is the kind of connector whose webhook it is. What takes long, loading all
    connectors, is done when this returns: a server must not be charged for it. Raises Refused for
    an unknown kind."""
    if form != "events":
        return _webhooks(webhook(form), path, token, first)
    return _events(path, token, size, first)


def _webhooks(made: Webhook, path: str, token: str, first: int) -> Iterator[bytes]:
    for number in itertools.count(first):
        body, signature = made(number)
        yield request("POST", path, token, "application/json", body, signature)


def _events(path: str, token: str, size: int, first: int) -> Iterator[bytes]:
    kind = "application/cloudevents+json" if size == 1 else "application/cloudevents-batch+json"
    for number in itertools.count(first, size):
        body = event(number) if size == 1 else batch(number, size)
        yield request("POST", path, token, kind, body)


def request(
    method: str, path: str, token: str, kind: str = "", body: bytes = b"", headers: bytes = b""
) -> bytes:
    """`headers` are further lines."""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
    if kind:
        head += f"Content-Type: {kind}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n".encode() + headers + b"\r\n" + body


async def post(
    url: str, source: Iterator[bytes], connections: int, seconds: float, rate: float = 0.0
) -> Posted:
    """Closed loop: each connection posts as soon as its last request is answered. With a `rate` so
    many a second, whatever the answers take; latencies then count from the moment a request should
    have been posted, so that a stall is not hidden by posting less."""
    took: list[tuple[float, float]] = []
    failed = 0
    began = time.perf_counter()
    dues = itertools.count()

    async def due() -> float:
        if not rate:
            return time.perf_counter()
        moment = began + next(dues) / rate
        await asyncio.sleep(max(moment - time.perf_counter(), 0.0))
        return moment

    async def one(connection: Connection) -> None:
        nonlocal failed
        while (now := await due()) < began + seconds:
            status = await connection.send(next(source))
            took.append((time.perf_counter() - now, now - began))
            failed += status >= 300

    opened = [await connect(url, Connection()) for _ in range(connections)]
    began = time.perf_counter()
    await asyncio.gather(*map(one, opened))
    lasted = time.perf_counter() - began
    for connection in opened:
        assert connection.transport is not None
        connection.transport.close()
    took.sort()
    per_s = (len(took) - failed) / lasted
    return Posted(
        len(took), failed, per_s, _ms(took, 0.5), _ms(took, 0.99), _ms(took, 1.0), took[-1][1]
    )


def _ms(ordered: list[tuple[float, float]], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))][0] * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("path")
    parser.add_argument("--form", default="events")
    parser.add_argument("--token", default="-")
    parser.add_argument("--size", type=int, default=1)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--rate", type=float, default=0, help="requests a second; 0: all it can")
    options = parser.parse_args()
    source = requests(options.form, options.path, options.token, options.size, options.first)
    work = post(options.url, source, options.connections, options.seconds, options.rate)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(msgspec.json.encode(runner.run(work)).decode())


if __name__ == "__main__":
    main()
