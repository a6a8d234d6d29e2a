"""Why a task is where it is, and why an agent has or has not what waits. API.md, «explanation».

Built from the very conditions that decide (`capacity.conditions`) and the very order of the queue
(`pools.agent_key`), so an explanation cannot disagree with what happens.
"""

from collections.abc import Iterable
from heapq import nsmallest
from typing import Any, NamedTuple

from services.router.domain import candidates, capacity, sentences, shapes, waits
from services.router.domain.candidates import Candidates
from services.router.domain.capacity import Condition
from services.router.domain.config import Queue
from services.router.domain.desk import Desk
from services.router.domain.lacks import Lacks
from services.router.domain.next_change import next_change
from services.router.domain.pools import NEVER_US, Key, Member, agent_key
from services.router.domain.state import OPEN, Decision, Task
from services.router.domain.workspace import Workspace
from shared.contracts.instants import format_instant, span_us
from shared.contracts.problems import not_found

NEAREST = 20
JUDGED_IN_FULL = 60  # of the agents, those who lack least are held against every condition
WAITING_JUDGED_MAX = 500  # of the tasks that wait, the longest waiting are held against an agent
_INSTANTS_FROM_US = 10**14  # smaller numbers in order keys are no instants

_NO_QUEUE = Queue("")


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
        "summary": sentences.of_task(ws, task, found),
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
        "summary": sentences.of_ended(task),
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
        "summary": sentences.of_agent(desk, len(waiting.known), judged),
        "waiting": len(waiting.known),
        "tasks": [
            {"task_id": task.id, "conditions": [_condition(one) for one in conditions]}
            for task, conditions in judged
        ],
    }
