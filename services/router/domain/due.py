"""What happens by itself: timers that have come due, in the order of their instants."""

import heapq

from services.router.domain import (
    configuration,
    dispatch,
    drains,
    estimates,
    ladders,
    membership,
    offers,
    opening,
    planning,
    presence,
    surge,
    tasks,
    timers,
)
from services.router.domain.state import SEEKING, Task
from services.router.domain.workspace import Workspace


def run(ws: Workspace) -> None:
    """Everything due at or before now. While the log is behind nothing is: LIVE catches up."""
    if ws.meta.behind:
        return
    while ws.timers and ws.timers[0][0] <= ws.now:
        due_us, kind, _, key = heapq.heappop(ws.timers)
        _fire(ws, due_us, kind, key)
        rest(ws)


def rest(ws: Workspace) -> None:
    """Bring the workspace to rest: dispatch, limits of queues, next statuses."""
    if ws.meta.behind:
        ws.seekers.clear()
        ws.freed.clear()
        ws.untold.clear()
        ws.undrained.clear()
        return
    if len(ws.timers) > ws.timers_max:
        timers.compact(ws)
    if ws.leaving:
        presence.apply_next(ws)
    if ws.freed or ws.seekers:
        dispatch.settle(ws)
    if (ws.arrived or ws.undrained or ws.untold) and not ws.catching_up:
        _rest_of_waiting(ws)


def _rest_of_waiting(ws: Workspace) -> None:
    """What follows for those who began to wait and found nobody."""
    while ws.arrived:
        task_id = next(iter(ws.arrived))
        seen = ws.arrived.pop(task_id)
        task = ws.tasks.get(task_id)
        if task is not None and tasks.overflow(ws, task, seen):
            dispatch.settle(ws)
    if ws.undrained:
        drains.begin_all(ws)
    if ws.untold:
        estimates.tell_waiting(ws)


def _fire(ws: Workspace, due_us: int, kind: int, key: str) -> None:
    if kind == timers.CALENDAR:
        if due_us == ws.edge_us:
            configuration.turn(ws)
    elif kind == timers.SURGE:
        surge.look_again(ws, key, due_us)
    elif kind == timers.OFFER:
        offer = ws.offers.get(key)
        if offer is not None and offer.state == "open":
            offers.expire(ws, offer)
    else:
        task = ws.tasks.get(key)
        if task is not None:
            _fire_task(ws, task, due_us, kind)


def _fire_task(ws: Workspace, task: Task, due_us: int, kind: int) -> None:
    match kind:
        case timers.BEFORE:
            if task.state == "scheduled" and task.not_before_us == due_us:
                opening.begin(ws, task)
        case timers.AFTER:
            if task.not_after_us == due_us and task.state in (*SEEKING, "scheduled"):
                tasks.cancel(ws, task, "expired")
        case timers.WRAP:
            if task.state == "wrapping" and task.wrap_until_us == due_us:
                tasks.finish(ws, task, "wrap_up_limit")
        case timers.ORPHAN:
            if task.state == "assigned" and task.orphan_us == due_us:
                ladders.requeue(ws, task, "orphaned")
        case timers.RELAX:
            if task.relax_us == due_us:
                planning.relax(ws, task, "waiting")
        case timers.STEP:
            if task.step_until_us == due_us:
                planning.next_step(ws, task)
        case timers.HOLD:
            if task.hold_until_us == due_us:
                _end_hold(ws, task)
        case timers.ESCALATE:
            if task.escalate_us == due_us:
                ladders.review(ws, task)
        case timers.DRAIN:
            if task.drain_until_us == due_us:
                drains.end_in_vain(ws, task)
        case timers.ESTIMATE:
            if task.estimate_us == due_us:
                estimates.review(ws, task)
        case timers.RESPOND:
            if task.respond_us == due_us and task.state == "assigned" and not task.held:
                ladders.requeue(ws, task, "no_response", exclude=True)
        case timers.FORGET:
            if task.state == "completed" and task.forget_us == due_us:
                ws.reopenable.pop(task.id, None)
                ws.forget("task", task.id)
        case timers.DELAY:
            membership.delay_over(ws, task, due_us)
        case timers.RETRY:
            if due_us in task.refused.values() and (task.state in SEEKING or task.warm):
                membership.enter(ws, task)
        case _:
            raise AssertionError(f"unknown kind of timer {kind}")


def _end_hold(ws: Workspace, task: Task) -> None:
    membership.leave(ws, task)
    ws.task(task).hold_until_us = None
    membership.enter(ws, task)


def _arrive(ws: Workspace) -> None:
    """What began to wait while the log was behind: told where it stands, judged by its queue's limit,
    in the order in which it came to be."""
    arrived = [task for task_id in ws.arrived if (task := ws.tasks.get(task_id)) is not None]
    ws.arrived.clear()
    for task in sorted(arrived, key=lambda task: task.number):
        ws.arrived[task.id] = ()
        ws.untold[task.id] = ws.undrained[task.id] = None
        if task.arrived:
            ws.edit("task", task.id, task).arrived = False


def go_live(ws: Workspace) -> None:
    """The backlog is read. First what came due meanwhile, without blame; then dispatch once."""
    ws.meta.behind = False
    ws.catching_up = True
    configuration.turn(ws)  # and come to rest: it must not matter which timers have become void
    rest(ws)
    run(ws)
    ws.catching_up = False
    _arrive(ws)
    waiting = [task for task in ws.tasks.values() if task.state in SEEKING or task.warm]
    membership.seek_all(ws, waiting)
    ws.freed.clear()
    rest(ws)
