"""Laws of clocks over random timelines: what must be equal, whatever happened and in which hours."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

from services.sla.domain.derive import derive, facts_of
from services.sla.domain.events import Event
from services.sla.domain.policy import METRICS, Book
from services.sla.domain.view import clock_view, ledger
from services.sla.resources import read_compiled
from shared.calendars import LazyWindows, OpenHours, parse_calendar
from shared.contracts.instants import parse_instant

WORK = ("mon", "tue", "wed", "thu", "fri")
ALL = (*WORK, "sat", "sun")
BASE = datetime(2026, 11, 23, tzinfo=UTC)  # a Monday
BASE_US = parse_instant("2026-11-23T00:00:00Z")
MINUTE_US = 60_000_000
NOW = 5 * 1440
BODIES = {
    "always": {"timezone": "UTC", "always_open": True},
    "office": {
        "timezone": "UTC",
        "hours": dict.fromkeys(WORK, [["09:00", "12:00"], ["13:00", "17:00"]]),
        "holidays": ["2026-11-25"],
    },
    "berlin": {"timezone": "Europe/Berlin", "hours": dict.fromkeys(ALL, [["08:00", "18:00"]])},
    "night": {"timezone": "America/New_York", "hours": dict.fromkeys(ALL, [["22:00", "06:00"]])},
}
WINDOWS = {name: LazyWindows(OpenHours([parse_calendar(body)])) for name, body in BODIES.items()}
HELD = {"pause_when": "task.held"}
PLAIN = {metric: {"target_s": 5400, **HELD} for metric in METRICS}
STEPS = {
    name: {**one, "by_priority": [{"min": 5, "target_s": 9000}]} for name, one in PLAIN.items()
}
SHORTER = {
    name: {**one, "target_s": 9000, "reopen": reopen,
           "by_priority": [{"min": 2, "target_s": 5400}, {"min": 5, "target_s": 1800}]}
    for (name, one), reopen in zip(PLAIN.items(), ["continue", "new_cycle"] * 4, strict=True)
}  # fmt: skip


def book(calendar, targets, **more):
    _, policy = read_compiled({"id": "p", "calendar": calendar, "targets": targets, **more}, "")
    return Book((policy,), WINDOWS.__getitem__)


def fold_of(events, now=NOW, calendar="office", targets=PLAIN, priority=0, **policy):
    """Events are (minute, kind, fields); a `policy_changed` carries its book."""
    books = {}
    made = []
    for order, (minute, kind, *fields) in enumerate(events):
        values = dict(fields[0]) if fields else {}
        if kind == "policy_changed":
            books[str(order)] = values.pop("book")
        made.append(Event(BASE_US + minute * MINUTE_US, kind, order, values, str(order)))
    facts = facts_of({"channel": "chat", "priority": priority}, None)
    fold = derive(made, facts, book(calendar, targets, **policy), books.__getitem__)
    fold.advance(BASE_US + now * MINUTE_US)
    return fold


def run(events, now=NOW, *args, **more):
    fold, now_us = fold_of(events, now, *args, **more), BASE_US + now * MINUTE_US
    shown = [
        {
            **clock_view(one, fold.hands, now_us),
            "ledger": ledger(one, fold.hands, now_us, fold.former),
        }
        for one in fold.episode.clocks
    ]
    return {(one["metric"], one["cycle"]): one for one in shown}


FIGURES = ("state", "started_at", "due_at", "satisfied_at", "breached_at", "ended_at", "elapsed_s",
           "remaining_s", "target_s")  # fmt: skip


def figures(clocks):
    return {key: {name: one[name] for name in FIGURES} for key, one in clocks.items()}


def at(minute):
    return (BASE + timedelta(minutes=minute)).isoformat().replace("+00:00", "Z")


HALF_HOURS = st.integers(0, 144).map(lambda count: count * 30)
KINDS = (
    "customer_message", "agent_message", "agent_note", "bot_message", "auto_reply", "assigned",
    "transferred", "paused", "resumed", "pending", "resolved", "reopened", "closed",
)  # fmt: skip
TIMELINES = st.lists(st.tuples(HALF_HOURS, st.sampled_from(KINDS)), max_size=14).map(
    lambda events: [(0, "customer_message"), *events]
)
CALENDARS = st.sampled_from(["always", "office", "night"])
MODES = st.sampled_from(["recompute", "forward", "reset", "proportional"])
EXAMPLES = settings(
    max_examples=60, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate)
)


@EXAMPLES
@given(TIMELINES, HALF_HOURS, CALENDARS, st.sampled_from(["recompute", "proportional"]))
def test_a_change_to_the_same_policy_changes_nothing(events, minute, calendar, mode):
    change = (minute, "policy_changed", {"book": book(calendar, PLAIN), "mode": mode})
    assert figures(run([*events, change], calendar=calendar)) == figures(run(events, calendar=calendar))  # fmt: skip


@EXAMPLES
@given(TIMELINES, HALF_HOURS, CALENDARS)
def test_what_is_known_by_then_is_all_that_counts(events, now, calendar):
    """The clocks at an instant follow from what happened until then; evaluating with what came later
    is the caller's matter."""
    known = [one for one in events if one[0] <= now]
    again = run([*known, (now, "agent_note")], now=now, calendar=calendar)
    assert run(known, now=now, calendar=calendar) == again


