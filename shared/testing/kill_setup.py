"""What the workspaces of the kills are set up as: each uses other features of the router, and all a
ladder, customers, call-backs and a supervisor who steers."""

from typing import Any

Bodies = dict[str, Any]

AGENTS = ("ana", "ben", "cyd", "dee")
SUPERVISOR, BOT, CUSTOMERS = "dee", "robo", ("kim", "lee")
COST, CAPACITY, CHATS = 30, 100, 3
FIRST_RESPONSE_S, RESOLUTION_S, WARN_AT = 10.0, 25.0, 0.5

_OFFER: Bodies = {"ttl_s": 15, "misses_before_away": 5, "cool_down_s": 1}
_QUEUES: tuple[Bodies, ...] = (
    {"offer": _OFFER},
    {"offer": {**_OFFER, "parallel": 2}, "select": "longest_idle", "order": "strict_priority"},
    {"offer": {**_OFFER, "auto_accept": True}, "select": "round_robin", "order": "weighted_wait"},
    {"offer": _OFFER, "wrap_up": {"limit_s": 1}, "select": "best_skilled", "order": "deadline"},
    {"offer": _OFFER, "response": {"limit_s": 8}, "select": "ranked"},
    {"offer": _OFFER, "limit": {"waiting": 6, "overflow_to": "second"}, "select": "random"},
)
_LEVELS: list[Bodies] = [
    {"name": "waited", "when": {"waiting_s": 4}, "do": [{"raise_priority": 2}, {"relax": "all"}]},
    {"name": "at risk", "when": {"sla": {"metric": "first_response", "used": WARN_AT}},
     "do": [{"add_queue": "second"}]},
    {"name": "breached", "when": {"sla": {"metric": "first_response", "breached": True}},
     "do": [{"offer_to": "supervisors"}, {"notify": "supervisors"}]},
    {"name": "refused", "when": {"declines": 1}, "do": [{"add_queue": "second"}]},
    {"name": "silent", "when": {"agent_silent_s": 12}, "do": [{"reclaim": "keep_place"}]},
    {"name": "asked", "when": {"cel": 'message.text.contains("7")'}, "do": [{"raise_priority": 1}]},
]  # fmt: skip


def has_bot(number: int) -> bool:
    """Whether a bot is asked first in this workspace."""
    return number % 3 == 1


def staff(number: int) -> tuple[str, ...]:
    return (*AGENTS, BOT) if has_bot(number) else AGENTS


def resources(number: int) -> list[tuple[str, str, Bodies]]:
    """(service, path, body) of each, in the order in which they can be written."""
    targets = {
        "first_response": {"target_s": FIRST_RESPONSE_S, "warn_at": [WARN_AT]},
        "resolution": {"target_s": RESOLUTION_S, "warn_at": [WARN_AT]},
    }
    return [
        ("sla", "calendars/always", {"timezone": "UTC", "always_open": True}),
        ("router", "queues/second", {"offer": _OFFER}),
        ("router", "queues/bots", {"offer": _OFFER}),
        ("router", "queues/general", _QUEUES[number % len(_QUEUES)]),
        ("router", "escalations/standard", {"levels": _LEVELS}),
        ("router", "teams/floor", {"supervisors": [SUPERVISOR]}),
        *(("router", f"customers/{name}", _customer(name)) for name in CUSTOMERS),
        ("router", "policies/default", {"rules": _rules(number)}),
        ("sla", "sla-policies/all", {"calendar": "always", "targets": targets}),
        *(("router", f"agents/{agent}", _agent(agent)) for agent in staff(number)),
    ]


def _customer(name: str) -> Bodies:
    return {"tier": "gold", "identities": [{"scheme": "crm", "value": name}]}


def _agent(name: str) -> Bodies:
    if name == BOT:
        return {"kind": "bot", "capacity": 1_000, "channels": {"chat": 9}, "queues": ["bots"]}
    skills = {"en": AGENTS.index(name) + 1}
    body: Bodies = {"capacity": CAPACITY, "channels": {"chat": CHATS}, "skills": skills}
    return {**body, "team": "floor", "queues": ["general", {"queue": "second", "rank": 2}]}


def _rules(number: int) -> list[Bodies]:
    first: list[Bodies] = [{"queue": "bots", "timeout_s": 2}] if has_bot(number) else []
    plain: Bodies = {
        "name": "all",
        "prefer": {"agent": "last", "hold_s": 1, "reopen_within_s": 3600},
        "steps": [*first, {"queue": "general"}],
        "escalation": "standard",
    }
    gold: Bodies = {
        **plain,
        "name": "gold",
        "when": 'customer.tier == "gold"',
        "priority": 3,
        "require": [{"skill": "en", "level": 2, "relax": [{"after_s": 2, "level": 1}]}],
    }
    return [gold, plain]
