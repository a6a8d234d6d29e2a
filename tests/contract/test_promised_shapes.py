"""What the calls promise, seen from outside: shapes, names, and refusals that say what is right."""

import asyncio
import json
from itertools import count

import httpx
import pytest
import pytest_asyncio

pytestmark = pytest.mark.asyncio(loop_scope="module")

ONE = "application/cloudevents+json"
NUMBERS = count(1)
WAIT_S = 10.0


class Client:
    """An administrator of one workspace."""

    def __init__(self, url, token):
        headers = {"Authorization": f"Bearer {token}"}
        base = f"{url}/v1/workspaces/acme/"
        self.http = httpx.AsyncClient(base_url=base, headers=headers, timeout=20)

    async def __call__(self, method, path, body=None, status=None, **headers):
        content = None if body is None else json.dumps(body)
        kind = {} if body is None else {"Content-Type": "application/json"}
        sent = {**kind, **{name.replace("_", "-"): value for name, value in headers.items()}}
        answer = await self.http.request(method, path, content=content, headers=sent)
        if status is not None:
            assert answer.status_code == status, (method, path, answer.text)
        return answer

    async def get(self, path):
        return (await self("GET", path, status=200)).json()

    async def post_event(self, event, **headers):
        sent = {"Content-Type": ONE, **{n.replace("_", "-"): v for n, v in headers.items()}}
        return await self.http.post("events", content=json.dumps(event), headers=sent)

    async def say(self, key, text="Hello"):
        answer = await self.post_event(message(key, text))
        assert answer.status_code == 202, answer.text
        return answer.json()["results"][0]["conversation_id"]

    async def until(self, path, holds):
        """What a path shows once it `holds`."""
        for _ in range(int(WAIT_S / 0.05)):
            found = (await self("GET", path)).json()
            if holds(found):
                return found
            await asyncio.sleep(0.05)
        raise AssertionError((path, found))


def message(key, text="Hello", **changes):
    data = {
        "channel": "chat", "conversation_key": key, "direction": "inbound",
        "author": {"role": "customer", "name": "Kim"}, "text": text,
    }  # fmt: skip
    event = {"specversion": "1.0", "id": f"m-{next(NUMBERS)}", "source": "crm"}
    return {**event, "type": "interaction.message.v1", "data": data, **changes}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def acme(start_system):
    async with start_system("all") as system:
        await system.parts.platform.create_workspace("acme", 2, {"languages": ["en", "de"]})
        _, token = await system.parts.keys.create("acme", "test", "admin")
        client = Client(system.url, token)
        async with client.http:
            await client.until(
                f"{system.url}/health/ready", lambda shown: shown["status"] == "ready"
            )
            for path, body in RESOURCES:
                await client("PUT", path, body, 201)
            yield client


