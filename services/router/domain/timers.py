"""The kinds of timers. One heap of (due_us, kind, number, key); an entry that no longer matches the
entity's own field is void. Nothing is removed from the heap before its time, except that the timers
of what has ended leave it together when they are many."""

import heapq
from operator import attrgetter

from services.router.domain.state import OPEN, Offer, Task
from services.router.domain.workspace import TIMERS_MIN, Timer, Workspace

CALENDAR = 0  # a calendar opens or closes
BEFORE = 1  # a scheduled task becomes pending
AFTER = 2  # a scheduled or pending call-back is too late
OFFER = 3  # an offer expires
WRAP = 4  # wrap-up ends
ORPHAN = 5  # the agent has been offline too long
RELAX = 6  # a requirement is relaxed
STEP = 7  # the next step of the policy
HOLD = 8  # the preferred agent is waited for no longer
RETRY = 9  # a cool-down between an agent and a task ends
DELAY = 10  # an agent's delay for a queue is over for a task
ESCALATE = 11  # a level of the ladder
FORGET = 12  # a completed task can reopen no longer
RESPOND = 13  # a silent agent loses the task
DRAIN = 14  # an agent is kept from cheaper work no longer
ESTIMATE = 15  # what was told of the wait is looked at again
SURGE = 16  # a minute of a surge is over


_OPEN = {
    BEFORE: "not_before_us",
    AFTER: "not_after_us",
    WRAP: "wrap_until_us",
    ORPHAN: "orphan_us",
    RELAX: "relax_us",
    STEP: "step_until_us",
    HOLD: "hold_until_us",
    ESCALATE: "escalate_us",
    RESPOND: "respond_us",
    DRAIN: "drain_until_us",
    ESTIMATE: "estimate_us",
}
_KINDS = tuple(_OPEN)
_due = attrgetter(*_OPEN.values())


def arm_task(ws: Workspace, task: Task) -> None:
    """Every timer of a task, after a load."""
    if task.state not in OPEN:
        ws.at_time(task.forget_us, FORGET, task.number, task.id)
        return
    for due, kind in zip(_due(task), _KINDS, strict=True):
        if due is not None and (kind != BEFORE or task.state == "scheduled"):
            ws.at_time(due, kind, task.number, task.id)
    rung_us = ws.meta.behind_us if ws.meta.behind else ws.now
    for until in task.refused.values():
        if until > rung_us:
            ws.at_time(until, RETRY, task.number, task.id)


def arm_offer(ws: Workspace, offer: Offer) -> None:
    if offer.state == "open":
        ws.at_time(offer.expires_us, OFFER, offer.number, offer.id)


def compact(ws: Workspace) -> None:
    """Let go of the timers of what has ended. Needed where they are due in hours, or never."""
    ws.timers = [timer for timer in ws.timers if _may_matter(ws, timer)]
    heapq.heapify(ws.timers)
    ws.timers_max = max(TIMERS_MIN, 2 * len(ws.timers))


def _may_matter(ws: Workspace, timer: Timer) -> bool:
    due_us, kind, _, key = timer
    if kind in (CALENDAR, SURGE):
        return True
    if kind == OFFER:
        offer = ws.offers.get(key)
        return offer is not None and offer.state == "open"
    task = ws.tasks.get(key)
    return task is not None and (task.state in OPEN or task.forget_us == due_us)


# Whether these still hold is read off the task; the others are looked at when they ring.
_READ_OFF = {kind: name for kind, name in _OPEN.items() if kind not in (RESPOND, DRAIN, ESTIMATE)}
_READ_OFF[FORGET] = "forget_us"


def matters(ws: Workspace, timer: Timer) -> bool:
    """False where nothing will happen when it rings, because what it was for has become void."""
    due_us, kind, _, key = timer
    if kind == OFFER:
        return _may_matter(ws, timer)
    if kind not in _READ_OFF:
        return True
    task = ws.tasks.get(key)
    return task is not None and getattr(task, _READ_OFF[kind]) == due_us
