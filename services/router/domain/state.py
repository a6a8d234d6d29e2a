"""What the router of one workspace remembers: the structs that are stored as entities.

Each struct is encoded as MessagePack (array-like, so fields may only be appended). Whatever can be
computed from these (load counters, heaps, compiled policies) lives in `core.py` and is rebuilt when
they are loaded.
"""

from typing import Any, Literal

import msgspec

from services.router.domain.config import Step
from services.router.domain.requirements import Requirement

TaskState = Literal[
    "scheduled", "pending", "reserved", "assigned", "wrapping", "completed", "cancelled"
]
OfferState = Literal["open", "accepted", "declined", "expired", "revoked"]
Status = Literal["available", "away", "offline"]

SEEKING: frozenset[str] = frozenset({"pending", "reserved"})
OWNED: frozenset[str] = frozenset({"assigned", "wrapping"})
OPEN: frozenset[str] = frozenset({"scheduled", "pending", "reserved", "assigned", "wrapping"})


class PolicyRef(msgspec.Struct, array_like=True, gc=False):
    """The rule that planned a task, and the step it is in (from 0)."""

    id: str
    version: int
    rule_index: int
    rule: str | None
    step: int = 0


class ClockNote(msgspec.Struct, array_like=True, gc=False):
    """What the SLA service last said of one clock of the task: highest warning, breach, due."""

    clock_id: str
    metric: str
    due_us: int | None = None
    warned: float = 0.0
    breached: bool = False
    ended: bool = False


class Effect(msgspec.Struct, array_like=True, gc=False):
    """What a level did that fired for a warning (`used`) or breach (None) of a metric, so that it can
    be taken back; empty where it `stands`.

    `before`, `after`: the priority; `reclaimed`: who lost the task, `waiting_since_us`: its place
    then; `also`: to whom it was to be offered, `called` times.
    """

    level: str
    metric: str
    used: float | None = None
    stands: bool = False
    before: int | float | None = None
    after: int | float | None = None
    relaxed: bool = False
    dropped: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    reclaimed: str | None = None
    waiting_since_us: int | None = None
    called: int = 0


class Decision(msgspec.Struct, array_like=True, gc=False):
    """Why something was done with a task. `seq` is the journal event that did it."""

    seq: int
    at_us: int
    kind: str
    winner: str | None = None
    considered: int = 0
    order_keys: list[Any] = []
    because: str = ""


