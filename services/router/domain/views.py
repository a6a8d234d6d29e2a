"""What calls read of a workspace, in the shapes of API.md. Pure functions; they change nothing."""

from collections.abc import Sequence
from typing import Any

import msgspec

from services.router.domain import counts, desktops, estimates, shapes, task_shape
from services.router.domain.desk import Desk
from services.router.domain.state import Offer, Task
from services.router.domain.workspace import Workspace
from shared.contracts.instants import format_instant, optional_instant, seconds
from shared.contracts.problems import not_found

# -- agents


def work(ws: Workspace, agent_id: str) -> tuple[int, shapes.Work]:
    """(revision, snapshot) of an agent's work. Raises Refused (not-found)."""
    desk = _desk(ws, agent_id)
    offers = sorted((ws.offers[offer] for offer in desk.offers), key=lambda offer: offer.number)
    tasks = sorted((ws.tasks[task] for task in desk.tasks), key=lambda task: task.number)
    snapshot: shapes.Work = {
        "revision": desk.agent.revision,
        "agent": {
            "id": agent_id,
            "name": desk.config.name,
            "presence": show_presence(desk),
            "load": _load(desk),
        },
        "offers": [_offer(ws, offer) for offer in offers],
        "tasks": [_own_task(task) for task in tasks],
    }
    return desk.agent.revision, snapshot


def work_revision(ws: Workspace, agent_id: str) -> int:
    """The revision alone, for who may have the snapshot already. Raises Refused (not-found)."""
    return _desk(ws, agent_id).agent.revision


def _desk(ws: Workspace, agent_id: str) -> Desk:
    desk = ws.desks.get(agent_id)
    if desk is None:
        raise not_found("agent", agent_id)
    return desk


def show_presence(desk: Desk) -> shapes.ShownPresence:
    agent = desk.agent
    return {
        "status": agent.shown_status,
        "reason": agent.shown_reason,
        "since": format_instant(agent.since_us),
        "next_status": agent.next_status,
        "next_reason": agent.next_reason,
    }


def _load(desk: Desk) -> shapes.Load:
    return {
        "used": desk.used,
        "capacity": desk.config.capacity,
        "channels": {name: count for name, count in sorted(desk.count.items()) if count},
    }


def _offer(ws: Workspace, offer: Offer) -> shapes.WorkOffer:
    task = ws.tasks[offer.task_id]
    return {
        "id": offer.id,
        "task_id": task.id,
        "conversation_id": task.conversation_id,
        "channel": task.channel,
        "queue": offer.queue,
        "priority": task.priority,
        "expires_at": format_instant(offer.expires_us),
        "waited_s": seconds(max(0, ws.now - task.waiting_since_us)),
        "customer": desktops.face(ws, task.customer_id),
        "preview": task.text,
        "attributes": task.attributes,
        "note": task.note,
        "why": offer.why,
    }


def _own_task(task: Task) -> shapes.WorkTask:
    return {
        "id": task.id,
        "state": task.state,
        "conversation_id": task.conversation_id,
        "channel": task.channel,
        "queue": task.queue,
        "priority": task.priority,
        "assigned_at": optional_instant(task.assigned_us),
        "held": task.held,
        "hold_reason": task.hold_reason,
        "unread": task.unread,
        "attributes": task.attributes,
        "note": task.note,
        "respond_until": optional_instant(task.respond_us),
        "preview": task.text,
        "wrap_up_until": optional_instant(task.wrap_until_us),
        "due": _due(task),
    }


def _due(task: Task) -> list[shapes.DueClock]:
    return [
        {"metric": note.metric, "due_at": format_instant(note.due_us), "breached": note.breached}
        for note in task.clocks
        if note.due_us is not None and not note.ended
    ]


# -- tasks


def task(ws: Workspace, task_id: str, *, agent: str | None = None) -> dict[str, Any] | None:
    """A task in memory; None where it is not, or not this agent's (owned or offered)."""
    found = ws.tasks.get(task_id)
    if found is None or (agent is not None and not _concerns(ws, found, agent)):
        return None
    return show_task(ws, found)


