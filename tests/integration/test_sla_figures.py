"""Figures as operations get them: from posted events, over HTTP, as JSON and as CSV."""

import asyncio
import csv
import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import text

from services.cli.system import System
from services.sla.domain.promises import Promise
from services.sla.figures_store import FiguresStore
from services.sla.promise_watch import PromiseWatch
from tests.integration.shop import client, ok

ALWAYS = {"timezone": "UTC", "always_open": True}
POLICY = {
    "calendar": "always",
    "targets": {"first_response": {"target_s": 3600}, "resolution": {"target_s": 7200}},
}
DEFINITIONS = {
    "abandons_in_time_succeed", "abandons_ignored", "abandons_fail", "early_abandons_ignored",
    "short_abandons_succeed", "live",
}  # fmt: skip


class Shop:
    """A workspace with one agent, played by an admin."""

    def __init__(self, admin: httpx.AsyncClient) -> None:
        self.admin = admin

    async def open(self) -> None:
        for _ in range(300):
            answers = [await self.admin.get(path) for path in ("/queues", "/calendars")]
            if all(answer.status_code == 200 for answer in answers):
                break
            await asyncio.sleep(0.1)
        queue = {"service_level": {"first_response": {"threshold_s": 125, "goal": 0.8}}}
        await self.put("/calendars/always", ALWAYS)
        await self.put("/sla-policies/main", POLICY)
        await self.put("/queues/billing", queue)
        rule = {"steps": [{"queue": "billing"}]}
        await self.put("/policies/default", {"rules": [rule]})
        agent = {"name": "Ana", "capacity": 100, "channels": {"chat": 3}}
        await self.put("/agents/ana", agent)
        await self.put("/agents/ana/presence", {"status": "available"})

    async def put(self, path: str, body: Any) -> None:
        await ok(await self.admin.put(path, json=body))

    async def event(self, name: str, thread: str, kind: str = "message", **data: Any) -> None:
        given = {"channel": "chat", "conversation_key": thread, "direction": "inbound"}
        given |= {"author": {"role": "customer"}, **data}
        body = {"specversion": "1.0", "id": name, "source": "crm", "data": given}
        if "time" in given:
            body["time"] = given.pop("time")
        body["type"] = f"interaction.{kind}.v1"
        form = {"Content-Type": "application/cloudevents+json"}
        await ok(await self.admin.post("/events", json=body, headers=form))

    async def until(self, path: str, found: Any) -> Any:
        """Polls until the answer is what is waited for."""
        answer: Any = None
        for _ in range(200):
            answer = await ok(await self.admin.get(path))
            if found(answer):
                return answer
            await asyncio.sleep(0.05)
        raise AssertionError(answer)

    async def offer(self) -> dict[str, Any]:
        work = await self.until("/agents/ana/work?wait=0", lambda one: one["offers"])
        return work["offers"][0]

    async def serve(self, thread: str, tags: list[str]) -> str:
        """A customer writes, Ana answers, the task is closed with tags."""
        await self.event(f"{thread}-1", thread, text="hello")
        offer = await self.offer()
        task = offer["task_id"]
        await ok(await self.admin.post(f"/agents/ana/offers/{offer['id']}:accept"))
        author = {"role": "agent"}
        more = {"direction": "outbound", "author": author, "agent_id": "ana", "text": "hi"}
        await self.event(f"{thread}-2", thread, **more)
        await self.until(
            "/clocks?metric=first_response&state=met",
            lambda one: any(clock["task_id"] == task for clock in one["clocks"]),
        )
        await ok(await self.admin.post(f"/tasks/{task}:complete", json={"tags": tags}))
        return task


