"""Offers: made, accepted, declined, expired, revoked. An offer counts on its agent until it ends."""

from typing import Any

from services.router.domain import (
    capacity,
    drains,
    lifecycle,
    membership,
    planning,
    presence,
    slots,
    timers,
)
from services.router.domain.config import Queue
from services.router.domain.desk import Desk
from services.router.domain.pools import Pool
from services.router.domain.state import Offer, OfferState, Task
from services.router.domain.workspace import ENDED_OFFERS_MAX, Workspace
from shared.contracts import routing
from shared.contracts.instants import format_instant, span_us
from shared.contracts.problems import Refused, conflict, not_found

_ORDER_WORDS = {
    "least_loaded": "least loaded",
    "longest_idle": "longest idle",
    "round_robin": "next in turn",
    "best_skilled": "best skilled",
    "ranked": "first tier",
    "random": "drawn",
}
_DEFAULT = Queue("")


def make(ws: Workspace, task: Task, desk: Desk) -> Offer:
    """Offer a task to an agent; the caller has seen that he may have it."""
    direct = desk.id in slots.direct_to(ws, task)
    pool = ws.pool_of.get(task.id)
    member = pool.members.get(desk.id) if pool else None
    served = member.queue if member else _queue_for(ws, task, desk)
    rules = (ws.queues.get(served or "") or _DEFAULT).offer
    number = ws.meta.offers = ws.meta.offers + 1
    offer = Offer(
        id=ws.new_id("off", number),
        number=number,
        task_id=task.id,
        agent_id=desk.id,
        channel=task.channel,
        state="open",
        queue=served,
        created_us=ws.now,
        expires_us=ws.now + span_us(rules.ttl_s),
        why=_why(ws, task, desk, pool, direct),
        direct=direct,
    )
    ws.add("offer", offer.id, offer)
    keys = list(pool.agent_key(desk)) if pool and member else []
    ws.touch_agent(desk.id)
    desk.load(task.channel, ws.costs[task.channel], 1)
    desk.offers[offer.id] = None
    desk.agent.served = number
    ws.task(task).offers.append(offer.id)
    if task.drain_agent is not None:
        drains.end(ws, task)
    if task.state == "pending":
        lifecycle.set_state(ws, task, "reserved")
    _announce(ws, task, offer, len(pool.members) if pool else 1, keys)
    if rules.auto_accept:
        take(ws, task, desk, offer)
    else:
        ws.at_time(offer.expires_us, timers.OFFER, number, offer.id)
        membership.enter(ws, task)
    return offer


def _announce(ws: Workspace, task: Task, offer: Offer, considered: int, keys: list[Any]) -> None:
    seq = ws.emit(
        routing.OfferCreated(
            ws.name, ws.meta.seq + 1, ws.at, task.id, task.conversation_id,
            offer_id=offer.id,
            agent_id=offer.agent_id,
            expires_at=format_instant(offer.expires_us),
            queue=offer.queue,
            why=offer.why,
        )
    )  # fmt: skip
    lifecycle.decide(
        ws, task, seq, "offered", offer.why,
        winner=offer.agent_id, considered=considered, order_keys=keys,
    )  # fmt: skip


def _queue_for(ws: Workspace, task: Task, desk: Desk) -> str | None:
    served = capacity.serving(desk, task.queues, ws.closed_queues)
    return served.queue if served else (task.queues[0] if task.queues else None)


def _why(ws: Workspace, task: Task, desk: Desk, pool: Pool | None, direct: bool) -> str:
    if direct:
        return "transferred to him" if task.target_agent == desk.id else "escalated to him"
    if pool is None or task.prefer_agent == desk.id:
        return "preferred agent"
    skills = desk.config.skills
    why = ""
    for item in capacity.active(task):
        why += f"{item.skill} {skills.get(item.skill, 0)}, " if item.skill else f"{item.text}, "
    return f"{why}{_ORDER_WORDS[pool.queue.select]} of {len(pool.members)}"


# -- what agents answer


def live_offer(ws: Workspace, agent_id: str, offer_id: str) -> Offer:
    """The agent's open offer; a dead one is a conflict that says why."""
    offer = ws.offers.get(offer_id)
    if offer is None or offer.agent_id != agent_id:
        raise not_found("offer", offer_id)
    if offer.state == "open":
        if offer.expires_us <= ws.now:
            raise conflict("expired", "The offer has expired.")
        return offer
    if offer.state == "revoked" and offer.reason in ("taken", "cancelled"):
        raise conflict(offer.reason, f"The offer was revoked: {offer.reason}.")
    reason = "taken" if offer.state == "accepted" else offer.state
    because = f": {offer.reason}" if offer.reason else ""
    became = "has expired" if offer.state == "expired" else f"was {offer.state}"
    raise conflict(reason, f"The offer {became}{because}.")


def accept(ws: Workspace, agent_id: str, offer_id: str) -> Task:
    """AcceptOffer. Repeated by the same agent while the task is his, it answers the same."""
    offer = ws.offers.get(offer_id)
    if offer is not None and offer.state == "accepted" and offer.agent_id == agent_id:
        task = ws.tasks.get(offer.task_id)
        if task is not None:
            return task
        raise Refused("gone", "The task has ended long ago.")
    offer = live_offer(ws, agent_id, offer_id)
    task = ws.tasks[offer.task_id]
    take(ws, task, ws.desks[agent_id], offer)
    return task


