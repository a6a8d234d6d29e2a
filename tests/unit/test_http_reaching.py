"""However early a peer resets a connection, who called it gets one of httpx's errors."""

import asyncio
import contextlib
import socket
from collections.abc import Callable

import httpx
import pytest
import uvloop

from shared.http.reaching import reaching

TURNS = 16
"""Of the event loop; by then the request has been written."""


async def _killed_after(turns: int, client: httpx.AsyncClient) -> Exception | None:
    """What is raised when the peer dies so many turns of the loop after the call began, its
    connection still in the backlog."""
    peer = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{peer.getsockname()[1]}/"

    async def call() -> None:
        with reaching():
            await client.get(url)

    calling = asyncio.create_task(call())
    with contextlib.closing(peer):
        for _ in range(turns):
            await asyncio.sleep(0)
    try:
        await calling
    except Exception as error:
        return error
    return None


@pytest.mark.parametrize("new_loop", [uvloop.new_event_loop, asyncio.new_event_loop])
def test_a_peer_that_dies_at_any_moment_of_the_connecting(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def die_at_each() -> None:
        async with httpx.AsyncClient(trust_env=False, verify=False, timeout=10) as client:
            for turns in [*range(TURNS)] * 4:
                error = await _killed_after(turns, client)
                assert isinstance(error, httpx.HTTPError), f"after {turns} turns: {error!r}"

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(die_at_each())


def test_mistakes_pass_as_they_are():
    with pytest.raises(AttributeError), reaching():
        raise AttributeError
    with pytest.raises(AttributeError), reaching():
        object().nothing  # noqa: B018  # pyright: ignore
