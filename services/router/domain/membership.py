"""Which pool a task waits in and which agents belong to a pool; who has to look again.

Called when a task begins or ends to seek, and when agents, queues or opening hours change.
"""

from services.router.domain import capacity, drains, slots, timers
from services.router.domain.config import Queue
from services.router.domain.desk import Desk
from services.router.domain.pools import Member, Pool, PoolKey, signature_of
from services.router.domain.requirements import Requirement, canonical, met_by
from services.router.domain.state import SEEKING, Task, named
from services.router.domain.workspace import Workspace
from shared.contracts.instants import span_us

IDLE_POOLS_MAX = 2_000
_NO_QUEUE = Queue("")


def enter(ws: Workspace, task: Task) -> None:
    """(Re)place a task that seeks an agent: in its pool, or with whom it is kept for."""
    leave(ws, task)
    if task.state not in SEEKING and not (task.warm and task.state == "assigned"):
        return
    more = slots.wants_more(ws, task)
    if not more and not slots.wants_called(ws, task):
        return  # it has the offers that it may have
    ws.seekers[task.id] = None
    names = named(task)
    for agent_id in names:
        ws.wishes.setdefault(agent_id, {})[task.id] = None
    if more and task.queues and (not names or capacity.kept_for(task) is None):
        _join(ws, task)
    if task.drain_agent is not None:
        _check_drain(ws, task, task.drain_agent)


def _check_drain(ws: Workspace, task: Task, agent_id: str) -> None:
    """Nobody is kept free for a task that he may not have; who is kept looks again at what comes
    first for him, since the task's place may be another."""
    pool = ws.pool_of.get(task.id)
    if pool is None or agent_id not in pool.members or capacity.excluded(ws, task, agent_id):
        drains.end_in_vain(ws, task)
    elif ws.desks[agent_id].takes_work:
        ws.freed[agent_id] = None


def _join(ws: Workspace, task: Task) -> None:
    pool = pool_for(ws, tuple(task.queues), task, capacity.active(task))
    pool.add(task)
    ws.pool_of[task.id] = pool
    ws.unranked[task.id] = None
    if pool.delayed:
        _arm_delay(ws, pool, task)


def _arm_delay(ws: Workspace, pool: Pool, task: Task) -> None:
    """Look again when the next of the agents' delays is over for the task."""
    delay = pool.next_delay(ws.now - task.waiting_since_us)
    if delay is not None:
        ws.at_time(task.waiting_since_us + delay, timers.DELAY, task.number, task.id)


def delay_over(ws: Workspace, task: Task, due_us: int) -> None:
    """Some agents may have the task from now on, unless they or its place have changed since."""
    pool = ws.pool_of.get(task.id)
    if pool is None:
        return
    if pool.delayed.get(due_us - task.waiting_since_us):
        enter(ws, task)
    else:
        _arm_delay(ws, pool, task)


def leave(ws: Workspace, task: Task) -> None:
    """The task no longer waits for anybody."""
    pool = ws.pool_of.pop(task.id, None)
    if pool is not None:
        pool.discard(task.id)
        ws.unranked[task.id] = None
    if ws.seekers:
        ws.seekers.pop(task.id, None)
    if ws.wishes:
        for agent_id in named(task):
            if agent_id in ws.wishes:
                ws.wishes[agent_id].pop(task.id, None)


def pool_for(
    ws: Workspace, queues: tuple[str, ...], task: Task, requires: tuple[Requirement, ...]
) -> Pool:
    """The pool of such tasks; made, with its members, when there is none."""
    queue = ws.queues.get(queues[0], _NO_QUEUE)
    weight = max(1.0, task.priority) if queue.order == "weighted_wait" else 0.0
    asked = (queues, task.channel, signature_of(requires), weight)
    pool = ws.pools.get(asked)  # type: ignore[arg-type]  # equal to the key, and sooner made
    if pool is None:
        key = PoolKey(*asked)
        if len(ws.pools) >= IDLE_POOLS_MAX:
            _evict(ws)
        ws.pool_count += 1
        pool = ws.pools[key] = Pool(ws.pool_count, key, canonical(requires), queue)
        for agent_id in _could(ws, requires):
            _admit(ws, pool, ws.desks[agent_id])
    return pool


