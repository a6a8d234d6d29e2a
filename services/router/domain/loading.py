"""From stored entities back to a working core: every index, counter, heap and timer.

Nothing here may depend on the order in which entities were loaded, else a take-over would decide
otherwise than the owner before it.
"""

from services.router.domain import configuration, hours, membership, presence, surge, timers
from services.router.domain.desk import Desk
from services.router.domain.lifecycle import count_pending, own
from services.router.domain.state import OPEN, OWNED, RESOURCE_KINDS, SEEKING
from services.router.domain.workspace import Workspace


def derive(ws: Workspace) -> None:
    for kind in RESOURCE_KINDS:
        for resource in ws.stored[kind].values():
            configuration.use(ws, resource)
    for entry in ws.stored["customer_merge"].values():
        ws.customers.merge(entry.id, entry.into)
    turned_us = ws.meta.turned_us if ws.meta.behind else ws.now
    ws.closed_queues = hours.closed_queues(ws, turned_us)
    hours.arm(ws, turned_us)
    _agents(ws)
    _offers(ws)
    _tasks(ws)
    _conversations(ws)
    for name, figures in ws.figures.items():
        if figures.surge:
            ws.at_time(figures.minute_us + surge.MINUTE_US, timers.SURGE, 0, name)
    ws.seekers.clear()
    ws.freed.clear()
    ws.untold.clear()
    ws.undrained.clear()
    ws.touched.clear()
    ws.leaving = {desk.id: None for desk in ws.desks.values() if presence.is_leaving(desk)}


def _agents(ws: Workspace) -> None:
    for agent in sorted(ws.agents.values(), key=lambda agent: agent.ordinal):
        ws.desks[agent.id] = Desk(agent)
    for desk in ws.desks.values():
        membership.agent_changed(ws, desk)


def _offers(ws: Workspace) -> None:
    ended = [offer for offer in ws.offers.values() if offer.state != "open"]
    for offer in sorted(ended, key=lambda offer: (offer.ended_seq, offer.number)):
        ws.ended_offers[offer.id] = None
    live = [offer for offer in ws.offers.values() if offer.state == "open"]
    for offer in sorted(live, key=lambda offer: offer.number):
        desk = ws.desks[offer.agent_id]
        desk.offers[offer.id] = None
        desk.load(offer.channel, ws.costs[offer.channel], 1)
        timers.arm_offer(ws, offer)


def _tasks(ws: Workspace) -> None:
    for task in sorted(ws.tasks.values(), key=lambda task: task.number):
        timers.arm_task(ws, task)
        if task.state == "pending":
            count_pending(ws, task, 1)
        if task.state in OWNED and task.agent_id in ws.desks:
            own(ws, task, ws.desks[task.agent_id])
        if task.skipped and task.state in OPEN:
            ws.skipped[task.id] = None
        if task.arrived:
            ws.arrived[task.id] = ()
        if task.drain_agent is not None:
            ws.drains[task.drain_agent] = task.id
        if task.state in SEEKING or task.warm:
            membership.enter(ws, task)
    ended = [task for task in ws.tasks.values() if task.state not in OPEN]
    for task in sorted(ended, key=lambda task: (task.ended_seq, task.number)):
        (ws.ended_tasks if task.forget_us is None else ws.reopenable)[task.id] = None


def _conversations(ws: Workspace) -> None:
    for thread in sorted(
        ws.conversations.values(), key=lambda thread: (thread.closed_seq, thread.number)
    ):
        task = ws.tasks.get(thread.task_id) if thread.task_id else None
        if task is None or task.state not in OPEN:
            ws.closed_conversations[thread.id] = None
