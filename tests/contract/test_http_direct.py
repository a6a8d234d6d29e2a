"""A direct route answers as the same route through FastAPI's layers does, and is documented."""

import httpx
import pytest
from fastapi import Depends, Request
from prometheus_client import CollectorRegistry, generate_latest

from shared.contracts.problems import invalid
from shared.db.engine import DatabaseUnavailable
from shared.http.app import create_app
from shared.http.auth import Access, Authenticator, require
from shared.http.bodies import check_content_type, whole_body
from shared.http.direct import DirectRoute
from shared.http.principals import KeyRecord
from shared.http.ratelimit import Rate, RateLimiter
from shared.http.replies import json_accepted
from shared.http.routes import Route, api_router

PATH = "/v1/workspaces/acme/things/a1:post"
_enter = require("events:write")
LIMIT = 4000


class Platform:
    async def lookup(self, token):
        return KeyRecord("k", "acme", token) if token in ("platform", "agent") else None

    async def exists(self, workspace):
        return True


async def post(request: Request):
    caller = await _enter(request)
    check_content_type(request)
    body = await whole_body(request)
    if body == b"refused":
        raise invalid("/x", "value", "No.", "yes")
    if body == b"away":
        raise DatabaseUnavailable("host db.internal refused")
    if body == b"crash":
        raise ValueError("secret detail")
    return json_accepted(b'{"bytes":%d,"by":"%b"}' % (len(body), caller.workspace.encode()))


def application(kind, registry, rate=Rate(1e9, 1e9)):
    router = api_router("things")
    router.add_api_route(
        "/things/{thing}:post",
        post,
        methods=["POST"],
        status_code=202,
        dependencies=[Depends(_enter)] if kind is DirectRoute else None,
        max_body_size=LIMIT,
        route_class_override=kind,
    )

    async def ready():
        return {}

    platform = Platform()
    access = Access(Authenticator(platform), platform, RateLimiter(rate, clock=lambda: 0.0))
    return create_app(
        "Omniroute", "Test", [router], version="1", access=access, ready=ready, registry=registry
    )


def client(kind, registry=None, **more):
    app = application(kind, registry or CollectorRegistry(), **more)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


GOOD = {"authorization": "Bearer platform", "content-type": "application/json"}
CALLS = {
    "good": ("POST", PATH, GOOD, b"{}"),
    "in pieces": ("POST", PATH, GOOD, b"x" * LIMIT),
    "too large": ("POST", PATH, GOOD, b"x" * (LIMIT + 1)),
    "refused": ("POST", PATH, GOOD, b"refused"),
    "a part away": ("POST", PATH, GOOD, b"away"),
    "crash": ("POST", PATH, {**GOOD, "x-request-id": "12345678"}, b"crash"),
    "no token": ("POST", PATH, {"content-type": "application/json"}, b"{}"),
    "bad token": ("POST", PATH, {**GOOD, "authorization": "Bearer x"}, b"{}"),
    "may not": ("POST", PATH, {**GOOD, "authorization": "Bearer agent"}, b"{}"),
    "another's": ("POST", PATH.replace("acme", "other"), GOOD, b"{}"),
    "no id": ("POST", PATH.replace("acme", "a!b"), GOOD, b"{}"),
    "nul": ("POST", PATH + "?x=%00", GOOD, b"{}"),
    "type": ("POST", PATH, {**GOOD, "content-type": "text/plain"}, b"{}"),
    "method": ("GET", PATH, GOOD, b""),
    "unknown": ("POST", PATH.replace(":post", ":other"), GOOD, b"{}"),
    "no workspace": ("POST", "/v1/workspaces//things/a1:post", GOOD, b"{}"),
}


@pytest.mark.parametrize("name", CALLS)
async def test_both_ways_answer_alike(name):
    answers = []
    for kind in (Route, DirectRoute):
        async with client(kind) as calls:
            method, path, headers, content = CALLS[name]
            answer = await calls.request(method, path, headers=headers, content=content)
            shown = dict(answer.headers)
            if "x-request-id" not in headers:
                shown["x-request-id"] = str(len(shown["x-request-id"]))
            answers.append((answer.status_code, shown, answer.content))
    assert answers[0] == answers[1]


async def test_over_the_rate():
    async with client(DirectRoute, rate=Rate(1, 2)) as calls:
        codes = [
            (await calls.post(PATH, headers=GOOD, content=b"{}")).status_code for _ in range(3)
        ]
    assert codes == [202, 202, 429]


async def test_a_direct_call_is_counted_and_documented():
    registry = CollectorRegistry()
    async with client(DirectRoute, registry) as calls:
        await calls.post(PATH, headers=GOOD, content=b"{}")
        await calls.post(PATH, headers=GOOD, content=b"refused")
        document = (await calls.get("/openapi.json")).json()
    call = document["paths"]["/v1/workspaces/{workspace}/things/{thing}:post"]["post"]
    assert call["x-omniroute-action"] == "events:write"
    assert {"401", "403", "429"} <= call["responses"].keys()
    route = "/v1/workspaces/{workspace}/things/{thing}:post"
    text = generate_latest(registry).decode()
    for status in (202, 400):
        labels = f'method="POST",route="{route}",status="{status}"'
        assert f"omniroute_http_requests_total{{{labels}}} 1.0" in text
    assert f'omniroute_http_request_seconds_count{{method="POST",route="{route}"}} 2.0' in text
    assert "omniroute_http_in_flight 0.0" in text


async def test_refusals_are_not_shared_between_calls():
    async with client(DirectRoute) as calls:
        for _ in range(2):
            answer = await calls.post(PATH, headers=GOOD, content=b"refused")
            assert answer.json()["errors"] == [
                {"pointer": "/x", "code": "value", "message": "No.", "expected": "yes"}
            ]
