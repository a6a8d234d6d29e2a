"""The services as modules: how each is put together from the foundation."""

import asyncio
import contextlib
import os
import ssl
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec
from fastapi import APIRouter
from prometheus_client import Gauge

from services.channels.api.routers import ROUTERS as CHANNELS_ROUTERS
from services.channels.archive import ArchiveFactory
from services.channels.archive_store import archive_statements, write_archive
from services.channels.blobs import Blobs, open_store
from services.channels.chat_waits import ChatWaits
from services.channels.connectors import registry
from services.channels.context import CHAT_RATE, Channels
from services.channels.directory import Directory
from services.channels.intake import Intake, draining
from services.channels.mail.delivery import Deliveries
from services.channels.mail.listener import MailSettings, listening
from services.channels.mail.mailboxes import Mailboxes
from services.channels.outgoing.errands import Errands
from services.channels.outgoing.service import outgoing
from services.channels.outgoing.store import OutgoingStore
from services.channels.revision_store import RevisionStore
from services.channels.spool_store import NOTIFY_CHANNEL, SpoolStore
from services.channels.store import ChannelsStore
from services.channels.sweep import BlobSweeper, Keep
from services.cli.foundation import Foundation
from services.cli.foundation import running as running_task
from services.cli.languages import load_languages
from services.router.api.context import Router, present_of
from services.router.api.routers import ROUTERS as ROUTER_ROUTERS
from services.router.domain.core import RouterFactory
from services.router.idle_monitor import IdleMonitor
from services.router.metrics import RouterMetrics
from services.router.presence import PresenceLeases
from services.router.shift_zones import ShiftZones
from services.sla.api.context import Sla
from services.sla.api.routers import ROUTERS as SLA_ROUTERS
from services.sla.domain.core import SlaFactory
from services.sla.domain.promises import Promise
from services.sla.dry_run import DryRuns
from services.sla.feeds import FeedReader, FeedWatch
from services.sla.figures_store import FiguresStore
from services.sla.metrics import SlaMetrics
from services.sla.projection import row_statements, write_rows
from services.sla.promise_watch import PromiseWatch
from services.sla.readings import Readings
from services.sla.renewal import Renewal
from services.sla.rollup import Rollup
from services.sla.store import ClockStore
from shared.calendars import expand
from shared.contracts import topics
from shared.contracts.core import CoreFactory
from shared.fetching.client import Client
from shared.fetching.guard import Guard
from shared.http.health import Alarm
from shared.http.ratelimit import RateLimiter
from shared.runtime.barrier import ReadBarrier
from shared.runtime.clock import RealClock
from shared.runtime.limits import limits_of
from shared.runtime.port import EnrichConfig, RuntimePort
from shared.runtime.runtime import Runtime
from shared.runtime.store.committing import Projector, RowStatements
from shared.runtime.store.postgres import PostgresStore
from shared.settings import Settings


@dataclass(frozen=True, slots=True)
class Module:
    """A service as this process runs it: its calls, what they need, and what tells its health."""

    routers: Sequence[APIRouter]
    state: dict[str, Any]
    ready: Callable[[], dict[str, bool | str]]


Opener = Callable[[Foundation], contextlib.AbstractAsyncContextManager[Module]]


@contextlib.asynccontextmanager
async def runtime(
    parts: Foundation,
    factory: CoreFactory,
    *,
    projector: Projector | None = None,
    row_statements: RowStatements | None = None,
    enrich_config: EnrichConfig | None = None,
) -> AsyncGenerator[tuple[Runtime, PostgresStore]]:
    """A service's shard runtime, running for the length of the block."""
    store = _store_class()(
        parts.engine,
        factory.service,
        projector=projector,
        row_statements=row_statements,
        listener=parts.listener,
    )
    running = Runtime(
        factory,
        parts.bus,
        store,
        RealClock(),
        replica=parts.replica,
        url=parts.url,
        partitions=parts.settings.partitions,
        limits=limits_of(factory.service, parts.settings.lease_s),
        enrich_config=enrich_config,
        metrics=parts.runtime_metrics,
        supervisor=parts.supervisor,
        peers={name: PostgresStore(parts.engine, name) for name in topics.WRITTEN_BY.values()},
    )
    await running.start()
    try:
        yield running, store
    finally:
        await running.stop()


def _store_class() -> Callable[..., PostgresStore]:
    """The store; where a test of kills asks for it, one that ends its process at a chosen point."""
    spec = os.environ.get("OMNIROUTE_TEST_KILL")
    if spec is None:
        return PostgresStore
    from shared.testing.kill_points import DyingStore

    return partial(DyingStore, spec)


def readiness(service: str, running: RuntimePort) -> Callable[[], dict[str, bool | str]]:
    def ready() -> dict[str, bool | str]:
        state = running.ready()
        why = "; ".join(state.why)
        if state.ready:
            return {service: Alarm(why) if why else True}
        return {service: why or "starting"}

    return ready


