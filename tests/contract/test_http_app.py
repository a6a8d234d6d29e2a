"""A whole application without a network: what it refuses and how, and who gets in."""

import json
from typing import Annotated

import httpx
import msgspec
import pytest
from fastapi import Depends, Request
from prometheus_client import CollectorRegistry

from shared.contracts.problems import STATUS, Refused
from shared.db.failures import DatabaseUnavailable
from shared.http.app import create_app
from shared.http.auth import Access, Authenticator, Caller, require
from shared.http.bodies import read_body
from shared.http.health import Alarm
from shared.http.idempotency import MemoryReplies
from shared.http.pages import DEFAULT_LIMIT, Cursor, Limit
from shared.http.permissions import GRANTS, allowed
from shared.http.platform_api import KeyEntry, NewKey, WorkspaceRecord, platform_router
from shared.http.principals import ROLES, KeyRecord, Principal
from shared.http.ratelimit import Rate, RateLimiter
from shared.http.replies import json_reply
from shared.http.routes import BATCH_BODY_BYTES, api_router
from shared.http.tickets import MemoryTickets
from shared.runtime.port import OutcomeUnknown, Unavailable, UnknownWorkspace

W = "/v1/workspaces/acme"


class Platform:
    """Workspaces and keys in memory: KeyLookup, Workspaces and PlatformPort."""

    def __init__(self):
        self.spaces = {"acme": WorkspaceRecord("acme", {}, 1), "beta": WorkspaceRecord("b", {}, 1)}
        self.keys = {f"t-{role}": self.key(role) for role in ROLES}
        self.keys["t-any"] = KeyRecord("any", "*", "admin")
        self.keys["t-beta"] = KeyRecord("beta", "beta", "admin")
        self.looked_up = 0

    def key(self, role):
        return KeyRecord(role, "acme", role, "ana" if role == "agent" else None)

    async def lookup(self, token):
        return self.keys.get(token)

    async def exists(self, workspace):
        self.looked_up += 1
        return workspace in self.spaces

    async def get_workspace(self, workspace):
        return self.spaces.get(workspace)

    async def put_workspace(self, workspace, settings, demand, actor):
        old = self.spaces.get(workspace)
        demand.check(old and old.version)
        record = WorkspaceRecord(workspace, settings, old.version + 1 if old else 1)
        self.spaces[workspace] = record
        return record, old is None

    async def create_key(self, workspace, name, role, agent):
        made = f"k{len(self.keys)}"
        self.keys["t-" + made] = KeyRecord(made, workspace, role, agent)
        return NewKey(made, "t-" + made)

    def token_of(self, workspace, key):
        found = [
            token
            for token, one in self.keys.items()
            if one.id == key and one.workspace == workspace
        ]
        return found[0] if found else None

    async def list_keys(self, workspace, after, limit):
        mine = sorted(
            (one for one in self.keys.values() if one.workspace == workspace), key=lambda k: k.id
        )
        shown = [one for one in mine if after is None or one.id > after][:limit]
        return [
            KeyEntry(one.id, one.id, one.role, one.agent, "2026-01-01T00:00:00Z") for one in shown
        ]

    async def rotate_key(self, workspace, key):
        token = self.token_of(workspace, key)
        if token is None:
            return None
        self.keys[token + "r"] = self.keys.pop(token)
        return NewKey(key, token + "r")

    async def delete_key(self, workspace, key):
        token = self.token_of(workspace, key)
        return token is not None and self.keys.pop(token) is not None


class Thing(msgspec.Struct, forbid_unknown_fields=True):
    name: str


ERRORS = {
    "refused": Refused("conflict", "No.", reason="state"),
    "unavailable": Unavailable("Not now.", 7),
    "database": DatabaseUnavailable("host db.internal refused"),
    "unknown": OutcomeUnknown(),
    "workspace": UnknownWorkspace(),
    "crash": ValueError("secret detail"),
}


