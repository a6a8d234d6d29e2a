"""What a service's shell calls: commands in, committed answers out. `runtime.Runtime` provides it.

Any replica may be asked; `NotOwner` names the one to forward to.
"""

from collections.abc import Awaitable, Callable, Collection
from types import TracebackType
from typing import Protocol, Self, TypeVar

import msgspec

from shared.contracts.core import Core, Input

T = TypeVar("T")

JOURNAL = "journal"
"""The name that wakes watchers after every commit that added to the workspace's journal."""


class IdempotencyKey(msgspec.Struct, frozen=True, gc=False):
    """`scope` is principal and route, `fingerprint` a hash of the body (at most 32 bytes)."""

    scope: str
    key: str
    fingerprint: bytes


class Reply(msgspec.Struct, frozen=True, gc=False):
    """`body` is `Outcome.reply`, committed. `replayed`: recorded earlier under the same key."""

    body: bytes
    replayed: bool = False


class JournalEvent(msgspec.Struct, frozen=True, gc=False):
    """One event of a workspace's journal; `data` is JSON, `at_us` the `now` of its input."""

    seq: int
    type: str
    data: bytes
    at_us: int
    key: str = ""


class NotOwner(Exception):
    """Another replica owns the workspace's shard. `url` None: nobody known does, try again soon."""

    def __init__(self, url: str | None, retry_after_s: int = 1) -> None:
        super().__init__("the workspace's shard belongs to another replica")
        self.url = url
        self.retry_after_s = retry_after_s


class UnknownWorkspace(Exception):
    """There is no such workspace (any more)."""


class Unavailable(Exception):
    """Transient: nothing was done. `detail` is fit for a caller's eyes."""

    def __init__(self, detail: str, retry_after_s: int = 1) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after_s = retry_after_s


class OutcomeUnknown(Exception):
    """The commit was not confirmed; repeat with the same Idempotency-Key to learn."""

    retry_after_s = 1


class CommandFailed(Exception):
    """The core failed on this command: a defect. Nothing was recorded."""


class Readiness(msgspec.Struct, frozen=True):
    """`why` says, shard by shard, what is not ready or halted."""

    ready: bool
    why: list[str] = []


class WatchPort(Protocol):
    """Names of one workspace that somebody waits for. Close it, or use it in a `with`."""

    async def changed(self, timeout_s: float) -> bool:
        """True as soon as a commit touched a name since the last True (or the shard was lost:
        the next query tells); False after `timeout_s`. One waiter at a time."""
        ...

    def wake(self) -> None:
        """Let `changed` return as if there were news."""
        ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class RuntimePort(Protocol):
    """One service's replica. Every call belongs to the event loop that started it."""

    async def start(self) -> None: ...

    async def stop(self) -> None:
        """Finish the batches in hand, publish, and give the leases back at once."""
        ...

    def ready(self) -> Readiness: ...

    async def submit(
        self, workspace: str, what: Input, *, idempotency: IdempotencyKey | None = None
    ) -> Reply:
        """Put a command (or a lifecycle input) in order and return once it is committed.

        Raises Refused (also 409 `in_flight` and 422 for a key used with another body), NotOwner,
        UnknownWorkspace, Unavailable (nothing done), OutcomeUnknown, CommandFailed.
        """
        ...

    async def query(self, workspace: str, fn: Callable[[Core], T]) -> T:
        """`fn` of the core on committed state; synchronous, short, and it changes nothing.

        Raises what `fn` raises, NotOwner, UnknownWorkspace, Unavailable.
        """
        ...

    def watch(self, workspace: str, names: Collection[str]) -> WatchPort:
        """Wait for `Outcome.touched` names, or JOURNAL. Raises Unavailable at the limit."""
        ...

    async def journal(
        self,
        workspace: str,
        after_seq: int,
        types: Collection[str] | None = None,
        limit: int = 100,
    ) -> list[JournalEvent]:
        """Committed events with seq > after_seq, ascending, of any replica. Raises Unavailable."""
        ...

    async def owner_of(self, workspace: str) -> str | None:
        """URL of the replica that owns it ("" is this one), None when nobody is known to.

        Raises UnknownWorkspace, Unavailable.
        """
        ...

    async def refresh_config(self, workspace: str) -> None:
        """Take in the versions of shared configuration committed so far, before going on.

        Raises NotOwner, UnknownWorkspace, Unavailable.
        """
        ...


EnrichConfig = Callable[[str, str, str, bytes | None], Awaitable[bytes | None]]
"""(workspace, kind, id, body JSON) -> body JSON: what a shell adds to a version of configuration
before it becomes an input (expanded calendar windows). None stays None: deleted."""


# The constructor of `shared.runtime.runtime.Runtime`:
#   Runtime(factory: CoreFactory, bus: Bus, store: Store, clock: Clock, *,
#           replica: str, url: str, topics: Collection[str] | None = None (contracts' CONSUMES),
#           partitions: int = 12, limits: Limits = Limits(), enrich_config: EnrichConfig | None,
#           metrics: RuntimeMetrics | None = None, peers: Mapping[str, Store] | None = None)
# `PostgresStore(engine, service, schema=None, projector=None)` and `MemoryStore(service, platform)`
# are the stores; a projector writes `Outcome.rows` in the batch's transaction.
