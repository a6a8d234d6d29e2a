"""The HTTP API as apply, export and the demo use it: one client for all services' addresses."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import httpx
import msgspec

from shared.contracts.problems import Fault, Problem, Refused
from shared.http.reaching import reaching

TIMEOUT_S = 30.0
ATTEMPTS = 20
_KINDS = {
    400: "validation", 401: "unauthenticated", 403: "forbidden", 404: "not-found",
    409: "conflict", 410: "gone", 412: "precondition-failed", 413: "too-large",
    415: "unsupported-media-type", 422: "idempotency-mismatch", 429: "rate-limited",
    503: "unavailable",
}  # fmt: skip


class Api:
    """Calls below /v1/workspaces/{workspace}. `urls` may name another address for a service.

    Several may share one `client`, which then outlives them.
    """

    def __init__(
        self,
        url: str,
        token: str,
        workspace: str,
        urls: Mapping[str, str] | None = None,
        client: httpx.AsyncClient | None = None,
    ) -> None:
        self.workspace = workspace
        self._url = url.rstrip("/")
        self._urls = {name: one.rstrip("/") for name, one in (urls or {}).items()}
        self._authorization = f"Bearer {token}"
        self._shared = client is not None
        self._client = client or httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._shared:
            await self._client.aclose()

    def address(self, service: str, path: str) -> str:
        base = self._urls.get(service, self._url)
        return f"{base}/v1/workspaces/{self.workspace}{path}"

    async def get(self, service: str, path: str, **query: Any) -> dict[str, Any] | None:
        """The body; None for 404. Raises Refused for every other refusal, OSError without answer."""
        try:
            return await self.call(service, "GET", path, params=query)
        except Refused as refused:
            if refused.kind == "not-found":
                return None
            raise

    async def call(
        self, service: str, method: str, path: str, body: Any = None, **options: Any
    ) -> dict[str, Any]:
        """The body of one call's answer; see `respond`."""
        response = await self.respond(service, method, path, body, **options)
        return msgspec.json.decode(response.content) if response.content else {}

    async def respond(
        self,
        service: str,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> httpx.Response:
        """One call's answer, a success or 304; repeated while the service says 503.

        Raises Refused, OSError.
        """
        content = None if body is None else msgspec.json.encode(body)
        kind = {} if body is None else {"Content-Type": "application/json"}
        sent = {**kind, **(headers or {}), "Authorization": self._authorization}
        address = self.address(service, path)
        response = await self._send(method, address, content, sent, options)
        for _ in range(ATTEMPTS):
            if response.status_code != 503:
                break
            await _pause(response)
            response = await self._send(method, address, content, sent, options)
        if response.is_success or response.status_code == 304:
            return response
        raise _refused(response)

    async def _send(
        self,
        method: str,
        address: str,
        content: bytes | None,
        headers: dict[str, str],
        options: dict[str, Any],
    ) -> httpx.Response:
        try:
            with reaching():
                return await self._client.request(
                    method, address, content=content, headers=headers, **options
                )
        except httpx.HTTPError as error:
            why = f"{address} does not answer ({type(error).__name__})"
            raise OSError(
                f"{why}: does omniroute up run there? --url names another place"
            ) from error


async def _pause(response: httpx.Response) -> None:
    import asyncio

    await asyncio.sleep(min(float(response.headers.get("Retry-After", "1")), 1.0))


def _refused(response: httpx.Response) -> Refused:
    kind: Any = _KINDS.get(response.status_code, "unavailable")
    try:
        problem = msgspec.json.decode(response.content, type=Problem)
    except msgspec.DecodeError:
        return Refused(kind, f"{response.status_code} from {response.url.path}")
    errors = [Fault(one.pointer, one.code, one.message, one.expected) for one in problem.errors]
    return Refused(kind, problem.detail, errors=errors, reason=problem.reason)
