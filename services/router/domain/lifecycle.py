"""The steps of a task's life that everything else is built from: state, owner, load, memory.

`assign`, `end` and `refuse` announce the change of the task (Workspace.task); the smaller steps are parts of
a change that is announced already.
"""

from typing import Any

from services.router.domain import (
    capacity,
    drains,
    estimates,
    ladders,
    last_agents,
    membership,
    timers,
    withdrawals,
)
from services.router.domain.config import OfferRules, Outcome
from services.router.domain.desk import Desk
from services.router.domain.state import (
    Decision,
    Offer,
    QueueFigures,
    Task,
    TaskState,
    waited_us,
)
from services.router.domain.workspace import (
    CLOSED_CONVERSATIONS_MAX,
    DECISIONS_MAX,
    ENDED_TASKS_MAX,
    REOPENABLE_TASKS_MAX,
    Workspace,
)
from shared.contracts import routing
from shared.contracts.instants import seconds, span_us

_RULES = OfferRules()
FIGURE_WEIGHT = 8  # a new interval counts one eighth of the running mean


def set_state(ws: Workspace, task: Task, state: TaskState, reason: str | None = None) -> None:
    """Change a task's state and keep the queues' counts of pending tasks."""
    before = task.state
    if before == "pending":
        count_pending(ws, task, -1)
    if task.agent_id is not None and (before == "wrapping" or state == "wrapping"):
        _count_wrapping(ws, task, state)
    task.state = state
    if task.reason != reason:
        task.reason = reason
    if state == "pending":
        count_pending(ws, task, 1)
        ws.untold[task.id] = None
        ws.undrained[task.id] = None


def _count_wrapping(ws: Workspace, task: Task, state: TaskState) -> None:
    desk = ws.desks.get(task.agent_id or "")
    if desk is not None and task.id in desk.tasks:
        desk.wrapping += (state == "wrapping") - (task.state == "wrapping")


def wait_again(ws: Workspace, task: Task) -> None:
    """The task has left its agent. Where it waits is told unless that is the queue it was taken from: others
    know it by that one."""
    if task.queue is not None and task.queues and task.queue != task.queues[0]:
        ws.emit(routing.TaskQueued(*ws.of(task), queues=task.queues))
    task.queue = None


def count_pending(ws: Workspace, task: Task, change: int) -> None:
    for queue in task.queues:
        ws.pending[queue] = ws.pending.get(queue, 0) + change
        ws.stirred[queue] = None


def set_queues(ws: Workspace, task: Task, queues: tuple[str, ...] | list[str]) -> None:
    """Change where a task waits, and say so."""
    ws.task(task)
    if task.state == "pending":
        count_pending(ws, task, -1)
    task.queues = list(queues)
    if task.state == "pending":
        count_pending(ws, task, 1)
    ws.emit(routing.TaskQueued(*ws.of(task), queues=task.queues))


def decide(
    ws: Workspace, task: Task, seq: int, kind: str, because: str,
    winner: str | None = None, considered: int = 0, order_keys: list[Any] | None = None,
) -> None:  # fmt: skip
    """Remember why something was done, for explanations."""
    decisions = task.decisions
    if len(decisions) >= DECISIONS_MAX:
        del decisions[: 1 - DECISIONS_MAX]
    decisions.append(Decision(seq, ws.now, kind, winner, considered, order_keys or [], because))


def assign(
    ws: Workspace,
    task: Task,
    desk: Desk,
    offer: Offer | None,
    queue: str | None,
    over: bool = False,
) -> None:
    """The agent owns the task from now on. Its other offers must have ended."""
    first = task.state != "assigned"
    membership.leave(ws, task)
    ws.task(task)
    if task.drain_agent is not None:
        drains.end(ws, task)
    if task.drained:
        task.drained = ()
    if task.effects:
        withdrawals.acted(ws, task)
    waited = task.told_us is not None  # in vain at first, not only for an answer
    estimated_s, actual_s = estimates.met(ws, task)
    if task.agent_id is not None:
        release(ws, task)
    set_state(ws, task, "assigned")
    task.agent_id = desk.id
    task.queue = queue
    task.assigned_us = ws.now
    _wait_no_more(task)
    if offer is None:  # else its agent is announced with it
        ws.touch_agent(desk.id)
    units = own(ws, task, desk, offered=offer is not None)
    seq = ws.emit(
        routing.TaskAssigned(
            ws.name, ws.meta.seq + 1, ws.at, task.id, task.conversation_id,
            agent_id=desk.id,
            units=units,
            offer_id=offer.id if offer else None,
            queue=queue,
            waited_s=seconds(waited_us(task, ws.now)),
            over_capacity=over,
            estimated_s=estimated_s,
            actual_s=actual_s,
        )
    )  # fmt: skip
    decide(ws, task, seq, "assigned", offer.why if offer else "assigned by hand", winner=desk.id)
    last_agents.remember(ws, task, desk)
    if first and queue is not None:
        note_figures(ws, queue, task.waiting_since_us if waited else None)
    task.unanswered_us = ws.now if task.unread else None
    if not task.by_human:
        task.by_human = desk.config.kind == "human"
    await_response(ws, task)
    if task.ladder is not None:
        ladders.review(ws, task)


