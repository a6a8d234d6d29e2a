"""Rules that the oracle of `test_sla_oracle` has settled, each as its smallest timeline."""

import pytest

from tests.unit.test_sla_cases import HELD, ask, check, targets

CHANGING = {"resolution": {"target_s": 3600, "by_priority": [{"min": 5, "target_s": 7200}]}}
HALVES = {"resolution": {"target_s": 28800, "by_priority": [{"min": 5, "target_s": 7200}]}}
STATEFUL = [{"name": "own", "target_s": 3600, "start_when": 'task.queue == "billing"', "stop_when": 'event.type == "resolved"'}]  # fmt: skip
ON_MESSAGES = [{"name": "own", "target_s": 3600, "start_when": 'event.type == "customer_message"', "stop_when": 'event.type == "agent_message"'}]  # fmt: skip

FOUND = {
    # «paused and resumed set and clear task.held»: what was not closed is not reopened.
    "a reopening of what is open ends no pause": ({"targets": targets(HELD, resolution="4h")}, """
        23T09:00 task_created
        23T10:00 paused reason=parts
        23T11:00 reopened
        23T12:00 now
    """, """
        resolution 1 paused due=- elapsed=1h
    """),
    "nor sends it back to a queue": ({"targets": targets(time_to_assign="1h")}, """
        23T09:00 task_created
        23T09:10 assigned
        23T09:30 reopened
        23T12:00 now
    """, """
        time_to_assign 1 met elapsed=10m
    """),
    "nobody wrote, and a reopening asks for no answer": (
        {"targets": {"first_response": {"target_s": 3600, "reopen": "new_cycle"}}}, """
        23T09:00 task_created
        23T10:00 resolved
        23T11:00 reopened
        23T12:00 now
    """, ""),
    "the first resolution is the first": (
        {"targets": {"first_resolution": {"target_s": 7200, "reopen": "continue"}}}, """
        23T09:00 customer_message
        23T10:00 resolved
        23T11:00 reopened
        23T15:00 resolved
        23T16:00 now
    """, """
        first_resolution 1 met done=23T10:00 elapsed=1h
    """),
    # Jira Service Management: stop goes before pause, pause before start.
    "what stops a named clock does not start it again": ({"named": STATEFUL}, """
        23T09:00 task_created queue=billing
        23T09:30 resolved
        23T10:00 now
    """, """
        own 1 met elapsed=30m
    """),
    "closed stays closed, whatever is said after": ({"named": ON_MESSAGES}, """
        23T09:00 customer_message
        23T09:30 closed
        23T09:40 resolved
        23T09:50 customer_message
        23T10:00 now
    """, """
        own 1 closed_unanswered elapsed=30m
    """),
    "a longer target that has passed too is due at its own end": (
        {"targets": {"resolution": {**CHANGING["resolution"], "pause_when": HELD}}}, """
        23T09:00 task_created
        23T12:00 paused
        23T13:00 resumed
        23T14:00 priority_changed priority=5
        23T15:00 paused
        23T16:00 resumed
        23T17:00 resolved
        23T17:00 now
    """, """
        resolution 1 missed target=2h due=23T11:00 breached=23T10:00 elapsed=6h
    """),
    "shares of shares: there and back is where it was": ({"on_change": "proportional", "targets": HALVES}, """
        23T09:00 task_created
        23T13:00 priority_changed priority=5
        23T13:00 priority_changed priority=0
        23T13:00 now
    """, """
        resolution 1 running target=8h due=23T17:00 left=4h
    """),
    "a resolution that no policy asked for while it was open": (
        {"targets": targets(first_response="1h")}, """
        23T09:00 customer_message
        23T09:10 agent_message
        23T09:20 resolved
        23T09:30 policy_changed policy=later
        23T10:00 reopened
        23T10:30 now
    """, """
        resolution 1 running start=23T10:00 due=23T14:00
        first_response 1 met
    """),
}  # fmt: skip
LATER = {"later": {"targets": targets(resolution="4h")}}


@pytest.mark.parametrize("name", FOUND)
def test_found(name):
    policy, timeline, expected = FOUND[name]
    clocks = ask("2026-11", policy, timeline, LATER)
    order = [line.split()[0] for line in expected.splitlines() if line.strip()]
    check("2026-11", sorted(clocks, key=lambda one: order.index(one["metric"])), expected)


def test_a_clock_begun_in_the_past_names_each_reason_it_was_held_for():
    policy = {"later": {"targets": targets(HELD, resolution="4h")}}
    timeline = """
        23T09:00 task_created
        23T10:00 paused reason=parts
        23T11:00 pending
        23T12:00 policy_changed policy=later mode=recompute
        23T13:00 now
    """
    (clock,) = ask("2026-11", {"targets": targets(first_response="1h")}, timeline, policy)
    assert [(one["because"], one["seconds"]) for one in clock["ledger"]] == [
        ("always is open", 3600), ("parts", 3600), ("waiting_on_customer", 7200),
    ]  # fmt: skip
