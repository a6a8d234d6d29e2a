"""What stays because something still needs it: a conflict says what."""

from services.router.domain.escalation import AddQueue
from services.router.domain.state import OPEN
from services.router.domain.workspace import Workspace
from shared.contracts.problems import conflict


def check_unused(ws: Workspace, kind: str, name: str) -> None:
    """Raises Refused (conflict): policies, ladders, merges, other queues or open tasks name it."""
    rules = [(p.policy.id, rule) for p in ws.policies.values() for rule in p.policy.rules]
    users = [
        policy
        for policy, rule in rules
        if (kind == "queue" and any(step.queue == name for step in rule.steps))
        or (kind == "escalation" and rule.escalation == name)
    ]
    if users:
        raise conflict("state", f"The policy {min(users)!r} names this {kind}.")
    merged = [one.id for one in ws.stored["customer_merge"].values() if name in (one.id, one.into)]
    if kind == "customer" and merged:
        raise conflict("state", f"The merge of {min(merged)!r} names this customer; undo it first.")
    if kind == "queue":
        _check_not_turned_to(ws, name)
        _check_no_work(ws, name)


def _check_not_turned_to(ws: Workspace, name: str) -> None:
    """Work that other queues or ladders would send there would be cancelled or stay where it is."""
    queues = [one.id for one in ws.queues.values() if one.limit and one.limit.overflow_to == name]
    if queues:
        raise conflict("state", f"The queue {min(queues)!r} overflows to this queue.")
    naming = [
        ladder.id
        for ladder in ws.ladders.values()
        for level in ladder.levels
        if any(isinstance(one, AddQueue) and one.queue == name for one in level.actions)
    ]
    if naming:
        raise conflict("state", f"The escalation {min(naming)!r} names this queue.")


def _check_no_work(ws: Workspace, queue: str) -> None:
    work = [task for task in ws.tasks.values() if task.state in OPEN]
    if any(queue in task.queues for task in work):
        raise conflict("state", "Tasks wait or are worked on in this queue.")
    if any(step.queue == queue for task in work for step in task.steps):
        raise conflict(
            "state",
            "Open tasks have this queue as a step of theirs, by an earlier version of their policy.",
        )
