"""Reading after what is known to have happened: wait until a service has read that far."""

import asyncio
from collections.abc import Sequence

from shared.bus.port import Bus, TopicPartition
from shared.runtime.clock import Clock
from shared.runtime.port import Unavailable
from shared.runtime.store.port import Store

PATIENCE_S = 2.0
LOOK_S = 0.05


class ReadBarrier:
    """Of the service that `store` belongs to and that reads `topics`; whoever owns its shards."""

    def __init__(self, store: Store, bus: Bus, clock: Clock, topics: Sequence[str]) -> None:
        self._store = store
        self._bus = bus
        self._clock = clock
        self._topics = tuple(topics)

    async def reached(self, partition: int) -> None:
        """Returns once what lay in the log when asked has been read and committed.

        Raises Unavailable when that takes more than `PATIENCE_S`; BusUnavailable, StoreUnavailable.
        """
        bounds = await self._bus.bounds([(topic, partition) for topic in self._topics])
        until = self._clock.monotonic() + PATIENCE_S
        while not _is_behind_us(bounds, await self._store.positions(partition)):
            if self._clock.monotonic() >= until:
                raise Unavailable("what was accepted last has not all been read yet")
            await asyncio.sleep(LOOK_S)


def _is_behind_us(bounds: dict[TopicPartition, tuple[int, int]], positions: dict[str, int]) -> bool:
    return all(
        positions.get(topic, earliest) >= end for (topic, _), (earliest, end) in bounds.items()
    )
