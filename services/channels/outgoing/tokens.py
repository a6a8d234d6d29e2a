"""Short-lived tokens of vendors: got when needed, kept in memory until shortly before they end."""

import time
from typing import Any

from services.channels.connectors import fields
from services.channels.connectors.fetching import grant_ask, walk
from services.channels.connectors.port import Fetch, Grant, Parsed, Secrets, Settings
from services.channels.store import StoredConnector
from shared.fetching.client import Client, FetchFailed

EARLY_S = 60
MAX_TOKENS = 10_000
MAX_LASTS_S = 86_400

_Place = tuple[str, str, int, str]


class Tokens:
    """Tokens by connector (and its version: other secrets are other tokens)."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: dict[_Place, tuple[float, str]] = {}

    async def secret_for(
        self, fetch: Fetch, stored: StoredConnector, settings: Settings, secrets: Secrets
    ) -> str:
        """What authorises a fetch: a token by its grant, else its secret. Raises FetchFailed."""
        if fetch.grant is not None:
            token = await self._granted(fetch.grant, stored, settings, secrets)
            if token is not None:
                return token
        values = secrets.get(fetch.secret or "", ())
        if not values:
            raise FetchFailed(f"The connector has no secret {fetch.secret!r}.")
        return values[0]

    def has(self, stored: StoredConnector, fetch: Fetch) -> bool:
        """Whether the last `secret_for` was a token by grant."""
        return fetch.grant is not None and _place(stored, fetch.grant) in self._known

    def forget(self, stored: StoredConnector, fetch: Fetch) -> bool:
        """The vendor refused the token: the next call gets another. False: there was none."""
        if fetch.grant is None:
            return False
        return self._known.pop(_place(stored, fetch.grant), None) is not None

    async def _granted(
        self, grant: Grant, stored: StoredConnector, settings: Settings, secrets: Secrets
    ) -> str | None:
        place = _place(stored, grant)
        ends, token = self._known.get(place, (0.0, ""))
        if time.monotonic() < ends:
            return token
        ask = grant_ask(grant, secrets, settings)
        if ask is None:
            return None
        found = _decoded((await self._client.ask(ask)).body)
        token = fields.text({"at": walk(found, grant.token)}, "at")
        if token is None:
            raise FetchFailed("The vendor's answer holds no token.")
        lasts = fields.number({"at": walk(found, grant.lifetime)}, "at") or grant.lasts_s
        if len(self._known) >= MAX_TOKENS:
            self._known.clear()
        good_s = max(min(lasts, MAX_LASTS_S) - EARLY_S, 1.0)
        self._known[place] = (time.monotonic() + good_s, token)
        return token


def _place(stored: StoredConnector, grant: Grant) -> _Place:
    return stored.workspace, stored.id, stored.version, grant.url


def _decoded(body: bytes) -> Any:
    return fields.decode_json(body, Parsed())
