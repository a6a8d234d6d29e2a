"""Whose desktops show a customer: agents see the name, tier and language of whom they are offered."""

from services.router.domain.shapes import Face
from services.router.domain.workspace import Workspace


def face(ws: Workspace, customer_id: str | None) -> Face | None:
    """What a desktop shows of a customer; None where there is none."""
    customer = ws.customers.get(customer_id or "")
    if customer is None:
        return None
    return {
        "id": customer.id,
        "name": customer.name,
        "tier": customer.tier,
        "language": customer.language,
    }


def faces(ws: Workspace, *names: str) -> dict[str, Face | None]:
    """The faces of these customers and of all who are one with them, by id."""
    whole = {ws.customers.canonical(name) for name in names}
    everybody = {*names, *whole, *(part for name in whole for part in ws.customers.parts(name))}
    return {name: face(ws, name) for name in everybody}


def wake(ws: Workspace, before: dict[str, Face | None]) -> None:
    """Announce the work of those who are offered work of customers that looked otherwise before."""
    for name, seen in before.items():
        if face(ws, name) != seen:
            for offer_id in _offered(ws).get(name, ()):
                offer = ws.offers.get(offer_id)
                if offer is not None and offer.state == "open":
                    ws.touch_agent(offer.agent_id)


def _offered(ws: Workspace) -> dict[str, list[str]]:
    """Offers that were open by customer: looked for once for as long as no other offer is made."""
    made, found = ws.offered
    if made != ws.meta.offers:
        found = dict[str, list[str]]()
        for offer in ws.offers.values():
            customer = ws.tasks[offer.task_id].customer_id if offer.state == "open" else None
            if customer is not None:
                found.setdefault(customer, []).append(offer.id)
        ws.offered = (ws.meta.offers, found)
    return found
