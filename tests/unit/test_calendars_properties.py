"""Business time against a walker of minutes, and the laws that it must keep."""

from datetime import UTC, datetime, timedelta

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from shared.calendars import OpenHours, expand, parse_calendar
from shared.calendars.batch import UNKNOWN, BatchTable
from shared.calendars.zones import zone, zone_names
from shared.contracts.window_index import IndexedTable
from shared.contracts.windows import Expanded, WindowTable

MINUTE_US = 60_000_000
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
ZONES = (
    "UTC", "Europe/Berlin", "America/Sao_Paulo", "Asia/Tehran", "Asia/Kolkata",
    "America/Los_Angeles", "Australia/Lord_Howe", "America/Havana",
)  # fmt: skip


def clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


@st.composite
def windows_of_a_day(draw):
    marks = sorted(draw(st.sets(st.integers(0, 96), min_size=0, max_size=4)))
    pairs = zip(marks[::2], marks[1::2], strict=False)
    return [[clock(start * 15), clock(end * 15)] for start, end in pairs]


@st.composite
def calendars(draw):
    hours = {day: draw(windows_of_a_day()) for day in DAYS}
    if not any(hours.values()):
        hours["wed"] = [["09:00", "17:00"]]
    if draw(st.booleans()) and not hours["tue"]:
        hours["mon"] = [["22:00", "05:45"]]
    dates = st.dates(datetime(2018, 1, 1).date(), datetime(2018, 12, 31).date()).map(str)
    return {
        "timezone": draw(st.sampled_from(ZONES)),
        "hours": hours,
        "holidays": draw(st.lists(dates, max_size=5)),
        "overrides": draw(st.dictionaries(dates, windows_of_a_day(), max_size=3)),
    }


INSTANT_MIN = int(datetime(2018, 1, 10, tzinfo=UTC).timestamp()) * 1_000_000
INSTANTS = st.integers(0, 330 * 24 * 60).map(
    lambda minutes: (
        int(datetime(2018, 1, 10, tzinfo=UTC).timestamp()) * 1_000_000 + minutes * MINUTE_US
    )
)


def is_open(body, at_us: int) -> bool:
    """By walking local days, without tables: is this instant in a window of today or yesterday?"""
    where = zone(body["timezone"])
    moment = datetime.fromtimestamp(at_us / 1_000_000, UTC)
    today = moment.astimezone(where).date()
    for back in (0, 1):
        day = today - timedelta(days=back)
        if str(day) in body["overrides"]:
            windows = body["overrides"][str(day)]
        elif str(day) in body["holidays"]:
            windows = []
        else:
            windows = body["hours"][DAYS[day.weekday()]]
        for start, end in windows:
            if wall(day, start, where) <= moment < wall(day, end, where, after=start):
                return True
    return False


def wall(day, text, where, after=""):
    hour, minute = int(text[:2]), int(text[3:])
    overnight = bool(after) and text < after
    naive = datetime(day.year, day.month, day.day) + timedelta(
        days=int(overnight), hours=hour, minutes=minute
    )
    return naive.replace(tzinfo=where).astimezone(UTC)


@settings(max_examples=40, deadline=None)
@given(calendars(), INSTANTS, st.integers(1, 4_000))
def test_elapsed_and_deadlines_equal_a_walk_over_minutes(body, start_us, minutes):
    table = OpenHours([parse_calendar(body)]).table(start_us, start_us + 400 * 86_400_000_000)
    counted, at = 0, start_us
    for _ in range(minutes):
        counted += is_open(body, at)
        at += MINUTE_US
    assert table.elapsed(start_us, at) == counted * MINUTE_US
    if counted:
        deadline = table.forward(start_us, counted * MINUTE_US)
        assert deadline is not None and deadline <= at
        assert table.elapsed(start_us, deadline) == counted * MINUTE_US
        assert is_open(body, deadline - MINUTE_US), "the last minute before the deadline is open"


@settings(max_examples=80, deadline=None)
@given(calendars(), INSTANTS, st.integers(1, 10**12), st.integers(1, 10**12))
def test_laws_of_addition(body, start_us, one, two):
    table = OpenHours([parse_calendar(body)]).table(start_us, start_us + 900 * 86_400_000_000)
    deadline = table.forward(start_us, one)
    if deadline is None:
        return
    assert table.elapsed(start_us, deadline) == one
    assert table.elapsed(start_us, deadline - 1) == one - 1
    both = table.forward(start_us, one + two)
    assert both == table.forward(deadline, two)
    back = table.backward(deadline, one)
    assert back is not None and table.elapsed(back, deadline) == one
    assert table.elapsed(back + 1, deadline) == one - 1
    assert back == table.next_open(start_us)
    middle = start_us + (deadline - start_us) // 3
    assert table.elapsed(start_us, middle) + table.elapsed(middle, deadline) == one
    assert sum(end - start for start, end in table.segments(start_us, deadline)) == one


@settings(max_examples=40, deadline=None)
@given(calendars(), calendars(), INSTANTS)
def test_union_and_intersection_equal_both_calendars(one, other, start_us):
    parsed = [parse_calendar(one), parse_calendar(other)]
    end_us = start_us + 20 * 86_400_000_000
    union = OpenHours(parsed, "union").table(start_us, end_us)
    common = OpenHours(parsed, "intersection").table(start_us, end_us)
    for step in range(0, 20 * 24 * 60, 37):
        at = start_us + step * MINUTE_US
        first, second = is_open(one, at), is_open(other, at)
        assert union.is_open(at) == (first or second)
        assert common.is_open(at) == (first and second)


