"""Reading a partition to its end, as tests and checkers do."""

import asyncio

from shared.bus.port import Bus, Reader, Record, TopicPartition

READ_TIMEOUT_S = 20.0


async def read_all(
    bus: Bus, partition: TopicPartition, position: int | None = None
) -> list[Record]:
    """Everything from `position` (default: the earliest) to the end as it is now."""
    earliest, end = (await bus.bounds([partition]))[partition]
    start = earliest if position is None else position
    reader = bus.reader()
    try:
        await reader.assign({partition: start})
        return await read_count(reader, end - start)
    finally:
        await reader.stop()


async def read_count(
    reader: Reader, count: int, max_records: int = 1000, timeout_s: float = READ_TIMEOUT_S
) -> list[Record]:
    """Poll until `count` records have come; TimeoutError when they do not."""
    found: list[Record] = []
    async with asyncio.timeout(timeout_s):
        while len(found) < count:
            found += await reader.poll(max_records, 500)
    return found
