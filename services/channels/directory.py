"""What the channels service knows of a workspace: its partition and languages, from a short cache."""

import time
from typing import Any, Protocol

import msgspec

from shared.contracts.problems import not_found

FRESH_S = 2.0
MAX_WORKSPACES = 10_000


class WorkspaceFacts(msgspec.Struct, frozen=True):
    """`partition` never changes; `languages` are those detection chooses from."""

    id: str
    partition: int
    languages: tuple[str, ...]


class WorkspaceSource(Protocol):
    async def facts(self, workspace: str) -> tuple[int, dict[str, Any]] | None:
        """(partition, settings) of a workspace; None when there is none."""
        ...


class Directory:
    """Raises Refused not-found for unknown workspaces."""

    def __init__(self, source: WorkspaceSource) -> None:
        self._source = source
        self._known: dict[str, tuple[float, WorkspaceFacts]] = {}

    async def of(self, workspace: str) -> WorkspaceFacts:
        found = self._known.get(workspace)
        now = time.monotonic()
        if found is not None and now - found[0] < FRESH_S:
            return found[1]
        stored = await self._source.facts(workspace)
        if stored is None:
            self._known.pop(workspace, None)
            raise not_found("workspace", workspace)
        partition, settings = stored
        facts = WorkspaceFacts(workspace, partition, tuple(settings.get("languages") or ()))
        if len(self._known) >= MAX_WORKSPACES:
            self._known.clear()
        self._known[workspace] = (now, facts)
        return facts