class Task(msgspec.Struct, array_like=True, kw_only=True, gc=False):
    """One piece of work. Instants `…_us` are None where they do not apply.

    `requires` are bound requirements as planned; what they ask now is `requirements.active(requires,
    relaxed_to_us, relax_all, dropped)`. `target_agent`: a transfer's addressee, `prefer_agent` with
    `hold_until_us`: who it waits for alone; `also`: agents whom `offer_to` named, the last level's
    first, which it did `called` times. `refused`: agent → end of his cool-down for this task. `queue`: the one it was assigned through. `never`: agents whom
    its customer is never paired with. `respond_us`: when a silent agent loses it. `by_human`: a human
    has had it in this cycle. `drain_agent`, until `drain_until_us`: who is kept from cheaper work for
    it; `drained`: who was. `told_…`: the estimate last told, `first_…`: the first one of this wait;
    `estimate_us`: when it is reviewed. `skipped`: levels that are due while nobody is on duty.
    `effects`: what levels did in this cycle for warnings and breaches.
    `arrived`: it began to wait while the log was behind, and its queue's limit is still to be judged.
    `admitted`: no queue's limit is for it in this cycle; `handed_over`: a bot has; `raised`: what ladders added to its priority in it.
    `given`: the priority that somebody gave it, whatever rules say; `aimed`: somebody sent it to its queue, which
    no edit of its policy changes.
    """

    id: str
    number: int
    kind: str
    state: TaskState
    conversation_id: str
    channel: str
    reason: str | None = None
    customer_id: str | None = None
    language: str | None = None
    attributes: dict[str, Any] = {}
    tags: list[str] = []
    subject: str | None = None
    text: str | None = None
    message_id: str | None = None
    event_id: str | None = None
    created_us: int = 0
    waiting_since_us: int = 0
    queues: list[str] = []
    priority: int | float = 0
    requires: tuple[Requirement, ...] = ()
    relaxed_to_us: int = 0
    relax_all: bool = False
    dropped: list[str] = []
    steps: tuple[Step, ...] = ()
    policy: PolicyRef | None = None
    step_until_us: int | None = None
    relax_us: int | None = None
    prefer_agent: str | None = None
    hold_until_us: int | None = None
    target_agent: str | None = None
    also: list[str] = []
    reopen_within_us: int = 0
    agent_id: str | None = None
    warm: bool = False
    note: str | None = None
    offers: list[str] = []
    refused: dict[str, int] = {}
    declines: int = 0
    queue: str | None = None
    assigned_us: int | None = None
    wrap_until_us: int | None = None
    orphan_us: int | None = None
    not_before_us: int | None = None
    not_after_us: int | None = None
    held: bool = False
    hold_reason: str | None = None
    unread: int = 0
    unanswered_us: int | None = None
    disposition: str | None = None
    ended_us: int | None = None
    forget_us: int | None = None
    ladder: str | None = None
    cycle: int = 1
    fired: list[str] = []
    escalate_us: int | None = None
    clocks: list[ClockNote] = []
    revision: int = 0
    decisions: list[Decision] = []
    ended_seq: int = 0
    never: tuple[str, ...] = ()
    respond_us: int | None = None
    by_human: bool = False
    drain_agent: str | None = None
    drain_until_us: int | None = None
    drained: tuple[str, ...] = ()
    told_position: int = 0
    told_wait_us: int | None = None
    told_us: int | None = None
    first_wait_us: int | None = None
    first_told_us: int | None = None
    estimate_us: int | None = None
    skipped: tuple[str, ...] = ()
    effects: tuple[Effect, ...] = ()
    arrived: bool = False
    called: int = 0
    admitted: bool = False
    raised: int | float = 0
    handed_over: bool = False
    given: int | float | None = None
    aimed: bool = False


def waited_us(task: Task, now_us: int) -> int:
    """For how long it has waited so far."""
    since_us = task.waiting_since_us
    return now_us - since_us if now_us > since_us else 0


def named(task: Task) -> list[str]:
    """The agents whom a waiting task names, first come first."""
    if task.target_agent is None and task.prefer_agent is None:
        return task.also
    first = (task.target_agent, task.prefer_agent)
    return [*(agent_id for agent_id in first if agent_id is not None), *task.also]


class Offer(msgspec.Struct, array_like=True, kw_only=True, gc=False):
    """A task offered to an agent. Only open ones and those that ended lately stay in memory.

    `direct`: made past the requirements (transfer to an agent, `offer_to`).
    """

    id: str
    number: int
    task_id: str
    agent_id: str
    channel: str
    state: OfferState
    reason: str | None = None
    queue: str | None = None
    created_us: int = 0
    expires_us: int = 0
    ended_us: int | None = None
    why: str = ""
    direct: bool = False
    ended_seq: int = 0


class Agent(msgspec.Struct, array_like=True, kw_only=True, gc=False):
    """An agent: the resource as written (`body`, canonical JSON) and how he stands now.

    `next_status` is what `after_current` asked for. `lapsed`: the presence lease ran out, so he
    counts as offline until it returns. `available_us`: since when he has been available;
    `idle_us`: end of his last work; `served`: input number of his last offer (round robin).
    """

    id: str
    version: int
    body: bytes
    ordinal: int
    status: Status = "offline"
    reason: str | None = None
    since_us: int = 0
    next_status: Status | None = None
    next_reason: str | None = None
    lapsed: bool = False
    lapsed_us: int | None = None
    available_us: int = 0
    idle_us: int = 0
    served: int = 0
    misses: int = 0
    revision: int = 0

    @property
    def shown_status(self) -> Status:
        return "offline" if self.lapsed else self.status

    @property
    def shown_reason(self) -> str | None:
        return "lease" if self.lapsed else self.reason


