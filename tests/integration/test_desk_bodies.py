"""What desktops and platforms write is taken or refused by name and place; nothing of it breaks a
shard, or makes an event that the bus refuses."""

from typing import Any

import httpx

from services.cli.system import System
from tests.integration.shop import client, ok

BIG = 10**30
DEEP: Any = {"a": [[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]}


async def _desk(running: System, boss: httpx.AsyncClient) -> str:
    """A task that ana works on."""
    async with await client(running, "admin") as admin:
        await ok(await admin.put("/queues/main", json={"offer": {"auto_accept": True}}))
        await ok(await admin.put("/agents/ana", json={"channels": {"chat": 3}}))
        await ok(await admin.put("/customers/kim", json={"name": "Kim"}))
        rules = {"rules": [{"steps": [{"queue": "main"}]}]}
        await ok(await admin.put("/policies/default", json=rules))
    await ok(await boss.put("/agents/ana/presence", json={"status": "available"}))
    made = await ok(await boss.post("/tasks", json={"channel": "chat", "customer_id": "kim"}))
    assert made["state"] == "assigned"
    return made["id"]


NEW = {"channel": "chat", "customer_id": "kim"}
PRESENCE = "PUT /agents/ana/presence"


REFUSED: list[tuple[str, Any, str, str]] = [
        ("/tasks", {**NEW, "attributes": {"n": {"m": BIG}}}, "/attributes/n/m", "range"),
        ("/tasks", {**NEW, "attributes": DEEP}, "/attributes/a" + "/0" * 15, "depth"),
        ("/tasks", {**NEW, "attributes": {"a": "x" * 300_000}}, "/attributes", "too_large"),
        ("/tasks", {**NEW, "attributes": {"a": "\0"}}, "/attributes/a", "nul"),
        ("/tasks", {**NEW, "text": "a\0b"}, "/text", "nul"),
        ("/tasks", {**NEW, "kind": "x" * 201}, "/kind", "length"),
        ("/tasks", {**NEW, "language": "x" * 36}, "/language", "length"),
        ("/tasks", {**NEW, "not_before": "0001-01-01T00:00:00"}, "/not_before", "range"),
        ("/tasks", {**NEW, "not_after": "9999-12-31T23:59:59-05:00"}, "/not_after", "range"),
        (":complete", {"tags": ["ok", "a\0"]}, "/tags/1", "nul"),
        (":complete", {"tags": ["ok", "x" * 201]}, "/tags/1", "length"),
        (":complete", {"tags": ["x"] * 51}, "/tags", "length"),
        (":complete", {"note": "x" * 10_001}, "/note", "length"),
        (":complete", {"disposition": "x" * 1_001}, "/disposition", "length"),
        (":transfer", {"to": {"queue": "main"}, "note": "x" * 10_001}, "/note", "length"),
        (":transfer", {"to": {"queue": "main"}, "attributes": {"n": BIG}}, "/attributes/n", "range"),
        (":hold", {"reason": "\0"}, "/reason", "nul"),
        (PRESENCE, {"status": "away", "reason": "x" * 1_001}, "/reason", "length"),
        ("/agents/ana/offers/off_1:decline", {"reason": "x" * 1_001}, "/reason", "length"),
        ("/agents/ana/offers/off_1:decline", {"retry_at": "0001-01-01T00:00:00Z"}, "/retry_at", "range"),
]  # fmt: skip


async def test_what_no_desktop_and_no_bus_can_hold_is_refused_with_its_place(
    running: System,
) -> None:
    async with await client(running, "supervisor") as boss:
        task = await _desk(running, boss)
        for call, body, pointer, code in REFUSED:
            method, _, path = call.rpartition(" ")
            address = f"/tasks/{task}{path}" if path.startswith(":") else path
            answer = await boss.request(method or "POST", address, json=body)
            assert answer.status_code == 400, (call, pointer, answer.text[:500])
            (fault,) = answer.json()["errors"]
            assert (fault["pointer"], fault["code"]) == (pointer, code), (call, fault)
        assert (await ok(await boss.get(f"/tasks/{task}")))["state"] == "assigned"
        assert len((await ok(await boss.get("/tasks")))["tasks"]) == 1


async def test_a_resource_with_a_nul_is_refused_and_its_shard_goes_on(running: System) -> None:
    async with await client(running, "admin") as admin:
        for path, body, pointer in (
            ("/teams/t", {"name": "a\0b"}, "/name"),
            ("/customers/c", {"attributes": {"a": ["b", "\0"]}}, "/attributes/a/1"),
            ("/calendars/c", {"timezone": "UTC", "always_open": True, "holidays": ["\0"]}, "/holidays/0"),
        ):  # fmt: skip
            answer = await admin.put(path, json=body)
            assert answer.status_code == 400, answer.text
            assert [one["pointer"] for one in answer.json()["errors"]] == [pointer]
        answer = await admin.post("/keys", json={"name": "a\0", "role": "ops"})
        assert answer.json()["errors"][0]["pointer"] == "/name"
        # A backslash that is meant: no NUL.
        await ok(await admin.put("/teams/t", json={"name": "\\u0000"}))


async def test_a_task_is_of_its_conversations_channel(running: System) -> None:
    async with await client(running, "supervisor") as boss:
        task = await _desk(running, boss)
        conversation = (await ok(await boss.post(f"/tasks/{task}:cancel")))["conversation_id"]
        body = {"channel": "phone", "conversation_id": conversation, "kind": "call_back"}
        refused = await boss.post("/tasks", json=body)
        assert refused.json()["errors"][0] == {
            "pointer": "/channel",
            "code": "channel",
            "message": "The conversation is one of chat.",
            "expected": "chat, or customer_id for a new conversation",
        }
        made = await ok(await boss.post("/tasks", json={**body, "channel": "chat"}))
        assert made["channel"] == "chat"
        await boss.post(f"/tasks/{made['id']}:cancel")
