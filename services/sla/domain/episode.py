"""One stretch of work as the fold of its events keeps it: what is known of its task, and how far it is."""

from typing import Any

import msgspec

from services.sla.domain.clock import Clock
from services.sla.domain.events import Event
from services.sla.domain.holds import Hold
from services.sla.domain.work import Work
from shared.contracts.instants import parse_instant

WAITING = "waiting_on_customer"
SCHEDULED = "scheduled"  # a task's state: nobody waits yet
QUEUE_ALONE = "queue"  # mode of a transfer that changes the task's queue and nothing else

_TASK_FIELDS_OF_EVENTS = ("channel", "queue", "language", "kind", "attributes", "tags")
_STATES = {
    "assigned": "assigned",
    "unassigned": "pending",
    "wrapping": "wrapping",
    "resolved": "completed",
    "closed": "completed",
    "abandoned": "cancelled",
    "cancelled": "cancelled",
    "reopened": "pending",
}
_SAYS_NOTHING = frozenset(
    {"agent_message", "agent_note", "bot_message", "auto_reply"}
)  # of the task
_NAME_CUSTOMERS = frozenset({"task_created", "transferred", "identified"})
_RELEASES = frozenset({"resumed", "resolved", "closed", "abandoned", "cancelled"})


class Facts(msgspec.Struct, gc=False):
    """What conditions see. `level` is the priority without what escalation added."""

    task: dict[str, Any] = {}
    customer: dict[str, Any] | None = None
    level: float = 0


class Episode(msgspec.Struct, gc=False):
    """The state of the fold. `awaiting_us`: the oldest customer message without an answer;
    `answered`: the first exchange is over; `ended`: how the work ended, while it has; `resume_us`:
    when a hold ends by itself; `timed_us`: when something last happened by itself; `holds`: when it
    was held, for clocks that a later policy starts in the past; `calendars`: those that clocks were ever
    counted on, whose windows what is known rests on."""

    facts: Facts
    clocks: list[Clock] = []
    policy: tuple[str, int] | None = None
    chosen: bool = False
    created_us: int | None = None
    first_us: int | None = None
    awaiting_us: int | None = None
    agent_spoke_us: int | None = None
    answered: bool = False
    ended: str = ""
    cycles: dict[str, int] = {}
    resume_us: int | None = None
    timed_us: int = 0
    work: Work = msgspec.field(default_factory=Work)
    holds: tuple[Hold, ...] = ()
    calendars: tuple[str, ...] = ()


def note(episode: Episode, event: Event) -> None:
    """What an event says of the task, its customer, and a hold that ends by itself."""
    facts, fields, kind = episode.facts, event.fields, event.type
    task = facts.task
    if kind == "customer_message":
        _note_customer(episode, task)
        return
    if kind in _SAYS_NOTHING or (kind == "reopened" and not episode.ended):
        return
    if kind in ("task_created", "transferred"):
        task.update({name: fields[name] for name in _TASK_FIELDS_OF_EVENTS if name in fields})
        if leaves_agent(kind, fields):
            task["state"] = "assigned" if agent_of(fields) else "pending"
    if kind == "assigned" and "queue" in fields:
        task["queue"] = fields["queue"]
    if kind in _NAME_CUSTOMERS and "customer" in fields:
        facts.customer = fields["customer"]
    if kind in ("task_created", "priority_changed") and "priority" in fields:
        task["priority"] = fields["priority"]
        if fields.get("by") != "escalation":
            facts.level = float(fields["priority"])
    if leaves_agent(kind, fields):
        task["agent_id"] = agent_of(fields)
    if kind in _STATES:
        task["state"] = _STATES[kind]
    if kind == "resolved" and "tags" in fields:
        task["tags"] = fields["tags"]
    if kind in ("paused", "pending"):
        episode.resume_us = _until(event)
        task["held"] = True
        task["hold_reason"] = WAITING if kind == "pending" else fields.get("reason")
    elif kind in _RELEASES:
        _release(episode, task)


def _note_customer(episode: Episode, task: dict[str, Any]) -> None:
    """The customer's word ends a hold that waits for it, and a wrap-up."""
    if task.get("hold_reason") == WAITING:
        _release(episode, task)
    if task.get("state") == "wrapping":
        task["state"] = "assigned"


def leaves_agent(kind: str, fields: dict[str, Any]) -> bool:
    """Whether the task is from now on whose the event says. A warm transfer leaves it with its agent
    until another accepts, and a task may change its queue where it is."""
    if kind == "transferred":
        return fields.get("mode") not in ("warm", QUEUE_ALONE)
    return kind in ("task_created", "assigned", "unassigned", "reopened")


def _release(episode: Episode, task: dict[str, Any]) -> None:
    task["held"], task["hold_reason"] = False, None
    episode.resume_us = None


def agent_of(fields: dict[str, Any]) -> Any:
    """The agent that an event names."""
    return fields.get("agent_id") or fields.get("agent")


def _until(event: Event) -> int | None:
    """When a hold ends by itself: `until`, an instant after the event."""
    until = event.fields.get("until")
    at_us = parse_instant(until.upper()) if isinstance(until, str) else None
    return at_us if at_us is not None and at_us > event.at_us else None
