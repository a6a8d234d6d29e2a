"""A day of a small centre, played over HTTP through every call of the document: with the examples as
bodies, and each real answer held against what is published."""

import asyncio
import base64
import json
import re

import httpx
import pytest
import pytest_asyncio

from shared.testing.described import Described

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.slow,
    pytest.mark.timeout(600),
]

WAIT_S = 60.0
EVENT = "application/cloudevents+json"
BAD_KEY = {"Idempotency-Key": "a b"}
VENDORS = "inbound"


class Player:
    """Plays operations by their names. Each is first called wrongly, wherever it can be."""

    def __init__(self, system):
        self.described = Described(system.app.openapi())
        self.calls = {
            one["operationId"]: (method, path, one)
            for method, path, one in self.described.operations()
        }
        self.http = httpx.AsyncClient(base_url=system.url, timeout=120)
        self.played = set()
        self.headers = {}

    async def __call__(
        self, operation_id, /, *, status=None, body=..., kind=None, headers=None, query=None, **ids
    ):
        """The answer's JSON. Without `body` the example is sent."""
        name = operation_id
        method, path, operation = self.calls[name]
        url = path.format(**{"workspace": "acme", **ids})
        sent = {**self.headers, **(headers or {})}
        content = operation.get("requestBody", {}).get("content", {})
        if content and body is ...:
            kind = kind or next(iter(content))
            body = content[kind].get("example", {})
        if content and body is not ...:
            sent["Content-Type"] = kind or next(iter(content))
        whole = None if body is ... else body if isinstance(body, str) else json.dumps(body)
        await self._wrongly(name, method, url, operation, whole, sent)
        answer = await self._send(method, url, whole, sent, query)
        if isinstance(status, int):
            assert answer.status_code == status, (name, answer.status_code, answer.text)
        else:
            assert answer.is_success, (name, answer.status_code, answer.text)
        self.played.add(name)
        kinds = answer.headers.get("content-type", "")
        return answer.json() if kinds.endswith(("/json", "+json")) else answer.text

    async def _send(self, method, url, content, headers, query=None):
        answer = await self.http.request(
            method, url, content=content, headers=headers, params=query
        )
        self.described.check(method, url, answer.status_code, answer.headers, answer.content)
        return answer

    async def ready(self):
        for _ in range(int(WAIT_S / 0.1)):
            if (await self.http.get("/health/ready")).is_success:
                return
            await asyncio.sleep(0.1)

    async def _wrongly(self, name, method, url, operation, content, headers):
        """What the document says of headers and of the query is true."""
        if VENDORS in url or name in ("live", "is_ready"):
            return
        told = await self._faults(method, f"{url}?stauts=pending", content, headers)
        assert told == {"/query/stauts"}, (name, told)
        named = {one["name"] for one in operation["parameters"] if one["in"] == "header"}
        for header, bad in (("Idempotency-Key", "a b"), ("If-Match", "nonsense")):
            if header in named:
                told = await self._faults(method, url, content, {**headers, header: bad})
                assert told == {f"/header/{header.lower()}"}, (name, header, told)

    async def _faults(self, method, url, content, headers):
        answer = await self._send(method, url, content, headers)
        assert answer.status_code == 400, (method, url, answer.status_code, answer.text)
        return {fault["pointer"] for fault in answer.json()["errors"]}

    async def until(self, operation_id, holds, /, **asked):
        """What a call answers once it `holds`."""
        for _ in range(int(WAIT_S / 0.1)):
            found = await self(operation_id, **asked)
            if holds(found):
                return found
            await asyncio.sleep(0.1)
        raise AssertionError((operation_id, found))

    async def stream(self, name, /, *, headers=None, query=None, **ids):
        """The first event of a stream: its name and data, as the document has them."""
        method, path, operation = self.calls[name]
        url = path.format(**{"workspace": "acme", **ids})
        said = operation["responses"]["200"]["content"]["text/event-stream"]
        sent = {**self.headers, "Accept": "text/event-stream", **(headers or {})}
        async with self.http.stream(method, url, headers=sent, params=query) as answer:
            assert answer.status_code == 200, await answer.aread()
            assert answer.headers["content-type"].startswith("text/event-stream")
            event, data = "message", None
            async for line in answer.aiter_lines():
                event = line[7:] if line.startswith("event: ") else event
                data = line[6:] if line.startswith("data: ") else data
                if data is not None and not line:
                    break
        self.described.valid(said["x-omniroute-events"][event], json.loads(data), f"{name} {event}")
        self.played.add(name)
        return json.loads(data)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def play(start_system):
    async with start_system("all") as system:
        player = Player(system)
        async with player.http:
            _, every = await system.parts.keys.create("*", "every", "admin")
            player.headers = {"Authorization": f"Bearer {every}"}
            await player("put_workspace", status=201)
            _, token = await system.parts.keys.create("acme", "test", "admin")
            player.headers = {"Authorization": f"Bearer {token}"}
            await player.ready()
            yield player


