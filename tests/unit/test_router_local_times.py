"""Windows of call-backs on a customer's clock, also where the clock skips an hour or shows it twice."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.router.api.tasks import _window
from services.router.local_times import local_time, local_window

DAY = "2027-03-28"  # in Berlin 02:00 to 03:00 is left out: 01:00 UTC


def window(since: str, until: str, zone: str = "Europe/Berlin") -> tuple[str, str]:
    found = _window(since, until, zone)
    begins, ends = (datetime.fromtimestamp((one or 0) / 1e6, UTC) for one in found)
    return f"{begins:%H:%M}", f"{ends:%H:%M}"


@pytest.mark.parametrize(
    ("since", "until", "begins", "ends"),
    [
        ("01:30", "03:30", "00:30", "01:30"),
        ("02:30", "04:00", "01:30", "02:00"),  # shifted forward, as in calendars
        ("01:30", "02:30", "00:30", "01:30"),
        ("02:10", "02:40", "01:10", "01:40"),
        ("02:30", "03:15", "01:00", "01:15"),  # it would begin behind its end
        ("02:30", "03:30", "01:00", "01:30"),
        ("02:00", "03:00", "01:00", "02:00"),  # nothing of it is on the clock: as long as it says
        ("02:30", "03:00", "01:00", "01:30"),
    ],
)
def test_a_window_in_the_hour_that_is_left_out(
    since: str, until: str, begins: str, ends: str
) -> None:
    assert window(f"{DAY}T{since}", f"{DAY}T{until}") == (begins, ends)


def test_of_an_hour_that_comes_twice_the_first_counts() -> None:
    assert window("2027-10-31T02:15", "2027-10-31T02:45") == ("00:15", "00:45")


def test_times_with_an_offset_are_what_they_are() -> None:
    assert window(f"{DAY}T02:30+01:00", f"{DAY}T03:15+02:00") == ("01:30", "01:15")
    assert _window(None, None, "UTC") == (None, None)
    assert local_time("soon") is local_time("2027-03-28T02:30Z") is local_time(None) is None


def test_a_whole_day_that_is_left_out() -> None:
    found = local_window(datetime(2011, 12, 30, 9), datetime(2011, 12, 31, 8), "Pacific/Apia")
    assert found[0] == datetime(2011, 12, 30, 10, tzinfo=UTC)
    assert found[1] == datetime(2011, 12, 30, 18, tzinfo=UTC)


@settings(max_examples=1000)
@given(
    minutes=st.tuples(st.integers(0, 300), st.integers(0, 300)),
    place=st.sampled_from(
        [
            ("Europe/Berlin", 2027, 3, 28),
            ("Europe/Berlin", 2027, 10, 31),
            ("America/New_York", 2027, 3, 14),
            ("Australia/Lord_Howe", 2027, 10, 3),
            ("Asia/Kolkata", 2027, 3, 28),
        ]
    ),
)
def test_what_is_in_order_on_the_clock_is_a_window(
    minutes: tuple[int, int], place: tuple[str, int, int, int]
) -> None:
    zone, *day = place
    first, last = sorted(minutes)
    since = datetime(*day, first // 60, first % 60)  # type: ignore[misc]
    until = datetime(*day, last // 60, last % 60)  # type: ignore[misc]
    begins, ends = local_window(since, until, zone)
    assert begins is not None and ends is not None
    assert begins < ends or since == until
