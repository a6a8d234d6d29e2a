"""What people configure, as the router's core reads it: the canonical form of each resource.

The JSON of each struct is what `GET` answers and what is stored; absent fields have the defaults of
`workspace.yaml`. Spans are seconds, as people write them (`…_s`). Nothing here is checked again:
`services/router/resources.py` refuses what is wrong before it gets this far.
"""

from typing import Any, Literal

import msgspec

AgentKind = Literal["human", "bot"]
Order = Literal["head_start", "strict_priority", "weighted_wait", "deadline"]
Select = Literal["least_loaded", "longest_idle", "round_robin", "best_skilled", "ranked", "random"]
OnEdit = Literal["keep", "take"]
Skip = Literal["nobody_could"]
ShiftZone = Literal["agent", "calendar"]
Outcome = Literal["declined", "missed", "requeued", "transferred"]

DEFAULT_COST: dict[str, int] = {"phone": 100, "chat": 30, "social": 25, "email": 20}
DEFAULT_LEASE_S = 60.0
SUPERVISORS = "supervisors"
LAST_AGENT = "last"


class ChannelCost(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one task of a channel costs. `held_cost` None: as `cost`. Tasks of a channel in
    `interruptible_by` are not counted when a task of one of these channels is placed."""

    cost: int
    held_cost: int | None = None
    interruptible_by: tuple[str, ...] = ()


def _default_channels() -> dict[str, ChannelCost]:
    return {name: ChannelCost(cost) for name, cost in DEFAULT_COST.items()}


class Settings(msgspec.Struct, frozen=True, omit_defaults=True):
    """The workspace's own settings (the body of `PUT /v1/workspaces/{id}`)."""

    timezone: str = "UTC"
    languages: tuple[str, ...] = ()
    channels: dict[str, ChannelCost] = msgspec.field(default_factory=_default_channels)
    lease_s: float = DEFAULT_LEASE_S

    def channel(self, name: str) -> ChannelCost:
        """The costs of a channel; those by default where the settings do not name it."""
        return self.channels.get(name) or ChannelCost(DEFAULT_COST.get(name, 1))


class AgentQueue(msgspec.Struct, frozen=True, omit_defaults=True):
    """How an agent serves one queue.

    A freed agent takes from the lowest `rank` that has work for him, and only what has waited
    `delay_s` there. `tier` orders agents in a queue with select `ranked`: lowest first.
    """

    queue: str
    rank: int = 1
    delay_s: float = 0
    tier: int = 1


class Agent(msgspec.Struct, frozen=True, omit_defaults=True):
    """`channels`: most tasks at once of each; one not named is not served. `skills`: levels 0 to 10;
    absent is none. `queues` None: all queues, each with rank 1, no delay, tier 1."""

    id: str
    name: str | None = None
    team: str | None = None
    kind: AgentKind = "human"
    capacity: int = 100
    channels: dict[str, int] = {}
    skills: dict[str, int] = {}
    queues: tuple[AgentQueue, ...] | None = None
    attributes: dict[str, Any] = {}
    timezone: str | None = None

    def serves(self, queue: str) -> AgentQueue | None:
        """How this agent serves a queue; None when not at all."""
        if self.queues is None:
            return AgentQueue(queue)
        return next((entry for entry in self.queues if entry.queue == queue), None)


class CoolDowns(msgspec.Struct, frozen=True, omit_defaults=True):
    """How long a task is not offered to an agent again, by what happened; None: `cool_down_s`."""

    declined_s: float | None = None
    missed_s: float | None = None
    requeued_s: float | None = None
    transferred_s: float | None = None


class OfferRules(msgspec.Struct, frozen=True, omit_defaults=True):
    """`parallel`: open offers per task at most. After `misses_before_away` offers expired in a row
    the agent is set away; after each miss or decline the pair waits `cool_down_s`, or what
    `cool_down` says of the outcome."""

    ttl_s: float = 20
    parallel: int = 1
    auto_accept: bool = False
    misses_before_away: int = 3
    cool_down_s: float = 60
    cool_down: CoolDowns = CoolDowns()

    def cools_s(self, outcome: Outcome) -> float:
        """Seconds before the pair may meet again."""
        given = getattr(self.cool_down, f"{outcome}_s")
        return self.cool_down_s if given is None else given


class WrapUp(msgspec.Struct, frozen=True, omit_defaults=True):
    limit_s: float


class ServiceLevelGoal(msgspec.Struct, frozen=True, omit_defaults=True):
    threshold_s: float
    goal: float


class Orphans(msgspec.Struct, frozen=True, omit_defaults=True):
    """Tasks of an agent who went offline requeue after this long."""

    after_s: float = 120


class Response(msgspec.Struct, frozen=True, omit_defaults=True):
    """An assigned agent who leaves a customer's message unanswered for so long loses the task: it
    requeues in its place. Each agent who gets it has the whole span."""

    limit_s: float


class Drain(msgspec.Struct, frozen=True, omit_defaults=True):
    """For how long an agent is kept from cheaper work so that he has room for a task of this queue
    that waits longer; 0: never."""

    limit_s: float = 600


class Surge(msgspec.Struct, frozen=True, omit_defaults=True):
    """A surge: more than `factor` times the usual arrivals in a minute, and so many at least."""

    factor: float = 2
    min_per_min: float = 10


class Limit(msgspec.Struct, frozen=True, omit_defaults=True):
    """Most pending tasks. Without `overflow_to` further ones are cancelled, `queue_full`."""

    waiting: int
    overflow_to: str | None = None


class Queue(msgspec.Struct, frozen=True, omit_defaults=True):
    """`wrap_up` None: none. `calendar` None: always open. `limit` None: no limit."""

    id: str
    order: Order = "head_start"
    head_start_s: float = 60
    select: Select = "least_loaded"
    offer: OfferRules = OfferRules()
    wrap_up: WrapUp | None = None
    service_level: dict[str, ServiceLevelGoal] = {}
    calendar: str | None = None
    orphans: Orphans = Orphans()
    limit: Limit | None = None
    response: Response | None = None
    drain: Drain = Drain()
    surge: Surge = Surge()


class Relax(msgspec.Struct, frozen=True, omit_defaults=True):
    """After `after_s` of waiting the requirement asks for `level` only, or is dropped."""

    after_s: float
    level: int | None = None
    drop: bool = False


class Require(msgspec.Struct, frozen=True, omit_defaults=True):
    """One of: a skill with its least level; `agents`, only these; `not_agents`, none of these; a CEL
    condition over the agent and the task. `preferred` (of a skill): who lacks it comes after those
    who have it, and nobody is ruled out."""

    skill: str | None = None
    level: int = 1
    cel: str | None = None
    relax: tuple[Relax, ...] = ()
    agents: tuple[str, ...] = ()
    not_agents: tuple[str, ...] = ()
    preferred: bool = False


class Prefer(msgspec.Struct, frozen=True, omit_defaults=True):
    """`agent`: "last" (who last had the conversation, or any work of the customer of a new one), or an
    agent's id.

    The task waits `hold_s` for him alone while he could take it; `hard`: for as long as he
    exists. A message within `reopen_within_s` of a task's completion reopens that task.
    """

    agent: str = LAST_AGENT
    hold_s: float = 0
    reopen_within_s: float = 0
    hard: bool = False


class Step(msgspec.Struct, frozen=True, omit_defaults=True):
    """One queue to wait in. `timeout_s` None: until the end. `keep_previous`: this queue joins
    those before instead of replacing them."""

    queue: str
    timeout_s: float | None = None
    skip_if: Skip | None = None
    keep_previous: bool = False


class Rule(msgspec.Struct, frozen=True, omit_defaults=True):
    """`when` None: always. `priority`: a number, or CEL that gives one."""

    steps: tuple[Step, ...]
    name: str | None = None
    when: str | None = None
    priority: int | float | str = 0
    require: tuple[Require | str, ...] = ()
    prefer: Prefer | None = None
    escalation: str | None = None


class Policy(msgspec.Struct, frozen=True, omit_defaults=True):
    id: str
    rules: tuple[Rule, ...] = ()
    on_edit: OnEdit = "keep"


class SlaTrigger(msgspec.Struct, frozen=True, omit_defaults=True):
    """`used`: at the first warning at or above this share of the target, or the breach."""

    metric: str
    used: float | None = None
    breached: bool = False


class Trigger(msgspec.Struct, frozen=True, omit_defaults=True):
    """Exactly one field is set."""

    waiting_s: float | None = None
    sla: SlaTrigger | None = None
    declines: int | None = None
    agent_silent_s: float | None = None
    reopened: int | None = None
    cel: str | None = None


class TeamTarget(msgspec.Struct, frozen=True):
    """The agents of a team who are on duty."""

    team: str


class Action(msgspec.Struct, frozen=True, omit_defaults=True):
    """Exactly one field is set. `offer_to` and `notify`: "supervisors", an agent's id or a team."""

    raise_priority: float | None = None
    relax: Literal["all"] | None = None
    add_queue: str | None = None
    offer_to: str | TeamTarget | None = None
    notify: str | TeamTarget | None = None
    reclaim: Literal["keep_place", "lose_place"] | None = None
    drop_requirement: str | None = None


class Level(msgspec.Struct, frozen=True, omit_defaults=True):
    name: str
    when: Trigger
    do: tuple[Action, ...]


class Escalation(msgspec.Struct, frozen=True, omit_defaults=True):
    id: str
    levels: tuple[Level, ...] = ()


class CustomerIdentity(msgspec.Struct, frozen=True, omit_defaults=True):
    scheme: str
    value: str


class Customer(msgspec.Struct, frozen=True, omit_defaults=True):
    """`never_pair`: agents who get none of this customer's work. `timezone` None: the workspace's."""

    id: str
    name: str | None = None
    tier: str | None = None
    language: str | None = None
    identities: tuple[CustomerIdentity, ...] = ()
    attributes: dict[str, Any] = {}
    never_pair: tuple[str, ...] = ()
    timezone: str | None = None


class Shift(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who works while a calendar is open; `agents` empty: the whole team. `zone`: whether its hours are
    read on the clock of each agent who has a time zone, or on the calendar's for all."""

    calendar: str
    agents: tuple[str, ...] = ()
    zone: ShiftZone = "agent"


class Team(msgspec.Struct, frozen=True, omit_defaults=True):
    """`supervisors` are ids of agents. A team serves the queues that its agents serve."""

    id: str
    name: str | None = None
    supervisors: tuple[str, ...] = ()
    shifts: tuple[Shift, ...] = ()


TYPES: dict[str, type[msgspec.Struct]] = {
    "workspace": Settings,
    "agent": Agent,
    "queue": Queue,
    "policy": Policy,
    "escalation": Escalation,
    "customer": Customer,
    "team": Team,
}
