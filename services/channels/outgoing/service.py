"""The outgoing side as a part of the channels service: put together, started, stopped."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable

import structlog
from prometheus_client import CollectorRegistry

from services.channels.context import Channels
from services.channels.outgoing.mailbox import Mailboxes
from services.channels.outgoing.metrics import OutgoingMetrics
from services.channels.outgoing.performing import Performer
from services.channels.outgoing.poller import Poller
from services.channels.outgoing.tokens import Tokens
from services.channels.outgoing.worker import FetchWorker
from shared.fetching.client import Client
from shared.fetching.guard import Guard, Network

RESTART_S = 5.0

log = structlog.get_logger(__name__)


@contextlib.asynccontextmanager
async def outgoing(
    channels: Channels, *, allowed: tuple[Network, ...], replica: str, registry: CollectorRegistry
) -> AsyncGenerator[None]:
    """Fetching and polling, for the length of the block. What is in hand at its end stays owed."""
    guard = Guard(allowed)
    client = Client(guard)
    tokens = Tokens(client)
    performer, metrics = Performer(client, tokens), OutgoingMetrics(registry)
    mailboxes = Mailboxes(guard, tokens)
    worker = FetchWorker(channels, channels.errands, performer, metrics)
    poller = Poller(channels, channels.errands, performer, mailboxes, metrics, replica=replica)
    tasks = [
        asyncio.create_task(_kept_running(work, name), name=name)
        for work, name in ((worker.run, "fetches"), (poller.run, "pollers"))
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await client.aclose()


async def _kept_running(work: Callable[[], Awaitable[None]], name: str) -> None:
    while True:
        try:
            await work()
        except Exception:
            log.exception("task.failed", task=name)
        await asyncio.sleep(RESTART_S)
