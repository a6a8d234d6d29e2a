"""What each command does to a task: complete, close, transfer, requeue, assign, hold and the rest."""

from collections.abc import Iterable
from typing import Literal

from services.router.domain import (
    capacity,
    ladders,
    lifecycle,
    membership,
    offers,
    planning,
    presence,
    surge,
    timers,
    withdrawals,
)
from services.router.domain import commands as cmd
from services.router.domain.desk import Desk
from services.router.domain.state import OPEN, Task
from services.router.domain.workspace import Workspace
from shared.contracts import routing
from shared.contracts.instants import seconds, span_us
from shared.contracts.problems import Refused, conflict, invalid, not_found
from shared.contracts.values import check_size
from shared.rules import known_names

WAITING_ON_CUSTOMER = "waiting_on_customer"
# What calls may add up to: a task is shown and told whole.
TASK_TAGS_MAX = 200
TASK_ATTRIBUTES_MAX_BYTES = 512 * 1024


# -- finding and guarding


def find(ws: Workspace, command: cmd.TaskCommand, states: frozenset[str] = OPEN) -> Task:
    """The task of a command, in one of `states`, and the acting agent's where one acts."""
    task = ws.tasks.get(command.task)
    if task is None:
        raise not_found("task", command.task)
    if command.agent is not None and task.agent_id != command.agent:
        raise Refused("forbidden", "The task is not this agent's.")
    if command.if_version is not None and command.if_version != task.revision:
        raise Refused("precondition-failed", "The task has changed meanwhile.")
    if task.state not in states:
        raise conflict("state", f"The task is {task.state}.")
    return task


# -- ending


def complete(ws: Workspace, command: cmd.CompleteTask) -> Task:
    """CompleteTask: to wrap-up, or where the queue has none, completed."""
    task = find(ws, command, frozenset({"assigned"}))
    _note_result(ws, task, command)
    if task.warm:
        offers.revoke_all(ws, task, "cancelled")
        membership.leave(ws, task)
        task.warm = False
    queue = ws.queue_of(task)
    if queue is None or queue.wrap_up is None:
        finish(ws, task, None)
        return task
    lifecycle.set_state(ws, task, "wrapping")
    task.wrap_until_us = ws.now + span_us(queue.wrap_up.limit_s)
    task.orphan_us = task.unanswered_us = task.respond_us = None
    lifecycle.end_hold(ws, task)
    ws.at_time(task.wrap_until_us, timers.WRAP, task.number, task.id)
    ws.emit(routing.TaskWrapping(*ws.of(task), agent_id=task.agent_id or ""))
    return task


def close(ws: Workspace, command: cmd.CloseTask) -> Task:
    """CloseTask: wrap-up is done."""
    task = find(ws, command, frozenset({"wrapping"}))
    _note_result(ws, task, command)
    finish(ws, task, None)
    return task


def _note_result(ws: Workspace, task: Task, command: cmd.CompleteTask) -> None:
    tags = _joined(task.tags, command.tags) if command.tags else None
    if tags is not None and len(tags) > TASK_TAGS_MAX:
        message = f"The task would have {len(tags)} tags."
        raise invalid("/tags", "length", message, f"at most {TASK_TAGS_MAX} in all")
    ws.task(task)
    if command.disposition:
        task.disposition = command.disposition
    if command.note:
        task.note = command.note
    if tags is not None:
        task.tags = tags


def _joined(known: list[str], more: list[str]) -> list[str]:
    return [*known, *(tag for tag in more if tag not in known)]


def finish(ws: Workspace, task: Task, reason: str | None) -> None:
    """The task is completed."""
    since = task.assigned_us if task.assigned_us is not None else ws.now
    ws.emit(
        routing.TaskCompleted(
            ws.name, ws.meta.seq + 1, ws.at, task.id, task.conversation_id,
            agent_id=task.agent_id,
            disposition=task.disposition,
            handle_s=seconds(ws.now - since),
            tags=task.tags,
            note=task.note,
            reason=reason,
            deflected=_deflected(ws, task),
        )
    )  # fmt: skip
    lifecycle.end(ws, task, "completed", reason)


def _deflected(ws: Workspace, task: Task) -> bool:
    """Done by a bot, and no human has had it in this cycle."""
    desk = None if task.by_human else ws.desks.get(task.agent_id or "")
    return desk is not None and desk.config.kind == "bot"


def cancel(ws: Workspace, task: Task, reason: str) -> None:
    """The task ends without being done; its offers are revoked."""
    ws.emit(routing.TaskCancelled(*ws.of(task), reason=reason))
    offers.revoke_all(ws, task, "cancelled")
    lifecycle.end(ws, task, "cancelled", reason)


# -- moving


