"""Two replicas of each service on a real Kafka and a real PostgreSQL, killed and frozen at work.

OMNIROUTE_KILLS_SEED repeats a run's choices, OMNIROUTE_KILLS_INPUTS asks for a longer one.
"""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from random import randrange

import asyncpg
import httpx
import pytest

from shared.bus.kafka import KafkaBus
from shared.db.engine import asyncpg_dsn
from shared.testing.kafka import KafkaBroker
from shared.testing.kill_calls import Caller, Ledger
from shared.testing.kill_checker import check, check_journal, unfinished
from shared.testing.kill_schedule import Kill, Mortal
from shared.testing.kill_steering import Supervisor
from shared.testing.kill_topics import Topics
from shared.testing.kill_workload import Place
from shared.testing.processes import Installation, Process

SEED = os.environ.get("OMNIROUTE_KILLS_SEED") or str(randrange(1_000_000))
INPUTS = int(os.environ.get("OMNIROUTE_KILLS_INPUTS", "2000"))
TARGETS = ("sla", "sla", "router", "router", "channels", "channels")
STORE_OF = {"sla": "sla", "router": "router", "channels": "archive"}
PARTITIONS = 6
LEASE_S = 3
PATIENCE_S = 200.0
DRAIN_S = 150.0
IDLE_FAULTS = "omniroute_idle_faults_total{"
TOLD = 20  # errors of a failed run

# Each replica's deaths, in order; two replicas of each service begin at different places.
DEATHS = {
    "router": ["after-commit", "loading", "during-commit", "after-commit"],
    "sla": ["during-commit", "after-commit", "loading"],
    "channels": ["loading", "during-commit"],
}


@pytest.fixture
def installation(
    tmp_path: Path, own_kafka: KafkaBroker, database_url: str
) -> Iterator[Installation]:
    with Installation(
        tmp_path,
        TARGETS,
        database_url=database_url,
        kafka=own_kafka.bootstrap,
        partitions=PARTITIONS,
        settings={"OMNIROUTE_LEASE_S": str(LEASE_S)},
    ) as made:
        yield made


class Centre:
    """The workload on the installation, and who is mortal in it."""

    def __init__(self, installation: Installation, client: httpx.AsyncClient) -> None:
        self.installation = installation
        self.client = client
        self.ledger = Ledger()
        urls: dict[str, list[str]] = {}
        for process in installation.processes:
            urls.setdefault(process.target, []).append(process.url)
        self.caller = Caller(client, urls, self.ledger)
        self.places = [Place(f"w{n}", self.caller, SEED) for n in range(PARTITIONS)]
        self.mortals = [self._mortal(n) for n in range(len(TARGETS))]

    def _mortal(self, n: int) -> Mortal:
        target = TARGETS[n]
        points = DEATHS[target]
        turned = points if n % 2 else points[1:] + points[:1]
        process = self.installation.processes[n]
        return Mortal(process, STORE_OF[target], turned, f"{SEED}:{n}")

    async def prepare(self) -> None:
        admin = await asyncio.to_thread(
            self.installation.command, "token", "--workspace", "*", "--role", "admin"
        )
        for place in self.places:
            await place.prepare(admin.strip())

    async def play(
        self, faults: Callable[[], Awaitable[None]], drained: Callable[[], Awaitable[None]]
    ) -> None:
        """Customers and agents at work while `faults` happen; then until `drained` says so."""
        async with asyncio.TaskGroup() as group:
            agents = [
                group.create_task(place.serve(agent))
                for place in self.places
                for agent in place.staff
            ]
            for place in self.places:
                group.create_task(Supervisor(place, SEED).run())
            posting = [group.create_task(place.post()) for place in self.places]
            await faults()
            for place in self.places:
                place.close()
            await asyncio.gather(*posting)
            await drained()
            for task in agents:
                task.cancel()

    async def kill(self) -> int:
        """All deaths of all replicas, side by side, and a last one once INPUTS were answered; how
        many were."""
        before = self.ledger.inputs
        async with asyncio.TaskGroup() as group:
            for mortal in self.mortals:
                group.create_task(mortal.run())
        deadline = time.monotonic() + PATIENCE_S
        while self.ledger.inputs - before < INPUTS:
            assert time.monotonic() < deadline, f"only {self.ledger.inputs - before} inputs"
            await asyncio.sleep(0.1)
        await self.mortals[-1].once_more()
        return self.ledger.inputs - before

    async def overlooked(self) -> list[str]:
        """What the routers' own monitors complained of since they were started last."""
        found: list[str] = []
        for process in self.installation.processes:
            if process.target == "router":
                shown = (await self.client.get(f"{process.url}/metrics")).text
                found += [one for one in shown.splitlines() if one.startswith(IDLE_FAULTS)]
        return found

    @property
    def kills(self) -> list[Kill]:
        return sorted((kill for one in self.mortals for kill in one.kills), key=lambda one: one.at)

    async def freeze(self, process: Process) -> Counter[int]:
        """A router that sleeps past its lease, is asked meanwhile, and wakes: its answers' codes."""
        process.send(signal.SIGSTOP)
        await asyncio.sleep(LEASE_S + 2)
        asked = [asyncio.create_task(place.look("ana", process.url)) for place in self.places]
        await asyncio.sleep(0.5)
        process.send(signal.SIGCONT)
        return Counter(await asyncio.gather(*asked))


