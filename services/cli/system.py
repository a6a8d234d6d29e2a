"""One process: which services it runs (`--target`), started in order and stopped in reverse."""

import contextlib
import os
import secrets
import socket
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

from fastapi import FastAPI

from services.cli.foundation import Foundation, foundation, running
from services.cli.modules import OPENERS, Module
from shared.http.app import create_app
from shared.http.platform_api import platform_router
from shared.http.serve import HttpServer, listening_socket
from shared.settings import Settings

VERSION = "0.1.0"
DESCRIPTION = "The open routing core of a contact centre."


# The order is that of the data's flow; stopping goes the other way.
TARGETS: dict[str, tuple[str, ...]] = {
    "all": ("sla", "router", "channels"),
    "channels": ("channels",),
    "router": ("router",),
    "sla": ("sla",),
}


@dataclass(slots=True)
class System:
    """A running process. `parts` is open to what belongs to the same process (the demo)."""

    url: str
    parts: Foundation
    app: FastAPI
    server: HttpServer = field(repr=False)


@contextlib.asynccontextmanager
async def system(settings: Settings, target: str = "all") -> AsyncGenerator[System]:
    """All of a target's services, answering HTTP, for the length of the block.

    Raises OSError when the port is taken, EmbeddedPostgresError, DatabaseUnavailable,
    BusUnavailable.
    """
    bound = _bound(settings)
    url = _url(settings, bound)
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(bound.close)
        parts = await stack.enter_async_context(foundation(settings, replica=_replica(), url=url))
        opened = [await stack.enter_async_context(OPENERS[name](parts)) for name in TARGETS[target]]
        await stack.enter_async_context(running(parts.listener.run, "listener"))
        app = _app(parts, opened)
        server = HttpServer(app, sock=bound)
        await server.start()
        stack.push_async_callback(server.stop)
        yield System(url, parts, app, server)


def _app(parts: Foundation, opened: Sequence[Module]) -> FastAPI:
    async def ready() -> dict[str, bool | str]:
        return {name: state for module in opened for name, state in module.ready().items()}

    return create_app(
        "Omniroute",
        DESCRIPTION,
        [
            platform_router(parts.calls, parts.tickets, parts.replies),
            *(router for module in opened for router in module.routers),
        ],
        version=VERSION,
        access=parts.access,
        ready=ready,
        registry=parts.registry,
        metrics_token=parts.settings.metrics_token,
        forwarder=parts.forwarder,
        access_log="faults",
        cors_origins=parts.settings.cors_origins,
        state={name: value for module in opened for name, value in module.state.items()},
    )


def _bound(settings: Settings) -> socket.socket:
    try:
        return listening_socket(settings.host, settings.port)
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        raise OSError(
            f"cannot listen on {where}: {error.strerror}; choose another port with --port"
        ) from error


def _url(settings: Settings, bound: socket.socket) -> str:
    """Where other replicas reach this process; a port of 0 is known only once it is bound."""
    if settings.port != 0:
        return settings.advertised_url
    return f"http://127.0.0.1:{bound.getsockname()[1]}"


def _replica() -> str:
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