async def clocks_are_found(ops: httpx.AsyncClient, task: str) -> None:
    """Each filter of `GET clocks` lets through what it names and nothing else."""
    everything = (await ok(await ops.get("/clocks")))["clocks"]
    done = [one for one in everything if one["task_id"] == task]
    assert done and len(done) < len(everything)
    thread, due = done[0]["conversation_id"], done[0]["due_at"]
    for asked, wanted in (
        ({"task": task}, done),
        ({"conversation": thread}, done),
        ({"policy": "main", "channel": "chat"}, everything),
        ({"policy": "other"}, []),
        ({"channel": "email"}, []),
        ({"due_after": due}, [one for one in everything if one["due_at"] and one["due_at"] >= due]),
        ({"due_before": due}, [one for one in everything if one["due_at"] and one["due_at"] < due]),
    ):
        found = (await ok(await ops.get("/clocks", params=asked)))["clocks"]
        assert {one["id"] for one in found} == {one["id"] for one in wanted}, asked


async def clocks_of_a_conversation_come_in_pages(ops: httpx.AsyncClient, thread: str) -> None:
    path = f"/conversations/{thread}/clocks"
    whole = await ok(await ops.get(path))
    assert len(whole["clocks"]) > 1 and whole["next"] is None
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        answer = await ok(await ops.get(path, params={"limit": 1, **cursor}))
        found += [one["id"] for one in answer["clocks"]]
        if answer["next"] is None:
            break
        cursor = {"cursor": answer["next"]}
    assert found == [one["id"] for one in whole["clocks"]]
    assert (await ops.get(path, params={"cursor": "W10"})).status_code == 400


async def test_from_events_to_figures(running: System) -> None:
    async with await client(running, "admin") as admin, await client(running, "ops") as ops:
        shop = Shop(admin)
        await shop.open()
        task = await shop.serve("t-1", ["=vip", "late"])
        await shop.event("t-1-3", "t-1", "feedback", survey="csat", score=5, task_id=task)
        await shop.event("t-2-1", "t-2", text="anybody there?")
        await shop.offer()

        def both(answer: Any) -> bool:
            rows = {row["queue"]: row for row in answer["rows"]}
            return "billing" in rows and rows["billing"]["counts"]["offered"] == 2

        answer = await shop.until("/service-level?metric=first_response", both)
        await clocks_are_found(ops, task)
        [thread] = {
            one["conversation_id"]
            for one in (await ok(await ops.get(f"/clocks?task={task}")))["clocks"]
        }
        await clocks_of_a_conversation_come_in_pages(ops, thread)
        [row] = answer["rows"]
        assert row["threshold_s"] == 125 and row["metric"] == "first_response"
        assert row["counts"] == {
            "offered": 2, "answered": 1, "answered_within": 1, "abandoned": 0,
            "abandoned_within": 0, "abandoned_short": 0, "waiting": 1, "waiting_beyond": 0,
            "closed_unanswered": 0,
        }  # fmt: skip
        assert row["service_level"] == dict.fromkeys(DEFINITIONS, 1.0)
        for by, value in (("channel", "chat"), ("policy", "main"), ("priority", 0)):
            rows = (await ok(await ops.get(f"/service-level?by={by}")))["rows"]
            assert [one[by] for one in rows] == [value] and rows[0]["counts"]["offered"] == 2
        rows = (await ok(await ops.get("/service-level?by=agent")))["rows"]
        assert {one["agent"]: one["counts"]["answered"] for one in rows} == {"ana": 1, None: 0}

        done = await shop.until(
            "/figures", lambda one: one["rows"][0]["contacts"]["completed"] == 1
            and one["rows"][0]["feedback"]["csat"]["responses"] == 1,
        )  # fmt: skip
        [row] = done["rows"]
        assert row["queue"] == "billing" and row["backlog"]["tasks"] == 1
        assert row["speed_of_answer"]["n"] == 1 and row["abandonment"]["rate"] == 0
        assert row["first_response"]["open_time"]["n"] == 1
        assert row["handle_time"]["n"] == 1 and row["handle_time"]["talk_s"] > 0
        assert row["contacts"]["first_contact_rate"] == 1
        assert row["feedback"]["csat"]["csat"] == 1 and row["feedback"]["response_rate"] == 1
        assert [one["due"] for one in row["due"]] == [0, 0, 1]
        assert done["occupancy"]["busy_s"] > 0 and 0 < done["occupancy"]["occupancy"] <= 1
        [agent] = [one for one in (await ok(await ops.get("/figures?by=agent")))["rows"]
                   if one["agent"] == "ana"]  # fmt: skip
        assert agent["occupancy"]["present_s"] > 0

        tags = (await ok(await ops.get("/service-level?by=tag")))["rows"]
        assert {one["tag"] for one in tags} == {"=vip", "late", None}
        await csv_is_safe(ops)
        await the_others(ops)
        await nothing_counts_twice(running)


