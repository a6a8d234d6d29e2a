"""The store: the arbiter of who owns a shard, and of what has happened (DESIGN §1 rule 3, §4)."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import msgspec

from shared.contracts.core import ConfigWrite, Entity, Row


class StoreUnavailable(Exception):
    """Transient: nothing was stored; the same call may be repeated."""


class CommitUnknown(Exception):
    """COMMIT got no answer: stored or not, only a look after `reacquire` tells."""


class StaleEpoch(Exception):
    """The shard has another owner: nothing was stored."""


class ShardLease(msgspec.Struct, frozen=True):
    """What an acquisition returns. `positions` maps topics to the next offset to read,
    `published` is the journal position up to which the bus has it, `last_position` the last."""

    partition: int
    epoch: int
    positions: dict[str, int]
    published: int
    last_position: int
    halted: str | None = None


class ShardRow(msgspec.Struct, frozen=True):
    """A shard as all replicas see it. `expired` by the store's clock (also when nobody owns it)."""

    partition: int
    epoch: int
    owner: str | None
    owner_url: str | None
    expired: bool
    halted: str | None = None


class WorkspaceRow(msgspec.Struct, frozen=True):
    """`version`: the last version of shared configuration written."""

    id: str
    partition: int
    seed: int
    version: int


class WorkspaceState(msgspec.Struct, frozen=True, gc=False):
    """The runtime's own state of one workspace, at rest.

    `number` counts its inputs, `seq` its events; `producers` holds the last sequence per source,
    `published` the last seq per topic, `failed` sequences per source that went to dead letters;
    `behind`: its core was told BEHIND and not LIVE since.
    """

    workspace: str
    number: int = 0
    now_us: int = 0
    seq: int = 0
    config_version: int = 0
    snapshot_number: int = 0
    behind: bool = False
    producers: dict[str, int] = {}
    published: dict[str, int] = {}
    failed: dict[str, list[int]] = {}


class ConfigVersion(msgspec.Struct, frozen=True):
    """One version of a shared resource; `body` is JSON, None when it was deleted."""

    workspace: str
    version: int
    kind: str
    id: str
    body: bytes | None
    origin: str


class InputRow(msgspec.Struct, frozen=True, gc=False):
    """The inputs of one workspace in one batch; `body` is msgpack of `list[Input]`."""

    workspace: str
    first_no: int
    count: int
    now_us: int
    core_version: str
    tz_version: str
    holidays_version: str
    body: bytes


class JournalRow(msgspec.Struct, frozen=True, gc=False):
    """An event of a workspace (`seq` ≥ 1), or a dead letter on its way to the bus (`seq` 0).

    `position` counts per shard without gaps. `previous` is the workspace's last seq on the same
    topic (-1: not said). A dead letter's `key` is its id.
    """

    position: int
    workspace: str
    seq: int
    previous: int
    type: str
    topic: str
    key: str
    data: bytes
    at_us: int


class ReplyRow(msgspec.Struct, frozen=True, gc=False):
    """An answered command, found again by (workspace, scope, key) for 24 hours."""

    workspace: str
    scope: str
    key: str
    fingerprint: bytes
    body: bytes
    at_us: int


class Batch(msgspec.Struct, kw_only=True, gc=False):
    """All that one commit stores. `entities` are (workspace, entity), sorted by workspace, kind
    and key; `snapshots` (workspace, number, now_us) keep the open entities as this batch leaves
    them; `seen_us` names the day that `seen` goes to."""

    partition: int
    epoch: int
    lease_s: float
    positions: dict[str, int]
    published: int
    seen_us: int = 0
    inputs: list[InputRow] = []
    entities: list[tuple[str, Entity]] = []
    journal: list[JournalRow] = []
    seen: list[bytes] = []
    states: list[WorkspaceState] = []
    replies: list[ReplyRow] = []
    config: list[tuple[str, list[ConfigWrite]]] = []
    rows: list[tuple[str, Row]] = []
    snapshots: list[tuple[str, int, int]] = []


class Snapshot(msgspec.Struct, frozen=True):
    workspace: str
    number: int
    now_us: int


