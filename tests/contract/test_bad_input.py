"""Whatever is sent to any call of any service: never a 5xx, and a problem for each refusal.

schemathesis makes calls that fit the OpenAPI documents and calls that do not, from a fixed seed;
beside them a list of what it does not think of, tried on every call.
"""

import asyncio
import json
import re
from base64 import urlsafe_b64encode
from contextlib import suppress
from urllib.parse import quote

import httpx
import pytest
import pytest_asyncio
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

pytestmark = pytest.mark.asyncio(loop_scope="module")

PREFIX = "/v1/workspaces/{workspace}"
EXAMPLES = 6
STREAMS = re.compile(r"/stream$")
PROBLEM = "application/problem+json"


class House:
    """The running services, as an administrator sees them."""

    def __init__(self, system):
        self.url = system.url
        self.system = system
        self.document = system.app.openapi()
        self.headers = {}

    async def prepare(self):
        await self.system.parts.platform.create_workspace("acme", 2, {"languages": ["en", "de"]})
        _, token = await self.system.parts.keys.create("acme", "fuzz", "admin")
        self.headers = {"Authorization": f"Bearer {token}"}
        return self

    def calls(self):
        for path, methods in self.document["paths"].items():
            for method, call in methods.items():
                if not STREAMS.search(path):
                    yield method.upper(), path, call


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(start_system):
    async with start_system("all") as system:
        yield await House(system).prepare()


def judge(answer, what):
    """What every answer has to be. Works for requests' and httpx's."""
    assert answer.status_code < 500, (what, answer.status_code, answer.text[:500])
    if answer.status_code < 400:
        return
    kind = answer.headers.get("content-type", "")
    kind = kind[0] if isinstance(kind, list) else kind
    assert kind == PROBLEM, (what, answer.status_code, kind, answer.text[:300])
    problem = answer.json()
    assert problem["status"] == answer.status_code, (what, problem)
    assert problem["type"].startswith("/problems/") and problem["detail"], (what, problem)
    for fault in problem.get("errors", []):
        pointer = fault["pointer"]
        assert pointer == "" or pointer.startswith("/"), (what, problem)


def operations(house, service):
    """Those of one service, by the tags of the paths that other services do not have."""
    schema = schemathesis.openapi.from_dict(house.document)
    for found in schema.get_all_operations():
        operation = found.ok()
        if STREAMS.search(operation.path):
            continue
        if service_of(operation.path, operation.method) == service:
            yield operation


SLA = re.compile(r"/(clocks|breaches|service-level|compliance|forecast|sla|calendars)")
CHANNELS = re.compile(r"/(connector|conversations|dead-letters)")


def service_of(path, method):
    below = path.removeprefix(PREFIX)
    if SLA.match(below) or below.startswith("/sla-policies") or below.endswith("/clocks"):
        return "sla"
    if CHANNELS.match(below) or (below, method.upper()) == ("/events", "POST"):
        return "channels"
    if not path.startswith(PREFIX) or re.match(r"$|/(keys|stream-tickets)", below):
        return "platform"
    return "router"


# The services beside it in this process may draw random numbers while a call is made up.
@pytest.mark.filterwarnings("ignore:Do not use the .random. module inside strategies")
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Do not use the .random. module")  # schemathesis does
@pytest.mark.parametrize("service", ["platform", "channels", "router", "sla"])
async def test_generated_calls(house, service):
    made = await asyncio.to_thread(generate, house, service)
    assert made > 20, "the document of this service has lost its calls"


def generate(house, service):
    session = requests.Session()
    count = 0

    def try_one(case):
        nonlocal count
        count += 1
        if "workspace" in case.path_parameters:
            case.path_parameters["workspace"] = "acme"
        if isinstance(case.query, dict) and "wait" in case.query:
            case.query["wait"] = 0
        what = (case.method, case.path, case.path_parameters, case.query, case.body)
        judge(
            case.call(base_url=house.url, headers=house.headers, session=session, timeout=20), what
        )

    with session:
        for operation in operations(house, service):
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                strategy = operation.as_strategy(generation_mode=mode)
                with suppress(Unsatisfiable):  # there is no wrong way to call it
                    settings(
                        max_examples=EXAMPLES,
                        derandomize=True,
                        deadline=None,
                        database=None,
                        phases=[Phase.generate],
                        suppress_health_check=list(HealthCheck),
                    )(given(strategy)(try_one))()
    return count


