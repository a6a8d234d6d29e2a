"""Large payloads are read beside the event loop: what they become is the same, other calls go on, what waits
is bounded, and a process that dies takes nothing with it."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from services.channels.connectors import registry
from services.channels.connectors.handling import handle
from services.channels.connectors.port import InboundRequest
from services.channels.forms_posted import NDJSON, Sent, read_posted
from services.channels.readers import Readers
from shared.contracts.problems import Refused

HEAD = (
    b"From: kim@example.org\r\nTo: help@example.org\r\nMessage-ID: <1@example.org>\r\n"
    b"MIME-Version: 1.0\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"
)
HOSTILE = HEAD + b"<b><p>" * 30_000
PLACE: dict[str, Any] = {"connector_id": "mail", "workspace": "acme", "languages": ()}


@pytest.fixture
def readers() -> Iterator[Readers]:
    made = Readers(large_bytes=1_000)
    yield made
    made.close()


def request(body: bytes) -> InboundRequest:
    headers = (("Content-Type", "message/rfc822"),)
    return InboundRequest("POST", "https://x.example/", headers, body, 1_790_000_000_000_000)


def arguments(body: bytes) -> tuple[Any, ...]:
    kind = registry.get("email_mime")
    return kind, kind.settings.model_validate({}), {}, request(body)


async def test_a_hostile_mail_is_read_beside_the_loop(readers: Readers) -> None:
    before = time.thread_time()
    alone = handle(*arguments(HOSTILE), **PLACE, trial=True)
    takes_s = time.thread_time() - before
    await readers.handle(*arguments(HOSTILE[:2_000]), **PLACE, trial=True)  # it has started
    spent = time.thread_time()
    read = await readers.handle(*arguments(HOSTILE), **PLACE, trial=True)
    spent = time.thread_time() - spent
    assert read == alone
    # Processor time of the loop's thread: what others leave of the machine does not count.
    assert spent < takes_s / 5, (spent, takes_s)


async def test_other_calls_go_on_meanwhile(readers: Readers) -> None:
    await readers.handle(*arguments(HOSTILE[:2_000]), **PLACE, trial=True)
    turns = 0
    reading = asyncio.create_task(readers.handle(*arguments(HOSTILE), **PLACE, trial=True))
    while not reading.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert (await reading).events
    assert turns > 10


async def test_small_payloads_need_no_process() -> None:
    readers = Readers()
    small = HEAD + b"<p>hello</p>"
    assert (await readers.handle(*arguments(small), **PLACE)).events
    assert readers._pool is None


async def test_what_is_read_at_once_is_bounded() -> None:
    readers = Readers(large_bytes=1_000, held_max_bytes=len(HOSTILE) + 1)
    first = asyncio.create_task(readers.handle(*arguments(HOSTILE), **PLACE))
    await asyncio.sleep(0)
    with pytest.raises(Refused) as refused:
        await readers.handle(*arguments(HOSTILE), **PLACE)
    assert refused.value.kind == "unavailable"
    assert refused.value.retry_after_s
    assert (await first).accepted
    assert (await readers.handle(*arguments(HOSTILE), **PLACE)).accepted, "there is room again"
    readers.close()


async def test_a_process_that_dies_is_replaced(readers: Readers) -> None:
    process = await readers.read(1, os.getpid)
    deadly = [readers.read(1, os.kill, process, signal.SIGKILL)]
    beside = [readers.read(1, time.sleep, 5) for _ in range(3)]
    for one in await asyncio.gather(*deadly, *beside, return_exceptions=True):
        assert isinstance(one, Refused)
        assert one.kind == "unavailable"
    assert (await readers.handle(*arguments(HOSTILE), **PLACE)).accepted


async def test_refusals_come_through_as_they_are(readers: Readers) -> None:
    bad = {"kind": "email_mim", "body_base64": "x" * 2_000}
    given: dict[str, Any] = {"workspace": "acme", "now_us": 1, "languages": ()}
    told: list[Refused] = []
    for size in (10, 2_000):
        with pytest.raises(Refused) as refused:
            await readers.preview(size, bad, **given)
        told.append(refused.value)
    assert told[0].errors == told[1].errors != []
    assert (told[0].kind, told[0].detail) == (told[1].kind, told[1].detail)


async def test_posted_rows_are_the_same_read_elsewhere(readers: Readers) -> None:
    row = (
        b'{"specversion":"1.0","id":"%d","source":"crm","type":"interaction.message.v1","data":{'
        b'"channel":"chat","conversation_key":"t","direction":"inbound","author":{"role":"customer"},'
        b'"text":"hello","attachments":[{"name":"a","content_base64":"aGVsbG8="}]}}'
    )
    body = b"\n".join([*(row % number for number in range(200)), b'{"id": 3}'])
    sent = Sent(NDJSON[0], [], body, "acme", (), 1_790_000_000_000_000)
    read = await readers.read(len(body), read_posted, sent)
    assert read == read_posted(sent)
    assert len(read.rows) == 201
    assert list(read.blobs.values()) == [b"hello"]
