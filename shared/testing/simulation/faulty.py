"""Store, bus and clock as one host sees them: with latency, failing calls, and moments to die at."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from random import Random
from typing import Any, Protocol, TypeVar

from shared.bus.memory import MemoryBus
from shared.bus.port import Outgoing, Reader, Record, TopicPartition
from shared.runtime.store.memory import Fault, MemoryStore
from shared.runtime.store.port import Batch, StaleEpoch
from shared.testing.simulation.chance import Chance

T = TypeVar("T")
START_US = 1_800_000_000_000_000

_COMMIT_FAULTS: tuple[tuple[float, Fault, str], ...] = (
    (0.004, "rollback", "commit rolled back"),
    (0.004, "lost-commit", "commit answer lost"),
    (0.003, "lost-rollback", "rollback answer lost"),
    (0.0015, "stale", "lease stolen at commit"),
)
_CRASH_AT_COMMIT = 0.0015
_CRASH_AT_SEND = 0.001
_CRASH_AT_LOAD = 0.01
_CALL_FAILS = 0.0015
_SLOW = 0.01


class Moments(Protocol):
    """What the host lets its parts do."""

    chance: Chance
    offset_us: int

    async def awake(self) -> None:
        """Returns while the host runs: not before it is thawed, never once it is dead."""
        ...

    def crash(self, fault: str) -> None: ...


class HostClock:
    """One machine's clock. It stands on the loop's virtual time; its wall may be wrong."""

    def __init__(self, host: Moments | None) -> None:
        self._host = host
        self.monotonic = asyncio.get_running_loop().time

    def wall_us(self) -> int:
        offset_us = self._host.offset_us if self._host else 0
        return START_US + round(self.monotonic() * 1_000_000) + offset_us

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        if self._host is not None:
            await self._host.awake()

    async def within(self, waiting: Awaitable[T], timeout_s: float) -> T | None:
        result: T | None = None
        limit = asyncio.timeout(timeout_s)
        try:
            async with limit:
                result = await waiting
        except TimeoutError:
            if not limit.expired():
                raise
        if self._host is not None:
            await self._host.awake()
        return result

    async def until(self, news: "asyncio.Future[bool]", timeout_s: float) -> bool:
        return bool(await self.within(news, timeout_s))


class Network:
    """What is common to all hosts: the store and the bus may be away."""

    def __init__(self) -> None:
        self.store_away = False


class FaultyStore:
    """A MemoryStore behind a network. Any method of the store's port may be called on it."""

    def __init__(
        self,
        make: Callable[[Callable[[str], Fault | None]], MemoryStore],
        host: Moments,
        network: Network,
        batches: Callable[[Batch], None],
    ) -> None:
        self.inner = make(self._inject)
        self.service = self.inner.service
        self._host = host
        self._network = network
        self._batches = batches
        self._random: Random = host.chance.stream(f"store {id_of(host)} {self.service}")

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.inner, name)

        async def call(*given: Any, **named: Any) -> Any:
            return await self._call(name, method, given, named)

        setattr(self, name, call)
        return call

    async def _call(
        self, name: str, method: Callable[..., Awaitable[Any]], given: Any, named: Any
    ) -> Any:
        host = self._host
        await host.awake()
        await asyncio.sleep(self._latency_s(name))
        self._maybe_crash(name, "crash before commit", "crash while loading")
        await self._alive()
        try:
            result = await method(*given, **named)
        except StaleEpoch:
            if not host.chance.calm:
                host.chance.count("stale owner refused")
            raise
        if name == "commit":
            self._batches(given[0])
            self._maybe_crash(name, "crash after commit", "")
            await asyncio.sleep(self._random.uniform(0.0005, 0.003))
        await host.awake()
        return result

    async def _alive(self) -> None:
        """A dead host's requests that had not arrived never arrive; a frozen one's do."""
        if getattr(self._host, "dead", False):
            await self._host.awake()

    def _latency_s(self, name: str) -> float:
        if name != "commit":
            return self._random.uniform(0.0005, 0.003)
        if self._random.random() > _SLOW:
            return self._random.uniform(0.005, 0.06)
        self._host.chance.count("slow commit")
        return self._random.uniform(0.1, 0.8)

    def _maybe_crash(self, name: str, at_commit: str, at_load: str) -> None:
        if self._host.chance.calm:
            return
        if name == "commit" and self._random.random() < _CRASH_AT_COMMIT:
            self._host.crash(at_commit)
        elif name == "open_entities" and at_load and self._random.random() < _CRASH_AT_LOAD:
            self._host.crash(at_load)

    def _inject(self, call: str) -> Fault | None:
        chance = self._host.chance
        if self._network.store_away:
            return "unavailable"
        if chance.calm:
            return None
        if call != "commit":
            if self._random.random() < _CALL_FAILS:
                chance.count("store call failed")
                return "unavailable"
            return None
        drawn = self._random.random()
        for share, fault, name in _COMMIT_FAULTS:
            if drawn < share:
                chance.count(name)
                return fault
            drawn -= share
        return None


class FaultyBus:
    """The bus of one host. Send faults are the shared MemoryBus's own."""

    def __init__(
        self, inner: MemoryBus, host: Moments, polled: Callable[[Sequence[Record]], None]
    ) -> None:
        self._inner = inner
        self._host = host
        self._polled = polled
        self._random = host.chance.stream(f"bus {id_of(host)}")

    async def start(self) -> None:
        await self._inner.start()

    async def stop(self) -> None:
        """The shared bus goes on."""

    async def ensure_topics(self, partitions: Mapping[str, int]) -> None:
        await self._inner.ensure_topics(partitions)

    async def send(self, records: Sequence[Outgoing]) -> list[int]:
        await self._host.awake()
        self._maybe_crash("crash before publishing")
        await asyncio.sleep(self._random.uniform(0.0003, 0.002))
        if getattr(self._host, "dead", False):
            await self._host.awake()
        offsets = await self._inner.send(records)
        self._maybe_crash("crash after publishing")
        await self._host.awake()
        return offsets

    async def bounds(
        self, partitions: Sequence[TopicPartition]
    ) -> dict[TopicPartition, tuple[int, int]]:
        await self._host.awake()
        return await self._inner.bounds(partitions)

    def reader(self) -> Reader:
        return _FaultyReader(self._inner.reader(), self._host, self._polled)

    def _maybe_crash(self, fault: str) -> None:
        if not self._host.chance.calm and self._random.random() < _CRASH_AT_SEND:
            self._host.crash(fault)


class _FaultyReader:
    """Hands over nothing while the host is frozen."""

    def __init__(
        self, inner: Reader, host: Moments, polled: Callable[[Sequence[Record]], None]
    ) -> None:
        self._inner = inner
        self._host = host
        self._polled = polled

    async def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        await self._host.awake()
        await self._inner.assign(positions)

    async def release(self, partitions: Sequence[TopicPartition]) -> None:
        await self._inner.release(partitions)

    async def poll(self, max_records: int, timeout_ms: int) -> list[Record]:
        found = await self._inner.poll(max_records, timeout_ms)
        await self._host.awake()
        self._polled(found)
        return found

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        self._inner.pause(partitions)

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        self._inner.resume(partitions)

    async def stop(self) -> None:
        await self._inner.stop()


def id_of(host: Moments) -> str:
    """The name that a host's streams of chance go by."""
    return getattr(host, "name", "")
