"""`sla-policies:evaluate` against the oracle: whole answers on random policies and histories."""

import os
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from services.sla.evaluate import evaluate
from tests.unit.sla_oracle.calendars import Hours, text, us
from tests.unit.sla_oracle.clock import Goal, Policy
from tests.unit.sla_oracle.clocks import WAITING, Conversation

# More of them by hand: ORACLE_EXAMPLES=5000 (some ten a second).
EXAMPLES = int(os.environ.get("ORACLE_EXAMPLES", "12"))
FEW = settings(max_examples=EXAMPLES, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))  # fmt: skip
MINUTE = 60_000_000
T0 = us("2026-03-27T06:00:00Z")  # a Friday; Berlin's clocks change on the Sunday
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri")
CALENDARS = [
    {"id": "always", "timezone": "UTC", "always_open": True},
    {"id": "office", "timezone": "UTC", "hours": dict.fromkeys(WEEKDAYS, [["08:00", "12:00"], ["13:00", "17:00"]]),
     "holidays": ["2026-03-30"]},
    {"id": "berlin", "timezone": "Europe/Berlin", "hours": dict.fromkeys((*WEEKDAYS, "sat", "sun"), [["22:00", "06:30"]]),
     "overrides": {"2026-03-31": [], "2026-04-01": [["10:00", "12:00"]]}, "holidays": ["2026-04-01"]},
]  # fmt: skip
HOURS = {body["id"]: Hours([body], T0 - 3 * 1440 * MINUTE, T0 + 60 * 1440 * MINUTE) for body in CALENDARS}  # fmt: skip
PAUSES = {
    "": lambda _: False,
    "task.held": lambda facts: facts["held"],
    f'task.hold_reason == "{WAITING}"': lambda facts: facts["hold_reason"] == WAITING,
    'task.held && task.hold_reason != "parts"': lambda facts: facts["held"] and facts["hold_reason"] != "parts",
    "task.priority >= 5": lambda facts: facts["priority"] >= 5,
}  # fmt: skip
METRICS = (
    "first_response", "next_response", "periodic_update", "first_resolution", "resolution",
    "time_to_assign", "customer_wait", "agent_work",
)  # fmt: skip
MODES = ("recompute", "forward", "reset", "proportional")
PLAIN = (
    "customer_message", "agent_message", "agent_note", "bot_message", "auto_reply", "assigned",
    "transferred", "paused", "resumed", "pending", "resolved", "reopened", "closed",
)  # fmt: skip


@st.composite
def goals(draw, named: bool = False) -> tuple[dict[str, Any], Goal]:
    """A target as it is written, and as the oracle takes it."""
    target = draw(st.sampled_from([600, 1800, 3600, 5400.5, 14400, 86400]))
    body: dict[str, Any] = {"target_s": target}
    goal = Goal(target, named=named)
    if cel := draw(st.sampled_from(list(PAUSES))):
        body["pause_when"], goal.pause = cel, PAUSES[cel]
    if draw(st.integers(0, 3)) == 0:
        body["calendar"] = goal.calendar = draw(st.sampled_from(list(HOURS)))
    if named:
        return body, goal
    if draw(st.booleans()):
        goal.by_priority = tuple(zip((3, 6), draw(st.lists(st.sampled_from([300, 1200, 7200]), min_size=2, max_size=2)), strict=True))  # fmt: skip
        body["by_priority"] = [{"min": least, "target_s": span} for least, span in goal.by_priority]
    if draw(st.booleans()):
        body["reopen"] = goal.reopen = draw(st.sampled_from(["continue", "new_cycle"]))
    if draw(st.integers(0, 4)) == 0:
        goal.by_channel = {"chat": Goal(900)}
        body["by_channel"] = {"chat": {"target_s": 900}}
    return body, goal


@st.composite
def day_goals(draw) -> tuple[dict[str, Any], Goal]:
    """A target in business days, which no change of priority touches."""
    body, goal = draw(goals(named=True))
    del body["target_s"]
    goal.named, goal.days, goal.end_of_day = False, draw(st.integers(1, 4)), draw(st.booleans())
    return body | {"target_business_days": goal.days, "end_of_day": goal.end_of_day}, goal


@st.composite
def named_goals(draw) -> tuple[dict[str, Any], Goal]:
    body, goal = draw(goals(named=True))
    starts = draw(st.sets(st.sampled_from(["customer_message", "task_created", "transferred", "reopened"]), min_size=1))  # fmt: skip
    stops = draw(st.sets(st.sampled_from(["agent_message", "transferred", "agent_note", "resolved"]), min_size=1))  # fmt: skip
    goal.start = lambda facts: facts["type"] in starts
    goal.stop = lambda facts: facts["type"] in stops
    listed = [", ".join(f'"{one}"' for one in sorted(types)) for types in (starts, stops)]
    return body | {"name": "own", "start_when": f"event.type in [{listed[0]}]", "stop_when": f"event.type in [{listed[1]}]"}, goal  # fmt: skip


@st.composite
def policies(draw, name: str = "p") -> tuple[dict[str, Any], Policy]:
    calendar = draw(st.sampled_from(list(HOURS)))
    mode = draw(st.sampled_from(MODES))
    chosen = {metric: draw(goals()) for metric in METRICS if draw(st.booleans())}
    body = {"id": name, "calendar": calendar, "on_change": mode, "targets": {metric: one[0] for metric, one in chosen.items()}}  # fmt: skip
    policy = Policy({metric: one[1] for metric, one in chosen.items()}, calendar, mode)
    if draw(st.integers(0, 3)) == 0:
        body["when"], policy.when = "task.priority < 5", lambda facts: facts["priority"] < 5
    if draw(st.integers(0, 2)) == 0:
        own = draw(named_goals())
        body["named"], policy.goals["own"] = [own[0]], own[1]
    return body, policy


