"""What a resource names: refused where it must exist, doubted where it may still come."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from services.router.domain.config import (
    LAST_AGENT,
    SUPERVISORS,
    Agent,
    Customer,
    Escalation,
    Policy,
    Queue,
    Require,
    Rule,
    Team,
    TeamTarget,
)
from services.router.domain.customers import CustomerIndex
from shared.contracts.problems import Fault, Warn
from shared.rules import known_names
from shared.rules.tokens import string_value, tokens


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What a workspace has. `skills`: the highest level that any agent has. None: not known here,
    so nothing is refused for it."""

    queues: frozenset[str] | None = None
    escalations: frozenset[str] | None = None
    calendars: frozenset[str] | None = None
    agents: frozenset[str] | None = None
    teams: frozenset[str] | None = None
    skills: Mapping[str, int] | None = None
    customers: CustomerIndex | None = None


def references(resource: msgspec.Struct, known: Known) -> list[Fault]:
    """Queues, escalations and calendars that it names and that do not exist."""
    match resource:
        case Agent():
            return list(_agent_faults(resource, known))
        case Queue():
            return list(_missing("/calendar", "calendar", resource.calendar, known.calendars))
        case Policy():
            return list(_policy_faults(resource, known))
        case Escalation():
            return list(_escalation_faults(resource, known))
        case Team():
            return list(_team_faults(resource, known))
        case _:
            return []


def warnings(resource: msgspec.Struct, known: Known) -> list[Warn]:
    """What is legal but doubtful."""
    match resource:
        case Agent():
            return list(_agent_doubts(resource, known))
        case Queue():
            return list(_queue_doubts(resource, known))
        case Policy():
            return list(_policy_doubts(resource, known))
        case Escalation():
            return list(_escalation_doubts(resource, known))
        case Team():
            return list(_team_doubts(resource, known))
        case Customer():
            return list(_customer_doubts(resource, known))
        case _:
            return []


def highest_skills(agents: Iterable[Agent]) -> dict[str, int]:
    """Known.skills of these agents."""
    found: dict[str, int] = {}
    for agent in agents:
        for skill, level in agent.skills.items():
            found[skill] = max(level, found.get(skill, 0))
    return found


# -- refusals


def _missing(
    pointer: str, what: str, name: str | None, known: frozenset[str] | None
) -> Iterator[Fault]:
    if name is None or known is None or name in known:
        return
    expected = known_names(name, known)
    yield Fault(pointer, f"unknown_{what}", f"there is no {what} {name!r}", expected)


def _agent_faults(agent: Agent, known: Known) -> Iterator[Fault]:
    for place, entry in enumerate(agent.queues or ()):
        yield from _missing(f"/queues/{place}", "queue", entry.queue, known.queues)


def _policy_faults(policy: Policy, known: Known) -> Iterator[Fault]:
    for place, rule in enumerate(policy.rules):
        at = f"/rules/{place}"
        yield from _missing(f"{at}/escalation", "escalation", rule.escalation, known.escalations)
        for number, step in enumerate(rule.steps):
            yield from _missing(f"{at}/steps/{number}/queue", "queue", step.queue, known.queues)


def _escalation_faults(escalation: Escalation, known: Known) -> Iterator[Fault]:
    for place, level in enumerate(escalation.levels):
        for number, action in enumerate(level.do):
            at = f"/levels/{place}/do/{number}/add_queue"
            yield from _missing(at, "queue", action.add_queue, known.queues)


def _team_faults(team: Team, known: Known) -> Iterator[Fault]:
    for place, shift in enumerate(team.shifts):
        at = f"/shifts/{place}/calendar"
        yield from _missing(at, "calendar", shift.calendar, known.calendars)


# -- doubts


def _doubt(
    pointer: str, what: str, name: str | None, known: frozenset[str] | None
) -> Iterator[Warn]:
    if name is not None and known is not None and name not in known:
        yield Warn(pointer, f"there is no {what} {name!r} yet")


