"""Why a task is where it is, and why an agent has or has not what waits. API.md, «explanation».

Built from the very conditions that decide (`capacity.conditions`) and the very order of the queue
(`pools.agent_key`), so an explanation cannot disagree with what happens.
"""

from collections.abc import Iterable, Sized
from heapq import nsmallest
from typing import Any, NamedTuple

from services.router.domain import candidates, capacity, shapes, waits
from services.router.domain.candidates import Candidates
from services.router.domain.capacity import Condition
from services.router.domain.config import Queue
from services.router.domain.desk import Desk
from services.router.domain.lacks import Lacks
from services.router.domain.next_change import next_change
from services.router.domain.pools import NEVER_US, Key, Member, agent_key
from services.router.domain.state import OPEN, SEEKING, Decision, Task, waited_us
from services.router.domain.workspace import Workspace
from shared.contracts.instants import format_instant, seconds, span_us
from shared.contracts.problems import not_found

NEAREST = 20
JUDGED_IN_FULL = 60  # of the agents, those who lack least are held against every condition
WAITING_JUDGED_MAX = 500  # of the tasks that wait, the longest waiting are held against an agent
_INSTANTS_FROM_US = 10**14  # smaller numbers in order keys are no instants

_NO_QUEUE = Queue("")
_REASONS = {
    "presence": "not available",
    "capacity": "without enough free capacity",
    "channel": "not serving its channel",
    "channel_cap": "at their limit for its channel",
    "wrap_up": "in wrap-up",
    "queue": "not serving its queue",
    "closed": "behind a closed queue",
    "cool_down": "cooling down from it",
    "offered": "already having an offer of it",
    "owner": "having it",
    "never_pair": "never to be paired with its customer",
    "drain": "kept free for other work",
    "hold": "waiting while it is kept for another",
    "delay": "not due yet by their delay",
}
# Reasons of a presence that the router set, in words.
_ABSENT = {
    "lease": "the desktop has neither polled nor streamed within the lease",
    "missed_offers": "too many offers were missed in a row",
}


class Page(NamedTuple):
    """Agents from place `start` (from 0) in the order of nearness, `limit` of them."""

    start: int
    limit: int


class Judged(NamedTuple):
    """An agent held against a task: every condition, and his place in the queue's order."""

    desk: Desk
    conditions: list[Condition]
    keys: Key

    @property
    def failed(self) -> list[Condition]:
        return [one for one in self.conditions if not one.passed]


# -- a task


def explain_task(
    ws: Workspace, task_id: str, *, agent: str | None = None, page: Page | None = None
) -> shapes.ExplainedTask:
    """The explanation of a task; with `agent`, of this agent alone; with `page`, of all of them page
    by page, the nearest first. Raises Refused (not-found)."""
    task = ws.tasks.get(task_id)
    if task is None:
        raise not_found("task", task_id)
    if agent is not None and agent not in ws.desks:
        raise not_found("agent", agent)
    found = candidates.candidates(ws, task) if task.state in OPEN else candidates.NOBODY
    most = JUDGED_IN_FULL if page is None else page.start + page.limit
    desks = candidates.nearest(found, most)
    following: int | None = None
    if page is not None:
        following = most if found.total > most else None
        desks = desks[page.start :]
    queue = _queue(ws, task)
    judged = (_judge(ws, task, desk, queue) for desk in desks)
    shown = nsmallest(NEAREST, judged, key=_nearness) if page is None else list(judged)
    change = next_change(ws, task, [(one.desk, one.failed) for one in shown])
    if agent is not None:
        shown = [_judge(ws, task, ws.desks[agent], queue)] if found.total else []
    return {
        "task_id": task.id,
        "state": task.state,
        "at": ws.at,
        "summary": _summary(ws, task, found),
        "policy": _policy(task),
        "candidates": _counts(found),
        "agents": [_agent(one) for one in shown],
        "next_change": change,
        "decisions": [_decision(one) for one in task.decisions],
        "next": following,
    }


