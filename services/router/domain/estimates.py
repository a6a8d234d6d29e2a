"""How long a waiting task will still wait, and telling so when it changes.

Method `recent_assignments`: position × the running mean of the time between the queue's assignments, of
those that somebody had to wait for where there have been any; of a closed queue the time until it opens
is added. A task that waits in several queues is told of the one that serves it soonest. The position counts the tasks that come before it in the queue's own order, whatever they ask
of an agent. How well the first estimate was met is told
with the assignment (`estimated_s`, `actual_s`) and published as a metric.
"""

from bisect import bisect_right

import msgspec

from services.router.domain import timers
from services.router.domain.config import Queue
from services.router.domain.pools import NEVER_US, Pool, task_key
from services.router.domain.ranks import Key, Ranks
from services.router.domain.state import SEEKING, Task, waited_us
from services.router.domain.workspace import Workspace
from shared.contracts import routing
from shared.contracts.instants import SECOND_US, seconds

METHOD = "recent_assignments"
REVIEW_EVERY_US = 15 * SECOND_US  # no task's estimate is looked at more often
REVIEW_SHARE = 8  # a long wait is looked at when an eighth of it, or of it so far, has passed
GRID_US = 5 * SECOND_US  # reviews fall on whole fives of seconds, so that many share one wake-up
NEAR = 10  # up to this position every step is told, beyond it every tenth part
MOVED_US = 10 * SECOND_US  # smaller changes of the wait are not told
FIGURE_WEIGHT = 8
UNRANKED_MAX = 10_000


class Estimate(msgspec.Struct, frozen=True, gc=False):
    """`wait_us` None: nothing has been assigned in this queue yet."""

    position: int
    wait_us: int | None


# -- reading


def estimate(ws: Workspace, task: Task) -> Estimate | None:
    """Of a task that waits in a queue, else None; of several queues that of the soonest."""
    if task.state not in SEEKING:
        return None
    best: Estimate | None = None
    for name in task.queues:
        found = _in_queue(ws, name, task)
        if found is not None and (best is None or _is_sooner(found, best)):
            best = found
    return best


def _in_queue(ws: Workspace, name: str, task: Task) -> Estimate | None:
    queue = ws.queues.get(name)
    if queue is None:
        return None
    ahead = position(ws, queue, task)
    return Estimate(ahead, expected_wait_us(ws, name, ahead, task.waiting_since_us))


def _is_sooner(one: Estimate, other: Estimate) -> bool:
    """A wait that is known before one that is not."""
    if one.wait_us is None or other.wait_us is None:
        return one.wait_us is not None
    return one.wait_us < other.wait_us


def expected_wait_us(ws: Workspace, queue: str, ahead: int, since_us: int) -> int | None:
    """How long until the `ahead`-th assignment from now in this queue, in which somebody has waited since
    then."""
    figures = ws.figures.get(queue)
    if figures is None or figures.interval_us <= 0:
        return None
    each_us = figures.pressed_us or figures.interval_us
    silence = ws.now - moving_since_us(ws, queue, since_us) - each_us
    if silence > 0 and queue not in ws.closed_queues:
        each_us += silence // FIGURE_WEIGHT
    wait_us = ahead * each_us
    return wait_us + until_open_us(ws, queue) if queue in ws.closed_queues else wait_us


def moving_since_us(ws: Workspace, queue: str, since_us: int) -> int:
    """Since when the next assignment has been awaited: the last one, or when somebody began to wait or
    the queue opened after that."""
    figures, known = ws.figures.get(queue), ws.queues.get(queue)
    if figures is not None and figures.last_us > since_us:
        since_us = figures.last_us
    if known is None or known.calendar is None:
        return since_us
    return max(since_us, _opened_us(ws, known.calendar))


def _opened_us(ws: Workspace, name: str) -> int:
    """When the hours of a calendar last began."""
    calendar = ws.resource("calendar", name)
    windows = calendar.windows if calendar else []
    place = bisect_right(windows, (ws.now, NEVER_US))
    return windows[place - 1][0] if place else 0


def until_open_us(ws: Workspace, name: str) -> int:
    """Of a closed queue: until it opens, as far as that is known."""
    queue = ws.queues.get(name)
    if queue is None or queue.calendar is None:
        return 0
    calendar = ws.resource("calendar", queue.calendar)
    opens = (start for start, _ in (calendar.windows if calendar else ()) if start > ws.now)
    return min(opens, default=ws.now) - ws.now


