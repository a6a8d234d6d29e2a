"""`calendars:evaluate`: every form and fine point of API.md, and the edge rules of business time."""

import pytest

from shared.calendars import evaluate
from shared.contracts.problems import Refused

BERLIN = "Europe/Berlin"
NINE_TO_FIVE = {day: [["09:00", "17:00"]] for day in ("mon", "tue", "wed", "thu", "fri")}
WEEK = {"timezone": "UTC", "hours": NINE_TO_FIVE}
DAILY = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
ALWAYS = {"timezone": "UTC", "always_open": True}


def ask(calendar=WEEK, **body):
    return evaluate({"calendar": calendar, **body}, lambda _: None)


def refused(body, lookup=lambda _: None):
    with pytest.raises(Refused) as refusal:
        evaluate(body, lookup)
    assert refusal.value.kind == "validation"
    fault = refusal.value.errors[0]
    return fault.pointer, fault.code


def every_day(*windows, zone="UTC", **more):
    return {"timezone": zone, "hours": {day: list(windows) for day in DAILY}, **more}


def day_length(calendar, date, after):
    answer = ask(calendar, start=f"{date}T00:00:00", end=f"{after}T00:00:00")
    return answer["elapsed_s"] / 3600


# Forward and back (2026-11-23 is a Monday).


@pytest.mark.parametrize(
    ("start", "seconds", "deadline"),
    [
        ("2026-11-23T10:00:00Z", 3600, "2026-11-23T11:00:00Z"),
        ("2026-11-23T16:00:00Z", 3600, "2026-11-23T17:00:00Z"),  # used up exactly: the closing
        ("2026-11-23T16:00:00Z", 3600.000001, "2026-11-24T09:00:00.000001Z"),
        ("2026-11-23T17:00:00Z", 60, "2026-11-24T09:01:00Z"),  # at the closing it is closed
        ("2026-11-27T16:30:00Z", 3600, "2026-11-30T09:30:00Z"),  # over the weekend
        ("2026-11-28T12:00:00Z", 0, "2026-11-30T09:00:00Z"),  # nothing: the next opening
        ("2026-11-23T12:00:00Z", 0, "2026-11-23T12:00:00Z"),
        ("2026-11-23T17:00:00Z", 0, "2026-11-24T09:00:00Z"),
        ("2026-11-23T10:00:00Z", -3600, "2026-11-23T09:00:00Z"),  # used up exactly: the opening
        ("2026-11-23T10:00:00Z", -3601, "2026-11-20T16:59:59Z"),
        ("2026-11-23T09:00:00Z", -60, "2026-11-20T16:59:00Z"),
        ("2026-11-23T18:00:00Z", -8 * 3600, "2026-11-23T09:00:00Z"),
    ],
)
def test_deadlines(start, seconds, deadline):
    assert ask(start=start, duration_s=seconds)["deadline"] == deadline


def test_the_windows_counted_add_up():
    answer = ask(start="2026-11-23T16:00:00+00:00", duration_s=7200)
    assert answer["windows"] == [
        {"start": "2026-11-23T16:00:00Z", "end": "2026-11-23T17:00:00Z", "counted_s": 3600},
        {"start": "2026-11-24T09:00:00Z", "end": "2026-11-24T10:00:00Z", "counted_s": 3600},
    ]
    back = ask(start="2026-11-24T10:00:00Z", duration_s=-7200)
    assert back["windows"] == answer["windows"] and back["deadline"] == "2026-11-23T16:00:00Z"


def test_elapsed_time():
    answer = ask(start="2026-11-23T16:00:00Z", end="2026-11-24T10:00:00Z")
    assert answer["elapsed_s"] == 7200 and len(answer["windows"]) == 2
    nothing = ask(start="2026-11-24T10:00:00Z", end="2026-11-23T16:00:00Z")
    assert nothing == {"elapsed_s": 0, "windows": []}


@pytest.mark.parametrize(
    ("at", "is_open", "opens", "closes"),
    [
        ("2026-11-23T12:00:00Z", True, "2026-11-23T12:00:00Z", "2026-11-23T17:00:00Z"),
        ("2026-11-23T17:00:00Z", False, "2026-11-24T09:00:00Z", "2026-11-24T17:00:00Z"),
        ("2026-11-23T09:00:00Z", True, "2026-11-23T09:00:00Z", "2026-11-23T17:00:00Z"),
        ("2026-11-28T09:00:00Z", False, "2026-11-30T09:00:00Z", "2026-11-30T17:00:00Z"),
    ],
)
def test_open_at_a_moment(at, is_open, opens, closes):
    assert ask(at=at) == {"open": is_open, "next_open": opens, "next_close": closes}


