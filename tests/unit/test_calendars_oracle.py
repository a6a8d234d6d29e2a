"""`calendars:evaluate` against the oracle's walk over local days: whole answers on random calendars."""

import os
from datetime import date, datetime, timedelta

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from shared.calendars import evaluate
from shared.contracts.problems import Refused
from tests.unit.sla_oracle.calendars import DAYS, Hours, text, us

EXAMPLES = int(os.environ.get("ORACLE_EXAMPLES", "8"))  # more of them by hand
FEW = settings(max_examples=EXAMPLES, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))  # fmt: skip
DAY_US = 86_400_000_000
ZONES = (
    "UTC", "Europe/Berlin", "Europe/London", "America/New_York", "America/Los_Angeles", "Asia/Tehran",
    "America/Sao_Paulo", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia", "Africa/Casablanca",
    "America/Havana", "Asia/Gaza", "Pacific/Chatham", "Africa/Cairo", "America/St_Johns",
)  # fmt: skip
# Years with a skipped date (Samoa, 2011), clocks that change at midnight (Sao Paulo, Havana, Tehran).
YEARS = (2011, 2018, 2026)


def clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


@st.composite
def day_windows(draw, overnight: bool = True):
    marks = sorted(draw(st.sets(st.integers(0, 96), max_size=4)))
    pairs = [[clock(a * 15), clock(b * 15)] for a, b in zip(marks[::2], marks[1::2], strict=False)]
    if not pairs and overnight and draw(st.booleans()):
        return [[clock(draw(st.integers(18, 23)) * 60), clock(draw(st.integers(0, 15)) * 30)]]
    return pairs


def apart(hours: dict) -> dict:
    """The same without windows that reach into the next day's: those are refused."""
    for number, day in enumerate(DAYS):
        following = hours.get(DAYS[(number + 1) % 7]) or []
        for window in hours.get(day) or []:
            if window[1] < window[0] and following and following[0][0] < window[1]:
                window[1] = "00:00"
    return hours


@st.composite
def weeks(draw):
    hours = {day: draw(day_windows()) for day in draw(st.sets(st.sampled_from(DAYS), min_size=1))}
    if not any(hours.values()):
        hours["wed"] = [["09:00", "17:00"]]
    return apart(hours)


@st.composite
def calendars(draw, year: int, zone: str | None = None):
    days = st.dates(date(year, 1, 1), date(year, 12, 31)).map(str)
    body: dict = {"timezone": zone or draw(st.sampled_from(ZONES))}
    if draw(st.integers(0, 5)):
        body["hours"] = draw(weeks())
    else:
        body["always_open"] = True
    yearly = days.map(lambda day: {"yearly": day[5:]})
    body["holidays"] = draw(st.lists(st.one_of(days, yearly), max_size=6, unique_by=str))
    body["overrides"] = draw(st.dictionaries(days, day_windows(overnight=False), max_size=4))
    if draw(st.booleans()):
        country = draw(st.sampled_from([("US", "CA"), ("DE", "BE"), ("GB", "ENG"), ("BR", None)]))
        body |= {"country": country[0]} | ({"subdivision": country[1]} if country[1] else {})
    if "hours" in body and draw(st.booleans()):
        body["versions"] = [{"from": day, "hours": draw(weeks())} for day in draw(st.lists(days, max_size=2, unique=True))]  # fmt: skip
    return body


@st.composite
def instants(draw, year: int):
    """Any second, or one near a change of a zone's clocks or a day's end."""
    start = us(f"{year}-02-01T00:00:00Z")
    at = start + draw(st.integers(0, 300 * 86_400)) * 1_000_000
    return at if draw(st.booleans()) else at - at % (900 * 1_000_000)


@st.composite
def questions(draw):
    year = draw(st.sampled_from(YEARS))
    count = draw(st.sampled_from([1, 1, 1, 2, 3]))
    bodies = [draw(calendars(year)) for _ in range(count)]
    return bodies, draw(st.sampled_from(["union", "intersection"])), draw(instants(year))


def ask(bodies, combine, **question):
    whose = {"calendar": bodies[0]} if len(bodies) == 1 else {"calendars": bodies, "combine": combine}  # fmt: skip
    return evaluate({**whose, **question}, lambda _: None)


def hours_for(bodies, combine, at, days=260) -> Hours:
    return Hours(bodies, at - days * DAY_US, at + days * DAY_US, combine)


def allowed(call):
    """The answer, or nothing where the calendar itself is refused (an intersection that is never open)."""
    try:
        return call()
    except Refused as refusal:
        assert {fault.code for fault in refusal.errors} <= {"never_open", "horizon", "overlap"}, refusal.errors  # fmt: skip
        return None


@FEW
@given(questions(), st.integers(-60 * 3600, 60 * 3600))
def test_deadlines_and_their_windows(question, seconds):
    bodies, combine, start = question
    hours = hours_for(bodies, combine, start)
    span = abs(seconds) * 1_000_000
    due = hours.forward(start, span) if seconds >= 0 else hours.backward(start, span)
    answer = allowed(lambda: ask(bodies, combine, start=text(start), duration_s=seconds))
    if due is None or answer is None:
        return
    assert answer["deadline"] == text(due)
    counted = hours.clipped(min(start, due), max(start, due)) if seconds else []
    assert [(us(one["start"]), us(one["end"]), one["counted_s"] * 1e6) for one in answer["windows"]] == [(a, b, b - a) for a, b in counted]  # fmt: skip


@FEW
@given(questions(), st.integers(-2 * 86_400, 40 * 86_400))
def test_elapsed_time_lists_and_moments(question, seconds):
    bodies, combine, start = question
    end = start + seconds * 1_000_000
    hours = hours_for(bodies, combine, start)
    answer = allowed(lambda: ask(bodies, combine, start=text(start), end=text(end)))
    if answer is None:
        return
    assert answer["elapsed_s"] * 1_000_000 == hours.elapsed(start, end)
    listed = ask(bodies, combine, start=text(start), end=text(end), list="windows")["windows"]
    assert [(us(one["start"]), us(one["end"])) for one in listed] == hours.clipped(start, end)
    now = ask(bodies, combine, at=text(start))
    opens, closes = hours.next_open(start), hours.next_close(start)
    assert now["open"] == hours.is_open(start)
    if opens is not None:
        assert now["next_open"] == text(opens)
    if closes is not None and closes < start + 200 * DAY_US:
        assert now["next_close"] == text(closes)


@FEW
@given(questions(), st.integers(-12, 12), st.booleans())
def test_business_days(question, days, end_of_day):
    bodies, combine, start = question
    hours = hours_for(bodies[:1], "union", start)
    due = hours.business_days(start, days, end_of_day)
    if due is None:
        return
    asked = {"start": text(start), "business_days": days, "end_of_day": end_of_day}
    answer = allowed(lambda: ask(bodies[:1], combine, **asked))
    if answer is not None:
        assert answer["deadline"] == text(due)


@FEW
@given(st.sampled_from(ZONES), st.data())
def test_times_without_offset_are_local(zone, data):
    year = data.draw(st.sampled_from(YEARS))
    body = data.draw(calendars(year, zone))
    local = datetime(year, 2, 1) + timedelta(minutes=data.draw(st.integers(0, 400_000)))
    at = us(local.isoformat(), zone)
    with_offset = allowed(lambda: ask([body], "union", at=text(at)))
    assert allowed(lambda: ask([body], "union", at=local.isoformat())) == with_offset
