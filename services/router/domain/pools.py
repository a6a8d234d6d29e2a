"""Pools: waiting tasks that ask exactly the same of an agent, and the agents who can do them.

A pool keeps two kinds of lazily updated heaps. `tasks`: its waiting tasks in the queue's order.
`heaps`: its agents in the order of the queue's `select`, one heap per delay. Entries that no longer
hold are dropped when they surface, or when they are the most of a heap, so a change of an agent
costs one note in each of his pools. The first of `tasks` always holds. An entry holds while its key is the
very one that is known of its task (`entries`) or agent (`keyed`).

Keys are total (they end in an id or number), so the heaps' inner order never decides anything.
"""

import heapq
from collections.abc import Callable, Collection
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from services.router.domain.config import Queue
from services.router.domain.desk import Desk
from services.router.domain.requirements import Requirement, Signature, preferences, signature
from services.router.domain.state import Task
from shared.contracts.instants import span_us

if TYPE_CHECKING:
    from services.router.domain.workspace import Workspace

NEVER_US = 2**62
SLACK = 64  # void entries that a small heap may have
_NOBODY: frozenset[str] = frozenset()
Key = tuple[Any, ...]  # an agent's place
Place = Any  # a task's: whatever compares, the same kind of thing in all queues of one order
Room = Callable[["Workspace", Desk, str], bool]  # whether an agent has room for work of a channel
Barred = Callable[["Workspace", Task, str], bool]  # whether an agent, by id, may not have a task


class PoolKey(NamedTuple):
    """`weight` splits a weighted_wait queue's tasks by priority, so that each part is in order."""

    queues: tuple[str, ...]
    channel: str
    signature: Signature
    weight: float


class Member(msgspec.Struct, frozen=True, gc=False):
    """How an agent serves a pool: through which queue, and that queue's rank, delay and tier."""

    queue: str
    rank: int
    delay_us: int
    tier: int


