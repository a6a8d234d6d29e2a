"""Which tasks and conversations a customer has had, for profiles: looked for once, then noted as they come.

Derived, never stored, and nothing is decided by it.
"""

from collections.abc import Iterable

from services.router.domain.state import Conversation, Task
from services.router.domain.workspace import Workspace

SLACK = 1_000  # entries of what is in memory no more that a small workspace may have

ByCustomer = dict[str, dict[str, None]]


class Histories:
    """Ids by customer, as noted; some may have left memory, or be another's since. `noted`: how many."""

    __slots__ = ("noted", "tasks", "threads")

    def __init__(self) -> None:
        self.tasks: ByCustomer = {}
        self.threads: ByCustomer = {}
        self.noted = 0

    def note(self, known: ByCustomer, customer: str | None, name: str) -> None:
        if customer is not None:
            names = known.setdefault(customer, {})
            self.noted += name not in names
            names[name] = None


def note_task(ws: Workspace, task: Task) -> None:
    """A new task."""
    found = ws.histories
    if found is not None:
        found.note(found.tasks, task.customer_id, task.id)
        _bound(ws, found)


def note_thread(ws: Workspace, thread: Conversation) -> None:
    """It has become known whose conversation this is."""
    found = ws.histories
    if found is not None:
        found.note(found.threads, thread.customer_id, thread.id)
        _bound(ws, found)


def _bound(ws: Workspace, found: Histories) -> None:
    if found.noted > 2 * (len(ws.tasks) + len(ws.conversations)) + SLACK:
        ws.histories = None


def tasks_of(ws: Workspace, customers: Iterable[str]) -> list[Task]:
    """The tasks of these customers that are in memory, the last first."""
    known = _look(ws).tasks
    ids = {name for customer in customers for name in known.get(customer, ())}
    found = [task for name in ids if (task := ws.tasks.get(name)) is not None]
    return sorted(found, key=lambda task: -task.number)


def threads_of(ws: Workspace, customers: set[str]) -> list[Conversation]:
    """Their conversations that are in memory, the last first."""
    known = _look(ws).threads
    ids = {name for customer in customers for name in known.get(customer, ())}
    found = [thread for name in ids if (thread := ws.conversations.get(name)) is not None]
    mine = [thread for thread in found if thread.customer_id in customers]
    return sorted(mine, key=lambda thread: -thread.number)


def _look(ws: Workspace) -> Histories:
    found = ws.histories
    if found is None:
        found = ws.histories = Histories()
        for task in ws.tasks.values():
            found.note(found.tasks, task.customer_id, task.id)
        for thread in ws.conversations.values():
            found.note(found.threads, thread.customer_id, thread.id)
    return found
