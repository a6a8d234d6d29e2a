"""How tasks begin to be: by a customer's message, by command, again after completion."""

from typing import Any

from services.router.domain import (
    capacity,
    histories,
    ladders,
    lifecycle,
    membership,
    planning,
    preference,
    presence,
    surge,
    timers,
)
from services.router.domain import commands as cmd
from services.router.domain.policy import queues_at
from services.router.domain.state import OPEN, Conversation, Task
from services.router.domain.workspace import Workspace
from shared.contracts import routing
from shared.contracts.interactions import Interaction
from shared.contracts.problems import conflict, invalid, not_found

PREVIEW_CHARS = 500


def open_from_message(
    ws: Workspace, thread: Conversation, data: Interaction, event_id: str, said_us: int
) -> Task:
    """The first customer message of a conversation without an open task."""
    task = _new(
        ws,
        thread,
        kind="conversation",
        event_id=event_id,
        message_id=data.message_id,
        language=data.language or thread.language,
        attributes=data.attributes,
        subject=data.subject,
        text=data.reply_text or data.text,
        waiting_since_us=said_us,
        unread=1,
    )
    _start(ws, task, planning.plan(ws, task, data))
    if task.ladder is not None:
        ladders.review(ws, task, data)
    return task


def create(ws: Workspace, command: cmd.CreateTask) -> Task:
    """CreateTask: a call-back, a ticket, anything that is no message."""
    thread = _thread_for(ws, command)
    customer = ws.customers.get(thread.customer_id) if thread.customer_id else None
    task = _new(
        ws,
        thread,
        kind=command.kind,
        # Nobody has said anything yet: what is known of the customer has to do.
        language=command.language or thread.language or (customer.language if customer else None),
        attributes=command.attributes,
        text=command.text,
        waiting_since_us=ws.now,
        not_before_us=command.not_before_us,
        not_after_us=command.not_after_us,
    )
    if command.priority is not None:
        task.priority = task.given = command.priority  # rules may read it, and change nothing of it
    _start(ws, task, planning.plan(ws, task))
    return task


def _thread_for(ws: Workspace, command: cmd.CreateTask) -> Conversation:
    if (command.conversation_id is None) == (command.customer_id is None):
        raise invalid("", "one_of", "Name either conversation_id or customer_id.")
    late = command.not_after_us is not None and command.not_after_us <= ws.now
    if late:
        raise invalid("/not_after", "past", "not_after has passed already.")
    if command.customer_id is not None:
        if ws.customers.get(command.customer_id) is None:
            raise not_found("customer", command.customer_id)
        made = conversation_of(ws, ws.new_id("cnv", ws.meta.number), command.channel)
        made.customer_id = command.customer_id
        histories.note_thread(ws, made)
        return made
    known = ws.conversations.get(command.conversation_id or "")
    task = ws.tasks.get(known.task_id) if known and known.task_id else None
    if task is not None and task.state in OPEN:
        raise conflict("state", f"The conversation has an open task, {task.id}.")
    return conversation_of(ws, command.conversation_id or "", command.channel)


def conversation_of(ws: Workspace, conversation_id: str, channel: str) -> Conversation:
    """The thread, known or new, announced as changed."""
    known = ws.conversations.get(conversation_id)
    if known is not None:
        return ws.edit("conversation", conversation_id, known)
    ws.meta.conversations += 1
    made = Conversation(
        id=conversation_id,
        channel=channel,
        number=ws.meta.conversations,
        closed_seq=ws.meta.seq,
    )
    ws.add("conversation", conversation_id, made)
    lifecycle.retire(ws, conversation_id)
    return made


def _new(
    ws: Workspace,
    thread: Conversation,
    *,
    kind: str,
    language: str | None,
    attributes: dict[str, Any],
    text: str | None,
    waiting_since_us: int,
    subject: str | None = None,
    event_id: str | None = None,
    message_id: str | None = None,
    unread: int = 0,
    not_before_us: int | None = None,
    not_after_us: int | None = None,
) -> Task:
    """A task of a thread that is announced as changed. What only few have is set afterwards: with more
    than 15 names (two values by position count as one) a call goes by way of a dict, which costs as
    much as all the rest."""
    number = ws.meta.tasks = ws.meta.tasks + 1
    task = Task(
        id=ws.new_id("tsk", number),
        number=number,
        kind=kind,
        state="pending",
        conversation_id=thread.id,
        channel=thread.channel,
        customer_id=thread.customer_id,
        language=language,
        attributes=attributes,
        text=text[:PREVIEW_CHARS] if text else None,
        message_id=message_id,
        event_id=event_id,
        created_us=ws.now,
        waiting_since_us=waiting_since_us,
        unread=unread,
    )
    if subject is not None:
        task.subject = subject
    if not_before_us is not None:
        task.not_before_us = not_before_us
    if not_after_us is not None:
        task.not_after_us = not_after_us
    ws.task(task)
    ws.tasks[task.id] = task
    histories.note_task(ws, task)
    thread.task_id = task.id
    ws.closed_conversations.pop(thread.id, None)
    return task


