"""A workspace `shop` in a running system, and who calls it."""

from typing import Any

import httpx

from services.cli.system import System


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
