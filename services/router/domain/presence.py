"""Presence: what agents set, what the lease makes of it, and what happens to their work."""

from services.router.domain import membership, offers, timers
from services.router.domain.commands import SetPresence
from services.router.domain.desk import Desk
from services.router.domain.pools import NEVER_US
from services.router.domain.state import Status, Task
from services.router.domain.workspace import Workspace
from shared.contracts import routing
from shared.contracts.instants import span_us
from shared.contracts.problems import not_found

DEFAULT_ORPHAN_S = 120


def set_presence(ws: Workspace, command: SetPresence) -> Desk:
    """SetPresence. With `after_current` and work at hand it becomes the next status; the last
    write wins."""
    desk = ws.desks.get(command.agent)
    if desk is None:
        raise not_found("agent", command.agent)
    ws.touch_agent(desk.id)
    if command.after_current and (desk.tasks or desk.offers):
        desk.agent.next_status, desk.agent.next_reason = command.status, command.reason
        desk.look_up()
        membership.freed(ws, desk)
    else:
        set_status(ws, desk, command.status, command.reason)
    return desk


def set_status(ws: Workspace, desk: Desk, status: Status, reason: str | None) -> None:
    """The status holds from now on; a call from the agent also ends a lapsed lease."""
    agent = desk.agent
    ws.touch_agent(desk.id)
    was = agent.shown_status
    same = was == status and agent.reason == reason and not agent.lapsed
    agent.status, agent.reason = status, reason
    agent.next_status = agent.next_reason = None
    agent.lapsed, agent.lapsed_us = False, None
    desk.look_up()
    agent.misses = 0
    if same:
        membership.freed(ws, desk)
        return
    agent.since_us = ws.now
    _changed(ws, desk, was)


def lapse(ws: Workspace, agent_id: str) -> None:
    """The presence lease ran out: offline, reason `lease`, until the next call."""
    desk = ws.desks.get(agent_id)
    if desk is None or desk.agent.lapsed or desk.agent.status == "offline":
        return
    ws.touch_agent(agent_id)
    was = desk.agent.shown_status
    desk.agent.lapsed, desk.agent.lapsed_us = True, ws.now
    desk.look_up()
    _changed(ws, desk, was)


def give_back(ws: Workspace, agent_id: str) -> None:
    """The agent calls again: the status before the lapse holds."""
    desk = ws.desks.get(agent_id)
    if desk is None or not desk.agent.lapsed:
        return
    ws.touch_agent(agent_id)
    desk.agent.lapsed, desk.agent.lapsed_us = False, None
    desk.look_up()
    _changed(ws, desk, "offline")


def _changed(ws: Workspace, desk: Desk, was: Status) -> None:
    agent = desk.agent
    status = agent.shown_status
    ws.emit(
        routing.AgentPresence(
            *ws.head(),
            agent_id=desk.id,
            capacity=desk.config.capacity,
            status=status,
            reason=agent.shown_reason,
        ),
        key=desk.id,
    )
    if status == "available":
        agent.available_us = ws.now
    else:
        _withdraw(ws, desk)
    if status == "offline" != was:
        _abandon(ws, desk)
    elif status != "offline" == was:
        for task_id in desk.tasks:
            ws.task(ws.tasks[task_id]).orphan_us = None
    membership.freed(ws, desk)


def _withdraw(ws: Workspace, desk: Desk) -> None:
    """Who is not there has no offers."""
    for offer_id in list(desk.offers):
        offer = ws.offers[offer_id]
        offers.revoke(ws, offer, "presence")
        offers.back_to_waiting(ws, ws.tasks[offer.task_id])


def _abandon(ws: Workspace, desk: Desk) -> None:
    """Nobody waits for an agent who is offline, and his tasks will not wait for ever."""
    wished = [ws.tasks[task_id] for task_id in ws.wishes.get(desk.id, ())]
    for task in sorted(wished, key=lambda task: task.number):
        membership.leave(ws, task)
        ws.task(task)
        if task.target_agent == desk.id:
            task.target_agent = None
        if task.prefer_agent == desk.id and (task.hold_until_us or 0) < NEVER_US:
            task.hold_until_us = None
        membership.enter(ws, task)
    for task_id in desk.tasks:
        orphan(ws, ws.tasks[task_id])


def orphan(ws: Workspace, task: Task) -> None:
    """Start the time after which an assigned task leaves an agent who is offline."""
    queue = ws.queue_of(task)
    after = queue.orphans.after_s if queue else DEFAULT_ORPHAN_S
    ws.task(task).orphan_us = ws.now + span_us(after)
    ws.at_time(task.orphan_us, timers.ORPHAN, task.number, task.id)


def apply_next(ws: Workspace) -> None:
    """`after_current`: whoever has no work left gets the status he asked for."""
    while ws.leaving:
        found = [desk for one in ws.leaving if (desk := ws.desks.get(one)) is not None]
        ws.leaving.clear()
        for desk in sorted(found, key=lambda desk: desk.agent.ordinal):  # not as they became idle
            if is_leaving(desk) and desk.agent.next_status is not None:
                set_status(ws, desk, desk.agent.next_status, desk.agent.next_reason)


def is_leaving(desk: Desk) -> bool:
    """Whether the status that he asked for holds as soon as the workspace comes to rest."""
    return desk.agent.next_status is not None and not desk.tasks and not desk.offers
