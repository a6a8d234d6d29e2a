"""A task as API.md shows it: in replies, in lists, and in parts of its events."""

from functools import lru_cache
from typing import Any

import msgspec

from services.router.domain import estimates
from services.router.domain.capacity import active
from services.router.domain.requirements import Requirement
from services.router.domain.shapes import PlaceEstimate
from services.router.domain.state import SEEKING, PolicyRef, Task, TaskState
from services.router.domain.workspace import Workspace
from shared.contracts.instants import format_instant, seconds
from shared.contracts.routing import PolicyFacts, RequirementFacts


class TaskEscalation(msgspec.Struct, gc=False):
    ladder: str | None
    fired: list[str]


class ShownTask(msgspec.Struct, gc=False):
    """The fields in the order in which they are shown, and in which `stored` gives them: a reply
    is made for nearly every command, and by position it costs a third of what a dict does: up to 30
    values, so that the last of them are set afterwards."""

    id: str
    number: int
    version: int
    state: TaskState
    reason: str | None
    kind: str
    conversation_id: str
    channel: str
    customer_id: str | None
    language: str | None
    queue: str | None
    queues: list[str]
    priority: int | float
    requires: list[RequirementFacts]
    policy: PolicyFacts | None
    agent_id: str | None
    created_at: str
    waiting_since: str
    assigned_at: str | None
    ended_at: str | None
    not_before: str | None
    not_after: str | None
    held: bool
    hold_reason: str | None
    unread: int
    attributes: dict[str, Any]
    tags: list[str]
    disposition: str | None
    note: str | None
    text: str | None
    escalation: TaskEscalation | None = None
    estimate: PlaceEstimate | None = None


def shown(ws: Workspace, task: Task) -> ShownTask:
    """A task in memory, with an estimate while it waits. To be encoded before the task changes."""
    found = stored(task)
    if task.customer_id is not None:
        found.customer_id = ws.customers.canonical(task.customer_id)
    if task.state in SEEKING:
        found.estimate = _estimate(ws, task)
    return found


def stored(task: Task) -> ShownTask:
    """The same of a task that may have left memory: without an estimate."""
    queues, asks = task.queues, active(task)
    found = ShownTask(
        task.id,
        task.number,
        task.revision,
        task.state,
        task.reason,
        task.kind,
        task.conversation_id,
        task.channel,
        task.customer_id,
        task.language,
        task.queue or (queues[0] if queues else None),
        queues,
        task.priority,
        requirement_facts(asks) if asks is task.requires else _relaxed(task, asks),
        policy_facts(task.policy),
        task.agent_id,
        format_instant(task.created_us),
        format_instant(task.waiting_since_us),
        None if task.assigned_us is None else format_instant(task.assigned_us),
        None if task.ended_us is None else format_instant(task.ended_us),
        None if task.not_before_us is None else format_instant(task.not_before_us),
        None if task.not_after_us is None else format_instant(task.not_after_us),
        task.held,
        task.hold_reason,
        task.unread,
        task.attributes,
        task.tags,
        task.disposition,
        task.note,
        task.text,
    )
    found.escalation = TaskEscalation(task.ladder, task.fired)
    return found


def policy_facts(ref: PolicyRef | None) -> PolicyFacts | None:
    if ref is None:
        return None
    return PolicyFacts(ref.id, ref.version, ref.rule, ref.step)


@lru_cache(maxsize=8192)
def requirement_facts(asks: tuple[Requirement, ...]) -> list[RequirementFacts]:
    """Kept for tasks that ask the same; they are only read."""
    return [RequirementFacts(text=item.text) for item in asks]


def _relaxed(task: Task, asks: tuple[Requirement, ...]) -> list[RequirementFacts]:
    """What it asks for now, with `relaxed_at` where that is less than at first."""
    return [RequirementFacts(text=item.text, relaxed_at=_relaxed_at(task, item)) for item in asks]


def _relaxed_at(task: Task, item: Requirement) -> str | None:
    if not item.relax or item in task.requires:
        return None
    for stage in sorted(item.relax, key=lambda stage: -stage.after_s):
        at_us = task.waiting_since_us + round(stage.after_s * 1_000_000)
        if stage.level == item.level and not stage.drop:
            return format_instant(at_us)
    return None


def _estimate(ws: Workspace, task: Task) -> PlaceEstimate | None:
    known = estimates.estimate(ws, task)
    if known is None:
        return None
    wait_s = None if known.wait_us is None else seconds(known.wait_us)
    return {"position": known.position, "wait_s": wait_s, "method": estimates.METHOD}
