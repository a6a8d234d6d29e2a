"""How many tasks and agents each queue has, for `queues/{id}/status`: counted on from the last look by
what has changed since. Derived, never stored, and nothing is decided by it.
"""

import heapq
from typing import NamedTuple

from services.router.domain import capacity
from services.router.domain.changed import hand_on, since_last_look
from services.router.domain.desk import Desk
from services.router.domain.state import OWNED, Task
from services.router.domain.workspace import Workspace

UNCOUNTED_MAX = 20_000  # changed tasks that are remembered; beyond it all are counted anew
SLACK = 64  # void entries that a small heap may have

PENDING, RESERVED, ASSIGNED = "pending", "reserved", "assigned"
AVAILABLE, BUSY, AWAY = "available", "busy", "away"


class Counted(NamedTuple):
    """What one task or agent adds, and to which queues; `queues` None (of an agent): to all."""

    word: str
    queues: tuple[str, ...] | None
    since_us: int = 0


class Counts:
    """`sums`: (word, queue) → how many. `waits`: of each queue a heap of (since, task), in which
    those who wait no more, or since another instant, are void."""

    __slots__ = ("agents", "sums", "tasks", "waits")

    def __init__(self) -> None:
        self.tasks: dict[str, Counted] = {}
        self.agents: dict[str, Counted] = {}
        self.sums: dict[tuple[str, str | None], int] = {}
        self.waits: dict[str, list[tuple[int, str]]] = {}

    def begin(self, tasks: dict[str, Counted]) -> None:
        """All tasks at once: the same as noting one after the other, in a third of the time."""
        self.tasks, sums, waits = tasks, self.sums, self.waits
        for task_id, (word, queues, since_us) in tasks.items():
            for queue in queues or ():
                sums[word, queue] = sums.get((word, queue), 0) + 1
                if word == PENDING:
                    waits.setdefault(queue, []).append((since_us, task_id))
        for heap in waits.values():
            heapq.heapify(heap)

    def of(self, word: str, queue: str) -> int:
        """Tasks or agents of a queue, with the agents who serve all."""
        return self.sums.get((word, queue), 0) + self.sums.get((word, None), 0)

    def longest_since_us(self, queue: str) -> int | None:
        """Since when the queue's longest pending task has waited."""
        heap = self.waits.get(queue, [])
        while heap and not self._waits(queue, *heap[0]):
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def _waits(self, queue: str, since_us: int, task_id: str) -> bool:
        found = self.tasks.get(task_id)
        return (
            found is not None
            and found.word == PENDING
            and found.since_us == since_us
            and queue in (found.queues or ())
        )

    def note_task(self, task_id: str, now: Counted | None) -> None:
        before = self._change(self.tasks, task_id, now)
        if now is not None and now.word == PENDING and now != before:
            for queue in now.queues or ():
                self._push(queue, now.since_us, task_id)

    def _push(self, queue: str, since_us: int, task_id: str) -> None:
        heap = self.waits.setdefault(queue, [])
        heapq.heappush(heap, (since_us, task_id))
        if len(heap) > 2 * self.sums.get((PENDING, queue), 0) + SLACK:
            heap[:] = {entry for entry in heap if self._waits(queue, *entry)}
            heapq.heapify(heap)

    def note_agent(self, agent_id: str, now: Counted | None) -> None:
        self._change(self.agents, agent_id, now)

    def _change(self, known: dict[str, Counted], name: str, now: Counted | None) -> Counted | None:
        before = known.pop(name, None)
        if now is not None:
            known[name] = now
        for entry, change in ((before, -1), (now, 1)):
            if entry is not None:
                for queue in (None,) if entry.queues is None else entry.queues:
                    at = (entry.word, queue)
                    self.sums[at] = self.sums.get(at, 0) + change
        return before


def look(ws: Workspace) -> Counts:
    """The counts as of now."""
    tasks = since_last_look("counts", ws.uncounted, ws.unseen)
    agents = since_last_look("counts", ws.uncounted_agents, ws.unseen_agents)
    found = ws.counts
    if found is None or tasks is None or agents is None:
        found = ws.counts = Counts()
        found.begin({task.id: one for task in ws.tasks.values() if (one := _of_task(task))})
        tasks, agents = set[str](), set(ws.desks)
    for task_id in tasks:
        task = ws.tasks.get(task_id)
        found.note_task(task_id, None if task is None else _of_task(task))
    for agent_id in agents:
        desk = ws.desks.get(agent_id)
        found.note_agent(agent_id, None if desk is None else _of_agent(ws, desk))
    return found


def forget(ws: Workspace) -> None:
    """Where nobody looks, what has changed is not remembered for ever."""
    ws.counts = ws.waits = None
    ws.uncounted.clear()
    ws.unseen.clear()
    hand_on(ws.uncounted_agents, ws.unseen_agents)


def _of_task(task: Task) -> Counted | None:
    if task.state == "pending":
        return Counted(PENDING, _once(task.queues), task.waiting_since_us)
    if task.state == "reserved":
        return Counted(RESERVED, _once(task.queues))
    if task.state in OWNED and task.queue is not None:
        return Counted(ASSIGNED, (task.queue,))
    return None


def _once(queues: list[str]) -> tuple[str, ...]:
    return tuple(queues) if len(queues) < 2 else tuple(dict.fromkeys(queues))


def _of_agent(ws: Workspace, desk: Desk) -> Counted | None:
    """Busy is who has no room for one more task of any of his channels."""
    status = desk.agent.shown_status
    if status == "offline":
        return None
    entries = desk.config.queues
    queues = None if entries is None else tuple(dict.fromkeys(one.queue for one in entries))
    full = not any(capacity.has_room(ws, desk, name) for name in desk.config.channels)
    return Counted(AWAY if status == "away" else BUSY if full else AVAILABLE, queues)