def _wait_no_more(task: Task) -> None:
    """What concerned its waiting is over. Most tasks have none of it: to look costs less than to
    write."""
    if not (
        task.target_agent is task.step_until_us is task.hold_until_us is task.orphan_us
        is task.relax_us is task.not_after_us is None
    ):  # fmt: skip
        task.target_agent = task.step_until_us = task.hold_until_us = task.orphan_us = None
        task.relax_us = task.not_after_us = None
    if task.warm or task.also or task.called:
        task.warm, task.also, task.called = False, [], 0


def await_response(ws: Workspace, task: Task) -> None:
    """Start the time in which the agent must answer; more messages do not restart it."""
    if task.respond_us is not None:
        task.respond_us = None
    queue = ws.queue_of(task) if task.unanswered_us is not None else None
    if queue is None or queue.response is None or task.unanswered_us is None:
        return
    task.respond_us = max(task.unanswered_us, task.assigned_us or 0) + span_us(
        queue.response.limit_s
    )
    ws.at_time(task.respond_us, timers.RESPOND, task.number, task.id)


def own(ws: Workspace, task: Task, desk: Desk, *, offered: bool = False) -> int:
    """Put a task's weight on its owner; returns its units. What was `offered` to him counts on him
    already, in full."""
    units, slots = capacity.weight(ws, task)
    if not offered:
        desk.load(task.channel, units, slots)
    elif task.held:
        desk.load(task.channel, units - ws.costs[task.channel], slots - 1)
    desk.tasks[task.id] = None
    desk.wrapping += task.state == "wrapping"
    return units


def release(ws: Workspace, task: Task) -> None:
    """Take a task from its owner; `agent_id` is cleared."""
    desk = ws.desks.get(task.agent_id or "")
    task.agent_id = task.assigned_us = None
    if not (task.wrap_until_us is task.orphan_us is task.respond_us is None):
        task.wrap_until_us = task.orphan_us = task.respond_us = None
    if desk is None or task.id not in desk.tasks:
        return
    units, slots = capacity.weight(ws, task)
    desk.load(task.channel, -units, -slots)
    del desk.tasks[task.id]
    desk.wrapping -= task.state == "wrapping"
    desk.agent.idle_us = desk.agent.available_us = ws.now
    membership.freed(ws, desk)
    if desk.agent.next_status is not None:
        ws.leaving[desk.id] = None


def set_held(ws: Workspace, task: Task, held: bool, reason: str | None) -> bool:
    """Hold or resume; returns whether the owner is over his capacity afterwards."""
    ws.task(task)
    desk = ws.desks.get(task.agent_id or "")
    before = capacity.weight(ws, task)
    task.held, task.hold_reason = held, reason
    if desk is None or task.id not in desk.tasks:
        return False
    after = capacity.weight(ws, task)
    desk.load(task.channel, after[0] - before[0], after[1] - before[1])
    membership.freed(ws, desk)
    return is_over(ws, desk, task.channel)


def end_hold(ws: Workspace, task: Task) -> None:
    """A hold that ends with what it held is told too: clocks pause by it."""
    if task.held:
        over = set_held(ws, task, False, None)
        ws.emit(routing.TaskResumed(*ws.of(task), agent_id=task.agent_id, over_capacity=over))


def is_over(ws: Workspace, desk: Desk, channel: str) -> bool:
    return capacity.used_against(ws, desk, channel) > desk.config.capacity or desk.count.get(
        channel, 0
    ) > desk.config.channels.get(channel, 0)


