"""Events of the router, on `routing.events`. API.md, «Router».

`TYPES` maps each type to its struct. Every event carries workspace, seq, at, task_id and
conversation_id (null where there is none, as for presence).
"""

from typing import Any

import msgspec


class RoutingEvent(msgspec.Struct, gc=False):
    """`seq` counts per workspace from 1 without gaps; `at` is RFC 3339 in UTC. These come first, by
    position; what an event adds is named."""

    workspace: str
    seq: int
    at: str
    task_id: str | None = None
    conversation_id: str | None = None


class CustomerFacts(msgspec.Struct, kw_only=True, gc=False):
    id: str | None = None
    tier: str | None = None
    language: str | None = None
    attributes: dict[str, Any] = {}


class PolicyFacts(msgspec.Struct, gc=False):
    id: str
    version: int
    rule: str | None = None
    step: int | None = None


class RequirementFacts(msgspec.Struct, kw_only=True, gc=False):
    text: str
    relaxed_at: str | None = None


class TaskCreated(RoutingEvent, kw_only=True):
    event_id: str | None
    channel: str
    kind: str = "conversation"
    state: str = "pending"
    language: str | None = None
    attributes: dict[str, Any] = {}
    queue: str | None = None
    priority: float = 0
    requires: list[RequirementFacts] = []
    policy: PolicyFacts | None = None
    customer: CustomerFacts | None = None
    waiting_since: str | None = None
    not_before: str | None = None
    reason: str | None = None


class TaskReopened(RoutingEvent, kw_only=True):
    event_id: str | None


class TaskMessage(RoutingEvent, kw_only=True):
    event_id: str
    message_id: str


class TaskIdentified(RoutingEvent, kw_only=True):
    """Who the task's customer is has become known, or changed by a merge."""

    customer: CustomerFacts | None = None


class TaskQueued(RoutingEvent, kw_only=True):
    queues: list[str]


class TaskPriorityChanged(RoutingEvent, kw_only=True, rename={"before": "from", "after": "to"}):
    before: float
    after: float
    by: str


class TaskRelaxed(RoutingEvent, kw_only=True):
    requires: list[RequirementFacts]
    because: str


class TaskAssigned(RoutingEvent, kw_only=True):
    """`units`: of the agent's capacity that it takes."""

    agent_id: str
    units: float | None = None
    offer_id: str | None
    queue: str | None
    waited_s: float
    over_capacity: bool = False
    estimated_s: float | None = None
    actual_s: float | None = None


class TaskTransferred(RoutingEvent, kw_only=True):
    to: dict[str, str]
    mode: str
    from_agent: str | None = None
    note: str | None = None


class TaskRequeued(RoutingEvent, kw_only=True):
    reason: str
    agent_id: str | None = None


class TaskHeld(RoutingEvent, kw_only=True):
    reason: str
    agent_id: str | None = None


class TaskResumed(RoutingEvent, kw_only=True):
    agent_id: str | None = None
    over_capacity: bool = False


class TaskWrapping(RoutingEvent, kw_only=True):
    agent_id: str


class TaskCompleted(RoutingEvent, kw_only=True):
    agent_id: str | None
    disposition: str | None = None
    handle_s: float = 0
    tags: list[str] = []
    note: str | None = None
    reason: str | None = None
    deflected: bool = False


class TaskCancelled(RoutingEvent, kw_only=True):
    reason: str


class TaskEstimate(RoutingEvent, kw_only=True):
    position: int
    wait_s: float | None
    method: str = "recent_assignments"


class TaskEscalated(RoutingEvent, kw_only=True):
    ladder: str
    level: str
    actions: list[dict[str, Any]]
    supervisors: list[str] = []


class TaskEscalationWithdrawn(RoutingEvent, kw_only=True):
    """The SLA service has withdrawn what the level fired for, and nobody had acted yet:
    `taken_back` are the kinds of its actions that were undone. The level may fire again."""

    ladder: str
    level: str
    metric: str
    taken_back: list[str] = []


class OfferCreated(RoutingEvent, kw_only=True):
    offer_id: str
    agent_id: str
    expires_at: str
    queue: str | None = None
    why: str = ""


class OfferAccepted(RoutingEvent, kw_only=True):
    offer_id: str
    agent_id: str


class OfferDeclined(RoutingEvent, kw_only=True):
    offer_id: str
    agent_id: str
    reason: str | None = None


class OfferExpired(RoutingEvent, kw_only=True):
    offer_id: str
    agent_id: str


class OfferRevoked(RoutingEvent, kw_only=True):
    offer_id: str
    agent_id: str
    reason: str


class AgentPresence(RoutingEvent, kw_only=True):
    """`capacity`: the agent's, in units."""

    agent_id: str
    capacity: float | None = None
    status: str
    reason: str | None = None


class QueueSurge(RoutingEvent, kw_only=True):
    queue: str
    rate_per_min: float
    usual_per_min: float
    surging: bool = True


class ConfigChanged(RoutingEvent, kw_only=True):
    kind: str
    id: str
    version: int
    deleted: bool = False


TYPES: dict[str, type[RoutingEvent]] = {
    "routing.task.created.v1": TaskCreated,
    "routing.task.reopened.v1": TaskReopened,
    "routing.task.message.v1": TaskMessage,
    "routing.task.identified.v1": TaskIdentified,
    "routing.task.queued.v1": TaskQueued,
    "routing.task.priority_changed.v1": TaskPriorityChanged,
    "routing.task.relaxed.v1": TaskRelaxed,
    "routing.task.assigned.v1": TaskAssigned,
    "routing.task.transferred.v1": TaskTransferred,
    "routing.task.requeued.v1": TaskRequeued,
    "routing.task.held.v1": TaskHeld,
    "routing.task.resumed.v1": TaskResumed,
    "routing.task.wrapping.v1": TaskWrapping,
    "routing.task.completed.v1": TaskCompleted,
    "routing.task.cancelled.v1": TaskCancelled,
    "routing.task.estimate.v1": TaskEstimate,
    "routing.task.escalated.v1": TaskEscalated,
    "routing.task.escalation_withdrawn.v1": TaskEscalationWithdrawn,
    "routing.offer.created.v1": OfferCreated,
    "routing.offer.accepted.v1": OfferAccepted,
    "routing.offer.declined.v1": OfferDeclined,
    "routing.offer.expired.v1": OfferExpired,
    "routing.offer.revoked.v1": OfferRevoked,
    "routing.agent.presence.v1": AgentPresence,
    "routing.queue.surge.v1": QueueSurge,
    "routing.config.changed.v1": ConfigChanged,
}
TYPE_OF: dict[type[RoutingEvent], str] = {struct: name for name, struct in TYPES.items()}
