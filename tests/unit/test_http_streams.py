"""Streams of Server-Sent Events end with their client, whatever they are doing just then."""

import asyncio
import time
from types import SimpleNamespace

import pytest
from fastapi import Request

from shared.contracts.problems import Refused
from shared.http.auth import Access, Authenticator
from shared.http.principals import Principal
from shared.http.sse import SseEvent, event_stream
from shared.http.stopping import Stopping
from shared.http.tickets import MemoryTickets


async def _endless(closed: asyncio.Event):
    """There is always one more event, as in a journal that is read from its beginning."""
    try:
        while True:
            yield SseEvent(b"{}")
            await asyncio.sleep(0)
    finally:
        closed.set()


class _Keys:
    """No key is known, and none ends."""

    async def lookup(self, token: str) -> None:
        return

    async def ended(self, key_id: str) -> None:
        await asyncio.Event().wait()


class _Workspaces:
    async def exists(self, workspace: str) -> bool:
        return True


def _of_token(ends: float | None) -> Principal:
    return Principal("jwt:issuer:ana", "acme", ("agent",), "ana", ends=ends)


async def _served(ends, principal: Principal | None = None) -> bool:
    """Whether a stream that `ends(sent, stopping)` soon after its beginning has ended for good."""
    closed, gone, sent, stopping = asyncio.Event(), asyncio.Event(), list[bytes](), Stopping()
    access = Access(Authenticator(_Keys()), _Workspaces())
    app = SimpleNamespace(state=SimpleNamespace(stopping=stopping, access=access))
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "app": app}
    if principal is not None:
        scope["omniroute.authenticated"] = principal

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


async def test_a_stream_ends_when_its_token_expires():
    assert await _served(lambda gone, stopping: None, _of_token(time.time() + 0.2))


async def test_a_stream_goes_on_while_its_token_is_good():
    with pytest.raises(TimeoutError):
        await _served(lambda gone, stopping: None, _of_token(time.time() + 60))


async def test_a_ticket_is_good_no_longer_than_the_token_that_got_it():
    tickets = MemoryTickets()
    authenticator = Authenticator(_Keys(), tickets=tickets)
    good, _ = await tickets.create(_of_token(time.time() + 60), "acme")
    assert (await authenticator.ticket(good, "acme")).ends is not None
    late, _ = await tickets.create(_of_token(time.time() - 1), "acme")
    with pytest.raises(Refused, match="expired"):
        await authenticator.ticket(late, "acme")