async def nothing_counts_twice(running: System) -> None:
    """What the running service has folded, and not yet folded, equals a count of what has ended."""
    count = "SELECT metric, queue, count(*) AS n FROM sla.measure GROUP BY 1, 2"
    async with running.parts.engine.connect() as connection:
        rows = (await connection.execute(text(count))).all()
    store = FiguresStore(running.parts.engine)
    until = datetime.now(UTC) + timedelta(days=1)
    span = (until - timedelta(days=3), until)
    async with store.moment() as moment:
        found = await moment.histograms("shop", None, "finished", "queue", *span)
    folded = {(one.metric, one.key): each.all().n for one, each in found.items()}
    assert folded == {(row.metric, row.queue or ""): row.n for row in rows}


async def csv_is_safe(ops: httpx.AsyncClient) -> None:
    asked = await ops.get("/service-level?by=tag", headers={"Accept": "text/csv"})
    assert asked.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(asked.text)))
    assert {row["tag"] for row in rows} == {"'=vip", "late", ""}
    assert {row["counts.offered"] for row in rows} == {"1"}
    assert set(rows[0]) >= {f"service_level.{name}" for name in DEFINITIONS}
    same = await ops.get("/service-level?by=tag&format=csv")
    assert same.text == asked.text
    for path in ("compliance", "forecast", "figures", "figures/series", "burn-alerts", "breaches"):
        assert (await ops.get(f"/{path}?format=csv")).headers["content-type"].startswith("text/csv")


async def the_others(ops: httpx.AsyncClient) -> None:
    for cohort, met in (("started", 1), ("due", 0), ("finished", 1)):
        rows = (await ok(await ops.get(f"/compliance?cohort={cohort}&metric=first_response")))[
            "rows"
        ]
        assert [row["counts"]["met"] for row in rows] == ([met] if met else []), cohort
    found = await ok(await ops.get("/forecast"))
    assert [one["within_s"] for one in found["due"]] == [300, 900, 3600]
    assert found["due"][2]["due"] == 1 and found["due"][2]["predicted_to_breach"] is None
    steps = await ok(await ops.get("/figures/series?metric=first_response&step_s=60"))
    assert sum(row["n"] for row in steps["rows"]) == 1
    ours = await ok(await ops.get("/figures/series?metric=first_response&step_s=60&group=billing"))
    assert ours["rows"] == steps["rows"]
    none = await ok(await ops.get("/figures/series?metric=first_response&group=tech&group="))
    assert none["rows"] == []
    assert (await ops.get("/figures/series?step_s=60&from=2020-01-01T00:00:00Z")).status_code == 400
    assert (await ops.get("/figures/series?step_s=61")).status_code == 400
    daily = "/figures/series?metric=first_response&step_s=86400"
    for zone in ("UTC", "Asia/Kolkata", "America/New_York"):
        days = await ok(await ops.get(f"{daily}&zone={zone}"))
        (row,) = days["rows"]
        assert (days["zone"], row["n"]) == (zone, 1)
        begins = datetime.fromisoformat(row["at"]).astimezone(ZoneInfo(zone))
        assert f"{begins:%H:%M}" == "00:00"
    assert (await ok(await ops.get(daily)))["zone"] is None
    for wrong in (f"{daily}&zone=Mars/Base", "/figures/series?step_s=3600&zone=Europe/Berlin"):
        assert (await ops.get(wrong)).status_code == 400
    assert (await ops.get("/service-level?by=colour")).status_code == 400


