"""A process's tasks: what fails is begun again, what ends has ended."""

import asyncio

import pytest

from services.cli import foundation
from shared.db.failures import DatabaseUnavailable, OutcomeUnknown


async def test_a_task_that_failed_is_begun_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foundation, "RESTART_S", 0.0)
    begun = 0
    goes_on = asyncio.Event()

    async def work() -> None:
        nonlocal begun
        begun += 1
        if begun < 3:
            raise OutcomeUnknown("the database did not confirm the commit")
        goes_on.set()
        await asyncio.Event().wait()

    async with foundation.running(work, "work"):
        await asyncio.wait_for(goes_on.wait(), 5)
    assert begun == 3


async def test_a_task_that_ended_is_not_begun_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foundation, "RESTART_S", 0.0)
    begun = 0

    async def work() -> None:
        nonlocal begun
        begun += 1

    async with foundation.running(work, "work"):
        for _ in range(10):
            await asyncio.sleep(0)
    assert begun == 1


class Starting:
    """A server that answers from the `ready`-th time on."""

    def __init__(self, ready: int) -> None:
        self.asked, self.ready = 0, ready

    async def ask(self) -> None:
        self.asked += 1
        if self.asked < self.ready:
            raise DatabaseUnavailable("TimeoutError")


async def test_a_server_that_is_starting_is_waited_for() -> None:
    server = Starting(3)
    await foundation.patiently(server.ask, 60.0, pause_s=0)
    assert server.asked == 3


async def test_one_that_is_not_ours_is_asked_once() -> None:
    server = Starting(3)
    with pytest.raises(DatabaseUnavailable):
        await foundation.patiently(server.ask, 0, pause_s=0)
    assert server.asked == 1