DEEP = b'{"a":' * 50_000 + b"1" + b"}" * 50_000
BODIES = {
    "empty": b"",
    "malformed": b'{"a": ',
    "not UTF-8": b'{"a": "\xff\xfe"}',
    "a lone surrogate": b'{"a": "\\ud800", "id": "\\udfff"}',
    "NUL characters": b'{"id": "\\u0000", "text": "\\u0000", "name": "\\u0000"}',
    "a huge number": b'{"priority": 1e400, "a": ' + b"9" * 5000 + b"}",
    "many digits": b'{"priority": ' + b"9" * 100 + b', "name": ' + b"1" * 100 + b"}",
    "bottomless": b"[" * 100_000,
    "deep": DEEP,
    "a list": b"[]",
    "null": b"null",
    "a text": b'"text"',
    "NaN": b'{"a": NaN}',
    "twice the same name": b'{"kind": "a", "kind": "b"}',
    "unknown fields": json.dumps({f"field{n}": n for n in range(50)}).encode(),
}
TYPES = ("application/json", "application/cloudevents+json", "text/plain", "")


@pytest.mark.parametrize("name", BODIES)
async def test_hostile_bodies_on_every_call(house, name):
    async with httpx.AsyncClient(base_url=house.url, headers=house.headers, timeout=20) as client:
        for method, path, _ in house.calls():
            if method in ("GET", "DELETE"):
                continue
            for kind in TYPES if name in ("empty", "malformed") else TYPES[:2]:
                headers = {"Content-Type": kind} if kind else {}
                answer = await client.request(
                    method, filled(path), content=BODIES[name], headers=headers
                )
                judge(answer, (name, method, path, kind))


async def test_oversize_bodies_on_every_call(house):
    big = b'{"a": "' + b"x" * (31 * 1024 * 1024) + b'"}'
    async with httpx.AsyncClient(base_url=house.url, headers=house.headers, timeout=20) as client:
        for method, path, call in house.calls():
            if method not in ("PUT", "POST") or "requestBody" not in call:
                continue
            try:
                answer = await client.request(
                    method, filled(path), content=big, headers={"Content-Type": TYPES[0]}
                )
            except (httpx.WriteError, httpx.RemoteProtocolError, httpx.ReadError):
                continue  # told off while still sending: the answer is lost with the connection
            assert answer.status_code in (400, 404, 413, 415), (method, path, answer.status_code)
            judge(answer, (method, path))


ODD_IDS = ["%00", "%FF", "a%2Fb", "..%2f..", "x" * 65, "%F0%9F%8E%89", "a%0Ab", "'--", "a b", "%25"]


@pytest.mark.parametrize("odd", ODD_IDS)
async def test_odd_ids_in_every_path(house, odd):
    async with httpx.AsyncClient(base_url=house.url, headers=house.headers, timeout=20) as client:
        for method, path, _ in house.calls():
            if "{" not in path.removeprefix(PREFIX):
                continue
            below = re.sub(r"\{[a-z]+\}", odd.replace(" ", "%20"), path.removeprefix(PREFIX))
            answer = await client.request(
                method, "/v1/workspaces/acme" + below, json={} if method != "GET" else None
            )
            assert 400 <= answer.status_code < 500, (method, path, odd, answer.status_code)
            judge(answer, (method, path, odd))


ODD_VALUES = [
    "",
    "\x00",
    "\udcff",
    "-1",
    "1e9",
    "99999999999999999999",
    "x" * 3000,
    "'",
    "null",
    "[]",
    "🎉",
]


@pytest.mark.parametrize("odd", ODD_VALUES, ids=ascii)
async def test_odd_values_of_every_query_parameter(house, odd):
    text = quote(odd.encode("utf-8", "surrogateescape"))
    async with httpx.AsyncClient(base_url=house.url, headers=house.headers, timeout=20) as client:
        for method, path, call in house.calls():
            for one in call.get("parameters", []):
                if one["in"] != "query" or one["name"] == "wait":
                    continue
                answer = await client.request(
                    method, f"{filled(path)}?{one['name']}={text}", json=None
                )
                judge(answer, (method, path, one["name"], odd))


