"""How many resources of a kind a workspace may have: generous, since each is held in memory by who owns
the workspace, and looked through by some changes."""

from collections.abc import Sized

from services.router.domain.workspace import Workspace
from shared.contracts.problems import full

AGENTS_MAX = 50_000
QUEUES_MAX = 10_000
POLICIES_MAX = 1_000
ESCALATIONS_MAX = 1_000
TEAMS_MAX = 10_000
CUSTOMERS_MAX = 1_000_000  # some 2 KiB of memory each

# kind -> (its name in the plural, how many)
LIMITS = {
    "agent": ("agents", AGENTS_MAX),
    "queue": ("queues", QUEUES_MAX),
    "policy": ("policies", POLICIES_MAX),
    "escalation": ("escalations", ESCALATIONS_MAX),
    "team": ("teams", TEAMS_MAX),
    "customer": ("customers", CUSTOMERS_MAX),
}


def check(ws: Workspace, kind: str) -> None:
    """Raises Refused (conflict, limit) where there is no room for one more."""
    what, limit = LIMITS[kind]
    if len(_present(ws)[kind]) >= limit:
        raise full(what, limit)


def _present(ws: Workspace) -> dict[str, Sized]:
    return {
        "agent": ws.desks,
        "queue": ws.queues,
        "policy": ws.policies,
        "escalation": ws.ladders,
        "team": ws.teams,
        "customer": ws.customers,
    }
