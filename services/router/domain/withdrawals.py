"""What a ladder did for a warning or a breach that the SLA service takes back: undone, while nobody has
acted on it. Accepting, assigning, moving, reprioritizing and escalating by hand are acts; an offer
that was declined or has expired is none.
"""

from services.router.domain import capacity, ladders, lifecycle, membership, offers, planning
from services.router.domain.escalation import (
    Act,
    AddQueue,
    CompiledLevel,
    DropRequirement,
    OfferTo,
    RaisePriority,
    Reclaim,
    RelaxAll,
)
from services.router.domain.policy import queues_at
from services.router.domain.requirements import met_by
from services.router.domain.state import SEEKING, Effect, Offer, Task
from services.router.domain.workspace import Workspace
from shared.contracts import routing

EFFECTS_MAX = 100  # kept of one task; older ones stand
REVOKED = "escalation_withdrawn"


def keep(ws: Workspace, task: Task, effect: Effect) -> None:
    """A level has fired for what may be taken back."""
    ws.task(task).effects = (*task.effects[1 - EFFECTS_MAX :], effect)


def acted(ws: Workspace, task: Task) -> None:
    """Somebody has done something with the task: what ladders did to it stands from now on."""
    if any(not effect.stands for effect in task.effects):
        ws.task(task).effects = tuple(_standing(effect) for effect in task.effects)


def _standing(effect: Effect) -> Effect:
    return Effect(effect.level, effect.metric, effect.used, stands=True)


def review(ws: Workspace, task: Task) -> None:
    """Take back, the last first, what levels did whose warning or breach is no more."""
    seen = ladders.view(ws, task, None)
    for effect in reversed(task.effects):
        if seen.reaches(effect.metric, effect.used):
            continue
        ws.task(task).effects = tuple(one for one in task.effects if one is not effect)
        if effect.stands:
            because = f"{effect.level}: its cause was withdrawn after somebody had acted"
            lifecycle.decide(ws, task, ws.meta.seq, "escalation_stands", because)
        else:
            _take_back(ws, task, effect)


def _take_back(ws: Workspace, task: Task, effect: Effect) -> None:
    task.fired = [name for name in task.fired if name != effect.level]
    seq = ws.emit(
        routing.TaskEscalationWithdrawn(
            *ws.of(task),
            ladder=task.ladder or "",
            level=effect.level,
            metric=effect.metric,
            taken_back=_named(effect),
        )
    )
    lifecycle.decide(ws, task, seq, "escalation_withdrawn", effect.level)
    if effect.after is not None and effect.before is not None:
        back = task.priority == effect.after
        priority = effect.before if back else task.priority - (effect.after - effect.before)
        ladders.set_priority(ws, task, priority, ladders.BY_LADDER)
    membership.leave(ws, task)
    _ask_again(ws, task, effect)
    _leave_queues(ws, task, effect.queues)
    task.also = [agent_id for agent_id in task.also if agent_id not in effect.also]
    task.called -= effect.called
    _let_back(task, effect)
    for offer in [ws.offers[name] for name in task.offers]:
        if not _holds(ws, task, offer, effect):
            offers.revoke(ws, offer, REVOKED)
    offers.back_to_waiting(ws, task)


def _named(effect: Effect) -> list[str]:
    """The kinds of actions that are undone, as they are written in a ladder."""
    done = {
        "raise_priority": effect.after is not None,
        "relax": effect.relaxed,
        "drop_requirement": bool(effect.dropped),
        "add_queue": bool(effect.queues),
        "offer_to": bool(effect.also),
        "reclaim": effect.reclaimed is not None,
    }
    return [name for name, was in done.items() if was]


def _ask_again(ws: Workspace, task: Task, effect: Effect) -> None:
    """Requirements that were relaxed or dropped are asked again."""
    if not effect.relaxed and not effect.dropped:
        return
    before = capacity.active(task)
    if effect.relaxed:
        task.relax_all = any(other.relaxed for other in task.effects)
    for name in effect.dropped:
        task.dropped = _without_one(task.dropped, name)
    planning.arm_relax(ws, task)
    planning.tell_requirements(ws, task, before, REVOKED)


def _without_one(names: list[str], name: str) -> list[str]:
    at = names.index(name) if name in names else len(names)
    return [*names[:at], *names[at + 1 :]]


def _leave_queues(ws: Workspace, task: Task, added: tuple[str, ...]) -> None:
    """The queues that were added, save those that the task's plan has reached since."""
    planned = queues_at(task.steps, task.policy.step) if task.policy and task.steps else ()
    gone = [queue for queue in task.queues if queue in added and queue not in planned]
    if gone and task.state in SEEKING:
        lifecycle.set_queues(ws, task, [queue for queue in task.queues if queue not in gone])


def _let_back(task: Task, effect: Effect) -> None:
    """Who lost the task may have it again at once, and it has its place again."""
    if effect.reclaimed is None:
        return
    refused = dict(task.refused)
    refused.pop(effect.reclaimed, None)
    task.refused = refused
    if effect.waiting_since_us is not None:
        task.waiting_since_us = min(task.waiting_since_us, effect.waiting_since_us)


def _holds(ws: Workspace, task: Task, offer: Offer, effect: Effect) -> bool:
    """Whether an open offer would also have been made without the level."""
    if offer.direct:
        return offer.agent_id not in effect.also
    desk = ws.desks[offer.agent_id]
    if effect.queues and capacity.serving(desk, task.queues, set()) is None:
        return False
    relaxed = effect.relaxed or bool(effect.dropped)
    return not relaxed or met_by(capacity.active(task), desk.facts)


def effect_of(level: CompiledLevel) -> Effect | None:
    """An empty note of a level that fires for a warning or a breach; None for the others."""
    sla = level.trigger.sla
    return None if sla is None else Effect(level.name, sla.metric, sla.used)


def note(effect: Effect, action: Act, before: Task, after: Task) -> None:
    """What one action changed."""
    match action:
        case RaisePriority() if after.priority != before.priority:
            effect.before = before.priority if effect.before is None else effect.before
            effect.after = after.priority
        case RelaxAll():
            effect.relaxed = effect.relaxed or not before.relax_all
        case DropRequirement(name=name):
            effect.dropped = (*effect.dropped, name)
        case AddQueue(queue=queue) if queue in after.queues and queue not in before.queues:
            effect.queues = (*effect.queues, queue)
        case OfferTo() if after.also != before.also:
            effect.also = (*effect.also, *(who for who in after.also if who not in before.also))
            effect.called += after.called - before.called
        case Reclaim() if before.agent_id is not None and after.agent_id is None:
            effect.reclaimed = before.agent_id
            effect.waiting_since_us = before.waiting_since_us
        case _:
            pass