async def test_every_call_answers_as_it_is_described(play):
    await keys(play)
    await resources(play)
    await visitors(play)
    conversation = await work(play)
    await tasks(play)
    await reading(play, conversation)
    await clocks(play, conversation)
    await trying(play)
    await customers(play)
    await letters(play)
    await ends(play)
    missing = {name for name in play.calls if not name.startswith(("take_", "shake_"))}
    assert missing == play.played


async def keys(play):
    await play("live")
    await play("is_ready")
    await play("get_workspace")
    made = await play("create_key", status=201)
    await play("rotate_key", key=made["id"])
    await play("list_keys")
    await play("delete_key", key=made["id"], status=204)
    await play("create_stream_ticket", status=201)


async def resources(play):
    await play("put_queue", status=201, body={"id": "support"}, name="support")
    for kind, name in (
        ("calendar", "office"), ("sla_policy", "standard"), ("team", "front"), ("queue", "billing"),
        ("escalation", "standard"), ("agent", "ana"), ("customer", "kim"),
    ):  # fmt: skip
        await play(f"put_{kind}", status=201, **place(kind, name))
    await play("put_policy", status=201, name="default")
    await play("put_agent", status=201, body={"id": "sam", "queues": ["support"]}, agent="sam")
    for kind, name, plural in (
        ("calendar", "office", "calendars"), ("sla_policy", "standard", "sla_policies"),
        ("team", "front", "teams"), ("queue", "billing", "queues"), ("policy", "default", "policies"),
        ("escalation", "standard", "escalations"), ("agent", "ana", "agents"),
        ("customer", "kim", "customers"),
    ):  # fmt: skip
        shown = await play(f"get_{kind}", **place(kind, name))
        assert shown in (await play(f"list_{plural}"))[plural]
        assert await play(f"put_{kind}", body=shown, status=200, **place(kind, name)) == shown
        await play(f"get_{kind}", status=304, headers={"If-None-Match": "*"}, **place(kind, name))


def place(kind, name):
    return {"agent" if kind == "agent" else "name": name}


async def visitors(play):
    await play("list_connector_kinds")
    await play("put_connector", status=201, connector="site")
    await play("get_connector", connector="site")
    await play("list_connectors")
    assert (await play("preview_connector"))["events"]
    await play("renormalise_connector", connector="site")
    made = await play("create_chat_token", status=201, connector="site")
    own = {"headers": {"Authorization": f"Bearer {made['token']}"}, "connector": "site"}
    await play("post_chat_message", status=202, **own)
    await play("list_chat_messages", query={"wait": 20}, **own)
    ticket = await play("create_chat_ticket", status=201, **own)
    seen = await play.stream(
        "stream_chat", connector="site", headers={"Authorization": ""},
        query={"ticket": ticket["ticket"], "lastEventId": "0"},
    )  # fmt: skip
    assert seen["text"] == "Where is my parcel?"


