"""Makes the passes of pollers and reconcilers. The cursor moves only once all that a pass brought is
acknowledged; a pass that fails begins again where it began, and ids make the repetition vanish."""

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field

import structlog

from services.channels.connectors import registry
from services.channels.connectors.fetching import MAX_PAGES, Place, stamp_of
from services.channels.connectors.port import Fetch, Page, Secrets, Settings, Wanted
from services.channels.context import Channels, wall_us
from services.channels.outgoing.delivery import delivered, only, opened
from services.channels.outgoing.errands import Errands, interval_s, passes_of
from services.channels.outgoing.mailbox import Mailboxes
from services.channels.outgoing.metrics import OutgoingMetrics
from services.channels.outgoing.performing import Errand, Performer
from services.channels.outgoing.store import POLL_LEASE_S, LostPoll, TakenPoll
from services.channels.store import StoredConnector
from services.channels.vendors import inbound_url
from shared.contracts.problems import Refused
from shared.db.engine import DatabaseUnavailable, OutcomeUnknown
from shared.fetching.client import FetchFailed

AT_ONCE = 4
LOOK_EVERY_S = 1.0
SURVEY_EVERY_S = 10.0
BACK_OFF_S = 2.0
FIRST_WAIT_S = 300
MAX_WAIT_S = 3600.0
MAX_WANTED_A_PASS = 5000
MAX_SHOWN = 1000
"""Pollers with a figure of their own; of more, those that stand still the longest."""

log = structlog.get_logger(__name__)

_AWAY = (Refused, DatabaseUnavailable, OutcomeUnknown)
_ENDED = (400, 404, 410)  # of a page's token that is too old


def next_pass_s(every_s: int, failures: int, asked_s: float | None, chance: float) -> float:
    """Seconds to the next pass: the interval; after failures minutes, doubled with each up to an
    hour. Spread by a tenth either way, never sooner than the vendor asked."""
    wait: float = every_s
    if failures:
        wait = min(min(every_s, FIRST_WAIT_S) * 2 ** min(failures, 12), MAX_WAIT_S)
    return max(wait * (0.9 + 0.2 * chance), asked_s or 0.0)


