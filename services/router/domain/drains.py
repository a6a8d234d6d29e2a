"""Keeping an agent free for dear work (facts/routing.md §2.5, the lock-in hazard).

An agent whose freed slots are filled with chats at once never has room for a call, however long it
waits. So where the first task of a pool finds agents who lack nothing but units, the one with the
least to finish is kept from work that comes after it, until he may have it or the queue's
`drain.limit_s` is over. One agent for one task; who was kept in vain is not kept for it again.
"""

from services.router.domain import capacity, timers
from services.router.domain.desk import Desk
from services.router.domain.pools import Pool
from services.router.domain.state import Task
from services.router.domain.workspace import Workspace
from shared.contracts.instants import span_us

DRAINS_MAX = 20  # agents kept free for one task, one after the other


def begin_all(ws: Workspace) -> None:
    """For what began to wait in this input and found nobody. Not for whatever merely looked again: a
    timer that no longer means anything must change nothing, since a take-over forgets it."""
    for task_id in ws.undrained:
        pool = ws.pool_of.get(task_id)
        if pool is not None and pool.mixed:
            begin(ws, ws.tasks[task_id])
    ws.undrained.clear()


def begin(ws: Workspace, task: Task) -> None:
    """Keep an agent free for the task if it is its pool's first, and there is such an agent."""
    if task.drain_agent is not None or task.state != "pending" or len(task.drained) >= DRAINS_MAX:
        return
    pool = ws.pool_of.get(task.id)
    if pool is None or not pool.mixed or pool.queue.drain.limit_s <= 0 or pool.head() != task.id:
        return
    if not _has_cheaper(ws, task.channel):
        return
    desk = _nearest(ws, pool, task)
    if desk is None:
        return
    ws.task(task)
    task.drain_agent = desk.id
    task.drain_until_us = ws.now + span_us(pool.queue.drain.limit_s)
    task.drained = (*task.drained, desk.id)
    ws.drains[desk.id] = task.id
    ws.at_time(task.drain_until_us, timers.DRAIN, task.number, task.id)


def _has_cheaper(ws: Workspace, channel: str) -> bool:
    """Whether any other channel's work costs less, so that it fits where this does not."""
    cost = ws.costs[channel]
    return any(one.cost < cost for one in ws.settings.channels.values())


def _nearest(ws: Workspace, pool: Pool, task: Task) -> Desk | None:
    """Of those who lack nothing but units, the one with the least to finish."""
    found: tuple[int, str] | None = None
    for agent_id in pool.mixed:
        desk = ws.desks[agent_id]
        if _lacks_units_only(ws, pool, task, desk):
            key = (capacity.used_against(ws, desk, task.channel), agent_id)
            if found is None or key < found:
                found = key
    return None if found is None else ws.desks[found[1]]


def _lacks_units_only(ws: Workspace, pool: Pool, task: Task, desk: Desk) -> bool:
    cap = desk.config.channels.get(task.channel, 0)
    return (
        desk.count.get(task.channel, 0) < cap
        and desk.takes_work
        and ws.costs[task.channel] <= desk.config.capacity
        and not capacity.has_room(ws, desk, task.channel)
        and desk.id not in ws.drains
        and desk.id not in task.drained
        and pool.members[desk.id].delay_us <= ws.now - task.waiting_since_us
        and not capacity.excluded(ws, task, desk.id)
    )


def end(ws: Workspace, task: Task) -> None:
    """The agent may take anything again."""
    agent_id = task.drain_agent
    if agent_id is None:
        return
    ws.task(task)
    task.drain_agent = task.drain_until_us = None
    ws.drains.pop(agent_id, None)
    desk = ws.desks.get(agent_id)
    if desk is not None:
        ws.unplaced[agent_id] = None
        if desk.takes_work:
            ws.freed[agent_id] = None


def end_in_vain(ws: Workspace, task: Task) -> None:
    """The time is over, or the agent cannot take it any more: perhaps another one is kept free."""
    end(ws, task)
    ws.seekers[task.id] = ws.undrained[task.id] = None


def agent_left(ws: Workspace, agent_id: str) -> None:
    task = ws.tasks.get(ws.drains.get(agent_id, ""))
    if task is not None:
        end_in_vain(ws, task)
