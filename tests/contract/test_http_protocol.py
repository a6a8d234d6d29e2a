"""The server's protocol answers byte for byte as uvicorn's own, and keeps connections as that does."""

import asyncio
import contextlib

import pytest
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from shared.http.protocol import Protocol
from shared.http.replies import json_reply, unchanged
from shared.http.serve import served
from shared.http.stopping import Stopping

DATE = (b"date", b"Sat, 28 Nov 2026 21:46:16 GMT")


class Application:
    """Answers of all kinds. `gate` lets slow ones go on; `log` is what it was told by the server."""

    def __init__(self):
        self.gate = asyncio.Event()
        self.log = []

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http":
            self.log.append(
                (scope["method"], scope["path"], scope["raw_path"], scope["query_string"])
            )
            name = scope["path"].strip("/").partition("/")[0]
            await getattr(self, name or "whole", self.whole)(receive, send)

    async def whole(self, receive, send, status=200, body=b"whole", *more):
        headers = [(b"content-length", b"%d" % len(body)), (b"content-type", b"text/plain"), *more]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def echo(self, receive, send):
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body, more = body + message["body"], message["more_body"]
        await self.whole(receive, send, 200, body)

    async def slow(self, receive, send):
        await self.gate.wait()
        await self.whole(receive, send)

    async def tagged(self, receive, send):
        await self.whole(receive, send, 200, b"x", (b"etag", b'"7"'), (b"x-other", b"y"))

    async def breaking(self, receive, send):
        await self.whole(receive, send, 200, b"x", (b"etag", b"a\r\nx-evil: b"))

    async def last(self, receive, send):
        await self.whole(receive, send, 200, b"bye", (b"connection", b"close"))

    async def unchanged(self, receive, send):
        start = {"type": "http.response.start", "status": 304, "headers": [(b"etag", b'"7"')]}
        await send(start)
        await send({"type": "http.response.body", "body": b""})

    async def empty(self, receive, send):
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    async def pieces(self, receive, send):
        headers = [(b"content-length", b"6")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"abc", "more_body": True})
        await send({"type": "http.response.body", "body": b"def"})

    async def short(self, receive, send):
        headers = [(b"content-length", b"6")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"abc"})

    async def chunked(self, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        await self.gate.wait()
        await send({"type": "http.response.body", "body": b"second"})

    async def gone(self, receive, send):
        await receive()
        self.log.append(await receive())

    async def twice(self, receive, send):
        start = {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-length", b"0")],
        }
        await send(start)
        await send(start)

    async def crash(self, receive, send):
        raise ValueError("crash")

    async def silent(self, receive, send):
        pass


@contextlib.asynccontextmanager
async def listening(kind, app, keep_alive_s=5.0):
    """A server of the protocol `kind`; its port and state."""
    config = uvicorn.Config(
        app, http=kind, log_config=None, access_log=False, timeout_keep_alive=keep_alive_s
    )
    config.load()
    state = ServerState()
    state.default_headers = [DATE]
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: kind(config=config, server_state=state, app_state={}), "127.0.0.1"
    )
    try:
        yield server.sockets[0].getsockname()[1], state
    finally:
        server.close()
        for connection in list(state.connections):
            connection.transport.abort()
        for task in list(state.tasks):
            task.cancel()
        await asyncio.sleep(0)


def get(path, *lines, method="GET", version="1.1", body=b""):
    head = [f"{method} {path} HTTP/{version}", "Host: test", *lines]
    return "\r\n".join([*head, "", ""]).encode() + body


LENGTH = "Content-Length: 5"
CONVERSATIONS = {
    "whole": [get("/whole")],
    "twice": [get("/whole"), get("/echo?x=1")],
    "pipelined": [get("/whole") + get("/tagged") + get("/unchanged") + get("/whole")],
    "body": [get("/echo", LENGTH, method="POST", body=b"hello")],
    "body in pieces": [get("/echo", LENGTH, method="POST"), b"he", b"llo"],
    "chunks": [
        get("/echo", "Transfer-Encoding: chunked", method="POST"),
        b"5\r\nhello\r\n",
        b"0\r\n\r\n",
    ],
    "expects": [get("/echo", LENGTH, "Expect: 100-continue", method="POST"), b"hello"],
    "other header": [get("/tagged")],
    "header that breaks out": [get("/breaking")],
    "304": [get("/unchanged"), get("/whole")],
    "204": [get("/empty"), get("/whole")],
    "HEAD": [get("/whole", method="HEAD"), get("/whole")],
    "body in two messages": [get("/pieces")],
    "body too short": [get("/short")],
    "closed by the application": [get("/last")],
    "closed by the caller": [get("/whole", "Connection: close")],
    "HTTP/1.0": [get("/whole", version="1.0")],
    "HTTP/1.0 kept": [get("/whole", "Connection: keep-alive", version="1.0")],
    "two heads": [get("/twice")],
    "crash": [get("/crash")],
    "no answer": [get("/silent")],
    "escaped": [get("/whole/a%20b%C3%A9?x=%41")],
    "escaped query": [get("/whole?x=%41&y=#z")],
    "absolute": [get("http://other/whole?x=1")],
    "odd characters": [get('/whole/a"b<c>|^{}`\\;:@\'?"<>|[]')],
    "a question mark alone": [get("/whole?")],
    "two slashes": [get("//whole//a?b?c")],
    "no path": [get("*", method="OPTIONS")],
    "not ASCII": ["GET /whole/é HTTP/1.1\r\nHost: test\r\n\r\n".encode()],
    "no HTTP": [b"nonsense\r\n\r\n"],
    "an upgrade": [get("/whole", "Connection: Upgrade", "Upgrade: h2c")],
}