class EarlyEdit(msgspec.Struct, array_like=True, gc=False):
    """An edit (or delete: text None) that came before its message."""

    message_id: str
    text: str | None
    language: str | None = None
    attributes: dict[str, Any] = {}
    deleted: bool = False
    revision: int = 0


class Conversation(msgspec.Struct, array_like=True, kw_only=True, gc=False):
    """A thread with a customer. `task_id` is its open task, or the last one that may reopen."""

    id: str
    channel: str
    number: int = 0
    customer_id: str | None = None
    task_id: str | None = None
    last_agent: str | None = None
    language: str | None = None
    messages: list[str] = []
    early: list[EarlyEdit] = []
    closed_seq: int = 0


class LastAgent(msgspec.Struct, array_like=True, gc=False):
    """Who got work of the customer `id` last, and the sequence number of the event that said so."""

    id: str
    agent_id: str
    seq: int


class Resource(msgspec.Struct, array_like=True, kw_only=True, gc=False):
    """A queue, policy, escalation, customer, team, calendar or the settings, as written.

    `body` is canonical JSON. `windows` (calendars): open spans as [start_us, end_us].
    """

    kind: str
    id: str
    version: int
    body: bytes
    windows: list[tuple[int, int]] = []


class CustomerMerge(msgspec.Struct, array_like=True, kw_only=True, gc=False):
    """The customer `id` is, until this is undone, the customer `into`."""

    id: str
    into: str
    at_us: int


class QueueFigures(msgspec.Struct, array_like=True, kw_only=True, gc=False):
    """How fast a queue moves: a running mean of the time between assignments (0: not yet known), and
    `pressed_us`, the same of those that somebody had to wait for; and what comes: arrivals in the minute from
    `minute_us` and in the minutes before it since `hour_us`, in its hour; the number per minute of late."""

    id: str
    interval_us: int = 0
    last_us: int = 0
    minute_us: int = 0
    arrivals: int = 0
    usual: float = 0.0
    minutes: int = 0
    surge: bool = False
    pressed_us: int = 0
    hour_us: int = 0
    hour_arrivals: int = 0


class QueueWeek(msgspec.Struct, array_like=True, kw_only=True, gc=False):
    """What comes to a queue per minute in each hour of a week (week.py)."""

    id: str
    hours: list[float] = []


class Meta(msgspec.Struct, array_like=True, kw_only=True, gc=False):
    """Counters of the workspace. `number` is the last input applied, `seq` the last event. While
    `behind` nothing that comes due happens, since `behind_us`; `turned_us`: as of when
    calendars then last opened and closed queues. `retired`: the highest version of a resource that has
    been deleted: what is made anew has a later one, so that no old ETag fits it."""

    seq: int = 0
    number: int = 0
    now_us: int = 0
    tasks: int = 0
    offers: int = 0
    agents: int = 0
    conversations: int = 0
    behind: bool = False
    behind_us: int = 0
    turned_us: int = 0
    retired: int = 0


KINDS: dict[str, type[msgspec.Struct]] = {
    "task": Task,
    "offer": Offer,
    "agent": Agent,
    "conversation": Conversation,
    "queue": Resource,
    "policy": Resource,
    "escalation": Resource,
    "customer": Resource,
    "team": Resource,
    "calendar": Resource,
    "workspace": Resource,
    "queue_figures": QueueFigures,
    "queue_week": QueueWeek,
    "customer_merge": CustomerMerge,
    "last_agent": LastAgent,
    "meta": Meta,
}
RESOURCE_KINDS: tuple[str, ...] = (
    "queue",
    "policy",
    "escalation",
    "customer",
    "team",
    "calendar",
    "workspace",
)