class Poller:
    """One per process; `run` until cancelled. Replicas share the pollers by leases."""

    def __init__(
        self,
        channels: Channels,
        errands: Errands,
        performer: Performer,
        mailboxes: Mailboxes,
        metrics: OutgoingMetrics,
        *,
        replica: str,
        look_every_s: float = LOOK_EVERY_S,
        survey_every_s: float = SURVEY_EVERY_S,
    ) -> None:
        self._channels = channels
        self._errands = errands
        self._store = errands.store
        self._performer = performer
        self._mailboxes = mailboxes
        self._metrics = metrics
        self._replica = replica
        self._look_every_s = look_every_s
        self._survey_every_s = survey_every_s

    async def run(self) -> None:
        """Until cancelled. A pass in hand begins again elsewhere, when its lease ends."""
        async with asyncio.TaskGroup() as tasks:
            changed, due = self._errands.changed, self._errands.due
            tasks.create_task(self._repeat(self.survey, self._survey_every_s, changed))
            for _ in range(AT_ONCE):
                tasks.create_task(self._repeat(self.pass_once, self._look_every_s, due))

    async def _repeat(
        self, step: Callable[[], Awaitable[bool]], every_s: float, hurry: asyncio.Event
    ) -> None:
        while True:
            busy = False
            hurry.clear()
            try:
                busy = await step()
            except _AWAY as away:
                log.info("poll.waiting", because=type(away).__name__)
                await asyncio.sleep(BACK_OFF_S)
            except Exception:
                log.exception("poll.failed")
                await asyncio.sleep(BACK_OFF_S)
            if not busy:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(every_s):
                        await hurry.wait()

    async def survey(self) -> bool:
        """Which pollers there are to be, from the connectors as they are now."""
        wanted: dict[tuple[str, str], dict[str, int]] = {}
        for stored in await self._store.connectors(polled_kinds()):
            with contextlib.suppress(Refused):
                settings, secrets = opened(self._channels, stored)
                passes = passes_of(registry.get(stored.kind), settings, secrets)
                wanted[(stored.workspace, stored.id)] = passes
        await self._store.set_polls(wanted)
        self._errands.due.set()
        owed, oldest_s, failing = await self._store.backlog()
        self._metrics.owed.set(owed)
        self._metrics.oldest_s.set(oldest_s)
        self._metrics.failing.set(failing)
        self._metrics.standing(await self._store.standing(MAX_SHOWN))
        return False

    async def pass_once(self) -> bool:
        """Make one pass that is due, if there is one. Whether there was."""
        taken = await self._store.take_polls(self._replica, 1)
        for one in taken:
            with contextlib.suppress(LostPoll):
                await self._pass(one)
        return bool(taken)

    async def _pass(self, one: TakenPoll) -> None:
        stored = await self._channels.store.connector(one.workspace, one.connector)
        fetches = () if stored is None else registry.get(stored.kind).fetches
        fetch = next((each for each in fetches if each.label == one.name), None)
        if stored is None or fetch is None:
            await self._store.poll_failed(one, self._replica, MAX_WAIT_S, "There is no such fetch.")
            return
        try:
            settings, secrets = opened(self._channels, stored)
            every_s = interval_s(fetch, settings)
            named = self._named(stored, settings, fetch, secrets)
            errand = Errand(stored, settings, secrets, fetch, named, one.cursor, wall_us())
            brought = await self._brought(one, errand)
        except FetchFailed as failed:
            await (self._gap(one, stored, failed) or self._failed(one, stored, failed))
            return
        except _AWAY as away:
            said = f"What came could not be kept: {away}"
            await self._failed(one, stored, FetchFailed(said, after_s=BACK_OFF_S))
            raise
        except LostPoll:
            raise
        except Exception as error:
            log.exception("poll.failed", connector=one.connector, name=one.name)
            await self._failed(one, stored, FetchFailed(f"It failed: {type(error).__name__}."))
            return
        wait_s = 0.0 if brought.again else next_pass_s(every_s, 0, None, random.random())
        wanted, said = only(brought.wanted, MAX_WANTED_A_PASS), _cut(one) if brought.cut else None
        if said is not None:
            log.error("poll.cut", connector=one.connector, name=one.name, said=said)
        await self._store.polled(one, self._replica, brought.cursor, wait_s, wanted, said=said)
        self._metrics.polled(stored.kind, "done")
        if wanted:
            self._errands.wake.set()

    def _named(
        self, stored: StoredConnector, settings: Settings, fetch: Fetch, secrets: Secrets
    ) -> dict[str, str]:
        """What a renewal may name besides settings; it stays in memory."""
        if fetch.purpose != "renewal":
            return {}
        words = {name: secrets[name][0] for name in fetch.words if secrets.get(name)}
        address = settings.public_url or inbound_url(stored, self._channels)
        return {**words, "inbound_url": address}

    async def _brought(self, one: TakenPoll, errand: Errand) -> "_Brought":
        """What a pass came to; what is not in it is durable."""
        found, left = _Brought(), None
        async with contextlib.aclosing(self._pages(errand)) as pages:
            async for page in pages:
                if page.lost is not None:
                    raise FetchFailed(page.lost)
                async with asyncio.timeout(POLL_LEASE_S - 5):
                    found.wanted += await delivered(self._channels, errand, page)
                found.cursor = page.cursor if page.cursor is not None else found.cursor
                found.again, found.cut, left = page.again, page.cut, page.left
                await self._store.renew_poll(one, self._replica)
        if left is not None:
            found.cursor = Place(found.cursor, Place.read(errand.cursor).since, left).text()
            found.again = True
        return found

    def _gap(
        self, one: TakenPoll, stored: StoredConnector, failed: FetchFailed
    ) -> Awaitable[None] | None:
        """A vendor that no longer goes on where the last pass ended: the poller begins anew with
        what is new, in its time, and says until then from when to when older items are missing."""
        place = Place.read(one.cursor)
        if place.left is None or failed.status not in _ENDED:
            return None
        since, until = stamp_of(place.since), stamp_of(place.newest)
        said = f"Items between {since} and {until} may be missing: {failed.said}"
        log.error("poll.gap", connector=one.connector, name=one.name, since=since, until=until)
        wait_s = next_pass_s(_every_s(stored, one.name), 0, None, random.random())
        return self._store.polled(one, self._replica, place.newest, wait_s, said=said)

    def _pages(self, errand: Errand) -> AsyncGenerator[Page]:
        if errand.fetch.request.startswith("imap:"):
            return self._mailboxes.pages(errand)
        return self._performer.pages(errand)

    async def _failed(self, one: TakenPoll, stored: StoredConnector, failed: FetchFailed) -> None:
        self._metrics.polled(stored.kind, "failed")
        if _fetch(stored, one.name).purpose == "renewal":
            # Nobody misses what the vendor no longer sends: this has to be heard before it ends.
            log.warning(
                "subscription.not_renewed",
                workspace=one.workspace,
                connector=one.connector,
                ends=one.cursor,
                why=failed.said,
            )
        else:
            log.info("poll.refused", connector=one.connector, name=one.name, why=failed.said)
        every_s = _every_s(stored, one.name)
        wait_s = next_pass_s(every_s, one.failures + 1, failed.after_s, random.random())
        await self._store.poll_failed(one, self._replica, wait_s, failed.said)


@dataclass(slots=True)
class _Brought:
    """Where the next pass begins, what has to be fetched besides, whether that pass follows at
    once, and whether what a pass takes was less than what was there."""

    cursor: str | None = None
    wanted: list[Wanted] = field(default_factory=list[Wanted])
    again: bool = False
    cut: bool = False


def _fetch(stored: StoredConnector, name: str) -> Fetch:
    return next(each for each in registry.get(stored.kind).fetches if each.label == name)


def _every_s(stored: StoredConnector, name: str) -> int:
    """How often this poller of a connector makes a pass, by its settings."""
    settings = registry.get(stored.kind).settings.model_validate(stored.settings)
    return interval_s(_fetch(stored, name), settings)


def _cut(one: TakenPoll) -> str:
    since = "the first pass" if one.cursor is None else f"the pass at {one.cursor}"
    return (
        f"More was listed than a pass takes ({MAX_PAGES} pages): some since {since} may be missing."
    )


def polled_kinds() -> list[str]:
    """Kinds with a fetch that has an interval."""
    return [
        kind
        for kind, connector in registry.load().items()
        if any(fetch.every_s is not None for fetch in connector.fetches)
    ]
