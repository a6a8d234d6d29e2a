"""What customers and agents say, and what it means for tasks (DESIGN §2, Task).

A customer's message opens a task when none is open, reopens one within its window, and otherwise
goes to whoever has it. Everything else only updates.
"""

import msgspec

from services.router.domain import (
    histories,
    ladders,
    lifecycle,
    opening,
    pairing,
    planning,
    tasks,
)
from services.router.domain.state import OPEN, Conversation, EarlyEdit, Task
from services.router.domain.workspace import Workspace
from shared.contracts import interactions, routing
from shared.contracts.interactions import SILENT_FLAGS, Interaction

MESSAGES_KEPT = 50
EARLY_EDITS_MAX = 20

_DECODER = msgspec.json.Decoder(Interaction)
_SPOKEN = (interactions.MESSAGE, interactions.TRANSCRIPT_SEGMENT)
_EDITS = (interactions.MESSAGE_EDITED, interactions.MESSAGE_DELETED)


def on_event(ws: Workspace, name: str, body: bytes, event_id: str, time_us: int) -> None:
    """Apply one `interaction.*` event. Raises msgspec.DecodeError for a body that is none."""
    data = _DECODER.decode(body)
    if data.replay_of is not None:
        _refresh(ws, data)
    elif name in _SPOKEN:
        _on_message(ws, data, event_id, time_us)
    elif name in _EDITS:
        _on_edit(ws, data, name == interactions.MESSAGE_DELETED)
    elif name == interactions.CONVERSATION_ENDED:
        _on_ended(ws, data)


def open_task(ws: Workspace, conversation_id: str) -> Task | None:
    known = ws.conversations.get(conversation_id)
    task = ws.tasks.get(known.task_id) if known and known.task_id else None
    return task if task is not None and task.state in OPEN else None


# -- messages


def _on_message(ws: Workspace, data: Interaction, event_id: str, time_us: int) -> None:
    thread = opening.conversation_of(ws, data.conversation_id, data.channel)
    if data.message_id in thread.messages:
        return
    thread.messages.append(data.message_id)
    if len(thread.messages) > MESSAGES_KEPT:
        del thread.messages[:-MESSAGES_KEPT]
    _resolve(ws, thread, data)
    if thread.early:
        _apply_early(thread, data)
    if not _is_customers(data):
        _agent_spoke(ws, data)
        return
    if not SILENT_FLAGS.isdisjoint(data.flags):
        return
    said_us = time_us if 0 < time_us < ws.now else ws.now
    last = ws.tasks.get(thread.task_id) if thread.task_id else None
    if last is not None and last.state in OPEN:
        _identify(ws, last, thread)
        _later_message(ws, last, data, event_id, said_us)
    elif last is not None and last.state == "completed" and (last.forget_us or 0) > ws.now:
        _identify(ws, last, thread)
        opening.reopen(ws, last, data, event_id, said_us)
    else:
        opening.open_from_message(ws, thread, data, event_id, said_us)


def _is_customers(data: Interaction) -> bool:
    return data.author.role == "customer" and data.direction == "inbound"


def _resolve(ws: Workspace, thread: Conversation, data: Interaction) -> None:
    if data.language:
        thread.language = data.language
    if data.identities:
        owner = ws.customers.owner(data.identities)
        if owner is not None:  # as written: whom he was merged into may be undone
            thread.customer_id = owner
            histories.note_thread(ws, thread)


def _identify(ws: Workspace, task: Task, thread: Conversation) -> None:
    """A task whose customer becomes known by a later message is his from then on; where it waits stays."""
    if task.customer_id is None and thread.customer_id is not None:
        ws.task(task).customer_id = thread.customer_id
        histories.note_task(ws, task)
        planning.tell_customer(ws, task)
        pairing.anew(ws, task)


def _later_message(
    ws: Workspace, task: Task, data: Interaction, event_id: str, said_us: int
) -> None:
    """A message of an open task goes to its assignee, or waits with it."""
    ws.task(task).unread += 1
    ws.emit(routing.TaskMessage(*ws.of(task), event_id=event_id, message_id=data.message_id))
    if task.state == "wrapping":
        opening.back_from_wrapping(ws, task)
    elif task.state == "scheduled":
        opening.begin(ws, task)
    if task.not_after_us is not None:
        task.not_after_us = None  # he waits for an answer now, not for a call at that time
    if task.held and task.hold_reason == tasks.WAITING_ON_CUSTOMER:
        tasks.resume(ws, task)
    if task.unanswered_us is None and task.state == "assigned":
        task.unanswered_us = said_us
        lifecycle.await_response(ws, task)
    ladders.review(ws, task, data)


def _agent_spoke(ws: Workspace, data: Interaction) -> None:
    """An answer of an agent, or of a bot that has the task: nothing is unread or unanswered any more."""
    task = open_task(ws, data.conversation_id)
    if task is None or data.direction != "outbound" or not _answers(ws, task, data):
        return
    ws.task(task).unread = 0
    task.unanswered_us = task.respond_us = None


def _answers(ws: Workspace, task: Task, data: Interaction) -> bool:
    """What other bots say, such as an automatic greeting, is no answer to who waits for an agent's."""
    if data.author.role != "bot":
        return data.author.role == "agent"
    desk = ws.desks.get(task.agent_id or "")
    return desk is not None and desk.config.kind == "bot"


# -- edits


def _on_edit(ws: Workspace, data: Interaction, deleted: bool) -> None:
    thread = opening.conversation_of(ws, data.conversation_id, data.channel)
    replaced = data.replaces_message_id or data.message_id
    edit = EarlyEdit(
        replaced, None if deleted else data.text, data.language, data.attributes, deleted,
        data.revision,
    )  # fmt: skip
    if replaced not in thread.messages:
        thread.early = [*thread.early[1 - EARLY_EDITS_MAX :], edit]
        return
    task = open_task(ws, thread.id)
    if task is not None and task.message_id == replaced:
        ws.task(task).text = _preview(edit.text)


def _apply_early(thread: Conversation, data: Interaction) -> None:
    """A message whose edit came first is taken as edited."""
    for edit in thread.early:
        if edit.message_id == data.message_id:
            data.text = edit.text
            data.reply_text = None
            data.language = edit.language or data.language
            data.attributes = {**data.attributes, **edit.attributes}
    thread.early = [edit for edit in thread.early if edit.message_id != data.message_id]


def _refresh(ws: Workspace, data: Interaction) -> None:
    """A payload normalised again only updates what is shown."""
    task = open_task(ws, data.conversation_id)
    if task is not None and task.message_id == data.message_id:
        ws.task(task).text = _preview(data.reply_text or data.text)
        task.subject = data.subject or task.subject


def _preview(text: str | None) -> str | None:
    return None if text is None else text[: opening.PREVIEW_CHARS]


# -- the end of a conversation


def _on_ended(ws: Workspace, data: Interaction) -> None:
    """Abandoned (on the phone: any end) cancels what nobody has yet; else the task goes on."""
    task = open_task(ws, data.conversation_id)
    if task is None or task.state not in ("scheduled", "pending", "reserved"):
        return
    if data.reason == "abandoned" or data.channel == "phone":
        tasks.cancel(ws, task, "abandoned")
