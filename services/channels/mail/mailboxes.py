"""Whose address is this? Recipients to `email_mime` connectors, over all workspaces."""

import contextlib
import time
from collections.abc import Iterable
from typing import Protocol

import structlog

from services.channels.connectors.identities import email
from services.channels.store import StoredConnector
from shared.db.engine import DatabaseUnavailable

KIND = "email_mime"
FRESH_S = 2.0
UNKNOWN_FRESH_S = 0.05
MAX_CONNECTORS = 10_000

log = structlog.get_logger(__name__)


class Ambiguous(Exception):
    """An address that connectors of two workspaces claim: nobody may read another's mail."""


class ConnectorSource(Protocol):
    async def connectors_of_kind(self, kind: str, limit: int) -> list[StoredConnector]:
        """The enabled connectors of a kind, over all workspaces."""
        ...


class Mailboxes:
    """The addresses of all `email_mime` connectors, at most FRESH_S old. An address that is not among
    them is looked up anew before it is called unknown: a refusal is for good."""

    def __init__(self, source: ConnectorSource) -> None:
        self._source = source
        self._known: dict[str, list[StoredConnector]] = {}
        self._read_at: float | None = None

    async def of(self, recipient: str) -> StoredConnector | None:
        """The connector of an address ("support+TOKEN@" is "support@"); None for an unknown one.

        Raises Ambiguous, and DatabaseUnavailable where only the database could tell.
        """
        with contextlib.suppress(DatabaseUnavailable):
            await self._refresh(FRESH_S)
        found = self._find(recipient)
        if not found:
            await self._refresh(UNKNOWN_FRESH_S)
            found = self._find(recipient)
        if len({each.workspace for each in found}) > 1:
            raise Ambiguous(recipient)
        return found[0] if found else None

    def _find(self, recipient: str) -> list[StoredConnector]:
        found = (self._known.get(name) for name in _names(recipient))
        return next((each for each in found if each), [])

    async def _refresh(self, fresh_s: float) -> None:
        if self._read_at is not None and time.monotonic() - self._read_at < fresh_s:
            return
        asked_at = time.monotonic()
        rows = await self._source.connectors_of_kind(KIND, MAX_CONNECTORS)
        if len(rows) == MAX_CONNECTORS:
            log.warning("mail.too_many_connectors", limit=MAX_CONNECTORS)
        self._known = _by_address(rows)
        self._read_at = asked_at


def _by_address(connectors: Iterable[StoredConnector]) -> dict[str, list[StoredConnector]]:
    found: dict[str, list[StoredConnector]] = {}
    for each in connectors:
        for address in each.settings.get("addresses") or ():
            if name := email(address):
                found.setdefault(name, []).append(each)
    return found


def _names(recipient: str) -> Iterable[str]:
    """The address as it is, then without what follows a "+" in its local part."""
    whole = email(recipient)
    if whole is None:
        return
    yield whole
    local, _, domain = whole.rpartition("@")
    base, plus, _ = local.partition("+")
    if plus and base:
        yield f"{base}@{domain}"
