"""`sla-policies:evaluate`: each fine point of API.md as a case, and laws over random events."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.sla.domain.events import TYPES
from services.sla.domain.policy import METRICS
from services.sla.evaluate import evaluate
from shared.contracts.problems import Refused

ALWAYS = {"id": "always", "timezone": "UTC", "always_open": True}
OFFICE = {
    "id": "office",
    "timezone": "UTC",
    "hours": {day: [["09:00", "17:00"]] for day in ("mon", "tue", "wed", "thu", "fri")},
    "holidays": ["2026-11-25"],
}
BASE = datetime(2026, 11, 23, 9, tzinfo=UTC)  # a Monday


def at(minutes: float) -> str:
    return (BASE + timedelta(minutes=minutes)).isoformat().replace("+00:00", "Z")


def event(minutes: float, kind: str, **fields) -> dict:
    return {"time": at(minutes), "type": kind, **fields}


def run(events, now, targets=None, calendar="always", facts=None, **policy):
    body = {
        "calendars": [ALWAYS, OFFICE],
        "policy": {"id": "p", "calendar": calendar, "targets": targets or {}, **policy},
        "facts": facts or {"channel": "chat", "priority": 0, "customer": {}},
        "events": [event(*one[:2], **(one[2] if len(one) > 2 else {})) for one in events],
        "now": at(now),
    }
    return evaluate(body)["clocks"]


def only(*args, **kwargs):
    clocks = run(*args, **kwargs)
    assert len(clocks) == 1, clocks
    return clocks[0]


def pick(clock, *names):
    return tuple(clock[name] for name in names)


FIRST = {"first_response": {"target_s": 600}}
RESOLVE = {"resolution": {"target_s": 3600}}


# First and next response.


def test_first_response_met_missed_and_exactly_at_the_deadline():
    met = only([(0, "customer_message"), (5, "agent_message")], 60, FIRST)
    assert pick(met, "state", "satisfied_at", "breached_at") == ("met", at(5), None)
    assert pick(met, "elapsed_s", "remaining_s", "target_s") == (300, 300, 600)
    exact = only([(0, "customer_message"), (10, "agent_message")], 60, FIRST)
    assert exact["state"] == "met"
    missed = only([(0, "customer_message"), (11, "agent_message")], 60, FIRST)
    assert pick(missed, "state", "breached_at", "remaining_s") == ("missed", at(10), -60)
    running = only([(0, "customer_message")], 12, FIRST)
    assert pick(running, "state", "breached_at", "elapsed_s") == ("running", at(10), 720)
    assert only([(0, "customer_message")], 10, FIRST)["breached_at"] is None


def test_only_an_agents_message_answers():
    silent = [(0, "customer_message"), (1, "bot_message"), (2, "auto_reply"), (3, "agent_note")]
    assert only([*silent, (4, "assigned")], 9, FIRST)["state"] == "running"


def test_further_customer_messages_do_not_move_the_start():
    clock = only([(0, "customer_message"), (5, "customer_message")], 6, FIRST)
    assert pick(clock, "started_at", "due_at") == (at(0), at(10))


def test_closed_and_abandoned_without_an_answer():
    for kind, state in (("resolved", "closed_unanswered"), ("closed", "closed_unanswered"), ("abandoned", "abandoned")):  # fmt: skip
        early = only([(0, "customer_message"), (5, kind)], 60, FIRST)
        assert pick(early, "state", "satisfied_at", "breached_at") == (state, None, None)
        late = only([(0, "customer_message"), (15, kind)], 60, FIRST)
        assert pick(late, "state", "breached_at", "elapsed_s") == (state, at(10), 900)


def test_next_response_covers_the_exchanges_after_the_first():
    events = [
        (0, "customer_message"), (5, "agent_message"), (20, "customer_message"),
        (25, "customer_message"), (40, "agent_message"), (50, "customer_message"),
    ]  # fmt: skip
    both = {**FIRST, "next_response": {"target_s": 600}}
    clocks = run(events, 52, both)
    assert [pick(c, "metric", "cycle", "state", "started_at") for c in clocks] == [
        ("first_response", 1, "met", at(0)),
        ("next_response", 1, "missed", at(20)),
        ("next_response", 2, "running", at(50)),
    ]
    alone = run(events, 52, {"next_response": {"target_s": 600}})
    assert [pick(c, "cycle", "started_at") for c in alone] == [(1, at(0)), (2, at(20)), (3, at(50))]


def test_no_first_response_where_the_agent_began():
    both = {**FIRST, "next_response": {"target_s": 600}}
    clock = only([(0, "agent_message"), (5, "customer_message")], 6, both)
    assert pick(clock, "metric", "started_at") == ("next_response", at(5))


def test_resolved_work_accrues_no_next_response():
    events = [
        (0, "customer_message"),
        (1, "agent_message"),
        (2, "resolved"),
        (3, "customer_message"),
    ]
    assert run(events, 500, {"next_response": {"target_s": 60}})[-1]["cycle"] == 1
    reopened = run([*events, (4, "reopened")], 5, {"next_response": {"target_s": 60}})
    assert pick(reopened[-1], "cycle", "state", "started_at") == (2, "running", at(4))


def test_periodic_updates():
    events = [
        (0, "customer_message"),
        (1, "agent_message"),
        (11, "agent_message"),
        (40, "resolved"),
    ]
    clocks = run(events, 60, {"periodic_update": {"target_s": 900}})
    assert [pick(c, "cycle", "state", "started_at") for c in clocks] == [
        (1, "met", at(1)),
        (2, "closed_unanswered", at(11)),
    ]
    assert clocks[1]["breached_at"] == at(26)


def test_time_to_assign():
    clock = only([(0, "task_created"), (3, "assigned")], 9, {"time_to_assign": {"target_s": 60}})
    assert pick(clock, "state", "breached_at") == ("missed", at(1))


# Resolution.


def test_resolution_starts_with_the_task_else_with_the_first_message():
    assert only([(0, "customer_message")], 5, RESOLVE)["started_at"] == at(0)
    both = only([(0, "customer_message"), (2, "task_created")], 5, RESOLVE)
    assert pick(both, "started_at", "cycle") == (at(2), 1)


def test_closed_without_resolved_counts_as_resolved():
    assert only([(0, "customer_message"), (9, "closed")], 60, RESOLVE)["satisfied_at"] == at(9)
    twice = only([(0, "customer_message"), (9, "resolved"), (20, "closed")], 60, RESOLVE)
    assert pick(twice, "state", "satisfied_at", "elapsed_s") == ("met", at(9), 540)


def test_reopening_continues_or_begins_a_new_cycle():
    events = [(0, "customer_message"), (10, "resolved"), (30, "reopened"), (40, "resolved")]
    clock = only(events, 99, RESOLVE)
    assert pick(clock, "state", "elapsed_s", "satisfied_at") == ("met", 1200, at(40))
    assert [pick(e, "kind", "seconds") for e in clock["ledger"]] == [
        ("counted", 600), ("paused", 1200), ("counted", 600),
    ]  # fmt: skip
    going = only(events[:3], 35, RESOLVE)
    assert pick(going, "state", "satisfied_at", "due_at") == ("running", None, at(80))
    anew = run(events, 99, {"resolution": {"target_s": 3600, "reopen": "new_cycle"}})
    assert [pick(c, "cycle", "state", "started_at", "elapsed_s") for c in anew] == [
        (1, "met", at(0), 600), (2, "met", at(30), 600),
    ]  # fmt: skip


def test_first_resolution_never_reopens_and_an_unanswered_first_response_goes_on():
    events = [(0, "customer_message"), (10, "resolved"), (30, "reopened")]
    first = only(events, 35, {"first_resolution": {"target_s": 3600}})
    assert pick(first, "state", "satisfied_at") == ("met", at(10))
    response = only([*events, (35, "agent_message")], 60, {"first_response": {"target_s": 1200}})
    assert pick(response, "state", "elapsed_s", "satisfied_at") == ("met", 900, at(35))
    answered = only([(0, "customer_message"), (1, "agent_message"), *events[1:]], 60, FIRST)
    assert pick(answered, "state", "satisfied_at") == ("met", at(1))
    fresh = run([(0, "customer_message"), (1, "agent_message"), *events[1:]], 35, {"first_response": {"target_s": 600, "reopen": "new_cycle"}})  # fmt: skip
    assert pick(fresh[-1], "cycle", "started_at") == (2, at(30))


# Pauses.


HELD = {"resolution": {"target_s": 3600, "pause_when": "task.held"}}


def test_a_clock_pauses_exactly_while_its_condition_holds():
    events = [(0, "customer_message"), (10, "paused", {"reason": "lunch"}), (40, "resumed")]
    paused = only(events[:2], 20, HELD)
    assert pick(paused, "state", "due_at", "elapsed_s", "remaining_s") == (
        "paused",
        None,
        600,
        3000,
    )
    assert paused["ledger"][-1]["because"] == "lunch"
    assert pick(only(events, 50, HELD), "state", "due_at") == ("running", at(90))
    unaffected = only(events, 50, RESOLVE)
    assert pick(unaffected, "state", "due_at") == ("running", at(60))


def test_one_that_ends_while_paused_is_due_at_its_end_and_what_was_left():
    events = [(0, "customer_message"), (10, "pending"), (100, "resolved")]
    clock = only(events, 200, HELD)
    assert pick(clock, "state", "due_at", "elapsed_s") == ("met", at(150), 600)


def test_the_customers_next_message_ends_pending_only():
    for kind, fields, state in (
        ("pending", {}, "running"),
        ("paused", {"reason": "waiting_on_customer"}, "running"),
        ("paused", {"reason": "lunch"}, "paused"),
    ):
        events = [(0, "customer_message"), (5, kind, fields), (9, "customer_message")]
        assert only(events, 20, HELD)["state"] == state
    waits = 'task.hold_reason == "waiting_on_customer"'
    clock = only([(0, "customer_message"), (5, "pending")], 9, {"resolution": {"target_s": 60, "pause_when": waits}})  # fmt: skip
    assert pick(clock, "state", "breached_at", "due_at") == ("paused", at(1), None)


def test_pauses_out_of_hours_move_nothing():
    night = [(0, "customer_message"), (9 * 60, "paused"), (22 * 60, "resumed")]
    targets = {"resolution": {"target_s": 10 * 3600, "pause_when": "task.held"}}
    clock = only(night, 24 * 60, targets, calendar="office")
    assert clock["due_at"] == at(26 * 60)
    kinds = [pick(e, "kind", "seconds") for e in clock["ledger"]]
    assert kinds == [("counted", 28800), ("closed", 57600)]


def test_closed_time_within_a_pause_is_closed_and_holidays_are_named():
    events = [(24 * 60, "customer_message"), (25 * 60, "paused", {"reason": "parts"})]
    clock = only(events, 74 * 60, HELD, calendar="office")
    assert [pick(e, "kind", "seconds") for e in clock["ledger"]] == [
        ("counted", 3600), ("paused", 7 * 3600), ("closed", 7 * 3600),
        ("holiday", 24 * 3600), ("closed", 9 * 3600), ("paused", 2 * 3600),
    ]  # fmt: skip
    assert clock["ledger"][3]["because"] == "holiday 2026-11-25"


def test_waiting_and_work_pause_by_their_meaning():
    targets = {"customer_wait": {"target_s": 3600}, "agent_work": {"target_s": 3600}}
    events = [
        (0, "customer_message"),
        (10, "paused", {"reason": "parts"}),
        (20, "resumed"),
        (30, "pending"),
    ]
    wait, work = run(events, 50, targets)
    assert (wait["elapsed_s"], work["elapsed_s"]) == (1800, 1200)


# Changes.


STEPS = {"first_response": {"target_s": 7200, "by_priority": [{"min": 5, "target_s": 1200}, {"min": 9, "target_s": 600}]}}  # fmt: skip


@pytest.mark.parametrize(
    ("mode", "started", "due", "elapsed"),
    [
        ("recompute", 0, 20, 900),
        ("forward", 0, 30, 900),
        ("reset", 10, 30, 300),
        ("proportional", 0, 10 + 20 * 11 / 12, 900),
    ],
)
def test_the_modes_of_a_change_of_priority(mode, started, due, elapsed):
    events = [(0, "customer_message"), (10, "priority_changed", {"priority": 6})]
    clock = only(events, 15, STEPS, on_change=mode)
    assert datetime.fromisoformat(clock["due_at"]) == datetime.fromisoformat(at(due))
    assert pick(clock, "started_at", "elapsed_s") == (at(started), elapsed)
    assert clock["remaining_s"] == clock["target_s"] - clock["elapsed_s"]


def test_the_highest_step_reached_counts_and_escalation_never_retargets():
    facts = {"channel": "chat", "priority": 9}
    assert only([(0, "customer_message")], 1, STEPS, facts=facts)["target_s"] == 600
    raised = {"priority": 9, "by": "escalation"}
    clock = only([(0, "customer_message"), (1, "priority_changed", raised)], 2, STEPS)
    assert clock["target_s"] == 7200
    shorter = only([(0, "customer_message"), (15, "priority_changed", {"priority": 9})], 20, STEPS)
    assert pick(shorter, "due_at", "breached_at") == (at(10), at(10))


def test_a_breach_that_was_recorded_stays():
    facts = {"channel": "chat", "priority": 9}
    events = [
        (0, "customer_message"),
        (15, "priority_changed", {"priority": 0}),
        (20, "agent_message"),
    ]
    assert pick(only(events, 30, STEPS, facts=facts), "state", "breached_at") == ("missed", at(10))


def test_another_policy_retargets_or_cancels():
    events = [(0, "customer_message")]
    new = {"id": "q", "calendar": "always", "targets": {"first_response": {"target_s": 300}}}
    changed = [*events, (2, "policy_changed", {"policy": new, "mode": "forward"})]
    assert only(changed, 3, FIRST)["due_at"] == at(7)
    strict = {**new, "when": 'customer.tier == "gold"'}
    clock = only([*events, (2, "policy_changed", {"policy": strict})], 30, FIRST)
    assert pick(clock, "state", "breached_at", "elapsed_s") == ("cancelled", None, 120)
    fewer = {**new, "targets": {"resolution": {"target_s": 60}}}
    clocks = run([*events, (2, "policy_changed", {"policy": fewer})], 30, FIRST)
    assert {c["metric"]: pick(c, "state", "started_at") for c in clocks} == {
        "first_response": ("cancelled", at(0)), "resolution": ("running", at(0)),
    }  # fmt: skip


def test_without_a_policy_that_holds_there_are_no_clocks():
    assert run([(0, "customer_message")], 9, FIRST, when='task.channel == "email"') == []
    assert run([(0, "customer_message")], 9, FIRST, when='customer.tier == "gold"') == []


# Targets in days, calendars, named clocks.


def test_targets_in_business_days():
    targets = {"resolution": {"target_business_days": 2, "pause_when": "task.held"}}
    clock = only([(60, "customer_message")], 70, targets, calendar="office")
    assert clock["due_at"] == at(60 + 3 * 24 * 60)  # Wednesday is a holiday
    assert clock["target_s"] == 2 * 8 * 3600
    end = {"resolution": {"target_business_days": 1, "end_of_day": True}}
    assert only([(60, "customer_message")], 70, end, calendar="office")["due_at"] == at(32 * 60)
    held = [(60, "customer_message"), (60, "paused"), (120, "resumed")]
    assert only(held, 130, targets, calendar="office")["due_at"] == at(120 + 3 * 24 * 60)


def test_a_target_used_up_with_the_last_window_is_due_at_the_closing():
    clock = only(
        [(0, "customer_message")], 60, {"resolution": {"target_s": 8 * 3600}}, calendar="office"
    )
    assert clock["due_at"] == at(8 * 60)


def test_named_clocks():
    named = [
        {
            "name": "call_back",
            "start_when": 'event.type == "customer_message" && task.channel == "chat"',
            "stop_when": 'event.type == "agent_message"',
            "pause_when": "task.held",
            "target_s": 600,
        }
    ]
    events = [
        (0, "customer_message"), (3, "customer_message"), (5, "agent_message"),
        (20, "customer_message"), (22, "paused"), (32, "resumed"), (40, "closed"),
    ]  # fmt: skip
    clocks = run(events, 60, named=named)
    assert [pick(c, "metric", "cycle", "state", "started_at", "elapsed_s") for c in clocks] == [
        ("call_back", 1, "met", at(0), 300),
        ("call_back", 2, "closed_unanswered", at(20), 600),
    ]
    other = [{**named[0], "calendar": "office"}]
    assert run(events[:1], 1, named=other)[0]["calendar"] == "office"


# Order, time and shape.


def test_events_of_equal_time_act_in_their_order_however_sent():
    events = [(0, "customer_message"), (0, "task_created"), (10, "reopened"), (10, "customer_message"),
              (5, "resolved"), (5, "paused"), (5, "agent_message")]  # fmt: skip
    targets = {**FIRST, **HELD, "next_response": {"target_s": 60}}
    assert run(events, 20, targets) == run(events[::-1], 20, targets)
    both = only([(0, "customer_message"), (5, "resolved"), (5, "agent_message")], 9, FIRST)
    assert both["state"] == "met"


def test_what_lies_after_now_has_not_happened():
    clock = only([(0, "customer_message"), (30, "agent_message")], 5, FIRST)
    assert pick(clock, "state", "elapsed_s") == ("running", 300)
    assert run([(9, "customer_message")], 5, FIRST) == []


def test_workspace_yamls_gold_policy():
    policy = {
        "id": "gold-chat",
        "when": 'task.channel == "chat" && customer.tier == "gold"',
        "calendar": "always",
        "targets": {
            "first_response": {"target_s": 30, "warn_at": [0.5, 0.8]},
            "next_response": {"target_s": 120},
            "resolution": {
                "target_s": 14400,
                "pause_when": 'task.state == "wrapping" || task.held',
            },
        },
    }
    clocks = evaluate(
        {
            "calendars": [ALWAYS],
            "policy": policy,
            "facts": {"channel": "chat", "priority": 10, "customer": {"id": "kim", "tier": "gold"}},
            "events": [{"time": "2026-11-23T10:00:00+01:00", "type": "customer_message"}],
            "now": "2026-11-23T10:00:00+01:00",
        }
    )["clocks"]
    assert clocks[0]["metric"] == "first_response"
    assert clocks[0]["due_at"] == "2026-11-23T09:00:30Z"


@pytest.mark.parametrize(
    ("change", "pointer", "code"),
    [
        ({"now": None}, "/now", "instant"),
        ({"when": 1}, "/when", "unknown_field"),
        ({"facts": {"chanel": "chat"}}, "/facts/chanel", "unknown_field"),
        ({"facts": {"channel": ["chat"]}}, "/facts/channel", "type"),
        ({"facts": {"customer": "kim"}}, "/facts/customer", "type"),
        ({"events": [event(0, "task_created", tags="vip")]}, "/events/0/tags", "type"),
        ({"events": [{"time": at(0), "type": "message"}]}, "/events/0/type", "value"),
        ({"events": [{"time": "now", "type": "closed"}]}, "/events/0/time", "instant"),
        ({"events": [event(0, "priority_changed")]}, "/events/0/priority", "missing"),
        ({"events": [event(0, "policy_changed")]}, "/events/0/policy", "missing"),
        ({"calendars": []}, "/policy/calendar", "unknown_calendar"),
        ({"calendars": [{"timezone": "UTC", "always_open": True}]}, "/calendars/0/id", "missing"),
        ({"calendars": [{"id": "x", "timezone": "UTC"}]}, "/calendars/0/hours", "never_open"),
    ],
)
def test_calls_that_are_refused(change, pointer, code):
    body = {
        "calendars": [ALWAYS],
        "policy": {"id": "p", "calendar": "always", "targets": FIRST},
        "facts": {},
        "events": [],
        "now": at(0),
    }
    with pytest.raises(Refused) as refusal:
        evaluate({**body, **change})
    fault = refusal.value.errors[0]
    assert (refusal.value.kind, fault.pointer, fault.code) == ("validation", pointer, code)


def test_a_deadline_beyond_the_horizon_is_refused():
    dead = {**OFFICE, "id": "dead", "versions": [{"from": "2026-11-01", "hours": {}}]}
    body = {
        "calendars": [dead],
        "policy": {"id": "p", "calendar": "dead", "targets": FIRST},
        "events": [event(0, "customer_message")],
        "now": at(5),
    }
    with pytest.raises(Refused) as refusal:
        evaluate(body)
    assert refusal.value.errors[0].code == "horizon"


# Laws.


EVENTS = st.lists(
    st.tuples(
        st.integers(0, 3000),
        st.sampled_from(
            [kind for kind in TYPES if kind not in ("policy_changed", "priority_changed")]
        ),
    ),
    max_size=25,
)
ALL = {
    metric: {"target_s": 5400, "pause_when": "task.held", "reopen": reopen}
    for metric, reopen in zip(METRICS, ["continue", "new_cycle"] * 4, strict=True)
}


@settings(max_examples=60, deadline=None)
@given(EVENTS, st.sampled_from(["always", "office"]), st.randoms(use_true_random=False))
def test_ledgers_cover_every_second_once(events, calendar, random):
    clocks = run(events, 3100, ALL, calendar=calendar)
    for clock in clocks:
        entries = clock["ledger"]
        end = clock["ended_at"] or at(3100)
        if clock["started_at"] == end:
            assert entries == []
            continue
        assert entries[0]["from"] == clock["started_at"] and entries[-1]["to"] == end
        for one, following in zip(entries, entries[1:], strict=False):
            assert one["to"] == following["from"]
        for entry in entries:
            length = datetime.fromisoformat(entry["to"]) - datetime.fromisoformat(entry["from"])
            assert entry["seconds"] == length.total_seconds() > 0
        counted = sum(entry["seconds"] for entry in entries if entry["kind"] == "counted")
        assert counted == clock["elapsed_s"] == clock["target_s"] - clock["remaining_s"]
        if clock["state"] in ("met", "missed"):
            assert (clock["state"] == "missed") == (clock["satisfied_at"] > clock["due_at"])
        if clock["state"] == "paused":
            assert clock["due_at"] is None
    shuffled = list(dict.fromkeys(events))
    straight = run(shuffled, 3100, ALL, calendar=calendar)
    random.shuffle(shuffled)
    assert run(shuffled, 3100, ALL, calendar=calendar) == straight


# Beyond the minimum: who answers, limits of pauses, groups, channels, calendars by rule.


def test_bots_and_automatic_replies_answer_only_where_the_policy_says_so():
    events = [(0, "customer_message"), (1, "auto_reply"), (2, "bot_message"), (3, "agent_note")]
    assert only(events, 9, FIRST)["state"] == "running"
    by_bot = {"first_response": {"target_s": 600, "answered_by": ["agent_message", "bot_message"]}}
    assert pick(only(events, 9, by_bot), "state", "satisfied_at") == ("met", at(2))
    both = {**by_bot, "next_response": {"target_s": 600}}
    clocks = run([*events, (4, "customer_message"), (5, "bot_message")], 9, both)
    assert [pick(c, "metric", "state", "started_at") for c in clocks] == [
        ("first_response", "met", at(0)), ("next_response", "running", at(4)),
    ]  # fmt: skip


def test_pauses_have_a_limit_after_which_the_clock_runs_on():
    targets = {"resolution": {"target_s": 3600, "pause_when": "task.held", "pause_max_s": 1200}}
    events = [(0, "customer_message"), (10, "paused"), (20, "resumed"), (30, "paused")]
    paused = only(events, 39, targets)
    assert pick(paused, "state", "elapsed_s") == ("paused", 1200)
    capped = only(events, 50, targets)
    assert pick(capped, "state", "elapsed_s", "due_at") == ("running", 1800, at(80))
    again = only([*events, (55, "resumed"), (56, "paused")], 60, targets)
    assert pick(again, "state", "due_at") == ("running", at(80)), "nothing pauses it any more"
    assert [pick(e, "kind", "seconds") for e in capped["ledger"]] == [
        ("counted", 600), ("paused", 600), ("counted", 600), ("paused", 600), ("counted", 600),
    ]  # fmt: skip
    office = {"resolution": {**targets["resolution"], "pause_max_s": 7200}}
    night = only([(0, "customer_message"), (420, "paused")], 2000, office, calendar="office")
    assert pick(night, "state", "elapsed_s") == ("running", 7 * 3600 + (1920 - 1500) * 60)


def test_a_hold_with_an_end_resumes_by_itself():
    held = [(0, "customer_message"), (10, "paused", {"reason": "parts", "until": at(25)})]
    assert only(held, 24, HELD)["state"] == "paused"
    assert pick(only(held, 30, HELD), "state", "due_at") == ("running", at(75))
    earlier = [*held, (12, "resumed"), (14, "paused")]
    assert only(earlier, 60, HELD)["state"] == "paused", "another hold has no end"
    with pytest.raises(Refused) as refusal:
        only([(0, "customer_message"), (1, "paused", {"until": "soon"})], 2, HELD)
    assert refusal.value.errors[0].pointer == "/events/1/until"


def test_a_groups_target_starts_and_stops_with_the_group():
    groups = [{"name": "billing_ola", "queue": "billing", "target_s": 1200}]
    events = [
        (0, "task_created", {"queue": "billing"}), (10, "transferred", {"queue": "tech"}),
        (30, "transferred", {"queue": "billing"}), (60, "resolved"), (70, "reopened"),
    ]  # fmt: skip
    clocks = run(events, 75, groups=groups)
    assert [pick(c, "metric", "cycle", "state", "started_at", "breached_at") for c in clocks] == [
        ("billing_ola", 1, "met", at(0), None),
        ("billing_ola", 2, "missed", at(30), at(50)),
        ("billing_ola", 3, "running", at(70), None),
    ]


def test_targets_by_channel_and_calendars_by_rule():
    targets = {
        "first_response": {
            "target_s": 3600,
            "by_channel": {"chat": {"target_s": 60, "by_priority": [{"min": 5, "target_s": 30}]}},
        }
    }
    first = [(0, "customer_message")]
    assert only(first, 0, targets)["target_s"] == 60
    assert only(first, 0, targets, facts={"channel": "chat", "priority": 7})["target_s"] == 30
    assert only(first, 0, targets, facts={"channel": "email"})["target_s"] == 3600
    rules = [{"when": 'customer.tier == "gold"', "calendar": "always"}]
    gold = {"channel": "email", "customer": {"tier": "gold"}}
    late = [(479, "customer_message")]
    clock = only(late, 480, targets, calendar="office", calendars=rules, facts=gold)
    assert pick(clock, "calendar", "due_at") == ("always", at(539))
    plain = {**gold, "customer": {}}
    assert only(late, 480, targets, calendar="office", calendars=rules, facts=plain)["due_at"] == at(24 * 60 + 59)  # fmt: skip
    own = {"first_response": {"target_s": 3600, "calendar": "office"}}
    assert only(late, 480, own, calendars=rules, facts=gold)["calendar"] == "office"


def test_a_priority_that_escalation_raised_chooses_no_other_policy():
    events = [
        (0, "customer_message"), (1, "priority_changed", {"priority": 9, "by": "escalation"}),
        (2, "transferred", {"queue": "tech"}),
    ]  # fmt: skip
    clock = only(events, 3, FIRST, when="task.priority < 5")
    assert pick(clock, "state", "target_s") == ("running", 600)
