"""Events of the SLA service, on `sla.events`. API.md, «SLA»."""

import msgspec


class SlaEvent(msgspec.Struct, kw_only=True, gc=False):
    """`task_id` is null until the clock is bound, `due_at` null while it is paused."""

    workspace: str
    seq: int
    at: str
    clock_id: str
    cycle: int
    conversation_id: str
    metric: str
    task_id: str | None = None
    due_at: str | None = None


class ClockStarted(SlaEvent, kw_only=True):
    target_s: float


class ClockBound(SlaEvent, kw_only=True):
    """What was told before the task was known holds for the task: the clock's state, the highest
    level that was warned of (0: none), and whether it is breached."""

    queue: str | None = None
    state: str = "running"
    warned: float = 0.0
    breached: bool = False


class ClockMoved(SlaEvent, kw_only=True):
    because: str


class ClockPaused(SlaEvent, kw_only=True):
    reason: str | None = None


class ClockResumed(SlaEvent, kw_only=True):
    pass


class ClockWarning(SlaEvent, kw_only=True):
    level: float


class ClockNotice(SlaEvent, kw_only=True):
    """A level of a ladder: `used` of the target is used, `notify` is to be told."""

    name: str
    used: float
    notify: list[str]


class ClockMet(SlaEvent, kw_only=True):
    """`predicted`: a breach had been predicted."""

    satisfied_at: str
    predicted: bool = False


class ClockMissed(SlaEvent, kw_only=True):
    """A breached clock has ended; a miss counts from its breach, which was told before."""

    satisfied_at: str


class ClockBreached(SlaEvent, kw_only=True):
    detected_lag_s: float
    predicted: bool = False


class ClockCorrected(SlaEvent, kw_only=True):
    """`withdrawn`: "breached" or "warning", where what was told so does not hold; of warnings,
    `level` is the highest that still does (0: none)."""

    because: str
    withdrawn: str | None = None
    level: float | None = None


class ClockPredictedBreach(SlaEvent, kw_only=True):
    """The stop is expected at `expected_at`, in `expected_wait_s`, after the deadline."""

    expected_wait_s: float
    expected_at: str | None = None


class ClockCancelled(SlaEvent, kw_only=True):
    state: str


TYPES: dict[str, type[SlaEvent]] = {
    "sla.clock.started.v1": ClockStarted,
    "sla.clock.bound.v1": ClockBound,
    "sla.clock.moved.v1": ClockMoved,
    "sla.clock.paused.v1": ClockPaused,
    "sla.clock.resumed.v1": ClockResumed,
    "sla.clock.warning.v1": ClockWarning,
    "sla.clock.notice.v1": ClockNotice,
    "sla.clock.met.v1": ClockMet,
    "sla.clock.missed.v1": ClockMissed,
    "sla.clock.breached.v1": ClockBreached,
    "sla.clock.corrected.v1": ClockCorrected,
    "sla.clock.predicted_breach.v1": ClockPredictedBreach,
    "sla.clock.cancelled.v1": ClockCancelled,
}
TYPE_OF: dict[type[SlaEvent], str] = {struct: name for name, struct in TYPES.items()}
