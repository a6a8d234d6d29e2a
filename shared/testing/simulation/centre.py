"""What a workspace of a life is set up as. Each life draws, so that over many lives every feature of
the router is in use, beside every other."""

import asyncio
from collections import Counter
from collections.abc import Callable
from functools import cache
from random import Random
from typing import Any

import msgspec

from shared.calendars import expand
from shared.contracts.core import ConfigWrite
from shared.testing.simulation.callers import Caller
from shared.testing.simulation.faulty import START_US

Body = dict[str, Any]
Resource = tuple[str, str, Body]
"""(kind, id, body)"""

CAPACITY = 100
CAPS: dict[str, int] = {"chat": 2, "email": 3, "phone": 1, "social": 2}
COSTS: dict[str, int] = {"phone": 100, "chat": 30, "social": 25, "email": 20}
BOT, BOT_CAPS = "bot", {"chat": 4}
STAFF = ("a0", "a1", "a2", "temp")
"""`temp` is deleted now and then, and hired again; a0 supervises."""
CUSTOMERS = ("k0", "k1", "k2", "k3")
NEVER = {"k1": "a1"}
"""Customers, and the agent whom each never meets."""
ORDERS = ("head_start", "strict_priority", "weighted_wait", "deadline")
SELECTS = ("least_loaded", "longest_idle", "round_robin", "best_skilled", "ranked", "random")
FIRST_RESPONSE_S = 10

ALWAYS: Body = {"id": "always", "timezone": "UTC", "always_open": True}
SLA_POLICY: Body = {
    "id": "main",
    "calendar": "always",
    "targets": {
        "first_response": {"target_s": FIRST_RESPONSE_S, "warn_at": [0.5, 0.8]},
        "next_response": {"target_s": 12, "reopen": "continue"},
        "resolution": {"target_s": 45, "warn_at": [0.9], "pause_when": "task.held"},
    },
}
LADDER: Body = {
    "id": "ladder",
    "levels": [
        {"name": "waited", "when": {"waiting_s": 12}, "do": [{"raise_priority": 2}]},
        {"name": "warned", "when": {"sla": {"metric": "first_response", "used": 0.8}},
         "do": [{"add_queue": "second"}, {"relax": "all"}]},
        {"name": "breached", "when": {"sla": {"metric": "first_response", "breached": True}},
         "do": [{"raise_priority": 5}, {"notify": "supervisors"}]},
        {"name": "refused", "when": {"declines": 2}, "do": [{"offer_to": "supervisors"}]},
        {"name": "silent", "when": {"agent_silent_s": 7}, "do": [{"reclaim": "keep_place"}]},
        {"name": "again", "when": {"reopened": 1}, "do": [{"offer_to": {"team": "t"}}]},
        {"name": "asked", "when": {"cel": 'message.text.matches("(?i)person")'},
         "do": [{"drop_requirement": "de"}, {"raise_priority": 1}]},
    ],
}  # fmt: skip
LEVELS: tuple[str, ...] = tuple(level["name"] for level in LADDER["levels"])


