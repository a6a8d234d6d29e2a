"""The port between the shard runtime and a service's core: inputs in, outcomes out.

A core is the deterministic state machine of one workspace in one service (DESIGN §1, rules 1 and 2).
It does no I/O, reads no clock and draws no random number. The runtime orders its inputs, stores
them, and commits what each batch changed in one transaction.

The same inputs, in the same order, must give the same bytes: outcomes, and entities from `changes`.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Literal, Protocol, runtime_checkable

import msgspec

InputKind = Literal["event", "command", "config", "timer", "lifecycle"]

# Lifecycle inputs that the runtime itself makes.
BEHIND = "behind"  # the shard starts to read a backlog: decide nothing that reaches people yet
LIVE = "live"  # the backlog is read: now catch up with what it means


class Input(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One thing that happened to a workspace, as it is stored and replayed.

    kind       name                        body (JSON)
    event      the CloudEvent's type       the event's data
    command    the command's name          its arguments
    config     kind of the resource        {"id", "version", "body": {…} | null, "windows"?: …}
    timer      "due"                       empty: what is due at the input's `now` happens
    lifecycle  BEHIND, LIVE, and what a shell reports (a lapsed presence lease, …)

    `id` is the event's id, or the id a command's reply is remembered by; `time_us` the occurrence
    time of an event (microseconds since the epoch), 0 for other kinds.
    """

    kind: InputKind
    name: str
    body: bytes = b""
    id: str = ""
    actor: str = ""
    time_us: int = 0
    source: str = ""


class Emitted(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An event that an input caused. `seq` is the workspace's, from 1 without gaps; `data` is JSON.

    topic "" means: kept in the journal, not published.
    """

    seq: int
    type: str
    topic: str
    key: str
    data: bytes


class ConfigWrite(msgspec.Struct, frozen=True, gc=False):
    """A resource that other services need too: kept as a version in `platform` by this commit.

    `body` is its JSON, None when it was deleted.
    """

    kind: str
    id: str
    body: bytes | None


class Row(msgspec.Struct, frozen=True, gc=False):
    """A row for the service's own read tables (upserted by primary key). Values are plain SQL
    values; instants are datetimes only in the writer, here they are microseconds."""

    table: str
    values: dict[str, Any]


class Outcome(msgspec.Struct, gc=False):
    """What one input did.

    `reply` is the command's answer as JSON; `touched` are names that watchers wait for
    ("agent:ana"); `wake` needs no mention: the runtime asks `wake_at_us` after each batch.
    """

    reply: bytes = b""
    events: list[Emitted] = []
    touched: list[str] = []
    config: list[ConfigWrite] = []
    rows: list[Row] = []


class Entity(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A piece of a core's state at rest. `body` None: deleted. `open`: loaded on take-over;
    otherwise it is history that only reads look up."""

    kind: str
    key: str
    body: bytes | None
    open: bool = True


class Core(Protocol):
    """One workspace in one service.

    Not safe for threads; every call is short (well under 10 ms) and never awaits.
    """

    @property
    def last_seq(self) -> int:
        """Sequence number of the last event emitted (0: none yet). Part of the state."""
        ...

    def apply(self, now_us: int, number: int, what: Input) -> Outcome:
        """Apply input `number` (from 1, without gaps per workspace) at `now_us`.

        `now_us` never goes back. Whatever is due at or before `now_us` happens first, in order of
        its due time. Raises `shared.contracts.problems.Refused` (commands only) with nothing
        changed: the input is then not recorded. Any other exception is a fault of the input or the
        core: the runtime throws this object away, loads the workspace again, and gives the record
        to the dead letters.
        """
        ...

    def wake_at_us(self) -> int | None:
        """When the next thing is due by itself; None when nothing is."""
        ...

    def changes(self) -> list[Entity]:
        """The entities changed since the last call, each once, sorted by (kind, key)."""
        ...

    def load(self, entities: Iterable[Entity]) -> None:
        """Take in a chunk of stored open entities; called before the first `apply`."""
        ...

    def dump(self) -> list[Entity]:
        """All open entities, sorted by (kind, key): the snapshot, and what replay compares."""
        ...


@runtime_checkable
class Prepared(Protocol):
    """A core that has much to derive from what was loaded."""

    def prepare(self) -> Iterator[None]:
        """Derive it, a slice of some milliseconds at each step, before the first `apply`; whoever does
        not has it derived at once by the first call."""
        ...


class CoreFactory(Protocol):
    """Makes empty cores of one service. `version` names the code that decides: recorded with
    every input."""

    @property
    def service(self) -> str: ...

    @property
    def version(self) -> str: ...

    def create(self, workspace: str, seed: int) -> Core: ...

    def heeds(self, event_type: str) -> bool:
        """Whether events of this type are inputs. Others on the topics that the service reads are
        noted as read, and nothing else: neither applied nor stored. Pure."""
        ...
