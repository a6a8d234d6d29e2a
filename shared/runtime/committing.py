"""From a batch applied to a batch stored: made up, sent, and what follows when it has landed."""

import structlog

from shared.runtime.caution import Caution
from shared.runtime.deps import Deps
from shared.runtime.flight import Flight
from shared.runtime.following import Following
from shared.runtime.inbox import Inbox
from shared.runtime.outbox import Outbox
from shared.runtime.port import JOURNAL, CommandFailed
from shared.runtime.reads import Reads
from shared.runtime.roster import Roster
from shared.runtime.round import Round
from shared.runtime.signals import Signals
from shared.runtime.store.port import Batch, StoreUnavailable
from shared.runtime.tenure import Gone, Tenure

log = structlog.get_logger(__name__)


class Committing:
    """One shard's: one commit on its way at most."""

    def __init__(
        self,
        deps: Deps,
        tenure: Tenure,
        following: Following,
        inbox: Inbox,
        roster: Roster,
        outbox: Outbox,
        reads: Reads,
        signals: Signals,
    ) -> None:
        self._tenure = tenure
        self._following = following
        self._inbox = inbox
        self._roster = roster
        self._outbox = outbox
        self._reads = reads
        self._signals = signals
        self._clock = deps.clock
        self._limits = deps.limits
        self._watches = deps.watches
        service = deps.factory.service
        self._commit_seconds = deps.metrics.commit_seconds.labels(service)
        self._batch_inputs = deps.metrics.batch_inputs.labels(service)
        self.caution = Caution(deps.limits.caution_inputs)
        self.flight = Flight(
            deps.store,
            deps.clock,
            landed=self._committed,
            refused=self._become_cautious,
            nothing_done=tenure.nothing_done,
            ended=signals.work.set,
        )

    @property
    def may_overlap(self) -> bool:
        """Whether the next batch is applied while this one commits: when enough waits for it, and
        no reader, who would have to wait for both."""
        return (
            self._inbox.waiting >= self._limits.overlap_inputs
            and not self.caution
            and not self._tenure.leaving
            and not self._reads
        )

    async def commit(self, round_: Round) -> None:
        try:
            await self.flight.land()
            self._tenure.check_running()
        except Gone:
            round_.abandon(self._tenure.why_not())
            raise
        except Exception:
            round_.abandon(self._tenure.nothing_done())
            raise
        try:
            batch = await self._build(round_)
        except StoreUnavailable:
            round_.abandon(self._tenure.nothing_done())
            raise
        except Exception as error:
            self._become_cautious(round_, error)
            raise
        if self._is_empty(batch):
            round_.settle(batch, self._wake_watchers)
            self._after(round_)
            return
        self.flight.start(round_, batch)
        if not self.may_overlap:
            await self.flight.land()

    async def _build(self, round_: Round) -> Batch:
        return await round_.batch(
            self._tenure.partition,
            self._tenure.epoch,
            self._limits.lease_s,
            self._inbox.positions() if self._following.attached else {},
            self._outbox.published,
            self._outbox.last,
        )

    def _is_empty(self, batch: Batch) -> bool:
        moved = bool(batch.positions) and batch.positions != self._following.positions
        return not (batch.states or batch.journal or moved)

    def _committed(self, round_: Round, batch: Batch, sent_at: float) -> None:
        self._tenure.renewed(sent_at)
        self._tenure.failures = 0
        self.caution.passed()
        if batch.positions:
            self._following.positions = batch.positions
        self._commit_seconds.observe(self._clock.monotonic() - sent_at)
        self._batch_inputs.observe(sum([row.count for row in batch.inputs]))
        round_.settle(batch, self._wake_watchers)
        self._outbox.committed(batch.journal)
        if batch.journal:
            self._signals.unpublished.set()
        self._after(round_)

    def _after(self, round_: Round) -> None:
        for workspace in round_.touched.values():
            self._roster.plan(workspace)
        self._roster.serve_config_waits()

    def _wake_watchers(self, workspace: str, names: set[str], journal: bool) -> None:
        if journal:
            names.add(JOURNAL)
        self._watches.wake(workspace, names)

    def _become_cautious(self, round_: Round, error: Exception) -> None:
        """The store refuses this batch for good: find the input by committing one at a time."""
        log.error("a batch cannot be stored", partition=self._tenure.partition, exc_info=error)
        if self.caution:
            self.caution.condemn(round_)
            self._rest_timers(round_)
            round_.abandon(CommandFailed("the command failed"))
        else:
            round_.abandon(self._tenure.nothing_done())
        self.caution.begin()

    def _rest_timers(self, round_: Round) -> None:
        pause_us = round(self._limits.timer_backoff_most_s * 1_000_000)
        until_us = self._clock.wall_us() + pause_us
        for workspace in round_.touched.values():
            if workspace.timer_fed:
                self._roster.rest(workspace.id, until_us)