def _could(ws: Workspace, requires: tuple[Requirement, ...]) -> set[str] | dict[str, Desk]:
    """The fewest agents among whom everyone who meets the requirements is."""
    sets = [
        ws.by_skill.get(item.skill, set[str]())
        for item in requires
        if item.skill and not item.preferred
    ]
    return min(sets, key=len) if sets else ws.desks


def _evict(ws: Workspace) -> None:
    """Let go of the pools without work; they are made again when needed."""
    for key, pool in list(ws.pools.items()):
        if not pool.entries:
            _empty(ws, pool)
            del ws.pools[key]


def _empty(ws: Workspace, pool: Pool) -> None:
    for agent_id in list(pool.members):
        pool.leave(ws.desks[agent_id])


def _admit(ws: Workspace, pool: Pool, desk: Desk) -> None:
    if desk.config.channels.get(pool.channel, 0) <= 0 or not met_by(pool.requires, desk.facts):
        return
    served = capacity.serving(desk, pool.key.queues, ws.closed_queues)
    if served is not None:
        member = Member(served.queue, served.rank, span_us(served.delay_s), served.tier)
        pool.join(desk, member)


# -- when something changes


def freed(ws: Workspace, desk: Desk) -> None:
    """The agent may have become able to take (more) work."""
    agent_id = desk.id
    ws.unplaced[agent_id] = None
    if desk.takes_work:
        ws.freed[agent_id] = None
    elif agent_id in ws.drains:
        drains.agent_left(ws, agent_id)


def tell_pools(ws: Workspace) -> None:
    """Who has changed is to be looked at by each of his pools, when it is next asked. Put off until one
    is: a freed agent mostly has his next work before."""
    for agent_id in ws.unplaced:
        desk = ws.desks.get(agent_id)
        if desk is not None:
            for pool in desk.pools.values():
                pool.stale[agent_id] = None
    ws.unplaced.clear()


def agent_changed(ws: Workspace, desk: Desk) -> None:
    """A new or changed agent: look again which pools he belongs to."""
    agent_gone(ws, desk)
    for skill in desk.config.skills:
        ws.by_skill.setdefault(skill, set()).add(desk.id)
    for pool in ws.pools.values():
        _admit(ws, pool, desk)
        if (member := pool.members.get(desk.id)) is not None and member.delay_us:
            for task_id in pool.entries:
                _arm_delay(ws, pool, ws.tasks[task_id])
    freed(ws, desk)


def agent_gone(ws: Workspace, desk: Desk) -> None:
    if ws.roster is not None:
        ws.roster.rewritten.add(desk.id)
    if desk.id in ws.drains:
        drains.agent_left(ws, desk.id)
    for pool in list(desk.pools.values()):
        pool.leave(desk)
    for ids in ws.by_skill.values():
        ids.discard(desk.id)
    ws.freed.pop(desk.id, None)


def queue_changed(ws: Workspace, queue: str) -> None:
    """A queue opened, closed or changed: its pools are made anew, its tasks look again."""
    touched = [pool for key, pool in ws.pools.items() if queue in key.queues]
    waiting = [ws.tasks[task_id] for pool in touched for task_id in pool.entries]
    for pool in touched:
        _empty(ws, pool)
        del ws.pools[pool.key]
    seek_all(ws, waiting)


def offers_changed(ws: Workspace, queue: str) -> None:
    """Tasks of this queue may have other many offers at once than before."""
    offered = {offer.task_id for offer in ws.offers.values() if offer.state == "open"}
    seek_all(ws, [ws.tasks[task] for task in offered if queue in ws.tasks[task].queues])


def seek_all(ws: Workspace, tasks: list[Task]) -> None:
    """Let these tasks look for agents, the most urgent first."""
    ranked = sorted(tasks, key=lambda task: (_place(ws, task), task.number))
    for task in ranked:
        enter(ws, task)


def _place(ws: Workspace, task: Task) -> int:
    queue = ws.queues.get(task.queues[0]) if task.queues else None
    points = span_us(queue.head_start_s) if queue else 0
    return task.waiting_since_us - round(task.priority * points)
