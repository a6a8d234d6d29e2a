"""What must hold after every input. Slow and exhaustive: for tests, simulation and monitors."""

from collections import Counter
from collections.abc import Iterator

from services.router.domain import capacity, slots
from services.router.domain.state import OPEN, OWNED, SEEKING, named
from services.router.domain.workspace import Workspace


def check(ws: Workspace) -> list[str]:
    """One sentence for each thing that is wrong; empty when all is well."""
    return [
        *_loads(ws),
        *_conversations(ws),
        *_offers(ws),
        *_pending(ws),
        *_wishes(ws),
        *never_idle(ws),
    ]


def _loads(ws: Workspace) -> Iterator[str]:
    for desk in ws.desks.values():
        units: Counter[str] = Counter()
        count: Counter[str] = Counter()
        for task in ws.tasks.values():
            if task.state in OWNED and task.agent_id == desk.id:
                units[task.channel] += capacity.weight(ws, task)[0]
                count[task.channel] += capacity.weight(ws, task)[1]
        for offer in ws.offers.values():
            if offer.state == "open" and offer.agent_id == desk.id:
                units[offer.channel] += ws.costs[offer.channel]
                count[offer.channel] += 1
        if +units != +Counter(desk.units) or desk.used != units.total():
            yield f"agent {desk.id}: load {desk.units}, really {dict(units)}"
        wrapping = sum(ws.tasks[one].state == "wrapping" for one in desk.tasks)
        if wrapping != desk.wrapping:
            yield f"agent {desk.id}: {desk.wrapping} in wrap-up, really {wrapping}"
        if +count != +Counter(desk.count):
            yield f"agent {desk.id}: counts {desk.count}, really {dict(count)}"
        if desk.takes_work != desk.is_at_work():
            yield f"agent {desk.id}: takes work {desk.takes_work}, really {desk.is_at_work()}"


def over_capacity(ws: Workspace) -> list[str]:
    """Agents beyond capacity or a channel's cap. Legal only after a resume, a change of
    configuration or an override; a test that does none of these expects an empty list."""
    found: list[str] = []
    for desk in ws.desks.values():
        for channel, count in desk.count.items():
            if count > desk.config.channels.get(channel, 0):
                found.append(f"agent {desk.id} has {count} of {channel}")
            used = capacity.used_against(ws, desk, channel)
            if (
                count
                and used > desk.config.capacity
                and desk.used - desk.units.get(channel, 0) == 0
            ):
                found.append(f"agent {desk.id} uses {used} of {desk.config.capacity}")
    return found


def _conversations(ws: Workspace) -> Iterator[str]:
    open_tasks = Counter(t.conversation_id for t in ws.tasks.values() if t.state in OPEN)
    for conversation, number in open_tasks.items():
        if number > 1:
            yield f"conversation {conversation} has {number} open tasks"
        thread = ws.conversations.get(conversation)
        task = ws.tasks.get(thread.task_id or "") if thread else None
        if task is None or task.state not in OPEN:
            yield f"conversation {conversation} does not know its open task"


def _offers(ws: Workspace) -> Iterator[str]:
    for task in ws.tasks.values():
        live = {o.id for o in ws.offers.values() if o.state == "open" and o.task_id == task.id}
        if live != set(task.offers):
            yield f"task {task.id}: offers {task.offers}, really {sorted(live)}"
        if (task.state == "reserved") != (bool(live) and task.state in SEEKING):
            yield f"task {task.id} is {task.state} with {len(live)} offers"
        if task.state in OWNED and task.agent_id is None:
            yield f"task {task.id} is {task.state} without an agent"
        if task.state in (*SEEKING, "scheduled") and task.agent_id is not None:
            yield f"task {task.id} is {task.state} with agent {task.agent_id}"


def _pending(ws: Workspace) -> Iterator[str]:
    really: Counter[str] = Counter()
    for task in ws.tasks.values():
        if task.state == "pending":
            really.update(task.queues)
    if +really != +Counter(ws.pending):
        yield f"pending {ws.pending}, really {dict(really)}"


def _wishes(ws: Workspace) -> Iterator[str]:
    for agent_id, wished in ws.wishes.items():
        for task_id in wished:
            if task_id not in ws.tasks or agent_id not in named(ws.tasks[task_id]):
                yield f"task {task_id} is kept for {agent_id}, whom it does not name"


def never_idle(ws: Workspace) -> Iterator[str]:
    """No waiting task beside an agent who may have it now (holds, cool-downs, delays, closed
    queues and agents about to leave are conditions that fail; behind, nothing is decided)."""
    if ws.meta.behind:
        return
    for task in ws.tasks.values():
        if task.state not in SEEKING and not task.warm:
            continue
        more, direct = slots.wants_more(ws, task), slots.direct_to(ws, task)
        for desk in ws.desks.values():
            if (more or desk.id in direct) and capacity.admissible(ws, task, desk):
                yield f"task {task.id} waits though {desk.id} may have it"
