"""Forwarding a call to the replica that owns its shard: one hop, mutually authenticated."""

from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
from fastapi import Request, Response
from starlette.responses import StreamingResponse

from shared.contracts.problems import Refused
from shared.http import peers
from shared.http.edge import target_of
from shared.http.peers import PeerSeal
from shared.http.problems import outcome_unknown, refusal
from shared.http.reaching import reaching
from shared.runtime.port import NotOwner

# A long-poll may wait 60 s, streams send a heartbeat at least every 20 s.
READ_TIMEOUT_S = 90.0
CONNECT_TIMEOUT_S = 2.0
MAX_CONNECTIONS = 1000

_DROPPED_FROM_REQUEST = frozenset(
    {
        "host",
        "connection",
        "keep-alive",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "content-length",
        "expect",
        "authorization",
        "x-request-id",
    }
)
_DROPPED_FROM_RESPONSE = frozenset(
    {"connection", "keep-alive", "transfer-encoding", "upgrade", "date", "server", "x-request-id"}
)


class Forwarder:
    """Sends calls to other replicas over pooled connections. Close it at the end."""

    def __init__(self, seal: PeerSeal, client: httpx.AsyncClient | None = None) -> None:
        self.seal = seal
        self._client = client or httpx.AsyncClient(
            timeout=httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S, pool=5.0),
            limits=httpx.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=100),
            follow_redirects=False,
            trust_env=False,
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def forward(self, request: Request, owner_url: str | None) -> Response:
        """The owner's response, streamed through.

        Raises Refused: "unavailable" when nobody or nobody reachable owns the shard or the call was
        forwarded already; "outcome-unknown" when a write was sent and its answer was lost.
        """
        if not owner_url:
            raise _unavailable("Nobody owns the workspace's shard just now.")
        if request.scope.get("omniroute.forwarded"):
            raise _unavailable("The workspace's shard has just moved.")
        call = await self._call(request, owner_url)
        try:
            with reaching():
                answer = await self._client.send(call, stream=True)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise _unavailable("The owner of the workspace's shard does not answer.") from error
        except httpx.HTTPError as error:
            if request.method in ("GET", "HEAD"):
                raise _unavailable("The owner of the shard broke off.") from error
            raise outcome_unknown() from error
        proof = answer.headers.get(peers.OWNER, "")
        if not peers.same(proof, self.seal.answer(call.headers[peers.SIGNATURE])):
            await answer.aclose()
            raise _unavailable("The owner of the workspace's shard is not trusted.")
        return _streamed(answer)

    async def _call(self, request: Request, owner_url: str) -> httpx.Request:
        body = await request.body()
        target = target_of(request.scope)
        principal = request.scope.get("omniroute.authenticated")
        headers = [
            (name, value)
            for name, value in request.headers.items()
            if name not in _DROPPED_FROM_REQUEST and not name.startswith("x-omniroute-")
        ]
        headers.append(("x-request-id", request.scope["omniroute.request_id"]))
        headers.extend(self.seal.sign(request.method, target, body, principal).items())
        # To the letter, for the target is signed: httpx would quote signs in it and resolve dots.
        return self._client.build_request(
            request.method,
            owner_url.rstrip("/") + "/",
            headers=headers,
            content=body,
            extensions={"target": target.encode("latin-1")},
        )


def at_owner(
    forwarder: Forwarder | None,
) -> Callable[[Request, Exception], Awaitable[Response]]:
    """The handler of NotOwner: the call is done by the owner instead."""

    async def handle(request: Request, error: Exception) -> Response:
        assert isinstance(error, NotOwner)
        try:
            if forwarder is None or not error.url:
                raise _unavailable("Nobody owns the workspace's shard.", error.retry_after_s)
            return await forwarder.forward(request, error.url)
        except Refused as refused:
            return refusal(refused)

    return handle


def _streamed(answer: httpx.Response) -> Response:
    response = StreamingResponse(_chunks(answer), answer.status_code)
    response.raw_headers = [
        (name.lower(), value)
        for name, value in answer.headers.raw
        if (text := name.decode("latin-1").lower()) not in _DROPPED_FROM_RESPONSE
        and not text.startswith("x-omniroute-")
    ]
    return response


async def _chunks(answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for chunk in answer.aiter_raw():
            yield chunk
    finally:
        await answer.aclose()


def _unavailable(detail: str, retry_after_s: int = 1) -> Refused:
    return Refused("unavailable", detail, retry_after_s=retry_after_s)