def test_what_never_comes_is_null():
    assert ask(ALWAYS, at="2026-11-23T12:00:00Z")["next_close"] is None
    assert ask(every_day(["00:00", "24:00"]), at="2026-11-23T12:00:00Z")["next_close"] is None
    once = {"timezone": "UTC", "overrides": {"2026-11-23": [["09:00", "10:00"]]}}
    answer = ask(once, at="2026-11-23T10:00:00Z")
    assert answer == {"open": False, "next_open": None, "next_close": None}
    closing = {**ALWAYS, "holidays": ["2031-05-05"]}
    assert ask(closing, at="2026-11-23T12:00:00Z")["next_close"] == "2031-05-05T00:00:00Z"


def test_a_list_clips_and_merges_windows_that_touch():
    calendar = every_day(
        ["09:00", "12:00"], ["12:00", "14:00"], ["22:00", "24:00"], ["00:00", "01:00"]
    )
    listed = ask(calendar, start="2026-11-23T10:00:00Z", end="2026-11-24T00:30:00Z", list="windows")
    assert listed["windows"] == [
        {"start": "2026-11-23T10:00:00Z", "end": "2026-11-23T14:00:00Z"},
        {"start": "2026-11-23T22:00:00Z", "end": "2026-11-24T00:30:00Z"},
    ]


# Business days.


@pytest.mark.parametrize(
    ("start", "days", "end_of_day", "deadline"),
    [
        ("2026-11-23T10:00:00Z", 3, False, "2026-11-26T10:00:00Z"),
        ("2026-11-27T10:00:00Z", 1, False, "2026-11-30T10:00:00Z"),
        ("2026-11-28T10:00:00Z", 1, False, "2026-11-30T10:00:00Z"),  # Saturday: Monday is the first
        ("2026-11-23T20:00:00Z", 1, False, "2026-11-25T09:00:00Z"),  # closed then
        ("2026-11-23T07:00:00Z", 1, False, "2026-11-24T09:00:00Z"),
        ("2026-11-30T10:00:00Z", -1, False, "2026-11-27T10:00:00Z"),
        ("2026-11-23T10:00:00Z", 3, True, "2026-11-26T17:00:00Z"),
        ("2026-11-23T10:00:00Z", 0, True, "2026-11-23T17:00:00Z"),
        ("2026-11-23T10:00:00Z", 0, False, "2026-11-23T10:00:00Z"),
        ("2026-11-28T10:00:00Z", 0, False, "2026-11-30T09:00:00Z"),
        ("2026-01-05T10:00:00Z", -3, False, "2025-12-31T10:00:00Z"),  # over the new year
        ("2026-01-05T10:00:00Z", -30, True, "2025-11-24T17:00:00Z"),
    ],
)
def test_business_days(start, days, end_of_day, deadline):
    body = {"start": start, "business_days": days}
    assert ask(**body, end_of_day=end_of_day)["deadline"] == deadline
    if not end_of_day:
        assert ask(**body)["deadline"] == deadline


def test_business_days_keep_the_local_time_through_a_change_of_the_clocks():
    calendar = every_day(["08:00", "18:00"], zone=BERLIN)
    answer = ask(calendar, start="2026-03-28T10:00:00+01:00", business_days=1)
    assert answer["deadline"] == "2026-03-29T08:00:00Z"


def test_the_last_closing_of_an_overnight_day():
    calendar = {"timezone": "UTC", "hours": {"fri": [["08:00", "10:00"], ["22:00", "06:00"]]}}
    answer = ask(calendar, start="2026-11-23T10:00:00Z", business_days=1, end_of_day=True)
    assert answer["deadline"] == "2026-11-28T06:00:00Z"


# Time zones.


