"""One process on a real Kafka and PostgreSQL: PostgreSQL stopped and started, a log cut off before a
reader; what callers, /health/ready and `omniroute doctor` say, and that all of it goes on."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from shared.bus.kafka import KafkaBus
from shared.bus.port import Outgoing
from shared.contracts import topics
from shared.db.embedded import EmbeddedPostgres
from shared.testing.bus_twins import KafkaTwin
from shared.testing.kafka import KafkaBroker
from shared.testing.kill_calls import Caller, Ledger
from shared.testing.kill_workload import Place
from shared.testing.processes import SERVICES, Installation

PATIENCE_S = 60.0
EMAIL = topics.INTERACTIONS["email"]

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL to stop and start."""
    made = EmbeddedPostgres(tmp_path / "server", settings={"fsync": "off"})
    try:
        yield made
    finally:
        made.stop()


@asynccontextmanager
async def two_workspaces(
    folder: Path, url: str, broker: KafkaBroker
) -> AsyncIterator[tuple[Installation, list[Place]]]:
    """One process with a workspace in each of two shards."""
    with Installation(
        folder, database_url=url, kafka=broker.bootstrap, partitions=2
    ) as installation:
        async with httpx.AsyncClient(trust_env=False) as client:
            process = installation.processes[0]
            urls = {service: [process.url] for service in SERVICES}
            caller = Caller(client, urls, Ledger())
            places = [Place(name, caller, "faults") for name in ("w0", "w1")]
            token = await asyncio.to_thread(
                installation.command, "token", "--workspace", "*", "--role", "admin"
            )
            for place in places:
                await place.prepare(token.strip())
            yield installation, places


async def eventually(look: Callable[[], Awaitable[bool]], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not await look():
        assert time.monotonic() < deadline, f"not within {PATIENCE_S} s: {what}"
        await asyncio.sleep(0.2)


async def routed(place: Place, count: int) -> None:
    """The workspace's journal has so many tasks, created or written to."""

    async def enough() -> bool:
        kinds = [event["type"] for event in await place.journal()]
        return sum(kinds.count(f"routing.task.{one}.v1") for one in ("created", "message")) == count

    await eventually(enough, f"{count} messages of {place.name} routed")


async def test_postgresql_stopped_and_started(
    tmp_path: Path, server: EmbeddedPostgres, own_kafka: KafkaBroker
) -> None:
    """Nobody is told a lie, nothing is half-done, and the same process goes on by itself."""
    async with two_workspaces(tmp_path, server.start(), own_kafka) as (installation, (place, _)):
        await place.say(3)
        await routed(place, 3)
        pid = installation.processes[0].pid
        await asyncio.to_thread(server.stop)

        async def refused() -> bool:
            return await place.look("ana", installation.processes[0].url) == 503

        await eventually(refused, "503 while PostgreSQL is away")
        answer = await asyncio.to_thread(
            httpx.get, f"{installation.processes[0].url}/health/live", trust_env=False
        )
        assert answer.status_code == 200
        await asyncio.to_thread(server.start)
        await place.say(2)
        await routed(place, 5)
        assert installation.processes[0].pid == pid, "the same process"
        numbers = [event["seq"] for event in await place.journal()]
        assert numbers == list(range(1, len(numbers) + 1))


async def test_a_position_outside_the_log_halts_its_shard_and_says_so(
    tmp_path: Path, server: EmbeddedPostgres, own_kafka: KafkaBroker
) -> None:
    """Never reset silently: one shard waits for a person, the other goes on."""
    url = server.start()
    async with two_workspaces(tmp_path, url, own_kafka) as (installation, (halted, other)):
        process = installation.processes[0]
        await halted.say(1)
        await routed(halted, 1)
        process.stop()
        await _overtake(own_kafka)
        await asyncio.to_thread(installation.start)
        await other.say(1)
        await routed(other, 1)
        assert await halted.look("ana", process.url) == 503
        health = await asyncio.to_thread(httpx.get, f"{process.url}/health/ready", trust_env=False)
        parts = health.json()["parts"]
        assert health.status_code == 200, "the other shards go on"
        assert "shard 0" in parts["router"]
        assert "outside the log" in parts["router"]
        with pytest.raises(RuntimeError, match="outside the log"):
            await asyncio.to_thread(installation.command, "doctor", "--json")
        process.stop()
        said = await asyncio.to_thread(installation.command, "realign", "--yes")
        assert "3 records before it are gone" in said
        await asyncio.to_thread(installation.start)
        await halted.say(1)
        await routed(halted, 2)
        health = await asyncio.to_thread(httpx.get, f"{process.url}/health/ready", trust_env=False)
        assert health.json()["parts"]["router"] is True


async def _overtake(broker: KafkaBroker) -> None:
    """What the shard's readers would have read next in the log of mails is deleted."""
    bus = KafkaBus(broker.bootstrap)
    await bus.start()
    try:
        await bus.send([Outgoing(EMAIL, 0, b"k", b"junk")] * 3)
    finally:
        await bus.stop()
    await KafkaTwin(broker.bootstrap, None).truncate((EMAIL, 0), 3)
