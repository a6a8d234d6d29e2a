"""An agent whose desktop waits for news is there, however short the presence lease."""

import asyncio
import time

from services.cli.system import System
from tests.integration.shop import client, ok

LEASE_S = 6
WAIT_S = 9


async def test_a_desktop_that_waits_longer_than_the_lease_keeps_its_agent(running: System) -> None:
    async with (
        await client(running, "admin") as admin,
        await client(running, "agent", "ana") as ana,
    ):
        await ok(await admin.put(f"{running.url}/v1/workspaces/shop", json={"lease_s": LEASE_S}))
        leases = running.app.state.router.presence
        for _ in range(300):
            if leases.renew_every_s("shop") == LEASE_S / 2:  # the router has heard of it
                break
            await asyncio.sleep(0.1)
        await ok(await admin.put("/agents/ana", json={"channels": {"chat": 1}}))
        await ok(await ana.put("/agents/ana/presence", json={"status": "available"}))
        seen = await ana.get("/agents/ana/work")
        assert seen.json()["agent"]["presence"]["status"] == "available"
        began = time.monotonic()
        headers = {"If-None-Match": seen.headers["etag"]}
        answer = await ana.get("/agents/ana/work", params={"wait": WAIT_S}, headers=headers)
        assert answer.status_code == 304, answer.text
        assert time.monotonic() - began > LEASE_S + 1
        told = await ok(await admin.get("/events?types=routing.agent.presence.v1"))
        assert [one["data"]["status"] for one in told["events"]] == ["available"]
