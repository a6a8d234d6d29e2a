"""A workspace `shop` in a running system, and who calls it."""

import asyncio
from typing import Any

import httpx

from services.cli.system import System


async def opened(running: System) -> System:
    """The workspace is there, and its shards have their owners: calls need not be repeated."""
    await running.parts.platform.create_workspace("shop", 1)
    state = running.app.state
    for _ in range(600):
        if all("shop" in each.runtime.owned() for each in (state.router, state.sla)):
            return running
        await asyncio.sleep(0.05)
    raise AssertionError("nobody owns the shards")


async def client(running: System, role: Any, agent: str | None = None) -> httpx.AsyncClient:
    _, token = await running.parts.keys.create("shop", role, role, agent=agent)
    return httpx.AsyncClient(
        base_url=f"{running.url}/v1/workspaces/shop",
        headers={"Authorization": f"Bearer {token}"},
        trust_env=False,
        timeout=30,
    )


async def ok(answer: httpx.Response) -> Any:
    assert answer.is_success, answer.text
    return answer.json() if answer.content else None
