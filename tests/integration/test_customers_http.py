"""Customers over HTTP: imported, merged, taken apart, seen whole; who may; what is refused and how."""

import asyncio
from typing import Any

import httpx
import msgspec

from services.cli.system import System
from tests.integration.shop import client, ok
from tests.integration.test_agents_own_tasks import work_with_offer

NDJSON = {"Content-Type": "application/x-ndjson"}
CSV = {"Content-Type": "text/csv"}
EVENTS = {"Content-Type": "application/cloudevents+json"}


async def imported(admin: httpx.AsyncClient, body: str, headers: dict[str, str]) -> dict[str, Any]:
    """The last line: the result."""
    answer = await admin.post("/customers:import", content=body.encode(), headers=headers)
    assert answer.status_code == 200 and answer.headers["content-type"] == "application/x-ndjson"
    lines = [msgspec.json.decode(line) for line in answer.content.splitlines()]
    assert all("progress" in line for line in lines[:-1])
    return lines[-1]["result"]


async def test_customers_are_imported_row_by_row(running: System) -> None:
    async with await client(running, "admin") as admin:
        rows = "".join(f'{{"id": "c{n}", "tier": "gold"}}\n' for n in range(600))
        bad = '{"id": "x", "teir": "gold"}\nnonsense\n'
        result = await imported(admin, rows + bad, NDJSON)
        assert {name: result[name] for name in ("total", "created", "changed", "rejected")} == {
            "total": 602, "created": 600, "changed": 0, "rejected": 2,
        }  # fmt: skip
        wrong = [(one["row"], one["errors"][0]["pointer"]) for one in result["rejections"]]
        assert wrong == [(600, "/600/teir"), (601, "/601")]
        assert result["rejections"][0]["errors"][0]["expected"] == "tier"

        result = await imported(admin, rows, NDJSON)
        assert (result["created"], result["changed"]) == (0, 0), "the same again changes nothing"
        table = "id,tier,email,attributes.contract\nc1,silver,kim@example.org,4711\n"
        result = await imported(admin, table, CSV)
        assert (result["created"], result["changed"]) == (0, 1)
        shown = await ok(await admin.get("/customers/c1"))
        assert (shown["tier"], shown["attributes"]) == ("silver", {"contract": "4711"})
        assert shown["identities"] == [{"scheme": "email", "value": "kim@example.org"}]

        for body, headers, status in (
            ("id,colour\nkim,red\n", CSV, 400),
            ("{}", {"Content-Type": "application/json"}, 415),
        ):
            answer = await admin.post("/customers:import", content=body, headers=headers)
            assert answer.status_code == status
            assert answer.headers["content-type"] == "application/problem+json"


async def test_an_import_keeps_what_it_does_not_name_and_tells_what_is_doubtful(
    running: System,
) -> None:
    async with await client(running, "admin") as admin:
        await ok(await admin.put("/customers/kim", json={"name": "Kim", "never_pair": ["ana"]}))
        table = "id;tier;email\nkim;gold;k@example.org\nlee;;k@example.org\nkim;silver;\n"
        result = await imported(admin, table, CSV)
        assert (result["created"], result["changed"], result["rejected"]) == (1, 2, 0)
        doubts = {(one["line"], one["id"]): one["warnings"] for one in result["warnings"]}
        assert "kim" in str(doubts[3, "lee"]) and result["warned"] == len(doubts)
        shown = await ok(await admin.get("/customers/kim"))
        assert (shown["tier"], shown["name"], shown["never_pair"]) == ("silver", "Kim", ["ana"])
        result = await imported(admin, table, CSV)
        assert (result["created"], result["changed"]) == (0, 2), "gold, then silver again"
        latin = b'{"id": "x", "name": "\xfc"}\n'
        answer = await admin.post("/customers:import", content=latin, headers=NDJSON)
        assert msgspec.json.decode(answer.content)["result"]["rejected"] == 1


async def test_progress_is_told_while_an_import_goes_on(running: System) -> None:
    async with await client(running, "admin") as admin:
        rows = "".join(f'{{"id": "c{n}"}}\n' for n in range(1_200))
        answer = await admin.post("/customers:import", content=rows, headers=NDJSON)
        lines = [msgspec.json.decode(line) for line in answer.content.splitlines()]
        done = [line["progress"]["done"] for line in lines[:-1]]
        assert done == sorted(done) and len(done) == 2 and lines[0]["progress"]["total"] == 1_200


async def message(admin: httpx.AsyncClient, key: str, email: str) -> None:
    data = {
        "channel": "chat", "conversation_key": key, "direction": "inbound", "text": "hello",
        "author": {"role": "customer"}, "identities": [{"scheme": "email", "value": email}],
    }  # fmt: skip
    event = {"specversion": "1.0", "id": key, "source": "crm", "type": "interaction.message.v1"}
    await ok(await admin.post("/events", json={**event, "data": data}, headers=EVENTS))


