"""Streams of events asked of a replica that does not decide for the workspace."""

import asyncio
import json
from pathlib import Path

import pytest

from services.cli.system import System, system
from shared.settings import Settings
from tests.integration.shop import client, opened
from tests.integration.test_sla_figures import Shop


def settings(database_url: str, folder: Path) -> Settings:
    return Settings(
        port=0, data_dir=folder, database_url=database_url, partitions=1, secret_key="k" * 43
    )


async def awake(one: System) -> System:
    """It knows the others, and whose the shards are."""
    for _ in range(600):
        state = one.app.state
        if await state.sla.runtime.owner_of("shop") and await state.router.runtime.owner_of("shop"):
            return one
        await asyncio.sleep(0.05)
    raise AssertionError("the owner is not known")


@pytest.mark.parametrize("path", ["/sla/stream?figures_s=2", "/events"])
async def test_any_replica_streams_at_once(database_url: str, tmp_path: Path, path: str) -> None:
    async with (
        system(settings(database_url, tmp_path / "a")) as first,
        await client(await opened(first), "admin") as admin,
    ):
        shop = Shop(admin)
        await shop.open()
        async with (
            system(settings(database_url, tmp_path / "b")) as second,
            await client(await awake(second), "admin") as other,
            other.stream("GET", path, headers={"Accept": "text/event-stream"}) as answer,
        ):
            assert answer.status_code == 200
            lines = answer.aiter_lines()
            await anext(lines)
            await asyncio.sleep(1)
            await shop.event("m-1", "m-1", text="hello")
            told = figures = False
            async with asyncio.timeout(20):  # who only looks now and then does so each half minute
                async for line in lines:
                    if line.startswith("data: "):
                        data = json.loads(line.removeprefix("data: "))
                        figures = figures or "forecast" in data
                        told = told or data.get("conversation_id") is not None
                        if told and figures == ("figures_s" in path):
                            break
            assert told