async def heard(kind, pieces):
    """What a caller reads who sends these one after another and then a last call, and what the
    application saw."""
    app = Application()
    async with listening(kind, app) as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        answer = b""
        for piece in (*pieces, get("/last")):
            writer.write(piece)
            with contextlib.suppress(TimeoutError):
                while more := await asyncio.wait_for(reader.read(1 << 16), 0.05):
                    answer += more
            if reader.at_eof():
                break
        answer += await asyncio.wait_for(reader.read(), 5)
        writer.close()
        return answer, app.log


@pytest.mark.parametrize("name", CONVERSATIONS)
async def test_both_say_the_same(name):
    pieces = CONVERSATIONS[name]
    ours, theirs = await heard(Protocol, pieces), await heard(HttpToolsProtocol, pieces)
    assert theirs == ours
    assert name in ("no HTTP", "not ASCII") or theirs[1]


class Wire:
    """A transport that notes what is written."""

    def __init__(self):
        self.written = []

    def write(self, data):
        self.written.append(data)

    def is_closing(self):
        return False

    def get_extra_info(self, name, default=None):
        return default


async def test_a_whole_answer_is_one_write_and_a_connection_has_one_timer():
    config = uvicorn.Config(Application(), log_config=None, access_log=False)
    config.load()
    state, wire = ServerState(), Wire()
    protocol = Protocol(config, state, {})
    protocol.connection_made(wire)
    timers = set()
    for _ in range(3):
        protocol.data_received(get("/whole"))
        await asyncio.gather(*state.tasks)
        timers.add(protocol.timeout_keep_alive_task)
        assert wire.written.pop().endswith(b"\r\n\r\nwhole")
        assert not wire.written
    assert len(timers) == 1
    protocol.connection_lost(ConnectionResetError())
    assert timers.pop().cancelled()


async def test_a_stream_begins_at_once():
    app = Application()
    async with listening(Protocol, app) as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(get("/chunked"))
        assert await asyncio.wait_for(reader.readuntil(b"first\r\n"), 5)
        app.gate.set()
        assert await asyncio.wait_for(reader.readuntil(b"second\r\n0\r\n\r\n"), 5)
        writer.close()


async def test_an_idle_connection_is_closed_and_a_busy_one_is_not():
    app = Application()
    async with listening(Protocol, app, keep_alive_s=0.2) as (port, state):
        loop = asyncio.get_running_loop()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(5):  # longer than it may be idle, with calls in between
            writer.write(get("/whole"))
            await asyncio.wait_for(reader.readuntil(b"\r\n\r\nwhole"), 5)
            await asyncio.sleep(0.1)
        writer.write(get("/slow"))
        await asyncio.sleep(0.5)  # a long wait is not idle
        assert state.connections
        app.gate.set()
        answered_at = loop.time()
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\nwhole"), 5)
        assert await asyncio.wait_for(reader.read(), 5) == b""
        assert loop.time() - answered_at >= 0.19
        assert not state.connections
        writer.close()


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nX-Long: "], ids=["silent", "dripping"])
@pytest.mark.parametrize("calls", [0, 1])
async def test_a_head_that_does_not_come_is_not_waited_for(said, calls):
    async with listening(Protocol, Application(), keep_alive_s=0.3) as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(calls):
            writer.write(get("/whole"))
            await asyncio.wait_for(reader.readuntil(b"\r\n\r\nwhole"), 5)
        writer.write(said)
        left = asyncio.create_task(reader.read())
        for _ in range(100):
            if said and not left.done():
                writer.write(b"x")
            await asyncio.wait([left], timeout=0.05)
            if left.done():
                break
        assert left.done() and left.result() == b""
        writer.close()


