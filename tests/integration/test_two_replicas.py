"""Calls at the replica that does not own the workspace's shard: what is asked of one holds for all."""

import contextlib
from pathlib import Path

from services.cli.system import system
from shared.settings import Settings
from tests.integration.shop import client, opened

CSV = {"Content-Type": "text/csv"}
KEY = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="


async def test_customers_are_imported_at_any_replica(database_url: str, tmp_path: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        one = Settings(
            port=0, data_dir=tmp_path, database_url=database_url, partitions=1, secret_key=KEY
        )
        owner = await opened(await stack.enter_async_context(system(one)))
        other = await stack.enter_async_context(system(one))
        admin = await stack.enter_async_context(await client(owner, "admin"))
        for number, url in enumerate((owner.url, other.url)):
            where = f"{url}/v1/workspaces/shop/customers:import"
            answer = await admin.post(where, content=f"id\nc{number}\n", headers=CSV)
            assert (answer.status_code, answer.json()["result"]["created"]) == (200, 1), url
