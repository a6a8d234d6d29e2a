"""Running applications with uvicorn, stopping them gracefully."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress

import uvicorn
from fastapi import FastAPI

from shared.http.protocol import Protocol
from shared.http.stopping import Stopping

GRACE_S = 10
KEEP_ALIVE_S = 75
BACKLOG = 2048


class _Uvicorn(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, stopping: Stopping) -> None:
        super().__init__(config)
        self._stopping = stopping

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """The process handles its signals itself."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit as error:
            raise RuntimeError("the application did not start; the log says why") from error

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._stopping.set()
        await super().shutdown(sockets)


class HttpServer:
    """One listening application. `port` 0 takes a free one; `sock` is used instead when given.

    Stopping: no new connections, long waits end early, running calls finish within `grace_s`,
    then the application's lifespan ends.
    """

    def __init__(
        self,
        app: FastAPI,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        sock: socket.socket | None = None,
        grace_s: int = GRACE_S,
    ) -> None:
        self._socket = sock or listening_socket(host, port)
        config = uvicorn.Config(
            app,
            http=Protocol,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            lifespan="on",
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=grace_s,
            backlog=BACKLOG,
        )
        self._server = _Uvicorn(config, app.state.stopping)
        self._task: asyncio.Task[None] | None = None

    @property
    def base_url(self) -> str:
        host, port = self._socket.getsockname()[:2]
        shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host
        return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"

    @property
    def port(self) -> int:
        return self._socket.getsockname()[1]

    async def start(self) -> None:
        """Return when the application has started and listens. Raises what kept it from it."""
        assert self._task is None
        self._task = asyncio.create_task(self._server.serve([self._socket]))
        while not self._server.started:
            if self._task.done():
                self._socket.close()
                self._task.result()
                raise RuntimeError("the server ended before it had started")
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        """Stop gracefully; may be called twice, and after a failure (which `wait` raises)."""
        self._server.should_exit = True
        if self._task is not None:
            await asyncio.wait({self._task})
        with suppress(OSError):
            self._socket.close()

    async def wait(self) -> None:
        """Return when the server has ended."""
        assert self._task is not None
        await asyncio.shield(self._task)


def listening_socket(host: str, port: int) -> socket.socket:
    """A bound socket. Raises OSError when the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted sockets inherit it. asyncio sets it only where the socket names its protocol, and
        # without it each answer of two writes waits 40 ms for the reader's delayed acknowledgement.
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        bound.bind((host, port))
        bound.setblocking(False)
    except OSError:
        bound.close()
        raise
    return bound


@asynccontextmanager
async def served(app: FastAPI, *, grace_s: int = 2) -> AsyncGenerator[str]:
    """The application on a free port of 127.0.0.1, as its base URL."""
    server = HttpServer(app, grace_s=grace_s)
    await server.start()
    try:
        yield server.base_url
    finally:
        await server.stop()
