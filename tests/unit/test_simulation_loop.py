"""The loop that simulated services run on: time jumps, in one order, and deadlocks are told."""

import asyncio

import pytest

from shared.testing.simulation import loop


def test_time_jumps_to_what_is_due_next():
    async def main():
        began = asyncio.get_running_loop().time()
        await asyncio.gather(asyncio.sleep(3600), asyncio.sleep(60))
        return asyncio.get_running_loop().time() - began

    assert loop.run(main()) == pytest.approx(3600, abs=0.001)


def test_what_is_due_at_one_instant_happens_in_the_order_it_was_asked_for():
    order = []

    async def one(name, seconds):
        await asyncio.sleep(seconds)
        order.append(name)

    async def main():
        await asyncio.gather(*(one(name, 1) for name in "abc"), one("first", 0.5))

    loop.run(main())
    assert order == ["first", "a", "b", "c"]


def test_a_timeout_cancels_and_a_cancelled_timer_moves_no_time():
    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await asyncio.Event().wait()
        async with asyncio.timeout(1_000):
            await asyncio.sleep(1)
        await asyncio.sleep(1)
        return asyncio.get_running_loop().time()

    assert loop.run(main()) == pytest.approx(7, abs=0.001)


def test_everybody_waiting_for_nothing_is_told():
    async def main():
        await asyncio.Event().wait()

    with pytest.raises(loop.Stuck):
        loop.run(main())


def test_tasks_left_over_are_cancelled():
    ended = []

    async def background():
        try:
            await asyncio.sleep(1e9)
        finally:
            ended.append(True)

    async def main():
        task = asyncio.ensure_future(background())
        await asyncio.sleep(1)
        return task

    assert loop.run(main()).cancelled() and ended == [True]


def test_what_raises_reaches_the_caller():
    async def main():
        await asyncio.sleep(1)
        raise ValueError("seen")

    with pytest.raises(ValueError, match="seen"):
        loop.run(main())
