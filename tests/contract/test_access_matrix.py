"""Who may call what: every call of the whole application, for each kind of caller.

The table below is written from the design's words, not from the code's: «platform: events, tasks,
conversations; agent: its own work and tasks; supervisor: all router work; ops: reads; admin: all»,
and «open without a token: health, docs, vendors' webhooks». A call that is missing in it fails.
"""

import re

import httpx
import pytest
import pytest_asyncio

pytestmark = pytest.mark.asyncio(loop_scope="module")

PLATFORM, AGENT, SUPERVISOR, OPS, ADMIN = "platform", "agent", "supervisor", "ops", "admin"
EVERYBODY = {PLATFORM, AGENT, SUPERVISOR, OPS, ADMIN}
OPEN = None
CONFIG = "calendars|sla-policies|queues|policies|escalations|customers|teams"

# (methods, path below the workspace, who may). First match counts.
TABLE = [
    ("GET", r"", EVERYBODY),
    ("PUT", r"", {ADMIN}),
    ("GET POST DELETE", r"/keys.*", {ADMIN}),
    ("POST", r"/stream-tickets", EVERYBODY),
    # channels
    ("GET POST", r"/connectors/\{connector\}/inbound(/\{token\})?", OPEN),
    ("POST", r"/events", {PLATFORM, ADMIN}),
    ("GET", r"/connector-kinds|/connectors(/\{connector\})?", {OPS, ADMIN}),
    ("PUT DELETE", r"/connectors/\{connector\}", {ADMIN}),
    ("POST", r"/connectors:preview", {OPS, ADMIN}),
    ("POST", r"/connectors/\{connector\}:renormalise", {ADMIN}),
    ("POST", r"/connectors/\{connector\}/chat-tokens", {PLATFORM, ADMIN}),
    ("GET POST", r"/connectors/\{connector\}/chat/messages", OPEN),  # a visitor's own token
    ("GET", r"/connectors/\{connector\}/chat/stream", OPEN),
    ("POST", r"/connectors/\{connector\}/chat/stream-tickets", OPEN),
    ("GET", r"/conversations/\{conversation\}/clocks", {SUPERVISOR, OPS, ADMIN}),
    ("GET", r"/conversations/\{conversation\}/messages/\{message\}/attachments/\{index\}", EVERYBODY),
    ("GET", r"/conversations(/\{conversation\}(/messages|/vcon)?)?", EVERYBODY),
    ("POST", r"/conversations/\{conversation\}/messages", EVERYBODY - {OPS}),
    ("GET", r"/dead-letters", {OPS, ADMIN}),
    ("POST", r"/dead-letters/\{letter\}:replay", {ADMIN}),
    # router
    ("GET", r"/agents", {AGENT, SUPERVISOR, OPS, ADMIN}),
    ("GET", r"/agents/\{agent\}(/work|/stream|/explanation)?", {AGENT, SUPERVISOR, OPS, ADMIN}),
    ("PUT DELETE", r"/agents/\{agent\}", {ADMIN}),
    ("PUT", r"/agents/\{agent\}/presence", {AGENT, SUPERVISOR, ADMIN}),
    ("POST", r"/agents/\{agent\}/offers/\{offer\}:.*", {AGENT, SUPERVISOR, ADMIN}),
    ("GET", r"/tasks.*", EVERYBODY),
    ("POST", r"/tasks/\{task\}:(escalate|assign|reprioritize|cancel)", {PLATFORM, SUPERVISOR, ADMIN}),
    ("POST", r"/tasks.*", EVERYBODY - {OPS}),
    ("GET", r"/queues/\{name\}/status|/events", {SUPERVISOR, OPS, ADMIN}),
    ("POST", r"/(policies|calendars|sla-policies):evaluate", {SUPERVISOR, OPS, ADMIN}),
    ("POST", r"/sla-policies:dry-run", {SUPERVISOR, OPS, ADMIN}),
    ("GET", r"/calendars/\{name\}/days", {SUPERVISOR, OPS, ADMIN}),
    ("POST", r"/sla-policies/\{name\}:migrate", {ADMIN}),
    ("GET", r"/teams/\{name\}/duty|/customers/\{name\}/profile", {SUPERVISOR, OPS, ADMIN}),
    ("POST", r"/customers:resolve", {SUPERVISOR, OPS, ADMIN}),
    ("POST", r"/customers:import|/customers/\{name\}:(un)?merge", {ADMIN}),
    ("GET", rf"/({CONFIG})(/\{{name\}})?", {SUPERVISOR, OPS, ADMIN}),
    ("PUT DELETE", rf"/({CONFIG})/\{{name\}}", {ADMIN}),
    # sla
    ("GET", r"/(clocks|breaches|service-level|compliance|forecast|sla/stream)(/.*)?",
     {SUPERVISOR, OPS, ADMIN}),
    ("GET", r"/(figures|figures/series|burn-alerts)", {SUPERVISOR, OPS, ADMIN}),
]  # fmt: skip

OPEN_ELSEWHERE = {
    "/health/live",
    "/health/ready",
    "/metrics",
    "/openapi.json",
    "/docs",
    "/docs/assets/{name}",
}
PREFIX = "/v1/workspaces/{workspace}"
REFUSED = {401, 403}


def expected(method, path):
    below = path.removeprefix(PREFIX)
    for methods, pattern, who in TABLE:
        if method in methods.split() and re.fullmatch(pattern, below):
            return who
    raise AssertionError(f"nobody has said who may {method} {below or 'a workspace'}")