def position(ws: Workspace, queue: Queue, task: Task) -> int:
    """1 for the next in the queue's order."""
    rank_all(ws)
    parts = ws.ranks.get(queue.id, {})
    if queue.order != "weighted_wait":
        ranks = parts.get(0.0)
        if ranks is None:
            return 1
        return 1 + ranks.before(_place(ws.pool_of.get(task.id), queue, task))
    urgency = max(1, task.priority) * waited_us(task, ws.now)
    ahead = 0
    for weight, ranks in parts.items():
        # Those of this weight who waited longer than `urgency / weight` come first.
        ahead += ranks.before((ws.now - urgency / weight, task.number))
    return 1 + ahead


# -- the waiting tasks of each queue in order


def rank_all(ws: Workspace) -> None:
    """Take in what began and ceased to wait since the last look."""
    ranked, pools = ws.ranked, ws.pool_of
    # Old places first: after a change of the queue's order they do not compare with new ones.
    for task_id in ws.unranked:
        for parts, weight, key in ranked.pop(task_id, ()):
            if parts[weight].discard(key) == 0:
                del parts[weight]
    for task_id in ws.unranked:
        pool = pools.get(task_id)
        if pool is not None:
            ranked[task_id] = _rank(ws, pool, ws.tasks[task_id])
    ws.unranked.clear()


def _rank(ws: Workspace, pool: Pool, task: Task) -> list[tuple[dict[float, Ranks], float, Key]]:
    found: list[tuple[dict[float, Ranks], float, Key]] = []
    for name in task.queues:
        queue = ws.queues.get(name)
        if queue is None:
            continue
        weight = max(1.0, task.priority) if queue.order == "weighted_wait" else 0.0
        key = _place(pool, queue, task)
        parts = ws.ranks.setdefault(name, {})
        ranks = parts.get(weight)
        if ranks is None:
            ranks = parts[weight] = Ranks()
        ranks.add(key)
        found.append((parts, weight, key))
    return found


def _place(pool: Pool | None, queue: Queue, task: Task) -> Key:
    """Its key in the queue's order: its pool knows it, unless the order is by what changes meanwhile."""
    if pool is not None and pool.queue is queue and queue.order != "deadline":
        return pool.entries[task.id]
    return task_key(queue, task)


# -- telling


def tell_waiting(ws: Workspace) -> None:
    """After dispatch: who was not offered to anybody learns where he stands."""
    for task_id in ws.untold:
        task = ws.tasks.get(task_id)
        if task is not None and task.state == "pending":
            review(ws, task)
    ws.untold.clear()


def review(ws: Workspace, task: Task) -> None:
    """Tell the estimate if it is new or has moved, and look again later. Of a task that does not
    wait just now nothing is told, and nothing stays due: a take-over would tell it. What was told is
    no new version of the task."""
    ws.edit("task", task.id, task)
    found = estimate(ws, task) if task.state == "pending" else None
    if found is None:
        task.estimate_us = None
        return
    if task.told_us is None or _moved(ws, task, found):
        _tell(ws, task, found)
    long_us = waited_us(task, ws.now) if found.wait_us is None else found.wait_us
    later = long_us // REVIEW_SHARE
    if later < REVIEW_EVERY_US:
        later = REVIEW_EVERY_US
    due = (ws.now + later) // GRID_US * GRID_US + GRID_US
    task.estimate_us = due
    ws.at_time(due, timers.ESTIMATE, task.number, task.id)


def _moved(ws: Workspace, task: Task, found: Estimate) -> bool:
    if task.told_us is None or (task.told_wait_us is None) != (found.wait_us is None):
        return True
    step = 1 if min(task.told_position, found.position) <= NEAR else task.told_position // NEAR
    if abs(found.position - task.told_position) >= step:
        return True
    if task.told_wait_us is None or found.wait_us is None:
        return False
    left = task.told_wait_us - (ws.now - task.told_us)
    return abs(found.wait_us - left) >= max(MOVED_US, task.told_wait_us // 5)


def _tell(ws: Workspace, task: Task, found: Estimate) -> None:
    wait_s = None if found.wait_us is None else seconds(found.wait_us)
    ws.emit(
        routing.TaskEstimate(
            ws.name, ws.meta.seq + 1, ws.at, task.id, task.conversation_id,
            position=found.position,
            wait_s=wait_s,
            method=METHOD,
        )
    )  # fmt: skip
    task.told_position, task.told_wait_us, task.told_us = found.position, found.wait_us, ws.now
    if task.first_told_us is None and found.wait_us is not None:
        task.first_wait_us, task.first_told_us = found.wait_us, ws.now


def met(ws: Workspace, task: Task) -> tuple[float | None, float | None]:
    """(first estimate, what it became) in seconds, when a task gets its agent; told no more."""
    if task.first_told_us is None or task.first_wait_us is None:
        found: tuple[float | None, float | None] = (None, None)
    else:
        found = seconds(task.first_wait_us), seconds(ws.now - task.first_told_us)
    task.told_us = task.told_wait_us = task.first_told_us = task.first_wait_us = None
    task.estimate_us = None
    return found
