"""Burn rates: thresholds that can fire, minimum counts, windows in open hours, alarms told once."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.sla.domain.alarms import Alarm
from services.sla.domain.burn import RULES, WINDOWS_S, Tally, burn, judge, threshold, window_start
from services.sla.domain.core import ALARM, SlaFactory
from shared.contracts.core import Input
from shared.contracts.windows import Expanded, WindowTable

S = 1_000_000
H = 3_600


@pytest.mark.parametrize(
    ("goal", "rates"),
    [
        (0.8, [4.5, 3.0, 1.0]),  # 14.4 and 6 could never fire: 80 % burns at 5 at most
        (0.9, [9.0, 6.0, 1.0]),
        (0.95, [14.4, 6.0, 1.0]),
        (0.999, [14.4, 6.0, 1.0]),
        (0.5, [1.8, 1.2, 1.0]),
    ],
)
def test_thresholds_by_goal(goal: float, rates: list[float]) -> None:
    assert [threshold(rule, goal) for rule in RULES] == pytest.approx(rates)


@given(st.floats(0.01, 0.999))
def test_every_threshold_fires_when_everything_is_missed(goal: float) -> None:
    for rule in RULES:
        rate = threshold(rule, goal)
        fastest = burn(Tally(100, 100), goal)
        assert rate is not None and fastest is not None and 1 <= rate < fastest


def test_goals_that_cannot_be_missed_or_kept_are_not_judged() -> None:
    assert threshold(RULES[0], 0) is None and threshold(RULES[0], 1) is None
    assert burn(Tally(), 0.9) is None


def tallies(**by_window: Tally) -> dict[int, Tally]:
    return {span: by_window.get(f"s{span}", Tally()) for span in WINDOWS_S}


def test_both_windows_must_burn_and_hold_enough() -> None:
    bad, fine = Tally(100, 100), Tally(100, 0)
    burning = judge(0.8, tallies(s3600=bad, s300=bad))
    assert (
        burning is not None and burning.severity == "page" and burning.burn_long == pytest.approx(5)
    )
    assert judge(0.8, tallies(s3600=bad, s300=fine)) is None, "it is over already"
    assert judge(0.8, tallies(s3600=fine, s300=bad)) is None, "it has only begun"
    assert judge(0.8, tallies(s3600=Tally(9, 9), s300=Tally(9, 9))) is None, "too few"
    assert judge(0.8, tallies(s3600=bad, s300=Tally(2, 2))) is None, "too few lately"
    slow = Tally(100, 25)
    ticket = judge(0.8, tallies(s259200=slow, s21600=slow))
    assert ticket is not None and ticket.severity == "ticket"
    within = Tally(100, 20)
    assert judge(0.8, tallies(s259200=within, s21600=within)) is None, "exactly what is allowed"


def test_windows_are_counted_in_open_hours() -> None:
    """Open 09 to 17 each day: 10 open hours before 10:00 began at 16:00 two days earlier."""
    day = 24 * H
    windows = [((n * day + 9 * H) * S, (n * day + 17 * H) * S) for n in range(10)]
    table = WindowTable(Expanded(0, 10 * day * S, windows))
    now = (5 * day + 10 * H) * S
    assert window_start(table, now, H) == (5 * day + 9 * H) * S
    assert window_start(table, now, 2 * H) == (4 * day + 16 * H) * S
    assert window_start(table, now, 10 * H) == (3 * day + 16 * H) * S
    assert window_start(table, now, 1000 * H) == 9 * H * S
    assert window_start(None, now, H) == now - H * S


def told(core, number: int, firing: bool, severity: str = "page"):
    alarm = Alarm("billing", "first_response", severity, firing, 0.8, 4.5, 5.0, 5.0, 3600, 300, 20, 20)  # fmt: skip
    return core.apply(number * S, number, Input("lifecycle", ALARM, msgspec.json.encode(alarm)))


def test_an_alarm_is_told_when_it_begins_and_when_it_ends() -> None:
    core = SlaFactory().create("acme", 1)
    [event] = told(core, 1, True).events
    assert (event.type, event.topic) == ("sla.burn_rate.firing.v1", "")
    data = msgspec.json.decode(event.data)
    assert data["queue"] == "billing" and data["seq"] == 1 and data["burn_long"] == 5
    assert told(core, 2, True).events == [], "told already"
    again = SlaFactory().create("acme", 1)
    again.load(core.dump())
    assert [one.queue for one in again.alarms] == ["billing"]
    [event] = told(again, 3, False).events
    assert event.type == "sla.burn_rate.resolved.v1" and event.seq == 2
    assert told(again, 4, False).events == [] and again.alarms == []
