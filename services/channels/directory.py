"""What the channels service knows of a workspace: its partition and languages, from a short cache."""

import asyncio
import time
from functools import partial
from typing import Any, Protocol

import msgspec

from services.channels.connectors import language
from shared.contracts.problems import not_found
from shared.db.engine import DatabaseUnavailable

FRESH_S = 2.0
RENEWED_S = 1.0
"""Older facts that are asked for are read again meanwhile, so that nobody has to wait at FRESH_S."""
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
    """Facts at most FRESH_S old, older ones only while the database is away.

    Raises Refused (not-found) for unknown workspaces, DatabaseUnavailable for those never seen.
    """

    def __init__(self, source: WorkspaceSource) -> None:
        self._source = source
        self._known: dict[str, tuple[float, WorkspaceFacts]] = {}
        self._asking: dict[str, asyncio.Task[WorkspaceFacts]] = {}

    async def of(self, workspace: str) -> WorkspaceFacts:
        found = self._known.get(workspace)
        if found is not None:
            age_s = time.monotonic() - found[0]
            if RENEWED_S <= age_s < FRESH_S:
                self._begin(workspace)
            if age_s < FRESH_S:
                return found[1]
        try:
            return await asyncio.shield(self._begin(workspace))
        except DatabaseUnavailable:
            if found is None:
                raise
            return found[1]

    def _begin(self, workspace: str) -> asyncio.Task[WorkspaceFacts]:
        """The asking that is under way, or a new one."""
        asking = self._asking.get(workspace)
        if asking is None:
            asking = asyncio.create_task(self._ask(workspace))
            self._asking[workspace] = asking
            asking.add_done_callback(partial(self._asked, workspace))
        return asking

    def _asked(self, workspace: str, done: asyncio.Task[WorkspaceFacts]) -> None:
        """An error is for those who wait; where nobody does, the next who asks meets it."""
        del self._asking[workspace]
        if not done.cancelled():
            done.exception()

    async def _ask(self, workspace: str) -> WorkspaceFacts:
        stored = await self._source.facts(workspace)
        if stored is None:
            self._known.pop(workspace, None)
            raise not_found("workspace", workspace)
        partition, settings = stored
        facts = WorkspaceFacts(workspace, partition, tuple(settings.get("languages") or ()))
        if facts.languages and facts.languages != self._languages(workspace):
            await asyncio.to_thread(language.warm, facts.languages)
        if len(self._known) >= MAX_WORKSPACES:
            self._known.clear()
        self._known[workspace] = (time.monotonic(), facts)
        return facts

    def _languages(self, workspace: str) -> tuple[str, ...]:
        found = self._known.get(workspace)
        return () if found is None else found[1].languages