class Pool:
    """One pool. `number` only names it; nothing is decided by it. `mixed`: members who serve more than
    one channel."""

    __slots__ = (
        "channel", "delayed", "entries", "heaps", "key", "keyed", "members", "mixed", "number", "prefers",
        "queue", "requires", "stale", "tasks",
    )  # fmt: skip

    def __init__(
        self, number: int, key: PoolKey, requires: tuple[Requirement, ...], queue: Queue
    ) -> None:
        self.number = number
        self.key = key
        self.channel = key.channel
        self.requires = requires
        self.prefers = bool(preferences(requires))
        self.queue = queue
        self.tasks: list[tuple[Place, str]] = []
        self.entries: dict[str, Place] = {}
        self.members: dict[str, Member] = {}
        self.heaps: dict[int, list[tuple[Key, str]]] = {}
        self.keyed: dict[str, Key] = {}
        self.stale: dict[str, None] = {}
        self.delayed: dict[int, int] = {}
        self.mixed: set[str] = set()

    # -- tasks

    def add(self, task: Task) -> None:
        key = task_key(self.queue, task)
        self.entries[task.id] = key
        heapq.heappush(self.tasks, (key, task.id))
        if len(self.tasks) > 2 * len(self.entries) + SLACK:
            self.tasks = [(key, task_id) for task_id, key in self.entries.items()]
            heapq.heapify(self.tasks)

    def discard(self, task_id: str) -> None:
        tasks, entries = self.tasks, self.entries
        entries.pop(task_id, None)
        while tasks and entries.get(tasks[0][1]) is not tasks[0][0]:
            heapq.heappop(tasks)

    def head(self) -> str | None:
        """The first task in order."""
        return self.tasks[0][1] if self.tasks else None

    def first(self, suits: Callable[[str], bool]) -> str | None:
        """The first task in order that suits; those before it stay in their place."""
        skipped: list[tuple[Place, str]] = []
        found: str | None = None
        while self.tasks:
            key, task_id = self.tasks[0]
            if self.entries.get(task_id) is not key:
                heapq.heappop(self.tasks)
            elif suits(task_id):
                found = task_id
                break
            else:
                skipped.append(heapq.heappop(self.tasks))
        for entry in skipped:
            heapq.heappush(self.tasks, entry)
        return found

    # -- agents

    def join(self, desk: Desk, member: Member) -> None:
        self.members[desk.id] = member
        if len(desk.config.channels) > 1:
            self.mixed.add(desk.id)
        if member.delay_us:
            self.delayed[member.delay_us] = self.delayed.get(member.delay_us, 0) + 1
        desk.pools[self.number] = self
        self.stale[desk.id] = None

    def leave(self, desk: Desk) -> None:
        member = self.members.pop(desk.id, None)
        if member is not None and member.delay_us:
            self.delayed[member.delay_us] -= 1
        self.mixed.discard(desk.id)
        self.keyed.pop(desk.id, None)
        self.stale.pop(desk.id, None)
        desk.pools.pop(self.number, None)

    def agent_key(self, desk: Desk) -> Key:
        if self.prefers:
            return agent_key(self.queue, self.requires, desk, self.members[desk.id])
        return _select_key(self.queue, self.requires, desk, self.members[desk.id])

    def absorb(self, ws: "Workspace", room: Room) -> set[str]:
        """Take note of the agents that changed since the pool was last asked. Returns those who are
        free and in their place."""
        placed: set[str] = set()
        for agent_id in self.stale:
            desk = ws.desks[agent_id]
            if desk.takes_work and room(ws, desk, self.channel):
                key = self.agent_key(desk)
                known = self.keyed.get(agent_id)
                if known is None or key < known:
                    self._push(agent_id, key)
                    placed.add(agent_id)
        self.stale.clear()
        return placed

    def _push(self, agent_id: str, key: Key) -> None:
        self.keyed[agent_id] = key
        heap = self.heaps.setdefault(self.members[agent_id].delay_us, [])
        heapq.heappush(heap, (key, agent_id))
        if len(heap) > 2 * len(self.keyed) + SLACK:
            heap[:] = [entry for entry in heap if self.keyed.get(entry[1]) is entry[0]]
            heapq.heapify(heap)

    def best(self, ws: "Workspace", task: Task, room: Room, barred: Barred) -> str | None:
        """The first agent in order who takes work, has room for it and is not barred, of those whose delay is
        over."""
        placed: Collection[str] = _NOBODY
        if self.stale:
            if not self.keyed and len(self.stale) == 1:
                return self._only(ws, task, room, barred)
            placed = self.absorb(ws, room)
        found: tuple[Key, str] | None = None
        for delay, heap in self.heaps.items():
            if heap and delay <= ws.now - task.waiting_since_us:
                top = self._top(ws, task, delay, placed, room, barred)
                if top is not None and (found is None or top < found):
                    found = top
        return None if found is None else found[1]

    def _only(self, ws: "Workspace", task: Task, room: Room, barred: Barred) -> str | None:
        """Where one agent has changed and nobody else is free, as in any busy centre, he needs no place
        among others. He is looked at again by whoever asks next."""
        (agent_id,) = self.stale
        desk = ws.desks[agent_id]
        if not (desk.takes_work and room(ws, desk, self.channel)):
            self.stale.clear()
            return None
        late = self.members[agent_id].delay_us > ws.now - task.waiting_since_us
        return None if late or barred(ws, task, agent_id) else agent_id

    def _top(
        self, ws: "Workspace", task: Task, delay: int, placed: Collection[str],
        room: Room, barred: Barred,
    ) -> tuple[Key, str] | None:  # fmt: skip
        heap = self.heaps[delay]
        several = len(self.heaps) > 1
        skipped: list[tuple[Key, str]] = []
        found: tuple[Key, str] | None = None
        while heap:
            key, agent_id = heap[0]
            if self.keyed.get(agent_id) is not key:
                heapq.heappop(heap)
                continue
            if several and self.members[agent_id].delay_us != delay:
                heapq.heappop(heap)  # he is in the heap of another delay since
                continue
            if agent_id not in placed:
                desk = ws.desks[agent_id]
                if not (desk.takes_work and room(ws, desk, self.channel)):
                    heapq.heappop(heap)
                    del self.keyed[agent_id]
                    continue
                now = self.agent_key(desk)
                if now != key:
                    heapq.heapreplace(heap, (now, agent_id))
                    self.keyed[agent_id] = now
                    continue
            if barred(ws, task, agent_id):
                skipped.append(heapq.heappop(heap))
            else:
                found = heap[0]
                break
        for entry in skipped:
            heapq.heappush(heap, entry)
        return found

    def next_delay(self, waited_us: int) -> int | None:
        """The next of its agents' delays that a task has not waited yet."""
        later = [delay for delay, agents in self.delayed.items() if agents and delay > waited_us]
        return min(later, default=None)