async def work(play):
    """A message, its offer, and the agent who takes it."""
    for kind in play.calls["post_events"][2]["requestBody"]["content"]:
        headers = {}
        if kind == "application/json":
            attributes = {
                "specversion": "1.0",
                "id": "b-1",
                "source": "crm",
                "type": "interaction.message.v1",
            }
            headers = {f"ce-{name}": text for name, text in attributes.items()}
        told = await play("post_events", status=202, kind=kind, headers=headers)
        assert told["results"][0]["status"] == "accepted", told
    await play("post_events", status=202, kind=EVENT, body=with_file())
    await play("put_presence", agent="ana")
    shown = await play.until("get_work", lambda found: found["offers"], agent="ana")
    await play("get_work", status=304, headers={"If-None-Match": "*"}, agent="ana")
    await play.stream("stream_work", agent="ana")
    first = shown["offers"][0]
    task = await play("accept_offer", agent="ana", offer=first["id"])
    assert task["state"] == "assigned"
    await play("explain_agent", agent="ana")
    shown = await play.until("get_work", lambda found: found["tasks"], agent="ana")
    await play("post_message", status=201, conversation=first["conversation_id"])
    await play("complete_task", task=task["id"])
    await play("close_task", task=task["id"])
    return first["conversation_id"]


def with_file():
    content = base64.b64encode(b"an invoice").decode()
    data = {
        "channel": "email", "conversation_key": "mail-1", "direction": "inbound",
        "author": {"role": "customer"}, "text": "See the file",
        "attachments": [{"name": "a.txt", "content_type": "text/plain", "content_base64": content}],
    }  # fmt: skip
    return {
        "specversion": "1.0",
        "id": "f-1",
        "source": "crm",
        "type": "interaction.message.v1",
        "data": data,
    }


async def tasks(play):
    await play("put_presence", body={"status": "offline"}, agent="ana")
    one = (await play("create_task", status=201))["id"]
    await play("reprioritize_task", task=one)
    await play("escalate_task", task=one)
    await play("put_presence", agent="ana")

    def offered(found):
        return [offer for offer in found["offers"] if offer["task_id"] == one]

    shown = await play.until("get_work", offered, agent="ana")
    await play("decline_offer", agent="ana", offer=offered(shown)[0]["id"])
    await play("assign_task", task=one)
    await play("hold_task", task=one)
    await play("resume_task", task=one)
    await play("requeue_task", task=one)
    await play("transfer_task", task=one)
    await play("explain_task", task=one)
    await play("explain_task", task=one, query={"limit": 1})
    await play("cancel_task", task=one)
    two = (await play("create_task", status=201))["id"]
    await play("assign_task", task=two, body={"agent": "ana", "override_capacity": True})
    await play("complete_task", task=two)
    await play("close_task", task=two)
    await play("get_task", task=two)
    await play("list_tasks", query={"state": ["completed", "cancelled"], "limit": 1})


async def reading(play, conversation):
    await play("list_conversations")
    await play("get_conversation", conversation=conversation)
    await play("list_messages", conversation=conversation)
    await play("export_vcon", conversation=conversation)
    mail = (await play.until("list_conversations", bool, query={"channel": "email"}))[
        "conversations"
    ][0]["conversation_id"]
    message = (await play("list_messages", conversation=mail))["messages"][0]["message_id"]
    file = {"conversation": mail, "message": message, "index": 0}
    assert await play("get_attachment", **file) == "an invoice"
    events = await play("list_events", query={"limit": 3})
    assert events["next"] == 3
    await play.stream("list_events", query={"after": 0})
    await play("get_queue_status", name="billing")
    await play("get_team_duty", name="front")


