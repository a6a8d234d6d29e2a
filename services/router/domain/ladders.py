"""Escalation ladders at work: which levels fire for a task, and what each action does."""

import copy
from typing import TYPE_CHECKING

from services.router.domain import (
    duty,
    lifecycle,
    membership,
    offers,
    planning,
    task_facts,
    timers,
    withdrawals,
)
from services.router.domain.config import TeamTarget
from services.router.domain.escalation import (
    Act,
    AddQueue,
    CompiledLevel,
    DropRequirement,
    Notify,
    OfferTo,
    RaisePriority,
    Reclaim,
    RelaxAll,
    TaskView,
    due,
    next_at,
)
from services.router.domain.state import OPEN, SEEKING, Task
from services.router.domain.workspace import Workspace
from shared.contracts import routing
from shared.contracts.problems import conflict

if TYPE_CHECKING:
    from shared.contracts.interactions import Interaction

LEVELS_MAX = 100
BY_LADDER = "escalation"  # never retargets a clock, and lasts for the cycle


def review(ws: Workspace, task: Task, message: "Interaction | None" = None) -> None:
    """Fire what is due of the task's ladder, each level once a cycle, and set the next timer."""
    ladder = ws.ladders.get(task.ladder or "")
    if ladder is None or task.state not in OPEN or task.state == "scheduled":
        return
    for _ in range(LEVELS_MAX):
        level = _due_level(ws, task, due(ladder, view(ws, task, message), ws.now, task.fired))
        if level is None:
            break
        fire(ws, task, level)
    at = next_at(ladder, view(ws, task, None), [*task.fired, *task.skipped])
    if at != task.escalate_us:
        ws.task(task).escalate_us = at
        ws.at_time(at, timers.ESCALATE, task.number, task.id)


def _due_level(
    ws: Workspace, task: Task, levels: tuple[CompiledLevel, ...]
) -> CompiledLevel | None:
    """The first that does anything; those that turn to people of whom nobody is on duty are passed
    over until somebody is."""
    for level in levels:
        if duty.reaches(ws, task, level):
            return level
        if level.name not in task.skipped:
            ws.task(task).skipped = (*task.skipped, level.name)
            ws.skipped[task.id] = None
            because = f"{level.name}: nobody on duty"
            lifecycle.decide(ws, task, ws.meta.seq, "skipped", because)
    return None


def review_skipped(ws: Workspace) -> None:
    """A shift has begun or ended: perhaps a level that was passed over reaches somebody now."""
    found = (ws.tasks.get(task_id) for task_id in ws.skipped)
    waiting = [task for task in found if task is not None and task.skipped]
    ws.skipped.clear()
    for task in sorted(waiting, key=lambda task: task.number):
        if task.state in OPEN:
            ws.skipped[task.id] = None
            review(ws, task)
        if not task.skipped:
            ws.skipped.pop(task.id, None)


def view(ws: Workspace, task: Task, message: "Interaction | None") -> TaskView:
    used: dict[str, float] = {}
    for note in task.clocks:
        used[note.metric] = max(used.get(note.metric, 0.0), note.warned)
    return TaskView(
        waiting_since_us=task.waiting_since_us if task.state in SEEKING else None,
        silent_since_us=task.unanswered_us if task.state == "assigned" else None,
        declines=task.declines,
        reopened=task.cycle - 1,
        sla_used={metric: share for metric, share in used.items() if share > 0},
        sla_breached=frozenset(note.metric for note in task.clocks if note.breached),
        message=task_facts.of(ws, task, message).variables if message is not None else None,
    )


def fire(ws: Workspace, task: Task, level: CompiledLevel) -> None:
    """Carry out a level's actions; the event comes first and names them."""
    ws.task(task).fired = [*task.fired, level.name]
    task.skipped = tuple(name for name in task.skipped if name != level.name)
    seq = ws.emit(
        routing.TaskEscalated(
            *ws.of(task),
            ladder=task.ladder or "",
            level=level.name,
            actions=list(level.written),
            supervisors=duty.supervisors(ws, task),
        )
    )
    lifecycle.decide(ws, task, seq, "escalated", level.name)
    effect = withdrawals.effect_of(level)
    for action in level.actions:
        before = copy.copy(task) if effect else task
        _do(ws, task, action)
        if effect:
            withdrawals.note(effect, action, before, task)
    if effect:
        withdrawals.keep(ws, task, effect)


