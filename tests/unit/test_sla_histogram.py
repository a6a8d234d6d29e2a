"""Histograms that add up, and the pieces of time that the roll-up is read by."""

from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.sla.domain.histogram import (
    GRID,
    LONGEST_US,
    RELATIVE_ERROR,
    Histogram,
    bucket_of,
    merged,
    of_values,
    on_grid,
    with_edges,
)
from services.sla.domain.pieces import MINUTE_US, pieces

S = 1_000_000
spans = st.integers(0, 10**14)
values = st.lists(spans, max_size=50)


@given(st.lists(values, max_size=5))
def test_merge_of_histograms_is_the_histogram_of_all(parts) -> None:
    whole = of_values([one for part in parts for one in part])
    assert merged(of_values(part) for part in parts) == whole


@given(values, st.sampled_from(GRID))
def test_counts_at_most_an_edge_are_exact(given_values, edge) -> None:
    assert of_values(given_values).at_most(edge) == sum(one <= edge for one in given_values)


@given(values, st.integers(1, 10**12))
def test_counts_at_most_a_declared_threshold_are_exact(given_values, threshold) -> None:
    edges = with_edges([threshold])
    histogram = of_values(given_values, edges)
    assert histogram.at_most(threshold) == sum(one <= threshold for one in given_values)


@given(spans)
def test_a_bucket_ends_at_or_above_its_value_and_is_narrow(value) -> None:
    edge = bucket_of(value)
    assert value <= edge
    if value > 10_000:
        before = max(one for one in GRID if one < edge)
        assert before < value and (edge - before) / before <= RELATIVE_ERROR + 1e-9


@given(st.lists(spans, min_size=1, max_size=60), st.sampled_from([0.5, 0.9, 0.95, 1.0]))
def test_quantiles_are_within_the_stated_error(given_values, share) -> None:
    exact = sorted(given_values)[max(1, ceil(share * len(given_values))) - 1]
    shown = of_values(given_values).quantile_s(share)
    assert shown is not None and exact <= shown * S + 1
    assert shown * S <= max(exact * (1 + RELATIVE_ERROR) + 1, 10_000)


def test_the_mean_is_exact_and_nothing_is_said_of_nothing() -> None:
    assert of_values([1_234_567, 2_000_001]).mean_s() == 3_234_568 / 2 / S
    empty = Histogram()
    assert (empty.mean_s(), empty.quantile_s(0.5), empty.max_s(), empty.n) == (None, None, None, 0)


@pytest.mark.parametrize(
    "seconds", [1, 5, 20, 60, 90, 119, 300, 3600, 14_400, 28_800, 86_400, 172_800]
)
def test_customary_thresholds_are_edges(seconds) -> None:
    assert on_grid(seconds * S)


def test_times_beyond_all_edges_count_in_the_last_bucket() -> None:
    assert bucket_of(LONGEST_US * 5) == LONGEST_US and bucket_of(-3) == 0


@given(
    st.integers(0, 40 * 1440 * MINUTE_US),
    st.integers(0, 10 * 1440 * MINUTE_US),
    st.integers(0, 50 * 1440 * MINUTE_US),
    st.sampled_from([1, 60, 1440]),
)
def test_pieces_cover_a_span_once_and_keep_to_whole_steps(since, length, minutes, coarsest) -> None:
    until = since + length
    cut = pieces(since, until, minutes, coarsest)
    assert sum(one.until_us - one.since_us for one in cut) == length
    assert all(a.until_us == b.since_us for a, b in zip(cut, cut[1:], strict=False))
    for step, begin, end in cut:
        assert step <= coarsest and begin < end
        if step:
            assert begin % (step * MINUTE_US) == 0 == end % (step * MINUTE_US)
        if step == 1:
            assert begin >= minutes
    if cut:
        assert (cut[0].since_us, cut[-1].until_us) == (since, until)


def test_a_long_span_is_mostly_days() -> None:
    day = 1440 * MINUTE_US
    steps = [one.step for one in pieces(day - 61 * MINUTE_US - 1, 9 * day + 1, 0)]
    assert steps == [0, 1, 60, 1440, 0]