@contextlib.asynccontextmanager
async def channels(parts: Foundation) -> AsyncGenerator[Module]:
    """Accepts events and vendors' webhooks; keeps the conversations readable."""
    settings = parts.settings
    registry.load()  # here rather than at a vendor's first request
    await load_languages(parts.platform)
    intake = Intake(parts.bus, SpoolStore(parts.engine, settings.spool_records))
    parts.listener.on(NOTIFY_CHANNEL, lambda _: intake.look(), intake.look)
    spooling = Gauge(
        "omniroute_spooling_partitions",
        "Partitions whose events wait in the spool because the bus is away",
        registry=parts.registry,
    )
    spooling.set_function(lambda: len(intake.spooling))
    store = ChannelsStore(parts.engine, parts.listener)
    waits = ChatWaits(store.newest)
    service = Channels(
        store=store,
        directory=Directory(parts.calls),
        intake=intake,
        blobs=Blobs(
            open_store(settings.blob_url or f"file://{settings.data_dir.absolute()}/blobs")
        ),
        secrets=parts.secrets,
        replies=parts.replies,
        bus=parts.bus,
        revisions=RevisionStore(parts.engine),
        chat_waits=waits,
        chat_rates=RateLimiter(CHAT_RATE),
        public_url=settings.public_url or parts.url,
        errands=Errands(OutgoingStore(parts.engine)),
        archive_reached=archive_barrier(parts),
    )
    fetching = outgoing(
        service, allowed=settings.fetch_allow, replica=parts.replica, registry=parts.registry
    )
    archive = runtime(
        parts, ArchiveFactory(), projector=write_archive, row_statements=archive_statements
    )
    keep = Keep(settings.raw_days, settings.attachment_days)
    mail = listening(Deliveries(service, Mailboxes(service.store)), _mail(settings))
    async with (
        draining(intake),
        contextlib.AsyncExitStack() as stack,
        fetching,
        running_task(BlobSweeper(service.blobs, keep).run, "blob sweeper"),
        archive as (running, _),
        mail as heard,
    ):
        stack.push_async_callback(waits.stop)
        stack.callback(service.readers.close)
        state = {"channels": service, "mail": heard}
        yield Module(CHANNELS_ROUTERS, state, readiness("archive", running))


def archive_barrier(parts: Foundation) -> ReadBarrier:
    archive = ArchiveFactory.service
    store = PostgresStore(parts.engine, archive)
    return ReadBarrier(store, parts.bus, RealClock(), topics.CONSUMES[archive])


def _mail(settings: Settings) -> MailSettings:
    tls = None
    if settings.mail_tls_cert is not None:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(settings.mail_tls_cert, settings.mail_tls_key)
    return MailSettings(
        host=settings.mail_host,
        lmtp_port=settings.lmtp_port,
        smtp_port=settings.smtp_port,
        max_bytes=settings.mail_bytes,
        max_recipients=settings.mail_recipients,
        timeout_s=settings.mail_timeout_s,
        tls=tls,
    )


@contextlib.asynccontextmanager
async def router(parts: Foundation) -> AsyncGenerator[Module]:
    """Gives each conversation to the right agent, escalates, and explains itself."""
    parts.runtime_metrics.observe("router", RouterMetrics(parts.registry))
    async with runtime(parts, RouterFactory(), enrich_config=with_windows) as (running, store):
        leases = PresenceLeases(running, running.owned, present_of)
        service = Router(running, store, leases)
        zones = ShiftZones(running, running.owned)
        monitor = IdleMonitor(running, running.owned, parts.registry)
        async with (
            running_task(leases.run, "presence leases"),
            running_task(zones.run, "zones of shifts"),
            running_task(monitor.run, "idle monitor"),
        ):
            yield Module(ROUTER_ROUTERS, {"router": service}, readiness("router", running))


async def with_windows(workspace: str, kind: str, name: str, body: bytes | None) -> bytes | None:
    """A calendar's open windows beside its body, so that cores need no time-zone data."""
    if kind != "calendar" or body is None:
        return body
    given = msgspec.json.decode(body, type=dict[str, Any])
    windows = (await asyncio.to_thread(expand, given, time.time_ns() // 1000)).windows
    return msgspec.json.encode({**given, "windows": windows})


@contextlib.asynccontextmanager
async def sla(parts: Foundation) -> AsyncGenerator[Module]:
    """Tracks every response deadline."""

    async def promises(workspace: str) -> dict[str, dict[str, Promise]]:
        queues = await parts.platform.latest_config(workspace, "queue")
        bodies = {one.id: msgspec.json.decode(one.body or b"{}") for one in queues}
        return {
            name: msgspec.convert(body.get("service_level") or {}, dict[str, Promise])
            for name, body in bodies.items()
        }

    parts.runtime_metrics.observe("sla", SlaMetrics(parts.registry))
    async with (
        contextlib.aclosing(Client(Guard(parts.settings.fetch_allow))) as client,
        runtime(parts, SlaFactory(), projector=write_rows, row_statements=row_statements) as (
            running,
            _,
        ),
    ):
        figures = FiguresStore(parts.engine)
        readings = Readings(running, figures, promises)
        watch = PromiseWatch(running, running.owned, figures, promises, parts.registry)
        feeds = FeedReader(client)
        service = Sla(running, ClockStore(parts.engine), readings, DryRuns(running), feeds)
        feed_watch = FeedWatch(running, running.owned, feeds, parts.registry)
        async with (
            running_task(feed_watch.run, "calendar feeds"),
            running_task(Renewal(running, running.owned).run, "calendar renewal"),
            running_task(Rollup(parts.engine, parts.registry).run, "roll-up"),
            running_task(watch.run, "watch over promises"),
        ):
            yield Module(SLA_ROUTERS, {"sla": service}, readiness("sla", running))


OPENERS: dict[str, Opener] = {"channels": channels, "router": router, "sla": sla}
