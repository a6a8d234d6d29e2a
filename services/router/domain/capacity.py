"""How much work an agent can take: units, channel caps, and the conditions of an offer.

A task costs its channel's units (facts/routing.md §2.5, Azure's cost model); a held one `held_cost`,
and one that costs nothing while held takes no slot of its channel either. Tasks of channels that the
new task's channel may interrupt are not counted against it.
"""

from typing import Any, NamedTuple

from services.router.domain import requirements, slots
from services.router.domain.config import AgentQueue
from services.router.domain.desk import Desk
from services.router.domain.pools import place_at, sooner_by_head_start
from services.router.domain.state import Task, named
from services.router.domain.workspace import Workspace


class Condition(NamedTuple):
    """One thing that must hold before an agent is offered a task. `kind` groups the reasons; `missing`
    names what is not there at all, of the agent or the task, where it fails for that."""

    text: str
    value: Any
    passed: bool
    kind: str
    missing: str | None = None


def weight(ws: Workspace, task: Task) -> tuple[int, int]:
    """(units, slots) that an assigned or wrapping task takes."""
    if not task.held:
        return ws.costs[task.channel], 1
    units = ws.held_cost(task.channel)
    return units, 1 if units else 0


def used_against(ws: Workspace, desk: Desk, channel: str) -> int:
    """Units in use as a task of `channel` sees them: without what it may interrupt."""
    used = desk.used
    for other, units in desk.units.items():
        if units and channel in ws.settings.channel(other).interruptible_by:
            used -= units
    return used


def has_room(ws: Workspace, desk: Desk, channel: str) -> bool:
    """Whether one more task of `channel` fits, in units and in the channel's cap."""
    config = desk.config
    if desk.count.get(channel, 0) >= config.channels.get(channel, 0):
        return False
    most = config.capacity - ws.costs[channel]
    return desk.used <= most or used_against(ws, desk, channel) <= most


def is_wrapping_up(ws: Workspace, desk: Desk, channel: str) -> bool:
    """Whether only what he wraps up takes the room that one more task of `channel` needs."""
    if not desk.wrapping:
        return False
    done = [ws.tasks[one] for one in desk.tasks if ws.tasks[one].state == "wrapping"]
    count = desk.count.get(channel, 0) - sum(one.channel == channel for one in done)
    used = used_against(ws, desk, channel) - sum(
        weight(ws, one)[0]
        for one in done
        if channel not in ws.settings.channel(one.channel).interruptible_by
    )
    free = desk.config.capacity - ws.costs[channel]
    return count < desk.config.channels.get(channel, 0) and used <= free


def free_for(ws: Workspace, desk: Desk, channel: str) -> bool:
    """Whether the agent may be offered a task of `channel` now, requirements apart."""
    return desk.takes_work and has_room(ws, desk, channel)


def excluded(ws: Workspace, task: Task, agent_id: str) -> bool:
    """Cooling down from this task, holding an offer of it, its present owner (warm transfer), or
    never to be paired with its customer."""
    if not (task.offers or task.refused or task.never or task.agent_id or ws.drains):
        return False  # by far the commonest
    return _is_excluded(ws, task, agent_id)


def _is_excluded(ws: Workspace, task: Task, agent_id: str) -> bool:
    until = task.refused.get(agent_id)
    if until is not None and until > ws.now:
        return True
    if task.agent_id == agent_id:
        return True
    if agent_id in task.never:
        return True
    if agent_id in ws.drains and drained(ws, task, ws.desks[agent_id]) is not None:
        return True
    return any(ws.offers[offer].agent_id == agent_id for offer in task.offers)


def drained(ws: Workspace, task: Task, desk: Desk) -> Task | None:
    """The task that the agent is kept free for, if that keeps this one from him: it comes first in
    his ranks and the queues' order, and this one would take its room."""
    other = ws.tasks.get(ws.drains.get(desk.id, ""))
    if other is None or other is task or other.drain_agent != desk.id:
        return None
    if desk.id in named(task):
        return None
    if other.channel in ws.settings.channel(task.channel).interruptible_by:
        return None
    if task.channel in ws.settings.channel(other.channel).interruptible_by:
        return None  # it could interrupt it anyway
    return None if _comes_first(ws, task, other, desk) else other


def _comes_first(ws: Workspace, task: Task, other: Task, desk: Desk) -> bool:
    """Judged as of the drain's end, so that mere passing of time (weighted_wait) changes nothing."""
    mine = serving(desk, task.queues, ws.closed_queues)
    his = serving(desk, other.queues, ws.closed_queues)
    if mine is None or his is None or mine.rank != his.rank:
        return mine is not None and (his is None or mine.rank < his.rank)
    queues = ws.queues.get(task.queues[0]), ws.queues.get(other.queues[0])
    if queues[0] is None or queues[1] is None:
        return True
    if queues[0].order != queues[1].order:
        return sooner_by_head_start(queues[0], task) < sooner_by_head_start(queues[1], other)
    at_us = ws.now if other.drain_until_us is None else other.drain_until_us
    return place_at(queues[0], task, at_us) < place_at(queues[1], other, at_us)