def task_key(queue: Queue, task: Task) -> Place:
    """A task's place in its queue's order, smallest first. Larger priority is sooner in every
    order, ties go to the longer wait (workspace.yaml)."""
    since, order = task.waiting_since_us, queue.order
    if order == "head_start":  # whole numbers in one: heaps and ranks compare it all the time
        return (head_start(queue, task) << 128) + (since << 64) + task.number
    if order == "strict_priority":
        return (-task.priority, since, task.number)
    if order == "weighted_wait":
        return (since, task.number)
    return (deadline(task), -task.priority, since, task.number)


def head_start(queue: Queue, task: Task) -> int:
    """The instant it would have come at without priority: each point is worth `head_start_s` of
    waiting (facts/routing.md §2.3, the Genesys score)."""
    return task.waiting_since_us - round(task.priority * span_us(queue.head_start_s))


def deadline(task: Task) -> int:
    """The nearest instant due of its running clocks."""
    due = (note.due_us for note in task.clocks if note.due_us is not None and not note.ended)
    return min(due, default=NEVER_US)


def place_at(queue: Queue, task: Task, now_us: int) -> Place:
    """A waiting task's place in its queue's order at this moment, whatever its weight."""
    if queue.order == "weighted_wait":
        waited = max(0, now_us - task.waiting_since_us)
        return (-max(1, task.priority) * waited, task.waiting_since_us, task.number)
    return task_key(queue, task)


def sooner_by_head_start(queue: Queue, task: Task) -> Key:
    """What compares tasks of queues with several orders."""
    return (head_start(queue, task), task.waiting_since_us, task.number)


def agent_key(
    queue: Queue, requires: tuple[Requirement, ...], desk: Desk, member: Member
) -> Key:  # fmt: skip
    """An agent's place in the queue's `select`, smallest first; the id breaks the last tie. Before
    all comes how many of the preferred skills he lacks."""
    key = _select_key(queue, requires, desk, member)
    liked = preferences(requires)
    return (sum(not item.suits(desk.facts) for item in liked), *key) if liked else key


def _select_key(
    queue: Queue, requires: tuple[Requirement, ...], desk: Desk, member: Member
) -> Key:  # fmt: skip
    agent, select = desk.agent, queue.select
    if select == "least_loaded":
        return (desk.share, agent.available_us, agent.id)
    if select == "longest_idle":
        return (agent.idle_us, agent.id)
    if select == "round_robin":
        return (agent.served, agent.id)
    if select == "best_skilled":
        return (-proficiency(requires, desk), agent.idle_us, agent.id)
    if select == "ranked":
        return (member.tier, agent.available_us, agent.id)
    return (agent.id,)  # random: dispatch draws among them


def proficiency(requires: tuple[Requirement, ...], desk: Desk) -> int:
    """Sum of levels over the required skills."""
    return sum(
        desk.config.skills.get(item.skill, 0)
        for item in requires
        if item.skill and not item.preferred
    )


@lru_cache(maxsize=65_536)
def signature_of(requires: tuple[Requirement, ...]) -> Signature:
    return signature(requires)
