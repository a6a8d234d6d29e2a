"""The five definitions on ICMI's example, and nothing said where nothing can be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts.service_level import Counts, service_levels

# 1,000 answered, 860 of them in T; 60 abandoned: 20 within T, 40 after, 10 within 5 s.
ICMI = Counts(
    offered=1060, answered=1000, answered_within=860, abandoned=60, abandoned_within=20,
    abandoned_short=10,
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "share"),
    [
        ("abandons_in_time_succeed", 880 / 1060),
        ("abandons_ignored", 0.86),
        ("abandons_fail", 860 / 1060),
        ("early_abandons_ignored", 860 / 1040),
        ("short_abandons_succeed", 870 / 1060),
        ("live", 860 / 1040),
    ],
)
def test_definitions_on_the_published_example(name: str, share: float) -> None:
    assert service_levels(ICMI)[name] == pytest.approx(share)


def test_nothing_is_said_of_nothing() -> None:
    assert set(service_levels(Counts()).values()) == {None}


def test_who_waits_beyond_the_threshold_has_failed_already() -> None:
    counts = Counts()
    counts.add("met", 10, True, 20)
    counts.add("running", 30, False, 20)
    counts.add("running", 5, False, 20)
    assert counts.waiting_beyond == 1
    assert counts.offered == 3
    assert service_levels(counts)["live"] == 0.5
    assert service_levels(counts)["abandons_ignored"] == 1.0


clocks = st.tuples(
    st.sampled_from(["met", "missed", "abandoned", "running", "paused", "closed_unanswered", "cancelled"]),
    st.floats(0, 100),
)  # fmt: skip


@given(st.lists(clocks))
def test_shares_are_shares_and_counts_add_up(given_clocks: list[tuple[str, float]]) -> None:
    counts = Counts()
    for state, elapsed in given_clocks:
        counts.add(state, elapsed, state in ("met", "missed"), 20)
    assert counts.offered == (
        counts.answered + counts.abandoned + counts.waiting + counts.closed_unanswered
    )
    assert all(share is None or 0 <= share <= 1 for share in service_levels(counts).values())
