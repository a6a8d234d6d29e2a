"""Recorded replies and one-time tickets on real PostgreSQL."""

import asyncio

import pytest
from sqlalchemy import select, text

from shared.contracts.problems import Refused
from shared.db.call_store import ReplyStore, TicketStore, prune
from shared.db.key_store import KeyStore
from shared.db.platform_store import PlatformStore
from shared.db.secrets import SecretBox
from shared.db.tables import idempotency
from shared.http.idempotency import Recorded
from shared.http.principals import Principal
from shared.runtime.port import IdempotencyKey

KEY = IdempotencyKey("key:k1\nPOST /v1/workspaces/acme/keys", "once", b"a" * 32)
OTHER_BODY = IdempotencyKey(KEY.scope, KEY.key, b"b" * 32)
REPLY = Recorded(b"a" * 32, 201, b'{"token":"omr_secret"}', etag='"1"')
ANA = Principal("key:k1", "acme", ("agent",), "ana", known=True)


@pytest.fixture
def replies(engine):
    return ReplyStore(engine, SecretBox(b"k" * 32))


async def test_the_first_claims_and_the_next_gets_its_reply(replies):
    assert await replies.claim("acme", KEY) is None
    await replies.record("acme", KEY, REPLY)
    assert await replies.claim("acme", KEY) == REPLY
    assert await replies.claim("other", KEY) is None


async def test_while_in_flight_the_key_is_taken(replies):
    results = await asyncio.gather(
        *(replies.claim("acme", KEY) for _ in range(5)), return_exceptions=True
    )
    refused = [result for result in results if isinstance(result, Refused)]
    assert results.count(None) == 1
    assert {one.reason for one in refused} == {"in_flight"} and len(refused) == 4


async def test_another_body_is_a_mismatch(replies):
    await replies.claim("acme", KEY)
    with pytest.raises(Refused) as refused:
        await replies.claim("acme", OTHER_BODY)
    assert refused.value.kind == "idempotency-mismatch"


async def test_a_released_key_is_free(replies):
    await replies.claim("acme", KEY)
    await replies.release("acme", KEY)
    assert await replies.claim("acme", OTHER_BODY) is None


async def test_releasing_does_not_forget_a_reply(replies):
    await replies.claim("acme", KEY)
    await replies.record("acme", KEY, REPLY)
    await replies.release("acme", KEY)
    assert await replies.claim("acme", KEY) == REPLY


@pytest.mark.parametrize("recorded", [False, True])
async def test_old_ones_are_claimed_anew(replies, engine, recorded):
    await replies.claim("acme", KEY)
    if recorded:
        await replies.record("acme", KEY, REPLY)
    await _grow_older(engine, "25 hours")
    assert await replies.claim("acme", OTHER_BODY) is None


async def test_what_was_left_in_flight_is_for_the_same_body(replies, engine):
    """It may have been done: its caller repeats it, and nobody takes another call for it."""
    await replies.claim("acme", KEY)
    await _grow_older(engine, "61 seconds")
    with pytest.raises(Refused) as refused:
        await replies.claim("acme", OTHER_BODY)
    assert refused.value.kind == "idempotency-mismatch"
    assert await replies.claim("acme", KEY) is None


async def test_replies_are_sealed(replies, engine):
    await replies.claim("acme", KEY)
    await replies.record("acme", KEY, REPLY)
    async with engine.connect() as connection:
        stored = (await connection.execute(select(idempotency.c.reply))).scalar_one()
    assert b"omr_secret" not in stored


async def test_a_ticket_is_good_once(engine):
    tickets = TicketStore(engine)
    ticket, expires_at = await tickets.create(ANA, "acme")
    assert expires_at.endswith("Z")
    taken = await asyncio.gather(*(tickets.consume(ticket) for _ in range(5)))
    assert taken.count(None) == 4 and (ANA, "acme") in taken
    assert await tickets.consume("another") is None


async def test_a_ticket_ends_with_the_key_that_got_it(engine):
    await PlatformStore(engine).create_workspace("acme", 12)
    keys, tickets = KeyStore(engine), TicketStore(engine)
    key, _ = await keys.create("acme", "desktop", "agent", agent="ana")
    ana = Principal(f"key:{key.id}", "acme", ("agent",), "ana", known=True)
    kept, ended = [(await tickets.create(ana, "acme"))[0] for _ in range(2)]
    assert await tickets.consume(kept) == (ana, "acme")
    await keys.revoke("acme", key.id)
    assert await tickets.consume(ended) is None


async def test_an_expired_ticket_is_not(engine):
    tickets = TicketStore(engine)
    ticket, _ = await tickets.create(ANA, "acme")
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE platform.stream_ticket SET expires_at = now()"))
    assert await tickets.consume(ticket) is None


async def test_pruning_deletes_only_what_expired(engine, replies):
    tickets = TicketStore(engine)
    await tickets.create(ANA, "acme")
    await replies.claim("acme", KEY)
    assert await prune(engine) == 0
    await _grow_older(engine, "25 hours")
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE platform.stream_ticket SET expires_at = now()"))
    assert await prune(engine) == 2


async def _grow_older(engine, age):
    async with engine.begin() as connection:
        await connection.execute(
            text(f"UPDATE platform.idempotency SET created_at = now() - interval '{age}'")
        )