def routes():
    router = api_router("things")

    @router.get("/actions/{action}")
    async def act(request: Request):
        # Ids cannot hold a colon; the matrix asks for each action by another sign.
        action = request.path_params["action"].replace("__", ":")
        caller = await request.app.state.access.enter(request, action)
        return json_reply({"actor": caller.actor, "only": caller.only_agent})

    @router.get("/agents/{agent}/work")
    async def work(caller: Annotated[Caller, Depends(require("work:read"))]):
        return json_reply({"only": caller.only_agent})

    @router.get("/agents/{agent}/stream")
    async def stream(caller: Annotated[Caller, Depends(require("work:read", ticket=True))]):
        return json_reply({"only": caller.only_agent})

    @router.post("/things", status_code=201)
    async def create(request: Request, caller: Annotated[Caller, Depends(require("tasks:create"))]):
        return json_reply(await read_body(request, Thing), 201)

    @router.post("/batches", max_body_size=BATCH_BODY_BYTES)
    async def batch(request: Request, caller: Annotated[Caller, Depends(require("events:write"))]):
        return json_reply({"bytes": len(await request.body())})

    @router.get("/things")
    async def things(
        caller: Annotated[Caller, Depends(require("tasks:read"))],
        cursor: Cursor = None,
        limit: Limit = DEFAULT_LIMIT,
    ):
        return json_reply({"limit": limit})

    @router.get("/things/{thing}")
    async def thing(request: Request, caller: Annotated[Caller, Depends(require("tasks:read"))]):
        return json_reply({"thing": request.path_params["thing"]})

    @router.post("/things/{thing}:poke")
    async def poke(request: Request, caller: Annotated[Caller, Depends(require("tasks:act"))]):
        return json_reply({"poked": request.path_params["thing"]})

    @router.get("/errors/{name}")
    async def error(request: Request):
        raise ERRORS[request.path_params["name"]]

    return router


class World:
    def __init__(self, *, rate=None, metrics_token=None, client="127.0.0.1"):
        self.platform, self.tickets = Platform(), MemoryTickets()
        self.parts = {"router": True}
        self.app = create_app(
            "Omniroute",
            "Test",
            [platform_router(self.platform, self.tickets, MemoryReplies()), routes()],
            version="1",
            access=Access(
                Authenticator(self.platform, tickets=self.tickets),
                self.platform,
                None if rate is None else RateLimiter(rate, clock=lambda: 0.0),
            ),
            ready=self.ready,
            registry=CollectorRegistry(),
            metrics_token=metrics_token,
        )
        transport = httpx.ASGITransport(self.app, client=(client, 1))
        self.client = httpx.AsyncClient(transport=transport, base_url="http://omniroute")

    async def ready(self):
        return self.parts

    async def call(self, method, path, token="t-admin", **more):
        headers = {**({"Authorization": f"Bearer {token}"} if token else {})}
        headers.update(more.pop("headers", {}))
        return await self.client.request(method, path, headers=headers, **more)


def world(**options):
    return World(**options)


def is_problem(response, kind):
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["type"] == f"/problems/{kind}", body
    assert body["status"] == response.status_code == STATUS.get(kind, 500)
    assert body["title"]
    assert body["detail"]
    return body


# Who gets in


@pytest.mark.parametrize("action", sorted(GRANTS))
@pytest.mark.parametrize("role", ROLES)
async def test_matrix_of_roles_and_actions(role, action):
    path = f"{W}/actions/{action.replace(':', '__')}"
    response = await world().call("GET", path, token=f"t-{role}")
    if allowed(Principal("x", "acme", (role,)), action):
        assert response.status_code == 200
    else:
        is_problem(response, "forbidden")


@pytest.mark.parametrize(
    ("header", "challenge"),
    [
        (None, 'Bearer realm="omniroute"'),
        ("Basic abc", 'Bearer realm="omniroute"'),
        ("Bearer", 'Bearer realm="omniroute"'),
        ("Bearer a b", 'Bearer realm="omniroute"'),
        ("Bearer nobody", 'Bearer realm="omniroute", error="invalid_token"'),
        ("Bearer " + "x" * 20_000, 'Bearer realm="omniroute"'),
    ],
)
async def test_unauthenticated(header, challenge):
    headers = {"Authorization": header} if header else {}
    response = await world().call("GET", W + "/things", token=None, headers=headers)
    is_problem(response, "unauthenticated")
    assert response.headers["www-authenticate"] == challenge


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/metrics"])
async def test_load_balancers_ask_by_head(path):
    answer = await world().call("HEAD", path, token=None)
    assert answer.status_code == 200


