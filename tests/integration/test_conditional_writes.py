"""If-Match and If-None-Match of the router's and the SLA service's writes, and of what is done to tasks."""

import asyncio

import httpx
import pytest

from services.cli.system import System
from tests.integration.shop import client, ok

SLA = ("/calendars/c", {"timezone": "UTC", "always_open": True})
TEAM = ("/teams/t", {"name": "Berlin"})


async def _write(
    admin: httpx.AsyncClient, method: str, path: str, body: object, **headers: str
) -> int:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    sent = body if method == "PUT" else None
    return (await admin.request(method, path, json=sent, headers=named)).status_code


async def test_a_write_finds_what_its_headers_demand_or_is_refused(running: System) -> None:
    async with await client(running, "admin") as admin:
        for path, body in (TEAM, SLA):
            for tags in ('W/"1"', '"1", "2"', '"abc"', '"99999999999999999999"', "*"):
                assert await _write(admin, "PUT", path, body, if_match=tags) == 412, (path, tags)
            assert await _write(admin, "PUT", path, body, if_none_match="*") == 201
            assert await _write(admin, "PUT", path, body, if_none_match="*") == 412
            for tags in ('W/"1"', '"2", "3"', '"abc"', '"0"', '"99999999999999999999"'):
                for method in ("PUT", "DELETE"):
                    assert await _write(admin, method, path, body, if_match=tags) == 412, tags
            for tags in ('"7", "1"', '"1"', "*"):
                assert await _write(admin, "PUT", path, body, if_match=tags) == 200, tags
            assert await _write(admin, "DELETE", path, body, if_match='"1", "9"') == 204


@pytest.mark.parametrize(("path", "body"), [TEAM, SLA])
async def test_of_many_who_create_only_where_there_is_none_one_does(
    running: System, path: str, body: dict[str, object]
) -> None:
    async with await client(running, "admin") as admin:
        every = [_write(admin, "PUT", path, body, if_none_match="*") for _ in range(8)]
        assert sorted(await asyncio.gather(*every)) == [201, *[412] * 7]
        key = {"idempotency_key": "k", "if_none_match": "*"}
        assert await _write(admin, "DELETE", path, body) == 204
        assert await _write(admin, "PUT", path, body, **key) == 201
        assert await _write(admin, "PUT", path, body, **key) == 201  # the lost answer again


async def test_what_is_done_to_a_task_demands_the_version_that_was_seen(running: System) -> None:
    async with await client(running, "admin") as admin:
        await ok(await admin.put("/customers/kim", json={}))
        new = {"channel": "chat", "customer_id": "kim"}
        task = f"/tasks/{(await ok(await admin.post('/tasks', json=new)))['id']}"
        seen = await admin.get(task)
        assert seen.headers["etag"] == f'"{seen.json()["version"]}"'
        demand = {"If-Match": seen.headers["etag"]}
        change = {"priority": 3}
        done = await ok(await admin.post(f"{task}:reprioritize", json=change, headers=demand))
        assert (
            (await admin.get(task)).headers["etag"] == f'"{done["version"]}"' != demand["If-Match"]
        )
        for action, body in (("reprioritize", {"priority": 4}), ("cancel", {}), ("requeue", {})):
            stale = await admin.post(f"{task}:{action}", json=body, headers=demand)
            assert (stale.status_code, stale.json()["type"]) == (
                412,
                "/problems/precondition-failed",
            )
        assert (await ok(await admin.get(task)))["priority"] == 3
        await ok(await admin.post(f"{task}:cancel", headers={"If-Match": f'"{done["version"]}"'}))
        gone = await admin.post("/tasks/tsk_no:cancel", headers={"If-Match": "*"})
        assert gone.status_code == 404


RESOURCES = [
    TEAM,
    SLA,
    ("/queues/anew", {}),
    ("/agents/anew", {"channels": {"chat": 1}}),
    ("/policies/anew", {"rules": [{"steps": [{"queue": "main"}]}]}),
    ("/escalations/anew", {"levels": []}),
    ("/customers/anew", {}),
    ("/sla-policies/anew", {"calendar": "always"}),
    ("/connectors/anew", {"kind": "email_mime"}),
]


async def test_what_was_seen_of_a_resource_never_fits_another_of_its_name(running: System) -> None:
    """Deleted and created again, it has an ETag that no earlier one had."""
    async with await client(running, "admin") as admin:
        await ok(await admin.put("/queues/main", json={}))
        await ok(await admin.put("/calendars/always", json=SLA[1]))
        for path, body in RESOURCES:
            made = await admin.put(path, json=body)
            assert made.status_code == 201, made.text
            tags = [made.headers["etag"]]
            for _ in range(2):
                assert (await admin.delete(path)).status_code == 204, path
                anew = await admin.put(path, json=body, headers={"If-None-Match": "*"})
                assert anew.status_code == 201, anew.text
                for tag in tags:
                    for method in ("PUT", "DELETE"):
                        stale = await _write(admin, method, path, body, if_match=tag)
                        assert stale == 412, (path, tag)
                tags.append(anew.headers["etag"])
                assert (await admin.get(path)).headers["etag"] == tags[-1]
            assert len(set(tags)) == 3, path
