"""An agent reads and moves only what is his; a supervisor may steer all of it."""

import asyncio
from typing import Any

import httpx

from services.cli.system import System
from tests.integration.shop import client, ok

EVENT = {
    "specversion": "1.0", "id": "m-1", "source": "crm", "type": "interaction.message.v1",
    "data": {"channel": "chat", "conversation_key": "t-1", "direction": "inbound",
             "author": {"role": "customer"}, "text": "hello"},
}  # fmt: skip


async def work_with_offer(desk: httpx.AsyncClient, agent: str) -> dict[str, Any]:
    tag = ""
    for _ in range(30):
        headers = {"If-None-Match": tag} if tag else {}
        answer = await desk.get(f"/agents/{agent}/work?wait=2", headers=headers)
        if answer.status_code == 200:
            tag = answer.headers["etag"]
            if answer.json()["offers"]:
                return answer.json()["offers"][0]
        await asyncio.sleep(0)
    raise AssertionError("no offer came")


async def test_another_agents_task_is_out_of_reach(running: System) -> None:
    async with (
        await client(running, "admin") as admin,
        await client(running, "agent", "ana") as ana,
        await client(running, "agent", "ben") as ben,
        await client(running, "supervisor") as boss,
    ):
        body = {"name": "x", "capacity": 100, "channels": {"chat": 2}}
        await ok(await admin.put("/queues/main", json={}))
        for name, skills in (("ana", {"en": 5}), ("ben", {})):
            await ok(await admin.put(f"/agents/{name}", json={**body, "skills": skills}))
        rule = {"require": [{"skill": "en", "level": 1}], "steps": [{"queue": "main"}]}
        await ok(await admin.put("/policies/default", json={"rules": [rule]}))
        await ok(await ana.put("/agents/ana/presence", json={"status": "available"}))
        form = {"Content-Type": "application/cloudevents+json"}
        await ok(await admin.post("/events", json=EVENT, headers=form))
        offer = await work_with_offer(ana, "ana")
        task = offer["task_id"]

        assert (await ben.get(f"/tasks/{task}")).status_code == 404
        assert (await ben.post(f"/agents/ana/offers/{offer['id']}:accept")).status_code == 403
        assert (await ben.post(f"/agents/ben/offers/{offer['id']}:accept")).status_code in (
            404,
            409,
        )
        await ok(await ana.post(f"/agents/ana/offers/{offer['id']}:accept"))
        for act in ("complete", "hold", "requeue", "resume"):
            refused = await ben.post(f"/tasks/{task}:{act}")
            assert refused.status_code in (403, 404), (act, refused.text)
        assert (await ben.get("/tasks")).json()["tasks"] == []
        assert (await ana.post(f"/tasks/{task}:cancel")).status_code == 403
        assert (await ok(await ana.get(f"/tasks/{task}")))["state"] == "assigned"
        await ok(await boss.post(f"/tasks/{task}:reprioritize", json={"priority": 9}))
        assert (await ok(await ana.post(f"/tasks/{task}:complete")))["state"] == "completed"


async def test_an_agent_finds_himself_in_the_list_however_many_come_before(running: System) -> None:
    async with (
        await client(running, "admin") as admin,
        await client(running, "agent", "zoe") as zoe,
    ):
        for name in ("a1", "a2", "zoe"):
            await ok(await admin.put(f"/agents/{name}", json={"name": name}))
        listed = (await zoe.get("/agents?limit=1")).json()
        assert ([one["id"] for one in listed["agents"]], listed["next"]) == (["zoe"], None)
