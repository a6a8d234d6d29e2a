"""The shapes of what views answer, as clients read them. Views are built as plain dicts of these types:
the type checker holds them to it, and the OpenAPI document is made of them."""

from typing import Any, NotRequired, TypedDict

from services.router.domain.state import Status, TaskState

# -- desktops


class ShownPresence(TypedDict):
    """`next_status`: what comes once the agent has no work left (`after_current`)."""

    status: Status
    reason: str | None
    since: str
    next_status: Status | None
    next_reason: str | None


class Load(TypedDict):
    """Units of capacity in use, and tasks by channel."""

    used: int
    capacity: int
    channels: dict[str, int]


class WorkingAgent(TypedDict):
    id: str
    name: str | None
    presence: ShownPresence
    load: Load


class Face(TypedDict):
    """What a desktop shows of a customer."""

    id: str
    name: str | None
    tier: str | None
    language: str | None


class WorkOffer(TypedDict):
    """A task offered to the agent: accept or decline it until `expires_at`."""

    id: str
    task_id: str
    conversation_id: str
    channel: str
    queue: str | None
    priority: int | float
    expires_at: str
    waited_s: float
    customer: Face | None
    preview: str | None
    attributes: dict[str, Any]
    note: str | None
    why: str


class DueClock(TypedDict):
    metric: str
    due_at: str
    breached: bool


class WorkTask(TypedDict):
    """A task that the agent has."""

    id: str
    state: TaskState
    conversation_id: str
    channel: str
    queue: str | None
    priority: int | float
    assigned_at: str | None
    held: bool
    hold_reason: str | None
    unread: int
    attributes: dict[str, Any]
    note: str | None
    respond_until: str | None
    preview: str | None
    wrap_up_until: str | None
    due: list[DueClock]


class Work(TypedDict):
    """All that an agent's desktop shows; `revision` is that of its last change."""

    revision: int
    agent: WorkingAgent
    offers: list[WorkOffer]
    tasks: list[WorkTask]


# -- tasks


class WaitEstimate(TypedDict):
    wait_s: float | None
    method: str


class PlaceEstimate(WaitEstimate):
    position: int


class ShownCondition(TypedDict):
    """`missing`: what is not there at all, of the agent or the task, where it fails for that."""

    text: str
    value: Any
    passed: bool
    missing: NotRequired[str]


class JudgedAgent(TypedDict):
    id: str
    admissible: bool
    conditions: list[ShownCondition]
    order_keys: list[Any]


class CandidateCounts(TypedDict):
    """Each agent counts once: as admissible, or under the first condition that he fails."""

    total: int
    admissible: int
    by_reason: dict[str, int]


class NextChange(TypedDict):
    at: str
    what: str


class ShownDecision(TypedDict):
    seq: int
    at: str
    kind: str
    winner: str | None
    considered: int
    order_keys: list[Any]
    because: str


class ShownPolicy(TypedDict):
    id: str
    version: int
    rule: str | None
    step: int


class _Explained(TypedDict):
    task_id: str
    state: TaskState
    at: str
    summary: str
    policy: ShownPolicy | None
    candidates: CandidateCounts
    agents: list[JudgedAgent]
    next_change: NextChange | None
    decisions: list[ShownDecision]


class ExplainedTask(_Explained):
    """`next`: the place from which further agents follow, where they are asked for in pages."""

    next: int | None


class TaskExplanation(_Explained):
    """Why a task is where it is. `next`: the cursor of further agents, where there are more."""

    next: str | None


class JudgedTask(TypedDict):
    task_id: str
    conditions: list[ShownCondition]


class AgentExplanation(TypedDict):
    agent_id: str
    at: str
    summary: str
    waiting: int
    tasks: list[JudgedTask]


# -- queues, teams, customers


class QueueAgents(TypedDict):
    available: int
    busy: int
    away: int


class QueueStatus(TypedDict):
    id: str
    open: bool
    waiting: int
    longest_wait_s: float
    reserved: int
    assigned: int
    agents: QueueAgents
    estimate: WaitEstimate
    surge: bool


class Duty(TypedDict):
    """Agents of the team and its supervisors: who is on duty by its shifts, and who is there."""

    id: str
    supervisors: list[str]
    on_duty: list[str]
    off_duty: list[str]
    present: list[str]


class ShownIdentity(TypedDict):
    scheme: str
    value: str


class MergedPart(TypedDict):
    id: str
    at: str


class CustomerWork(TypedDict):
    task_id: str
    state: TaskState
    channel: str
    conversation_id: str
    agent_id: str | None
    queue: str | None
    created_at: str
    ended_at: str | None
    disposition: str | None


class CustomerConversation(TypedDict):
    id: str
    channel: str
    last_agent: str | None


class CustomerProfile(TypedDict):
    """A customer over all channels, with what was merged into him."""

    id: str
    name: str | None
    tier: str | None
    language: str | None
    timezone: str | None
    identities: list[ShownIdentity]
    attributes: dict[str, Any]
    never_pair: list[str]
    merged: list[MergedPart]
    open: list[CustomerWork]
    recent: list[CustomerWork]
    last_agents: list[str]
    conversations: list[CustomerConversation]


class ResolvedIdentity(TypedDict):
    scheme: str
    value: str
    claimed_by: list[str]
    customer: str | None


class ResolvedIdentities(TypedDict):
    """Whom identities mean, which of them decides, and how they are compared."""

    customer: str | None
    identities: list[ResolvedIdentity]
    rules: tuple[str, ...]


# -- trying policies


class TracedRule(TypedDict):
    rule: int
    matched: bool
    because: str
    name: NotRequired[str | None]
    missing: NotRequired[str | None]


class PlannedTask(TypedDict):
    """`agents`: all who meet the requirements, whatever their presence, in order of choice.
    `reason`: why no rule is named."""

    rule: str | None
    queue: str | None
    queues: list[str]
    requires: list[str]
    priority: int | float
    escalation: str | None
    agents: list[str]
    trace: list[TracedRule]
    reason: NotRequired[str]


class EvaluatedPolicy(TypedDict):
    results: list[PlannedTask]