class Centre:
    """One workspace's configuration, drawn from its stream of chance."""

    def __init__(self, workspace: str, random: Random) -> None:
        self.workspace = workspace
        self.random = random
        self.held_cost = random.choice((None, 0, 10))
        self.interruptible_by = random.choice(((), ("phone",), ("phone", "chat")))
        self.has_bot = random.random() < 0.5
        self.shifts = random.random() < 0.3
        self.in_use: Counter[str] = Counter()

    # What the checker needs to know

    def capacity(self, agent: str) -> int:
        return 1_000 if agent == BOT else CAPACITY

    def cap(self, agent: str, channel: str) -> int:
        return (BOT_CAPS if agent == BOT else CAPS).get(channel, 0)

    def cost(self, channel: str, *, held: bool = False) -> int:
        if held and channel == "email" and self.held_cost is not None:
            return self.held_cost
        return COSTS[channel]

    def yields(self, channel: str, to: str) -> bool:
        """Whether work of `channel` is not counted where a task of `to` is placed."""
        return channel == "email" and to in self.interruptible_by

    # What is written

    def settings(self) -> ConfigWrite:
        """The workspace's own settings, as the platform stores them."""
        channels: Body = {name: {"cost": cost} for name, cost in COSTS.items()}
        channels["email"]["interruptible_by"] = self.interruptible_by
        if self.held_cost is not None:
            channels["email"]["held_cost"] = self.held_cost
        body = msgspec.json.encode({"channels": channels})
        return ConfigWrite("workspace", self.workspace, body)

    def resources(self) -> list[list[Resource]]:
        """In the order in which they can be written; those of one list at once."""
        shifts = [{"calendar": "shop", "agents": ["a2"]}] if self.shifts else []
        return [
            [self.queue("spill")],
            [self.queue(name) for name in ("second", "first", "bots")],
            [
                ("escalation", "ladder", LADDER),
                ("team", "t", {"id": "t", "supervisors": ["a0"], "shifts": shifts}),
                *(self.customer(name) for name in CUSTOMERS),
            ],
            [
                self.policy("keep"),
                ("policy", "second", {"id": "second", "rules": [{"steps": [{"queue": "second"}]}]}),
                *(self.agent(name) for name in STAFF),
                *([_bot()] if self.has_bot else []),
            ],
        ]

    def queue(self, name: str) -> Resource:
        """Its rules are drawn anew whenever it is written."""
        draw = self.random
        order, select = draw.choice(ORDERS), draw.choice(SELECTS)
        self.in_use.update((f"order {order}", f"select {select}"))
        body: Body = {
            "id": name,
            "order": order,
            "select": select,
            "offer": self._offers(),
            "wrap_up": {"limit_s": 2} if name == "first" else None,
            "orphans": {"after_s": 5},
            "drain": {"limit_s": draw.choice((0, 4, 600))},
            "surge": {"factor": 1.5, "min_per_min": 20},
        }
        if draw.random() < 0.3:
            body["response"] = {"limit_s": 6}
        if name == "first" and draw.random() < 0.4:
            body["limit"] = {"waiting": 12, "overflow_to": "spill"}
        elif name == "second" and draw.random() < 0.4:
            body["limit"] = {"waiting": 3}
        elif name == "second" and draw.random() < 0.4:
            body["calendar"] = "shop"
        return "queue", name, body

    def _offers(self) -> Body:
        draw = self.random
        return {
            "ttl_s": draw.choice((3, 4, 6)),
            "parallel": draw.choice((1, 1, 2)),
            "auto_accept": draw.random() < 0.15,
            "cool_down_s": draw.choice((0, 2, 8)),
            "misses_before_away": 4,
        }

    def policy(self, on_edit: str) -> Resource:
        draw = self.random
        prefer = {"agent": "last", "hold_s": 2, "reopen_within_s": 15, "hard": draw.random() < 0.2}
        german: Body = {
            "name": "german",
            "when": 'task.language == "de"',
            "priority": draw.randrange(3),
            "require": [{"skill": "de", "level": 3, "relax": [{"after_s": 5, "level": 1}]}],
            "steps": [
                {"queue": "first", "timeout_s": 6, "skip_if": "nobody_could"},
                {"queue": "second", "keep_previous": draw.random() < 0.5},
            ],
            "prefer": prefer,
            "escalation": "ladder",
        }
        gold: Body = {
            "name": "gold",
            "when": 'customer.tier == "gold"',
            "priority": 'task.channel == "email" ? 1 : 4',
            "require": [{"skill": "n", "level": 2, "preferred": True}],
            "steps": [{"queue": "first"}],
            "escalation": "ladder",
        }
        chat: Body = {
            "name": "bots first",
            "when": 'task.channel == "chat"',
            "steps": [{"queue": "bots", "timeout_s": 3, "skip_if": "nobody_could"},
                      {"queue": "first", "keep_previous": True}],
            "escalation": "ladder",
            "prefer": {"reopen_within_s": 10},
        }  # fmt: skip
        rest: Body = {
            "steps": [{"queue": "first"}],
            "escalation": "ladder",
            "prefer": {"reopen_within_s": 10},
        }
        rules = [german, gold, *([chat] if self.has_bot else []), rest]
        return "policy", "default", {"id": "default", "on_edit": on_edit, "rules": rules}

    def agent(self, name: str) -> Resource:
        """Capacity and caps are the same all the time; skills are drawn."""
        draw = self.random
        body: Body = {
            "id": name,
            "team": "t",
            "capacity": CAPACITY,
            "channels": CAPS,
            "skills": {"de": draw.randrange(6), "n": draw.randrange(10)},
        }
        if name == "a1" and draw.random() < 0.5:
            late = {"queue": "second", "rank": 2, "delay_s": 3, "tier": 2}
            body["queues"] = [{"queue": "first"}, late, {"queue": "spill"}]
        return "agent", name, body

    def customer(self, name: str) -> Resource:
        body: Body = {
            "id": name,
            "tier": self.random.choice(("gold", "silver")),
            "identities": [{"scheme": "crm", "value": name}],
            "never_pair": [NEVER[name]] if name in NEVER else [],
        }
        return "customer", name, body

    def change(self) -> Resource:
        """Something that moves work about, and never takes capacity away."""
        draw = self.random
        return draw.choice(
            (
                lambda: self.queue(draw.choice(("first", "second", "spill"))),
                lambda: self.agent(draw.choice(STAFF)),
                lambda: self.customer(draw.choice(CUSTOMERS)),
                lambda: self.policy(draw.choice(("keep", "take"))),
            )
        )()


