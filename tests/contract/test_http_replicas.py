"""Replicas on real sockets: one-hop forwarding, streams, and stopping without cutting anyone off."""

import asyncio
import contextlib
import re
import time
from typing import Annotated

import httpx
import pytest
import structlog
from fastapi import Depends, Request
from prometheus_client import CollectorRegistry

from shared.http import peers
from shared.http.app import create_app
from shared.http.auth import Access, Authenticator, Caller, require
from shared.http.direct import direct_post
from shared.http.forward import Forwarder
from shared.http.peers import PeerSeal
from shared.http.principals import KeyRecord
from shared.http.ratelimit import Rate, RateLimiter
from shared.http.replies import json_reply
from shared.http.routes import BATCH_BODY_BYTES, api_router
from shared.http.serve import HttpServer, served
from shared.http.sse import SseEvent, event_stream, last_event_id
from shared.http.stopping import stopping_of
from shared.http.tickets import MemoryTickets
from shared.runtime.port import NotOwner

W = "/v1/workspaces/acme"
AUTH = {"Authorization": "Bearer t"}


class Here:
    """Everyone's key, and a workspace that exists."""

    def __init__(self):
        self.revoked = asyncio.Event()

    async def lookup(self, token):
        return KeyRecord("k", "acme", "agent", "ana") if token == "t" else None

    async def ended(self, key_id):
        await self.revoked.wait()

    async def exists(self, workspace):
        return True


class Replica:
    """`owner` None: it owns the shard itself; a text: it believes that this replica does."""

    def __init__(self, secret=b"secret", owner=None, client=None):
        self.owner, self.seen, self.closed = owner, [], 0
        self.forwarder = Forwarder(PeerSeal(secret), client) if secret else None
        self.tickets, self.keys = MemoryTickets(), Here()
        self.app = create_app(
            "Omniroute",
            "Test",
            [self.routes()],
            version="1",
            access=Access(
                Authenticator(self.keys, tickets=self.tickets), Here(), RateLimiter(Rate(0.001, 50))
            ),
            ready=self.ready,
            registry=CollectorRegistry(),
            forwarder=self.forwarder,
            access_log="off",
        )

    async def ready(self):
        return {}

    def check(self, request):
        self.seen.append(request)
        if self.owner is not None:
            raise NotOwner(self.owner or None)

    def routes(self):
        router = api_router("x")
        Reads = Annotated[Caller, Depends(require("work:read", ticket=True))]

        @router.post("/echo", max_body_size=BATCH_BODY_BYTES, status_code=201)
        async def echo(
            request: Request, caller: Reads, a: str = "", c: str = "", x: str = "", agent: str = ""
        ):
            body = await request.body()
            self.check(request)
            headers = {"ETag": '"1"', "X-Query": request.url.query}
            return json_reply({"actor": caller.actor, "bytes": len(body)}, 201, headers)

        @direct_post(router, "/things/{thing}:post", "work:read")
        async def thing(request: Request, caller: Caller):
            """A thing."""
            body = await request.body()
            self.check(request)
            again = await request.body()
            told = {"thing": request.path_params["thing"], "actor": caller.actor}
            return json_reply({**told, "bytes": len(body), "again": len(again)})

        @router.get("/agents/{agent}/stream")
        async def stream(request: Request, caller: Reads):
            self.check(request)
            return event_stream(request, self.numbers(last_event_id(request) or 0), heartbeat_s=0.1)

        @router.get("/poll")
        async def poll(request: Request, caller: Reads):
            self.check(request)
            done = await stopping_of(request).wait_for(asyncio.Event().wait(), 20)
            return json_reply({"changed": done})

        @router.get("/slow")
        async def slow(request: Request, caller: Reads):
            await asyncio.sleep(0.4)
            return json_reply({"slow": True})

        @router.get("/dies")
        async def dies(request: Request, caller: Reads):
            self.check(request)

        @router.post("/dies")
        async def dies_too(request: Request, caller: Reads):
            self.check(request)

        return router

    async def numbers(self, after):
        try:
            for number in range(after + 1, after + 4):
                yield SseEvent(b'{"n":%d}' % number, str(number), "number")
            await asyncio.sleep(60)
        finally:
            self.closed += 1


