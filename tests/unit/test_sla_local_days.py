"""Days of a zone: where they begin, how long they are when its clock changes, and that pieces keep to them."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from services.sla.figures_spans import cut_days, local_days, us


def hours(zone: str, *since: int, days: int = 3) -> list[float]:
    begin = datetime(*since, 12, tzinfo=ZoneInfo(zone))  # type: ignore[misc]
    edges = local_days(begin, begin + timedelta(days=days - 1), ZoneInfo(zone))
    return [(end - one) / timedelta(hours=1) for one, end in pairwise(edges)]


@pytest.mark.parametrize(
    ("zone", "since", "found"),
    [
        ("UTC", (2027, 3, 27), [24, 24, 24]),
        ("Europe/Berlin", (2027, 3, 27), [24, 23, 24]),
        ("Europe/Berlin", (2027, 10, 30), [24, 25, 24]),
        ("Australia/Lord_Howe", (2027, 10, 2), [24, 23.5, 24]),
        ("America/Sao_Paulo", (2018, 11, 3), [24, 23, 24]),  # its midnight was left out
        ("Pacific/Apia", (2011, 12, 29), [24, 24]),  # there was no 30th
    ],
)
def test_days_are_as_long_as_the_clock_makes_them(
    zone: str, since: tuple[int, ...], found: list[float]
) -> None:
    assert hours(zone, *since) == found


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Asia/Kolkata", "Asia/Kathmandu"])
def test_pieces_cover_the_span_and_none_reaches_over_a_midnight(zone: str) -> None:
    since = datetime(2027, 3, 20, 7, 13, 5, tzinfo=UTC)
    until = datetime(2027, 4, 2, 19, 1, tzinfo=UTC)
    edges = local_days(since, until, ZoneInfo(zone))
    assert edges[0] <= since < edges[1]
    assert edges[-2] < until <= edges[-1]
    cut = cut_days(since, until, edges)
    assert (cut[0].since_us, cut[-1].until_us) == (us(since), us(until))
    assert all(one.until_us == other.since_us for one, other in pairwise(cut))
    assert max(one.step for one in cut) == 60
    for edge in map(us, edges):
        assert not any(one.since_us < edge < one.until_us for one in cut)