@st.composite
def moments(draw) -> int:
    """Mostly close to each other, sometimes equal, over a weekend with a change of the clocks."""
    scale = draw(st.sampled_from([30, 240, 1440, 5 * 1440]))
    step = draw(st.sampled_from([1, 15, 30]))
    return T0 + draw(st.integers(0, scale // step)) * step * MINUTE


@st.composite
def histories(draw) -> list[dict[str, Any]]:
    first = draw(st.sampled_from(["customer_message", "customer_message", "agent_message", "task_created"]))  # fmt: skip
    events: list[dict[str, Any]] = [{"time": text(T0), "type": first}]
    if first != "task_created" and draw(st.booleans()):
        events.append({"time": text(T0 + 2_000_000), "type": "task_created"})
        if draw(st.booleans()):
            events[-1]["priority"] = draw(st.integers(0, 4))
    for at, kind in draw(st.lists(st.tuples(moments(), st.sampled_from(PLAIN)), max_size=14)):
        one: dict[str, Any] = {"time": text(max(at, T0 + 3_000_000)), "type": kind}
        if kind == "paused" and draw(st.booleans()):
            one["reason"] = draw(st.sampled_from(["parts", "lunch", WAITING]))
        events.append(one)
    for at in draw(st.lists(moments(), max_size=2)):
        raised = {"time": text(max(at, T0 + 3_000_000)), "type": "priority_changed", "priority": draw(st.integers(0, 8))}  # fmt: skip
        events.append(raised | ({"by": "escalation"} if draw(st.integers(0, 3)) == 0 else {}))
    if draw(st.integers(0, 6)) == 0:
        events.append({"time": text(max(draw(moments()), T0 + 3_000_000)), "type": "abandoned"})
    return events


NUMBERS = ("target_s", "elapsed_s", "remaining_s")
SAME = ("metric", "cycle", "state", "started_at", "due_at", "satisfied_at", "breached_at")


def plain(clock: dict[str, Any]) -> dict[str, Any]:
    """What both answers must agree on; neighbouring entries of a ledger that say the same are one."""
    found = {name: clock[name] for name in SAME}
    found |= {name: round(clock[name], 3) for name in NUMBERS}
    ledger: list[list[Any]] = []
    for one in clock["ledger"]:
        because = one["because"] if one["kind"] == "paused" and one["because"] in ("parts", "lunch", WAITING) else None  # fmt: skip
        if ledger and ledger[-1][2:] == [one["kind"], because]:
            ledger[-1][1] = one["to"]
        else:
            ledger.append([one["from"], one["to"], one["kind"], because])
    return found | {"ledger": ledger}


def by_name(clocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted((plain(one) for one in clocks), key=lambda one: (one["metric"], one["cycle"]))


def compare(body: dict[str, Any], policy: Policy, events: list[dict[str, Any]], now: int, facts: dict[str, Any]) -> None:  # fmt: skip
    sent = [{name: value for name, value in one.items() if name != "parsed"} for one in events]
    asked = {"calendars": CALENDARS, "policy": body, "facts": {**facts, "customer": {}}, "events": sent, "now": text(now)}  # fmt: skip
    answer = evaluate(asked)["clocks"]
    oracle = Conversation(policy, HOURS, facts, events, now).run()
    assert by_name(answer) == by_name(oracle)


FACTS = st.fixed_dictionaries({"channel": st.sampled_from(["chat", "email"]), "priority": st.integers(0, 8)})  # fmt: skip
NOWS = st.one_of(moments(), st.just(T0 + 6 * 1440 * MINUTE))


@FEW
@given(policies(), histories(), NOWS, FACTS)
def test_clocks_equal_the_oracles(policy, events, now, facts):
    compare(*policy, events, now, facts)


@st.composite
def policies_by_days(draw) -> tuple[dict[str, Any], Policy]:
    calendar = draw(st.sampled_from(list(HOURS)))
    chosen = {metric: draw(day_goals()) for metric in METRICS if draw(st.booleans())}
    body = {"id": "p", "calendar": calendar, "targets": {metric: one[0] for metric, one in chosen.items()}}  # fmt: skip
    return body, Policy({metric: one[1] for metric, one in chosen.items()}, calendar)


@FEW
@given(policies_by_days(), histories(), NOWS, FACTS)
def test_clocks_by_business_days_equal_the_oracles(policy, events, now, facts):
    compare(*policy, events, now, facts)


@st.composite
def changes(draw) -> dict[str, Any]:
    body, policy = draw(policies("other"))
    event = {"time": text(max(draw(moments()), T0 + 3_000_000)), "type": "policy_changed", "policy": body, "parsed": policy}  # fmt: skip
    if draw(st.booleans()):
        event["mode"] = draw(st.sampled_from(MODES))
    return event


@FEW
@given(policies(), histories(), st.lists(changes(), min_size=1, max_size=2), NOWS, FACTS)
def test_clocks_equal_the_oracles_under_other_policies(policy, events, changed, now, facts):
    compare(*policy, events + changed, now, facts)
