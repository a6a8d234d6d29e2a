"""Reading after: neither too early, nor for ever."""

import asyncio
from typing import Any, cast

import pytest

from shared.runtime.barrier import ReadBarrier
from shared.runtime.port import Unavailable


class Log:
    """A bus of two topics; `b` has never had a record, and has lost its first five."""

    async def bounds(self, partitions):
        return {(topic, part): ((0, 9) if topic == "a" else (5, 5)) for topic, part in partitions}


class Stored:
    def __init__(self, *positions):
        self.told = list(positions)

    async def positions(self, partition):
        return self.told.pop(0) if len(self.told) > 1 else self.told[0]


class Clock:
    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        self.now += 0.5
        return self.now


def barrier(*positions):
    parts = (Stored(*positions), Log(), Clock())
    return ReadBarrier(*cast("Any", parts), ("a", "b"))


async def test_it_opens_once_all_was_read():
    stored = Stored({}, {"a": 8}, {"a": 9})
    await ReadBarrier(*cast("Any", (stored, Log(), Clock())), ("a", "b")).reached(0)
    assert stored.told == [{"a": 9}]


async def test_it_does_not_wait_for_what_came_later():
    await asyncio.wait_for(barrier({"a": 12, "b": 5}).reached(0), 1)


async def test_it_gives_up_with_a_word_for_the_caller():
    with pytest.raises(Unavailable, match="not all been read"):
        await barrier({"a": 8}).reached(0)