@pytest.mark.parametrize(
    ("zone", "date", "after", "hours"),
    [
        (BERLIN, "2026-03-29", "2026-03-30", 23),
        (BERLIN, "2026-10-25", "2026-10-26", 25),
        (BERLIN, "2026-11-23", "2026-11-24", 24),
        ("America/Sao_Paulo", "2018-11-04", "2018-11-05", 23),  # midnight does not exist
        ("America/Sao_Paulo", "2018-02-17", "2018-02-18", 25),
        ("Asia/Tehran", "2022-03-22", "2022-03-23", 23),
        ("Asia/Tehran", "2022-09-21", "2022-09-22", 25),
        ("Australia/Lord_Howe", "2026-10-04", "2026-10-05", 23.5),
        ("Asia/Kolkata", "2026-10-04", "2026-10-05", 24),
        ("America/Havana", "2024-11-03", "2024-11-04", 25),
    ],
)
def test_days_are_as_long_as_they_are(zone, date, after, hours):
    assert day_length(every_day(["00:00", "24:00"], zone=zone), date, after) == hours
    assert day_length({"timezone": zone, "always_open": True}, date, after) == hours


def test_a_gap_shifts_forward():
    # Los Angeles, 2006-04-02: 02:00 to 03:00 do not exist; 02:30 is 03:30, and the window vanishes.
    zone = "America/Los_Angeles"
    vanishing = every_day(["02:30", "03:15"], zone=zone)
    listed = ask(vanishing, start="2006-04-01T12:00:00", end="2006-04-03T12:00:00", list="windows")
    assert listed["windows"] == [{"start": "2006-04-03T09:30:00Z", "end": "2006-04-03T10:15:00Z"}]
    opening = every_day(["02:30", "05:00"], zone=zone)
    listed = ask(opening, start="2006-04-02T00:00:00", end="2006-04-02T12:00:00", list="windows")
    assert listed["windows"] == [{"start": "2006-04-02T10:30:00Z", "end": "2006-04-02T12:00:00Z"}]


def test_of_an_overlap_the_first_occurrence_counts():
    # Berlin, 2026-10-25: 02:00 to 03:00 come twice.
    calendar = every_day(["01:00", "02:30"], zone=BERLIN)
    listed = ask(calendar, start="2026-10-25T00:00:00", end="2026-10-25T12:00:00", list="windows")
    assert listed["windows"] == [{"start": "2026-10-24T23:00:00Z", "end": "2026-10-25T00:30:00Z"}]
    opening = every_day(["02:30", "03:30"], zone=BERLIN)
    listed = ask(opening, start="2026-10-25T00:00:00", end="2026-10-25T12:00:00", list="windows")
    assert listed["windows"] == [{"start": "2026-10-25T00:30:00Z", "end": "2026-10-25T02:30:00Z"}]


def test_a_date_that_a_zone_skipped_has_no_hours():
    # Samoa went from 29 to 31 December 2011.
    calendar = {"timezone": "Pacific/Apia", "hours": {"fri": [["09:00", "17:00"]]}}
    start, end = "2011-12-29T00:00:00", "2012-01-02T00:00:00"
    assert ask(calendar, start=start, end=end, list="windows")["windows"] == []


def test_times_without_offset_are_local():
    calendar = every_day(["08:00", "18:00"], zone=BERLIN)
    assert ask(calendar, at="2026-07-01T08:00:00")["open"] is True
    assert ask(calendar, at="2026-07-01T07:59")["open"] is False
    assert ask(calendar, at="2026-07-01T08:00:00Z")["open"] is True
    gap = ask(calendar, start="2026-03-29T02:30:00", end="2026-03-29T08:30:00")
    assert gap["elapsed_s"] == 1800


# Holidays, overrides, versions, combinations.


def test_overnight_belongs_to_the_day_it_opens():
    office = {
        "timezone": BERLIN,
        "hours": {"fri": [["22:00", "06:00"]]},
        "holidays": ["2026-11-28"],
    }
    body = {"start": "2026-11-20T00:00:00", "end": "2026-12-06T00:00:00"}
    assert ask(office, **body)["elapsed_s"] == 3 * 8 * 3600  # a holiday on Saturday cuts nothing
    assert ask({**office, "holidays": ["2026-11-27"]}, **body)["elapsed_s"] == 2 * 8 * 3600


def test_holidays_once_and_yearly():
    calendar = {**WEEK, "holidays": ["2026-11-24", {"yearly": "11-25"}]}
    year = {"start": "2026-11-23T00:00:00Z", "end": "2026-11-28T00:00:00Z"}
    assert ask(calendar, **year)["elapsed_s"] == 3 * 8 * 3600
    following = {"start": "2027-11-22T00:00:00Z", "end": "2027-11-27T00:00:00Z"}
    assert ask(calendar, **following)["elapsed_s"] == 4 * 8 * 3600


