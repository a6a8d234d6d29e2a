"""For whom a task is kept: the agent its rule prefers, for a while or as long as it takes."""

from services.router.domain import capacity, last_agents
from services.router.domain.config import LAST_AGENT, Prefer
from services.router.domain.pools import NEVER_US
from services.router.domain.requirements import met_by
from services.router.domain.state import Task
from services.router.domain.workspace import Workspace
from shared.contracts.instants import span_us


def settle(ws: Workspace, task: Task, prefer: Prefer | None) -> None:
    """Wait for the preferred agent alone, while he is there and could take it."""
    if not (task.prefer_agent is task.hold_until_us is None):
        task.prefer_agent = task.hold_until_us = None
    if prefer is None:
        return
    name = last_agents.of_task(ws, task) if prefer.agent == LAST_AGENT else prefer.agent
    _hold_for(ws, task, name, prefer)


def _hold_for(ws: Workspace, task: Task, agent_id: str | None, prefer: Prefer | None) -> None:
    """Not for whom it may not be given: he has just refused it, or is never paired with its customer."""
    if agent_id is None or agent_id not in ws.desks or agent_id in task.never:
        return
    if task.refused.get(agent_id, 0) > ws.now:
        return
    task.prefer_agent = agent_id
    if prefer is None:
        return
    if prefer.hard:
        task.hold_until_us = NEVER_US
    elif prefer.hold_s > 0 and _could_take(ws, task, agent_id):
        task.hold_until_us = ws.now + span_us(prefer.hold_s)


def due(ws: Workspace, task: Task) -> None:
    """A scheduled task's time has come: who is there now, and who had the customer's work last by now."""
    rule = _rule(ws, task)
    if rule is not None:
        settle(ws, task, rule)


def again(ws: Workspace, task: Task, agent_id: str | None) -> None:
    """A reopened task goes to who had it, where he is there and could take it."""
    task.prefer_agent = task.hold_until_us = None
    _hold_for(ws, task, agent_id, _rule(ws, task))


def _rule(ws: Workspace, task: Task) -> Prefer | None:
    """What the task's rule says of preference, as the policy is written now."""
    policy = ws.policies.get(task.policy.id) if task.policy else None
    if policy is None or task.policy is None:
        return None
    rules = policy.policy.rules
    return (
        rules[task.policy.rule_index].prefer if 0 <= task.policy.rule_index < len(rules) else None
    )


def _could_take(ws: Workspace, task: Task, agent_id: str) -> bool:
    desk = ws.desks[agent_id]
    return (
        desk.agent.shown_status != "offline"
        and desk.config.channels.get(task.channel, 0) > 0
        and capacity.serving(desk, task.queues, set()) is not None
        and met_by(capacity.active(task), desk.facts)
    )
