"""Calendars beyond hours: iCalendar feeds, calendars made of others, imports with overlaps."""

from datetime import date, datetime, timedelta

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from shared.calendars import check_calendar, evaluate, parse_calendar
from shared.calendars.closures import special_days
from shared.calendars.feed import Feed, FeedError, read_feed
from shared.calendars.overlaps import merge_overlaps
from shared.contracts.problems import Refused

DAILY = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
NINE = {day: [["09:00", "17:00"]] for day in DAILY}


def event(*lines: str) -> str:
    return "\r\n".join(["BEGIN:VEVENT", *lines, "END:VEVENT"])


def feed(*events: str) -> str:
    return "\r\n".join(["BEGIN:VCALENDAR", "VERSION:2.0", *events, "END:VCALENDAR", ""])


def days(text: str, year: int, off: tuple[str, ...] = ()) -> list[str]:
    found = Feed("f", read_feed(text), frozenset(date.fromisoformat(day) for day in off))
    return [str(day) for day in sorted(found.days(year)) if found.holiday(day)]


def closed(calendar: dict, day: str) -> bool:
    return not evaluate({"calendar": calendar, "at": f"{day}T12:00:00"}, lambda _: None)["open"]


SCHOOL = feed(
    event("UID:1", "DTSTART;VALUE=DATE:20261223", "DTEND;VALUE=DATE:20270103", "SUMMARY:Win", " ter"),
    event("UID:2", "DTSTART;VALUE=DATE:20260501", "RRULE:FREQ=YEARLY", "SUMMARY:May\\, the first"),
    event("UID:3", "DTSTART:20260607T090000Z", "DTEND:20260607T100000Z", "SUMMARY:a meeting"),
)  # fmt: skip


def test_a_feed_closes_its_days_and_each_date_has_a_switch():
    calendar = {
        "timezone": "Europe/Berlin",
        "hours": NINE,
        "feeds": [{"name": "school", "ical": SCHOOL, "off": ["2026-12-24", "2028-05-01"]}],
    }
    assert closed(calendar, "2026-12-23") and closed(calendar, "2027-01-02")
    assert not closed(calendar, "2027-01-03"), "the end is exclusive"
    assert not closed(calendar, "2026-12-24"), "switched off"
    assert closed(calendar, "2027-05-01") and not closed(calendar, "2028-05-01")
    assert not closed(calendar, "2026-06-07"), "an event at a time of day closes nothing"
    assert not closed({**calendar, "overrides": {"2026-12-23": [["09:00", "17:00"]]}}, "2026-12-23")
    later = {**calendar, "versions": [{"from": "2027-01-01", "feeds": []}]}
    assert closed(later, "2026-12-31") and not closed(later, "2027-01-01")
    listed = special_days(parse_calendar(calendar), date(2026, 12, 23), date(2026, 12, 24))
    assert listed == [
        {"date": "2026-12-23", "name": "Winter", "source": "feed:school", "closes": True},
        {"date": "2026-12-24", "name": "Winter", "source": "feed:school", "closes": False},
    ]
    assert read_feed(SCHOOL)[1].name == "May, the first"


@pytest.mark.parametrize(
    ("rule", "start", "year", "found"),
    [
        ("FREQ=YEARLY;BYMONTH=11;BYDAY=4TH", "20241128", 2026, ["2026-11-26"]),
        ("FREQ=YEARLY;BYMONTH=5;BYDAY=-1MO", "20240527", 2026, ["2026-05-25"]),
        ("FREQ=YEARLY;INTERVAL=2", "20240704", 2025, []),
        ("FREQ=YEARLY;INTERVAL=2", "20240704", 2026, ["2026-07-04"]),
        ("FREQ=YEARLY;COUNT=2", "20240704", 2025, ["2025-07-04"]),
        ("FREQ=YEARLY;COUNT=2", "20240704", 2026, []),
        ("FREQ=YEARLY;UNTIL=20260704", "20240704", 2026, ["2026-07-04"]),
        ("FREQ=YEARLY;UNTIL=20260703T230000Z", "20240704", 2026, ["2026-07-04"]),
        ("FREQ=YEARLY;UNTIL=20260703T235959Z", "20240704", 2026, []),
        ("FREQ=YEARLY;UNTIL=20260704T050000Z", "20240704", 2026, ["2026-07-04"]),
        ("FREQ=YEARLY;BYMONTH=5;BYDAY=MO;BYSETPOS=-1", "20240527", 2026, ["2026-05-25"]),
        ("FREQ=MONTHLY;INTERVAL=6;BYDAY=1MO", "20260105", 2026, ["2026-01-05", "2026-07-06"]),
        (
            "FREQ=WEEKLY;COUNT=3;BYDAY=FR",
            "20260102",
            2026,
            ["2026-01-02", "2026-01-09", "2026-01-16"],
        ),
        ("FREQ=WEEKLY;INTERVAL=26;WKST=SU", "20251228", 2026, ["2026-06-28", "2026-12-27"]),
        ("FREQ=DAILY;UNTIL=20260102", "20251231", 2026, ["2026-01-01", "2026-01-02"]),
        ("FREQ=YEARLY", "20240229", 2026, []),
        ("FREQ=YEARLY", "20240229", 2028, ["2028-02-29"]),
    ],
)
def test_yearly_rules(rule, start, year, found):
    assert days(feed(event(f"DTSTART;VALUE=DATE:{start}", f"RRULE:{rule}")), year) == found


