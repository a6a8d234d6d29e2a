"""One life of the whole, from its seed: people, faults, rest, and the check at the end."""

import asyncio
import gc
import logging
import sys
import time
import traceback
from collections.abc import Callable, Coroutine, MutableMapping, Sequence
from typing import Any

import msgspec
import structlog

from shared.contracts.core import ConfigWrite, Core
from shared.testing.simulation import loop, truth
from shared.testing.simulation.callers import Caller
from shared.testing.simulation.centre import BOT, STAFF, Centre, configure
from shared.testing.simulation.chance import Chance
from shared.testing.simulation.chaos import HOSTS, Chaos
from shared.testing.simulation.checker import Checker
from shared.testing.simulation.hosts import Cluster, Parts
from shared.testing.simulation.ledger import Ledger
from shared.testing.simulation.people import Customers, Show
from shared.testing.simulation.platform import Platform
from shared.testing.simulation.staff import Agent, Supervisor

FULL = 2_000
"""Inputs (events, commands, configuration, timers) that all services decide in a full life, at the least."""
SHORT = 360
"""The same in a short life: the same people, hosts and faults for a few seconds."""
_CLOSING = 0.55
"""The people go home once so much of it is decided: what they leave behind brings the rest."""
PARTITIONS = 2
WORKSPACES = {"busy": 0, "quiet": 0, "north": 1, "south": 1}
PAUSES_S = {"busy": 0.18, "quiet": 2.0, "north": 0.5, "south": 0.5}
REST_S = 6.0
BURST = 60
MOST_S = 600.0
_EXPECTED = frozenset({"the core failed on an input"})


class Report(msgspec.Struct, kw_only=True):
    """One life. `wrong` is empty when every promise was kept."""

    seed: int
    least: int
    inputs: dict[str, int]
    posted: int
    virtual_s: float
    took_s: float
    digest: str
    faults: dict[str, int]
    figures: dict[str, int]
    wrong: list[str]


def simulate(seed: int, parts: Parts, least: int = FULL) -> Report:
    """Play one life in which the services decide at least `least` inputs. Takes over structlog's
    configuration. It leaves up to 70 MB of cycles behind: who plays many collects now and then."""
    ledger = Ledger()
    _listen(ledger)
    life = _Life(seed, parts, least, ledger)
    began = time.process_time()
    thresholds = gc.get_threshold()
    try:
        return loop.run(life.live(began))
    finally:
        structlog.reset_defaults()
        gc.set_threshold(*thresholds)  # crashed hosts leave theirs
        gc.unfreeze()


