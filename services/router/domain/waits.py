"""The tasks that wait, longest first, for explanations: kept, so that a changed task costs one note.

Derived, never stored, and nothing is decided by it.
"""

import heapq
from bisect import insort

from services.router.domain.changed import since_last_look
from services.router.domain.state import SEEKING, Task
from services.router.domain.workspace import Workspace

SLACK = 64  # void entries that a small heap may have
Wait = tuple[int, int, str]  # since when, the task's number and id


class Waits:
    """`known`: the wait of each task. `front`: those who have waited longest, in order; `later`: a heap
    of the others. Entries of both that no longer hold are void, and dropped when they surface."""

    __slots__ = ("front", "known", "later")

    def __init__(self, waiting: list[Wait]) -> None:
        self.known = {wait[2]: wait for wait in waiting}
        self.front: list[Wait] = []
        self.later = waiting
        heapq.heapify(waiting)

    def note(self, task_id: str, wait: Wait | None) -> None:
        if wait == self.known.get(task_id):
            return
        self.known.pop(task_id, None)
        if wait is None:
            return
        self.known[task_id] = wait
        if self.front and wait < self.front[-1]:
            insort(self.front, wait)
        else:
            heapq.heappush(self.later, wait)
            if len(self.later) > 2 * len(self.known) + SLACK:
                self.front, self.later = [], list(self.known.values())
                heapq.heapify(self.later)

    def longest(self, most: int) -> list[str]:
        """Who has waited longest, first come first."""
        self.front = [wait for wait in self.front if self._holds(wait)]
        while self.later and len(self.front) < most:
            wait = heapq.heappop(self.later)
            if self._holds(wait):
                self.front.append(wait)
        return [task_id for _, _, task_id in self.front[:most]]

    def _holds(self, wait: Wait) -> bool:
        return self.known.get(wait[2]) is wait


def look(ws: Workspace) -> Waits:
    """The waits as of now."""
    tasks = since_last_look("waits", ws.uncounted, ws.unseen)
    found = ws.waits
    if found is None or tasks is None:
        found = Waits([wait for task in ws.tasks.values() if (wait := _wait(task)) is not None])
        ws.waits = found
        return found
    for task_id in tasks:
        task = ws.tasks.get(task_id)
        found.note(task_id, None if task is None else _wait(task))
    return found


def _wait(task: Task) -> Wait | None:
    if task.state not in SEEKING:
        return None
    return task.waiting_since_us, task.number, task.id