def test_exceptions_additions_and_replaced_instances():
    text = feed(
        event(
            "UID:a", "DTSTART;VALUE=DATE:20240106", "RRULE:FREQ=YEARLY",
            "EXDATE;VALUE=DATE:20250106", "RDATE;VALUE=DATE:20250107,20250109",
        ),
        event("UID:a", "RECURRENCE-ID;VALUE=DATE:20260106", "DTSTART;VALUE=DATE:20260108"),
        event("UID:b", "DTSTART;VALUE=DATE:20260201", "STATUS:CANCELLED"),
        event("UID:c", "DTSTART;VALUE=DATE:20260301", "DURATION:P2D"),
    )  # fmt: skip
    assert days(text, 2025) == ["2025-01-07", "2025-01-09"]
    assert days(text, 2026) == ["2026-01-08", "2026-03-01", "2026-03-02"]
    assert days(text, 2027) == ["2027-01-06"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "holds no calendar (line 1)"),
        ("hello", "no iCalendar line (line 1)"),
        (feed(event("DTSTART;VALUE=DATE:20261340")), "is no date (line 4)"),
        (feed(event("DTSTART;VALUE=DATE:20260101", "RRULE:FREQ=HOURLY")), "is not read (line 5)"),
        (feed(event("DTSTART;VALUE=DATE:20260101", "RRULE:FREQ=WEEKLY;BYDAY=1MO")), "not valid"),
        (SCHOOL.rpartition("BEGIN:VEVENT")[0], "breaks off"),
        (feed(event("DTSTART;VALUE=DATE:20260101", "DURATION:PT5H")), "not in days (line 5)"),
        (feed(event("DTSTART;VALUE=DATE:20260101", "RRULE:FREQ=YEARLY;BYMONTH=13")), "not valid"),
    ],
)
def test_a_feed_that_cannot_be_read_says_where(text, says):
    with pytest.raises(FeedError) as error:
        read_feed(text)
    assert says in str(error.value)
    calendar = {"timezone": "UTC", "hours": NINE, "feeds": [{"name": "f", "ical": text}]}
    with pytest.raises(Refused) as refusal:
        parse_calendar(calendar)
    assert (refusal.value.errors[0].pointer, refusal.value.errors[0].code) == ("/feeds/0/ical", "ical")  # fmt: skip