def explain_stored(task: Task, at: str) -> shapes.TaskExplanation:
    """The explanation of a task that has left memory: what became of it, and its decisions."""
    return {
        "task_id": task.id,
        "state": task.state,
        "at": at,
        "summary": _ended(task),
        "policy": _policy(task),
        "candidates": _counts(candidates.NOBODY),
        "agents": [],
        "next_change": None,
        "decisions": [_decision(one) for one in task.decisions],
        "next": None,
    }


def _judge(ws: Workspace, task: Task, desk: Desk, queue: Queue) -> Judged:
    served = capacity.serving(desk, task.queues, ws.closed_queues)
    member = (
        Member(served.queue, served.rank, span_us(served.delay_s), served.tier)
        if served
        else Member("", 1, 0, 1)
    )
    keys = agent_key(queue, capacity.active(task), desk, member)
    return Judged(desk, capacity.conditions(ws, task, desk), keys)


def _queue(ws: Workspace, task: Task) -> Queue:
    """Whose `select` orders the agents of a waiting task."""
    pool = ws.pool_of.get(task.id)
    return pool.queue if pool else ws.queue_of(task) or _NO_QUEUE


def _nearness(one: Judged) -> tuple[int, Key, str]:
    return len(one.failed), one.keys, one.desk.id


def _counts(found: Candidates) -> shapes.CandidateCounts:
    """Every agent counts once: as admissible, or under the first condition that he fails."""
    return {
        "total": found.total,
        "admissible": found.admissible,
        "by_reason": found.by_reason,
    }


def _agent(one: Judged) -> shapes.JudgedAgent:
    return {
        "id": one.desk.id,
        "admissible": not one.failed,
        "conditions": [_condition(condition) for condition in one.conditions],
        "order_keys": _shown(one.keys),
    }


def _condition(one: Condition) -> shapes.ShownCondition:
    shown: shapes.ShownCondition = {"text": one.text, "value": one.value, "passed": one.passed}
    return shown if one.missing is None else {**shown, "missing": one.missing}


def _policy(task: Task) -> shapes.ShownPolicy | None:
    ref = task.policy
    if ref is None:
        return None
    return {"id": ref.id, "version": ref.version, "rule": ref.rule, "step": ref.step}


def _decision(one: Decision) -> shapes.ShownDecision:
    return {
        "seq": one.seq,
        "at": format_instant(one.at_us),
        "kind": one.kind,
        "winner": one.winner,
        "considered": one.considered,
        "order_keys": _shown(one.order_keys),
        "because": one.because,
    }


def _shown(keys: Iterable[Any]) -> list[Any]:
    return [
        format_instant(key) if isinstance(key, int) and _INSTANTS_FROM_US <= key < NEVER_US else key
        for key in keys
    ]


# -- in words


def _summary(ws: Workspace, task: Task, found: Candidates) -> str:
    if task.state in SEEKING:
        return _waits(ws, task, found)
    if task.state == "scheduled":
        when = format_instant(task.not_before_us) if task.not_before_us else "its time"
        return f"Scheduled: it begins to wait at {when}."
    if task.state in OPEN:
        return _has_agent(task)
    return _ended(task)


def _has_agent(task: Task) -> str:
    since = f" since {format_instant(task.assigned_us)}" if task.assigned_us else ""
    last = next((one for one in reversed(task.decisions) if one.kind == "assigned"), None)
    because = f": {last.because}" if last and last.because else ""
    held = f"; on hold, {task.hold_reason}" if task.held else ""
    doing = "In wrap-up with" if task.state == "wrapping" else "Assigned to"
    return f"{doing} {task.agent_id}{since}{because}{held}."


def _ended(task: Task) -> str:
    because = f": {task.reason}" if task.reason else ""
    who = f" by {task.agent_id}" if task.agent_id and task.state == "completed" else ""
    return f"{task.state.capitalize()}{who}{because}."