def transfer(ws: Workspace, command: cmd.TransferTask) -> Task:
    """TransferTask. Warm: the agent keeps it until someone accepts."""
    task = find(ws, command, OPEN - {"wrapping", "scheduled"})
    target = _target(ws, task, command)
    attributes = {**task.attributes, **command.attributes}
    if command.attributes:
        check_size(attributes, TASK_ATTRIBUTES_MAX_BYTES, "/attributes")
    former = task.agent_id
    warm = command.mode == "warm" and task.state == "assigned"
    ws.task(task)
    seq = ws.emit(
        routing.TaskTransferred(
            *ws.of(task),
            to={name: value for name, value in target.items() if value is not None},
            mode="warm" if warm else "blind",
            from_agent=former,
            note=command.note,
        )
    )
    whom = " ".join(f"{kind} {name}" for kind, name in target.items() if name is not None)
    lifecycle.decide(
        ws, task, seq, "transferred", f"to {whom}" + (f", from {former}" if former else "")
    )
    offers.revoke_all(ws, task, "transferred")
    membership.leave(ws, task)
    withdrawals.acted(ws, task)
    task.note = command.note or task.note
    task.attributes = attributes
    task.prefer_agent = task.hold_until_us = None
    task.also, task.called, task.refused = [], 0, {}
    if not warm:
        _let_go(ws, task, former)
    task.warm = warm
    task.waiting_since_us = task.waiting_since_us if command.keep_place else ws.now
    desk = ws.desks.get(former or "")
    task.handed_over = not warm and desk is not None and desk.config.kind == "bot"
    task.admitted = not task.handed_over
    place = _aim(ws, task, target, command.requires)
    if task.handed_over and place is not None:
        surge.arrived(ws, place)
    if task.prefer_agent == former:  # who gives it away does not want it back
        task.prefer_agent = task.hold_until_us = None
    planning.start_waiting(ws, task)
    return task


def _target(ws: Workspace, task: Task, command: cmd.TransferTask) -> dict[str, str | None]:
    to = {
        "queue": command.to.queue,
        "agent": command.to.agent,
        "policy": command.to.policy,
    }
    if sum(value is not None for value in to.values()) != 1:
        raise invalid("/to", "one_of", "Name exactly one of queue, agent, policy.")
    if command.requires == "drop" and to["queue"] is None:
        message = "Only a transfer to a queue leaves requirements behind."
        raise invalid("/requires", "only_queue", message, "keep, or to: {queue}")
    if to["queue"] is not None and to["queue"] not in ws.queues:
        raise _unknown("/to/queue", "queue", to["queue"], ws.queues)
    if to["policy"] is not None and to["policy"] not in ws.policies:
        raise _unknown("/to/policy", "policy", to["policy"], ws.policies)
    if to["agent"] is not None:
        _check_addressee(ws, task, to["agent"])
    return to


def _unknown(pointer: str, what: str, name: str, known: Iterable[str]) -> Refused:
    message = f"There is no {what} {name[:80]!r}."
    return invalid(pointer, f"unknown_{what}", message, known_names(name, known))


def _check_addressee(ws: Workspace, task: Task, agent_id: str) -> None:
    desk = ws.desks.get(agent_id)
    if desk is None:
        raise _unknown("/to/agent", "agent", agent_id, ws.desks)
    if agent_id == task.agent_id:
        raise conflict("state", "The task is this agent's already.")
    if agent_id in task.never:
        raise conflict("state", f"{agent_id} is never paired with {task.customer_id}.")
    if desk.config.channels.get(task.channel, 0) <= 0:
        raise conflict("state", f"{agent_id} does not serve {task.channel}.")
    if desk.agent.shown_status == "offline":
        raise conflict("state", f"{agent_id} is offline.")


def _let_go(ws: Workspace, task: Task, former: str | None) -> None:
    """The task leaves its agent, who is not asked again at once."""
    if former is not None:
        until = ws.now + lifecycle.cool_down_us(ws, task, "transferred")
        lifecycle.release(ws, task)
        lifecycle.refuse(ws, task, former, until)
    if task.state != "pending":
        lifecycle.set_state(ws, task, "pending")
    lifecycle.end_hold(ws, task)
    lifecycle.wait_again(ws, task)
    task.unanswered_us = None


def _aim(
    ws: Workspace, task: Task, target: dict[str, str | None], requires: Literal["keep", "drop"]
) -> str | None:
    """Returns the queue to which it comes."""
    if target["agent"] is not None:
        task.target_agent = target["agent"]
        return None
    if target["queue"] is not None:
        task.steps, task.aimed = (), True
        lifecycle.set_queues(ws, task, [target["queue"]])
        if requires == "drop":
            planning.ask_nothing(ws, task, "transferred")
        return target["queue"]
    task.given, task.aimed = None, False  # the policy that was chosen says it all
    return planning.again(ws, task, target["policy"] or planning.DEFAULT_POLICY)