async def clocks(play, conversation):
    def bound(found):
        return len(found["clocks"]) == 2 and all(one["task_id"] for one in found["clocks"])

    seen = await play.until("list_conversation_clocks", bound, conversation=conversation)
    await play("explain_clock", clock=seen["clocks"][0]["id"])
    await play("list_clocks", query={"state": "running"})
    await play.stream("stream_sla", query={"figures_s": 2})
    for name in ("list_breaches", "get_service_level", "get_compliance", "get_forecast",
                 "get_figures", "get_figures_series", "list_burn_alerts"):  # fmt: skip
        await play(name)
        await play(name, query={"format": "csv"})
    for by in ("channel", "agent", "policy", "priority", "tag"):
        await play("get_figures", query={"by": by})
        await play("get_service_level", query={"by": by, "metric": "resolution"})


async def trying(play):
    await play("list_calendar_days", name="office")
    asked = {"calendar_id": "office"}
    for body in (
        ...,
        {**asked, "start": "2026-11-23T09:00:00Z", "end": "2026-11-24T09:00:00Z"},
        {**asked, "at": "2026-11-23T09:00:00Z"},
        {**asked, "start": "2026-11-23T09:00:00Z", "end": "2026-11-24T09:00:00Z", "list": "windows"},
        {**asked, "start": "2026-11-23T09:00:00Z", "business_days": 2, "end_of_day": True},
    ):  # fmt: skip
        await play("evaluate_calendars", body=body)
    assert (await play("evaluate_sla_policies"))["clocks"]
    found = await play("evaluate_policy")
    assert found["results"][0]["queue"]
    await play("dry_run_sla_policies")
    await play("migrate_sla_policy", name="standard")
    await play("migrate_sla_policy", name="standard", body={})


async def customers(play):
    await play("import_customers")
    await play("import_customers", kind="text/csv")
    await play("merge_customer", name="lee")
    await play("get_customer_profile", name="kim")
    await play("unmerge_customer", name="lee")
    assert (await play("resolve_identities"))["customer"] == "kim"


async def letters(play):
    """What a vendor sends that becomes nothing is kept, and read again."""
    kind = {"id": "odd", "kind": "telegram", "settings": {}, "secrets": {"secret_token": "s" * 32}}
    made = await play("put_connector", status=201, body=kind, connector="odd")
    url = httpx.URL(made["inbound_url"]).raw_path.decode()
    sent = await play.http.post(
        url,
        content=b"{",
        headers={"X-Telegram-Bot-Api-Secret-Token": "s" * 32, "Content-Type": "application/json"},
    )
    assert sent.is_success, sent.text
    found = await play.until("list_dead_letters", lambda seen: seen["dead_letters"])
    await play("replay_dead_letter", status=409, letter=found["dead_letters"][0]["id"])


async def ends(play):
    await play("delete_connector", status=204, connector="odd")
    await play("put_policy", body={"id": "default", "rules": []}, name="default")
    for kind, name in (("policy", "default"), ("escalation", "standard"), ("sla_policy", "standard"),
                       ("calendar", "office"), ("team", "front"), ("customer", "lee")):  # fmt: skip
        await play(f"delete_{kind}", status=204, **place(kind, name))
    await play("put_agent", body={"id": "sam"}, agent="sam")
    await play("delete_agent", status=204, agent="sam")
    await play("put_queue", status=201, body={"id": "spare"}, name="spare")
    await play("delete_queue", status=204, name="spare")


async def test_a_parameter_that_is_not_known_is_told_with_those_that_are(play):
    answer = await play.http.get(
        "/v1/workspaces/acme/tasks?stauts=pending&_=17", headers=play.headers
    )
    assert answer.status_code == 400
    problem = answer.json()
    assert problem["type"] == "/problems/validation" and "'stauts'" in problem["detail"]
    (fault,) = problem["errors"]
    assert (fault["pointer"], fault["code"]) == ("/query/stauts", "unknown_parameter")
    assert re.match(r"state, .*limit|state, ", fault["expected"])
    assert set(fault["expected"].split(", ")) == {
        "state", "queue", "agent", "conversation_id", "customer_id", "cursor", "limit"
    }  # fmt: skip
