"""PostgreSQL goes back to a backup while Kafka goes on: seen, mended, and nothing posted is lost."""

import asyncio
import contextlib
import io
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import httpx
import pytest
from rich.console import Console

from services.cli.doctor import examine
from services.cli.realigning import realigned
from services.cli.system import System, system
from shared.contracts import topics
from shared.contracts.problems import Refused
from shared.db.engine import asyncpg_dsn
from shared.runtime.store.postgres import PostgresStore
from shared.settings import Settings
from shared.testing.kafka import KafkaBroker
from tests.integration.shop import client, ok

ALWAYS = {"timezone": "UTC", "always_open": True}
POLICY = {"calendar": "always", "targets": {"first_response": {"target_s": 3600}}}

pytestmark = pytest.mark.kafka

FORM = {"Content-Type": "application/cloudevents+json"}


def event(name: str) -> dict[str, Any]:
    data = {"channel": "chat", "conversation_key": name, "direction": "inbound",
            "author": {"role": "customer"}, "text": "hello"}  # fmt: skip
    return {"specversion": "1.0", "id": name, "source": "crm", "type": "interaction.message.v1",
            "data": data}  # fmt: skip


class Database:
    """One database of the server, copied while nobody is connected, and put back."""

    def __init__(self, server: str, url: str) -> None:
        self._server = server
        self._name = urlsplit(url).path[1:]
        self._copy = f"{self._name}_copy"

    async def keep(self) -> None:
        await self._run(f'CREATE DATABASE "{self._copy}" TEMPLATE "{self._name}"')

    async def put_back(self) -> None:
        await self._run(f'DROP DATABASE "{self._name}" WITH (FORCE)')
        await self._run(f'ALTER DATABASE "{self._copy}" RENAME TO "{self._name}"')

    async def _run(self, statement: str) -> None:
        connection = await asyncpg.connect(asyncpg_dsn(self._server))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


@contextlib.asynccontextmanager
async def running(settings: Settings) -> AsyncGenerator[System]:
    async with system(settings) as started:
        await started.parts.platform.create_workspace("shop", 1)
        yield started


async def eventually(check: Any, what: str) -> Any:
    for _ in range(300):
        with contextlib.suppress(httpx.HTTPError):
            if found := await check():
                return found
        await asyncio.sleep(0.1)
    raise AssertionError(f"it never came about: {what}")


async def served(admin: httpx.AsyncClient) -> bool:
    """Router and SLA service serve the workspace."""
    answers = [await admin.get(path) for path in ("/queues", "/calendars")]
    return all(answer.status_code == 200 for answer in answers)


async def set_up(admin: httpx.AsyncClient) -> None:
    await eventually(lambda: served(admin), "the shard is served")
    await ok(await admin.put("/calendars/always", json=ALWAYS))
    await ok(await admin.put("/sla-policies/main", json=POLICY))
    await ok(await admin.put("/queues/main", json={}))
    await ok(await admin.put("/policies/default", json={"rules": [{"steps": [{"queue": "main"}]}]}))


async def post(admin: httpx.AsyncClient, *names: str) -> None:
    for name in names:
        await ok(await admin.post("/events", json=event(name), headers=FORM))


async def tasks(admin: httpx.AsyncClient) -> dict[str, str]:
    """Conversation -> task, as the router says."""
    found = (await ok(await admin.get("/tasks?limit=100")))["tasks"]
    return {one["conversation_id"]: one["id"] for one in found}


async def clocks(admin: httpx.AsyncClient) -> dict[str, str]:
    """Conversation -> task, as the SLA service's clocks say."""
    found = (await ok(await admin.get("/clocks?limit=100")))["clocks"]
    return {one["conversation_id"]: one.get("task_id") for one in found}


async def agreed(admin: httpx.AsyncClient, count: int) -> dict[str, str]:
    """Once router and SLA service tell the same of `count` conversations."""

    async def same() -> dict[str, str] | None:
        routed, timed = await tasks(admin), await clocks(admin)
        return routed if len(routed) == count and routed == timed else None

    return await eventually(same, f"{count} conversations in both")


async def state(database_url: str, settings: Settings) -> dict[str, Any]:
    from services.cli.foundation import ready_database

    async with ready_database(settings) as engine:
        router, sla = (PostgresStore(engine, name) for name in ("router", "sla"))
        return {
            "router": (await router.states(["shop"]))["shop"],
            "sla": (await sla.states(["shop"]))["shop"],
        }


async def test_a_restored_database_and_a_kafka_that_went_on(
    postgres_url: str, database_url: str, own_kafka: KafkaBroker, tmp_path: Path
) -> None:
    settings = Settings(
        port=0,
        data_dir=tmp_path,
        database_url=database_url,
        kafka=own_kafka.bootstrap,
        partitions=1,
        lease_s=2,
    )
    database = Database(postgres_url, database_url)
    async with running(settings) as started, await client(started, "admin") as admin:
        await set_up(admin)
        await post(admin, "a1", "a2")
        await agreed(admin, 2)
    await database.keep()

    async with running(settings) as started, await client(started, "admin") as admin:
        await eventually(lambda: served(admin), "the shard is served")
        await post(admin, "b1", "b2", "b3")
        lost = await agreed(admin, 5)
        # A command: nobody but the database had it.
        await ok(await admin.post(f"/tasks/{next(iter(lost.values()))}:cancel", json={}))
        with pytest.raises(Refused, match="runs"):
            await realigned(settings, False, True, None)
    await database.put_back()

    async with running(settings) as started:

        async def halted() -> Any:
            answer = await admin_get(started, "/health/ready")
            parts = answer["parts"]
            why = {name: str(parts.get(name)) for name in ("router", "sla", "archive")}
            return why if all("omniroute realign" in each for each in why.values()) else None

        why = await eventually(halted, "router, SLA service and archive halt")
        assert "PostgreSQL was restored" in why["router"]
        said = {one.subject: one for one in await examine(settings)}
        assert not said["router shards"].ok
        assert "omniroute realign" in said["router shards"].said

    said_to = io.StringIO()
    report = await realigned(settings, False, True, Console(file=said_to, width=200))
    assert "router shard 0 goes on" in said_to.getvalue()
    assert report.done and report.plan.gone == 0
    assert {one.service for one in report.plan.releases} == {"router", "sla", "archive"}
    again = await realigned(settings, False, True, None)
    assert not again.plan.releases and not again.plan.moves

    async with running(settings) as started, await client(started, "admin") as admin:
        await eventually(lambda: served(admin), "the shard is served")
        await agreed(admin, 5)
        await post(admin, "c1", "c2")
        await agreed(admin, 7)
        said = {one.subject: one for one in await examine(settings)}
        assert said["router shards"].ok and said["sla shards"].ok
    both = await state(database_url, settings)
    assert both["sla"].producers["/router"] == both["router"].published[topics.ROUTING_EVENTS]
    assert both["router"].producers.get("/sla", 0) == both["sla"].published.get(
        topics.SLA_EVENTS, 0
    )


async def admin_get(started: System, path: str) -> Any:
    async with httpx.AsyncClient(trust_env=False) as asking:
        return (await asking.get(f"{started.url}{path}")).json()