def calls(app):
    document = app.openapi()
    return [
        (method.upper(), path)
        for path, methods in document["paths"].items()
        for method in methods
        if path.startswith(PREFIX)
    ]


class Callers:
    """A running system, and a token for each kind of caller."""

    def __init__(self, system):
        self.system = system
        self.client = httpx.AsyncClient(base_url=system.url, timeout=20)
        self.tokens = {"nobody": None, "a stranger": "omr_0123456789abcdef_" + "x" * 43}

    async def prepare(self):
        for workspace in ("acme", "other"):
            await self.system.parts.platform.create_workspace(workspace, 2, {})
        await self._token(PLATFORM, PLATFORM)
        await self._token(AGENT, AGENT, agent="ana")
        await self._token("another agent", AGENT, agent="ben")
        for role in (SUPERVISOR, OPS, ADMIN):
            await self._token(role, role)
        await self._token("another workspace", ADMIN, workspace="other")
        return self

    async def _token(self, name, role, workspace="acme", agent=None):
        _, token = await self.system.parts.keys.create(workspace, name, role, agent=agent)
        self.tokens[name] = token

    async def status(self, who, method, path):
        """The answer's status; its body is not read, for streams have no end."""
        filled = path.replace("{workspace}", "acme").replace("{agent}", "ana")
        filled = re.sub(r"\{[a-z]+\}", "nothing-here", filled)
        token = self.tokens[who]
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        body = {} if method == "GET" else {"json": {}}
        async with self.client.stream(method, filled, headers=headers, **body) as answer:
            if answer.status_code >= 400:
                assert answer.headers["content-type"] == "application/problem+json"
            return answer.status_code


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def callers(start_system):
    async with start_system("all") as system:
        made = await Callers(system).prepare()
        try:
            yield made
        finally:
            await made.client.aclose()


async def test_nothing_is_open_that_should_not_be(callers):
    wrong = []
    for method, path in calls(callers.system.app):
        who = expected(method, path)
        for name in ("nobody", "a stranger"):
            status = await callers.status(name, method, path)
            if (status == 401) == (who is OPEN):
                wrong.append((name, method, path, status))
    assert wrong == []


async def test_other_paths_are_the_few_that_are_open(callers):
    paths = {getattr(one, "path", None) for one in _flat(callers.system.app.routes)}
    outside = {path for path in paths if path and not path.startswith("/v1/workspaces")}
    assert {"/metrics", "/docs"} <= outside, "or the routes were not found"
    assert outside <= OPEN_ELSEWHERE


def _flat(routes):
    for route in routes:
        included = getattr(route, "original_router", route)
        inner = getattr(included, "routes", None)
        yield from _flat(inner) if inner else [route]


async def test_each_role_may_what_the_design_says_and_nothing_else(callers):
    wrong = []
    for method, path in calls(callers.system.app):
        who = expected(method, path)
        if who is OPEN:
            continue
        for role in sorted(EVERYBODY):
            status = await callers.status(role, method, path)
            assert status < 500, (role, method, path, status)
            if (status not in REFUSED) != (role in who):
                wrong.append((role, method, path, status))
    assert wrong == []


async def test_a_token_opens_no_other_workspace(callers):
    wrong = []
    for method, path in calls(callers.system.app):
        if expected(method, path) is OPEN:
            continue
        status = await callers.status("another workspace", method, path)
        if status != 403:
            wrong.append((method, path, status))
    assert wrong == []


async def test_an_agent_reaches_no_other_agents_desk(callers):
    desks = [one for one in calls(callers.system.app) if "{agent}" in one[1]]
    assert len(desks) >= 7
    for method, path in desks:
        assert await callers.status("another agent", method, path) == 403, (method, path)


async def test_creating_a_workspace_needs_a_token_for_all(callers):
    token = callers.tokens[ADMIN]
    headers = {"Authorization": f"Bearer {token}"}
    answer = await callers.client.put("/v1/workspaces/fresh", json={}, headers=headers)
    assert answer.status_code == 403
    _, token = await callers.system.parts.keys.create("*", "all", ADMIN)
    headers = {"Authorization": f"Bearer {token}"}
    answer = await callers.client.put("/v1/workspaces/fresh", json={}, headers=headers)
    assert answer.status_code == 201


async def test_a_revoked_key_ends_at_once(callers):
    admin = {"Authorization": f"Bearer {callers.tokens[ADMIN]}"}
    below = "/v1/workspaces/acme"
    made = (
        await callers.client.post(
            f"{below}/keys", json={"name": "short", "role": "ops"}, headers=admin
        )
    ).json()
    short = {"Authorization": f"Bearer {made['token']}"}
    assert (await callers.client.get(f"{below}/agents", headers=short)).status_code == 200
    gone = await callers.client.delete(f"{below}/keys/{made['id']}", headers=admin)
    assert gone.status_code == 204
    assert (await callers.client.get(f"{below}/agents", headers=short)).status_code == 401
    listed = (await callers.client.get(f"{below}/keys", headers=admin)).text
    assert made["token"] not in listed


async def test_the_table_names_no_call_that_is_gone(callers):
    known = calls(callers.system.app)
    for methods, pattern, _ in TABLE:
        for method in methods.split():
            if pattern.endswith(":migrate"):
                continue
            assert any(
                one == method and re.fullmatch(pattern, path.removeprefix(PREFIX))
                for one, path in known
            ), (method, pattern)