@contextlib.asynccontextmanager
async def pair(**options):
    """(first, owner, client of the first)."""
    owner = Replica(**options)
    async with served(owner.app) as owner_url:
        first = Replica(owner=owner_url)
        async with served(first.app) as url, httpx.AsyncClient(base_url=url) as client:
            yield first, owner, client
        await first.forwarder.close()
    if owner.forwarder is not None:
        await owner.forwarder.close()


def kind(response):
    assert response.headers["content-type"] == "application/problem+json"
    return response.json()["type"].removeprefix("/problems/")


async def test_a_call_is_done_by_the_owner():
    async with pair() as (_, owner, client):
        response = await client.post(W + "/echo?a=%2Fb&c=d", content=b"x" * 100, headers=AUTH)
        assert (response.status_code, response.headers["etag"]) == (201, '"1"')
        assert response.json() == {"actor": "agent:ana", "bytes": 100}
        assert response.headers["x-query"] == "a=%2Fb&c=d"
        assert not [name for name in response.headers if name.startswith("x-omniroute")]
        assert len(response.headers.get_list("x-request-id")) == 1
        seen = owner.seen[0]
        assert "authorization" not in seen.headers
        assert seen.headers["x-request-id"] == response.headers["x-request-id"]


async def test_a_direct_call_whose_body_was_read_is_done_by_the_owner():
    async with pair() as (_, owner, client):
        response = await client.post(W + "/things/a1:post", content=b"x" * 100, headers=AUTH)
        told = {"thing": "a1", "actor": "agent:ana", "bytes": 100, "again": 100}
        assert (response.status_code, response.json()) == (200, told)
        assert len(owner.seen) == 1
        document = (await client.get("/openapi.json")).json()
    call = document["paths"]["/v1/workspaces/{workspace}/things/{thing}:post"]["post"]
    assert call["summary"] == "Thing"
    assert call["description"].startswith("A thing.\n\nRoles: agent, supervisor, ops, admin;")
    assert call["x-omniroute-action"] == "work:read"


ODD_QUERIES = [b'?agent="ana"', b"?x=<a>|{b}`^\\", b"?x=%zz%2F%7e%", b"?x=a?b/../c", b"?"]


@pytest.mark.parametrize("query", ODD_QUERIES)
async def test_the_owner_gets_the_address_as_it_was_sent(query):
    async with pair() as (_, owner, client):
        reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
        head = b" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t\r\nContent-Length: 0\r\n\r\n"
        writer.write(b"POST /v1/workspaces/acme/echo" + query + head)
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        writer.close()
        await writer.wait_closed()
        assert answer.startswith(b"HTTP/1.1 201")
        assert owner.seen[0].scope["query_string"] == query[1:]


async def test_large_bodies_pass_and_the_owner_keeps_its_limit():
    async with pair() as (_, _, client):
        response = await client.post(W + "/echo", content=b"x" * 5_000_000, headers=AUTH)
        assert response.json()["bytes"] == 5_000_000


async def test_a_ticket_used_at_the_first_replica_counts_at_the_owner():
    async with pair() as (first, owner, client):
        headers = {"Authorization": "Bearer t"}
        principal = await first.app.state.access.authenticator.bearer(headers["Authorization"])
        ticket, _ = await first.tickets.create(principal, "acme")
        async with client.stream("GET", f"{W}/agents/ana/stream?ticket={ticket}") as response:
            assert response.status_code == 200
            assert "id: 1" in await read_until(response, "id: 1")
        assert len(owner.seen) == 1


