"""What the store in memory holds: one database for all services and replicas of a simulation."""

from collections.abc import Iterable

import msgspec

from shared.contracts.core import ConfigWrite, Entity, Row
from shared.runtime.clock import Clock
from shared.runtime.store.port import (
    ConfigVersion,
    InputRow,
    JournalRow,
    ReplyRow,
    Snapshot,
    WorkspaceRow,
)


class ShardRecord(msgspec.Struct):
    epoch: int = 0
    owner: str | None = None
    owner_url: str | None = None
    lease_until: float = -1.0
    published: int = 0
    positions: dict[str, int] = {}
    halted: str | None = None


class ServiceData:
    """What one service has stored."""

    def __init__(self) -> None:
        self.shards: dict[int, ShardRecord] = {}
        self.replicas: dict[str, tuple[str, float]] = {}
        self.states: dict[str, bytes] = {}  # written down: who changes his copy changes no other
        self.entities: dict[str, dict[tuple[str, str], Entity]] = {}
        self.inputs: dict[str, list[InputRow]] = {}
        self.journal: dict[int, list[JournalRow]] = {}
        self.by_workspace: dict[str, list[JournalRow]] = {}
        self.seen: dict[bytes, int] = {}
        self.replies: dict[tuple[str, str, str], ReplyRow] = {}
        self.snapshots: dict[str, list[tuple[Snapshot, list[Entity]]]] = {}
        self.rows: list[tuple[str, Row]] = []

    def decided(self) -> int:
        """How many inputs all workspaces have had."""
        return sum(rows[-1].first_no + rows[-1].count - 1 for rows in self.inputs.values())


class MemoryDatabase:
    """What all services and replicas share. `clock` is the database's own."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.workspaces: dict[str, WorkspaceRow] = {}
        self.config: dict[str, list[ConfigVersion]] = {}
        self._services: dict[str, ServiceData] = {}

    def add_workspace(self, workspace: str, partition: int, seed: int = 1) -> None:
        self.workspaces[workspace] = WorkspaceRow(workspace, partition, seed, 0)

    def write_config(self, workspace: str, origin: str, writes: Iterable[ConfigWrite]) -> None:
        """Each write becomes the workspace's next version."""
        for write in writes:
            row = self.workspaces[workspace]
            version = row.version + 1
            self.workspaces[workspace] = msgspec.structs.replace(row, version=version)
            self.config.setdefault(workspace, []).append(
                ConfigVersion(workspace, version, write.kind, write.id, write.body, origin)
            )

    def service(self, name: str) -> ServiceData:
        return self._services.setdefault(name, ServiceData())