async def test_the_scheme_is_case_insensitive():
    headers = {"Authorization": "bearer t-admin"}
    assert (await world().call("GET", W + "/things", None, headers=headers)).status_code == 200


async def test_workspaces_are_kept_apart():
    there = world()
    is_problem(await there.call("GET", W + "/things", "t-beta"), "forbidden")
    assert (await there.call("GET", W + "/things", "t-any")).status_code == 200
    is_problem(await there.call("GET", "/v1/workspaces/none/things", "t-any"), "not-found")
    is_problem(await there.call("GET", "/v1/workspaces/none/things"), "forbidden")


async def test_that_a_workspace_exists_is_remembered_that_it_does_not_is_not():
    there = world()
    for _ in range(3):
        await there.call("GET", W + "/things", "t-any")
    assert there.platform.looked_up == 1
    path = "/v1/workspaces/new/things"
    is_problem(await there.call("GET", path, "t-any"), "not-found")
    there.platform.spaces["new"] = WorkspaceRecord("new", {}, 1)
    assert (await there.call("GET", path, "t-any")).status_code == 200


async def test_an_agent_reaches_only_its_own():
    there = world()
    own = await there.call("GET", W + "/agents/ana/work", "t-agent")
    assert own.json() == {"only": "ana"}
    is_problem(await there.call("GET", W + "/agents/ben/work", "t-agent"), "forbidden")
    other = await there.call("GET", W + "/agents/ben/work", "t-supervisor")
    assert other.json() == {"only": None}
    there.platform.keys["t-lost"] = KeyRecord("lost", "acme", "agent")
    is_problem(await there.call("GET", W + "/agents/ana/work", "t-lost"), "forbidden")


async def test_a_ticket_opens_a_stream_once_and_nothing_else():
    there = world()
    made = (await there.call("POST", W + "/stream-tickets", "t-agent")).json()
    assert made["expires_at"].endswith("Z")
    path = f"{W}/agents/ana/stream?ticket={made['ticket']}"
    wrong = f"{W}/agents/ana/work?ticket={made['ticket']}"
    is_problem(await there.call("GET", wrong, None), "unauthenticated")
    assert (await there.call("GET", path, None)).json() == {"only": "ana"}
    is_problem(await there.call("GET", path, None), "unauthenticated")


async def test_a_ticket_is_for_its_workspace_and_its_agent():
    there = world()
    made = [(await there.call("POST", W + "/stream-tickets", "t-agent")).json() for _ in range(2)]
    other = f"/v1/workspaces/beta/agents/ana/stream?ticket={made[0]['ticket']}"
    is_problem(await there.call("GET", other, None), "unauthenticated")
    ben = f"{W}/agents/ben/stream?ticket={made[1]['ticket']}"
    is_problem(await there.call("GET", ben, None), "forbidden")


async def test_rate_limits_per_workspace():
    there = world(rate=Rate(0.5, 2))
    assert (await there.call("GET", W + "/things")).status_code == 200
    assert (await there.call("GET", W + "/things")).status_code == 200
    response = await there.call("GET", W + "/things")
    is_problem(response, "rate-limited")
    assert response.headers["retry-after"] == "2"
    assert (await there.call("GET", "/v1/workspaces/beta/things", "t-beta")).status_code == 200


