"""Holiday feeds by their address: read when a calendar is written, and again while it is kept.

The text that was read stands beside the address (`ical`), so that everybody else reads calendars as
ever. A feed that cannot be read keeps the days it had; other days make a new version of the calendar.
"""

import asyncio
import copy
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import structlog
from prometheus_client import CollectorRegistry, Counter

from services.sla import live
from services.sla.resources import read_calendar
from services.sla.writing import put_of
from shared.calendars.feed import FeedError, read_feed
from shared.contracts.core import Core, Input
from shared.contracts.problems import Refused, invalid
from shared.fetching.ask import Ask
from shared.fetching.client import Client, FetchFailed
from shared.runtime.owned import for_each
from shared.runtime.port import RuntimePort

FIRST_S = 60.0
EVERY_S = 6 * 3_600.0
ADDRESSES_MAX = 20  # feeds with an address in one calendar, its versions and parts included
FEED_BYTES_MAX = 2 * 1024 * 1024
RETRY_AFTER_S = 30

Body = dict[str, Any]

log = structlog.get_logger(__name__)


def addressed(body: Body, pointer: str = "") -> Iterator[tuple[str, Body]]:
    """(pointer, feed) of each feed with an address in a valid calendar, its versions and parts
    included."""
    for index, feed in enumerate(body.get("feeds") or ()):
        if "url" in feed:
            yield f"{pointer}/feeds/{index}", feed
    for field in ("versions", "calendars"):
        for index, part in enumerate(body.get(field) or ()):
            yield from addressed(part, f"{pointer}/{field}/{index}")


def has_addresses(body: Body) -> bool:
    return any(True for _ in addressed(body))


def as_written(body: Body) -> Body:
    """The calendar without what was read from its feeds' addresses."""
    written = copy.deepcopy(body)
    for _, feed in addressed(written):
        feed.pop("ical", None)
    return written


class FeedReader:
    """Reads feeds where their addresses lead."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def filled(self, body: Body, known: Body | None) -> Body:
        """A calendar about to be written, with the text of each feed that has an address. Where that
        cannot be read, the text given or `known` of the same address stays. Raises Refused."""
        filled = copy.deepcopy(body)
        found = list(addressed(filled))
        if len(found) > ADDRESSES_MAX:
            expected = f"at most {ADDRESSES_MAX}"
            raise invalid("/feeds", "too_many", "too many feeds have an address", expected)
        kept = {feed["url"]: feed.get("ical") for _, feed in addressed(known or {})}
        await asyncio.gather(*(self._fill(at, feed, kept.get(feed["url"])) for at, feed in found))
        return filled

    async def _fill(self, pointer: str, feed: Body, kept: str | None) -> None:
        known = feed.get("ical") or kept
        try:
            feed["ical"] = await self._read(feed)
        except (FetchFailed, FeedError) as error:
            if known is None:
                raise _refused(pointer, error) from error
            feed["ical"] = known

    async def renewed(self, body: Body) -> tuple[Body, list[str]]:
        """(the calendar with what its feeds say now, what could not be read). The same text stays
        where its days are the same: many feeds stamp each copy with the time."""
        renewed, failed = copy.deepcopy(body), list[str]()
        for pointer, feed in addressed(renewed):
            try:
                text = await self._read(feed)
            except (FetchFailed, FeedError) as error:
                failed.append(f"{pointer}: {error}")
            else:
                if read_feed(text) != read_feed(feed["ical"]):
                    feed["ical"] = text
        return renewed, failed

    async def _read(self, feed: Body) -> str:
        """Raises FetchFailed, FeedError."""
        url = "https" + feed["url"][6:] if feed["url"].startswith("webcal:") else feed["url"]
        ask = Ask(url, headers=(("Accept", "text/calendar, text/plain;q=0.5, */*;q=0.1"),))
        text = (await self._client.ask(ask, FEED_BYTES_MAX)).body.decode("utf-8", "replace")
        read_feed(text)
        return text


def _refused(pointer: str, error: FetchFailed | FeedError) -> Refused:
    if isinstance(error, FetchFailed) and not error.permanent:
        detail = f"The feed at {pointer} cannot be read now: {error}"
        return Refused("unavailable", detail, retry_after_s=RETRY_AFTER_S)
    expected = "the address of an iCalendar file (text/calendar) that can be reached from here"
    message = f"The feed cannot be read: {error}"
    return invalid(f"{pointer}/url", "feed", message, expected)


class FeedWatch:
    """`run` must be kept running; `owned` names the workspaces of this replica."""

    def __init__(
        self,
        runtime: RuntimePort,
        owned: Callable[[], list[str]],
        reader: FeedReader,
        registry: CollectorRegistry,
    ) -> None:
        self._runtime = runtime
        self._owned = owned
        self._reader = reader
        self._looks = Counter(
            "omniroute_calendar_feed_looks",
            "Calendars with feeds looked at again: unchanged, changed, failed",
            ("outcome",),
            registry=registry,
        )

    async def run(self) -> None:
        """Look at every owned workspace, now and then. Until cancelled."""
        await asyncio.sleep(FIRST_S)
        while True:
            await for_each(self._owned(), self.refresh, "feeds.skipped")
            await asyncio.sleep(EVERY_S)

    async def refresh(self, workspace: str) -> int:
        """Writes the calendars whose feeds say something else; how many. Raises what the runtime
        raises."""
        changed = 0
        for name, version, body in await self._runtime.query(workspace, _with_addresses):
            renewed, failed = await self._reader.renewed(body)
            for what in failed:
                log.warning("feed.failed", workspace=workspace, calendar=name, because=what)
            if renewed != body:
                await self._write(workspace, name, version, renewed)
                changed += 1
            outcome = "failed" if failed else "changed" if renewed != body else "unchanged"
            self._looks.labels(outcome).inc()
        return changed

    async def _write(self, workspace: str, name: str, version: int, body: Body) -> None:
        command = await put_of("calendar", name, read_calendar(body, name), version)
        what = Input("command", "PutResource", msgspec.json.encode(command), actor="system")
        await self._runtime.submit(workspace, what)
        log.info("feed.changed", workspace=workspace, calendar=name)


def _with_addresses(core: Core) -> list[tuple[str, int, Body]]:
    """(id, version, body) of the calendars that have feeds with an address."""
    found: list[tuple[str, int, Body]] = []
    for body in live.resources(core, "calendar"):
        if has_addresses(body):
            held = live.resource(core, "calendar", body["id"])
            if held is not None:
                found.append((body["id"], *held))
    return found