def _agent_doubts(agent: Agent, known: Known) -> Iterator[Warn]:
    yield from _doubt("/team", "team", agent.team, known.teams)
    if not any(agent.channels.values()):
        yield Warn("/channels", "the agent serves no channel, so nothing will be offered to him")
    if agent.queues == ():
        yield Warn("/queues", "the agent serves no queue, so nothing will be offered to him")


def _queue_doubts(queue: Queue, known: Known) -> Iterator[Warn]:
    if queue.limit:
        yield from _doubt("/limit/overflow_to", "queue", queue.limit.overflow_to, known.queues)


def _policy_doubts(policy: Policy, known: Known) -> Iterator[Warn]:
    always: int | None = None
    for place, rule in enumerate(policy.rules):
        at = f"/rules/{place}"
        if always is not None:
            yield Warn(at, f"the rule is never reached: rule {always} has no condition")
        elif rule.when is None:
            always = place
        if rule.prefer and rule.prefer.agent != LAST_AGENT:
            yield from _doubt(f"{at}/prefer/agent", "agent", rule.prefer.agent, known.agents)
        yield from _requirement_doubts(rule, at, known)
        yield from _step_doubts(rule, at)


def _requirement_doubts(rule: Rule, at: str, known: Known) -> Iterator[Warn]:
    if known.skills is None:
        return
    for number, require in enumerate(rule.require):
        pointer = f"{at}/require/{number}"
        if isinstance(require, Require):
            for name in (*require.agents, *require.not_agents):
                yield from _doubt(pointer, "agent", name, known.agents)
        for skill, level in _asked(require):
            highest = known.skills.get(skill)
            if highest is None:
                yield Warn(pointer, f"no agent has the skill {skill!r}")
            elif highest < level:
                yield Warn(pointer, f"no agent has {skill} at {level}; the highest is {highest}")


def _asked(require: Require | str) -> list[tuple[str, int]]:
    """Skills named outright with the least level asked for (1 where CEL compares otherwise)."""
    if isinstance(require, Require) and require.skill is not None:
        return [(require.skill, require.level)]
    source = require if isinstance(require, str) else require.cel or ""
    found = tokens(source)
    return [
        (string_value(found[at + 2].text) or "", 0)
        for at in range(len(found) - 2)
        if found[at].text == "skill"
        and found[at + 1].text == "("
        and found[at + 2].kind == "string"
    ]


def _step_doubts(rule: Rule, at: str) -> Iterator[Warn]:
    for number, step in enumerate(rule.steps[:-1]):
        if step.timeout_s is None:
            yield Warn(
                f"{at}/steps/{number}", "without timeout_s the steps after this one never begin"
            )
            return


def _escalation_doubts(escalation: Escalation, known: Known) -> Iterator[Warn]:
    for place, level in enumerate(escalation.levels):
        for number, action in enumerate(level.do):
            for name, who in (("offer_to", action.offer_to), ("notify", action.notify)):
                at = f"/levels/{place}/do/{number}/{name}"
                if isinstance(who, TeamTarget):
                    yield from _doubt(f"{at}/team", "team", who.team, known.teams)
                elif who != SUPERVISORS:
                    yield from _doubt(at, "agent", who, known.agents)


def _team_doubts(team: Team, known: Known) -> Iterator[Warn]:
    for place, agent in enumerate(team.supervisors):
        yield from _doubt(f"/supervisors/{place}", "agent", agent, known.agents)
    for number, shift in enumerate(team.shifts):
        for place, agent in enumerate(shift.agents):
            yield from _doubt(f"/shifts/{number}/agents/{place}", "agent", agent, known.agents)


def _customer_doubts(customer: Customer, known: Known) -> Iterator[Warn]:
    for place, agent in enumerate(customer.never_pair):
        yield from _doubt(f"/never_pair/{place}", "agent", agent, known.agents)
    if known.customers is None:
        return
    for place, other in known.customers.claims(customer):
        yield Warn(f"/identities/{place}", f"the customer {other!r} has this identity too")


def as_json(items: Iterable[Warn]) -> list[dict[str, Any]]:
    """Warnings as they are answered."""
    return [msgspec.to_builtins(item) for item in items]
