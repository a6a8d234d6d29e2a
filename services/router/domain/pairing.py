"""Whom a customer is never paired with, while his work is open: nothing is kept for or offered to them."""

from services.router.domain import lifecycle, membership, offers, planning
from services.router.domain.state import OPEN, Task
from services.router.domain.workspace import Workspace

REVOKED = "never_pair"


def anew(ws: Workspace, task: Task) -> None:
    """Its customer is never paired with others than before, or is known only now. An open offer to one of
    them is revoked; whoever has the work already keeps it."""
    never = planning.never_pair(ws, task)
    if never == task.never:
        return
    membership.leave(ws, task)
    ws.task(task).never = never
    for agent_id in never:
        lifecycle.refuse(ws, task, agent_id, 0)  # nothing is kept for him any more
    for offer in [ws.offers[name] for name in task.offers]:
        if offer.agent_id in never:
            offers.revoke(ws, offer, REVOKED)
    offers.back_to_waiting(ws, task)


def all_anew(ws: Workspace) -> None:
    """Some customers are never to be paired with other agents than before."""
    tasks = [task for task in ws.tasks.values() if task.customer_id and task.state in OPEN]
    for task in sorted(tasks, key=lambda task: task.number):
        anew(ws, task)
