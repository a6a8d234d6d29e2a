"""The named definitions by hand, compliance, and nothing said where nothing can be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.sla.domain.ended import by_outcome
from services.sla.domain.histogram import of_values
from services.sla.domain.service_level import Kept, compliance, counts_of, kept_of
from shared.contracts.service_level import Counts, service_levels

S = 1_000_000
NAMES = {
    "abandons_in_time_succeed", "abandons_ignored", "abandons_fail", "early_abandons_ignored",
    "short_abandons_succeed", "live",
}  # fmt: skip

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


def ended(**values_s: list[float]):
    return by_outcome(
        {outcome: of_values(round(one * S) for one in values) for outcome, values in values_s.items()}
    )  # fmt: skip


def test_counts_by_hand() -> None:
    """T = 20 s: at T itself is within; 5 s itself is a short abandon."""
    counts = counts_of(
        ended(met=[1, 20], missed=[20.5, 300], abandoned=[5, 5.5, 20, 21], closed_unanswered=[9],
              closed_late=[99]).sums(20 * S)
    )  # fmt: skip
    assert counts == Counts(
        offered=10, answered=4, answered_within=2, abandoned=4, abandoned_within=3,
        abandoned_short=1, closed_unanswered=2,
    )  # fmt: skip
    assert service_levels(counts) == {
        "abandons_in_time_succeed": 5 / 8,
        "abandons_ignored": 2 / 4,
        "abandons_fail": 2 / 8,
        "early_abandons_ignored": 2 / 5,
        "short_abandons_succeed": 3 / 8,
        "live": 2 / 5,
    }


def test_nothing_is_said_of_nothing() -> None:
    assert service_levels(Counts()) == dict.fromkeys(NAMES)
    assert compliance(Kept()) is None


def test_each_denominator_of_nothing_by_itself() -> None:
    early = counts_of(ended(abandoned=[3, 3]).sums(20 * S))
    levels = service_levels(early)
    assert levels["abandons_ignored"] is None, "nobody was answered"
    assert levels["early_abandons_ignored"] is None and levels["live"] is None
    assert levels["abandons_fail"] == 0 and levels["abandons_in_time_succeed"] == 1
    unanswered = service_levels(counts_of(ended(closed_unanswered=[3]).sums(20 * S)))
    assert unanswered == dict.fromkeys(NAMES)


def test_who_waits_beyond_the_threshold_has_failed_already() -> None:
    counts = counts_of(ended(met=[10]).sums(20 * S))
    counts.wait(beyond=True)
    counts.wait(beyond=False)
    assert (counts.offered, counts.waiting, counts.waiting_beyond) == (3, 2, 1)
    assert service_levels(counts)["live"] == 0.5
    assert service_levels(counts)["abandons_ignored"] == 1.0


def test_compliance_judges_what_ended_or_is_breached_and_no_miss_is_closed_away() -> None:
    kept = kept_of(
        ended(
            met=[1, 2, 3], missed=[9], abandoned=[1], closed_unanswered=[1], closed_late=[9]
        ).sums(0)
    )
    kept.wait(breached=True)
    kept.wait(breached=False)
    assert kept == Kept(
        met=3, missed=3, breached_open=1, closed_unanswered=2, abandoned=1, running=1
    )
    assert compliance(kept) == 0.5


times = st.lists(st.floats(0, 10_000), max_size=20)
everything = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("met", "missed", "abandoned", "closed_unanswered"), times)
)


@given(everything, st.lists(st.integers(0, 100 * S), max_size=5), st.sampled_from([1, 5, 20, 60]))
def test_shares_are_shares_and_counts_add_up(
    past: dict[str, list[float]], waiting: list[int], threshold_s: int
) -> None:
    counts = counts_of(ended(**past).sums(threshold_s * S))
    for elapsed in waiting:
        counts.wait(beyond=elapsed > threshold_s * S)
    assert counts.offered == (
        counts.answered + counts.abandoned + counts.waiting + counts.closed_unanswered
    )
    us = [round(one * S) for name in ("met", "missed") for one in past.get(name, [])]
    assert counts.answered_within == sum(one <= threshold_s * S for one in us)
    assert all(share is None or 0 <= share <= 1 for share in service_levels(counts).values())
