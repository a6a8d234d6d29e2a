"""Requests to addresses that users name: guarded, bounded in time, size and redirects."""

import asyncio
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from urllib.parse import urljoin, urlsplit

import httpx

from shared.fetching.ask import Ask
from shared.fetching.guard import AddressRefused, Guard
from shared.http.reaching import reaching

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 20.0
TOTAL_TIMEOUT_S = 60.0
MAX_REDIRECTS = 3
MAX_ANSWER_BYTES = 10 * 1024 * 1024
MAX_MEDIA_BYTES = 25 * 1024 * 1024
MAX_MESSAGE_BYTES = 40 * 1024 * 1024
"""A mail of 25 MB with its files, as JSON."""
MAX_RETRY_AFTER_S = 3600.0
USER_AGENT = "omniroute"

_TRY_LATER = frozenset({408, 425, 429})
_CODINGS = ("", "identity", "gzip", "deflate")


class FetchFailed(Exception):
    """A request that did not succeed. `permanent`: repeating it is of no use. `after_s`: the vendor
    said when to come again. `status` 401 tells that the token was refused."""

    def __init__(
        self,
        said: str,
        *,
        permanent: bool = False,
        after_s: float | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(said)
        self.said = said
        self.permanent = permanent
        self.after_s = after_s
        self.status = status


@dataclass(frozen=True, slots=True)
class Reply:
    """What the vendor answered; `url` after redirects."""

    status: int
    url: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def media_type(self) -> str:
        """The content type without parameters, in lower case."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


class PinnedTransport(httpx.AsyncBaseTransport):
    """Connects to the address that the guard checked; the name still goes into the Host header and
    into the check of the certificate. Connections are not kept: one to an address might otherwise
    serve another name there."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        limits = httpx.Limits(max_connections=50, max_keepalive_connections=0)
        self._inner = httpx.AsyncHTTPTransport(limits=limits, trust_env=False, retries=0)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        address = await self._guard.address_of(str(request.url))
        request.extensions = {**request.extensions, "sni_hostname": request.url.host}
        request.url = request.url.copy_with(host=address)
        with reaching():
            return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self._inner.aclose()


class Client:
    """Calls what users name. One per service; `aclose` it at the end."""

    def __init__(self, guard: Guard) -> None:
        timeout = httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        self._http = httpx.AsyncClient(
            transport=PinnedTransport(guard),
            timeout=timeout,
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
            follow_redirects=False,
            trust_env=False,
        )

    async def aclose(self) -> None:
        await self._http.aclose()

    async def ask(
        self, ask: Ask, limit: int = MAX_ANSWER_BYTES, expected: Collection[int] = ()
    ) -> Reply:
        """The vendor's answer of at most `limit` bytes, its status a 2xx or one of `expected`.
        Raises FetchFailed; no text of it holds the URL's path or query, where credentials may be."""
        host = _host(ask.url)
        try:
            async with asyncio.timeout(TOTAL_TIMEOUT_S):  # also for an answer that drips
                reply = await self._follow(ask, limit)
        except AddressRefused as refused:
            raise FetchFailed(f"{host} is not called: {refused}.", permanent=True) from refused
        except (httpx.TimeoutException, TimeoutError) as late:
            raise FetchFailed(f"{host} did not answer in time.") from late
        except httpx.InvalidURL as bad:
            raise FetchFailed("The address is no URL.", permanent=True) from bad
        except (httpx.HTTPError, OSError) as failed:
            raise FetchFailed(f"{host} cannot be reached: {type(failed).__name__}.") from failed
        return reply if reply.status in expected else _checked(reply)

    async def _follow(self, ask: Ask, limit: int) -> Reply:
        headers, url, method, body = list(ask.headers), ask.url, ask.method, ask.body
        for _ in range(MAX_REDIRECTS + 1):
            reply = await self._once(method, url, headers, body, limit)
            if reply.status not in (301, 302, 303, 307, 308):
                return reply
            target = urljoin(url, reply.headers.get("location", ""))
            if _origin(target) != _origin(url):
                headers = []  # a secret is for the origin that it was meant for
            if reply.status not in (307, 308):
                method, body = "GET", b""
            elif method != "GET":
                raise FetchFailed(f"{_host(url)} redirects a {method}.", permanent=True)
            url = target
        said = f"{_host(ask.url)} redirects more than {MAX_REDIRECTS} times."
        raise FetchFailed(said, permanent=True)

    async def _once(
        self, method: str, url: str, headers: list[tuple[str, str]], body: bytes, limit: int
    ) -> Reply:
        request = self._http.build_request(method, url, headers=headers, content=body or None)
        answer = await self._http.send(request, stream=True)
        try:
            content = await _content(answer, limit)
        finally:
            await answer.aclose()
        return Reply(answer.status_code, url, answer.headers, content)


async def _content(answer: httpx.Response, limit: int) -> bytes:
    """The body, never more than the limit of it, decompressed: a small answer may unfold. One that
    is compressed several times over would unfold in memory before it could be measured."""
    coding = answer.headers.get("content-encoding", "").strip().lower()
    if coding not in _CODINGS:
        said = f"The answer has the encoding {coding[:40]!r}, which was not asked for."
        raise FetchFailed(said, permanent=True)
    announced = answer.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise FetchFailed(f"The answer exceeds {limit} bytes.", permanent=True)
    found = bytearray()
    async for part in answer.aiter_bytes(64 * 1024):
        found += part
        if len(found) > limit:
            raise FetchFailed(f"The answer exceeds {limit} bytes.", permanent=True)
    return bytes(found)


def _checked(reply: Reply) -> Reply:
    status = reply.status
    if 200 <= status < 300:
        return reply
    said = f"{_host(reply.url)} answered {status}."
    after_s = retry_after(reply.headers.get("retry-after"), time.time())
    permanent = 400 <= status < 500 and status not in _TRY_LATER and status not in (401, 403, 404)
    raise FetchFailed(said, permanent=permanent, after_s=after_s, status=status)


def retry_after(text: str | None, now_s: float) -> float | None:
    """Seconds that a Retry-After asks for, at most MAX_RETRY_AFTER_S; None for none."""
    if not text:
        return None
    try:
        wait = float(text) if text.strip().isdecimal() else _until(text, now_s)
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(wait, 0.0), MAX_RETRY_AFTER_S)


def _until(text: str, now_s: float) -> float:
    return parsedate_to_datetime(text).timestamp() - now_s


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or "the vendor"
    except ValueError:
        return "the vendor"


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.lower()
