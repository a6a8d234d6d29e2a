"""What a connector was is remembered for a moment, and never beyond a change that was heard of."""

import asyncio

from services.channels import connector_cache
from services.channels.connector_cache import ConnectorCache


class Listener:
    def __init__(self, connected=True):
        self.connected = connected

    def on(self, channel, heard, resumed=None):
        assert channel == connector_cache.CONNECTOR_CHANNEL
        self.heard, self.resumed = heard, resumed


class Stored:
    """What PostgreSQL holds, and how often it was asked."""

    def __init__(self):
        self.value, self.asked, self.slow = "one", 0, None

    async def read(self, workspace, name):
        self.asked += 1
        value = self.value
        if self.slow is not None:
            await self.slow.wait()
        return value


async def test_it_is_asked_for_once_until_somebody_changes_it():
    stored, listener = Stored(), Listener()
    cache = ConnectorCache(stored.read, listener)
    assert [await cache.get("w", "c") for _ in range(3)] == ["one"] * 3
    assert stored.asked == 1
    assert await cache.get("w", "other") == "one"
    stored.value = "two"
    listener.heard("")
    assert await cache.get("w", "c") == "two"
    stored.value = "three"
    listener.resumed()
    assert await cache.get("w", "c") == "three"


async def test_a_change_while_it_is_read_is_not_missed():
    stored, listener = Stored(), Listener()
    cache = ConnectorCache(stored.read, listener)
    stored.slow = asyncio.Event()
    reading = asyncio.create_task(cache.get("w", "c"))
    await asyncio.sleep(0)
    stored.value = "two"
    listener.heard("")
    stored.slow.set()
    assert await reading == "one"
    assert await cache.get("w", "c") == "two"


async def test_without_ears_and_of_what_does_not_exist_nothing_is_remembered():
    stored = Stored()
    for listener in (None, Listener(connected=False)):
        cache = ConnectorCache(stored.read, listener)
        before = stored.asked
        await cache.get("w", "c")
        await cache.get("w", "c")
        assert stored.asked == before + 2
    stored.value, cache = None, ConnectorCache(stored.read, Listener())
    assert await cache.get("w", "c") is None
    stored.value = "new"
    assert await cache.get("w", "c") == "new"