# Errors


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("GET", "/nothing", "not-found"),
        ("GET", W + "/nothing", "not-found"),
        ("GET", W + "/things/", "not-found"),
        ("POST", W + "/things/x:unknown", "not-found"),
        ("PATCH", W + "/things", "method-not-allowed"),
        ("GET", W + "/things/x:poke", "method-not-allowed"),
        ("DELETE", "/health/live", "method-not-allowed"),
        ("GET", W + "/things/a%20b", "validation"),
        ("GET", W + "/things/" + "x" * 65, "validation"),
        ("GET", "/v1/workspaces/a.b/things", "validation"),
        ("GET", W + "/things?limit=0", "validation"),
        ("GET", W + "/things?limit=201", "validation"),
        ("GET", W + "/things?limit=x", "validation"),
    ],
)
async def test_addresses_and_parameters(method, path, kind):
    response = await world().call(method, path, "t-any")
    is_problem(response, kind)
    assert ("allow" in response.headers) is (kind == "method-not-allowed")


async def test_a_wrong_method_is_told_all_right_ones():
    response = await world().call("PATCH", W + "/things")
    assert response.headers["allow"] == "GET, POST"


async def test_parameters_are_named():
    body = (await world().call("GET", W + "/things?limit=0")).json()
    assert body["errors"][0]["pointer"] == "/query/limit"
    body = (await world().call("GET", W + "/things/a%20b")).json()
    assert body["errors"][0]["pointer"] == "/path/thing"
    assert body["errors"][0]["expected"] == "[A-Za-z0-9_-]{1,64}"


@pytest.mark.parametrize(
    ("name", "kind", "retry"),
    [
        ("refused", "conflict", None),
        ("unavailable", "unavailable", "7"),
        ("database", "unavailable", "1"),
        ("unknown", "outcome-unknown", "1"),
        ("workspace", "not-found", None),
        ("crash", "internal", None),
    ],
)
async def test_failures_of_routes(name, kind, retry):
    response = await world().call("GET", f"{W}/errors/{name}")
    body = is_problem(response, kind)
    assert response.headers.get("retry-after") == retry
    assert "secret" not in response.text
    assert "db.internal" not in response.text
    assert body.get("reason") == ("state" if name == "refused" else None)


@pytest.mark.parametrize(
    ("content", "content_type", "kind"),
    [
        (b'{"name": 5}', "application/json", "validation"),
        (b"{", "application/json", "validation"),
        (b'{"name": "x"}', "text/plain", "unsupported-media-type"),
        (b'{"name": "x"}', None, "unsupported-media-type"),
        (b'{"name": "' + b"x" * 1024 * 1024 + b'"}', "application/json", "too-large"),
    ],
)
async def test_bodies(content, content_type, kind):
    headers = {"Content-Type": content_type} if content_type else {}
    response = await world().call("POST", W + "/things", content=content, headers=headers)
    is_problem(response, kind)


async def test_a_body_of_unknown_length_is_measured_as_it_comes():
    async def chunks():
        for _ in range(20):
            yield b"x" * 100_000

    headers = {"Content-Type": "application/json"}
    response = await world().call("POST", W + "/things", content=chunks(), headers=headers)
    is_problem(response, "too-large")


async def test_a_body_announced_too_large_is_refused_before_it_comes():
    async def unsent():
        raise AssertionError("the body was waited for")
        yield b""

    headers = {"Content-Type": "application/json", "Content-Length": "9000000"}
    response = await world().call("POST", W + "/things", content=unsent(), headers=headers)
    is_problem(response, "too-large")


async def test_a_route_may_take_larger_bodies():
    there = world()
    response = await there.call("POST", W + "/batches", content=b"x" * 9_000_000)
    assert response.json() == {"bytes": 9_000_000}
    is_problem(await there.call("POST", W + "/batches", content=b"x" * 11_000_000), "too-large")


async def test_a_claim_of_being_forwarded_is_refused_without_a_seal():
    response = await world().call("GET", W + "/things", headers={"X-Omniroute-Forwarded": "1"})
    is_problem(response, "unauthenticated")


async def test_request_ids():
    there = world()
    sent = await there.call("GET", "/health/live", headers={"X-Request-Id": "abc-12345"})
    assert sent.headers["x-request-id"] == "abc-12345"
    made = await there.call("GET", "/health/live", headers={"X-Request-Id": "a b\tc"})
    assert len(made.headers["x-request-id"]) == 16


# Health, figures, description