async def test_a_merge_is_seen_on_the_desktop_in_the_profile_and_undone(running: System) -> None:
    async with (
        await client(running, "admin") as admin,
        await client(running, "agent", "ana") as ana,
    ):
        await ok(await admin.put("/queues/main", json={"offer": {"ttl_s": 600}}))
        await ok(await admin.put("/agents/ana", json={"capacity": 100, "channels": {"chat": 2}}))
        await ok(
            await admin.put("/policies/default", json={"rules": [{"steps": [{"queue": "main"}]}]})
        )
        for name, more in (("kim", {"tier": "gold", "name": "Kim"}), ("k2", {"language": "de"})):
            identity = {"scheme": "email", "value": f"{name}@example.org"}
            await ok(await admin.put(f"/customers/{name}", json={"identities": [identity], **more}))
        await ok(await ana.put("/agents/ana/presence", json={"status": "available"}))
        await message(admin, "t-1", "K2@example.org")
        offer = await work_with_offer(ana, "ana")
        assert (offer["customer"]["id"], offer["customer"]["tier"]) == ("k2", None)

        async def next_work(change: Any) -> dict[str, Any]:
            """What a waiting desktop is answered when the change comes."""
            tag = (await ana.get("/agents/ana/work")).headers["etag"]
            waits = asyncio.create_task(
                ana.get("/agents/ana/work?wait=20", headers={"If-None-Match": tag})
            )
            await asyncio.sleep(0.2)
            assert not waits.done()
            await ok(await change)
            answer = await asyncio.wait_for(waits, 10)
            assert answer.status_code == 200
            return answer.json()["offers"][0]["customer"]

        shown = await next_work(admin.post("/customers/k2:merge", json={"into": "kim"}))
        assert (shown["id"], shown["tier"], shown["language"]) == ("kim", "gold", "de")
        again = await ok(await admin.post("/customers/k2:merge", json={"into": "kim"}))
        assert [one["id"] for one in again["merged"]] == ["k2"]
        profile = await ok(await admin.get("/customers/k2/profile"))
        assert (profile["id"], profile["name"], profile["language"]) == ("kim", "Kim", "de")
        assert [one["task_id"] for one in profile["open"]] == [offer["task_id"]]
        found = await ok(await admin.get("/tasks?customer_id=kim"))
        assert len(found["tasks"]) == 1

        shown = await next_work(admin.put("/customers/kim", json={"tier": "silver", "name": "Kim"}))
        assert shown["tier"] == "silver"
        shown = await next_work(admin.post("/customers/k2:unmerge"))
        assert (shown["id"], shown["tier"], shown["language"]) == ("k2", None, "de")

        await ok(await ana.post(f"/agents/ana/offers/{offer['id']}:accept"))
        await ok(await ana.post(f"/tasks/{offer['task_id']}:complete"))
        profile = await ok(await admin.get("/customers/k2/profile"))
        assert (profile["open"], profile["last_agents"]) == ([], ["ana"])
        assert [one["state"] for one in profile["recent"]] == ["completed"]
        whole = await ok(await admin.get("/customers/kim/profile"))
        assert (whole["merged"], whole["recent"]) == ([], [])


WRONG = [
    ("/customers/k2:merge", {"into": "nobody"}, 400, "/into"),
    ("/customers/nobody:merge", {"into": "kim"}, 404, None),
    ("/customers/kim:merge", {"into": "kim"}, 409, None),
    ("/customers/kim:merge", {"in": "k2"}, 400, "/in"),
    ("/customers/kim:unmerge", None, 409, None),
    ("/customers:resolve", {"identities": []}, 400, "/identities"),
]


async def test_bad_calls_are_refused_and_roles_are_kept(running: System) -> None:
    async with await client(running, "admin") as admin:
        for name in ("kim", "k2"):
            await ok(await admin.put(f"/customers/{name}", json={}))
        for path, body, status, pointer in WRONG:
            answer = await admin.post(path, json=body)
            assert answer.status_code == status, (path, answer.text)
            errors = answer.json().get("errors") or [{"pointer": None}]
            assert errors[0]["pointer"] == pointer, answer.text
        assert (await admin.get("/customers/nobody/profile")).status_code == 404
        body = {"identities": [{"scheme": "phone", "value": "0049 151"}]}
        assert (await ok(await admin.post("/customers:resolve", json=body)))["customer"] is None
        await ok(await admin.post("/customers/k2:merge", json={"into": "kim"}))
        assert (await admin.delete("/customers/kim")).status_code == 409

        for role, agent in (("agent", "ana"), ("platform", None), ("ops", None)):
            async with await client(running, role, agent) as other:
                for path, body in (("k2:unmerge", None), ("kim:merge", {"into": "k2"})):
                    refused = await other.post(f"/customers/{path}", json=body)
                    assert refused.status_code == 403, (role, path)
                refused = await other.post("/customers:import", content="{}", headers=NDJSON)
                assert refused.status_code == 403
                profile = await other.get("/customers/kim/profile")
                assert profile.status_code == (200 if role == "ops" else 403)


async def test_supervisors_read_and_change_nothing(running: System) -> None:
    async with await client(running, "admin") as admin, await client(running, "supervisor") as boss:
        await ok(await admin.put("/customers/kim", json={"tier": "gold"}))
        assert (await ok(await boss.get("/customers/kim/profile")))["tier"] == "gold"
        assert (await boss.put("/customers/kim", json={})).status_code == 403
