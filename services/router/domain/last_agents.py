"""Who had a conversation last, and who a customer's work on any channel: stored, since what comes next may
go to him. A bot takes no human's place: where bots come first, they would be the last of everybody."""

from services.router.domain.desk import Desk
from services.router.domain.state import LastAgent, Task
from services.router.domain.workspace import Workspace

KIND = "last_agent"


def remember(ws: Workspace, task: Task, desk: Desk) -> None:
    """The agent has got the task. It is noted for the customer as he was written, whomever he was merged
    into, and who may have been deleted since it came."""
    conversation = ws.conversations.get(task.conversation_id)
    if conversation is not None and _counts(ws, desk, conversation.last_agent):
        ws.edit("conversation", conversation.id, conversation).last_agent = desk.id
    if task.customer_id is None:
        return
    name = (conversation.customer_id if conversation else None) or task.customer_id
    known = ws.stored[KIND].get(name)
    if ws.customers.get(name) is not None and _counts(ws, desk, known and known.agent_id):
        ws.add(KIND, name, LastAgent(name, desk.id, ws.meta.seq))


def _counts(ws: Workspace, desk: Desk, before: str | None) -> bool:
    """Whether he is the last one from now on."""
    return desk.config.kind == "human" or not _is_human(ws, before)


def _is_human(ws: Workspace, agent_id: str | None) -> bool:
    desk = ws.desks.get(agent_id or "")
    return desk is not None and desk.config.kind == "human"


def of_task(ws: Workspace, task: Task) -> str | None:
    """Who had the conversation last; of one that no human has had, who had its customer's work last."""
    known = ws.conversations.get(task.conversation_id)
    own = known.last_agent if known is not None else None
    if task.customer_id is None or _is_human(ws, own):
        return own
    his = of(ws, task.customer_id)
    return his if own is None or _is_human(ws, his) else own


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