def note_figures(ws: Workspace, queue: str, waiting_since_us: int | None) -> None:
    """The running means of the time between assignments, for estimates of the wait. What was waited for
    (`waiting_since_us`) tells how fast a queue moves when that matters; what came into an idle one only
    how much comes."""
    figures = ws.figures.get(queue)
    if figures is None:
        ws.add("queue_figures", queue, QueueFigures(id=queue, last_us=ws.now))
        return
    ws.edit("queue_figures", queue, figures)
    if figures.last_us:
        figures.interval_us = _mean(figures.interval_us, ws.now - figures.last_us)
        if waiting_since_us is not None:
            since_us = estimates.moving_since_us(ws, queue, waiting_since_us)
            figures.pressed_us = _mean(figures.pressed_us, ws.now - since_us)
    figures.last_us = ws.now


def _mean(known: int, interval: int) -> int:
    """A night is no interval of the day: one alone at most doubles the mean."""
    if not known:
        return interval
    most = FIGURE_WEIGHT * known
    return known + ((interval if interval < most else most) - known) // FIGURE_WEIGHT


def end(ws: Workspace, task: Task, state: TaskState, reason: str | None) -> None:
    """A task is completed or cancelled; it stays for late calls and for reopening."""
    membership.leave(ws, task)
    ws.task(task)
    if task.drain_agent is not None:
        drains.end(ws, task)
    if task.estimate_us is not None:
        task.estimate_us = None
    last = task.agent_id
    if task.agent_id is not None:
        release(ws, task)
    set_state(ws, task, state, reason)
    task.agent_id = last
    if task.held:
        task.held, task.hold_reason = False, None
    task.ended_us = ws.now
    task.ended_seq = ws.meta.seq
    _wait_no_more(task)
    if not (task.escalate_us is task.not_before_us is None):
        task.escalate_us = task.not_before_us = None
    _close_conversation(ws, task)
    if state == "completed" and task.reopen_within_us > 0:
        task.forget_us = ws.now + task.reopen_within_us
        ws.at_time(task.forget_us, timers.FORGET, task.number, task.id)
        _keep_reopenable(ws, task)
    else:
        linger(ws, task)


def _keep_reopenable(ws: Workspace, task: Task) -> None:
    """It may reopen until its window ends, or until too many others have been completed since."""
    ws.reopenable[task.id] = None
    if len(ws.reopenable) > REOPENABLE_TASKS_MAX:
        oldest = next(iter(ws.reopenable))
        del ws.reopenable[oldest]
        ws.forget("task", oldest)


def linger(ws: Workspace, task: Task) -> None:
    """Keep what has ended for a while; the oldest beyond the limit leaves memory."""
    ws.ended_tasks[task.id] = None
    if len(ws.ended_tasks) > ENDED_TASKS_MAX:
        oldest = next(iter(ws.ended_tasks))
        del ws.ended_tasks[oldest]
        ws.forget("task", oldest)


def _close_conversation(ws: Workspace, task: Task) -> None:
    conversation = ws.conversations.get(task.conversation_id)
    if conversation is not None:
        ws.edit("conversation", conversation.id, conversation).closed_seq = ws.meta.seq
        retire(ws, conversation.id)


def retire(ws: Workspace, conversation_id: str) -> None:
    """A conversation without an open task: the oldest of them beyond the limit leaves memory."""
    ws.closed_conversations.pop(conversation_id, None)
    ws.closed_conversations[conversation_id] = None
    if len(ws.closed_conversations) > CLOSED_CONVERSATIONS_MAX:
        oldest = next(iter(ws.closed_conversations))
        del ws.closed_conversations[oldest]
        ws.forget("conversation", oldest)


def cool_down_us(ws: Workspace, task: Task, outcome: Outcome) -> int:
    """For how long the task is not offered again to an agent with whom this happened."""
    queue = ws.queue_of(task)
    return span_us((queue.offer if queue else _RULES).cools_s(outcome))


def refuse(ws: Workspace, task: Task, agent_id: str, until_us: int) -> None:
    """Not to this agent before `until_us`; what waited for him waits no longer."""
    membership.leave(ws, task)
    ws.task(task)
    if task.target_agent == agent_id:
        task.target_agent = None
    if task.prefer_agent == agent_id:
        task.prefer_agent = task.hold_until_us = None
    if until_us > ws.now:
        task.refused = {**task.refused, agent_id: until_us}
        ws.at_time(until_us, timers.RETRY, task.number, task.id)