def _bot() -> Resource:
    # Queues of its own: whom it cannot help a human takes.
    body: Body = {
        "id": BOT,
        "kind": "bot",
        "capacity": 1_000,
        "channels": BOT_CAPS,
        "queues": [{"queue": "bots"}],
    }
    return "agent", BOT, body


async def configure(
    caller: Caller, centre: Centre, write: Callable[[ConfigWrite], None] | None = None
) -> None:
    """Calendars and SLA policy, then queues, ladder, policies, customers and agents. `write` stores the
    workspace's settings with the platform, where there is one."""
    if write is not None:
        write(centre.settings())
    for name, windows in (("always", _always()), ("shop", _shop())):
        body = {**ALWAYS, "id": name}
        await _put(caller, centre.workspace, ("calendar", name, body), "sla", windows=windows)
    await _put(caller, centre.workspace, ("sla_policy", "main", SLA_POLICY), "sla")
    for together in centre.resources():
        await asyncio.gather(*(_put(caller, centre.workspace, one) for one in together))


async def _put(
    caller: Caller, workspace: str, resource: Resource, service: str = "router", **more: Any
) -> None:
    """The router may hear of a calendar after its queues are written."""
    for _ in range(40):
        if await put(caller, workspace, resource, service=service, **more) is not None:
            return
        if caller.ledger.wrong:
            return
        await asyncio.sleep(0.5)
    caller.ledger.complain(f"{resource[0]} {resource[1]} was refused")


async def put(
    caller: Caller, workspace: str, resource: Resource, *, service: str = "router", **more: Any
) -> Body | None:
    """PutResource; the reply, None when it was refused."""
    kind, name, body = resource
    command = {"resource": kind, "id": name, "body": body, **more}
    return await caller.command(workspace, "PutResource", command, service=service)


@cache
def _always() -> Any:
    """Without its thousands of days: nothing here counts business days."""
    return {**msgspec.to_builtins(expand(ALWAYS, START_US)), "days": []}


@cache
def _shop() -> Any:
    """Open for nine seconds in twelve, for a quarter of an hour; then always."""
    open_us = [
        [START_US + at * 1_000_000, START_US + (at + 9) * 1_000_000] for at in range(0, 900, 12)
    ]
    end = _always()["windows"][-1][1]
    return {**_always(), "windows": [*open_us, [START_US + 900 * 1_000_000, end]]}
