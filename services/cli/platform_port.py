"""The platform's stores in the shape that the HTTP layer asks for."""

from typing import Any

from shared.contracts.instants import format_instant, optional_instant
from shared.contracts.problems import Refused
from shared.db.key_store import ApiKey, KeyStore
from shared.db.platform_store import PlatformStore, Workspace
from shared.http.platform_api import KeyEntry, NewKey, WorkspaceRecord
from shared.http.preconditions import Precondition
from shared.http.principals import Role


class PlatformCalls:
    """Satisfies `shared.http.platform_api.PlatformPort`, and what channels asks of a workspace."""

    def __init__(self, store: PlatformStore, keys: KeyStore, partitions: int) -> None:
        self._store = store
        self._keys = keys
        self._partitions = partitions

    async def facts(self, workspace: str) -> tuple[int, dict[str, Any]] | None:
        """(partition, settings); None when there is no such workspace."""
        found = await self._store.workspace(workspace)
        return None if found is None else (found.partition, found.settings)

    async def get_workspace(self, workspace: str) -> WorkspaceRecord | None:
        found = await self._store.workspace(workspace)
        return None if found is None else _record(found)

    async def put_workspace(
        self, workspace: str, settings: dict[str, Any], demand: Precondition, actor: str
    ) -> tuple[WorkspaceRecord, bool]:
        existing = await self._store.workspace(workspace)
        demand.check(None if existing is None else existing.revision)
        if existing is None:
            made, created = await self._store.create_workspace(
                workspace, self._partitions, settings
            )
            if created:
                return _record(made), True
            demand.check(made.revision)
            existing = made
        conditional = demand.versions is not None
        changed = await self._store.update_workspace(
            workspace, settings, if_revision=existing.revision if conditional else None
        )
        return _record(changed), False

    async def create_key(self, workspace: str, name: str, role: Role, agent: str | None) -> NewKey:
        key, token = await self._keys.create(workspace, name, role, agent=agent)
        return NewKey(key.id, token)

    async def list_keys(self, workspace: str, after: str | None, limit: int) -> list[KeyEntry]:
        found = await self._keys.list(workspace, after=after or "", limit=limit)
        return [_entry(key) for key in found]

    async def rotate_key(self, workspace: str, key: str) -> NewKey | None:
        try:
            return NewKey(key, await self._keys.rotate(workspace, key))
        except Refused as refused:
            if refused.kind == "not-found":
                return None
            raise

    async def delete_key(self, workspace: str, key: str) -> bool:
        try:
            await self._keys.revoke(workspace, key)
        except Refused as refused:
            if refused.kind == "not-found":
                return False
            raise
        return True


def _record(found: Workspace) -> WorkspaceRecord:
    return WorkspaceRecord(found.id, found.settings, found.revision)


def _entry(key: ApiKey) -> KeyEntry:
    return KeyEntry(
        id=key.id,
        name=key.name,
        role=key.role,
        agent=key.agent,
        created_at=format_instant(key.created_at_us),
        last_used_at=optional_instant(key.last_used_at_us),
    )
