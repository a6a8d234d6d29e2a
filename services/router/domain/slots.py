"""How many offers a task may have at once.

`offer.parallel` of its queue by the rules, and beside them as many for each time that a ladder's
`offer_to` named somebody: one more offer, not one to each of them (workspace.yaml).
"""

from services.router.domain.state import Task
from services.router.domain.workspace import Workspace


def parallel(ws: Workspace, task: Task) -> int:
    queue = ws.queues.get(task.queues[0]) if task.queues else None
    return queue.offer.parallel if queue else 1


def wants_more(ws: Workspace, task: Task) -> bool:
    """Whether the task has fewer offers by the rules than its queue makes at once."""
    if not task.offers:
        return True  # every queue makes one at least
    if is_overdue(ws, task):
        return False
    made = 0
    for offer in task.offers:
        made += not ws.offers[offer].direct
    return made < parallel(ws, task)


def is_overdue(ws: Workspace, task: Task) -> bool:
    """Whether its step is over but for the offers that are still open: no more are made in it."""
    return task.step_until_us is not None and task.step_until_us <= ws.now


def wants_called(ws: Workspace, task: Task) -> bool:
    """Whether one more of those whom `offer_to` named is to be offered the task."""
    if not task.also:
        return False  # by far the commonest
    if task.offers and is_overdue(ws, task):
        return False
    return _called(ws, task) < task.called * parallel(ws, task)


def _called(ws: Workspace, task: Task) -> int:
    """How many of them have an offer."""
    open_offers = [ws.offers[offer] for offer in task.offers]
    return sum(offer.direct and offer.agent_id in task.also for offer in open_offers)


def direct_to(ws: Workspace, task: Task) -> list[str]:
    """Who may be offered the task past its requirements: a transfer's addressee, and those whom
    `offer_to` named as long as one more of them is to have an offer."""
    if task.target_agent is None and not task.also:
        return []  # by far the commonest
    target = [] if task.target_agent is None else [task.target_agent]
    return [*target, *task.also] if wants_called(ws, task) else target


def named_now(ws: Workspace, task: Task) -> list[str]:
    """The agents whom a task names and who come before its pool, first come first."""
    kept = [] if task.prefer_agent is None else [task.prefer_agent]
    direct = direct_to(ws, task)
    at = 0 if task.target_agent is None else 1
    return [*direct[:at], *kept, *direct[at:]]
