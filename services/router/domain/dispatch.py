"""Who gets this task. The one place where work and agents meet.

`settle` runs after every input: first each agent who has become free takes the most urgent work that
he may do (`next_task`: lowest rank, then the queue's order), and that work goes to the best agent who
may take it (`choose_agent`: whoever it is kept for, then the queue's `select`); then each task that
began to wait looks for an agent. So an idle, admissible agent and a waiting task never coexist.
"""

from hashlib import blake2b

from services.router.domain import capacity, drains, membership, offers, slots
from services.router.domain.desk import Desk
from services.router.domain.pools import Place, Pool, place_at, sooner_by_head_start
from services.router.domain.state import SEEKING, Task
from services.router.domain.workspace import Workspace

PROBES = 16
ROUNDS_MAX = 100_000
_ROUNDS = range(ROUNDS_MAX)
NO_RANK = 2**62


def settle(ws: Workspace) -> None:
    """Match what has changed until nothing more can be matched."""
    if ws.meta.behind or ws.catching_up:
        return
    freed, seekers = ws.freed, ws.seekers
    for _ in _ROUNDS:
        if freed:
            agent_id = next(iter(freed))
            del freed[agent_id]
            serve(ws, agent_id)
        elif seekers:
            task_id = next(iter(seekers))
            del seekers[task_id]
            seek(ws, task_id)
        else:
            return
    raise AssertionError("dispatch does not come to rest")


def serve(ws: Workspace, agent_id: str) -> None:
    """Give an agent work as long as he may take some. What goes to a better one is given, too."""
    desk = ws.desks.get(agent_id)
    while desk is not None and desk.takes_work:
        task = next_task(ws, desk)
        if task is None:
            return
        best = None if _is_alone(ws, task, desk) else choose_agent(ws, task)
        offers.make(ws, task, best or desk)


def _is_alone(ws: Workspace, task: Task, desk: Desk) -> bool:
    """Whether nobody else is free for the task, as in any busy centre: then it is his without a look
    at others."""
    if task.target_agent is not None or task.prefer_agent is not None or task.also:
        return False
    pool, unplaced = ws.pool_of.get(task.id), ws.unplaced
    if pool is None or pool.keyed or pool.stale:
        return False
    return len(unplaced) == 1 and desk.id in unplaced


def seek(ws: Workspace, task_id: str) -> None:
    """Find agents for a task that waits, up to its queue's `offer.parallel`."""
    task = ws.tasks.get(task_id)
    while task is not None and wants_offer(ws, task):
        desk = choose_agent(ws, task)
        if desk is None:
            return
        offers.make(ws, task, desk)


def wants_offer(ws: Workspace, task: Task) -> bool:
    """Whether the task may be offered to one more agent."""
    if task.state not in SEEKING and not (task.warm and task.state == "assigned"):
        return False
    return slots.wants_called(ws, task) or slots.wants_more(ws, task)


# -- which agent


def choose_agent(ws: Workspace, task: Task) -> Desk | None:
    """The agent who gets this task now; None when nobody may."""
    if task.target_agent is not None or task.prefer_agent is not None or task.also:
        for agent_id in slots.named_now(ws, task):
            if _may_have(ws, task, agent_id):
                return ws.desks[agent_id]
    pool = ws.pool_of.get(task.id)
    if pool is None:
        return None
    if ws.unplaced:
        membership.tell_pools(ws)
    if pool.queue.select == "random":
        return _draw(ws, pool, task)
    best = pool.best(ws, task, capacity.has_room, capacity.excluded)
    return None if best is None else ws.desks[best]


def _may_have(ws: Workspace, task: Task, agent_id: str) -> bool:
    """For the few agents that a task names: every condition, one by one."""
    desk = ws.desks.get(agent_id)
    if desk is None or not desk.takes_work:
        return False
    free_slot = desk.id in slots.direct_to(ws, task) or slots.wants_more(ws, task)
    return free_slot and capacity.admissible(ws, task, desk)


def _draw(ws: Workspace, pool: Pool, task: Task) -> Desk | None:
    """One of the admissible agents with equal chances: a few draws, then all of them."""
    ids = sorted(pool.members)
    for attempt in range(min(PROBES, len(ids))):
        agent_id = ids[_chance(ws, task, attempt) % len(ids)]
        if _may_draw(ws, pool, task, agent_id):
            return ws.desks[agent_id]
    left = [agent_id for agent_id in ids if _may_draw(ws, pool, task, agent_id)]
    return ws.desks[left[_chance(ws, task, PROBES) % len(left)]] if left else None


def _may_draw(ws: Workspace, pool: Pool, task: Task, agent_id: str) -> bool:
    return (
        capacity.free_for(ws, ws.desks[agent_id], task.channel)
        and pool.members[agent_id].delay_us <= ws.now - task.waiting_since_us
        and not capacity.excluded(ws, task, agent_id)
    )


def _chance(ws: Workspace, task: Task, attempt: int) -> int:
    text = f"{ws.seed}:{task.number}:{ws.meta.offers}:{attempt}"
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


# -- which task


