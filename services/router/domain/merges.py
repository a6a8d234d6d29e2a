"""Customers who are one person: merged, seen as one, and taken apart again.

A merge is a note beside the customers, which stay as they were written; so undoing it loses nothing.
"""

from collections.abc import Iterable

from services.router.domain import commands as cmd
from services.router.domain import desktops, histories, pairing, planning, shapes
from services.router.domain.state import OPEN, CustomerMerge, Task
from services.router.domain.workspace import Workspace
from shared.contracts import routing
from shared.contracts.instants import format_instant, optional_instant
from shared.contracts.problems import conflict, invalid, not_found

RECENT_MAX = 50
CONVERSATIONS_MAX = 200


def merge(ws: Workspace, command: cmd.MergeCustomer) -> shapes.CustomerProfile:
    """MergeCustomer. Repeated, it answers the same."""
    if not check(ws, command):
        seen = desktops.faces(ws, command.customer, command.into)
        paired, known = _paired(ws, seen), _facts(ws, seen)
        entry = CustomerMerge(id=command.customer, into=command.into, at_us=ws.now)
        ws.add("customer_merge", command.customer, entry)
        ws.customers.merge(command.customer, command.into)
        _announce(ws, command.customer, paired)
        _tell(ws, known)
        desktops.wake(ws, seen)
    return profile(ws, command.into)


def check(ws: Workspace, command: cmd.MergeCustomer) -> bool:
    """Raises what MergeCustomer is refused for; returns whether the two are merged already."""
    known = ws.stored["customer_merge"].get(command.customer)
    if known is not None and known.into == command.into:
        return True
    for pointer, name in (("", command.customer), ("/into", command.into)):
        if name not in ws.customers:
            raise (
                not_found("customer", name)
                if not pointer
                else invalid(pointer, "unknown_customer", f"There is no customer {name!r}.")
            )
    if known is not None:
        raise conflict("state", f"{command.customer} is merged into {known.into}; undo that first.")
    if ws.customers.canonical(command.into) == command.customer:
        raise conflict("state", f"{command.into} is {command.customer} already.")
    return False


def unmerge(ws: Workspace, command: cmd.UnmergeCustomer) -> shapes.CustomerProfile:
    """UnmergeCustomer: both are as they were written."""
    check_undo(ws, command)
    seen = desktops.faces(ws, command.customer)
    paired, known = _paired(ws, seen), _facts(ws, seen)
    ws.remove("customer_merge", command.customer)
    ws.customers.split(command.customer)
    _announce(ws, command.customer, paired)
    _tell(ws, known)
    desktops.wake(ws, seen)
    return profile(ws, command.customer)


def check_undo(ws: Workspace, command: cmd.UnmergeCustomer) -> None:
    """Raises what UnmergeCustomer is refused for."""
    if command.customer not in ws.stored["customer_merge"]:
        raise conflict("state", f"{command.customer} is not merged into anybody.")
    if command.customer not in ws.customers:
        raise not_found("customer", command.customer)


def _paired(ws: Workspace, names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """With whom each of them is never paired."""
    found = {name: ws.customers.get(name) for name in names}
    return {name: one.never_pair for name, one in found.items() if one is not None}


def _facts(ws: Workspace, names: Iterable[str]) -> dict[str, routing.CustomerFacts | None]:
    """What is told of each of them."""
    return {name: planning.customer_facts(ws.customers.get(name)) for name in names}


def _tell(ws: Workspace, before: dict[str, routing.CustomerFacts | None]) -> None:
    """The open work of those who are somebody else now, or of whom something else is known: the clocks
    of the SLA service go by it."""
    now = _facts(ws, before)
    changed = {name for name, facts in before.items() if now[name] != facts}
    for task in histories.tasks_of(ws, changed):
        if task.state in OPEN and task.customer_id in changed:
            planning.tell_customer(ws, task)


def _announce(ws: Workspace, name: str, paired: dict[str, tuple[str, ...]]) -> None:
    found = ws.resource("customer", name)
    version = found.version if found is not None else 0
    ws.emit(routing.ConfigChanged(*ws.head(), kind="customer", id=name, version=version), key=name)
    if _paired(ws, paired) != paired:
        pairing.all_anew(ws)


def profile(ws: Workspace, name: str) -> shapes.CustomerProfile:
    """A customer over all channels: who he is, open and recent work, who had it last. Raises
    Refused (not-found)."""
    customer = ws.customers.get(name)
    if customer is None:
        raise not_found("customer", name)
    names = {customer.id, *ws.customers.parts(customer.id)}
    mine = histories.tasks_of(ws, names)
    threads = histories.threads_of(ws, names)
    return {
        "id": customer.id,
        "name": customer.name,
        "tier": customer.tier,
        "language": customer.language,
        "timezone": customer.timezone,
        "identities": [{"scheme": i.scheme, "value": i.value} for i in customer.identities],
        "attributes": customer.attributes,
        "never_pair": list(customer.never_pair),
        "merged": [
            {"id": part, "at": format_instant(ws.stored["customer_merge"][part].at_us)}
            for part in ws.customers.parts(customer.id)
        ],
        "open": [_work(task) for task in mine if task.state in OPEN],
        "recent": [_work(task) for task in mine if task.state not in OPEN][:RECENT_MAX],
        "last_agents": list(dict.fromkeys(one.last_agent for one in threads if one.last_agent)),
        "conversations": [
            {"id": one.id, "channel": one.channel, "last_agent": one.last_agent}
            for one in threads[:CONVERSATIONS_MAX]
        ],
    }


def _work(task: Task) -> shapes.CustomerWork:
    return {
        "task_id": task.id,
        "state": task.state,
        "channel": task.channel,
        "conversation_id": task.conversation_id,
        "agent_id": task.agent_id,
        "queue": task.queue or (task.queues[0] if task.queues else None),
        "created_at": format_instant(task.created_us),
        "ended_at": optional_instant(task.ended_us),
        "disposition": task.disposition,
    }
