"""What was decided on real PostgreSQL is decided again, byte for byte, by another process."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from services.router.domain import views
from services.router.domain.core import RouterFactory
from services.sla.domain.core import SlaFactory
from services.sla.projection import write_rows
from shared.bus.memory import MemoryBus
from shared.contracts import topics
from shared.db.platform_store import PlatformStore
from shared.runtime.clock import RealClock
from shared.runtime.limits import Limits
from shared.runtime.port import NotOwner, Unavailable
from shared.runtime.runtime import Runtime
from shared.runtime.store.postgres import PostgresStore
from shared.testing.simulation.callers import Caller
from shared.testing.simulation.centre import STAFF, Centre, configure
from shared.testing.simulation.chance import Chance
from shared.testing.simulation.ledger import Ledger
from shared.testing.simulation.people import Customers, Show
from shared.testing.simulation.platform import Platform
from shared.testing.simulation.staff import Agent, Supervisor

ROOT = Path(__file__).resolve().parents[2]
LIMITS = Limits(poll_wait_ms=20, attach_grace_s=0.1, config_poll_s=0.1, snapshot_inputs=100)
POSTED = 300
PROJECTORS = {"sla": write_rows}


class OneHost:
    """What people need of a cluster, on real time and real PostgreSQL."""

    def __init__(self, engine):
        self.chance = Chance(1)
        self.chance.calm = True
        self.clock = RealClock()
        self.bus = MemoryBus(lambda: time.time_ns() // 1_000_000)
        self.runtimes = {
            factory.service: Runtime(
                factory,
                self.bus,
                PostgresStore(engine, factory.service, projector=PROJECTORS.get(factory.service)),
                self.clock,
                replica="one",
                url="http://one",
                partitions=1,
                limits=LIMITS,
            )
            for factory in (RouterFactory(), SlaFactory())
        }

    async def start(self):
        await self.bus.ensure_topics(dict.fromkeys(topics.ALL_TOPICS, 1))
        for runtime in self.runtimes.values():
            await runtime.start()

    async def call(self, service, act):
        try:
            return await act(self.runtimes[service])
        except NotOwner as elsewhere:
            raise Unavailable("not yet") from elsewhere

    async def stop(self):
        for runtime in self.runtimes.values():
            await runtime.stop()


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_replay_by_another_process_gives_identical_bytes(engine, database_url, tmp_path):
    await PlatformStore(engine).create_workspace("w", 1)
    host = OneHost(engine)
    await host.start()
    try:
        await play(host)
    finally:
        await host.stop()
    for service in host.runtimes:
        states = set()
        for hash_seed in ("0", "31337"):
            path = tmp_path / f"{service}-{hash_seed}"
            report = await asyncio.to_thread(replay, database_url, service, hash_seed, path)
            assert report["identical"], report["differences"]
            assert report["inputs"][1] >= POSTED and report["entities"] > 20
            states.add(path.read_bytes())
        assert len(states) == 1


def work(core, agent):
    return views.work(core, agent)[1]


async def play(host):
    """A few seconds of customers, agents and a supervisor."""
    ledger, show = Ledger(), Show()
    centre = Centre("w", host.chance.stream("centre w"))
    await configure(Caller(host, ledger, "admin"), centre)
    platform = Platform(host, ledger, {"w": 0})
    actors = [
        Customers(platform, show, "w", 0.01, threads=30),
        *(Agent(platform, show, "w", name, work, 0.05) for name in STAFF),
        Supervisor(platform, show, centre, lambda core: list(core.tasks)[-5:], 0.1),
    ]
    playing = asyncio.gather(*(actor.run() for actor in actors))
    while ledger.inputs < POSTED and not playing.done():  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.1)
    playing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await playing
    assert ledger.wrong == []


def replay(database_url, service, hash_seed, path):
    command = [sys.executable, "-m", "services", "replay", "--workspace", "w"]
    done = subprocess.run(
        [*command, "--service", service, "--dump", str(path), "--json"],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": database_url, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout, done.stderr
    return json.loads(done.stdout)