def _start(ws: Workspace, task: Task, place: str | None) -> None:
    """Announce a planned task that came to the queue `place`; it waits from now on, or from `not_before`."""
    scheduled = task.not_before_us is not None and task.not_before_us > ws.now
    if scheduled:
        task.state = "scheduled"
    else:
        lifecycle.count_pending(ws, task, 1)
    planning.announce(ws, task)
    if place is not None and not scheduled:
        surge.arrived(ws, place)
    if task.not_after_us is not None:
        ws.at_time(task.not_after_us, timers.AFTER, task.number, task.id)
    if scheduled:
        ws.at_time(task.not_before_us, timers.BEFORE, task.number, task.id)
    else:
        planning.start_waiting(ws, task)


def begin(ws: Workspace, task: Task) -> None:
    """A scheduled task's time has come (or its customer has written). Who could take it and who is to be
    waited for is judged only now; a policy that was edited meanwhile holds as for waiting tasks."""
    ws.task(task)
    lifecycle.set_state(ws, task, "pending", task.reason)
    task.waiting_since_us = ws.now
    task.relaxed_to_us = 0
    task.not_before_us = None
    task.admitted = True
    policy = ws.policies.get(task.policy.id) if task.policy else None
    if policy is not None and planning.takes_edit(task, policy):
        place = planning.again(ws, task, policy.policy.id)
    else:
        lifecycle.set_queues(ws, task, planning.begun_queues(ws, task))
        preference.due(ws, task)
        place = task.queues[0] if task.queues else None
    if place is not None:
        surge.arrived(ws, place)
    planning.start_waiting(ws, task)


def reopen(ws: Workspace, task: Task, data: Interaction, event_id: str, said_us: int) -> None:
    """A completed task goes on: pending, with preference for who had it, in a new cycle."""
    last = task.agent_id
    ws.task(task)
    ws.reopenable.pop(task.id, None)
    task.agent_id = None
    task.cycle += 1
    task.fired, task.declines, task.refused = [], 0, {}
    task.clocks = [note for note in task.clocks if not note.ended]
    task.by_human = False
    task.skipped = task.effects = ()
    task.relax_all, task.dropped, task.relaxed_to_us = False, [], 0
    task.unread, task.waiting_since_us = 1, said_us
    task.ended_us = task.forget_us = None
    task.queue = task.disposition = None
    task.admitted = task.handed_over = False
    task.never = planning.never_pair(ws, task)
    if task.policy is not None and task.steps:
        task.queues = list(queues_at(task.steps, task.policy.step))
    lifecycle.set_state(ws, task, "pending", None if task.queues else planning.NO_RULE)
    ws.closed_conversations.pop(task.conversation_id, None)
    ws.emit(routing.TaskReopened(*ws.of(task), event_id=event_id))
    if task.raised:
        ladders.set_priority(ws, task, task.priority - task.raised, ladders.BY_LADDER)
        membership.leave(ws, task)  # it may be kept for another from here on
    if not planning.has_its_queues(ws, task):
        known = task.policy is not None and task.policy.id in ws.policies
        name = task.policy.id if known and task.policy else planning.DEFAULT_POLICY
        planning.again(ws, task, name, data)
    preference.again(ws, task, last)
    planning.start_waiting(ws, task)
    ladders.review(ws, task, data)


def back_from_wrapping(ws: Workspace, task: Task) -> None:
    """The customer wrote while the agent was wrapping up: assigned again."""
    lifecycle.set_state(ws, task, "assigned")
    task.wrap_until_us = None
    seq = ws.emit(
        routing.TaskAssigned(
            *ws.of(task),
            agent_id=task.agent_id or "",
            units=capacity.weight(ws, task)[0],
            offer_id=None,
            queue=task.queue,
            waited_s=0.0,
        )
    )
    lifecycle.decide(
        ws, task, seq, "assigned", "the customer wrote during wrap-up", winner=task.agent_id
    )
    desk = ws.desks.get(task.agent_id or "")
    if desk is not None and desk.agent.shown_status == "offline":
        presence.orphan(ws, task)