def _waits(ws: Workspace, task: Task, found: Candidates) -> str:
    offered = ", ".join(ws.offers[offer].agent_id for offer in task.offers)
    waited = f"{seconds(waited_us(task, ws.now)):.0f} s"
    if offered:
        return f"Offered to {offered} after waiting {waited}."
    if not task.queues:
        return f"Waits {waited} without a queue: {_no_queue(task)}."
    asks = " and ".join(item.text for item in capacity.active(task)) or "any skill"
    place = " or ".join(task.queues)
    free = found.admissible
    if free:
        return f"Waits {waited} in {place} for an agent with {asks}; {free} could have it now."
    return f"Waits {waited} in {place} for an agent with {asks}: {_nobody(found)}."


def _no_queue(task: Task) -> str:
    return (
        "no rule of its policy matches" if task.reason == "no_rule" else task.reason or "none set"
    )


def _nobody(found: Candidates) -> str:
    if not found.total:
        return "there are no agents"
    parts = [f"{count} {_reason(kind)}" for kind, count in found.by_reason.items()]
    return f"of {found.total} agents {', '.join(parts)}"


def _reason(kind: str) -> str:
    return _REASONS.get(kind) or f"without {kind.removeprefix('skill ')}"


# -- an agent


def explain_agent(ws: Workspace, agent_id: str) -> shapes.AgentExplanation:
    """Why this agent has, or has not, what waits: the nearest of the waiting tasks, each with its
    conditions. Raises Refused (not-found)."""
    desk = ws.desks.get(agent_id)
    if desk is None:
        raise not_found("agent", agent_id)
    waiting = waits.look(ws)
    longest = [ws.tasks[one] for one in waiting.longest(WAITING_JUDGED_MAX)]
    lacks = Lacks(ws, desk)
    nearest = sorted(longest, key=lacks.of)[:NEAREST]  # of those with as many, the longest first
    judged = [(task, capacity.conditions(ws, task, desk)) for task in nearest]
    return {
        "agent_id": agent_id,
        "at": ws.at,
        "summary": _agent_summary(desk, len(waiting.known), judged),
        "waiting": len(waiting.known),
        "tasks": [
            {"task_id": task.id, "conditions": [_condition(one) for one in conditions]}
            for task, conditions in judged
        ],
    }


def _agent_summary(
    desk: Desk, waiting: int, nearest: list[tuple[Task, list[Condition]]]
) -> str:  # fmt: skip
    agent = desk.agent
    wraps = f", {desk.wrapping} in wrap-up," if desk.wrapping else ""
    has = f"{desk.id} has {_count(desk.tasks, 'task')}{wraps} and {_count(desk.offers, 'offer')}"
    if not desk.takes_work:
        because = agent.shown_reason
        reason = f" ({_ABSENT.get(because, because)})" if because else ""
        status = agent.shown_status if agent.shown_status != "available" else "about to leave"
        return f"{has}; nothing is offered while {status}{reason}."
    if not nearest:
        return f"{has}; nothing waits."
    task, conditions = nearest[0]
    failed = [_said(one) for one in conditions if not one.passed]
    wait = "1 task waits" if waiting == 1 else f"{waiting} tasks wait"
    if not failed:
        return f"{has}; {wait} and {task.id} is about to be offered."
    return f"{has}; {wait}, the nearest, {task.id}, not for {desk.id}: {', '.join(failed)}."


def _count(things: Sized, word: str) -> str:
    return f"{len(things)} {word}{'' if len(things) == 1 else 's'}"


def _said(one: Condition) -> str:
    """A condition that fails, and how far it is from holding."""
    if one.kind == "cool_down" and isinstance(one.value, int | float):
        return f"cooling down from it for another {one.value:.0f} s"
    if one.value is None or isinstance(one.value, bool):
        return f"{one.text} does not hold"
    value = f"{one.value:.1f}" if isinstance(one.value, float) else one.value
    return f"{one.text} (is {value})"