class _Life:
    def __init__(self, seed: int, parts: Parts, least: int, ledger: Ledger) -> None:
        self.seed = seed
        self.least = least
        self.ledger = ledger
        self.chance = Chance(seed)
        self.parts = parts
        self.show = Show()
        self.centres = {
            name: Centre(name, self.chance.stream(f"centre {name}")) for name in WORKSPACES
        }

    async def live(self, began: float) -> Report:
        self.cluster = Cluster(self.chance, self.parts, PARTITIONS)
        self.cluster.fairness.quiet = frozenset({"quiet"})
        self.platform = Platform(self.cluster, self.ledger, WORKSPACES)
        self.chaos = Chaos(self.cluster, self.platform, self.show, pause_s=1.5)
        await self._open()
        await self._play()
        checker = Checker(self.cluster, self.ledger, WORKSPACES, self.centres)
        try:
            if not self.ledger.wrong:
                await self._end()
                await checker.check()
        except Exception as error:  # a world so wrong that it cannot be rebuilt
            self.ledger.complain(f"the check itself failed: {error!r}")
        self.cluster.bus.unavailable = (
            False  # what was said can be read also where a life ended badly
        )
        return Report(
            seed=self.seed,
            least=self.least,
            inputs=checker.inputs,
            posted=self.ledger.inputs,
            virtual_s=asyncio.get_running_loop().time(),
            took_s=time.process_time() - began,
            digest=await truth.digest(self.cluster.bus, PARTITIONS),
            faults=dict(self.chance.counts),
            figures=checker.figures,
            wrong=self.ledger.wrong,
        )

    async def _open(self) -> None:
        """Hosts, and the configuration of each workspace, before anything goes wrong."""
        self.chance.calm = True
        await self.cluster.prepare(WORKSPACES)
        for _ in range(HOSTS):
            await self.cluster.add_host()
        await asyncio.sleep(2)
        await asyncio.gather(*(self._configure(centre) for centre in self.centres.values()))
        self.chance.calm = False

    async def _configure(self, centre: Centre) -> None:
        caller = Caller(self.cluster, self.ledger, f"{centre.workspace}/admin")
        await configure(caller, centre, lambda written: self._write(centre.workspace, written))

    def _write(self, workspace: str, written: ConfigWrite) -> None:
        self.cluster.database.write_config(workspace, "platform", [written])

    async def _play(self) -> None:
        self._replacing = asyncio.ensure_future(self.chaos.replace())
        acts: list[Coroutine[Any, Any, None]] = [self.chaos.run()]
        for workspace, pause_s in PAUSES_S.items():
            customers = Customers(self.platform, self.show, workspace, pause_s, threads=40)
            acts.append(customers.run())
            acts.extend(self._staff(workspace, pause_s))
            if workspace == "busy":
                acts.append(self._bursts(customers))
        playing = [asyncio.ensure_future(act) for act in acts]
        if await self._until(playing, lambda: self._decided() >= _CLOSING * self.least):
            self.show.end()
            if await self._until(playing, lambda: all(one.done() for one in playing)):
                await self.chaos.calm()
                for workspace in WORKSPACES:
                    await Customers(self.platform, self.show, workspace, 1, 1).all_ends_again()

    async def _until(
        self, playing: "Sequence[asyncio.Future[None]]", reached: Callable[[], bool]
    ) -> bool:
        """Let them play; False as soon as something is wrong (no need to see the end then)."""
        while not reached():
            await asyncio.sleep(1)
            for one in playing:
                if one.done() and one.exception() is not None:
                    self.ledger.complain(f"an actor failed: {one.exception()!r}")
            if asyncio.get_running_loop().time() > MOST_S:
                self.ledger.complain(f"only {self.ledger.inputs} inputs in {MOST_S} s")
            if self.ledger.wrong:
                return False
        return True

    def _staff(self, workspace: str, pause_s: float) -> list[Coroutine[Any, Any, None]]:
        view, centre = self.parts.work, self.centres[workspace]
        agents = [
            Agent(self.platform, self.show, workspace, name, view, 0.6 + pause_s / 2)
            for name in (*STAFF, *([BOT] if centre.has_bot else []))
        ]
        steers = Supervisor(self.platform, self.show, centre, self._open_tasks, 2 + pause_s)
        return [*(agent.run() for agent in agents), steers.run()]

    def _open_tasks(self, core: Core) -> list[str]:
        """Tasks that agents hold: supervisors see them on the same screens."""
        shown = [self.parts.work(core, name) for name in STAFF[:-1]]
        return [
            task
            for work in shown
            for task in [each["id"] for each in work["tasks"]]
            + [each["task_id"] for each in work["offers"]]
        ]

    async def _bursts(self, customers: Customers) -> None:
        for _ in range(3):
            await self.show.pause(customers.random.uniform(2, 8))
            if not self.show.over:
                await customers.burst(BURST)

    def _decided(self) -> int:
        return sum(self.cluster.inputs().values())

    async def _end(self) -> None:
        """All come to rest. Where that has not brought enough to decide, some still write."""
        await self._rest()
        while self._decided() < self.least and not self.ledger.wrong:
            for workspace in WORKSPACES:
                await Customers(self.platform, self.show, workspace, 1, 40).burst(5)
            await self._rest()
        self._replacing.cancel()

    async def _rest(self) -> None:
        """Until all is read, decided and published, and a while longer."""
        await asyncio.sleep(REST_S)
        for _ in range(200):
            if not await self._unrest():
                return
            await asyncio.sleep(0.5)
        self.ledger.complain("the services do not come to rest: " + await self._unrest())

    async def _unrest(self) -> str:
        for service in self.cluster.services:
            for partition in range(PARTITIONS):
                what = await self._unrest_of(service, partition)
                if what:
                    return f"{service} {partition} {what}"
        return ""

    async def _unrest_of(self, service: str, partition: int) -> str:
        runtime = self.cluster.owner(service, partition)
        if runtime is None:
            return "has no owner"
        shard = runtime.shards[partition]
        if shard.outbox.depth or shard.inbox:
            return "has work"
        logs = [(topic, partition) for topic in shard.following.positions]
        for (topic, _), (_, end) in (await self.cluster.bus.bounds(logs)).items():
            if shard.following.positions[topic] != end:
                return f"has not read {topic}"
        return ""


def _listen(ledger: Ledger) -> None:
    """Errors that the services log are told, unless poison explains them."""

    def hear(_: Any, level: str, event: MutableMapping[str, Any]) -> Any:
        if level in ("error", "exception", "critical") and event["event"] not in _EXPECTED:
            error = event.pop("exc_info", None)
            error = sys.exc_info()[1] if error is True else error
            frames = traceback.extract_tb(error.__traceback__)[-2:] if error else []
            where = [f"{frame.name}:{frame.lineno}" for frame in frames]
            ledger.complain(f"logged: {dict(event)} {error!r} {where}")
        raise structlog.DropEvent

    structlog.configure(
        processors=[hear],
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        cache_logger_on_first_use=False,
    )


__all__ = ["Report", "simulate"]
