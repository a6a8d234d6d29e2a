"""The workspaces of a shard: taken in, kept up with `platform`, and woken when something is due."""

import asyncio
import heapq
from collections.abc import Collection, Iterable

import msgspec

from shared.contracts.core import CoreFactory, Input
from shared.runtime.arrivals import Arrival
from shared.runtime.inbox import Inbox
from shared.runtime.limits import Limits
from shared.runtime.port import EnrichConfig
from shared.runtime.store.port import ConfigVersion, Store, WorkspaceRow, WorkspaceState
from shared.runtime.workspaces import Workspace, load_core


class Roster:
    """Holds committed cores between batches. Shared configuration goes to the inbox in order."""

    def __init__(
        self,
        partition: int,
        factory: CoreFactory,
        store: Store,
        limits: Limits,
        inbox: Inbox,
        enrich: EnrichConfig | None,
    ) -> None:
        self.workspaces: dict[str, Workspace] = {}
        self._partition = partition
        self._factory = factory
        self._store = store
        self._limits = limits
        self._inbox = inbox
        self._enrich = enrich
        self._news = False
        self._strangers: set[str] = set()
        self._wakes: list[tuple[int, str]] = []
        self._resting: dict[str, int] = {}
        self._config_waits: list[tuple[str, int, asyncio.Future[None]]] = []

    @property
    def is_behind(self) -> bool:
        """`platform` may know workspaces or versions that are not here yet."""
        return self._news or bool(self._strangers)

    def ask_for(self, workspace: str) -> None:
        """Somebody mentioned it: look for it when it is not here."""
        if workspace not in self.workspaces:
            self._strangers.add(workspace)

    def notice(self, rows: Iterable[WorkspaceRow]) -> bool:
        """What `platform` says now; whether any of it is new."""
        for row in rows:
            known = self.workspaces.get(row.id)
            if known is None or row.version > known.config_queued:
                self._news = True
                return True
        return False

    def clear(self, error: Exception) -> None:
        """Forget everything; who waits for configuration learns why."""
        for _, _, future in self._config_waits:
            if not future.done():
                future.set_exception(error)
        self._config_waits = []
        self._strangers.clear()
        self._wakes.clear()
        self.workspaces = {}

    async def meet(self) -> None:
        """Take in new workspaces, and queue new versions of shared configuration."""
        self._news = False
        rows = await self._store.workspaces([self._partition])
        await self._admit([row for row in rows if row.id not in self.workspaces])
        self._strangers.clear()
        # The shard may have been lost while the store was asked: then there is nobody to queue for.
        known = [(row, self.workspaces[row.id]) for row in rows if row.id in self.workspaces]
        after = {
            row.id: workspace.config_queued
            for row, workspace in known
            if row.version > workspace.config_queued
        }
        if after:
            versions = await self._store.config_since(after, self._limits.config_rows)
            for version in versions:
                await self._queue(version)
            self._news = len(versions) >= self._limits.config_rows
        self.serve_config_waits()

    async def _admit(self, rows: Collection[WorkspaceRow]) -> None:
        if not rows:
            return
        states = await self._store.states([row.id for row in rows])
        for row in rows:
            state = states.get(row.id, WorkspaceState(row.id))
            core = await load_core(self._store, self._factory, row, state, self._limits.load_chunk)
            workspace = self.workspaces[row.id] = Workspace(row, core, state)
            if workspace.wake_us is not None:
                workspace.wake_us = max(workspace.wake_us, self._resting.pop(row.id, 0))
            self.plan(workspace)

    async def _queue(self, version: ConfigVersion) -> None:
        """One version becomes an input, unless this service itself wrote it."""
        workspace = self.workspaces.get(version.workspace)
        if workspace is None:
            return  # the shard was lost meanwhile
        workspace.config_queued = version.version
        if version.origin == self._factory.service:
            return
        body = version.body
        if self._enrich is not None:
            body = await self._enrich(version.workspace, version.kind, version.id, body)
        workspace.config_pending.append(version.version)
        what = Input("config", version.kind, _config_body(version, body), id=version.id)
        self._inbox.put(workspace.id, Arrival(what, len(what.body), config_version=version.version))

    # Who waits for configuration

    def config_reached(self, workspace: str, version: int) -> "asyncio.Future[None]":
        """Done once a commit has taken in shared configuration up to `version`."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._config_waits.append((workspace, version, future))
        self._news = True
        return future

    def serve_config_waits(self) -> None:
        waiting: list[tuple[str, int, asyncio.Future[None]]] = []
        for each in self._config_waits:
            name, version, future = each
            workspace = self.workspaces.get(name)
            if future.done():
                continue
            if workspace is not None and _config_taken_in(workspace) >= version:
                future.set_result(None)
            else:
                waiting.append(each)
        self._config_waits = waiting

    # Timers

    def plan(self, workspace: Workspace) -> None:
        """Remember when the workspace wants to be woken."""
        if workspace.wake_us is None:
            return
        heapq.heappush(self._wakes, (workspace.wake_us, workspace.id))
        if len(self._wakes) > 64 + 4 * len(self.workspaces):
            self._wakes = [
                (each.wake_us, each.id)
                for each in self.workspaces.values()
                if each.wake_us is not None
            ]
            heapq.heapify(self._wakes)

    def due(self, wall_us: int, limit: int) -> list[Workspace]:
        """The next workspaces whose time has come, at most `limit`."""
        due: list[Workspace] = []
        while self._wakes and self._wakes[0][0] <= wall_us and len(due) < limit:
            wake_us, name = heapq.heappop(self._wakes)
            workspace = self.workspaces.get(name)
            if workspace is not None and workspace.wake_us == wake_us:
                due.append(workspace)
        return due

    def next_wake_us(self) -> int | None:
        return self._wakes[0][0] if self._wakes else None

    def rest(self, workspace: str, until_us: int) -> None:
        """Its timer cannot be stored: when loaded again it waits that long."""
        self._resting[workspace] = until_us


def _config_taken_in(workspace: Workspace) -> int:
    """Committed: what a batch on its way has taken in does not count yet."""
    return workspace.config_version if workspace.readable else workspace.committed.config_version


def _config_body(version: ConfigVersion, body: bytes | None) -> bytes:
    """{"id", "version", "body"} with the body's JSON as it is."""
    head = b'{"id":%b,"version":%d,"body":' % (msgspec.json.encode(version.id), version.version)
    return head + (body or b"null") + b"}"
