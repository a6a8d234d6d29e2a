"""A process's tasks: what fails is begun again, what ends has ended."""

import asyncio

import pytest

from services.cli import foundation
from shared.db.failures import OutcomeUnknown


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
