"""The load generator of the benches: nothing of its own is charged to the server."""

import asyncio
from itertools import islice

import pytest

from bench.posting import post, requests
from shared.contracts.problems import Refused


def test_connectors_are_loaded_before_the_clock_runs_and_not_by_the_first_webhook() -> None:
    with pytest.raises(Refused):
        requests("no_such_kind", "/inbound", "-", 1, 0)


def test_webhooks_and_events_differ_from_one_to_the_next():
    for form, size in (("slack", 1), ("whatsapp_cloud", 1), ("events", 1), ("events", 3)):
        made = list(islice(requests(form, "/path", "-", size, 7), 3))
        assert len(set(made)) == 3
        assert all(each.startswith(b"POST /path HTTP/1.1\r\n") for each in made)


async def test_a_run_says_when_its_slowest_request_was_due():
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for number in range(20):
            await reader.readuntil(b"\r\n\r\n")
            if number == 10:
                await asyncio.sleep(0.05)
            writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        request = b"POST / HTTP/1.1\r\n\r\n"
        done = await post(f"http://127.0.0.1:{port}", iter([request] * 20), 1, 0.2, 100.0)
    assert (done.requests, done.failed) == (20, 0)
    assert done.most_ms >= 50
    assert 0.095 < done.most_at_s < 0.2