async def test_a_forwarded_call_is_never_forwarded_again():
    async with pair() as (first, owner, client):
        owner.owner = str(client.base_url)
        response = await client.post(W + "/echo", headers=AUTH)
        assert kind(response) == "unavailable"
        assert response.headers["retry-after"] == "1"
        assert len(first.seen) == len(owner.seen) == 1


async def test_the_rate_is_counted_once():
    async with pair() as (_, _, client):
        codes = [(await client.post(W + "/echo", headers=AUTH)).status_code for _ in range(51)]
    assert codes == [201] * 50 + [429]


@pytest.mark.parametrize("secret", [b"other", None])
async def test_replicas_with_another_secret_do_not_work_together(secret):
    async with pair(secret=secret) as (_, owner, client):
        assert kind(await client.post(W + "/echo", headers=AUTH)) == "unavailable"
        assert owner.seen == []


@pytest.mark.parametrize(
    ("seal", "why"),
    [
        (PeerSeal(b"other"), "signature"),
        (PeerSeal(b"secret", lambda: time.time() + 100), r"its clock differs by \d+ s"),
        (PeerSeal(b"secret", lambda: time.time() - 100), r"its clock differs by -\d+ s"),
    ],
)
async def test_an_owner_says_once_why_it_does_not_trust(seal, why):
    """The other replica cannot know, and its callers get 503."""
    owner = Replica()
    with structlog.testing.capture_logs() as said:
        async with served(owner.app) as url, httpx.AsyncClient() as client:
            for _ in range(3):
                headers = seal.sign("POST", W + "/echo", b"", None)
                assert (await client.post(url + W + "/echo", headers=headers)).status_code == 401
    told = [one for one in said if one["event"] == "peer.refused"]
    assert len(told) == 1 and re.search(why, told[0]["because"])
    assert told[0]["log_level"] == "warning"
    await owner.forwarder.close()


async def test_an_impostor_gets_no_answer_through():
    async def impostor(scope, receive, send):
        if scope["type"] == "lifespan":
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"trust me"})

    client = httpx.AsyncClient(transport=httpx.ASGITransport(impostor))
    first = Replica(owner="http://impostor", client=client)
    async with served(first.app) as url, httpx.AsyncClient(base_url=url) as client:
        response = await client.post(W + "/echo", headers=AUTH)
        assert kind(response) == "unavailable"
        assert "trust me" not in response.text
    await first.forwarder.close()


async def test_a_client_cannot_pretend_to_be_a_replica():
    async with pair() as (_, owner, client):
        forged = {peers.FORWARDED: "1", peers.PRINCIPAL: "e30=", peers.SIGNATURE: "00"}
        response = await client.post(W + "/echo", headers={**AUTH, **forged})
        assert kind(response) == "unauthenticated"
        assert owner.seen == []


async def test_a_body_changed_on_the_way_is_not_believed():
    owner = Replica()
    async with served(owner.app) as url, httpx.AsyncClient() as client:
        path = W + "/echo"
        headers = PeerSeal(b"secret").sign("POST", path, b"honest", None)
        response = await client.post(url + path, content=b"other!", headers={**AUTH, **headers})
        assert kind(response) == "unauthenticated"
        assert owner.seen == []
    await owner.forwarder.close()


@pytest.mark.parametrize("owner", ["", "http://127.0.0.1:1"])
async def test_nobody_there(owner):
    first = Replica(owner=owner)
    async with served(first.app) as url, httpx.AsyncClient(base_url=url) as client:
        response = await client.post(W + "/echo", headers=AUTH)
        assert kind(response) == "unavailable"
        assert response.headers["retry-after"] == "1"
    await first.forwarder.close()