@pytest.mark.parametrize("path", ["/teams/nul", "/agents/nul", "/queues/nul", "/calendars/nul"])
async def test_nul_in_a_resource_is_refused_before_it_stops_a_shard(house, path):
    root = "/v1/workspaces/acme"
    async with httpx.AsyncClient(base_url=house.url, headers=house.headers, timeout=20) as client:
        for body in ({"name": "a\0b"}, {"attributes": {"\\\0": 1}}):
            answer = await client.put(root + path, json=body)
            judge(answer, (path, body))
            assert answer.json()["errors"][0]["code"] == "nul"
        good = await client.put(f"{root}/agents/back", json={"name": "\\u0000"})
        assert good.status_code in (200, 201), good.text


CURSORS = [
    "a\x00",
    "\\u0000",
    -1,
    2**63,
    2**70,
    ["2026-01-01T00:00:00Z", "a\x00"],
    ["0001-01-01T00:00:00+23:59", "x"],
    ["9999-12-31T23:59:59-23:59", "x"],
    ["2026-01-01T00:00:00", "x"],
    ["", ""],
]


@pytest.mark.parametrize("position", CURSORS, ids=ascii)
async def test_cursors_that_nobody_gave_out(house, position):
    raw = (
        str(position) if isinstance(position, int) else json.dumps(position, separators=(",", ":"))
    )
    cursor = urlsafe_b64encode(raw.encode()).rstrip(b"=").decode()
    async with httpx.AsyncClient(base_url=house.url, headers=house.headers, timeout=20) as client:
        for method, path, call in house.calls():
            if any(one["name"] == "cursor" for one in call.get("parameters", [])):
                answer = await client.request(method, f"{filled(path)}?cursor={cursor}")
                judge(answer, (method, path, position))


@pytest.mark.parametrize(
    "headers",
    [
        {"If-Match": "nonsense"},
        {"If-Match": '"' + "9" * 400 + '"'},
        {"If-None-Match": 'W/"x", "y'},
        {"Idempotency-Key": "x" * 300},
        {"Idempotency-Key": "a b"},
        {"Content-Type": "application/json; charset=utf-7"},
        {"Content-Type": "application/cloudevents-batch+json"},
        {"Last-Event-ID": "-1"},
        {"Accept": "text/event-stream;q=x"},
        {"X-Request-Id": "x" * 500},
        {"X-Omniroute-Forwarded": "1"},
        {"ce-specversion": "1.0", "ce-id": "%ff", "Content-Type": "application/json"},
        {"Authorization": "Bearer " + "x" * 5000},
        {"Authorization": "Basic eA=="},
        {"Authorization": "Bearer a.b.c"},
    ],
    ids=str,
)
async def test_odd_headers_on_every_call(house, headers):
    async with httpx.AsyncClient(base_url=house.url, timeout=20) as client:
        for method, path, _ in house.calls():
            if "Accept" in headers and path.endswith("/events"):
                continue  # becomes a stream, which has no end
            content = b"{}" if method in ("PUT", "POST") else None
            given_headers = {**house.headers, "Content-Type": "application/json", **headers}
            answer = await client.request(
                method, filled(path), content=content, headers=given_headers
            )
            judge(answer, (method, path, headers))


async def test_wrong_methods(house):
    known = {}
    for method, path, _ in house.calls():
        known.setdefault(filled(path), set()).add(method)
    async with httpx.AsyncClient(base_url=house.url, headers=house.headers, timeout=20) as client:
        for path, methods in known.items():
            for method in {"GET", "PUT", "POST", "DELETE", "PATCH", "TRACE", "PROPFIND"} - methods:
                answer = await client.request(method, path)
                assert answer.status_code == 405, (method, path, answer.status_code)
                judge(answer, (method, path))
                assert set(answer.headers["allow"].replace(",", " ").split()) >= methods - {"HEAD"}


async def test_unknown_addresses(house):
    async with httpx.AsyncClient(base_url=house.url, headers=house.headers) as client:
        for path in (
            "/",
            "/v1",
            "/v1/workspaces",
            "/v1/workspaces/acme/nothing",
            "/%00",
            "/../etc",
        ):
            answer = await client.get(path)
            assert answer.status_code == 404, path
            judge(answer, path)
        answer = await client.get("/v1/workspaces/nowhere/conversations")
        assert answer.status_code == 403
        judge(answer, "another workspace")


def filled(path):
    below = re.sub(r"\{[a-z]+\}", "nothing-here", path.removeprefix(PREFIX))
    return below if not path.startswith(PREFIX) else "/v1/workspaces/acme" + below