def next_task(ws: Workspace, desk: Desk) -> Task | None:
    """The work that a free agent takes: what is kept for him, then the lowest rank that has work,
    in the order of its queues."""
    kept = _kept(ws, desk) if ws.wishes.get(desk.id) else None
    if kept is not None:
        return kept
    room: list[str] = []
    for name in desk.config.channels:
        if capacity.has_room(ws, desk, name):
            room.append(name)
    if not room:
        ws.unplaced.pop(desk.id, None)  # full: no pool need look at him again
        return None
    if len(desk.config.channels) > len(room):
        _drain(ws, desk, room)
    return foremost(ws, desk, room)


def foremost(ws: Workspace, desk: Desk, room: list[str]) -> Task | None:
    """The most urgent work of the lowest rank. Nearly always the first tasks of his pools tell it by
    their places alone; what they are is looked up only where they do not, or he may not have the first."""
    lowest, best, first = NO_RANK, None, None
    for pool in desk.pools.values():
        if not pool.tasks or pool.channel not in room:
            continue
        rank = pool.members[desk.id].rank
        if rank > lowest:
            continue
        key = pool.tasks[0][0]
        if best is None or first is None or rank < lowest:
            lowest, best, first = rank, pool, key
        elif pool.queue.order != best.queue.order:
            return by_closer_look(ws, desk, room)
        elif key < first:
            best, first = pool, key
    if best is None:
        return None
    task = ws.tasks[best.tasks[0][1]]
    late = best.members[desk.id].delay_us > 0
    if late or best.queue.order == "weighted_wait" or capacity.excluded(ws, task, desk.id):
        return by_closer_look(ws, desk, room)
    return task


def by_closer_look(ws: Workspace, desk: Desk, room: list[str]) -> Task | None:
    """What `foremost` is, whatever the orders of the queues, the agent's delays, and whom tasks exclude."""
    found = _lowest(ws, desk, room)
    return _most_urgent(ws, found) if found else None


def _lowest(ws: Workspace, desk: Desk, room: list[str]) -> list[tuple[Place, Task, Pool]]:
    """The first task of each pool that he may take from, with its place; of the lowest rank alone."""
    lowest = NO_RANK
    found: list[tuple[Place, Task, Pool]] = []
    for pool in desk.pools.values():
        if not pool.tasks or pool.channel not in room:
            continue
        member = pool.members[desk.id]
        rank, delay = member.rank, member.delay_us
        if rank > lowest:
            continue
        key, head = pool.tasks[0]
        task = ws.tasks[head]
        if delay or capacity.excluded(ws, task, desk.id):
            task = _later(ws, pool, desk, delay)
            if task is None:
                continue
            key = pool.entries[task.id]
        if rank < lowest:
            lowest, found = rank, []
        found.append((key, task, pool))
    return found


def _drain(ws: Workspace, desk: Desk, room: list[str]) -> None:
    """Work that he has no units for, and that waits first, has an agent kept free for it."""
    heads: list[tuple[Pool, Task]] = []
    for pool in desk.pools.values():
        channel = pool.channel
        if not pool.tasks or channel in room or pool.queue.drain.limit_s <= 0:
            continue
        if desk.count.get(channel, 0) < desk.config.channels.get(channel, 0):
            head = pool.head()
            if head is not None:
                heads.append((pool, ws.tasks[head]))
    heads.sort(key=lambda one: sooner_by_head_start(one[0].queue, one[1]))  # not as pools were made
    for _, task in heads:
        drains.begin(ws, task)


def _kept(ws: Workspace, desk: Desk) -> Task | None:
    wished = [ws.tasks[task_id] for task_id in ws.wishes.get(desk.id, ())]
    for task in sorted(wished, key=lambda task: (task.waiting_since_us, task.number)):
        if wants_offer(ws, task) and _may_have(ws, task, desk.id):
            return task
    return None


def _later(ws: Workspace, pool: Pool, desk: Desk, delay: int) -> Task | None:
    """The first that he may have, of a pool whose head he may not, or not yet."""
    first = ws.tasks[pool.tasks[0][1]]
    if desk.id in ws.drains and capacity.drained(ws, first, desk):
        return None  # what comes after the head comes after what he is kept free for, too

    def suits(task_id: str) -> bool:
        task = ws.tasks[task_id]
        return ws.now - task.waiting_since_us >= delay and not capacity.excluded(ws, task, desk.id)

    task_id = pool.first(suits)
    return None if task_id is None else ws.tasks[task_id]


def _most_urgent(ws: Workspace, found: list[tuple[Place, Task, Pool]]) -> Task:
    """Queues of one order compare in it; queues of several orders compare by head start. No two
    tasks have equal keys."""
    if len(found) == 1:
        return found[0][1]
    order = found[0][2].queue.order
    for _, _, pool in found:
        if pool.queue.order != order:
            places = [(sooner_by_head_start(pool.queue, task), task) for _, task, pool in found]
            return min(places)[1]
    if order == "weighted_wait":  # its parts have keys of their own
        return _by_weighted_wait(found, ws.now)
    return min(found)[1]


def _by_weighted_wait(found: list[tuple[Place, Task, Pool]], now_us: int) -> Task:
    return min([(place_at(pool.queue, task, now_us), task) for _, task, pool in found])[1]
