"""Holiday feeds by address: read with the calendar, looked at again, never lost."""

from collections.abc import AsyncIterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

from services.cli.apply.client import Api
from services.cli.apply.document import parse_document
from services.cli.apply.export import export
from services.cli.apply.plan import carry_out, plan
from services.cli.system import System, system
from services.sla.feeds import FeedWatch
from shared.settings import Settings
from shared.testing.vendor import Says, vendor
from tests.integration.shop import client, ok, opened

HOURS = {"timezone": "Europe/Berlin", "hours": {"mon": [["09:00", "17:00"]]}}


def ical(*days: str, stamp: str = "20260101T000000Z") -> bytes:
    events = "".join(
        f"BEGIN:VEVENT\r\nUID:{day}\r\nDTSTAMP:{stamp}\r\nDTSTART;VALUE=DATE:{day}\r\n"
        f"SUMMARY:Off\r\nEND:VEVENT\r\n"
        for day in days
    )
    return f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\n{events}END:VCALENDAR\r\n".encode()


@pytest.fixture
async def running(database_url: str, tmp_path: Path) -> AsyncIterator[System]:
    settings = Settings(
        port=0, data_dir=tmp_path, database_url=database_url, partitions=1,
        fetch_allow=(ip_network("127.0.0.0/8"),),
    )  # fmt: skip
    async with system(settings) as started:
        yield await opened(started)


def calendar(url: str, **more: Any) -> dict[str, Any]:
    return {**HOURS, "feeds": [{"name": "state", "url": url, **more}]}


async def closed(http: httpx.AsyncClient) -> list[str]:
    answer = await ok(await http.get("/calendars/office/days?from=2026-11-01&to=2027-06-01"))
    return [day["date"] for day in answer["days"] if day["closes"]]


async def test_a_feed_is_read_with_its_calendar_and_looked_at_again(running: System):
    async with vendor() as there, await client(running, "admin") as http:
        there.on("/feed", Says(ical("20261207", "20261214")))
        body = calendar(f"{there.url}/feed", off=["2026-12-14"])
        written = await http.put("/calendars/office", json=body)
        assert (written.status_code, written.headers["etag"]) == (201, '"1"'), written.text
        assert await closed(http) == ["2026-12-07"]
        asked = {"calendar_id": "office", "start": "2026-12-07T09:00", "duration_s": 60}
        answer = await ok(await http.post("/calendars:evaluate", json=asked))
        assert answer["deadline"] == "2026-12-14T08:01:00Z"

        sla = running.app.state.sla
        registry = CollectorRegistry()
        watch = FeedWatch(sla.runtime, sla.runtime.owned, sla.feeds, registry)
        there.on("/feed", Says(ical("20261207", "20261214", stamp="20260202T000000Z")))
        assert await watch.refresh("shop") == 0
        there.on("/feed", Says(status=500), Says(b"gone"), Says(ical("20270104")))
        assert [await watch.refresh("shop") for _ in range(2)] == [0, 0]
        assert await closed(http) == ["2026-12-07"]
        assert await watch.refresh("shop") == 1
        assert await closed(http) == ["2027-01-04"]
        shown = await http.get("/calendars/office")
        assert shown.headers["etag"] == '"2"'
        looks = {
            outcome: registry.get_sample_value(
                "omniroute_calendar_feed_looks_total", {"outcome": outcome}
            )
            for outcome in ("unchanged", "failed", "changed")
        }
        assert looks == {"unchanged": 1, "failed": 2, "changed": 1}

        # Written again while the feed is away, it keeps its days; a new address has none to keep.
        there.on("/feed", Says(status=503))
        await ok(await http.put("/calendars/office", json=body))
        assert await closed(http) == ["2027-01-04"]
        there.on("/other", Says(status=503))
        away = await http.put("/calendars/office", json=calendar(f"{there.url}/other"))
        assert away.status_code == 503 and away.headers["retry-after"]


@pytest.mark.parametrize(
    ("url", "code", "says"),
    [
        ("https://10.0.0.1/feed", "feed", "not a public address"),
        ("{there}/text", "feed", "no iCalendar line"),
        ("{there}/none", "feed", "answered 410"),
        ("ftp://example.org/feed", "url", "no URL of the web"),
    ],
)
async def test_an_address_without_a_feed_is_refused(
    running: System, url: str, code: str, says: str
):
    async with vendor() as there, await client(running, "admin") as http:
        there.on("/text", Says(b"hello"))
        there.on("/none", Says(status=410))
        answer = await http.put("/calendars/office", json=calendar(url.format(there=there.url)))
        problem = answer.json()
        assert answer.status_code == 400, problem
        (fault,) = problem["errors"]
        assert fault["pointer"] == "/feeds/0/url" and fault["code"] == code
        assert says in fault["message"]


async def test_an_evaluation_reads_no_address(running: System):
    async with await client(running, "admin") as http:
        asked = {"calendar": calendar("https://example.org/feed"), "at": "2026-12-07T09:00"}
        answer = await http.post("/calendars:evaluate", json=asked)
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["code"] == "feed_unread"


async def test_a_file_names_the_address_alone(running: System):
    """Applied again nothing changes, and what is written back is what was written."""
    _, token = await running.parts.keys.create("shop", "test", "admin")
    async with vendor() as there, Api(running.url, token, "shop") as api:
        there.on("/feed", Says(ical("20261207")))
        office = {"id": "office", **calendar(f"{there.url}/feed")}
        file = {"version": "omniroute/v1", "workspace": "shop", "calendars": [office]}
        document = parse_document(file)
        done = [one async for one in carry_out(api, await plan(api, document))]
        assert "office" in done[-1].change.title
        assert all(one.verb == "keep" for one in await plan(api, document))
        assert "BEGIN:VCALENDAR" not in await export(api)