SPAN_NONSENSE = ("", "now", "2026-01-01", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59", "\0")
NONSENSE: dict[str, tuple[str, ...]] = {
    "from": SPAN_NONSENSE, "to": SPAN_NONSENSE, "due_before": SPAN_NONSENSE,
    "threshold_s": ("nan", "inf", "-inf", "1e400", "0", "-1", "1e-9", "x"),
    "step_s": ("0", "59", "61", "1e3", "99999999999999999999", "nan"),
    "repeat_within_s": ("-1", "1e9", "99999999999999999999"),
    "by": ("", "colour", "QUEUE"), "cohort": ("", "wall", "x"), "format": ("xml", "\0"),
    "metric": ("\0", "x" * 65, "\ud83d"), "group": ("\0", "x" * 9_000), "cursor": ("W10", "\0"),
    "limit": ("0", "-1", "1e9"), "zone": ("", "\0", "../etc", "Europe/berlin", "x" * 65),
}  # fmt: skip

ASKED = {
    "service-level": "metric from to by threshold_s format",
    "compliance": "cohort to",
    "figures": "to cohort repeat_within_s",
    "figures/series": "metric to step_s threshold_s group zone",
    "breaches": "to cursor limit",
    "clocks": "due_before cursor",
}


async def test_nonsense_in_a_question_is_refused_with_a_problem(running: System) -> None:
    async with await client(running, "ops") as ops:
        for path, names in ASKED.items():
            for name, value in (
                (name, value) for name in names.split() for value in NONSENSE[name]
            ):
                given = {name: value.encode("utf-8", "surrogatepass")}
                answer = await ops.get(f"/{path}", params=given)
                assert answer.status_code in (200, 400), (path, name, value, answer.text)
                if answer.status_code == 400:
                    assert answer.headers["content-type"] == "application/problem+json"
                    assert answer.json()["errors"], (path, name, value)


async def test_a_live_screen_gets_events_and_figures(running: System) -> None:
    async with await client(running, "admin") as admin, await client(running, "ops") as ops:
        shop = Shop(admin)
        await shop.open()
        seen: dict[str, Any] = {}
        async with ops.stream("GET", "/sla/stream?figures_s=2&window_s=600") as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            await shop.event("t-9-1", "t-9", text="hello")
            kind = ""
            async for line in answer.aiter_lines():
                if line.startswith("event: "):
                    kind = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    seen[kind] = json.loads(line.removeprefix("data: "))
                figures = seen.get("sla.figures.v1")
                if "sla.clock.started.v1" in seen and figures and figures["service_level"]:
                    break
        [row] = seen["sla.figures.v1"]["service_level"]
        assert row["counts"]["waiting"] == 1 and seen["sla.figures.v1"]["burn_alerts"] == []
        assert (await ops.get("/sla/stream?figures_s=1")).status_code == 400


async def test_who_waits_for_an_agent_counts_in_the_speed_of_answer(running: System) -> None:
    """Nobody is answered: a queue with callers beyond its threshold has not kept it."""
    async with await client(running, "admin") as admin:
        shop = Shop(admin)
        await shop.open()
        promise = {"threshold_s": 20, "goal": 0.8}
        await shop.put("/queues/billing", {"service_level": {"speed_of_answer": promise}})
        await shop.put("/agents/ana/presence", {"status": "offline"})
        at = datetime.now(UTC) - timedelta(seconds=250)
        for number in range(12):
            await shop.event(f"w-{number}", f"w-{number}", text="hello", time=at.isoformat())
        await shop.event("w-new", "w-new", text="hello")
        path = "/service-level?metric=speed_of_answer"
        answer = await shop.until(
            path, lambda one: one["rows"] and one["rows"][0]["counts"]["waiting"] == 13
        )
        [row] = answer["rows"]
        assert (row["queue"], row["threshold_s"]) == ("billing", 20)
        assert row["counts"]["offered"] == 13 and row["counts"]["waiting_beyond"] == 12
        assert row["service_level"]["live"] == 0
        ahead = (datetime.now(UTC) + timedelta(hours=1)).isoformat().replace("+00:00", "Z")
        later = (datetime.now(UTC) + timedelta(hours=2)).isoformat().replace("+00:00", "Z")
        assert (await ok(await admin.get(f"{path}&from={ahead}&to={later}")))["rows"] == []

        async def promises(_: str) -> dict[str, dict[str, Promise]]:
            return {"billing": {"speed_of_answer": Promise(20, 0.8)}}

        runtime, store = running.app.state.sla.runtime, FiguresStore(running.parts.engine)
        await PromiseWatch(runtime, runtime.owned, store, promises, CollectorRegistry()).check("shop")  # fmt: skip
        [alert] = (await ok(await admin.get("/burn-alerts")))["alerts"]
        assert (alert["queue"], alert["metric"], alert["missed"]) == ("billing", "speed_of_answer", 12)  # fmt: skip


async def test_breaches_of_one_policy_or_channel(running: System) -> None:
    async with await client(running, "admin") as admin:
        shop = Shop(admin)
        await shop.open()
        quick = {"when": 'task.channel == "email"', "calendar": "always", "order": -1}
        target = {"targets": {"first_response": {"target_s": 1}}}
        await shop.put("/sla-policies/quick", quick | target)
        await shop.put("/sla-policies/main", POLICY | target)
        await shop.event("b-1", "b-1", text="hello")
        await shop.event("b-2", "b-2", text="hello", channel="email")
        await shop.until("/breaches", lambda one: len(one["breaches"]) == 2)
        for asked, channel in (("policy=quick", "email"), ("policy=main", "chat"), ("channel=chat", "chat")):  # fmt: skip
            [one] = (await ok(await admin.get(f"/breaches?{asked}")))["breaches"]
            assert one["channel"] == channel
        first = await ok(await admin.get("/breaches?limit=1"))
        [second] = (await ok(await admin.get(f"/breaches?limit=1&cursor={first['next']}")))["breaches"]  # fmt: skip
        assert second["id"] != first["breaches"][0]["id"]


@pytest.mark.parametrize(("path", "kind"), [("/sla/stream", "sla.clock.started.v1"), ("/events", "routing.task.created.v1")])  # fmt: skip
async def test_a_wall_begins_now_where_it_says_so(running: System, path: str, kind: str) -> None:
    async with await client(running, "admin") as admin:
        shop = Shop(admin)
        await shop.open()
        await shop.event("o-1", "o-1", text="old")
        await shop.until("/clocks", lambda one: one["clocks"] and one["clocks"][0]["task_id"])
        sse = {"Accept": "text/event-stream"}
        seen: list[tuple[str, Any]] = []
        place = ""
        async with admin.stream("GET", f"{path}?after=now", headers=sse) as answer:
            name = ""
            async for line in answer.aiter_lines():
                if line.startswith("id: ") and not place:
                    place = line.removeprefix("id: ")
                    await shop.event("n-1", "n-1", text="new")
                elif line.startswith("event: "):
                    name = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    seen.append((name, json.loads(line.removeprefix("data: "))))
                    if name == kind:
                        break
        assert all(data["seq"] > int(place) for _, data in seen)
        async with admin.stream("GET", path, headers=sse) as answer:
            async for line in answer.aiter_lines():
                if line.startswith("data: "):
                    assert json.loads(line.removeprefix("data: "))["seq"] == 1, "from the oldest"
                    break
        refused = await admin.get(f"{path}?after=then", headers=sse)
        assert (
            refused.status_code == 400 and refused.json()["errors"][0]["pointer"] == "/query/after"
        )
