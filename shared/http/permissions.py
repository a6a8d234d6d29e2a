"""Which role may do what: one declarative table, tested as a matrix of roles × actions.

DESIGN §5: platform: events, tasks, conversations; agent: its own work and tasks; supervisor: all
router work; ops: reads; admin: all.
"""

from functools import lru_cache
from typing import Literal

from shared.http.principals import Principal, Role

Action = Literal[
    "workspaces:read",
    "workspaces:admin",
    "keys:admin",
    "tickets:create",
    "events:write",
    "connectors:read",
    "connectors:write",
    "connectors:preview",
    "connectors:renormalise",
    "chat-tokens:create",
    "conversations:read",
    "messages:write",
    "dead-letters:read",
    "dead-letters:replay",
    "config:read",
    "config:write",
    "agents:read",
    "agents:write",
    "presence:write",
    "work:read",
    "offers:answer",
    "tasks:create",
    "tasks:read",
    "tasks:act",
    "tasks:steer",
    "queues:read",
    "journal:read",
    "evaluate",
    "clocks:read",
    "figures:read",
]

# Queues, policies, escalations, customers, teams, calendars and SLA policies are "config".
# tasks:act: complete, close, transfer, requeue, hold, resume. tasks:steer: escalate, assign,
# reprioritize, cancel. A role that is missing in a row may not; "admin" may everything.
GRANTS: dict[Action, frozenset[Role]] = {
    "workspaces:read": frozenset({"platform", "agent", "supervisor", "ops"}),
    "workspaces:admin": frozenset(),
    "keys:admin": frozenset(),
    "tickets:create": frozenset({"platform", "agent", "supervisor", "ops"}),
    "events:write": frozenset({"platform"}),
    "connectors:read": frozenset({"ops"}),
    "connectors:write": frozenset(),
    "connectors:preview": frozenset({"ops"}),
    "connectors:renormalise": frozenset(),
    "chat-tokens:create": frozenset({"platform"}),
    "conversations:read": frozenset({"platform", "agent", "supervisor", "ops"}),
    "messages:write": frozenset({"platform", "agent", "supervisor"}),
    "dead-letters:read": frozenset({"ops"}),
    "dead-letters:replay": frozenset(),
    "config:read": frozenset({"supervisor", "ops"}),
    "config:write": frozenset(),
    "agents:read": frozenset({"agent", "supervisor", "ops"}),
    "agents:write": frozenset(),
    "presence:write": frozenset({"agent", "supervisor"}),
    "work:read": frozenset({"agent", "supervisor", "ops"}),
    "offers:answer": frozenset({"agent", "supervisor"}),
    "tasks:create": frozenset({"platform", "agent", "supervisor"}),
    "tasks:read": frozenset({"platform", "agent", "supervisor", "ops"}),
    "tasks:act": frozenset({"platform", "agent", "supervisor"}),
    "tasks:steer": frozenset({"platform", "supervisor"}),
    "queues:read": frozenset({"supervisor", "ops"}),
    "journal:read": frozenset({"supervisor", "ops"}),
    "evaluate": frozenset({"supervisor", "ops"}),
    "clocks:read": frozenset({"supervisor", "ops"}),
    "figures:read": frozenset({"supervisor", "ops"}),
}

# For these the role "agent" reaches only what is its own.
OWN_ONLY: frozenset[Action] = frozenset(
    {
        "agents:read",
        "conversations:read",
        "messages:write",
        "presence:write",
        "work:read",
        "offers:answer",
        "tasks:create",
        "tasks:read",
        "tasks:act",
    }
)


def allowed(principal: Principal, action: Action) -> bool:
    """Whether one of the principal's roles grants the action (somewhere)."""
    return _granted(principal.roles, action)


@lru_cache(maxsize=4096)
def _granted(roles: tuple[Role, ...], action: Action) -> bool:
    granted = GRANTS[action]
    return any(role == "admin" or role in granted for role in roles)


def only_agent(principal: Principal, action: Action) -> str | None:
    """The agent to whom an allowed action is confined; None: not confined.

    An agent's token without an agent id is confined to an agent that cannot exist ("").
    """
    return (principal.agent or "") if _confined(principal.roles, action) else None


@lru_cache(maxsize=4096)
def _confined(roles: tuple[Role, ...], action: Action) -> bool:
    granted = GRANTS[action]
    return action in OWN_ONLY and not any(
        role == "admin" or (role != "agent" and role in granted) for role in roles
    )