def take(ws: Workspace, task: Task, desk: Desk, offer: Offer) -> None:
    """An offer is accepted: the others lose, the task is the agent's."""
    close(ws, offer, "accepted", None)
    ws.emit(
        routing.OfferAccepted(
            ws.name, ws.meta.seq + 1, ws.at, task.id, task.conversation_id,
            offer_id=offer.id,
            agent_id=desk.id,
        )
    )  # fmt: skip
    if task.offers:
        revoke_all(ws, task, "taken")
    if desk.agent.misses:
        ws.touch_agent(desk.id)
        desk.agent.misses = 0
    handed_over = task.warm
    lifecycle.assign(ws, task, desk, offer, offer.queue)
    if handed_over:  # who held it for the hand-over has it no longer
        lifecycle.end_hold(ws, task)


def decline(
    ws: Workspace, agent_id: str, offer_id: str, reason: str | None, retry_us: int | None
) -> Task:
    """DeclineOffer: the task goes on looking, not to this agent until the cool-down ends."""
    offer = live_offer(ws, agent_id, offer_id)
    task = ws.tasks[offer.task_id]
    close(ws, offer, "declined", reason)
    ws.emit(
        routing.OfferDeclined(*ws.of(task), offer_id=offer.id, agent_id=agent_id, reason=reason)
    )
    ws.touch_agent(agent_id)
    ws.desks[agent_id].agent.misses = 0
    task.declines += 1
    until = ws.now + lifecycle.cool_down_us(ws, task, "declined") if retry_us is None else retry_us
    lifecycle.refuse(ws, task, agent_id, until)
    back_to_waiting(ws, task)
    return task


def expire(ws: Workspace, offer: Offer) -> None:
    """Nobody answered in time. While catching up it is not the agent's fault."""
    task = ws.tasks[offer.task_id]
    close(ws, offer, "expired", None)
    ws.emit(routing.OfferExpired(*ws.of(task), offer_id=offer.id, agent_id=offer.agent_id))
    desk = ws.desks[offer.agent_id]
    until = ws.now if ws.catching_up else ws.now + lifecycle.cool_down_us(ws, task, "missed")
    lifecycle.refuse(ws, task, desk.id, until)
    back_to_waiting(ws, task)
    if not ws.catching_up:
        _count_miss(ws, desk, offer)


def _count_miss(ws: Workspace, desk: Desk, offer: Offer) -> None:
    ws.touch_agent(desk.id)
    desk.agent.misses += 1
    rules = (ws.queues.get(offer.queue or "") or _DEFAULT).offer
    if desk.agent.misses >= rules.misses_before_away and desk.agent.status == "available":
        presence.set_status(ws, desk, "away", "missed_offers")


def revoke_all(ws: Workspace, task: Task, reason: str) -> None:
    for offer_id in list(task.offers):
        revoke(ws, ws.offers[offer_id], reason)


def revoke(ws: Workspace, offer: Offer, reason: str) -> None:
    """Withdraw an offer; the caller sees to the task."""
    task = ws.tasks[offer.task_id]
    close(ws, offer, "revoked", reason)
    ws.emit(
        routing.OfferRevoked(
            *ws.of(task), offer_id=offer.id, agent_id=offer.agent_id, reason=reason
        )
    )


def close(ws: Workspace, offer: Offer, state: OfferState, reason: str | None) -> None:
    """An open offer ends: it no longer counts on its agent (an accepted one goes on counting, as his
    task: lifecycle.own)."""
    task = ws.task(ws.tasks[offer.task_id])
    ws.edit("offer", offer.id, offer)
    offer.state, offer.reason = state, reason
    offer.ended_us = ws.now
    offer.ended_seq = ws.meta.seq
    task.offers.remove(offer.id)
    desk = ws.desks[offer.agent_id]
    desk.offers.pop(offer.id, None)
    if state != "accepted":
        desk.load(offer.channel, -ws.costs[offer.channel], -1)
        membership.freed(ws, desk)
    if desk.agent.next_status is not None:
        ws.leaving[desk.id] = None
    ws.ended_offers[offer.id] = None
    if len(ws.ended_offers) > ENDED_OFFERS_MAX:
        oldest = next(iter(ws.ended_offers))
        del ws.ended_offers[oldest]
        ws.forget("offer", oldest)


def back_to_waiting(ws: Workspace, task: Task) -> None:
    """After an offer has ended without acceptance: pending again when it was the last. A step that was
    over meanwhile is over before its next agent is asked, or it would last as long as there are any."""
    if task.state == "reserved" and not task.offers:
        lifecycle.set_state(ws, task, "pending")
    if not task.offers and task.step_until_us is not None and task.step_until_us <= ws.now:
        if ws.meta.behind:
            ws.at_time(task.step_until_us, timers.STEP, task.number, task.id)
        else:
            planning.next_step(ws, task)
    membership.enter(ws, task)