class Store(Protocol):
    """One service's. Every call may raise StoreUnavailable; instants are the store's clock."""

    service: str

    # Leases

    async def prepare(self, partitions: int, today_us: int) -> None:
        """Make the shards' rows and the days' partitions exist. Idempotent."""
        ...

    async def register(self, replica: str, url: str, alive_s: float) -> list[str]:
        """Say that this replica lives; returns the ids of those that do, itself included, sorted."""
        ...

    async def unregister(self, replica: str) -> None: ...

    async def shards(self) -> list[ShardRow]: ...

    async def positions(self, partition: int) -> dict[str, int]:
        """Topic -> the next offset to read, as committed; {} before the first batch."""
        ...

    async def acquire(
        self, partition: int, replica: str, url: str, lease_s: float
    ) -> ShardLease | None:
        """Take a shard that nobody holds, its epoch raised by one; None when somebody does."""
        ...

    async def reacquire(self, partition: int, epoch: int, lease_s: float) -> ShardLease:
        """Raise the epoch of a shard of one's own. Returns only after a commit in flight under
        the old epoch has ended one way or the other. Raises StaleEpoch."""
        ...

    async def renew(
        self, held: Mapping[int, tuple[int, int]], lease_s: float
    ) -> tuple[set[int], set[int]]:
        """Prolong partition → (epoch, published). Returns those prolonged, and those lost to
        another owner; one whose commit is in flight is neither (the commit prolongs it)."""
        ...

    async def release(self, partition: int, epoch: int, published: int) -> None:
        """Give a shard back at once; nothing happens when it is no longer held."""
        ...

    async def halt(self, partition: int, epoch: int, reason: str) -> None:
        """Stop a shard until a person clears it. Raises StaleEpoch."""
        ...

    # Mending, while nobody owns the shards

    async def alive(self, alive_s: float) -> list[str]:
        """The ids of the replicas that were heard of within `alive_s`, sorted."""
        ...

    async def standing(self, partition: int) -> ShardLease | None:
        """What an acquisition would return, without one; None for an unknown shard."""
        ...

    async def unheard(self, partition: int, topic: str, after: Mapping[str, int]) -> int | None:
        """The first journal position of an event on `topic` whose seq is above `after` of its
        workspace; None when there is none."""
        ...

    async def realign(
        self,
        partition: int,
        positions: Mapping[str, int],
        published: int | None = None,
        unhalt: bool = False,
    ) -> bool:
        """Move a shard's reading `positions`, take its cursor back to `published` (never forward),
        clear its halt; owners of before may commit no more. False, and nothing done, when somebody
        holds it."""
        ...

    # Loading

    async def workspaces(self, partitions: Collection[int]) -> list[WorkspaceRow]:
        """Sorted by id."""
        ...

    async def workspace(self, workspace: str) -> WorkspaceRow | None: ...

    async def states(self, workspaces: Collection[str]) -> dict[str, WorkspaceState]:
        """Of those that have had an input."""
        ...

    async def open_entities(
        self, workspace: str, after: tuple[str, str], limit: int
    ) -> list[Entity]:
        """A chunk in order of (kind, key), beginning behind `after`; [] at the end."""
        ...

    async def entities(self, workspace: str, kind: str, keys: Collection[str]) -> list[Entity]:
        """Stored entities by key, history included; for reads. Absent ones are left out."""
        ...

    async def config_since(self, after: Mapping[str, int], limit: int) -> list[ConfigVersion]:
        """Versions above `after[workspace]`, in order per workspace; at most `limit`."""
        ...

    # Deciding

    async def seen(self, ids: Sequence[bytes]) -> set[bytes]:
        """Those of `ids` (16 bytes each) that a committed batch has marked."""
        ...

    async def replies(
        self, keys: Sequence[tuple[str, str, str]]
    ) -> dict[tuple[str, str, str], ReplyRow]:
        """Recorded answers by (workspace, scope, key); absent ones are left out."""
        ...

    async def commit(self, batch: Batch) -> None:
        """Store all of it or nothing. Raises StaleEpoch, StoreUnavailable, CommitUnknown; any
        other error means that nothing was stored and that a repetition would fail again."""
        ...

    # Reading

    async def outbox(self, partition: int, after: int, limit: int) -> list[JournalRow]:
        """Journal rows by position, those without topic included."""
        ...

    async def journal(
        self, workspace: str, after_seq: int, types: Collection[str] | None, limit: int
    ) -> list[JournalRow]:
        """A workspace's events by seq."""
        ...

    async def inputs(self, workspace: str, after_no: int, limit: int) -> list[InputRow]:
        """Stored inputs from number `after_no` + 1, by number; `limit` counts rows."""
        ...

    async def snapshot_before(self, workspace: str, number: int) -> Snapshot | None:
        """The latest snapshot at or before input `number`."""
        ...

    async def snapshot_entities(
        self, workspace: str, number: int, after: tuple[str, str], limit: int
    ) -> list[Entity]: ...

    async def all_entities(
        self, workspace: str, after: tuple[str, str], limit: int
    ) -> list[Entity]:
        """Open and closed ones, in order of (kind, key); for replay's comparison."""
        ...

    # Keeping

    async def maintain(
        self, now_us: int, inputs_before_us: int, replies_before_us: int, seen_days: int, limit: int
    ) -> int:
        """Make days ahead, drop old ones whole, delete what is past keeping: at most `limit` rows
        of each kind. Returns how many rows went; call again while it is not 0.

        Inputs go only as far as a snapshot allows: every moment kept can be rebuilt."""
        ...

    async def wait_config(self, timeout_s: float) -> None:
        """Returns when somebody wrote configuration, or after `timeout_s`."""
        ...

    async def close(self) -> None: ...