@settings(max_examples=40, deadline=None)
@given(calendars(), INSTANTS, st.integers(-40, 40))
def test_a_table_for_the_cores_equals_the_calendar(body, start_us, days):
    hours = OpenHours([parse_calendar(body)])
    wide = hours.table(start_us - 400 * 86_400_000_000, start_us + 800 * 86_400_000_000)
    sent = WindowTable(expand(body, start_us, 700 * 86_400_000_000))
    assert sent.business_days(start_us, days) == wide.business_days(start_us, days)
    assert sent.forward(start_us, 10**10) == wide.forward(start_us, 10**10)
    assert sent.closures(start_us, start_us + 10**13) == wide.closures(start_us, start_us + 10**13)


def test_an_empty_table_knows_nothing():
    table = WindowTable(Expanded(0, 100))
    assert table.forward(5, 1) is None and table.backward(5, 1) is None
    assert table.next_open(5) is None and table.elapsed(0, 100) == 0
    assert table.business_days(5, 1) is None and not table.is_open(5)


# Every zone, 1990 to 2040: the table against a walk from day to day.


def walked(body, start_us: int, span_us: int) -> int:
    """The deadline by taking one local day after the other, without a table."""
    where = zone(body["timezone"])
    start = datetime.fromtimestamp(start_us / 1_000_000, UTC)
    day = start.astimezone(where).date() - timedelta(days=1)
    left = timedelta(microseconds=span_us)
    for _ in range(4_000):
        for opens, closes in open_on(body, day, where):
            opens = max(opens, start)
            if opens < closes:
                if left <= closes - opens:
                    return round((opens + left).timestamp() * 1_000_000)
                left -= closes - opens
        day += timedelta(days=1)
    raise AssertionError("never")


def open_on(body, day, where):
    windows = body["hours"].get(DAYS[day.weekday()], [])
    if str(day) in body.get("holidays", ()):
        windows = []
    for start, end in windows:
        yield wall(day, start, where), wall(day, end, where, after=start)


WEEKS = (
    {day: [["09:00", "17:30"]] for day in DAYS[:5]},
    {day: [["00:00", "02:15"], ["02:45", "24:00"]] for day in DAYS},
    {day: [["22:00", "06:00"]] for day in DAYS},
    {"sun": [["01:30", "03:30"]], "wed": [["23:00", "00:30"]]},
)
_FIRST = int(datetime(1990, 1, 1, tzinfo=UTC).timestamp())
_LAST = int(datetime(2040, 1, 1, tzinfo=UTC).timestamp())


@settings(max_examples=60, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(
    st.sampled_from(sorted(zone_names())),
    st.sampled_from(WEEKS),
    st.integers(_FIRST, _LAST),
    st.integers(1, 5 * 24 * 3600),
)
def test_tables_equal_the_walk_in_every_zone(name, week, start_s, span_s):
    body = {"timezone": name, "hours": week}
    start_us, span_us = start_s * 1_000_000, span_s * 1_000_000
    hours = OpenHours([parse_calendar(body)])
    table = hours.table(start_us, start_us + 200 * 86_400 * 1_000_000)
    deadline = walked(body, start_us, span_us)
    assert table.forward(start_us, span_us) == deadline
    assert table.elapsed(start_us, deadline) == span_us
    part = span_us // 3
    assert table.forward(table.forward(start_us, part), span_us - part) == deadline


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), max_size=30),
    st.sampled_from([1, 1_000, 3_600_000_000]),
    st.lists(st.tuples(st.integers(-10, 1_500), st.integers(0, 1_500)), min_size=1),
)
def test_an_indexed_table_equals_the_plain_one(gaps, unit, asked):
    """Also where windows crowd in one place and are rare in another, and beyond both ends."""
    at, windows = 0, []
    for number, (gap, length) in enumerate(gaps):
        wide = unit * (1 if number % 7 else 1_000)
        windows.append((at + gap * wide, at + gap * wide + length * unit))
        at = windows[-1][1]
    expanded = Expanded(0, at + unit, windows)
    plain, indexed = WindowTable(expanded), IndexedTable(expanded)
    edges = [edge for window in windows for edge in window]
    starts = [start * unit for start, _ in asked] + [e + d for e in edges for d in (-1, 0, 1)]
    spans = [span * unit for _, span in asked] + [end - start for start, end in windows]
    for start in starts:
        assert indexed.open_before(start) == plain.open_before(start)
        for span in spans:
            assert indexed.forward(start, span) == plain.forward(start, span)


@settings(max_examples=40, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(calendars(), st.lists(st.tuples(INSTANTS, st.integers(0, 400 * 3600)), min_size=1))
def test_a_batch_equals_the_table_one_by_one(body, asked):
    first, last = INSTANT_MIN, INSTANT_MIN + 400 * 86_400 * 1_000_000
    expanded = OpenHours([parse_calendar(body)]).expanded(first, last)
    table, batch = WindowTable(expanded), BatchTable(expanded)
    starts = [start for start, _ in asked]
    spans = [span * 1_000_000 for _, span in asked]
    alone = [table.forward(start, span) for start, span in zip(starts, spans, strict=True)]
    assert batch.forward(starts, spans).tolist() == [
        UNKNOWN if found is None else found for found in alone
    ]
    ends = starts[::-1]
    assert batch.elapsed(starts, ends).tolist() == [
        table.elapsed(start, end) for start, end in zip(starts, ends, strict=True)
    ]
    for days, end_of_day in (
        (0, False),
        (0, True),
        (1, False),
        (3, True),
        (30, False),
        (-2, False),
    ):
        each = [table.business_days(start, days, end_of_day=end_of_day) for start in starts]
        assert batch.business_days(starts, days, end_of_day=end_of_day).tolist() == [
            UNKNOWN if found is None else found for found in each
        ]