@settings(max_examples=60, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(
    st.dates(date(2016, 1, 1), date(2026, 12, 31)),
    st.integers(1, 3),
    st.lists(st.integers(1, 12), max_size=2, unique=True),
    st.lists(st.sampled_from([1, 13, 29, 31, -1, -3]), max_size=2, unique=True),
    st.lists(st.sampled_from(["MO", "FR", "1TU", "-1SU", "2WE"]), max_size=2, unique=True),
)
def test_yearly_rules_equal_dateutils(start, interval, months, month_days, weekdays):
    rrule = pytest.importorskip("dateutil.rrule")
    ordinals = sum(len(day) > 2 for day in weekdays)
    if ordinals and (month_days or ordinals < len(weekdays)):
        return  # mixtures that programs read differently
    rule = f"FREQ=YEARLY;INTERVAL={interval}"
    for name, values in (("BYMONTH", months), ("BYMONTHDAY", month_days), ("BYDAY", weekdays)):
        if values:
            rule += f";{name}={','.join(map(str, values))}"
    midnight = datetime(start.year, start.month, start.day)
    expected = rrule.rrulestr(rule, dtstart=midnight).between(
        midnight, datetime(2030, 12, 31), True
    )
    text = feed(event(f"DTSTART;VALUE=DATE:{start:%Y%m%d}", f"RRULE:{rule}"))
    ours = [day for year in range(start.year, 2031) for day in days(text, year)]
    assert sorted({*(str(day.date()) for day in expected), str(start)}) == ours


OUTLOOK = feed(
    "METHOD:PUBLISH", "X-WR-CALNAME:Closing days",
    "BEGIN:VTIMEZONE", "TZID:W. Europe Standard Time",
    "BEGIN:STANDARD", "DTSTART:16011028T030000", "RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10",
    "TZOFFSETFROM:+0200", "TZOFFSETTO:+0100", "END:STANDARD", "END:VTIMEZONE",
    event(
        'DTSTART;TZID="W. Europe Standard Time":20261224T000000',
        'DTEND;TZID="W. Europe Standard Time":20261227T000000',
        "DESCRIPTION:Nobody is here.", "Phone: at home,", "or not at all", "SUMMARY:Christmas",
        "X-MICROSOFT-CDO-ALLDAYEVENT:TRUE",
        "BEGIN:VALARM", "TRIGGER:-PT15M", "DESCRIPTION:Reminder", "END:VALARM",
    ),
    event(
        "DTSTART;TZID=(UTC+01:00) Amsterdam, Berlin, Bern:20260601T000000",
        "DTEND;TZID=(UTC+01:00) Amsterdam, Berlin, Bern:20260602T000000", "SUMMARY:Outing",
    ),
    event(
        "DTSTART:20260309T230000Z", "DTEND:20260310T230000Z", "SUMMARY:Stocktaking",
        "X-MICROSOFT-CDO-ALLDAYEVENT:TRUE",
    ),
    event(
        "DTSTART;VALUE=DATE:20250106", "DTEND;VALUE=DATE:20250107",
        "RRULE:FREQ=YEARLY;UNTIL=20270105T230000Z", "EXDATE:20260105T230000Z", "SUMMARY:Epiphany",
    ),
    event(
        "DTSTART;TZID=/freeassociation.sourceforge.net/Europe/Berlin:20260615T100000",
        "DTEND;TZID=/freeassociation.sourceforge.net/Europe/Berlin:20260615T110000",
        "RRULE:FREQ=WEEKLY;BYHOUR=10", "SUMMARY:A meeting",
    ),
)  # fmt: skip


def test_whole_days_as_outlook_and_exchange_write_them():
    assert days(OUTLOOK, 2025) == ["2025-01-06"]
    assert days(OUTLOOK, 2026) == [
        "2026-03-10", "2026-06-01", "2026-12-24", "2026-12-25", "2026-12-26",
    ]  # fmt: skip
    assert days(OUTLOOK, 2027) == ["2027-01-06"]
    assert days(OUTLOOK, 2028) == []


@settings(max_examples=100, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(
    st.sampled_from(["MONTHLY", "WEEKLY", "DAILY"]),
    st.dates(date(2022, 1, 1), date(2026, 12, 31)),
    st.integers(1, 5),
    st.lists(st.integers(1, 12), max_size=2, unique=True),
    st.lists(st.sampled_from([1, 13, 31, -1]), max_size=2, unique=True),
    st.lists(st.sampled_from(["MO", "WE", "SU"]), max_size=2, unique=True),
    st.sampled_from([None, 1, -1, 2]),
    st.sampled_from(["", ";COUNT=5", ";UNTIL=20271017"]),
    st.sampled_from(["MO", "SU", "WE"]),
)
def test_other_rules_equal_dateutils(
    frequency, start, interval, months, month_days, weekdays, place, end, week
):
    rrule = pytest.importorskip("dateutil.rrule")
    rule = f"FREQ={frequency};INTERVAL={interval};WKST={week}{end}"
    if frequency == "WEEKLY":
        month_days = []  # RFC 5545: not in a weekly rule
    for name, values in (("BYMONTH", months), ("BYMONTHDAY", month_days), ("BYDAY", weekdays)):
        if values:
            rule += f";{name}={','.join(map(str, values))}"
    if place and frequency == "MONTHLY" and (month_days or weekdays):
        rule += f";BYSETPOS={place}"
    midnight = datetime(start.year, start.month, start.day)
    expected = rrule.rrulestr(rule, dtstart=midnight).between(
        midnight, datetime(2028, 12, 31), True
    )
    text = feed(event(f"DTSTART;VALUE=DATE:{start:%Y%m%d}", f"RRULE:{rule}"))
    ours = [day for year in range(start.year, 2029) for day in days(text, year)]
    assert sorted({*(str(day.date()) for day in expected), str(start)}) == ours
    assert days(text, 2028) == [day for day in ours if day.startswith("2028")]


# Calendars made of others.


BERLIN = {"timezone": "Europe/Berlin", "hours": {d: [["08:00", "16:00"]] for d in DAILY[:5]}}
DENVER = {"timezone": "America/Denver", "hours": {d: [["08:00", "16:00"]] for d in DAILY[:5]}}
SUN = {"id": "sun", "calendars": [BERLIN, DENVER], "combine": "union"}


def ask(calendar, **body):
    return evaluate({"calendar": calendar, **body}, lambda _: None)


def test_a_stored_calendar_follows_the_sun():
    night = {"start": "2026-11-23T07:00:00Z", "end": "2026-11-24T07:00:00Z"}
    assert ask(SUN, **night)["elapsed_s"] == 16 * 3600
    assert ask(SUN, start="2026-11-23T14:30:00Z", duration_s=3600)["deadline"] == "2026-11-23T15:30:00Z"  # fmt: skip
    pair = {"calendars": [BERLIN, DENVER], "combine": "union", **night}
    assert evaluate(pair, lambda _: None) == ask(SUN, **night)
    dark = {"timezone": "UTC", "hours": {"mon": [["20:00", "07:00"]]}}
    both = {**SUN, "combine": "intersection", "calendars": [BERLIN, dark]}
    assert ask(both, at="2026-11-24T06:30:00Z")["next_open"] == "2027-03-30T06:00:00Z"  # summer
    both["calendars"] = [{**BERLIN, "timezone": "UTC"}, dark]
    with pytest.raises(Refused) as refusal:
        check_calendar(parse_calendar(both))
    assert refusal.value.errors[0].code == "never_open"
    nested = {"calendars": [SUN, {"timezone": "UTC", "hours": NINE}], "combine": "intersection"}
    assert ask(nested, **night)["elapsed_s"] == 8 * 3600


@pytest.mark.parametrize(
    ("change", "pointer", "code"),
    [
        ({"combine": "both"}, "/combine", "value"),
        ({"calendars": []}, "/calendars", "never_open"),
        ({"hours": NINE}, "/hours", "contradiction"),
        ({"calendars": [{**BERLIN, "timezone": "Mars"}]}, "/calendars/0/timezone", "unknown_timezone"),
        ({"calendars": [{**SUN, "calendars": [SUN]}]}, "/calendars/0/calendars/0/calendars", "too_deep"),
    ],
)  # fmt: skip
def test_calendars_made_of_others_that_are_refused(change, pointer, code):
    with pytest.raises(Refused) as refusal:
        parse_calendar({**SUN, **change})
    assert (pointer, code) in [(one.pointer, one.code) for one in refusal.value.errors]


# Overlaps: refused by the API, made one on import.


def test_an_import_merges_overlaps_and_says_so():
    body = {
        "timezone": "UTC",
        "hours": {
            "mon": [["13:00", "18:00"], ["08:00", "14:00"], ["18:00", "19:00"]],
            "fri": [["22:00", "06:00"]],
            "sat": [["05:00", "10:00"]],
        },
        "overrides": {"2026-12-31": [["09:00", "12:00"], ["10:00", "11:00"]]},
    }
    with pytest.raises(Refused) as refusal:
        parse_calendar(body)
    assert {one.code for one in refusal.value.errors} == {"overlap"}
    merged, warnings = merge_overlaps(body, "/calendars/0")
    parse_calendar(merged)
    assert merged["hours"] == {
        "mon": [["08:00", "18:00"], ["18:00", "19:00"]],
        "fri": [["22:00", "06:00"]],
        "sat": [["06:00", "10:00"]],
    }
    assert merged["overrides"] == {"2026-12-31": [["09:00", "12:00"]]}
    assert [one.split(":")[0] for one in warnings] == [
        "/calendars/0/hours/mon", "/calendars/0/hours/sat", "/calendars/0/overrides/2026-12-31",
    ]  # fmt: skip
    assert merge_overlaps(merged) == (merged, [])
    malformed = {"timezone": "UTC", "hours": {"mon": [["8", "9"], ["08:00", "09:00"]]}}
    assert merge_overlaps(malformed) == (malformed, [])


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.sampled_from(DAILY), st.lists(st.tuples(st.integers(0, 47), st.integers(1, 47)), max_size=4)))  # fmt: skip
def test_what_is_merged_is_open_just_when_some_window_was(week):
    def text(half: int) -> str:
        return f"{half // 2:02}:{half % 2 * 30:02}"

    hours = {
        day: [[text(start), text((start + length) % 48)] for start, length in windows]
        for day, windows in week.items()
    }
    merged, _ = merge_overlaps({"timezone": "UTC", "hours": hours})
    monday = datetime(2026, 11, 23)
    expected = set()
    for back in (-7, 0):
        for day, windows in week.items():
            for start, length in windows:
                first = (DAILY.index(day) + back) * 48 + start
                expected.update(range(first, first + length))
    if not any(merged["hours"].values()):
        return
    parse_calendar(merged)
    end = monday + timedelta(days=7)
    listed = ask(merged, start=monday.isoformat(), end=end.isoformat(), list="windows")["windows"]
    ours = set()
    for window in listed:
        start, closes = (
            (datetime.fromisoformat(window[edge]).replace(tzinfo=None) - monday)
            // timedelta(minutes=30)
            for edge in ("start", "end")
        )
        ours.update(range(start, closes))
    assert ours == {half for half in expected if 0 <= half < 7 * 48}