async def test_health():
    there = world()
    assert (await there.call("GET", "/health/live", None)).json() == {"status": "live"}
    assert (await there.call("GET", "/health/ready", None)).status_code == 200
    there.parts = {"router": "catching up", "bus": False, "sla": True}
    response = await there.call("GET", "/health/ready", None)
    assert response.status_code == 503
    assert response.json()["parts"] == {"router": "catching up", "bus": False, "sla": True}
    there.parts = {"router": Alarm("shard 3: halted"), "sla": True}
    response = await there.call("GET", "/health/ready", None)
    assert (response.status_code, response.json()["parts"]["router"]) == (200, "shard 3: halted")
    there.parts = {}
    there.app.state.stopping.set()
    assert (await there.call("GET", "/health/ready", None)).status_code == 503


async def test_metrics_are_for_loopback_or_a_token():
    here = world(metrics_token="m")
    await here.call("GET", W + "/things/x")
    text = (await here.call("GET", "/metrics", None)).text
    route = W.replace("acme", "{workspace}") + "/things/{thing}"
    assert f'omniroute_http_requests_total{{method="GET",route="{route}",status="200"}} 1.0' in text
    proxied = await here.call("GET", "/metrics", None, headers={"X-Forwarded-For": "1.2.3.4"})
    is_problem(proxied, "unauthenticated")
    away = world(metrics_token="m", client="10.0.0.9")
    is_problem(await away.call("GET", "/metrics", None), "unauthenticated")
    is_problem(await away.call("GET", "/metrics", "n"), "unauthenticated")
    assert (await away.call("GET", "/metrics", "m")).status_code == 200
    shut = world(client="10.0.0.9")
    is_problem(await shut.call("GET", "/metrics", "None"), "unauthenticated")


async def test_unknown_addresses_do_not_multiply_the_figures():
    there = world()
    for number in range(20):
        await there.call(f"M{number}", f"/x{number}")
    text = (await there.call("GET", "/metrics", None)).text
    assert (
        len([line for line in text.splitlines() if 'route="-"' in line and "_total" in line]) == 1
    )


async def test_docs_need_no_internet():
    there = world()
    page = await there.call("GET", "/docs", None)
    assert page.status_code == 200
    assert "//cdn" not in page.text
    assert "http" not in page.text.replace("http-equiv", "")
    for name in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"):
        asset = await there.call("GET", f"/docs/assets/{name}", None)
        assert (asset.status_code, len(asset.content) > 1000) == (200, True)
    is_problem(await there.call("GET", "/docs/assets/core.py", None), "not-found")


async def test_openapi_describes_problems_security_and_bodies():
    document = (await world().call("GET", "/openapi.json", None)).json()
    call = document["paths"]["/v1/workspaces/{workspace}/things/{thing}:poke"]["post"]
    assert call["security"] == [{"bearer": []}]
    assert call["x-omniroute-action"] == "tasks:act"
    assert [one["name"] for one in call["parameters"]] == ["workspace", "thing"]
    for status in ("400", "401", "403", "404", "429", "503"):
        assert "application/problem+json" in call["responses"][status]["content"]
    assert document["paths"]["/health/live"]["get"]["security"] == []
    put = document["paths"]["/v1/workspaces/{workspace}"]["put"]
    for status in ("409", "412", "413", "415", "422"):
        assert "application/problem+json" in put["responses"][status]["content"]
    schema = put["requestBody"]["content"]["application/json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/Workspace"}
    assert "timezone" in document["components"]["schemas"]["Workspace"]["properties"]
    for reference in _references(document):
        assert reference.removeprefix("#/components/schemas/") in document["components"]["schemas"]


def _references(value):
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


# Workspaces and keys