def test_overrides_win_over_holidays_and_an_empty_list_closes():
    calendar = {
        **WEEK,
        "holidays": ["2026-11-24"],
        "overrides": {
            "2026-11-24": [["10:00", "11:00"]],
            "2026-11-25": [],
            "2026-11-28": [["1:00"]],
        },
    }
    calendar["overrides"]["2026-11-28"] = [["22:00", "02:00"]]
    listed = ask(calendar, start="2026-11-24T00:00:00Z", end="2026-11-29T12:00:00Z", list="windows")
    assert [window["start"][8:13] for window in listed["windows"]] == [
        "24T10",
        "26T09",
        "27T09",
        "28T22",
    ]


def test_countries_close_the_day_and_its_substitute():
    united = {**WEEK, "country": "US"}
    assert ask(united, at="2026-07-03T12:00:00Z")["open"] is False  # 4 July 2026 is a Saturday
    weekends = every_day(["09:00", "17:00"], country="US")
    assert ask(weekends, at="2026-07-04T12:00:00Z")["open"] is False
    assert ask(weekends, at="2026-07-03T12:00:00Z")["open"] is False
    assert ask({**united}, at="2027-12-31T12:00:00Z")["open"] is False  # New Year 2028, observed
    britain = {**WEEK, "country": "GB", "subdivision": "ENG"}
    assert ask(britain, at="2022-01-03T12:00:00Z")["open"] is False
    berlin = {**WEEK, "country": "DE", "subdivision": "BE"}
    assert ask(every_day(["09:00", "17:00"], country="DE", subdivision="BE"), at="2026-03-08T12:00:00Z")["open"] is False  # fmt: skip
    assert ask({**berlin, "overrides": {"2026-12-25": [["09:00", "12:00"]]}}, at="2026-12-25T10:00:00Z")["open"]  # fmt: skip


def test_versions_hold_from_a_local_date_and_replace_what_they_name():
    calendar = {
        "timezone": BERLIN,
        "hours": NINE_TO_FIVE,
        "holidays": ["2027-01-04"],
        "versions": [
            {"from": "2027-06-07", "holidays": []},
            {"from": "2027-01-01", "hours": {"mon": [["08:00", "18:00"]]}},
        ],
    }
    listed = ask(calendar, start="2026-12-30T00:00:00", end="2027-01-19T00:00:00", list="windows")
    assert [window["start"] for window in listed["windows"]] == [
        "2026-12-30T08:00:00Z", "2026-12-31T08:00:00Z",
        "2027-01-11T07:00:00Z", "2027-01-18T07:00:00Z",
    ]  # fmt: skip
    assert ask(calendar, at="2027-06-07T08:30:00")["open"] is True
    overnight = {
        "timezone": "UTC",
        "hours": {"thu": [["22:00", "06:00"]]},
        "versions": [{"from": "2027-01-01", "hours": {"mon": [["09:00", "10:00"]]}}],
    }
    assert ask(overnight, at="2027-01-01T05:59:59Z")["open"] is True, "it opened under the first"


def test_union_and_intersection():
    early = every_day(["06:00", "12:00"])
    late = every_day(["10:00", "20:00"])

    def both(combine, **body):
        return evaluate({"calendars": [early, late], "combine": combine, **body}, lambda _: None)

    day = {"start": "2026-11-23T00:00:00Z", "end": "2026-11-24T00:00:00Z"}
    assert both("union", **day)["elapsed_s"] == 14 * 3600
    assert both("intersection", **day)["elapsed_s"] == 2 * 3600
    assert both("union", at="2026-11-23T11:00:00Z")["next_close"] == "2026-11-23T20:00:00Z"
    days = {"start": "2026-11-23T11:00:00Z", "business_days": 2, "end_of_day": True}
    assert both("intersection", **days)["deadline"] == "2026-11-25T12:00:00Z"
    assert both("union", **days)["deadline"] == "2026-11-25T20:00:00Z"
    late_answer = both("intersection", start="2026-11-23T11:00:00Z", duration_s=7200)
    assert late_answer["deadline"] == "2026-11-24T11:00:00Z"
    disjoint = {"calendars": [every_day(["06:00", "07:00"]), late], "combine": "intersection"}
    assert evaluate({**disjoint, "at": "2026-11-23T11:00:00Z"}, lambda _: None) == {
        "open": False, "next_open": None, "next_close": None,
    }  # fmt: skip
    assert refused({**disjoint, "start": "2026-11-23T11:00:00Z", "duration_s": 1}) == (
        "/duration_s", "horizon",
    )  # fmt: skip


