"""The shapes of what calls answer, as clients read them. Answers are built as plain dicts of these types:
the type checker holds them to it, and the OpenAPI document is made of them."""

from datetime import datetime
from typing import Literal, NotRequired, TypedDict

from services.sla.domain.burn import Severity
from services.sla.domain.service_level import Kept
from shared.contracts.service_level import Counts, Levels

State = Literal["running", "paused", "met", "missed", "closed_unanswered", "abandoned", "cancelled"]
Seconds = int | float

# -- clocks


class PolicyVersion(TypedDict):
    id: str
    version: int


LedgerEntry = TypedDict(
    "LedgerEntry",
    {
        "from": str,
        "to": str,
        "kind": Literal["counted", "closed", "holiday", "paused"],
        "seconds": Seconds,
        "because": str,
    },
)


class ClockView(TypedDict):
    """One measurement. `due_at` is null while it is paused, `ended_at` while it is open."""

    metric: str
    cycle: int
    state: State
    started_at: str
    target_s: Seconds
    due_at: str | None
    satisfied_at: str | None
    breached_at: str | None
    ended_at: str | None
    elapsed_s: Seconds
    remaining_s: Seconds
    policy: PolicyVersion
    calendar: str


class TriedClock(ClockView):
    """A clock of an evaluation, with the ledger that accounts for every second of it."""

    ledger: list[LedgerEntry]


class EvaluatedClocks(TypedDict):
    clocks: list[TriedClock]


class GivenWarning(TypedDict):
    level: float
    at: str


class ShownClock(ClockView):
    """A clock without its ledger. `predicted_breach_at` is told of those in memory."""

    id: str
    conversation_id: str
    task_id: str | None
    channel: str | None
    queue: str | None
    agent_id: str | None
    priority: int | float | None
    predicted_breach_at: NotRequired[str | None]
    warnings: list[GivenWarning]


class Clock(ShownClock):
    """A clock; the ledger of what is history is no longer kept: []."""

    ledger: list[LedgerEntry]


class LateMessage(TypedDict):
    at: str
    type: str
    late_s: float


class ExplainedClock(Clock):
    """`late`: messages that came too late to count at their own time. What is history has neither
    that nor `summary` and `at`."""

    summary: NotRequired[str]
    late: NotRequired[list[LateMessage]]
    at: NotRequired[str]


# -- changes


class ClockChange(TypedDict):
    clock_id: str
    conversation_id: str
    metric: str
    due_at: str | None
    new_due_at: str | None
    by_s: float
    would_breach: bool
    would_cancel: bool


class DryRunReport(TypedDict):
    """What a change would do to the open clocks. `by_s`: min, p50, p90, max of how far they move."""

    at: str | None
    clocks: int
    moves: int
    earlier: int
    later: int
    by_s: dict[str, float | None]
    would_breach: int
    would_cancel: int
    would_start: int
    examples: list[ClockChange]


class DryRunProgress(TypedDict):
    """Conversations that were looked at, of how many."""

    done: int
    of: int


class Migration(TypedDict):
    """`clocks`: how many open clocks move; null where they are too many to count at once."""

    id: str
    version: int
    mode: Literal["recompute", "forward", "reset", "proportional"] | None
    clocks: int | None


# -- figures


class Grouped(TypedDict):
    """The group of a row, under the name that was asked for (`by`); null: those without one."""

    queue: NotRequired[str | None]
    channel: NotRequired[str | None]
    agent: NotRequired[str | None]
    policy: NotRequired[str | None]
    priority: NotRequired[int | float | None]
    tag: NotRequired[str | None]


class ServiceLevelRow(Grouped):
    metric: str
    threshold_s: float
    exact: bool
    counts: Counts
    service_level: Levels


class ComplianceRow(Grouped):
    metric: str
    counts: Kept
    compliance: float | None


class DueWithin(TypedDict):
    """`predicted_to_breach`: the expected number; null where nothing like them has ended."""

    within_s: int
    due: int
    predicted_to_breach: float | None
    not_predicted: int


