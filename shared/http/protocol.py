"""uvicorn's protocol for HTTP/1.1, with a shorter way for what nearly every call is: a plain address,
and an answer that is sent whole. Everything else takes uvicorn's own way.

Three things are done once instead of several times: an answer's head and body go to the socket in one
write, its headers are checked together, and a connection has one timer for its idle time instead of a
new one at each call.

What uvicorn leaves open is bounded: how large a call's head may be, and how long it and its body may
take to come.
"""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

_LENGTH = b"content-length"
# Headers that mean nothing to the connection, in lower case as we send them.
_COPIED = frozenset(
    {
        _LENGTH,
        b"access-control-allow-origin",
        b"access-control-expose-headers",
        b"content-type",
        b"date",
        b"etag",
        b"idempotency-replayed",
        b"retry-after",
        b"vary",
        b"x-request-id",
    }
)
_CONTROLS = bytes({*range(0x20), 0x7F} - {0x09})
_LINE_END = b"\r\n"
_PERCENT, _HASH = b"%#"  # a byte is found by its number without an error on the way
_NO_BODY = (204, 304)
MAX_HEAD_BYTES = 64 * 1024


class Protocol(HttpToolsProtocol):
    """One connection to a server without a root path and a limit of concurrency, as ours is."""

    max_body_s = 600.0  # 32 MB at 55 KB a second
    _idle_since: float | None = None
    _body_since: float | None = None  # a body has begun to come, and not ended
    _body_at = 0.0  # when something of it came last
    _unfinished = 0  # bytes of what is no body and has not come to its end

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        super().connection_made(transport)
        self._idle_since = self.loop.time()
        self._set_timer(self.timeout_keep_alive)

    def data_received(self, data: bytes) -> None:
        self._unfinished += len(data)
        super().data_received(data)
        if self._unfinished > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response(f"The head is larger than {MAX_HEAD_BYTES} bytes.")

    def on_body(self, body: bytes) -> None:
        self._unfinished = 0
        self._body_at = self.loop.time()
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._body_since = None
        super().on_message_complete()

    def on_headers_complete(self) -> None:
        self._unfinished, self._idle_since = 0, None
        self._body_since = self._body_at = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._set_timer(self.timeout_keep_alive)
        parser: Any = self.parser
        url = self.url
        if parser.should_upgrade() or parser.get_http_version() != "1.1" or not _is_plain(url):
            super().on_headers_complete()
            return
        path, _, query = url.partition(b"?")
        scope: Any = self.scope
        scope["method"] = parser.get_method().decode("ascii")
        scope["path"], scope["raw_path"], scope["query_string"] = path.decode("ascii"), path, query
        before: Any = self.cycle
        app = cast("Any", self).app
        self.cycle = cycle = Cycle(
            self.scope,
            self.transport,
            self.flow,
            self.logger,
            self.access_logger,
            self.access_log,
            self.server_state.default_headers,
            asyncio.Event(),
            self.expect_100_continue,
            parser.should_keep_alive(),
            self.on_response_complete,
        )
        if before is None or before.response_complete:
            self._start_asgi_task(cycle, app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, app))

    # The idle time of a connection, until the head of a call is there: the timer stays where it is
    # while calls come and go, and looks when it rings.

    def on_response_complete(self) -> None:
        if self.pipeline or self.transport.is_closing():
            self._body_at = (
                self.loop.time()
            )  # until now we did not read what of the next one is there
            super().on_response_complete()
            return
        self.server_state.total_requests += 1
        self.flow.resume_reading()
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._set_timer(self.timeout_keep_alive)

    def _unset_keepalive_if_required(self) -> None:
        """Data is no call yet: a head that drips must not keep its connection."""

    def timeout_keep_alive_handler(self) -> None:
        self.timeout_keep_alive_task = None
        if self._idle_since is not None:
            ends_at = self._idle_since + self.timeout_keep_alive
        elif self._body_since is not None:
            ends_at = self._body_ends_at(self._body_since)
        else:
            return  # a call is being served; its answer sets the timer again
        left_s = ends_at - self.loop.time()
        if left_s > 0:
            self._set_timer(left_s)
        else:
            super().timeout_keep_alive_handler()

    def _body_ends_at(self, since: float) -> float:
        """Until when a body is waited for; longer where it is we who do not read."""
        if self.flow.read_paused:
            return self.loop.time() + self.timeout_keep_alive
        return min(self._body_at + self.timeout_keep_alive, since + self.max_body_s)

    def _set_timer(self, after_s: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(
            after_s, self.timeout_keep_alive_handler
        )

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None


class Cycle(RequestResponseCycle):
    """One call. The head of an answer of known length is held until its body is there."""

    _held: Any = None

    async def send(self, message: Any) -> None:
        if not self.response_started:
            if _has_length(message):
                self._held, self.response_started = message, True
                return
        elif self._held is not None:
            start, self._held = self._held, None
            if self._is_usual(message) and self._answer(start, message.get("body", b"")):
                return
            self.response_started = False
            await super().send(start)
        await super().send(message)

    def _is_usual(self, message: Any) -> bool:
        return message["type"] == "http.response.body" and not (
            message.get("more_body", False)
            or not self.keep_alive
            or self.disconnected
            or self.flow.write_paused
            or self.access_log
            or self.scope["method"] == "HEAD"
        )

    def _answer(self, start: Any, body: bytes) -> bool:
        """Send all of it; False, and nothing is sent, where uvicorn has to look at it."""
        headers = [*self.default_headers, *start["headers"]]
        by_name = dict(headers)
        if not by_name.keys() <= _COPIED or int(by_name.get(_LENGTH, 0)) != len(body):
            return False
        parts = [STATUS_LINE[start["status"]]]
        parts += [b"%b: %b\r\n" % (name, value) for name, value in headers]
        parts.append(_LINE_END)
        head = b"".join(parts)
        # A header with a control character in it would break out of its line.
        controls = len(head) - len(head.translate(None, _CONTROLS))
        if controls != len(_LINE_END) * len(parts):
            return False
        self.waiting_for_100_continue = False
        self.transport.write(head + body)
        self.response_complete = True
        self.message_event.set()
        self.on_response()
        return True


def _is_plain(url: bytes) -> bool:
    """A path as it stands, without a scheme or authority before and a fragment behind."""
    return url.startswith(b"/") and url.isascii() and _PERCENT not in url and _HASH not in url


def _has_length(message: Any) -> bool:
    """Whether it begins an answer whose body comes at once."""
    if message["type"] != "http.response.start":
        return False
    return message["status"] in _NO_BODY or _LENGTH in dict(message.get("headers", ()))
