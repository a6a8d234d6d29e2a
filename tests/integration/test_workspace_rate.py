"""A workspace's own rate takes effect as soon as it is written, and nobody else feels it."""

import asyncio
from pathlib import Path

import httpx

from services.cli.system import system
from shared.settings import Settings


async def test_a_workspaces_rate_is_its_own(database_url: str, tmp_path: Path) -> None:
    settings = Settings(port=0, data_dir=tmp_path, database_url=database_url, partitions=1)
    async with system(settings, "channels") as running:
        clients: dict[str, httpx.AsyncClient] = {}
        for name in ("calm", "busy"):
            await running.parts.platform.create_workspace(name, 1)
            _, token = await running.parts.keys.create(name, "test", "admin")
            clients[name] = httpx.AsyncClient(
                base_url=f"{running.url}/v1/workspaces/{name}",
                headers={"Authorization": f"Bearer {token}"},
                trust_env=False,
            )
        async with clients["calm"] as calm, clients["busy"] as busy:
            await running.parts.platform.update_workspace(
                "calm", {"rate": {"per_s": 1, "burst": 2}}
            )
            statuses = await _statuses_until_limited(calm)
            assert statuses[-1].status_code == 429
            assert statuses[-1].json()["type"] == "/problems/rate-limited"
            assert int(statuses[-1].headers["retry-after"]) >= 1
            others = [(await busy.get("/conversations")).status_code for _ in range(10)]
            assert others == [200] * 10


async def _statuses_until_limited(client: httpx.AsyncClient) -> list[httpx.Response]:
    """The change is heard of through the database: give it a moment."""
    answers: list[httpx.Response] = []
    for _ in range(200):
        answers.append(await client.get("/conversations"))
        if answers[-1].status_code == 429:
            break
        await asyncio.sleep(0.02)
    return answers
