"""Time limits that share a timer behave as asyncio's own."""

import asyncio

import pytest

from shared.patience import Patience

SHORT_S = 0.2


async def waiting(patience, seconds):
    with patience.limit():
        await asyncio.sleep(seconds)
    return "done"


async def test_what_takes_too_long_ends_in_time_and_the_rest_is_left_alone():
    patience = Patience(SHORT_S)
    answers = await asyncio.gather(
        *(waiting(patience, seconds) for seconds in (0, 30, 0, 30)), return_exceptions=True
    )
    assert [answers[0], answers[2]] == ["done", "done"]
    assert isinstance(answers[1], TimeoutError)
    assert isinstance(answers[3], TimeoutError)
    assert await waiting(patience, 0) == "done"


async def test_each_wait_has_its_own_time():
    patience = Patience(0.2)
    loop = asyncio.get_running_loop()
    first = asyncio.create_task(waiting(patience, 30))
    await asyncio.sleep(0.1)
    began = loop.time()
    with pytest.raises(TimeoutError):
        await waiting(patience, 30)
    assert loop.time() - began >= 0.19
    with pytest.raises(TimeoutError):
        await first


async def test_a_caller_who_is_cancelled_is_not_told_of_a_time_limit():
    patience = Patience(30)
    task = asyncio.create_task(waiting(patience, 30))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_outer_limit_of_two_ends_both():
    outer, inner = Patience(SHORT_S), Patience(30)
    with pytest.raises(TimeoutError), outer.limit():
        await waiting(inner, 30)
    assert await waiting(inner, 0) == "done"


async def test_an_error_of_the_work_itself_comes_out():
    with pytest.raises(ValueError, match="own"), Patience(30).limit():
        raise ValueError("own")
