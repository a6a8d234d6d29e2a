"""The outermost layer, pure ASGI: request ids, figures, access log, forwarded calls, and 500s."""

import re
from bisect import bisect_left
from collections.abc import Awaitable, Iterator
from hashlib import sha256
from itertools import accumulate, count
from math import inf
from os import urandom
from time import perf_counter
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.registry import Collector
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.contracts.problems import Refused
from shared.http import headers, peers
from shared.http.cors import Cors
from shared.http.logging import AccessLog
from shared.http.peers import PeerSeal
from shared.http.problems import internal_error, refusal

_REQUEST_ID = re.compile(rb"[A-Za-z0-9_-]{8,64}\Z")
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_BOUNDS = [*(str(float(bound)) for bound in _BUCKETS), "+Inf"]
WARN_EVERY_S = 30.0
# Scope key by which a route sets its own limit, in bytes.
MAX_BODY = "omniroute.max_body_bytes"
# Ids of requests that bring none: drawn once, then counted.
_PROCESS = urandom(4).hex().encode()
_numbers = count(1)
_log: Any = structlog.get_logger("omniroute.http")


class HttpMetrics(Collector):
    """HTTP figures by route template, kept in plain lists and made into metrics when asked for: the
    library's own counters lock and search at each call. For one event loop."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.in_flight = 0
        self._requests: dict[tuple[str, str, int], int] = {}
        self._seconds: dict[tuple[str, str], _Seconds] = {}
        registry.register(self)

    def observe(self, method: str, route: str, status: int, took_s: float) -> None:
        key = (method, route, status)
        self._requests[key] = self._requests.get(key, 0) + 1
        seconds = self._seconds.get((method, route))
        if seconds is None:
            seconds = self._seconds[method, route] = _Seconds()
        seconds.counts[bisect_left(_BUCKETS, took_s)] += 1
        seconds.sum += took_s

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "omniroute_http_in_flight", "Requests being served.", value=self.in_flight
        )
        served = CounterMetricFamily(
            "omniroute_http_requests", "Requests served.", labels=("method", "route", "status")
        )
        for (method, route, status), times in self._requests.items():
            served.add_metric((method, route, str(status)), times)
        yield served
        took = HistogramMetricFamily(
            "omniroute_http_request_seconds",
            "Time to the last byte of the response.",
            labels=("method", "route"),
        )
        for labels, seconds in self._seconds.items():
            took.add_metric(labels, seconds.buckets(), seconds.sum)
        yield took


class _Seconds:
    """A histogram: how many requests ended within each bound of _BUCKETS but not the one before."""

    __slots__ = ("counts", "sum")

    def __init__(self) -> None:
        self.counts = [0] * (len(_BUCKETS) + 1)
        self.sum = 0.0

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative, as Prometheus has them."""
        return list(zip(_BOUNDS, accumulate(self.counts), strict=True))


class Edge:
    """Wraps the application; everything a call needs besides its route happens here once."""

    def __init__(
        self,
        app: ASGIApp,
        max_body_bytes: int,
        metrics: HttpMetrics,
        seal: PeerSeal | None,
        access_log: AccessLog,
        cors: Cors | None = None,
    ) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes
        self._metrics = metrics
        self._seal = seal
        self._access_log = access_log
        self._cors = cors
        self._warn_at = -inf

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = perf_counter()
        status = length = 0
        sent = headers.first(scope)
        announced = sent.get(b"content-length", b"")
        request_id = sent.get(b"x-request-id", b"")
        if not (request_id and _REQUEST_ID.match(request_id)):
            request_id = b"%b%08x" % (_PROCESS, next(_numbers))
        scope["omniroute.request_id"] = request_id.decode()
        forwarded = b"x-omniroute-forwarded" in sent
        # The replica that the page called knows whether it may; the owner need not say it again.
        cors = None if forwarded else self._cors

        async def limited() -> Message:
            nonlocal length
            limit = scope.get(MAX_BODY, self._max_body_bytes)
            if not length and announced.isdigit() and int(announced) > limit:
                raise _too_large(limit)
            message = await receive()
            if message["type"] == "http.request":
                length += len(message.get("body", b""))
                if length > limit:
                    raise _too_large(limit)
            return message

        def note(message: Message) -> Awaitable[None]:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id)]
                if cors is not None:
                    cors.mark(scope, message)
            return send(message)

        self._metrics.in_flight += 1
        try:
            if forwarded:
                await self._serve_forwarded(scope, limited, note)
            elif cors is not None and (allowed := cors.preflight(scope)) is not None:
                await allowed(scope, limited, note)
            else:
                await self._app(scope, limited, note)
        except ClientDisconnect:
            _log.debug("caller left", request_id=scope["omniroute.request_id"])
        except Exception:
            _log.exception("request failed", request_id=scope["omniroute.request_id"])
            if status:
                raise
            await internal_error(scope["omniroute.request_id"])(scope, receive, note)
        finally:
            self._metrics.in_flight -= 1
            self._finish(scope, status, perf_counter() - began)

    def _finish(self, scope: Scope, status: int, took_s: float) -> None:
        route = scope.get("route")
        template = "-" if route is None else route.path_format
        method = scope["method"] if route is not None else "-"
        self._metrics.observe(method, template, status, took_s)
        self._access_log.write(scope, status, took_s)

    async def _serve_forwarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a call that another replica forwarded, if it is one."""
        given = {name.decode("latin-1"): text.decode("latin-1") for name, text in scope["headers"]}
        try:
            if self._seal is None:
                raise Refused("unauthenticated", "This replica trusts no forwarded calls.")
            principal = self._seal.check(scope["method"], target_of(scope), given)
        except Refused as refused:
            self._warn(refused.detail, scope.get("client"))
            await refusal(refused)(scope, receive, send)
            return
        proof = self._seal.answer(given[peers.SIGNATURE]).encode()
        scope["omniroute.forwarded"] = True
        if principal is not None:
            scope["omniroute.principal"] = principal

        async def prove(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (peers.OWNER.encode(), proof)]
            await send(message)

        await self._app(scope, _checked(receive, given[peers.DIGEST]), prove)

    def _warn(self, why: str, client: tuple[str, int] | None) -> None:
        """Once in a while, for anybody may knock: a replica that is not trusted answers none of its calls
        that belong to another, and it cannot know why."""
        now = perf_counter()
        if now >= self._warn_at:
            self._warn_at = now + WARN_EVERY_S
            _log.warning("peer.refused", because=why, client=client[0] if client else None)


def _too_large(limit: int) -> Refused:
    return Refused("too-large", f"The body is larger than {limit} bytes.")


def target_of(scope: Scope) -> str:
    """Path and query as they stood in the request line."""
    path = scope.get("raw_path") or scope["path"].encode()
    query = scope["query_string"]
    return (path + b"?" + query if query else path).decode("latin-1")


def _checked(receive: Receive, digest: str) -> Receive:
    """A `receive` that refuses a body other than the signed one."""
    hashed = sha256()

    async def checked() -> Message:
        message = await receive()
        if message["type"] == "http.request":
            hashed.update(message.get("body", b""))
            if not message.get("more_body", False) and hashed.hexdigest() != digest:
                raise Refused("unauthenticated", "The forwarded call is not trusted: body.")
        return message

    return checked
