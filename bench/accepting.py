"""The channels service without the conversation archive: what accepts events, and nothing else.

`python -m bench.accepting PORT`, with the environment of `omniroute up`. In production the archive of
a busy workspace may be owned by another replica; here it is left out, so that a post is compared with
a bare endpoint that also only posts.
"""

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncGenerator
from dataclasses import replace

import uvloop

from services.channels.api.routers import ROUTERS
from services.channels.blobs import Blobs, open_store
from services.channels.chat_waits import ChatWaits
from services.channels.connectors import registry
from services.channels.context import CHAT_RATE, Channels
from services.channels.directory import Directory
from services.channels.intake import Intake, draining
from services.channels.outgoing.errands import Errands
from services.channels.outgoing.store import OutgoingStore
from services.channels.revision_store import RevisionStore
from services.channels.spool_store import NOTIFY_CHANNEL, SpoolStore
from services.channels.store import ChannelsStore
from services.cli import modules
from services.cli.foundation import Foundation
from services.cli.modules import Module, archive_barrier
from services.cli.system import system
from shared.http.logging import setup_logging
from shared.http.ratelimit import RateLimiter
from shared.runtime.supervisor import calm_collector
from shared.settings import read_settings


@contextlib.asynccontextmanager
async def accepting(parts: Foundation) -> AsyncGenerator[Module]:
    """The module `channels` of the composition, less its runtime."""
    settings = parts.settings
    registry.load()
    calm_collector()  # as the archive's runtime does in the whole service
    intake = Intake(parts.bus, SpoolStore(parts.engine, settings.spool_records))
    parts.listener.on(NOTIFY_CHANNEL, lambda _: intake.look(), intake.look)
    store = ChannelsStore(parts.engine, parts.listener)
    service = Channels(
        store=store,
        directory=Directory(parts.calls),
        intake=intake,
        blobs=Blobs(open_store(f"file://{settings.data_dir.absolute()}/blobs")),
        secrets=parts.secrets,
        replies=parts.replies,
        bus=parts.bus,
        revisions=RevisionStore(parts.engine),
        chat_waits=ChatWaits(store.newest),
        chat_rates=RateLimiter(CHAT_RATE),
        public_url=parts.url,
        errands=Errands(OutgoingStore(parts.engine)),
        archive_reached=archive_barrier(parts),
    )
    async with draining(intake):
        yield Module(ROUTERS, {"channels": service}, dict)


async def serve(port: int) -> None:
    modules.OPENERS["channels"] = accepting
    setup_logging("warning", "json")
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    url = f"http://127.0.0.1:{port}"
    async with system(replace(read_settings(), port=port, advertised_url=url), "channels"):
        await stopped.wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(int(sys.argv[1])))