class DueSoon(TypedDict):
    due: list[DueWithin]
    overdue: int


class ForecastRow(Grouped, DueSoon):
    """What is due soon, of one group."""


class Spread(TypedDict):
    """How long something took: exact mean; percentiles and maximum at most 2.5 % too high."""

    n: int
    mean_s: float | None
    p50_s: float | None
    p90_s: float | None
    p95_s: float | None
    max_s: float | None


class HandleTime(Spread):
    talk_s: float | None
    hold_s: float | None
    wrap_s: float | None


class Response(TypedDict):
    """In open hours, and by the clock on the wall."""

    open_time: Spread
    wall_time: Spread


class Abandonment(TypedDict):
    offered: int
    abandoned: int
    abandoned_short: int
    rate: float | None
    rate_without_short: float | None


class Occupancy(TypedDict):
    present_s: float
    busy_s: float
    idle_s: float
    occupancy: float | None
    weighted: float | None
    concurrency: float | None


class Contacts(TypedDict):
    completed: int
    first_contact: int
    provisional: int
    reopened: int
    repeated: int
    first_contact_rate: float | None
    reopen_rate: float | None
    repeat_rate: float | None


class Backlog(TypedDict):
    tasks: int
    unassigned: int
    oldest: datetime | None


class Survey(TypedDict):
    """Of csat, nps and ces each its own share besides, and who makes it up."""

    responses: int
    outside_scale: int
    mean: float | None
    promoters: NotRequired[int]
    detractors: NotRequired[int]
    good: NotRequired[int]
    nps: NotRequired[float | None]
    csat: NotRequired[float | None]
    ces: NotRequired[float | None]


class Feedback(TypedDict):
    csat: Survey
    nps: Survey
    ces: Survey
    response_rate: float | None


class FiguresRow(Grouped, DueSoon):
    speed_of_answer: Spread
    time_to_abandon: Spread
    abandonment: Abandonment
    first_response: Response
    next_response: Response
    time_to_assign: Response
    first_resolution: Response
    resolution: Response
    handle_time: HandleTime
    contacts: Contacts
    backlog: Backlog
    feedback: Feedback
    occupancy: NotRequired[Occupancy]


class SeriesRow(Grouped, Spread):
    at: datetime
    metric: str
    threshold_s: float
    counts: Counts
    service_level: Levels
    compliance: float | None


class BurnAlert(TypedDict):
    """A queue's promise that is missed too fast just now."""

    queue: str
    metric: str
    severity: Severity
    goal: float
    threshold_s: float
    burn_long: float | None
    burn_short: float | None
    long_s: int
    short_s: int
    judged: int
    missed: int
    since: str


By = Literal["queue", "channel", "agent", "policy", "priority", "tag"]
ServiceLevels = TypedDict("ServiceLevels", {"from": str, "to": str, "rows": list[ServiceLevelRow]})
Compliance = TypedDict(
    "Compliance", {"from": str, "to": str, "cohort": str, "rows": list[ComplianceRow]}
)
Figures = TypedDict(
    "Figures",
    {
        "from": str,
        "to": str,
        "by": By,
        "cohort": str,
        "occupancy": Occupancy,
        "rows": list[FiguresRow],
    },
)
FiguresSeries = TypedDict(
    "FiguresSeries",
    {
        "from": str,
        "to": str,
        "step_s": int,
        "zone": str | None,
        "cohort": str,
        "rows": list[SeriesRow],
    },
)


class ForecastSum(DueSoon):
    """What is due soon in all, and by group."""

    rows: list[ForecastRow]


class Forecast(ForecastSum):
    at: str
    by: By


class BurnAlerts(TypedDict):
    alerts: list[BurnAlert]


class LiveFigures(TypedDict):
    """The figures of a live screen."""

    workspace: str
    at: str
    service_level: list[ServiceLevelRow]
    forecast: ForecastSum
    burn_alerts: list[BurnAlert]


class BurnEvent(BurnAlert):
    """Of `sla.burn_rate.firing.v1` and `.resolved.v1`."""

    workspace: str
    seq: int
    at: str