def _concerns(ws: Workspace, found: Task, agent: str) -> bool:
    return found.agent_id == agent or any(
        ws.offers[offer].agent_id == agent for offer in found.offers
    )


def tasks(
    ws: Workspace,
    *,
    states: Sequence[str] | None = None,
    queue: str | None = None,
    agent: str | None = None,
    conversation: str | None = None,
    customer: str | None = None,
    after: int = 0,
    limit: int = 100,
) -> list[tuple[int, dict[str, Any]]]:
    """(number, task) of those in memory after a number, oldest first."""
    found = [
        one
        for one in ws.tasks.values()
        if one.number > after
        and (not states or one.state in states)
        and (queue is None or queue in one.queues)
        and (agent is None or _concerns(ws, one, agent))
        and (conversation is None or one.conversation_id == conversation)
        and (customer is None or _is_of(ws, one, customer))
    ]
    found.sort(key=lambda one: one.number)
    return [(one.number, show_task(ws, one)) for one in found[:limit]]


def _is_of(ws: Workspace, task: Task, customer: str) -> bool:
    """Whether it is the customer's, or of one who is the same by a merge."""
    whose = ws.customers.canonical(task.customer_id) if task.customer_id else None
    return whose == ws.customers.canonical(customer)


def show_task(ws: Workspace, found: Task) -> dict[str, Any]:
    """A task as API.md has it, with an estimate while it waits."""
    return msgspec.to_builtins(task_shape.shown(ws, found))


def stored_task(found: Task) -> dict[str, Any]:
    """The same of a task that may have left memory: without an estimate."""
    return msgspec.to_builtins(task_shape.stored(found))


def channel_of(ws: Workspace, conversation: str | None) -> str | None:
    """A conversation's channel; None where it is not known."""
    known = ws.conversations.get(conversation or "")
    return known.channel if known else None


def zone_of(ws: Workspace, conversation: str | None, customer: str | None) -> str:
    """The time zone of a customer, or of a conversation's; the workspace's where none is known."""
    known = ws.conversations.get(conversation or "")
    found = ws.customers.get(customer or (known.customer_id if known else None) or "")
    return (found.timezone if found else None) or ws.settings.timezone


# -- queues and resources


def queue_status(ws: Workspace, name: str) -> shapes.QueueStatus | None:
    """Who waits and who works; None where there is no such queue."""
    if name not in ws.queues:
        return None
    found = counts.look(ws)
    waiting = found.of(counts.PENDING, name)
    since_us = found.longest_since_us(name)
    awaited_us = ws.now if since_us is None else since_us
    wait_us = estimates.expected_wait_us(ws, name, waiting + 1, awaited_us)
    figures = ws.figures.get(name)
    return {
        "id": name,
        "open": name not in ws.closed_queues,
        "waiting": waiting,
        "longest_wait_s": 0.0 if since_us is None else seconds(max(0, ws.now - since_us)),
        "reserved": found.of(counts.RESERVED, name),
        "assigned": found.of(counts.ASSIGNED, name),
        "agents": {
            "available": found.of(counts.AVAILABLE, name),
            "busy": found.of(counts.BUSY, name),
            "away": found.of(counts.AWAY, name),
        },
        "estimate": {
            "wait_s": None if wait_us is None else seconds(wait_us),
            "method": estimates.METHOD,
        },
        "surge": figures is not None and figures.surge,
    }


def resource(ws: Workspace, kind: str, name: str) -> tuple[int, dict[str, Any]] | None:
    """(version, body) of a resource; None where there is none."""
    found = ws.stored[kind].get(name)
    if found is None or not found.body:
        return None
    return found.version, msgspec.json.decode(found.body)


def resources(
    ws: Workspace, kind: str, after: str, limit: int, only: str | None = None
) -> list[dict[str, Any]]:
    """Bodies of a kind after an id, in the order of ids; of `only` this one, where it is given."""
    stored = ws.stored[kind]
    names = sorted(name for name in stored if name > after and only in (None, name))
    names = [name for name in names if stored[name].body]
    return [msgspec.json.decode(stored[name].body) for name in names[:limit]]
