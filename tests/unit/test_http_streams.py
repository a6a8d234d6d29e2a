"""Streams of Server-Sent Events end with their client, whatever they are doing just then."""

import asyncio
from types import SimpleNamespace

from fastapi import Request

from shared.http.sse import SseEvent, event_stream
from shared.http.stopping import Stopping


async def _endless(closed: asyncio.Event):
    """There is always one more event, as in a journal that is read from its beginning."""
    try:
        while True:
            yield SseEvent(b"{}")
            await asyncio.sleep(0)
    finally:
        closed.set()


async def _served(ends) -> bool:
    """Whether a stream that `ends(sent, stopping)` soon after its beginning has ended for good."""
    closed, gone, sent, stopping = asyncio.Event(), asyncio.Event(), list[bytes](), Stopping()
    app = SimpleNamespace(state=SimpleNamespace(stopping=stopping))
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "app": app}

    async def receive():
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message.get("body", b""))
        if len(sent) == 20:
            ends(gone, stopping)

    response = event_stream(Request(scope, receive), _endless(closed), buffer=4)
    async with asyncio.timeout(2):
        await response(scope, receive, send)
    return closed.is_set()


async def test_a_client_that_leaves_in_the_middle_of_much_to_say_ends_the_stream():
    assert await _served(lambda gone, stopping: gone.set())


async def test_a_server_that_stops_ends_a_stream_that_has_much_to_say():
    assert await _served(lambda gone, stopping: stopping.set())
