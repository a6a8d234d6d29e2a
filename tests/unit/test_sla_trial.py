"""Dry runs: episodes that are alike, counted together, are counted as each would be by itself."""

import random

import pytest

from services.sla.domain.due import due_on, next_due_us
from services.sla.likeness import Likenesses
from services.sla.trial import Proposal, Trial
from tests.unit.test_sla_core import T0, S
from tests.unit.test_sla_moves import DAILY, DAYTIME, Wide

NOW_S = 40 * 3600
TARGETS = {
    "first_response": {"target_s": 7200},
    "next_response": {"target_s": 5400},
    "resolution": {
        "target_s": 20 * 3600, "pause_when": "task.held", "warn_at": [0.1, 0.8],
        "ladder": [{"name": "lead", "used": 1.5, "notify": ["supervisors"]}],
        "by_priority": [{"min": 5, "target_s": 9 * 3600}],
    },
    "agent_work": {"target_business_days": 2},
    "time_to_assign": {"target_s": 1800},
}  # fmt: skip
POLICY = {
    "id": "main", "calendar": "daytime", "targets": TARGETS,
    "calendars": [{"when": 'task.attributes.site == "night"', "calendar": "always"}],
    "named": [{"name": "call", "start_when": 'event.type == "customer_message"', "stop_when": 'event.type == "agent_message"', "target_s": 3600}],
}  # fmt: skip
GOLD = {"id": "gold", "order": 0, "when": 'customer.tier == "gold"', "calendar": "always", "targets": {"resolution": {"target_s": 7200}}}  # fmt: skip
EDITED = {
    **POLICY,
    "targets": {
        "first_response": {"target_s": 3600},
        "next_response": {"target_business_days": 1, "end_of_day": True},
        "resolution": {"target_s": 12 * 3600, "pause_when": 'task.held && task.hold_reason == "parts"'},
        "agent_work": {"target_s": 9 * 3600},
        "first_resolution": {"target_s": 3600},
    },
}  # fmt: skip
LATER = {**DAYTIME, "hours": {day: [["09:30", "16:00"]] for day in DAILY}}


def history(bench: Wide, draw: random.Random, number: int) -> None:
    """One of some sorts of conversation, at instants of its own."""
    names = {"conversation_id": f"cnv_{number}", "task_id": f"tsk_{number}"}
    at_s = float(draw.randrange(0, 16 * 3600))
    customer = {
        "id": f"kim{number}",
        "tier": draw.choice(["gold", "none", "none"]),
        "attributes": {},
    }
    attributes = {"site": draw.choice(["day", "night", "day"]), "order": number}
    bench.message(at_s, event=f"e{number}", conversation_id=names["conversation_id"], task_id=None)
    bench.created(at_s, f"e{number}", **names, customer=customer, attributes=attributes, priority=draw.choice([0, 7]))  # fmt: skip
    if draw.random() < 0.3:
        return
    for kind in draw.choice(SORTS):
        at_s += draw.choice([60, 1800, 7200, draw.randrange(1, 14_400)])
        if kind == "answered":
            bench.message(at_s, role="agent", conversation_id=names["conversation_id"])
        elif kind == "asked":
            bench.message(at_s, event=f"e{number}-{at_s}", conversation_id=names["conversation_id"], task_id=None)  # fmt: skip
        else:
            bench.told(at_s, kind, **names, **FIELDS.get(kind, {}))


SORTS = (
    ("assigned",),
    ("assigned", "answered", "asked"),
    ("held",),
    ("held", "resumed"),
    ("assigned", "held", "resumed", "answered", "held"),
    ("assigned", "completed"),
)
FIELDS = {
    "held": {"reason": "lunch"}, "assigned": {"agent_id": "ana"},
    "completed": {"agent_id": "ana", "disposition": "done", "handle_s": 1},
}  # fmt: skip


