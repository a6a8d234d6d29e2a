"""Large payloads are read in processes of their own, so that no hostile mail holds up other calls.

Reading takes up to a second for each megabyte of HTML that means ill. A thread would not do: parsers and
sanitisers hold the interpreter's lock for a tenth of a second and more at a time.
"""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any, TypeVar

import structlog

from services.channels.connectors import registry
from services.channels.connectors.handling import Handled, handle
from services.channels.connectors.port import Connector, InboundRequest, Secrets, Settings
from services.channels.connectors.preview import preview
from services.channels.shapes import Preview
from shared.children import end_with_parent
from shared.contracts.problems import Refused

LARGE_BYTES = 32 * 1024
"""What is not larger is read at once: 30 ms at worst, and mostly one."""
PROCESSES_MAX = 2
HELD_MAX_BYTES = 128 * 1024 * 1024
"""Of payloads that are being read or wait for it; beyond it callers are to come again."""
RETRY_AFTER_S = 2

log = structlog.get_logger(__name__)
T = TypeVar("T")


class Readers:
    """Processes that start with the first large payload. `close` ends them."""

    def __init__(
        self, large_bytes: int = LARGE_BYTES, held_max_bytes: int = HELD_MAX_BYTES
    ) -> None:
        self._large_bytes = large_bytes
        self._held_max_bytes = held_max_bytes
        self._held_bytes = 0
        self._pool: ProcessPoolExecutor | None = None
        self._lock = threading.Lock()

    def takes(self, size: int) -> bool:
        """Whether a payload of so many bytes is read elsewhere."""
        return size > self._large_bytes

    async def handle(
        self,
        connector: Connector,
        settings: Settings,
        secrets: Secrets,
        request: InboundRequest,
        **place: Any,
    ) -> Handled:
        """`handling.handle`. Raises Refused (unavailable) where too much is being read already."""
        if not self.takes(len(request.body)):
            return handle(connector, settings, secrets, request, **place)
        arguments = (connector.kind, settings, secrets, request, place)
        return await self.read(len(request.body), _handle, *arguments)

    async def preview(
        self, size: int, body: object, *, workspace: str, now_us: int, languages: Iterable[str]
    ) -> Preview:
        """`preview.preview` of a body of so many bytes. Raises Refused."""
        if not self.takes(size):
            return preview(body, workspace=workspace, now_us=now_us, languages=languages)
        return await self.read(size, _preview, body, workspace, now_us, tuple(languages))

    async def read(self, size: int, call: Callable[..., T], *arguments: Any) -> T:
        """What a function of a module makes of its arguments, in another process. Raises what it raises,
        and Refused (unavailable)."""
        self._take(size)
        try:
            # Starting a process takes some milliseconds.
            pool, future = await asyncio.to_thread(self._submit, call, arguments)
        except BaseException:
            self._give_back(size)
            raise
        future.add_done_callback(lambda _: self._give_back(size))
        try:
            return await asyncio.wrap_future(future)
        except BrokenProcessPool as error:
            raise self._broken(pool) from error

    def close(self) -> None:
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)

    def _take(self, size: int) -> None:
        with self._lock:
            if self._held_bytes and self._held_bytes + size > self._held_max_bytes:
                detail = "Too many large payloads are being read; come again."
                raise Refused("unavailable", detail, retry_after_s=RETRY_AFTER_S)
            self._held_bytes += size

    def _give_back(self, size: int) -> None:
        with self._lock:
            self._held_bytes -= size

    def _submit(
        self, call: Callable[..., T], arguments: tuple[Any, ...]
    ) -> tuple[ProcessPoolExecutor, Future[T]]:
        with self._lock:
            if self._pool is None:
                self._pool = ProcessPoolExecutor(PROCESSES_MAX, get_context("spawn"), _prepare)
            pool = self._pool
        try:
            return pool, pool.submit(call, *arguments)
        except BrokenProcessPool as error:
            raise self._broken(pool) from error

    def _broken(self, pool: ProcessPoolExecutor) -> Refused:
        """A process has died, and its pool with it: the next payload gets another, which those who were
        read beside the one that killed it leave alone. All of them may come again."""
        log.error("readers.died")
        with self._lock:
            if self._pool is pool:
                self._pool = None
        pool.shutdown(wait=False)
        detail = "The process that read the payload has died; come again."
        return Refused("unavailable", detail, retry_after_s=RETRY_AFTER_S)


# -- in the other process


def _prepare() -> None:
    """It ends with its parent, and not before it on Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()


def _handle(
    kind: str, settings: Settings, secrets: Secrets, request: InboundRequest, place: dict[str, Any]
) -> Handled:
    return handle(registry.get(kind), settings, secrets, request, **place)


def _preview(body: object, workspace: str, now_us: int, languages: tuple[str, ...]) -> Preview:
    return preview(body, workspace=workspace, now_us=now_us, languages=languages)