async def test_the_life_of_a_workspace():
    there = world()
    path = "/v1/workspaces/new"
    is_problem(await there.call("PUT", path, "t-admin", json={}), "forbidden")
    made = await there.call("PUT", path, "t-any", json={"timezone": "Europe/Berlin"})
    assert (made.status_code, made.headers["etag"]) == (201, '"1"')
    assert made.json() == {"id": "new", "timezone": "Europe/Berlin"}
    headers = {"If-Match": '"9"'}
    is_problem(
        await there.call("PUT", path, "t-any", json={}, headers=headers), "precondition-failed"
    )
    headers = {"If-Match": '"1"'}
    changed = await there.call("PUT", path, "t-any", json={"id": "new"}, headers=headers)
    assert (changed.status_code, changed.headers["etag"]) == (200, '"2"')
    headers = {"If-None-Match": '"2"'}
    assert (await there.call("GET", path, "t-any", headers=headers)).status_code == 304
    body = is_problem(await there.call("PUT", path, "t-any", json={"timezon": "UTC"}), "validation")
    assert body["errors"][0]["expected"] == "timezone"
    is_problem(await there.call("GET", "/v1/workspaces/none", "t-any"), "not-found")


async def test_the_own_admin_changes_settings_but_creates_nothing():
    there = world()
    assert (await there.call("PUT", W, json={"languages": ["de"]})).status_code == 200
    there.platform.keys["t-orphan"] = KeyRecord("orphan", "gone", "admin")
    is_problem(await there.call("PUT", "/v1/workspaces/gone", "t-orphan", json={}), "forbidden")


async def test_the_life_of_a_key():
    there = world()
    made = await there.call("POST", W + "/keys", json={"name": "CRM", "role": "platform"})
    assert made.status_code == 201
    token, key = made.json()["token"], made.json()["id"]
    assert (await there.call("POST", W + "/things", token, json={"name": "x"})).status_code == 201
    rotated = (await there.call("POST", f"{W}/keys/{key}:rotate")).json()
    is_problem(
        await there.call("POST", W + "/things", token, json={"name": "x"}), "unauthenticated"
    )
    assert (await there.call("GET", W + "/things", rotated["token"])).status_code == 200
    assert (await there.call("DELETE", f"{W}/keys/{key}")).status_code == 204
    is_problem(await there.call("GET", W + "/things", rotated["token"]), "unauthenticated")
    is_problem(await there.call("DELETE", f"{W}/keys/{key}"), "not-found")
    is_problem(await there.call("POST", f"{W}/keys/{key}:rotate"), "not-found")
    is_problem(await there.call("DELETE", f"{W}/keys/beta"), "not-found")


async def test_keys_are_listed_in_pages_without_tokens():
    there = world()
    ids, cursor = [], None
    while True:
        params = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        body = (await there.call("GET", W + "/keys", params=params)).json()
        assert "t-" not in json.dumps(body["keys"])
        ids += [one["id"] for one in body["keys"]]
        cursor = body["next"]
        if cursor is None:
            break
    assert ids == sorted(ROLES)
    is_problem(await there.call("GET", W + "/keys?cursor=zzz"), "validation")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"name": "x", "role": "boss"}, "/role"),
        ({"name": "", "role": "ops"}, "/name"),
        ({"name": "a\0b", "role": "ops"}, "/name"),
        ({"name": "x", "role": "agent"}, "/agent"),
        ({"name": "x", "role": "agent", "agent": "a b"}, "/agent"),
        ({"name": "x", "role": "ops", "agnt": "a"}, "/agnt"),
        ({"role": "ops"}, "/name"),
    ],
)
async def test_bad_keys(body, pointer):
    problem = is_problem(await world().call("POST", W + "/keys", json=body), "validation")
    assert problem["errors"][0]["pointer"] == pointer


async def test_creating_a_key_twice_with_one_idempotency_key_makes_one():
    there = world()
    headers = {"Idempotency-Key": "abc"}
    body = {"name": "CRM", "role": "platform"}
    first = await there.call("POST", W + "/keys", json=body, headers=headers)
    count = len(there.platform.keys)
    again = await there.call("POST", W + "/keys", json=body, headers=headers)
    assert (again.status_code, again.json()) == (201, first.json())
    assert len(there.platform.keys) == count
    other = await there.call("POST", W + "/keys", json={**body, "name": "x"}, headers=headers)
    is_problem(other, "idempotency-mismatch")
