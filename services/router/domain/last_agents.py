"""Who had a customer's work last, on any channel: stored, since a new conversation may go to him."""

from services.router.domain.state import LastAgent
from services.router.domain.workspace import Workspace

KIND = "last_agent"


def note(ws: Workspace, customer_id: str, agent_id: str) -> None:
    """The agent has got a task of the customer: as he was written, whomever he was merged into, and
    who may have been deleted since it came."""
    if ws.customers.get(customer_id) is None:
        return
    ws.add(KIND, customer_id, LastAgent(customer_id, agent_id, ws.meta.seq))


def of(ws: Workspace, customer_id: str) -> str | None:
    """Whoever had any of the customer's work last, also under an id that was merged with his."""
    known: dict[str, LastAgent] = ws.stored[KIND]
    name = ws.customers.canonical(customer_id)
    found = [known[each] for each in (name, *ws.customers.parts(name)) if each in known]
    return max(found, key=lambda one: one.seq).agent_id if found else None


def forget(ws: Workspace, customer_id: str) -> None:
    """The customer is deleted."""
    if customer_id in ws.stored[KIND]:
        ws.remove(KIND, customer_id)