def workspace(seed: int, conversations: int = 24) -> Wide:
    bench = Wide()
    bench.calendar({"id": "always", "timezone": "UTC", "always_open": True})
    bench.calendar(DAYTIME)
    bench.put("sla_policy", GOLD)
    bench.put("sla_policy", POLICY)
    draw = random.Random(seed)
    for number in range(conversations):
        history(bench, draw, number)
    bench.core.changes()
    bench.calendar(LATER, at_s=NOW_S)
    return bench


def trial(bench: Wide, what: Proposal, bodies: list[bytes]) -> dict:
    found = Trial("acme", bench.core.library.dump(), what, T0 + NOW_S * S)
    found.portion(bodies)
    return found.report()


COUNTS = ("clocks", "moves", "earlier", "later", "would_breach", "would_cancel", "would_start")


@pytest.mark.parametrize("mode", ["recompute", "forward", "reset", "proportional", None])
@pytest.mark.parametrize("policies", [[EDITED], []])
def test_together_as_one_by_one(mode, policies):
    bench = workspace(seed=len(policies))
    bodies = [bench.core.conversations.body(name) for name in bench.core.conversations]
    what = Proposal(policies, [], mode, ["main"])
    alone = [trial(bench, what, [body]) for body in bodies]
    together = trial(bench, what, bodies)
    assert {name: together[name] for name in COUNTS} == {
        name: sum(one[name] for one in alone) for name in COUNTS
    }
    assert together["clocks"] > 30 and together["moves"] > 5
    known = {one["clock_id"]: one for each in alone for one in each["examples"]}
    assert len(together["examples"]) == min(20, len(known))
    assert all(one == known[one["clock_id"]] for one in together["examples"])
    furthest = [abs(one["by_s"]) for one in known.values() if not one["would_breach"]]
    shown = [abs(one["by_s"]) for one in together["examples"] if not one["would_breach"]]
    assert shown == sorted(furthest, reverse=True)[: len(shown)]
    by = [one["by_s"] for one in known.values() if not one["would_cancel"]]
    assert (together["by_s"]["min"], together["by_s"]["max"]) == (min(by), max(by))


def test_what_is_due_next_is_the_first_of_what_is_due():
    bench = workspace(seed=3)
    found = 0
    for at_s in (None, NOW_S, NOW_S + 3600):
        if at_s is not None:
            bench.settle(at_s)
        for name in bench.core.conversations:
            for live in bench.core.lives(name):
                due = due_on(live)
                assert next_due_us(live) == (due[0].at_us if due else None)
                found += len(due)
    assert found > 50


def test_what_no_condition_reads_makes_no_difference():
    bench = Wide()
    bench.calendar(DAYTIME)
    bench.calendar({"id": "always", "timezone": "UTC", "always_open": True})
    bench.put("sla_policy", POLICY)
    asked = [("a", "day", "none"), ("b", "day", "gold"), ("c", "night", "none")]
    for number, (agent, site, tier) in enumerate(asked):
        names = {"conversation_id": f"cnv_{number}", "task_id": f"tsk_{number}"}
        customer = {"id": f"kim{number}", "tier": tier, "attributes": {}}
        bench.message(
            number * 60, event=f"e{number}", conversation_id=f"cnv_{number}", task_id=None
        )
        bench.created(number * 60, f"e{number}", **names, customer=customer, attributes={"site": site, "x": number})  # fmt: skip
        bench.told(number * 60 + 5, "assigned", **names, agent_id=agent)
    bench.core.changes()
    book = bench.core.library.book(bench.core.library.number)

    def keys(policies) -> list[bytes]:
        likenesses = Likenesses(policies)
        bodies = [bench.core.conversations.body(f"cnv_{number}") for number in range(3)]
        return [one.key for body in bodies for one in likenesses.of(body) if one is not None]

    first, second, third = keys(book.policies)
    assert first == second != third
    bench.put("sla_policy", GOLD)
    bench.put("sla_policy", {**GOLD, "id": "ana", "when": 'task.agent_id == "a"'})
    assert len(set(keys(bench.core.library.book(bench.core.library.number).policies))) == 3
