"""Connectors with their settings read and their secrets opened: once, not at each of their calls."""

import time
from dataclasses import dataclass

from services.channels.connectors.port import Connector, Secrets, Settings
from services.channels.store import StoredConnector

KEPT_S = 10.0
"""No longer than this do the opened secrets of a connector stay that nobody calls any more."""
MAX_OPENED = 10_000


@dataclass(frozen=True, slots=True)
class Opened:
    """`secrets` are in plain, for the memory of this process and its readers only: they are not shown."""

    stored: StoredConnector
    connector: Connector
    settings: Settings
    secrets: Secrets

    def __repr__(self) -> str:
        return f"Opened({self.stored.workspace}/{self.stored.id}, version {self.stored.version})"


class OpenedConnectors:
    """What was opened of each connector as it is stored: a changed one is read anew by whoever
    remembers what is stored, and is therefore another object."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], Opened] = {}
        self._since = 0.0

    def get(self, stored: StoredConnector) -> Opened | None:
        now = time.monotonic()
        if now - self._since > KEPT_S or len(self._known) >= MAX_OPENED:
            self._known.clear()
            self._since = now
        found = self._known.get((stored.workspace, stored.id))
        return found if found is not None and found.stored is stored else None

    def keep(self, opened: Opened) -> Opened:
        self._known[opened.stored.workspace, opened.stored.id] = opened
        return opened