@EXAMPLES
@given(TIMELINES, st.integers(0, 2), st.integers(0, 14), st.integers(1, 14))
def test_a_pause_out_of_hours_moves_nothing(events, day, hours, length):
    begins = day * 1440 + 17 * 60 + hours * 60
    ends = min(begins + length * 60, (day + 1) * 1440 + 9 * 60)
    assume(begins < ends)
    quiet = [one for one in events if not begins <= one[0] <= ends]
    assume(
        not fold_of([one for one in quiet if one[0] < begins], begins).episode.facts.task["held"]
    )
    pause = [(begins, "paused", {"reason": "night"}), (ends, "resumed")]
    assert figures(run([*quiet, *pause])) == figures(run(quiet))


@pytest.mark.parametrize("begins", [17 * 60, 18 * 60])
@pytest.mark.parametrize("twice", [False, True])
def test_a_pause_after_what_was_due_at_the_closing_moves_nothing(begins, twice):
    events = [(15 * 60 + 30, "customer_message")]
    pause = [(begins, "paused", {"reason": "night"}), (begins + 60, "resumed")]
    if twice:
        pause += [(begins + 120, "paused", {"reason": "night"}), (begins + 180, "resumed")]
    for now in (begins + 200, 1440 + 8 * 60, 1440 + 10 * 60):
        plain = figures(run(events, now=now))
        assert plain["first_response", 1]["due_at"] == at(17 * 60)
        assert figures(run([*events, *pause], now=now)) == plain


@EXAMPLES
@given(TIMELINES, HALF_HOURS, CALENDARS)
def test_recomputing_is_as_if_it_had_been_so_from_the_start(events, minute, calendar):
    changed = run([*events, (minute, "priority_changed", {"priority": 7})], calendar=calendar, targets=STEPS)  # fmt: skip
    always = run(events, calendar=calendar, targets=STEPS, priority=7)
    for key, clock in changed.items():
        if clock["ended_at"] and clock["ended_at"] <= at(minute):
            continue
        names = FIGURES if clock["breached_at"] == always[key]["breached_at"] else ("target_s", "elapsed_s")  # fmt: skip
        assert [clock[name] for name in names] == [always[key][name] for name in names]


@EXAMPLES
@given(TIMELINES, HALF_HOURS, CALENDARS)
def test_reset_and_forward_leave_the_same_time(events, minute, calendar):
    changed = [*events, (minute, "priority_changed", {"priority": 7})]
    reset = run(changed, calendar=calendar, targets=STEPS, on_change="reset")
    forward = run(changed, calendar=calendar, targets=STEPS, on_change="forward")
    names = ("state", "due_at", "breached_at", "satisfied_at", "remaining_s")
    assert reset.keys() == forward.keys()
    for key in reset:
        assert [reset[key][name] for name in names] == [forward[key][name] for name in names]


CHANGES = st.lists(
    st.one_of(
        st.tuples(HALF_HOURS, st.just("priority_changed"), st.sampled_from([0, 3, 7])),
        st.tuples(HALF_HOURS, MODES, st.sampled_from(list(BODIES)), st.sampled_from([1800, 20000])),
    ),
    max_size=4,
)


@EXAMPLES
@given(TIMELINES, CHANGES, CALENDARS, MODES, st.integers(0, 150))
def test_states_deadlines_and_ledgers_agree(events, changes, calendar, mode, now):
    more = []
    for minute, *what in changes:
        if what[0] == "priority_changed":
            more.append((minute, "priority_changed", {"priority": what[1]}))
        else:
            how, where, target_s = what
            targets = {metric: {"target_s": target_s, **HELD} for metric in METRICS}
            more.append((minute, "policy_changed", {"book": book(where, targets), "mode": how}))
    known = [one for one in [*events, *more] if one[0] <= now * 30]
    for clock in run(known, now * 30, calendar, SHORTER, on_change=mode).values():
        agrees(clock, at(now * 30))


def agrees(clock, now):
    due, breached, done = (
        None if clock[name] is None else datetime.fromisoformat(clock[name])
        for name in ("due_at", "breached_at", "satisfied_at")
    )
    if clock["state"] == "met":
        assert breached is None and done <= due
    if clock["state"] == "missed":
        assert breached < done
    if clock["state"] == "paused":
        assert due is None
    if clock["state"] == "running" and breached is None:
        assert clock["remaining_s"] >= 0 and due >= datetime.fromisoformat(now)
    assert round(clock["elapsed_s"] + clock["remaining_s"], 6) == clock["target_s"]
    covers(clock, clock["ended_at"] or now)


def covers(clock, end):
    entries = clock["ledger"]
    edges = [clock["started_at"], *(one["to"] for one in entries)]
    assert [one["from"] for one in entries] == edges[:-1] and edges[-1] == end
    counted = [one["seconds"] for one in entries if one["kind"] == "counted"]
    assert sum(counted) == clock["elapsed_s"]
