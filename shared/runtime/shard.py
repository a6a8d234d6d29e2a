"""One shard in the hands of its owner: what comes in, and its turns.

Nothing runs by itself here: the runtime (or a simulation) calls `step` and `publish`.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import structlog

from shared.bus.port import Record
from shared.contracts.core import LIVE, Core, Input
from shared.contracts.problems import Refused
from shared.runtime.arrivals import Arrival, of_record
from shared.runtime.committing import Committing
from shared.runtime.deciding import Deciding
from shared.runtime.deps import Deps
from shared.runtime.following import Following
from shared.runtime.inbox import Inbox
from shared.runtime.outbox import Outbox
from shared.runtime.port import NotOwner, Reply, Unavailable
from shared.runtime.reads import Reads
from shared.runtime.roster import Roster
from shared.runtime.round import answer
from shared.runtime.signals import Signals
from shared.runtime.store.port import (
    CommitUnknown,
    ShardLease,
    StaleEpoch,
    StoreUnavailable,
    WorkspaceRow,
)
from shared.runtime.tenure import Gone, Phase, Tenure
from shared.runtime.workspaces import Inconsistent, Workspace

log = structlog.get_logger(__name__)

T = TypeVar("T")
_LIVE = Input("lifecycle", LIVE)


class Shard:
    """`deps` of all shards of one replica come in through the constructor; see `Runtime`.

    `seqs` are the journal's last numbers by workspace as the shard was first loaded; it publishes
    once it is `verified` that the log holds no others (see `timeline`).
    """

    def __init__(self, lease: ShardLease, leased_at: float, deps: Deps) -> None:
        limits, clock = deps.limits, deps.clock
        self.tenure = Tenure(lease, leased_at, clock, limits)
        self.signals = Signals()
        self.outbox = Outbox(deps.store, deps.bus, lease.partition, limits, deps.metrics)
        self.inbox = Inbox(limits)
        self.following = Following(self.inbox, clock, limits)
        self.roster = Roster(
            lease.partition, deps.factory, deps.store, limits, self.inbox, deps.enrich
        )
        self.verified = False
        self.seqs: dict[str, int] | None = None
        self._deps = deps
        self._limits = limits
        self._clock = clock
        self._lease: ShardLease | None = lease
        self._reads = Reads(limits.queries, limits.retry_after_s)
        self._in_flight: set[tuple[str, str, str]] = set()
        self._committing = Committing(
            deps,
            self.tenure,
            self.following,
            self.inbox,
            self.roster,
            self.outbox,
            self._reads,
            self.signals,
        )
        self._deciding = Deciding(
            deps, self.tenure, self.following, self.inbox, self.roster, self._committing
        )

    @property
    def workspaces(self) -> dict[str, Workspace]:
        return self.roster.workspaces

    @property
    def partition(self) -> int:
        return self.tenure.partition

    @property
    def epoch(self) -> int:
        return self.tenure.epoch

    @property
    def phase(self) -> Phase:
        return self.tenure.phase

    @property
    def live(self) -> bool:
        return self.phase is Phase.RUNNING and not self.following.catching_up

    @property
    def state(self) -> str:
        """For people: loading, catching up, running, halted, lost."""
        if self.phase is Phase.RUNNING and self.following.catching_up:
            return "catching up"
        return self.phase.value

    # What the lease says

    def heartbeat(self, sent_at: float) -> None:
        """The lease was prolonged beside the batches. Past its end it stays over: after such a
        stall the shard looks again at what is committed."""
        if self.phase is not Phase.RUNNING or self.tenure.holds:
            self.tenure.renewed(sent_at)

    def leave(self) -> None:
        """Finish what is in hand, and begin nothing more."""
        self.tenure.leaving = True
        self.signals.press()

    def lose(self) -> None:
        """Another replica owns the shard, or will: forget everything."""
        if self.phase is not Phase.LOST:
            log.info("shard given up", partition=self.partition, epoch=self.epoch)
            self.tenure.phase = Phase.LOST
            self._forget(NotOwner(None))
        self.signals.wake_all()

    async def halt(self, reason: str) -> None:
        """Stop deciding until a person clears it. Raises StoreUnavailable.

        Another owner's shard is only let go: who loads while that one commits reads a mixture.
        """
        self.tenure.phase, self.tenure.halted = Phase.HALTED, reason
        self._forget(Unavailable("the shard is halted until an operator acts", 30))
        try:
            await self._deps.store.halt(self.partition, self.epoch, reason)
        except StaleEpoch:
            self.lose()
            return
        finally:
            if self.phase is Phase.HALTED:
                log.error("shard halted", partition=self.partition, why=reason)
                self._show_halted(1)

    def unhalt(self) -> None:
        """A person has cleared it."""
        if self.phase is Phase.HALTED:
            self.tenure.phase, self.tenure.halted, self._lease = Phase.LOADING, None, None
            self._show_halted(0)
            self.signals.work.set()

    def _show_halted(self, value: int) -> None:
        service = self._deps.factory.service
        self._deps.metrics.halted.labels(service, str(self.partition)).set(value)

    # What comes in

    def offer(self, records: Sequence[Record]) -> None:
        """Records of this partition, in the log's order."""
        if self.phase is not Phase.RUNNING or not self.following.attached:
            return
        arrived = [of_record(record) for record in records]
        for workspace in {workspace for workspace, _ in arrived}:
            self.roster.ask_for(workspace)
        self.inbox.put_all(arrived)
        if not self._limits.hurried_topics.isdisjoint([each.topic for each in records]):
            self.signals.hurry.set()
        self.signals.work.set()

    def submit(self, workspace: str, arrival: Arrival) -> "asyncio.Future[Reply]":
        """A command takes its place in the queue. Raises Unavailable, NotOwner, Refused."""
        self.tenure.refuse_when_not_serving()
        if self.inbox.crowded:
            raise Unavailable("too many commands wait", self._limits.retry_after_s)
        if self.outbox.full:
            raise Unavailable("events cannot be published at the moment", 5)
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        arrival.future = future
        key = arrival.idempotency
        if key is not None:
            slot = (workspace, key.scope, key.key)
            if slot in self._in_flight:
                raise Refused("conflict", "The same call is in flight.", reason="in_flight")
            self._in_flight.add(slot)
            future.add_done_callback(lambda _: self._in_flight.discard(slot))
        self._put(workspace, arrival)
        self.signals.press()
        return future

    def readable(self, workspace: str) -> Core | None:
        """The core as committed, where it may be looked at just now."""
        tenure, found = self.tenure, self.roster.workspaces.get(workspace)
        if found is None or tenure.phase is not Phase.RUNNING:
            return None
        return found.core if found.readable and not tenure.is_over else None

    async def query(self, workspace: str, fn: Callable[[Core], T]) -> T:
        """Raises Unavailable, NotOwner, UnknownWorkspace, and what `fn` raises."""
        self.tenure.refuse_when_not_serving()
        core = self.readable(workspace)
        if core is not None:
            return fn(core)
        future = self._reads.put(workspace, fn)
        self.roster.ask_for(workspace)
        self.signals.press()
        return await future

    def notice(self, rows: Iterable[WorkspaceRow]) -> None:
        """What `platform` says of the shard's workspaces now."""
        if self.roster.notice(rows):
            self.signals.work.set()

    def config_reached(self, workspace: str, version: int) -> "asyncio.Future[None]":
        """Done once a commit has taken in shared configuration up to `version`."""
        self.tenure.refuse_when_not_serving()
        self.signals.press()
        return self.roster.config_reached(workspace, version)

    def _put(self, workspace: str, arrival: Arrival) -> None:
        self.roster.ask_for(workspace)
        self.inbox.put(workspace, arrival)

    def verify(self) -> None:
        """The log holds nothing that the journal does not know: publishing may begin."""
        self.verified = True
        self.signals.unpublished.set()

    def join(self, starts: dict[str, int], ends: dict[str, int]) -> None:
        """Reading begins at `starts`; up to `ends` it is catching up. Called by the intake."""
        self.following.join(starts, ends)
        self.signals.work.set()

    # Its turns

    async def step(self) -> bool:
        """At most one batch; False when there was nothing to do. Never raises."""
        if self.phase in (Phase.LOST, Phase.HALTED):
            return False
        try:
            if self.phase is Phase.LOADING:
                return await self._load()
            return await self._turn()
        except StaleEpoch:
            self.lose()
            self._forget(NotOwner(None))
        except Gone:
            self._forget(self.tenure.why_not())
        except Inconsistent as error:
            await self._halt_quietly(str(error))
        except (StoreUnavailable, CommitUnknown) as error:
            self.fail(error)
        except Exception as error:
            log.exception("the shard failed", partition=self.partition)
            self.fail(error)
        return True

    async def _turn(self) -> bool:
        self.signals.hurry.clear()
        if not self._committing.may_overlap:
            await self.land()
            self._reads.serve(self.workspaces)
        self.tenure.check_lease()
        if self.roster.is_behind:
            await self.roster.meet()
        if self.following.caught_up():
            self._go_live()
        worked = await self._deciding.decide()
        if not self._committing.flight:
            self._reads.serve(self.workspaces)
        return worked

    def _go_live(self) -> None:
        service = self._deps.factory.service
        log.info("shard is live", service=service, partition=self.partition, epoch=self.epoch)
        for workspace in self.workspaces.values():
            if workspace.behind:
                self.inbox.put_first(workspace.id, Arrival(_LIVE))

    async def gather(self) -> None:
        """Wait for more before the next batch, so that one commit serves many."""
        await self._clock.sleep(self.gather_s())
        if (longer_s := self.linger_s()) > 0:
            await self._clock.within(self.signals.hurry.wait(), longer_s)

    def gather_s(self) -> float:
        """How long the next batch waits in any case."""
        return self._until_s(self._deciding.pace.least_at)

    def linger_s(self) -> float:
        """How long it waits unless somebody waits for it."""
        return self._until_s(self._deciding.pace.at)

    def _until_s(self, begins: float) -> float:
        if self._committing.flight or self._committing.may_overlap or self.tenure.leaving:
            return 0.0
        if self._reads or self.phase is not Phase.RUNNING:
            return 0.0
        return max(0.0, begins - self._clock.monotonic())

    def rest_s(self) -> float:
        """How long there is nothing to do, unless something arrives."""
        if self.phase is Phase.LOADING:
            return max(0.0, self.tenure.retry_at - self._clock.monotonic())
        wake_us = self.roster.next_wake_us() if self.phase is Phase.RUNNING else None
        if wake_us is None:
            return self._limits.idle_s
        due_s = (wake_us - self._clock.wall_us()) / 1_000_000
        return min(self._limits.idle_s, max(0.001, due_s, self.following.grace_s()))

    async def land(self) -> None:
        """Wait until the commit on its way has ended; raises what it raised."""
        await self._committing.flight.land()

    def ground(self) -> None:
        """Nobody waits for the commit on its way any more."""
        self._committing.flight.ground()

    async def publish(self) -> bool:
        """Send what is committed; True when there was something.

        Raises BusUnavailable, StoreUnavailable: nothing is lost, the same rows come again.
        """
        if self.phase is Phase.LOST or not self.verified:
            return False
        return await self.outbox.publish()

    # Loading and forgetting

    async def _load(self) -> bool:
        if self._clock.monotonic() < self.tenure.retry_at:
            return False
        with contextlib.suppress(Exception):
            await self.land()  # what comes of it must not meet what is loaded now
        lease = await self._leased()
        self.following.positions = dict(lease.positions)
        self.outbox.resume(lease.published, lease.last_position)
        await self.roster.meet()
        if self.phase is not Phase.LOADING:  # the shard was lost meanwhile
            self._forget(self.tenure.why_not())
            return True
        if self.seqs is None:
            self.seqs = {name: each.seq for name, each in self.workspaces.items()}
        self.tenure.phase = Phase.RUNNING
        self.following.loaded()
        log.info(
            "shard loaded",
            service=self._deps.factory.service,
            partition=self.partition,
            epoch=self.epoch,
            workspaces=len(self.workspaces),
        )
        self._reads.serve(self.workspaces)
        self.signals.unpublished.set()
        return True

    async def _leased(self) -> ShardLease:
        """What the lease in hand says, or one under a new epoch."""
        lease, self._lease = self._lease, None
        if lease is not None:
            return lease
        sent_at = self._clock.monotonic()
        lease = await self._deps.store.reacquire(self.partition, self.epoch, self._limits.lease_s)
        self.tenure.begin_anew(lease.epoch, sent_at)
        return lease

    async def _halt_quietly(self, reason: str) -> None:
        try:
            await self.halt(reason)
        except StoreUnavailable:
            log.warning("the halt could not be noted", partition=self.partition)

    def fail(self, error: Exception) -> None:
        """Discard the shard's memory; the next step looks again what is committed."""
        name = type(error).__name__
        log.warning(
            "shard discarded its memory",
            service=self._deps.factory.service,
            partition=self.partition,
            why=name,
            detail=str(error),
        )
        self._deps.metrics.failures.labels(self._deps.factory.service, name).inc()
        if self.phase in (Phase.LOST, Phase.HALTED):
            self._forget(self.tenure.why_not())
            return
        self.tenure.phase, self._lease = Phase.LOADING, None
        self.tenure.failed(error)
        self._forget(self.tenure.nothing_done())

    def _forget(self, error: Exception) -> None:
        self.following.leave()
        waiting = [*self.inbox.clear(), *self._deciding.forget()]
        answer([(each.future, error) for each in waiting if each.future])
        self._reads.fail(error)
        self._deps.watches.wake_all(self.workspaces)
        self.roster.clear(error)
