"""What rules see of a task: `task`, `customer`, `conversation`, `message`, `queues`."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from operator import attrgetter
from typing import Any

from services.router.domain.config import Customer
from services.router.domain.facts import Fields, Made, TaskFacts
from services.router.domain.state import Task
from services.router.domain.workspace import Workspace
from shared.contracts.interactions import Interaction


def of(ws: Workspace, task: Task, message: Interaction | None = None) -> TaskFacts:
    """What rules see of a task now. To be read before anything changes: what no rule reads is not
    even gathered."""
    given = Made(task=Fields(task, _TASK))
    given.make = partial(_gather, ws, task, message)
    return TaskFacts(ws.now, given)


def of_calm(ws: Workspace, task: Task, message: Interaction | None) -> TaskFacts:
    """The same as if no queue had a surge."""
    found = of(ws, task, message)
    found.given["queues"] = QueueFacts(ws, calm=True)
    return found


def _gather(ws: Workspace, task: Task, message: Interaction | None, name: str) -> Mapping[str, Any]:
    match name:
        case "customer":
            return _customer(ws.customers.get(task.customer_id or ""))
        case "conversation":
            return _conversation(ws, task, message)
        case "message":
            return _message(task, message)
        case _:
            return QueueFacts(ws)


def _priority(task: Task) -> int | float:
    """A whole one as a whole number, however it came: CEL does not add 1 to 5.0."""
    given = task.priority
    return int(given) if given == int(given) else given


_TASK: dict[str, Callable[[Task], Any]] = {
    "id": attrgetter("id"),
    "channel": attrgetter("channel"),
    "language": attrgetter("language"),
    "attributes": attrgetter("attributes"),
    "kind": attrgetter("kind"),
    "priority": _priority,
    "subject": attrgetter("subject"),
    "state": attrgetter("state"),
    "queue": lambda task: task.queues[0] if task.queues else None,
    "tags": attrgetter("tags"),
    "held": attrgetter("held"),
    "reopened": lambda task: task.cycle > 1,
    "declines": attrgetter("declines"),
}


def _customer(customer: Customer | None) -> dict[str, Any]:
    if customer is None:
        return {}
    return {
        "id": customer.id,
        "name": customer.name,
        "tier": customer.tier,
        "language": customer.language,
        "attributes": customer.attributes,
    }


def _conversation(ws: Workspace, task: Task, message: Interaction | None) -> dict[str, Any]:
    known = ws.conversations.get(task.conversation_id)
    return {
        "id": task.conversation_id,
        "channel": task.channel,
        "key": message.conversation_key if message else None,
        "messages": len(known.messages) if known else 0,
    }


def _message(task: Task, message: Interaction | None) -> dict[str, Any]:
    if message is None:
        return {"text": task.text, "subject": task.subject, "language": task.language}
    return {
        "id": message.message_id,
        "text": message.reply_text or message.text,
        "subject": message.subject,
        "language": message.language,
        "flags": list(message.flags),
        "attributes": message.attributes,
        "author": message.author.role,
        "direction": message.direction,
    }


class QueueFacts(Mapping[str, Any]):
    """`queues` as rules see it: of each queue `surge` (none while `calm`), `waiting`, `open`. Worked out
    when asked."""

    def __init__(self, ws: Workspace, *, calm: bool = False) -> None:
        self._ws = ws
        self._calm = calm

    def __getitem__(self, name: str) -> dict[str, Any]:
        ws = self._ws
        if name not in ws.queues:
            raise KeyError(name)
        figures = ws.figures.get(name)
        return {
            "surge": figures is not None and figures.surge and not self._calm,
            "waiting": ws.pending.get(name, 0),
            "open": name not in ws.closed_queues,
        }

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._ws.queues))

    def __len__(self) -> int:
        return len(self._ws.queues)
