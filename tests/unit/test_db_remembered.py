"""What PostgreSQL holds is remembered for a moment, never beyond a change that was heard of, and read
once however many ask."""

import asyncio
import math

import pytest

from shared.db.engine import DatabaseUnavailable
from shared.db.remembered import Remembered

CHANNEL = "changed"


class Listener:
    def __init__(self, connected=True):
        self.connected, self.sure_at = connected, -math.inf

    def on(self, channel, heard, resumed=None):
        assert channel == CHANNEL
        self.heard, self.resumed = heard, resumed


class Stored:
    """What PostgreSQL holds, and how often it was asked."""

    def __init__(self):
        self.value, self.asked, self.slow, self.fault = ["one"], 0, None, None

    async def read(self, key):
        self.asked += 1
        value = self.value
        if self.slow is not None:
            await self.slow.wait()
        if self.fault is not None:
            raise self.fault
        return None if value is None else list(value)


class Clock:
    """Moments that the test sets."""

    now = 0.0

    def __call__(self):
        return self.now


async def turns():
    for _ in range(5):
        await asyncio.sleep(0)


async def test_it_is_read_once_until_somebody_changes_it():
    stored, listener = Stored(), Listener()
    memory = Remembered(stored.read, listener, CHANNEL)
    assert [await memory.get("a") for _ in range(3)] == [["one"]] * 3
    assert stored.asked == 1
    assert await memory.get("b") == ["one"]
    stored.value = ["two"]
    listener.heard("")
    assert await memory.get("a") == ["two"]
    stored.value = ["three"]
    listener.resumed()
    assert await memory.get("a") == ["three"]


async def test_one_read_answers_all_who_ask_at_once():
    stored = Stored()
    stored.slow = asyncio.Event()
    memory = Remembered(stored.read, Listener(), CHANNEL)
    asking = [asyncio.create_task(memory.get("a")) for _ in range(20)]
    await turns()
    asking[0].cancel()
    await turns()
    stored.slow.set()
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert found[1:] == [["one"]] * 19
    assert stored.asked == 1


async def test_a_change_while_it_is_read_is_not_missed():
    stored, listener = Stored(), Listener()
    memory = Remembered(stored.read, listener, CHANNEL)
    stored.slow = asyncio.Event()
    before = asyncio.create_task(memory.get("a"))
    await turns()
    stored.value = ["two"]
    listener.heard("")
    after = asyncio.create_task(memory.get("a"))
    await turns()
    stored.slow.set()
    assert (await before, await after) == (["one"], ["two"])
    assert await memory.get("a") == ["two"]
    assert stored.asked == 2


async def test_what_is_in_use_is_renewed_before_anybody_has_to_wait():
    stored, clock = Stored(), Clock()
    memory = Remembered(stored.read, Listener(), CHANNEL, clock=clock)
    first = await memory.get("a")
    stored.slow = asyncio.Event()
    clock.now = 0.9
    assert [await memory.get("a") for _ in range(3)] == [first] * 3
    await turns()
    assert stored.asked == 2
    stored.slow.set()
    await turns()
    clock.now = 1.3
    assert await memory.get("a") is first, "unchanged, it is the same object"
    assert stored.asked == 2


async def test_nothing_is_believed_for_longer_than_a_second():
    stored, clock = Stored(), Clock()
    memory = Remembered(stored.read, Listener(), CHANNEL, clock=clock)
    await memory.get("a")
    stored.value, clock.now = ["two"], 1.0
    assert await memory.get("a") == ["two"]
    stored.value, clock.now = None, 1.6
    assert await memory.get("a") == ["two"]
    await turns()
    assert await memory.get("a") is None


async def test_a_failed_renewal_is_met_only_when_what_is_known_is_too_old():
    stored, clock = Stored(), Clock()
    memory = Remembered(stored.read, Listener(), CHANNEL, clock=clock)
    await memory.get("a")
    stored.fault, clock.now = DatabaseUnavailable("away"), 0.9
    assert await memory.get("a") == ["one"]
    await turns()
    clock.now = 1.1
    with pytest.raises(DatabaseUnavailable):
        await memory.get("a")
    stored.fault = None
    assert await memory.get("a") == ["one"]


async def test_without_ears_and_of_what_does_not_exist_nothing_is_remembered():
    stored = Stored()
    for listener in (None, Listener(connected=False)):
        memory = Remembered(stored.read, listener, CHANNEL)
        before = stored.asked
        await memory.get("a")
        await memory.get("a")
        assert stored.asked == before + 2
    stored.value, memory = None, Remembered(stored.read, Listener(), CHANNEL)
    assert await memory.get("a") is None
    stored.value = ["new"]
    assert await memory.get("a") == ["new"]


async def test_it_is_believed_longer_while_the_listener_shows_that_it_hears():
    stored, listener, clock = Stored(), Listener(), Clock()
    memory = Remembered(stored.read, listener, CHANNEL, believed_s=30, clock=clock)
    await memory.get("a")
    for second in range(1, 29):
        clock.now = listener.sure_at = float(second)
        await memory.get("a")
    assert stored.asked == 1
    clock.now = 28.9  # silent since 28
    assert await memory.get("a") == ["one"]
    await turns()
    assert stored.asked == 2, "read again before it is no longer believed"
    stored.value, clock.now = ["two"], 29.9
    assert await memory.get("a") == ["two"]


async def test_it_is_not_believed_for_ever_whatever_the_listener_shows():
    stored, listener, clock = Stored(), Listener(), Clock()
    memory = Remembered(stored.read, listener, CHANNEL, believed_s=30, clock=clock)
    await memory.get("a")
    stored.value = ["two"]
    clock.now = listener.sure_at = 30.0
    assert await memory.get("a") == ["two"]
