"""What is known of a workspace is read again while it is in use, and nobody waits for that."""

import asyncio
import time

from services.channels.directory import FRESH_S, RENEWED_S, Directory
from shared.db.engine import DatabaseUnavailable


class Source:
    def __init__(self):
        self.asked, self.fault, self.slow = 0, None, None

    async def facts(self, workspace):
        self.asked += 1
        if self.slow is not None:
            await self.slow.wait()
        if self.fault is not None:
            raise self.fault
        return self.asked, {}


class Past(Directory):
    """One whose knowledge the test can age."""

    def age(self, seconds):
        self._known = {
            name: (time.monotonic() - seconds, facts) for name, (_, facts) in self._known.items()
        }


async def turns():
    for _ in range(5):
        await asyncio.sleep(0)


async def test_facts_in_use_are_renewed_before_anybody_has_to_wait():
    source = Source()
    directory = Past(source)
    assert (await directory.of("w")).partition == 1
    assert (await directory.of("w")).partition == source.asked == 1
    source.slow = asyncio.Event()
    directory.age((RENEWED_S + FRESH_S) / 2)
    assert [(await directory.of("w")).partition for _ in range(3)] == [1] * 3
    await turns()
    assert source.asked == 2
    source.slow.set()
    await turns()
    assert (await directory.of("w")).partition == source.asked == 2


async def test_old_facts_are_waited_for_and_good_while_the_database_is_away():
    source = Source()
    directory = Past(source)
    await directory.of("w")
    directory.age(FRESH_S)
    assert (await directory.of("w")).partition == 2
    source.fault = DatabaseUnavailable("away")
    directory.age((RENEWED_S + FRESH_S) / 2)
    assert (await directory.of("w")).partition == 2
    await turns()
    directory.age(FRESH_S)
    assert (await directory.of("w")).partition == 2
