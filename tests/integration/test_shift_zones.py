"""Hours of shifts in agents' own time zones, derived beside a running router."""

import asyncio
from datetime import UTC, datetime, timedelta

from services.cli.system import System
from tests.integration.shop import client, ok

FOR_S = 60


async def test_who_is_elsewhere_is_off_duty_by_his_own_clock(running: System):
    """Open for the hour around now, in UTC; in Tokyo that hour was nine hours ago."""
    now = datetime.now(UTC)
    open_now = [[f"{now - timedelta(minutes=30):%H:%M}", f"{now + timedelta(minutes=30):%H:%M}"]]
    days = dict.fromkeys(("mon", "tue", "wed", "thu", "fri", "sat", "sun"), open_now)
    async with await client(running, "admin") as admin:
        calendar = {"timezone": "UTC", "hours": days}
        await ok(await admin.put("/calendars/now", json=calendar))
        for name, zone in (("ana", "UTC"), ("ben", "Asia/Tokyo")):
            body = {"team": "t", "timezone": zone, "channels": {"chat": 1}}
            await ok(await admin.put(f"/agents/{name}", json=body))
        for _ in range(FOR_S):  # the router takes the calendar in a moment later
            written = await admin.put("/teams/t", json={"shifts": [{"calendar": "now"}]})
            if written.is_success:
                break
            await asyncio.sleep(0.5)
        await ok(written)
        for _ in range(FOR_S):
            found = await ok(await admin.get("/teams/t/duty"))
            if found["off_duty"]:
                break
            await asyncio.sleep(0.5)
        assert (found["on_duty"], found["off_duty"]) == (["ana"], ["ben"])
        shown = await ok(await admin.get("/calendars"))
        assert [one["id"] for one in shown["calendars"]] == ["now"]
