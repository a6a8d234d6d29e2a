"""What pauses may take is kept whatever policy a clock is moved to, and when."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.sla.evaluate import evaluate

MODES = ("recompute", "forward", "reset", "proportional")
ALWAYS = {"id": "always", "timezone": "UTC", "always_open": True}
BASE = datetime(2026, 11, 23, 9, tzinfo=UTC)


def at(minute: float) -> str:
    return (BASE + timedelta(minutes=minute)).isoformat()


def policy(most_s: float | None, target_s: int = 36_000) -> dict[str, Any]:
    bound = {} if most_s is None else {"pause_max_s": most_s}
    target = {"target_s": target_s, "pause_when": "task.held", **bound}
    return {"id": "p", "calendar": "always", "targets": {"resolution": target}}


def clock(
    events: list[tuple[float, str, dict[str, Any]]], now: float, most_s: float | None
) -> dict[str, Any]:
    body = {
        "calendars": [ALWAYS],
        "policy": policy(most_s),
        "facts": {"channel": "chat", "priority": 0, "customer": {}},
        "events": [
            {"time": at(minute), "type": kind, **fields}
            for minute, kind, fields in [(0, "customer_message", {}), *events]
        ],
        "now": at(now),
    }
    (found,) = evaluate(body)["clocks"]
    return found


def paused_s(found: dict[str, Any]) -> float:
    return sum(one["seconds"] for one in found["ledger"] if one["kind"] == "paused")


def moved(minute: float, mode: str, most_s: float | None) -> tuple[float, str, dict[str, Any]]:
    return minute, "policy_changed", {"policy": policy(most_s, 7_200), "mode": mode}


@pytest.mark.parametrize("mode", ["recompute", "forward", "proportional"])
def test_a_pause_goes_on_over_a_migration_for_what_is_left(mode: str) -> None:
    events = [(10, "paused", {}), moved(15, mode, 600), (16, "resumed", {}), (20, "paused", {})]
    found = clock(events, 60, 600)
    assert paused_s(found) == 600, "six minutes before, four after"
    assert found["state"] == "running"


@pytest.mark.parametrize("mode", ["recompute", "forward", "proportional"])
def test_another_limit_holds_from_the_migration_on(mode: str) -> None:
    shorter = clock([(10, "paused", {}), moved(15, mode, 420)], 60, 6_000)
    assert paused_s(shorter) == 420
    passed = clock([(10, "paused", {}), moved(15, mode, 120)], 60, 6_000)
    assert paused_s(passed) == 300, "what has passed is not taken back"
    longer = clock([(10, "paused", {}), moved(15, mode, 900)], 60, 600)
    assert paused_s(longer) == 900
    none = clock([(10, "paused", {}), moved(15, mode, None)], 60, 600)
    assert (none["state"], paused_s(none)) == ("paused", 3_000)
    bound = clock([(10, "paused", {}), moved(15, mode, 600)], 60, None)
    assert paused_s(bound) == 600
    lifted = clock([(10, "paused", {}), moved(40, mode, 1_200)], 120, 600)
    assert paused_s(lifted) == 1_200, "it ran on meanwhile, and has the rest"


def test_who_begins_anew_has_the_whole_limit_again() -> None:
    found = clock([(10, "paused", {}), moved(15, "reset", 600)], 60, 600)
    assert paused_s(found) == 600
    assert found["started_at"].startswith(at(15)[:16])


HOLDS = st.lists(
    st.tuples(
        st.integers(2, 9),  # minutes held
        st.sampled_from((None, *MODES)),  # how it is moved in the middle of that
        st.sampled_from((60, 300, 600)),
        st.integers(1, 5),  # minutes until the next
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=150, deadline=None)
@given(holds=HOLDS, first_s=st.sampled_from((60, 300, 600)), same=st.booleans())
def test_pauses_never_take_more_than_allowed(
    holds: list[tuple[int, str | None, int, int]], first_s: int, same: bool
) -> None:
    """Than the greatest limit there was; where all are the same, than that."""
    minute, events, most_s = 1, [], first_s
    for held, mode, limit_s, runs in holds:
        events.append((minute, "paused", {}))
        if mode is not None:
            limit_s = first_s if same else limit_s
            most_s = max(most_s, limit_s)
            events.append(moved(minute + held // 2, mode, limit_s))
        events.append((minute + held, "resumed", {}))
        minute += held + runs
    events.append((minute, "paused", {}))
    assert paused_s(clock(events, minute + 30, first_s)) <= most_s