async def end_backends(url: str) -> int:
    """Every session of the database is ended by PostgreSQL; how many there were."""
    connection = await asyncpg.connect(asyncpg_dsn(url))
    try:
        return await connection.fetchval(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    finally:
        await connection.close()


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_kills(
    installation: Installation,
    own_kafka: KafkaBroker,
    database_url: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    began = time.monotonic()
    async with httpx.AsyncClient(
        trust_env=False, limits=httpx.Limits(max_connections=200)
    ) as client:
        centre = Centre(installation, client)
        await centre.prepare()
        bus = KafkaBus(own_kafka.bootstrap)
        await bus.start()
        topics = Topics(bus, PARTITIONS)
        figures: dict[str, object] = {"prepared after": _since(began)}

        async def faults() -> None:
            await asyncio.sleep(2)
            figures["inputs between the kills"] = await centre.kill()
            figures["killed after"] = _since(began)
            figures["the frozen owner's answers"] = dict(
                await centre.freeze(installation.processes[2])
            )
            own_kafka.kill()
            await asyncio.sleep(2)
            await asyncio.to_thread(own_kafka.start)
            await asyncio.sleep(3)
            figures["backends ended"] = await end_backends(database_url)
            await asyncio.sleep(2)
            figures["faults over after"] = _since(began)

        async def drained() -> None:
            deadline = time.monotonic() + DRAIN_S
            while True:
                await topics.read()
                waiting = unfinished(topics, centre.ledger)
                if not waiting or time.monotonic() > deadline:
                    figures["left over"] = waiting
                    return
                await asyncio.sleep(2)

        try:
            await centre.play(faults, drained)
            await topics.read()
            overlooked = await centre.overlooked()
        except Exception as error:
            error.add_note(f"seed {SEED}, {_since(began)}\n" + "\n".join(_errors(tmp_path)))
            raise
        finally:
            await topics.stop()
            await bus.stop()
        problems = check(topics, centre.ledger) + overlooked
        for place in centre.places:
            problems += check_journal(place.name, await place.journal(), topics)
        with capsys.disabled():
            _tell(centre, topics, figures, tmp_path, began)
        assert not problems, f"seed {SEED}: {len(problems)} problems\n" + "\n".join(problems[:40])
        kinds = Counter(kill.point for kill in centre.kills)
        assert kinds.total() >= 20
        assert all(kinds[point] >= 5 for point in ("after-commit", "loading", "during-commit"))


def _since(began: float) -> str:
    return f"{time.monotonic() - began:.1f} s"


def _errors(folder: Path) -> list[str]:
    """The last errors that the processes logged."""
    lines = [
        f"{log.name}: {line}"
        for log in sorted(folder.glob("*.log"))
        for line in log.read_text(errors="replace").splitlines()
        if '"level": "error"' in line
    ]
    return lines[-TOLD:]


def _tell(
    centre: Centre, topics: Topics, figures: dict[str, object], folder: Path, began: float
) -> None:
    """The run in figures."""
    kills, ledger = centre.kills, centre.ledger
    print(f"\nseed {SEED}")
    print("kills", dict(Counter(kill.point for kill in kills)), "of", len(kills))
    print("kills by service", dict(Counter(kill.target for kill in kills)))
    for name, value in figures.items():
        print(name, value)
    print("events accepted", len(ledger.posted), "offers", len(ledger.taken))
    print("completed", len(ledger.done), "replies", len(ledger.replies), "looks", len(ledger.looks))
    print("answers", dict(ledger.counts))
    print("topics", dict(topics.counts))
    said = Counter(event.type for its in topics.sla.values() for event in its)
    said += Counter(event.type for its in topics.routing.values() for event in its)
    print("events", dict(said))
    logs = "".join(log.read_text(errors="replace") for log in folder.glob("*.log"))
    print("take-overs", logs.count("shard taken"), "loads", logs.count("shard loaded"))
    for target, service in (("router", "router"), ("channels", "channels")):
        spans = sorted(
            ledger.recovered_s(service, kill.at) for kill in kills if kill.target == target
        )
        print(f"{target} answered again after", [round(span, 1) for span in spans])
    print("duration", _since(began))