HEAD = b"POST /echo HTTP/1.1\r\nHost: x\r\n"
ENDLESS = {
    "address": (b"GET /", b"x" * 1000),
    "header": (HEAD + b"X-Long: ", b"x" * 1000),
    "headers": (HEAD, b"X-More: " + b"x" * 990 + b"\r\n"),
    "trailers": (
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n",
        b"X-More: " + b"x" * 990 + b"\r\n",
    ),
}


@pytest.mark.parametrize(("begin", "more"), ENDLESS.values(), ids=ENDLESS)
async def test_a_head_without_end_is_refused(begin, more):
    async with listening(Protocol, Application()) as (port, state):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(begin)
        for _ in range(1000):
            writer.write(more)
            await asyncio.sleep(0)
            if reader.at_eof() or not state.connections:
                break
            await writer.drain()
        else:
            raise AssertionError("a megabyte of head was taken")
        writer.close()


async def test_a_large_body_is_no_head():
    async with listening(Protocol, Application()) as (port, _):
        for head in (b"Content-Length: 1000000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            chunked = b"chunked" in head
            body = (
                b"f4240\r\n" + b"x" * 1_000_000 + b"\r\n0\r\n\r\n" if chunked else b"x" * 1_000_000
            )
            writer.write(HEAD + head + body)
            await asyncio.wait_for(reader.readuntil(b"content-length: 1000000\r\n"), 5)
            writer.close()


class Hasty(Protocol):
    max_body_s = 0.6


@pytest.mark.parametrize("piece", [b"", b"x"], ids=["stalled", "dripping"])
@pytest.mark.parametrize("calls", [0, 1])
async def test_a_body_that_does_not_come_is_not_waited_for(piece, calls):
    app = Application()
    async with listening(Hasty, app, keep_alive_s=0.3) as (port, state):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(calls):
            writer.write(get("/whole"))
            await asyncio.wait_for(reader.readuntil(b"\r\n\r\nwhole"), 5)
        writer.write(HEAD + b"Content-Length: 1000\r\n\r\nx")
        left = asyncio.create_task(reader.read())
        for _ in range(100):
            if piece and not left.done():
                writer.write(piece)
            await asyncio.wait([left], timeout=0.05)
            if left.done():
                break
        writer.close()
        assert left.done() and not state.connections
        with contextlib.suppress(ConnectionResetError):  # what dripped into the closed connection
            assert left.result() == b""


async def test_a_body_that_comes_slowly_is_waited_for():
    async with listening(Protocol, Application(), keep_alive_s=0.3) as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD + b"Content-Length: 10\r\n\r\n")
        for _ in range(10):
            await asyncio.sleep(0.1)
            writer.write(b"x")
        await asyncio.wait_for(reader.readuntil(b"x" * 10), 5)
        writer.close()


async def test_a_body_behind_a_long_answer_is_not_late():
    """It is we who do not read it while the call before is served."""
    app = Application()
    async with listening(Protocol, app, keep_alive_s=0.2) as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(get("/slow") + HEAD + b"Content-Length: 2\r\n\r\nx")
        await asyncio.sleep(0.7)
        app.gate.set()
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\nwhole"), 5)
        writer.write(b"y")
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\nxy"), 5)
        writer.close()


async def test_the_application_learns_that_the_caller_has_gone():
    app = Application()
    async with listening(Protocol, app) as (port, state):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(get("/gone"))
        await asyncio.sleep(0.05)
        writer.close()
        await asyncio.wait_for(asyncio.gather(*state.tasks), 5)
        assert app.log[-1] == {"type": "http.disconnect"}


async def test_a_stop_answers_those_who_wait_and_closes():
    app = FastAPI()
    app.state.stopping = stopping = Stopping()

    @app.get("/wait")
    async def wait(request: Request) -> Response:
        await stopping.wait()
        return unchanged('"1"')

    @app.get("/numbers")
    async def numbers() -> Response:
        async def count():
            yield b"1"
            await stopping.wait()
            yield b"2"

        return StreamingResponse(count())

    @app.get("/")
    async def root() -> Response:
        return json_reply({})

    async with contextlib.AsyncExitStack() as stack:
        url = await stack.enter_async_context(served(app, grace_s=5))
        port = int(url.rpartition(":")[2])
        callers = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        for (_, writer), path in zip(callers, ("/wait", "/numbers", "/"), strict=True):
            writer.write(get(path))
        await asyncio.wait_for(callers[2][0].readuntil(b"{}"), 5)  # idle from now on
        await asyncio.wait_for(callers[1][0].readuntil(b"1\r\n"), 5)
    rest = [await asyncio.wait_for(reader.read(), 5) for reader, _ in callers]
    assert rest[0].startswith(b"HTTP/1.1 304 ") and b"\r\nconnection: close\r\n" in rest[0]
    assert rest[1].endswith(b"1\r\n2\r\n0\r\n\r\n")
    assert rest[2] == b""
    for _, writer in callers:
        writer.close()
