"""One shard in the hands of its owner: what waits, what it decides, and what is committed.

Nothing runs by itself here: the runtime (or a simulation) calls `step` and `publish`.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from enum import Enum
from typing import TypeVar

import structlog

from shared.bus.port import Bus, Record
from shared.contracts.core import LIVE, Core, CoreFactory, Input
from shared.contracts.problems import Refused
from shared.runtime import deadletters
from shared.runtime.arrivals import Arrival, of_record
from shared.runtime.caution import Caution
from shared.runtime.clock import Clock
from shared.runtime.flight import Flight
from shared.runtime.gathering import Gathering
from shared.runtime.inbox import Inbox, Taken
from shared.runtime.limits import Limits
from shared.runtime.metrics import RuntimeMetrics
from shared.runtime.outbox import Outbox
from shared.runtime.port import (
    JOURNAL,
    CommandFailed,
    EnrichConfig,
    NotOwner,
    Reply,
    Unavailable,
    UnknownWorkspace,
)
from shared.runtime.reads import Reads
from shared.runtime.roster import Roster
from shared.runtime.round import Answer, Round, answer
from shared.runtime.store.port import (
    Batch,
    CommitUnknown,
    ShardLease,
    StaleEpoch,
    Store,
    StoreUnavailable,
    WorkspaceRow,
)
from shared.runtime.watches import Watches
from shared.runtime.workspaces import Inconsistent, Workspace

log = structlog.get_logger(__name__)

T = TypeVar("T")
_LIVE = Input("lifecycle", LIVE)


class Phase(Enum):
    LOADING = "loading"
    RUNNING = "running"
    HALTED = "halted"
    LOST = "lost"


class _Gone(Exception):
    """The shard was lost or halted while a batch was in the making."""


class Shard:
    """`deps` of all shards of one replica come in through the constructor; see `Runtime`."""

    def __init__(
        self,
        lease: ShardLease,
        leased_at: float,
        factory: CoreFactory,
        bus: Bus,
        store: Store,
        clock: Clock,
        limits: Limits,
        metrics: RuntimeMetrics,
        watches: Watches,
        enrich: EnrichConfig | None,
    ) -> None:
        self.partition = lease.partition
        self.epoch = lease.epoch
        self.phase = Phase.HALTED if lease.halted else Phase.LOADING
        self.halted = lease.halted
        self.work = asyncio.Event()
        self.unpublished = asyncio.Event()
        self.leaving = False
        self._factory = factory
        self._store = store
        self._clock = clock
        self._limits = limits
        self._metrics = metrics
        self._watches = watches
        self.outbox = Outbox(store, bus, lease.partition, limits, metrics)
        self.inbox = Inbox(limits)
        self.roster = Roster(lease.partition, factory, store, limits, self.inbox, enrich)
        self._gathering = Gathering(self.inbox, self.roster, store, limits, metrics)
        self._reads = Reads(limits.queries, limits.retry_after_s)
        self._lease: ShardLease | None = lease
        self._lease_until = leased_at + limits.lease_s
        self._retry_at = 0.0
        self._failures = 0
        self._caution = Caution(limits.caution_inputs)
        self._flight = Flight(
            store,
            clock,
            landed=self._committed,
            refused=self._become_cautious,
            nothing_done=self._nothing_done,
            ended=self.work.set,
        )
        self._in_flight: set[tuple[str, str, str]] = set()
        # Reading: which offsets to begin at, and where the log ended when it was joined.
        self.reading = 0
        self.attached = False
        self.positions: dict[str, int] = {}
        self._ends: dict[str, int] | None = None
        self._loaded_at = 0.0
        self.catching_up = True

    @property
    def workspaces(self) -> dict[str, Workspace]:
        return self.roster.workspaces

    # What the lease says

    @property
    def holds(self) -> bool:
        """By this replica's own clock; PostgreSQL's word is final at each commit."""
        return self.phase is not Phase.LOST and self._clock.monotonic() < self._lease_until

    @property
    def live(self) -> bool:
        return self.phase is Phase.RUNNING and not self.catching_up

    @property
    def state(self) -> str:
        """For people: loading, catching up, running, halted, lost."""
        if self.phase is Phase.RUNNING and self.catching_up:
            return "catching up"
        return self.phase.value

    def heartbeat(self, sent_at: float) -> None:
        """The lease was prolonged beside the batches. Past its end it stays over: after such a
        stall the shard looks again at what is committed."""
        if self.phase is not Phase.RUNNING or self.holds:
            self.renewed(sent_at)

    def renewed(self, sent_at: float) -> None:
        """A renewal that was sent at `sent_at` (monotonic) has come back."""
        self._lease_until = max(self._lease_until, sent_at + self._limits.lease_s)

    def lose(self) -> None:
        """Another replica owns the shard, or will: forget everything."""
        if self.phase is not Phase.LOST:
            log.info("shard given up", partition=self.partition, epoch=self.epoch)
            self.phase = Phase.LOST
            self._forget(NotOwner(None))
        self.work.set()
        self.unpublished.set()

    async def halt(self, reason: str) -> None:
        """Stop deciding until a person clears it. Raises StoreUnavailable.

        Another owner's shard is only let go: who loads while that one commits reads a mixture.
        """
        self.phase, self.halted = Phase.HALTED, reason
        self._forget(Unavailable("the shard is halted until an operator acts", 30))
        try:
            await self._store.halt(self.partition, self.epoch, reason)
        except StaleEpoch:
            self.lose()
            return
        finally:
            if self.phase is Phase.HALTED:
                log.error("shard halted", partition=self.partition, why=reason)
                halted = self._metrics.halted.labels(self._factory.service, str(self.partition))
                halted.set(1)

    def unhalt(self) -> None:
        """A person has cleared it."""
        if self.phase is Phase.HALTED:
            self.phase, self.halted, self._lease = Phase.LOADING, None, None
            self._metrics.halted.labels(self._factory.service, str(self.partition)).set(0)
            self.work.set()

    # What comes in

    def offer(self, records: Iterable[Record]) -> None:
        """Records of this partition, in the log's order."""
        if self.phase is not Phase.RUNNING or not self.attached:
            return
        for record in records:
            workspace, arrival = of_record(record)
            self._put(workspace, arrival)
        self.work.set()

    def submit(self, workspace: str, arrival: Arrival) -> "asyncio.Future[Reply]":
        """A command takes its place in the queue. Raises Unavailable, NotOwner, Refused."""
        self._refuse_when_not_serving()
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
        self.work.set()
        return future

    async def query(self, workspace: str, fn: Callable[[Core], T]) -> T:
        """Raises Unavailable, NotOwner, UnknownWorkspace, and what `fn` raises."""
        self._refuse_when_not_serving()
        found = self.workspaces.get(workspace)
        if self.phase is Phase.RUNNING and found is not None and found.readable and self.holds:
            return fn(found.core)
        future = self._reads.put(workspace, fn)
        self.roster.ask_for(workspace)
        self.work.set()
        return await future

    def notice(self, rows: Iterable[WorkspaceRow]) -> None:
        """What `platform` says of the shard's workspaces now."""
        if self.roster.notice(rows):
            self.work.set()

    def config_reached(self, workspace: str, version: int) -> "asyncio.Future[None]":
        """Done once a commit has taken in shared configuration up to `version`."""
        self._refuse_when_not_serving()
        self.work.set()
        return self.roster.config_reached(workspace, version)

    def _put(self, workspace: str, arrival: Arrival) -> None:
        self.roster.ask_for(workspace)
        self.inbox.put(workspace, arrival)

    def _why_not(self) -> Exception:
        if self.phase is Phase.LOST:
            return NotOwner(None)
        return Unavailable("the shard is halted until an operator acts", 30)

    def _refuse_when_not_serving(self) -> None:
        if self.phase in (Phase.LOST, Phase.HALTED):
            raise self._why_not()
        if self.phase is Phase.LOADING and self._failures:
            raise Unavailable("the shard is recovering", self._limits.retry_after_s)

    # Joining the log

    def join(self, starts: dict[str, int], ends: dict[str, int]) -> None:
        """Reading begins at `starts`; up to `ends` it is catching up. Called by the intake."""
        self.inbox.start(starts)
        self.positions = dict(starts)
        self._ends = dict(ends)
        self.attached = True
        self.work.set()

    def _finish_catching_up(self) -> None:
        if not self.catching_up or self._ends is None:
            return
        here = self.inbox.positions()
        if any(here[topic] < end for topic, end in self._ends.items()):
            return
        self.catching_up = False
        log.info("shard is live", partition=self.partition, epoch=self.epoch)
        for workspace in self.workspaces.values():
            if workspace.behind:
                self.inbox.put_first(workspace.id, Arrival(_LIVE))

    # Deciding

    async def step(self) -> bool:
        """At most one batch; False when there was nothing to do. Never raises."""
        if self.phase in (Phase.LOST, Phase.HALTED):
            return False
        try:
            if self.phase is Phase.LOADING:
                return await self._load()
            if not self._may_overlap:
                await self.land()
                self._reads.serve(self.workspaces)
            await self._keep_lease()
            if self.roster.is_behind:
                await self.roster.meet()
            self._finish_catching_up()
            worked = await self._decide()
            if not self._flight:
                self._reads.serve(self.workspaces)
            return worked
        except StaleEpoch:
            self.lose()
            self._forget(NotOwner(None))
        except _Gone:
            self._forget(self._why_not())
        except Inconsistent as error:
            await self._halt_quietly(str(error))
        except (StoreUnavailable, CommitUnknown) as error:
            self.fail(error)
        except Exception as error:
            log.exception("the shard failed", partition=self.partition)
            self.fail(error)
        return True

    def rest_s(self) -> float:
        """How long there is nothing to do, unless something arrives."""
        if self.phase is Phase.LOADING:
            return max(0.0, self._retry_at - self._clock.monotonic())
        wake_us = self.roster.next_wake_us() if self.phase is Phase.RUNNING else None
        if wake_us is None:
            return self._limits.idle_s
        due_s = (wake_us - self._clock.wall_us()) / 1_000_000
        return min(self._limits.idle_s, max(0.001, due_s))

    async def _halt_quietly(self, reason: str) -> None:
        try:
            await self.halt(reason)
        except StoreUnavailable:
            log.warning("the halt could not be noted", partition=self.partition)

    async def _keep_lease(self) -> None:
        """A shard that stalled past its lease asks first, and then catches up like a new owner."""
        if self._clock.monotonic() < self._lease_until:
            return
        raise StoreUnavailable("the lease ran out: look again who owns the shard")

    async def _decide(self) -> bool:
        wall_us = self._clock.wall_us()
        if not self._may_begin():
            return False
        due = self.roster.due(wall_us, self._batch_limit())
        taken = self._gathering.take(self._batch_limit(), paced=not self._flight)
        if not taken and not due and not self._gathering.stray:
            return False
        round_ = self._new_round()
        taken = await self._gathering.new_ones(taken)
        began = self._clock.monotonic()
        try:
            self._check_running()
            await self._apply(round_, due, taken)
        except _Gone:
            self._turn_away(taken, self._why_not())
            raise
        except Exception:
            self._turn_away(taken, self._nothing_done())
            raise
        self._metrics.apply_seconds.labels(self._factory.service).observe(
            self._clock.monotonic() - began
        )
        await self._commit(round_)
        return True

    def _check_running(self) -> None:
        """Between two waits the shard may have been lost or halted."""
        if self.phase is not Phase.RUNNING:
            raise _Gone

    def _may_begin(self) -> bool:
        """Before the log is joined, commands and timers wait a moment for it."""
        if self.attached:
            return True
        return self._clock.monotonic() >= self._loaded_at + self._limits.attach_grace_s

    def _new_round(self) -> Round:
        return Round(
            self._factory,
            self._store,
            self._clock,
            self._limits,
            self._metrics,
            behind=self.catching_up,
            before=self._flight.round,
            landed=self.land,
        )

    def _batch_limit(self) -> int:
        return 1 if self._caution else self._limits.batch_inputs

    def _turn_away(self, taken: Taken, error: Exception) -> None:
        """What was taken will not be decided here: its callers learn why."""
        answer([(arrival.future, error) for _, arrival in taken if arrival.future is not None])

    async def _apply(self, round_: Round, due: Iterable[Workspace], taken: Taken) -> None:
        workspaces = self.workspaces
        for workspace in due:
            await round_.wake(workspace)
        paced, slice_s = not self._flight, self._limits.batch_ms / 1000
        deadline = self._clock.monotonic() + slice_s
        reached = len(taken)
        for at, (name, arrival) in enumerate(taken):
            if at and not at & 7 and self._clock.monotonic() > deadline:
                if paced:
                    self.inbox.put_back(taken[at:])
                    reached = at
                    break
                # The batch before commits meanwhile; others may have a turn.
                await asyncio.sleep(0)
                self._check_running()
                deadline = self._clock.monotonic() + slice_s
            workspace = workspaces[name]
            if self._caution.condemns(arrival):
                await round_.condemn(workspace, arrival)
            else:
                await round_.take(workspace, arrival)
        if paced:
            self._gathering.took(reached, len(taken) - reached)
        for name, arrival in self._gathering.stray:
            self._bury_stray(round_, name, arrival)
        self._gathering.stray = []

    def _bury_stray(self, round_: Round, name: str, arrival: Arrival) -> None:
        if arrival.future is not None:
            round_.answers.append((arrival.future, UnknownWorkspace(name)))
        if arrival.what is None:
            round_.stray(arrival, deadletters.UNREADABLE, arrival.fault)
        else:
            detail = f"there is no workspace {name!r} in this shard"
            round_.stray(arrival, deadletters.UNKNOWN_WORKSPACE, detail, name)

    # Committing

    @property
    def _may_overlap(self) -> bool:
        """Whether the next batch is applied while this one commits: when enough waits for it, and
        no reader, who would have to wait for both."""
        return (
            self.inbox.waiting >= self._limits.overlap_inputs
            and not self._caution
            and not self.leaving
            and not self._reads
        )

    async def land(self) -> None:
        """Wait until the commit on its way has ended; raises what it raised."""
        await self._flight.land()

    def ground(self) -> None:
        """Nobody waits for the commit on its way any more."""
        self._flight.ground()

    async def _commit(self, round_: Round) -> None:
        try:
            await self.land()
            self._check_running()
        except _Gone:
            round_.abandon(self._why_not())
            raise
        except Exception:
            round_.abandon(self._nothing_done())
            raise
        try:
            batch = await self._build(round_)
        except StoreUnavailable:
            round_.abandon(self._nothing_done())
            raise
        except Exception as error:
            self._become_cautious(round_, error)
            raise
        if self._is_empty(batch):
            round_.settle(batch, self._wake_watchers)
            self._after(round_)
            return
        self._flight.start(round_, batch)
        if not self._may_overlap:
            await self.land()

    async def _build(self, round_: Round) -> Batch:
        return await round_.batch(
            self.partition,
            self.epoch,
            self._limits.lease_s,
            self.inbox.positions() if self.attached else {},
            self.outbox.published,
            self.outbox.last,
        )

    def _is_empty(self, batch: Batch) -> bool:
        moved = bool(batch.positions) and batch.positions != self.positions
        return not (batch.states or batch.journal or moved)

    def _committed(self, round_: Round, batch: Batch, sent_at: float) -> None:
        self.renewed(sent_at)
        self._failures = 0
        self._caution.passed()
        if batch.positions:
            self.positions = batch.positions
        self._metrics.commit_seconds.labels(self._factory.service).observe(
            self._clock.monotonic() - sent_at
        )
        self._metrics.batch_inputs.labels(self._factory.service).observe(
            sum(row.count for row in batch.inputs)
        )
        round_.settle(batch, self._wake_watchers)
        self.outbox.committed(batch.journal)
        if batch.journal:
            self.unpublished.set()
        self._after(round_)

    def _after(self, round_: Round) -> None:
        for workspace in round_.touched.values():
            self.roster.plan(workspace)
        self.roster.serve_config_waits()

    def _wake_watchers(self, workspace: str, names: set[str], journal: bool) -> None:
        if journal:
            names.add(JOURNAL)
        self._watches.wake(workspace, names)

    def _become_cautious(self, round_: Round, error: Exception) -> None:
        """The store refuses this batch for good: find the input by committing one at a time."""
        log.error("a batch cannot be stored", partition=self.partition, exc_info=error)
        if self._caution:
            self._caution.condemn(round_)
            rest_until_us = self._clock.wall_us() + round(
                self._limits.timer_backoff_most_s * 1_000_000
            )
            for workspace in round_.touched.values():
                if workspace.timer_fed:
                    self.roster.rest(workspace.id, rest_until_us)
            round_.abandon(CommandFailed("the command failed"))
        else:
            round_.abandon(self._nothing_done())
        self._caution.begin()

    def _nothing_done(self) -> Unavailable:
        return Unavailable("nothing was stored; try again", self._limits.retry_after_s)

    def fail(self, error: Exception) -> None:
        """Discard the shard's memory; the next step looks again what is committed."""
        log.warning(
            "shard discarded its memory",
            partition=self.partition,
            why=type(error).__name__,
            detail=str(error),
        )
        self._metrics.failures.labels(self._factory.service, type(error).__name__).inc()
        if self.phase in (Phase.LOST, Phase.HALTED):
            self._forget(self._why_not())
            return
        self.phase, self._lease = Phase.LOADING, None
        limits = self._limits
        pause_s = min(limits.backoff_most_s, limits.backoff_first_s * 2 ** min(self._failures, 16))
        self._failures += 1
        self._retry_at = self._clock.monotonic() + pause_s
        self._forget(self._nothing_done())

    def _forget(self, error: Exception) -> None:
        self.attached, self.catching_up, self._ends = False, True, None
        waiting = [*self.inbox.clear(), *(arrival for _, arrival in self._gathering.stray)]
        self._gathering.stray = []
        answers: list[Answer] = [(each.future, error) for each in waiting if each.future]
        answer(answers)
        self._reads.fail(error)
        self._watches.wake_all(self.workspaces)
        self.roster.clear(error)

    # Loading

    async def _load(self) -> bool:
        if self._clock.monotonic() < self._retry_at:
            return False
        with contextlib.suppress(Exception):
            await self.land()  # what comes of it must not meet what is loaded now
        sent_at = self._clock.monotonic()
        lease = self._lease
        if lease is None:
            lease = await self._store.reacquire(self.partition, self.epoch, self._limits.lease_s)
            self.epoch = lease.epoch
            self._lease_until = sent_at + self._limits.lease_s
        self._lease = None
        self.positions = dict(lease.positions)
        self.outbox.resume(lease.published, lease.last_position)
        await self.roster.meet()
        if self.phase is not Phase.LOADING:  # the shard was lost meanwhile
            self._forget(self._why_not())
            return True
        self.phase = Phase.RUNNING
        self._loaded_at = self._clock.monotonic()
        self.reading += 1
        log.info(
            "shard loaded",
            partition=self.partition,
            epoch=self.epoch,
            workspaces=len(self.workspaces),
        )
        self._reads.serve(self.workspaces)
        self.unpublished.set()
        return True

    # Publishing

    async def publish(self) -> bool:
        """Send what is committed; True when there was something.

        Raises BusUnavailable, StoreUnavailable: nothing is lost, the same rows come again.
        """
        if self.phase is Phase.LOST:
            return False
        return await self.outbox.publish()
