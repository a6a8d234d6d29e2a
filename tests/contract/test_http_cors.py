"""Desktops that a browser loads from elsewhere: which pages may call, and what they may read."""

import httpx
import pytest
from fastapi import Request
from prometheus_client import CollectorRegistry

from shared.contracts.problems import Refused
from shared.http.app import create_app
from shared.http.auth import Access, Authenticator, Caller
from shared.http.direct import direct_post
from shared.http.forward import Forwarder
from shared.http.peers import PeerSeal
from shared.http.principals import KeyRecord
from shared.http.replies import json_reply
from shared.http.routes import api_router
from shared.http.serve import served
from shared.runtime.port import NotOwner

W = "/v1/workspaces/acme"
DESK, SHOP = "https://desk.example", "https://shop.example"
ALLOWED, EXPOSED = "access-control-allow-origin", "access-control-expose-headers"
ASKS = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "authorization"}


class Here:
    async def lookup(self, token):
        return KeyRecord("k", "acme", "agent", "ana") if token == "t" else None

    async def exists(self, workspace):
        return True


def app(*origins, owner=None):
    async def ready():
        return {}

    forwarder = Forwarder(PeerSeal(b"secret"))
    return create_app(
        "Omniroute",
        "Test",
        [routes(owner)],
        version="1",
        access=Access(Authenticator(Here()), Here()),
        ready=ready,
        registry=CollectorRegistry(),
        forwarder=forwarder,
        access_log="off",
        cors_origins=origins,
        state={"forwarder": forwarder},
    )


def routes(owner):
    router = api_router("things")

    @direct_post(router, "/things/{thing}:post", "work:read")
    async def act(request: Request, caller: Caller):
        """Act."""
        if owner is not None:
            raise NotOwner(owner)
        return json_reply({"acted": True}, headers={"ETag": '"1"'})

    @router.get("/pages")
    async def own():
        """A call that knows pages of its own, as a web chat's do."""
        return json_reply({}, headers={"Access-Control-Allow-Origin": SHOP, "Vary": "Origin"})

    @router.get("/refused")
    async def refused():
        raise Refused("conflict", "No.")

    @router.get("/fails")
    async def fails():
        raise ValueError

    @router.options("/pages")
    async def own_preflight():
        return json_reply({}, headers={"Access-Control-Allow-Origin": SHOP})

    return router


async def ask(application, method, path, origin, **headers):
    async with served(application) as url, httpx.AsyncClient(base_url=url, trust_env=False) as http:
        given = {"Authorization": "Bearer t", **({"Origin": origin} if origin else {}), **headers}
        try:
            return await http.request(method, path, headers=given)
        finally:
            await application.state.forwarder.close()


async def test_off_without_a_setting():
    asked = await ask(app(), "OPTIONS", W + "/things/a:post", DESK, **ASKS)
    assert asked.status_code == 405
    answer = await ask(app(), "POST", W + "/things/a:post", DESK)
    assert answer.status_code == 200
    assert not {ALLOWED, "vary"} & answer.headers.keys()


async def test_a_browser_asks_before_it_calls():
    asked = await ask(app(DESK), "OPTIONS", W + "/things/a:post", DESK, **ASKS)
    assert (asked.status_code, asked.headers[ALLOWED]) == (204, DESK)
    assert {"authorization", "idempotency-key", "if-none-match"} <= {
        one.strip().lower() for one in asked.headers["access-control-allow-headers"].split(",")
    }
    assert "PUT" in asked.headers["access-control-allow-methods"]
    assert "access-control-allow-credentials" not in asked.headers


@pytest.mark.parametrize("path", ["/things/a:post", "/refused", "/fails", "/nothing"])
async def test_the_page_reads_every_answer_refusals_too(path):
    method = "POST" if path.endswith("post") else "GET"
    answer = await ask(app(DESK), method, W + path, DESK)
    assert answer.headers.get_list(ALLOWED) == [DESK]
    assert {"etag", "retry-after"} <= {
        one.strip().lower() for one in answer.headers[EXPOSED].split(",")
    }
    assert answer.headers["vary"].lower() == "origin"


@pytest.mark.parametrize(
    "origin", [SHOP, "null", DESK + ".evil.example", "http://desk.example", DESK + ":444", None]
)
async def test_no_other_page_does(origin):
    asked = await ask(app(DESK), "OPTIONS", W + "/things/a:post", origin, **ASKS)
    assert (asked.status_code, asked.headers.get(ALLOWED)) == (405, None)
    answer = await ask(app(DESK), "POST", W + "/things/a:post", origin)
    assert (answer.status_code, answer.headers.get(ALLOWED)) == (200, None)
    assert answer.headers["vary"] == "origin"


@pytest.mark.parametrize("path", ["/metrics", "/health/ready", "/docs"])
async def test_the_rest_of_the_server_is_for_no_page(path):
    answer = await ask(app(DESK), "GET", path, DESK)
    assert ALLOWED not in answer.headers


async def test_a_call_that_knows_its_pages_keeps_its_word():
    answer = await ask(app(DESK), "GET", W + "/pages", SHOP)
    assert answer.headers.get_list(ALLOWED) == [SHOP]
    asked = await ask(app(DESK), "OPTIONS", W + "/pages", SHOP, **ASKS)
    assert (asked.status_code, asked.headers[ALLOWED]) == (200, SHOP)


async def test_a_forwarded_answer_names_the_origin_once():
    """Browsers refuse an answer that says it twice; whom the first replica knows is what counts."""
    async with served(app(DESK)) as owner:
        answer = await ask(app(DESK, owner=owner), "POST", W + "/things/a:post", DESK)
        assert (answer.status_code, answer.headers.get_list(ALLOWED)) == (200, [DESK])
        stranger = await ask(app(owner=owner), "POST", W + "/things/a:post", DESK)
        assert (stranger.status_code, stranger.headers.get(ALLOWED)) == (200, None)