@pytest.mark.parametrize(
    ("method", "expected"), [("GET", "unavailable"), ("POST", "outcome-unknown")]
)
async def test_an_owner_that_dies_while_it_answers(method, expected):
    async def hang_up(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    first = Replica(owner=f"http://127.0.0.1:{port}")
    async with served(first.app) as url, httpx.AsyncClient(base_url=url) as client:
        assert kind(await client.request(method, W + "/dies", headers=AUTH)) == expected
    await first.forwarder.close()
    server.close()
    await server.wait_closed()


# Streams


async def read_until(response, text):
    seen = ""
    async for chunk in response.aiter_text():
        seen += chunk
        if text in seen:
            return seen
    return seen


async def test_a_stream_resumes_and_stays_alive():
    replica = Replica()
    path = W + "/agents/ana/stream"
    async with served(replica.app) as url, httpx.AsyncClient(base_url=url) as client:
        headers = {**AUTH, "Last-Event-ID": "7"}
        async with client.stream("GET", path, headers=headers) as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            assert response.headers["cache-control"] == "no-store"
            assert "content-length" not in response.headers
            seen = await read_until(response, ": alive")
        assert [f'id: {n}\nevent: number\ndata: {{"n":{n}}}' in seen for n in (7, 8, 10)] == [
            False,
            True,
            True,
        ]
        await until(lambda: replica.closed == 1)
        bad = await client.get(path, headers={**AUTH, "Last-Event-ID": "x"})
        assert kind(bad) == "validation"
    await replica.forwarder.close()


async def test_a_forwarded_stream_flows_and_ends_with_its_client():
    async with pair() as (_, owner, client):
        async with client.stream("GET", W + "/agents/ana/stream", headers=AUTH) as response:
            assert "id: 3" in await read_until(response, "id: 3")
            assert owner.closed == 0
        await until(lambda: owner.closed == 1)


async def test_a_stream_ends_with_the_key_that_opened_it():
    async with pair() as (first, owner, client):
        principal = await first.app.state.access.authenticator.bearer("Bearer t")
        ticket, _ = await first.tickets.create(principal, "acme")
        path = W + "/agents/ana/stream"
        async with (
            client.stream("GET", path, headers=AUTH) as by_token,
            client.stream("GET", f"{path}?ticket={ticket}") as by_ticket,
        ):
            for response in (by_token, by_ticket):
                await read_until(response, "id: 3")
            assert owner.closed == 0
            owner.keys.revoked.set()
            await until(lambda: owner.closed == 2)


async def until(condition, timeout_s=5.0):
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "it never came true"
        await asyncio.sleep(0.01)


# Stopping


async def test_stopping_ends_waits_early_and_finishes_running_calls():
    replica = Replica()
    server = HttpServer(replica.app, grace_s=5)
    await server.start()
    async with httpx.AsyncClient(base_url=server.base_url, timeout=30) as client:
        poll = asyncio.create_task(client.get(W + "/poll", headers=AUTH))
        slow = asyncio.create_task(client.get(W + "/slow", headers=AUTH))
        async with client.stream("GET", W + "/agents/ana/stream", headers=AUTH) as stream:
            chunks = stream.aiter_text()
            await anext(chunks)
            began = time.monotonic()
            stop = asyncio.create_task(server.stop())
            async for _ in chunks:
                pass
        assert (await poll).json() == {"changed": False}
        assert (await slow).json() == {"slow": True}
        await stop
        assert time.monotonic() - began < 4
        assert replica.closed == 1
        with pytest.raises(httpx.ConnectError):
            await client.get("/health/live")
    await server.stop()
    await replica.forwarder.close()


async def test_a_taken_port_is_an_error_at_once():
    async with served(Replica(secret=None).app) as url:
        with pytest.raises(OSError):
            HttpServer(Replica(secret=None).app, port=int(url.rpartition(":")[2]))


async def test_a_failing_start_is_told():
    @contextlib.asynccontextmanager
    async def lifespan(app):
        raise ValueError("no")
        yield

    replica = Replica(secret=None)
    replica.app.router.lifespan_context = lifespan
    server = HttpServer(replica.app)
    with pytest.raises(RuntimeError, match="did not start"):
        await server.start()
    await server.stop()
