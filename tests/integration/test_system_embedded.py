"""One process with the server that it brings: what happens when that server dies alone."""

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

import httpx

from services.cli.system import System, system
from shared.db.postmaster import recorded_pid
from shared.settings import Settings
from tests.integration.shop import client, ok

EVENT = {
    "specversion": "1.0", "id": "m-1", "source": "crm", "type": "interaction.message.v1",
    "data": {
        "channel": "chat", "conversation_key": "t-1", "direction": "inbound",
        "author": {"role": "customer"}, "text": "hello",
    },
}  # fmt: skip


def one(event: dict[str, Any]) -> dict[str, Any]:
    return {
        "content": json.dumps(event),
        "headers": {"Content-Type": "application/cloudevents+json"},
    }


async def answered(http: httpx.AsyncClient, path: str) -> httpx.Response:
    """The first answer that is no 503, within half a minute."""
    for _ in range(150):
        answer = await http.get(path)
        if answer.status_code != 503:
            return answer
        await asyncio.sleep(0.2)
    raise AssertionError(f"{path} does not come back")


async def test_a_database_that_dies_comes_back_with_all_that_was_accepted(tmp_path: Path) -> None:
    async with system(Settings(port=0, data_dir=tmp_path, partitions=1)) as running:
        await accepted_before_and_after(running, tmp_path)


async def accepted_before_and_after(running: System, folder: Path) -> None:
    await running.parts.platform.create_workspace("shop", 1)
    async with await client(running, "admin") as http:
        await answered(http, "/tasks")
        (first,) = (await ok(await http.post("/events", **one(EVENT))))["results"]
        before = recorded_pid(folder / "postgres")
        assert before is not None
        os.kill(before, signal.SIGKILL)
        await asyncio.sleep(0.3)
        await answered(http, "/tasks")
        assert recorded_pid(folder / "postgres") not in (None, before)
        found = await ok(
            await answered(http, f"/conversations/{first['conversation_id']}/messages")
        )
        assert [each["text"] for each in found["messages"]] == ["hello"]
        again = {**EVENT, "id": "m-2"}
        (second,) = (await ok(await http.post("/events", **one(again))))["results"]
        assert second["status"] == "accepted"
        tasks = (await ok(await answered(http, "/tasks")))["tasks"]
        assert len(tasks) == 1
