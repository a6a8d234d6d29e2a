"""Faults of the large kind: hosts that die and freeze, stores and buses that are away, delays."""

import asyncio
from collections.abc import Awaitable, Callable

from shared.contracts import topics
from shared.testing.simulation.hosts import Cluster
from shared.testing.simulation.people import Show
from shared.testing.simulation.platform import Platform

HOSTS = 3


class Chaos:
    """Keeps as many hosts as there should be, and breaks something every few seconds."""

    def __init__(self, cluster: Cluster, platform: Platform, show: Show, pause_s: float) -> None:
        self.cluster = cluster
        self.platform = platform
        self.chance = cluster.chance
        self.random = cluster.chance.stream("chaos")
        self.show = show
        self.pause_s = pause_s
        self._running: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        faults: list[tuple[int, Callable[[], Awaitable[None]]]] = [
            (4, self.freeze_long),
            (2, self.freeze_briefly),
            (3, self.crash),
            (3, self.stop_cleanly),
            (3, self.store_away),
            (3, self.bus_away),
            (8, self.delay_topic),
            (4, self.set_clock_back),
            (3, self.steal),
            (6, self.poison),
        ]
        weights = [weight for weight, _ in faults]
        while not self.show.over:
            await self.show.pause(self.random.expovariate(1 / self.pause_s))
            ((_, fault),) = self.random.choices(faults, weights)
            self._begin(fault())

    async def replace(self) -> None:
        """Somebody starts new hosts for those that died."""
        while True:
            await asyncio.sleep(0.5)
            if len(self.cluster.hosts) < HOSTS:
                await asyncio.sleep(self.random.uniform(0.2, 4))
                await self.cluster.add_host()

    async def calm(self) -> None:
        """No more faults: what is under way ends."""
        self.chance.calm = True
        if self._running:
            await asyncio.gather(*self._running)
        for host in self.cluster.hosts:
            host.offset_us = 0

    def _begin(self, fault: Awaitable[None]) -> None:
        task = asyncio.ensure_future(self._strike(fault))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _strike(self, fault: Awaitable[None]) -> None:
        await fault

    async def freeze_long(self) -> None:
        """Past the lease: another owner takes over, then the old one goes on as if nothing was."""
        host = self.random.choice(self.cluster.hosts or self.cluster.all_hosts)
        if host.dead or host.frozen or len(self.cluster.hosts) < 2:
            return
        held = {
            (service, partition): shard.epoch
            for service, runtime in host.runtimes.items()
            for partition, shard in runtime.shards.items()
        }
        await host.freeze(self.cluster.parts.limits.lease_s * self.random.uniform(1.2, 2.5))
        for (service, partition), epoch in held.items():
            if not host.dead and self.cluster.epoch(service, partition) != epoch:
                self.chance.count("owner frozen past its lease")
                return

    async def freeze_briefly(self) -> None:
        host = self.random.choice(self.cluster.hosts or self.cluster.all_hosts)
        if not host.dead and not host.frozen:
            self.chance.count("owner frozen briefly")
            await host.freeze(self.random.uniform(0.1, 2))

    async def crash(self) -> None:
        if self.cluster.hosts:
            self.random.choice(self.cluster.hosts).crash("crash at any moment")

    async def stop_cleanly(self) -> None:
        host = self.random.choice(self.cluster.hosts or self.cluster.all_hosts)
        if not host.dead and not host.stopping:
            await host.stop()

    async def store_away(self) -> None:
        self.chance.count("store unavailable")
        self.cluster.network.store_away = True
        await asyncio.sleep(self.random.uniform(0.1, 3))
        self.cluster.network.store_away = False

    async def bus_away(self) -> None:
        self.chance.count("bus unavailable")
        self.cluster.bus.unavailable = True
        await asyncio.sleep(self.random.uniform(0.1, 3))
        self.cluster.bus.unavailable = False

    async def delay_topic(self) -> None:
        """One topic's news comes later than that of others."""
        topic = self.random.choice(topics.ALL_TOPICS[:6])
        log = (topic, self.random.randrange(self.cluster.partitions))
        self.chance.count("topic delayed")
        self.cluster.bus.hold(log)
        await asyncio.sleep(self.random.uniform(0.2, 6))
        self.cluster.bus.show(log)

    async def set_clock_back(self) -> None:
        host = self.random.choice(self.cluster.hosts or self.cluster.all_hosts)
        self.chance.count("clock set back")
        host.offset_us = -round(self.random.uniform(0.1, 20) * 1_000_000)
        await asyncio.sleep(self.random.uniform(1, 10))
        host.offset_us = 0

    async def steal(self) -> None:
        self.chance.count("lease stolen")
        service = self.random.choice(sorted(self.cluster.services))
        self.cluster.steal(service, self.random.randrange(self.cluster.partitions))

    async def poison(self) -> None:
        await self.platform.poison(self.random.choice(sorted(self.platform.partition_of)))