# The horizon.


def test_the_horizon_bounds_deadlines_only():
    sparse = {
        "timezone": "UTC",
        "hours": {},
        "holidays": [],
        "overrides": {"2034-01-01": [["09:00", "10:00"]]},
    }
    answer = ask(sparse, start="2026-11-23T00:00:00Z", duration_s=3600)
    assert answer["deadline"] == "2034-01-01T10:00:00Z"
    body = {"calendar": sparse, "start": "2020-11-23T00:00:00Z", "duration_s": 60}
    assert refused(body) == ("/duration_s", "horizon")
    assert refused({**body, "start": "2050-01-01T00:00:00Z", "duration_s": -60})[1] == "horizon"
    assert refused({**body, "duration_s": 1e300})[1] == "horizon"
    assert refused({"calendar": WEEK, "start": "2026-11-23T00:00:00Z", "business_days": 10**12}) == (
        "/business_days", "horizon",
    )  # fmt: skip
    ten = ask(ALWAYS, start="2026-11-23T00:00:00Z", duration_s=3653 * 86_400)
    assert ten["deadline"] == "2036-11-23T00:00:00Z"
    assert refused({"calendar": ALWAYS, "start": "2026-11-23T00:00:00Z", "duration_s": 3653 * 86_400 + 1})[1] == "horizon"  # fmt: skip
    long = ask(ALWAYS, start="2000-01-01T00:00:00Z", end="2050-01-01T00:00:00Z")
    assert long["elapsed_s"] == 18_263 * 86_400
    assert ask(sparse, at="2020-01-01T00:00:00Z")["next_open"] == "2034-01-01T09:00:00Z"


# Refusals.