def requeue(ws: Workspace, command: cmd.RequeueTask) -> Task:
    """RequeueTask: back to pending, keeping its place."""
    task = find(ws, command, OPEN - {"wrapping", "scheduled"})
    withdrawals.acted(ws, task)
    ladders.requeue(ws, task, command.reason or "requeued", exclude=True)
    return task


def assign(ws: Workspace, command: cmd.AssignTask) -> Task:
    """AssignTask: a supervisor's decision. Over capacity only where it says so, and recorded."""
    task = find(ws, command, OPEN - {"wrapping"})
    desk = ws.desks.get(command.to)
    if desk is None:
        raise _unknown("/agent", "agent", command.to, ws.desks)
    if task.agent_id == desk.id:
        raise conflict("state", "The task is this agent's already.")
    if desk.id in task.never:
        raise conflict("state", f"{desk.id} is never paired with {task.customer_id}.")
    over = not _room_beside(ws, task, desk)
    if over and not command.override_capacity:
        lack = "capacity left for it" if desk.config.channels.get(task.channel) else task.channel
        verb = "has no" if desk.config.channels.get(task.channel) else "serves no"
        more = "override_capacity: true assigns it all the same"
        raise conflict("state", f"{desk.id} {verb} {lack}; {more}.")
    offers.revoke_all(ws, task, "taken")
    queue = capacity.serving(desk, task.queues, set())
    lifecycle.assign(ws, task, desk, None, queue.queue if queue else _first(task), over)
    task.not_before_us = None
    if desk.agent.shown_status == "offline":
        presence.orphan(ws, task)
    return task


def _first(task: Task) -> str | None:
    return task.queues[0] if task.queues else None


def _room_beside(ws: Workspace, task: Task, desk: Desk) -> bool:
    """Room for the task, an offer of it to the same agent not counted."""
    mine = [o for o in task.offers if ws.offers[o].agent_id == desk.id]
    cost = ws.costs[task.channel]
    for _ in mine:
        desk.load(task.channel, -cost, -1)
    room = capacity.has_room(ws, desk, task.channel)
    for _ in mine:
        desk.load(task.channel, cost, 1)
    return room


# -- the rest


def hold(ws: Workspace, command: cmd.HoldTask) -> Task:
    """HoldTask: it counts at `held_cost` until it is resumed."""
    task = find(ws, command, frozenset({"assigned"}))
    lifecycle.set_held(ws, task, True, command.reason)
    task.respond_us = None
    ws.emit(routing.TaskHeld(*ws.of(task), reason=command.reason, agent_id=task.agent_id))
    return task


def resume_command(ws: Workspace, command: cmd.ResumeTask) -> Task:
    task = find(ws, command, frozenset({"assigned"}))
    if not task.held:
        raise conflict("state", "The task is not held.")
    resume(ws, task)
    return task


def resume(ws: Workspace, task: Task) -> None:
    """A held task counts in full again, even beyond capacity; that is recorded."""
    over = lifecycle.set_held(ws, task, False, None)
    if task.unanswered_us is not None:
        task.unanswered_us = max(task.unanswered_us, ws.now)
    lifecycle.await_response(ws, task)
    ws.emit(routing.TaskResumed(*ws.of(task), agent_id=task.agent_id, over_capacity=over))


def reprioritize(ws: Workspace, command: cmd.ReprioritizeTask) -> Task:
    task = find(ws, command)
    withdrawals.acted(ws, task)
    ladders.set_priority(ws, task, command.priority, "command")
    if task.given != command.priority or task.raised:
        given = ws.task(task)
        given.given, given.raised = command.priority, 0
    return task


def overflow(ws: Workspace, task: Task, seen: tuple[str, ...]) -> bool:
    """A queue's limit of pending tasks, judged after the task was offered in vain: the newcomer
    moves to `overflow_to`; where there is none, or it has been there, it is cancelled, unless a bot has
    handed it over. Returns whether the limit was reached."""
    queue = ws.queues.get(task.queues[0]) if task.queues else None
    if task.state != "pending" or task.admitted or queue is None or queue.limit is None:
        return False
    if ws.pending.get(queue.id, 0) <= queue.limit.waiting:
        return False
    target = queue.limit.overflow_to
    if target is None or target in seen or target not in ws.queues:
        if task.handed_over:
            ws.task(task).admitted = True
            return False
        cancel(ws, task, "queue_full")
        return True
    membership.leave(ws, task)
    ws.task(task).steps = ()
    task.step_until_us = None
    lifecycle.set_queues(ws, task, [target])
    membership.enter(ws, task)
    ws.arrived[task.id] = (*seen, queue.id)
    return True
