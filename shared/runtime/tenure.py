"""A shard in the hands of one replica: under which epoch, until when, and what may be done with it."""

from enum import Enum

from shared.runtime.clock import Clock
from shared.runtime.limits import Limits
from shared.runtime.port import NotOwner, Unavailable
from shared.runtime.store.port import ShardLease, StoreUnavailable


class Phase(Enum):
    LOADING = "loading"
    RUNNING = "running"
    HALTED = "halted"
    LOST = "lost"


class Gone(Exception):
    """The shard was lost or halted while a batch was in the making."""


class Tenure:
    """One shard's. `leaving`: it finishes what it has in hand, and then lets go. `failures` counts
    those since the last commit; `retry_at` is when it may be loaded (monotonic)."""

    def __init__(self, lease: ShardLease, leased_at: float, clock: Clock, limits: Limits) -> None:
        self.partition = lease.partition
        self.epoch = lease.epoch
        self.phase = Phase.HALTED if lease.halted else Phase.LOADING
        self.halted = lease.halted
        self.leaving = False
        self.failures = 0
        self.retry_at = 0.0
        self._trouble = ""
        self._clock = clock
        self._limits = limits
        self._until = leased_at + limits.lease_s

    @property
    def holds(self) -> bool:
        """By this replica's own clock; PostgreSQL's word is final at each commit."""
        return self.phase is not Phase.LOST and not self.is_over

    @property
    def is_over(self) -> bool:
        """The lease has run out by this replica's clock."""
        return self._clock.monotonic() >= self._until

    def renewed(self, sent_at: float) -> None:
        """A renewal that was sent at `sent_at` (monotonic) has come back."""
        self._until = max(self._until, sent_at + self._limits.lease_s)

    def begin_anew(self, epoch: int, sent_at: float) -> None:
        """The shard was acquired again under another epoch."""
        self.epoch = epoch
        self._until = sent_at + self._limits.lease_s

    def check_lease(self) -> None:
        """A shard that stalled past its lease asks first, and then catches up like a new owner."""
        if self.is_over:
            raise StoreUnavailable("the lease ran out: look again who owns the shard")

    def check_running(self) -> None:
        """Between two waits the shard may have been lost or halted. Raises Gone."""
        if self.phase is not Phase.RUNNING:
            raise Gone

    def failed(self, error: Exception) -> None:
        """It is to be loaded again, after a pause that grows."""
        limits = self._limits
        away = isinstance(error, StoreUnavailable)
        self._trouble = str(error).partition(":")[0] if away else type(error).__name__
        grown_s = limits.backoff_first_s * 2 ** min(self.failures, 16)
        self.failures += 1
        self.retry_at = self._clock.monotonic() + min(limits.backoff_most_s, grown_s)

    # What callers are told

    def told(self, state: str) -> str:
        """The state for everybody's eyes: why it is halted, and what it last failed on."""
        if self.phase is Phase.LOADING and self.failures:
            return f"{state}, {self._trouble}"
        return self.halted or state

    def why_not(self) -> Exception:
        if self.phase is Phase.LOST:
            return NotOwner(None)
        return Unavailable("the shard is halted until an operator acts", 30)

    def nothing_done(self) -> Unavailable:
        return Unavailable("nothing was stored; try again", self._limits.retry_after_s)

    def refuse_when_not_serving(self) -> None:
        """Raises NotOwner, Unavailable."""
        if self.phase in (Phase.LOST, Phase.HALTED):
            raise self.why_not()
        if self.phase is Phase.LOADING and self.failures:
            raise Unavailable("the shard is recovering", self._limits.retry_after_s)
