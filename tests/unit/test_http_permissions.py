"""The matrix of roles × actions, written down a second time by hand."""

import pytest

from shared.http.permissions import GRANTS, OWN_ONLY, allowed, only_agent
from shared.http.principals import ROLES, Principal

# p platform, a agent, s supervisor, o ops; admin may everything.
EXPECTED = {
    "workspaces:read": "paso",
    "workspaces:admin": "",
    "keys:admin": "",
    "tickets:create": "paso",
    "events:write": "p",
    "connectors:read": "o",
    "connectors:write": "",
    "connectors:preview": "o",
    "connectors:renormalise": "",
    "chat-tokens:create": "p",
    "conversations:read": "paso",
    "messages:write": "pas",
    "dead-letters:read": "o",
    "dead-letters:replay": "",
    "config:read": "so",
    "config:write": "",
    "agents:read": "aso",
    "agents:write": "",
    "presence:write": "as",
    "work:read": "aso",
    "offers:answer": "as",
    "tasks:create": "pas",
    "tasks:read": "paso",
    "tasks:act": "pas",
    "tasks:steer": "ps",
    "queues:read": "so",
    "journal:read": "so",
    "evaluate": "so",
    "clocks:read": "so",
    "figures:read": "so",
}
CASES = [(action, role) for action in GRANTS for role in ROLES]


def principal(*roles, agent=None):
    return Principal("key:k", "acme", roles, agent)


def test_every_action_has_its_row():
    assert set(EXPECTED) == set(GRANTS)
    assert OWN_ONLY <= set(GRANTS)


@pytest.mark.parametrize(("action", "role"), CASES)
def test_who_may_do_what(action, role):
    expected = role == "admin" or role[0] in EXPECTED[action]
    assert allowed(principal(role), action) is expected


@pytest.mark.parametrize("action", sorted(GRANTS))
def test_no_role_may_nothing(action):
    assert not allowed(principal(), action)


@pytest.mark.parametrize("action", sorted(OWN_ONLY))
def test_only_agents_are_confined_to_their_own(action):
    assert only_agent(principal("agent", agent="ana"), action) == "ana"
    assert only_agent(principal("agent"), action) == ""
    assert only_agent(principal("admin"), action) is None
    assert only_agent(principal("agent", "supervisor", agent="sam"), action) is None


def test_a_role_that_grants_nothing_does_not_free_an_agent():
    assert only_agent(principal("agent", "platform", agent="ana"), "work:read") == "ana"


def test_actions_without_owner_confine_nobody():
    assert only_agent(principal("agent", agent="ana"), "tickets:create") is None