def serving(desk: Desk, queues: list[str] | tuple[str, ...], closed: set[str]) -> AgentQueue | None:
    """How the agent serves a task in these queues: through the open one with the least delay, then
    rank, then the order of the queues."""
    if desk.config.queues is None:
        name = next((queue for queue in queues if queue not in closed), None)
        return None if name is None else AgentQueue(name)
    found = [desk.config.serves(queue) for queue in queues if queue not in closed]
    return min(
        (entry for entry in found if entry is not None),
        key=lambda entry: (entry.delay_s, entry.rank),
        default=None,
    )


def active(task: Task) -> tuple[requirements.Requirement, ...]:
    """What the task asks of an agent as it stands."""
    asked = task.requires
    if not task.dropped:
        for item in asked:
            if item.relax:
                break
        else:
            return asked  # by far the commonest
    return requirements.active(
        asked, task.relaxed_to_us, relax_all=task.relax_all, dropped=task.dropped
    )


def conditions(ws: Workspace, task: Task, desk: Desk) -> list[Condition]:
    """Every condition of offering `task` to this agent now; all must pass.

    The slow, complete form of what pools and heaps compute; explanations and invariants use it.
    """
    return [
        *configured(ws, task, desk),
        *present(desk),
        *room(ws, desk, task.channel),
        *pairing(ws, task, desk),
    ]


def admissible(ws: Workspace, task: Task, desk: Desk) -> bool:
    return all(condition.passed for condition in conditions(ws, task, desk))


def configured(ws: Workspace, task: Task, desk: Desk) -> list[Condition]:
    """What only a change of configuration, hours or relaxation can change."""
    found: list[Condition] = []
    if desk.id not in slots.direct_to(ws, task):
        served = serving(desk, task.queues, set())
        names = " or ".join(task.queues) or "none"
        found.append(Condition(f"queue {names}", None, served is not None, "queue"))
        opened = is_open(ws, task.queues, desk, serves=served is not None)
        found.append(Condition("queue open", opened, opened, "closed"))
        for item in active(task):
            check = item.evaluate(desk.facts)
            found.append(
                Condition(check.text, check.value, check.passed, check.text, check.missing)
            )
    cap = desk.config.channels.get(task.channel, 0)
    found.append(Condition(f"channel {task.channel}", cap, cap > 0, "channel"))
    return found


def is_open(
    ws: Workspace, queues: list[str] | tuple[str, ...], desk: Desk, *, serves: bool
) -> bool:  # fmt: skip
    """Whether one of them is that he serves, where he serves any."""
    if serves:
        return serving(desk, queues, ws.closed_queues) is not None
    return any(queue not in ws.closed_queues for queue in queues)


def present(desk: Desk) -> list[Condition]:
    status = desk.agent.shown_status
    found = [Condition("presence available", status, status == "available", "presence")]
    if desk.agent.next_status not in (None, "available"):
        found.append(Condition("not leaving", desk.agent.next_status, False, "presence"))
    return found


def room(ws: Workspace, desk: Desk, channel: str) -> list[Condition]:
    count, cap = desk.count.get(channel, 0), desk.config.channels.get(channel, 0)
    left = desk.config.capacity - used_against(ws, desk, channel)
    cost = ws.costs[channel]
    found = [
        Condition(f"fewer than {cap} of {channel}", count, count < cap, "channel_cap"),
        Condition(f"{cost} units free", left, left >= cost, "capacity"),
    ]
    if all(one.passed for one in found) or not is_wrapping_up(ws, desk, channel):
        return found
    seen = f", {desk.wrapping} in wrap-up"
    return [
        one if one.passed else one._replace(text=one.text + seen, kind="wrap_up") for one in found
    ]


def pairing(ws: Workspace, task: Task, desk: Desk) -> list[Condition]:
    """What is between this agent and this task only."""
    found: list[Condition] = []
    until = task.refused.get(desk.id)
    if until is not None and until > ws.now:
        found.append(Condition("cool-down over", (until - ws.now) / 1e6, False, "cool_down"))
    if desk.id in task.never:
        text = f"may be paired with {task.customer_id}"
        found.append(Condition(text, False, False, "never_pair"))
    other = drained(ws, task, desk) if desk.id in ws.drains else None
    if other is not None:
        found.append(Condition(f"not kept free for {other.id}", other.id, False, "drain"))
    if task.agent_id == desk.id:
        found.append(Condition("another agent than now", desk.id, False, "owner"))
    if any(ws.offers[offer].agent_id == desk.id for offer in task.offers):
        found.append(Condition("not offered already", desk.id, False, "offered"))
    kept = kept_for(task)
    direct = desk.id in slots.direct_to(ws, task)
    if kept is not None and kept != desk.id and not direct:
        found.append(Condition(f"not kept for {kept}", kept, False, "hold"))
    if not direct and kept != desk.id:
        found.extend(_delay(ws, task, desk))
    return found


def _delay(ws: Workspace, task: Task, desk: Desk) -> list[Condition]:
    served = serving(desk, task.queues, ws.closed_queues)
    if served is None or served.delay_s <= 0:
        return []
    waited = (ws.now - task.waiting_since_us) / 1e6
    passed = waited >= served.delay_s
    return [Condition(f"waited {served.delay_s:g} s", waited, passed, "delay")]


def kept_for(task: Task) -> str | None:
    """The agent whom the task waits for alone, if any: a transfer's addressee, or the preferred
    agent while the hold lasts (both end when he declines, misses it or goes offline)."""
    if task.target_agent is not None:
        return task.target_agent
    return task.prefer_agent if task.hold_until_us is not None else None
