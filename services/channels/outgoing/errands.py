"""What is owed after a request was handled: announced messages, files that are only referred to, and
mailboxes to look into. Remembered before the vendor is answered."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

from services.channels.connectors import registry
from services.channels.connectors.fetching import grant_ask, names_of, needs
from services.channels.connectors.handling import Event
from services.channels.connectors.port import Connector, Fetch, Secrets, Settings, Wanted
from services.channels.outgoing.store import MAX_OWED, OutgoingStore
from services.channels.shapes import Fetching, LackingFetch
from services.channels.store import StoredConnector
from shared.contracts.ids import derive
from shared.contracts.instants import format_instant
from shared.contracts.problems import Refused

COUNT_EVERY_S = 5.0
MAX_MEDIA_A_MESSAGE = 50


class Errands:
    """Remembers what has to be fetched. Of this process, `wake` tells the worker that something is
    owed, `due` the pollers that a pass may be due, `changed` that connectors are others."""

    def __init__(self, store: OutgoingStore) -> None:
        self.store = store
        self.wake = asyncio.Event()
        self.due = asyncio.Event()
        self.changed = asyncio.Event()
        self._counted = (0.0, 0)

    async def owe(
        self,
        stored: StoredConnector,
        wanted: Sequence[Wanted],
        events: Sequence[Event],
        secrets_of: Callable[[], Secrets],
    ) -> None:
        """Durable when it returns. Raises Refused (unavailable) when too much is owed already."""
        if not wanted and not any(event.interaction.attachments for event in events):
            return
        connector = registry.get(stored.kind)
        settings = connector.settings.model_validate(stored.settings)
        owed, passes = sorted_out(connector, settings, secrets_of(), wanted, events)
        for fetch in passes:
            every_s = interval_s(fetch, settings)
            await self.store.hurry(stored.workspace, stored.id, fetch.label, every_s)
        if owed:
            await self._check_room()
            await self.store.owe(stored.workspace, stored.id, owed)
            self.wake.set()
        if passes:
            self.due.set()

    async def again(self, stored: StoredConnector, wanted: Wanted) -> None:
        """A fetch that was given up is owed once more."""
        await self._check_room()
        await self.store.owe(stored.workspace, stored.id, [wanted])
        self.wake.set()

    async def _check_room(self) -> None:
        at, held = self._counted
        if time.monotonic() - at > COUNT_EVERY_S:
            held = (await self.store.backlog())[0]
            self._counted = (time.monotonic(), held)
        if held >= MAX_OWED:
            detail = f"More than {MAX_OWED} fetches are owed by vendors' interfaces already."
            raise Refused("unavailable", detail, retry_after_s=60)

    async def shown(self, stored: StoredConnector, secrets: Secrets | None) -> Fetching:
        """How a connector's fetches fare, for `GET connectors/{id}`."""
        count = await self.store.owed(stored.workspace, stored.id)
        passes = await self.store.polls(stored.workspace, stored.id)
        found: Fetching = {
            "owed": count.fetches,
            "owed_since": _instant(count.since),
            "failing": count.failing,
            "last_error": count.last_error,
            "passes": [
                {
                    "name": one.name,
                    "every_s": one.every_s,
                    "cursor": one.cursor,
                    "cursor_at": _instant(one.cursor_at),
                    "next_at": _instant(one.next_at),
                    "failures": one.failures,
                    "last_success_at": _instant(one.last_success_at),
                    "last_error_at": _instant(one.last_error_at),
                    "last_error": one.last_error,
                }
                for one in passes
            ],
        }
        if secrets is not None:
            found["off"] = off(stored, secrets)
        return found


def sorted_out(
    connector: Connector,
    settings: Settings,
    secrets: Secrets,
    wanted: Sequence[Wanted],
    events: Sequence[Event],
) -> tuple[list[Wanted], list[Fetch]]:
    """(what is fetched one by one, whose next pass brings it). Files only where the connector can
    fetch them; what a payload announces in any case, for it holds a customer's words: where the
    kind has no fetch for it, it becomes a dead letter that says so."""
    owed: list[Wanted] = []
    passes: dict[str, Fetch] = {}
    for one in wanted:
        fetch = fetch_for(connector, one.purpose)
        if fetch is not None and fetch.every_s is not None:
            if fetch.purpose == "renewal" and missing(fetch, settings, secrets):
                continue  # the subscription is not ours to renew
            passes[fetch.label] = fetch
        else:
            owed.append(one)
    media = fetch_for(connector, "media")
    if settings.fetch_media and media is not None and not missing(media, settings, secrets):
        owed += [each for event in events for each in media_of(event)]
    return owed, list(passes.values())


def fetch_for(connector: Connector, purpose: str) -> Fetch | None:
    """How a kind fetches what is wanted."""
    return next((one for one in connector.fetches if one.purpose == purpose), None)


def passes_of(connector: Connector, settings: Settings, secrets: Secrets) -> dict[str, int]:
    """The passes that a connector makes by itself, with the seconds between two."""
    return {
        one.label: interval_s(one, settings)
        for one in connector.fetches
        if one.every_s is not None and not missing(one, settings, secrets)
    }


def off(stored: StoredConnector, secrets: Secrets) -> list[LackingFetch]:
    """Fetches that cannot run yet, with the settings and secrets that they need."""
    connector = registry.get(stored.kind)
    settings = connector.settings.model_validate(stored.settings)
    found = [(one, missing(one, settings, secrets)) for one in connector.fetches]
    return [
        {"name": one.label, "purpose": one.purpose, "needs": lacking}
        for one, lacking in found
        if lacking
    ]


def missing(fetch: Fetch, settings: Settings, secrets: Secrets) -> list[str]:
    """Names of settings and secrets that a fetch needs and has not got."""
    lacking = needs(fetch, names_of(settings, {})) if fetch.every_s is not None else []
    lacking += [name for name in fetch.needs if not getattr(settings, name, None)]
    lacking += [name for name in fetch.words if not secrets.get(name)]
    granted = fetch.grant is not None and grant_ask(fetch.grant, secrets, settings) is not None
    if fetch.secret is not None and not granted and not secrets.get(fetch.secret):
        lacking.append(fetch.secret)
    return list(dict.fromkeys(lacking))


def interval_s(fetch: Fetch, settings: Settings) -> int:
    own = None if fetch.purpose == "renewal" else settings.poll_every_s
    return own or fetch.every_s or 60


def media_of(event: Event) -> list[Wanted]:
    """The files of an event that its payload only refers to."""
    data = event.interaction
    known = {name: str(one) for name, one in data.vendor.items() if isinstance(one, str | int)}
    found: list[Wanted] = []
    for index, file in enumerate(data.attachments[:MAX_MEDIA_A_MESSAGE]):
        if file.sha256 is not None or not (file.url or file.vendor_id):
            continue
        given = {"url": file.url, "vendor_id": file.vendor_id, "name": file.name}
        own = {name: one for name, one in given.items() if one}
        place = {"message": data.message_id, "attachment_index": str(index)}
        if file.content_type:
            place["file_type"] = file.content_type
        key = derive("med", data.message_id, index, file.vendor_id or file.url)
        found.append(Wanted("media", key, {**known, **own, **place}))
    return found


def _instant(moment: Any) -> str | None:
    return None if moment is None else format_instant(round(moment.timestamp() * 1_000_000))
