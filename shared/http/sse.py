"""Server-Sent Events: resumable by Last-Event-ID, kept alive by comments, bounded."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec
from fastapi import Request, Response
from starlette.types import Message, Receive, Scope, Send

from shared.contracts.problems import Fault, Refused
from shared.http.auth import until_revoked
from shared.http.stopping import stopping_of

HEARTBEAT_S = 15.0
BUFFER_EVENTS = 256
NOW = "now"  # `?after=now`: only what comes from here on


class SseEvent(msgspec.Struct, frozen=True):
    """`data` is one JSON text; `id` is what the client resumes by. Without data it is no event: it only
    tells a client that resumes where it is."""

    data: bytes
    id: str | None = None
    event: str | None = None

    def encoded(self) -> bytes:
        parts = self.data.split(b"\n") if self.data else ()
        lines = b"".join(b"data: " + line + b"\n" for line in parts)
        head = b"" if self.id is None else f"id: {self.id}\n".encode()
        kind = b"" if self.event is None else f"event: {self.event}\n".encode()
        return head + kind + lines + b"\n"


def last_event_id(request: Request) -> int | None:
    """The sequence number to resume after: Last-Event-ID, `?lastEventId=` or `?after=` (a library
    that connects again keeps the address that it was given); None: none was sent.

    Raises Refused("validation") when it is no number of ours.
    """
    text = request.headers.get("last-event-id")
    place = "/header/last-event-id"
    for name in ("lastEventId", "after"):
        if text is None:
            text, place = request.query_params.get(name), f"/query/{name}"
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        message = "The event to resume after is not a sequence number."
        expected = "0 or more"
        raise Refused("validation", message, errors=[Fault(place, "number", message, expected)])
    return int(text)


async def begin_after(request: Request, last: Callable[[], Awaitable[int]]) -> tuple[int, bool]:
    """After which event a stream of a journal begins, and whether that is now: after the one that the
    client resumes by, with `?after=now` after the `last` there is, else from the oldest kept.

    Raises Refused("validation"), and what `last` raises.
    """
    resumes = request.headers.get("last-event-id") is not None
    if not resumes and request.query_params.get("after") == NOW:
        return await last(), True
    return last_event_id(request) or 0, False


def wants_sse(request: Request) -> bool:
    return "text/event-stream" in request.headers.get("accept", "")


def event_stream(
    request: Request,
    events: AsyncIterator[SseEvent],
    *,
    heartbeat_s: float = HEARTBEAT_S,
    buffer: int = BUFFER_EVENTS,
    on_close: Callable[[], None] | None = None,
) -> Response:
    """A response that sends `events` until they end, the client goes, its key is revoked, or the
    server stops.

    At most `buffer` events wait for a slow client; then `events` is not asked for more. It is
    closed in the end in any case, and `on_close` called.
    """
    over = (partial(until_revoked, request), stopping_of(request).wait)
    return _EventStream(events, over, heartbeat_s, buffer, on_close)


class _EventStream(Response):
    media_type = "text/event-stream"

    def __init__(
        self,
        events: AsyncIterator[SseEvent],
        over: Iterable[Callable[[], Coroutine[Any, Any, None]]],
        heartbeat_s: float,
        buffer: int,
        on_close: Callable[[], None] | None,
    ) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._events = events
        self._over = over
        self._heartbeat_s = heartbeat_s
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue(buffer)
        self._on_close = on_close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        tasks = [
            asyncio.create_task(self._fill()),
            asyncio.create_task(self._send_all(send)),
            asyncio.create_task(_disconnected(receive)),
            *(asyncio.create_task(wait()) for wait in self._over),
        ]
        fill, sending, gone, *_ = tasks
        try:
            await asyncio.wait(tasks[1:], return_when=asyncio.FIRST_COMPLETED)
            finished = sending.done()
            if finished:
                sending.result()
            for task in (sending, fill):
                await _cancel(task)
            if not finished and not gone.done():
                await send(_body(b"", more=False))
        finally:
            for task in tasks:
                await _cancel(task)
            if self._on_close is not None:
                self._on_close()
        if fill.done() and not fill.cancelled() and (error := fill.exception()):
            raise error

    async def _fill(self) -> None:
        try:
            async for event in self._events:
                await self._queue.put(event.encoded())
        finally:
            close = getattr(self._events, "aclose", None)
            if close is not None:
                await close()
            with suppress(asyncio.QueueFull):
                self._queue.put_nowait(None)

    async def _send_all(self, send: Send) -> None:
        await send(
            {"type": "http.response.start", "status": 200, "headers": self.raw_headers},
        )
        await send(_body(b": connected\n\n"))
        while True:
            try:
                # Not `wait_for`: where an event is there already it loses the call to end (Python 3.11).
                async with asyncio.timeout(self._heartbeat_s):
                    chunk = await self._queue.get()
            except TimeoutError:
                chunk = b": alive\n\n"
            if chunk is None:
                break
            await send(_body(chunk))
        await send(_body(b"", more=False))


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _cancel(task: asyncio.Task[None]) -> None:
    if not task.done():
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _body(content: bytes, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": content, "more_body": more}