# In the words of workspace.yaml, defaults written out.
RESOURCES = [
    ("calendars/always", {"timezone": "UTC", "always_open": True}),
    ("sla-policies/all", {"calendar": "always", "targets": {
        "first_response": {"target_s": 3600, "warn_at": [0.5]}, "resolution": {"target_s": 7200}}}),
    ("queues/general", {
        "order": "head_start", "head_start_s": 60, "select": "least_loaded",
        "offer": {"ttl_s": 30, "parallel": 1, "auto_accept": False, "misses_before_away": 3, "cool_down_s": 0},
        "orphans": {"after_s": 120}, "calendar": "always"}),
    ("queues/other", {}),
    ("agents/ana", {
        "name": "Ana Silva", "capacity": 100, "kind": "human", "channels": {"chat": 3}, "skills": {"de": 5},
        "queues": ["general", {"queue": "other", "rank": 2, "delay_s": 30, "tier": 1}], "attributes": {"site": "x"}}),
    ("escalations/standard", {"levels": [
        {"name": "refused", "when": {"declines": 2}, "do": [{"raise_priority": 5}]}]}),
    ("customers/kim", {"tier": "gold", "language": "de", "identities": [{"scheme": "phone", "value": "+49151"}]}),
    ("policies/default", {"on_edit": "keep", "rules": [{
        "name": "anything", "when": "task.channel == 'chat'", "priority": 0,
        "require": ["skill('de') >= 1", {"skill": "de", "level": 1}], "escalation": "standard",
        "prefer": {"agent": "last", "hold_s": 0, "reopen_within_s": 0},
        "steps": [{"queue": "general", "timeout_s": 300, "skip_if": "nobody_could", "keep_previous": False}]}]}),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body"), RESOURCES, ids=[path for path, _ in RESOURCES])
async def test_a_resource_is_shown_as_it_was_written(acme, path, body):
    answer = await acme("GET", path, status=200)
    seen = answer.json()
    assert_within(body, seen)
    again = await acme("PUT", path, seen, 200, If_Match=answer.headers["etag"])
    assert again.json() == seen
    plural = path.split("/")[0]
    assert seen in (await acme.get(plural))[plural.replace("-", "_")]


def assert_within(part, whole):
    if isinstance(part, dict):
        for name, value in part.items():
            assert_within(value, whole[name])
    elif isinstance(part, list):
        for one, other in zip(part, whole, strict=True):
            assert_within(one, other)
    else:
        assert part == whole


async def test_an_event_with_a_key_is_answered_once(acme):
    first, other = message("keyed"), message("keyed")
    answers = [
        await acme.post_event(event, Idempotency_Key="k-1") for event in (first, first, other)
    ]
    assert [one.status_code for one in answers] == [202, 202, 422]
    assert answers[0].json() == answers[1].json()
    assert answers[2].json()["type"] == "/problems/idempotency-mismatch"
    refused = await acme.post_event({**first, "type": "x"}, Idempotency_Key="k-2")
    assert refused.status_code == 400
    assert (await acme.post_event(other, Idempotency_Key="k-2")).status_code == 202


CLOCK = {
    "id", "conversation_id", "task_id", "queue", "policy", "warnings", "metric", "cycle", "state", "started_at",
    "target_s", "due_at", "satisfied_at", "breached_at", "elapsed_s", "remaining_s", "ledger",
}  # fmt: skip


async def test_clocks_everywhere_have_the_shape_of_the_evaluation(acme):
    conversation = await acme.say("clocks")
    path = f"conversations/{conversation}/clocks"
    found = await acme.until(path, lambda shown: all_bound(shown["clocks"]))
    assert [one["metric"] for one in found["clocks"]] == ["first_response", "resolution"]
    listed = (await acme.get("clocks?state=running"))["clocks"]
    explained = await acme.get(f"clocks/{found['clocks'][0]['id']}/explanation")
    for clock in [*found["clocks"], *listed, explained]:
        assert set(clock) >= CLOCK
        assert sum(entry["seconds"] for entry in clock["ledger"]) == pytest.approx(
            clock["elapsed_s"]
        )


def all_bound(clocks):
    return len(clocks) == 2 and all(clock["task_id"] for clock in clocks)


async def test_a_ladder_hears_of_a_decline(acme):
    await acme("PUT", "agents/ana/presence", {"status": "available"}, 200)
    conversation = await acme.say("declined")

    def mine(work):
        return [one for one in work["offers"] if one["conversation_id"] == conversation]

    fired = []
    for _ in range(2):
        offer = mine(await acme.until("agents/ana/work", mine))[0]
        answer = await acme("POST", f"agents/ana/offers/{offer['id']}:decline", {"reason": "busy"})
        fired.append((answer.json()["escalation"]["fired"], answer.json()["priority"]))
    assert fired == [([], 0), (["refused"], 5)]
    dead = await acme("POST", f"agents/ana/offers/{offer['id']}:accept", {}, 409)
    assert (dead.json()["reason"], dead.json()["detail"]) == (
        "declined",
        "The offer was declined: busy.",
    )


REFUSED = [
    ("POST", "tasks", {}, "/channel", "one of chat, email, phone, social"),
    ("POST", "tasks", {"channel": "fax", "customer_id": "kim"}, "/channel", "chat, email, phone, social"),
    ("POST", "tasks", {"channel": "chat", "conversation_id": "cnv_1"}, "/conversation_id", "cnv_ and 32"),
    ("POST", "tasks", {"channel": "chat", "customer_id": "kim", "priority": 1e300}, "/priority", "1000000000"),
    ("POST", "tasks", {"channel": "chat", "customer_id": "kim", "priority": "high"}, "/priority", "a number"),
    ("POST", "tasks", {"channel": "chat", "customer_id": "kim", "not_before": "2099-01-02T00:00:00Z",
                       "not_after": "2099-01-01T00:00:00Z"}, "/not_after", "after not_before"),
    ("POST", "tasks", {"channel": "chat", "customer_id": "kim", "not_before": "soon"}, "/not_before", "RFC 3339"),
    ("POST", "keys", {"name": "a", "role": "boss"}, "/role", "admin, agent, ops, platform, supervisor"),
    ("PUT", "agents/ana/presence", {"status": "busy"}, "/status", "available, away, offline"),
    ("PUT", "agents/odd", {"queues": [5]}, "/queues/0", "an object"),
    ("PUT", "queues/odd", {"ordr": "deadline"}, "/ordr", "order"),
    ("PUT", "policies/odd", {"rules": [{"when": "task.channel ==", "steps": [{"queue": "general"}]}]},
     "/rules/0/when", "a value or a name"),
    ("PUT", "connectors/odd", {"kind": "messenger", "setings": {}}, "/setings", "settings"),
    ("PUT", "connectors/odd", {}, "/kind", "a kind"),
    ("PUT", "sla-policies/odd", {"calendar": "always", "targets": {"first_response": {"target_s": 0}}},
     "/targets/first_response/target_s", "> 0"),
    ("GET", "tasks?state=flying", None, "/query/state/0", "'pending'"),
    ("GET", "clocks?state=flying", None, "/query/state/0", "'running'"),
    ("GET", "events?types=routing.task.create.v1", None, "/query/types", "routing.task.created.v1"),
    ("GET", "agents?limit=0", None, "/query/limit", ">= 1"),
    ("GET", "breaches?from=yesterday", None, "/query/from", "RFC 3339"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path", "body", "place", "right"), REFUSED, ids=[f"{r[1]} {r[3]}" for r in REFUSED]
)
async def test_a_refusal_says_what_is_wrong_where_and_what_is_right(
    acme, method, path, body, place, right
):
    problem = (await acme(method, path, body, 400)).json()
    assert problem["type"] == "/problems/validation"
    fault = problem["errors"][0]
    assert fault["pointer"] == place
    assert right in fault["expected"]
    told = problem["detail"] + fault["message"] + fault["expected"]
    assert not [word for word in ("`", "Form", "dictionary", "isoformat") if word in told]


@pytest.mark.parametrize(
    ("body", "why"),
    [(b"", "it is empty"), (b'{"kind": ', "too early"), (b'{"text": "\\ud800"}', "surrogate")],
)
async def test_a_broken_body_is_told_how_it_is_broken(acme, body, why):
    for path, kind in (("tasks", "application/json"), ("events", ONE)):
        answer = await acme.http.post(path, content=body, headers={"Content-Type": kind})
        assert answer.status_code == 400
        assert why in answer.json()["detail"]


async def test_who_may_not_is_told_who_may(acme):
    made = (await acme("POST", "keys", {"name": "o", "role": "ops"}, 201)).json()
    token = {"Authorization": f"Bearer {made['token']}"}
    problem = (await acme("PUT", "queues/general", {}, 403, **token)).json()
    assert "role ops" in problem["detail"]
    assert "admin" in problem["detail"]


async def test_types_of_the_journal_may_be_repeated_or_joined(acme):
    await acme.say("journal")
    wanted = ["routing.task.created.v1", "routing.config.changed.v1"]
    joined = await acme.get(f"events?limit=1000&types={','.join(wanted)}")
    repeated = await acme.get(f"events?limit=1000&types={wanted[0]}&types={wanted[1]}")
    assert {one["type"] for one in joined["events"]} <= set(wanted)
    assert repeated["events"][: len(joined["events"])] == joined["events"]


async def test_tasks_of_one_conversation_or_customer(acme):
    made = [
        (await acme("POST", "tasks", {"channel": "chat", "customer_id": "kim"}, 201)).json()
        for _ in range(2)
    ]
    ids = [one["id"] for one in made]
    found = await acme.get(f"tasks?conversation_id={made[1]['conversation_id']}")
    assert [one["id"] for one in found["tasks"]] == ids[1:]
    of_kim = await acme.get("tasks?customer_id=kim&limit=200")
    assert set(ids) <= {one["id"] for one in of_kim["tasks"]}
    assert {one["customer_id"] for one in of_kim["tasks"]} == {"kim"}
    assert {one["language"] for one in made} == {"de"}