@pytest.mark.parametrize(
    ("calendar", "pointer", "code"),
    [
        ({"timezone": "UTC"}, "/calendar/hours", "never_open"),
        ({"timezone": "UTC", "hours": {}}, "/calendar/hours", "never_open"),
        ({"timezone": "UTC", "hours": {"mon": []}}, "/calendar/hours", "never_open"),
        ({"timezone": "UTC", "overrides": {"2026-11-23": []}}, "/calendar/hours", "never_open"),
        ({"hours": NINE_TO_FIVE}, "/calendar/timezone", "missing"),
        ({**WEEK, "timezone": "Europe/Berlinn"}, "/calendar/timezone", "unknown_timezone"),
        ({**WEEK, "holiday": []}, "/calendar/holiday", "unknown_field"),
        ({**WEEK, "hours": {"monday": []}}, "/calendar/hours/monday", "unknown_field"),
        ({**WEEK, "hours": {"mon": [["09:00", "09:00"]]}}, "/calendar/hours/mon/0", "empty"),
        ({**WEEK, "hours": {"mon": [["9:00", "17:00"]]}}, "/calendar/hours/mon/0/0", "time"),
        ({**WEEK, "hours": {"mon": [["24:00", "17:00"]]}}, "/calendar/hours/mon/0/0", "time"),
        ({**WEEK, "hours": {"mon": [["09:00", "24:01"]]}}, "/calendar/hours/mon/0/1", "time"),
        ({**WEEK, "hours": {"mon": [["09:00", "25:00"]]}}, "/calendar/hours/mon/0/1", "time"),
        ({**WEEK, "hours": {"mon": [["09:60", "17:00"]]}}, "/calendar/hours/mon/0/0", "time"),
        ({**WEEK, "hours": {"mon": [[9, 17]]}}, "/calendar/hours/mon/0/0", "time"),
        ({**WEEK, "hours": {"mon": ["09:00"]}}, "/calendar/hours/mon/0", "type"),
        (
            {**WEEK, "hours": {"mon": [["09:00", "12:00"], ["11:00", "13:00"]]}},
            "/calendar/hours/mon/1",
            "overlap",
        ),
        (
            {**WEEK, "hours": {"fri": [["22:00", "06:00"]], "sat": [["05:00", "09:00"]]}},
            "/calendar/hours/sat/0",
            "overlap",
        ),
        (
            {**WEEK, "hours": {"sun": [["22:00", "06:00"]], "mon": [["05:00", "09:00"]]}},
            "/calendar/hours/mon/0",
            "overlap",
        ),
        ({**WEEK, "holidays": ["2026-02-30"]}, "/calendar/holidays/0", "date"),
        ({**WEEK, "holidays": [{"yearly": "13-01"}]}, "/calendar/holidays/0/yearly", "date"),
        ({**WEEK, "holidays": [{"year": "12-01"}]}, "/calendar/holidays/0/year", "unknown_field"),
        ({**WEEK, "country": "XX"}, "/calendar/country", "unknown_country"),
        ({**WEEK, "country": "DE", "subdivision": "ZZ"}, "/calendar/subdivision", "unknown_subdivision"),
        ({**WEEK, "subdivision": "BE"}, "/calendar/country", "missing"),
        ({**WEEK, "overrides": {"2026-13-01": []}}, "/calendar/overrides/2026-13-01", "date"),
        (
            {**WEEK, "overrides": {"2026-12-01": [["10:00", "10:00"]]}},
            "/calendar/overrides/2026-12-01/0",
            "empty",
        ),
        ({**WEEK, "versions": [{"hours": {}}]}, "/calendar/versions/0/from", "date"),
        ({**WEEK, "always_open": True}, "/calendar/hours", "contradiction"),
        ({**WEEK, "always_open": "yes"}, "/calendar/always_open", "type"),
        ({**WEEK, "id": "a b"}, "/calendar/id", "id"),
        ([], "/calendar", "type"),
        (
            {"timezone": "America/Los_Angeles", "overrides": {"2006-04-02": [["02:30", "03:15"]]}},
            "/calendar/hours",
            "never_open",
        ),
    ],
)  # fmt: skip
def test_calendars_that_are_refused(calendar, pointer, code):
    assert refused({"calendar": calendar, "at": "2026-11-23T00:00:00Z"}) == (pointer, code)


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({}, "", "form"),
        ({"start": "2026-11-23T00:00:00Z"}, "", "form"),
        ({"start": "2026-11-23T00:00:00Z", "duration_s": 1, "end": "2026-11-24T00:00:00Z"}, "", "form"),
        ({"at": "2026-11-23T00:00:00Z", "duration_s": 1}, "", "form"),
        ({"at": "soon"}, "/at", "instant"),
        ({"at": 5}, "/at", "instant"),
        ({"at": "2026-11-23"}, "/at", "instant"),
        ({"at": "2026-11-23T25:00:00Z"}, "/at", "instant"),
        ({"start": "2026-11-23T00:00:00Z", "duration_s": "60"}, "/duration_s", "type"),
        ({"start": "2026-11-23T00:00:00Z", "duration_s": True}, "/duration_s", "type"),
        ({"start": "2026-11-23T00:00:00Z", "duration_s": float("nan")}, "/duration_s", "type"),
        ({"start": "2026-11-23T00:00:00Z", "business_days": 1.5}, "/business_days", "type"),
        ({"start": "2026-11-23T00:00:00Z", "end": "2026-11-24T00:00:00Z", "list": "days"}, "/list", "value"),
        ({"att": "2026-11-23T00:00:00Z"}, "/att", "unknown_field"),
    ],
)  # fmt: skip
def test_questions_that_are_refused(body, pointer, code):
    assert refused({"calendar": WEEK, **body}) == (pointer, code)


def test_the_calendar_must_be_named_and_known():
    at = {"at": "2026-11-23T12:00:00Z"}
    assert refused(at) == ("/calendar", "missing")
    assert refused({**at, "calendar": WEEK, "calendar_id": "x"}) == ("/calendar", "missing")
    assert refused({**at, "calendar_id": "x"}) == ("/calendar_id", "unknown_calendar")
    assert refused({**at, "calendars": [WEEK, WEEK]}) == ("/combine", "value")
    assert refused({**at, "calendars": []}) == ("/calendars", "type")
    assert refused({**at, "calendars": [WEEK, {"timezone": "UTC"}], "combine": "union"}) == (
        "/calendars/1/hours", "never_open",
    )  # fmt: skip
    assert evaluate({**at, "calendar_id": "office"}, {"office": WEEK}.get)["open"] is True