def escalate(ws: Workspace, task: Task, name: str | None) -> None:
    """EscalateTask: one level by hand; the first that has not fired when none is named."""
    ladder = ws.ladders.get(task.ladder or "")
    levels = [
        level
        for level in (ladder.levels if ladder else ())
        if (level.name == name if name else level.name not in task.fired)
    ]
    if not levels:
        raise conflict("state", "The task's ladder has no such level left.")
    fire(ws, task, levels[0])
    withdrawals.acted(ws, task)
    review(ws, task)


def _do(ws: Workspace, task: Task, action: Act) -> None:
    match action:
        case RaisePriority(by=by):
            set_priority(ws, task, task.priority + by, BY_LADDER)
        case RelaxAll():
            planning.relax(ws, task, "escalation", everything=True)
        case DropRequirement(name=name):
            planning.relax(ws, task, "escalation", drop=name)
        case AddQueue(queue=queue):
            _add_queue(ws, task, queue)
        case OfferTo(who=who):
            _offer_to(ws, task, who)
        case Reclaim(keep_place=keep_place):
            _reclaim(ws, task, keep_place)
        case Notify():
            pass  # the event is the notice


def set_priority(ws: Workspace, task: Task, priority: float, by: str) -> None:
    """Change a priority; a waiting task finds its new place at once."""
    if priority == task.priority:
        return
    membership.leave(ws, task)
    before = ws.task(task).priority
    task.priority = priority
    task.raised = task.raised + priority - before if by == BY_LADDER else 0
    ws.emit(routing.TaskPriorityChanged(*ws.of(task), before=before, after=priority, by=by))
    membership.enter(ws, task)


def _add_queue(ws: Workspace, task: Task, queue: str) -> None:
    """What an agent has waits there too, should he give it back."""
    if queue in task.queues or queue not in ws.queues:
        return
    queues = [*task.queues, queue]
    membership.leave(ws, task)
    if task.state in SEEKING:
        lifecycle.set_queues(ws, task, queues)
    else:
        ws.task(task).queues = queues
    if task.state in SEEKING or task.warm:
        membership.enter(ws, task)


def _offer_to(ws: Workspace, task: Task, who: str | TeamTarget) -> None:
    """One more offer, to the first of them who may have it (several at once where the queue offers so);
    who declines or misses it gives way to the next. On an assigned task the event tells."""
    if task.state not in SEEKING:
        return
    more = [who for who in duty.named(ws, task, who) if who not in task.also and who in ws.desks]
    if not more:
        return
    membership.leave(ws, task)
    ws.task(task).also = [*duty.least_loaded(ws, more), *task.also]
    task.called += 1
    membership.enter(ws, task)


def _reclaim(ws: Workspace, task: Task, keep_place: bool) -> None:
    if task.state != "assigned" or task.agent_id is None:
        return
    requeue(ws, task, "reclaimed", keep_place=keep_place, exclude=True)


def requeue(
    ws: Workspace, task: Task, reason: str, *, keep_place: bool = True, exclude: bool = False
) -> None:
    """Back to pending, in its place or at the end. `exclude`: not to the same agent before the
    cool-down ends."""
    former = task.agent_id
    ws.task(task)
    seq = ws.emit(routing.TaskRequeued(*ws.of(task), reason=reason, agent_id=former))
    lifecycle.decide(
        ws, task, seq, "requeued", reason if former is None else f"{reason}, from {former}"
    )
    offers.revoke_all(ws, task, "requeued")
    membership.leave(ws, task)
    if former is not None:
        until = ws.now + lifecycle.cool_down_us(ws, task, "requeued")
        lifecycle.release(ws, task)
        if exclude:
            lifecycle.refuse(ws, task, former, until)
    lifecycle.set_state(ws, task, "pending", None if task.queues else planning.NO_RULE)
    lifecycle.end_hold(ws, task)
    lifecycle.wait_again(ws, task)
    task.warm = False
    task.unanswered_us = None
    if not keep_place:
        task.waiting_since_us = ws.now
    planning.arm_step(ws, task)
    planning.arm_relax(ws, task)
    membership.enter(ws, task)
    review(ws, task)
