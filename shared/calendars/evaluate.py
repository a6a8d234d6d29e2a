"""`POST calendars:evaluate` as a pure function: deadlines, elapsed time, openings, business days."""

import re
from collections.abc import Callable
from datetime import datetime
from math import isfinite
from typing import Any, cast

from shared.calendars.expand import (
    FIRST_YEAR,
    LAST_YEAR,
    OpenHours,
    instant_in,
    year_of,
    year_start_us,
)
from shared.calendars.model import NAMED_FIRST, NAMED_LAST, Calendar
from shared.calendars.parse import Faults, parse_calendar
from shared.calendars.shapes import CalendarAnswer, OpenWindow
from shared.contracts.instants import format_instant, optional_instant, span_us
from shared.contracts.problems import Refused, invalid
from shared.contracts.windows import WindowTable
from shared.rules import nearest

Lookup = Callable[[str], dict[str, Any] | None]

HORIZON_YEARS = 10  # how far a deadline may lie from its start
SPAN_YEARS_MAX = 100  # of an elapsed time or a list
WINDOWS_MAX = 20_000  # in one answer
CALENDARS_MAX = 20
DAYS_MAX = 4_000

_SOURCES = ("calendar", "calendar_id", "calendars", "combine")
_FORMS: dict[frozenset[str], str] = {
    frozenset({"start", "duration_s"}): "deadline",
    frozenset({"start", "end"}): "elapsed",
    frozenset({"at"}): "moment",
    frozenset({"start", "end", "list"}): "windows",
    frozenset({"start", "business_days"}): "days",
    frozenset({"start", "business_days", "end_of_day"}): "days",
}
_ASKED = ("start", "duration_s", "end", "at", "list", "business_days", "end_of_day")
_INSTANT = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d([.,]\d+)?)?(Z|[+-]\d\d:\d\d)?\Z", re.ASCII
)


def evaluate(body: object, lookup: Lookup) -> CalendarAnswer:
    """The answer to one call's body (API.md, «SLA»). `lookup` gives a stored calendar by id.

    Raises Refused("validation") with pointers; code `horizon` when a deadline lies further than
    HORIZON_YEARS from its start.
    """
    if not isinstance(body, dict):
        raise invalid("", "type", "the body must be an object", "an object")
    given = cast("dict[str, Any]", body)
    form = _form(given)
    hours = _hours(given, lookup)
    return _ANSWERS[form](given, hours)


def _form(given: dict[str, Any]) -> str:
    faults = Faults()
    for name in given:
        if name not in _SOURCES and name not in _ASKED:
            close = nearest(name, (*_SOURCES, *_ASKED))
            faults.add(f"/{name}", "unknown_field", f"unknown field {name!r}", close)
    faults.refuse()
    asked = frozenset(name for name in given if name in _ASKED)
    form = _FORMS.get(asked)
    if form is None:
        expected = "; or ".join(", ".join(sorted(names)) for names in _FORMS)
        raise invalid("", "form", "these fields do not go together", expected)
    return form


def _hours(given: dict[str, Any], lookup: Lookup) -> OpenHours:
    sources = [name for name in ("calendar", "calendar_id", "calendars") if name in given]
    if len(sources) != 1:
        expected = "one of calendar, calendar_id, calendars"
        raise invalid("/calendar", "missing", "the call must name its calendar", expected)
    if sources[0] != "calendars":
        if "combine" in given:
            raise invalid("/combine", "form", "combine needs calendars", "calendars")
        return OpenHours([_one(given[sources[0]], f"/{sources[0]}", lookup)])
    listed = given["calendars"]
    if not isinstance(listed, list) or not listed:
        raise invalid("/calendars", "type", "calendars must be a list", "a list of calendars")
    entries = cast("list[object]", listed)
    if len(entries) > CALENDARS_MAX:
        expected = f"at most {CALENDARS_MAX}"
        raise invalid("/calendars", "too_many", "too many calendars", expected)
    combine = given.get("combine", "union" if len(entries) == 1 else None)
    if combine not in ("union", "intersection"):
        raise invalid("/combine", "value", "how to combine the calendars", "union or intersection")
    found = [_one(entry, f"/calendars/{index}", lookup) for index, entry in enumerate(entries)]
    return OpenHours(found, combine)


def _one(value: object, pointer: str, lookup: Lookup) -> Calendar:
    if isinstance(value, str):
        stored = lookup(value)
        if stored is None:
            expected = "the id of a calendar"
            raise invalid(pointer, "unknown_calendar", f"there is no calendar {value!r}", expected)
        return parse_calendar(stored, pointer)
    if pointer == "/calendar_id":
        raise invalid(pointer, "type", "calendar_id is no id", "the id of a calendar")
    calendar = parse_calendar(value, pointer)
    check_calendar(calendar, pointer)
    check_read(calendar, pointer)
    return calendar


def check_read(calendar: Calendar, pointer: str = "") -> None:
    """Raises Refused when of a feed only the address is known: nobody could tell its days."""
    for name in calendar.unread():
        message = f"the feed {name} is read when its calendar is stored, not here"
        raise invalid(f"{pointer}/feeds", "feed_unread", message, "its text as ical")


def check_calendar(calendar: Calendar, pointer: str = "") -> None:
    """Raises Refused when no window of the calendar ever opens."""
    years = list(dict.fromkeys([2026, 2027, *(day.year for day in calendar.dates())]))
    years += [year for year in range(2000, 2061) if year not in years]
    hours = OpenHours([calendar])
    if any(hours.opens_in(year) for year in years):
        return
    raise invalid(f"{pointer}/hours", "never_open", "the calendar never opens", "open hours")


def _deadline(given: dict[str, Any], hours: OpenHours) -> CalendarAnswer:
    start = _instant(given["start"], "/start", hours)
    span = _number(given["duration_s"], "/duration_s")
    deadline = reach(hours, start, span_us(span), "/duration_s")
    first, last = min(start, deadline), max(start, deadline)
    windows = hours.table(first, last).segments(first, last)
    return {"deadline": format_instant(deadline), "windows": _counted(windows)}


def reach(hours: OpenHours, start_us: int, span: int, pointer: str) -> int:
    """The deadline `span` microseconds of open time after (negative: before) a start.

    Raises Refused with code `horizon`.
    """

    def within(table: WindowTable) -> int | None:
        if span < 0:
            return table.backward(start_us, -span)
        return table.forward(start_us, span)

    return _bounded(hours, start_us, span >= 0, within, pointer)


def _bounded(
    hours: OpenHours,
    start_us: int,
    ahead: bool,
    find: Callable[[WindowTable], int | None],
    pointer: str,
) -> int:
    """What `find` finds in ever wider tables, no further than the horizon from the start."""
    earliest, latest = _years_from(start_us, -HORIZON_YEARS), _years_from(start_us, HORIZON_YEARS)
    for years in (0, 1, 3, HORIZON_YEARS + 1):
        edge = _years_from(start_us, years if ahead else -years)
        # Behind, the start's own day may lie in the next year; ahead, the last may run over.
        table = hours.table(min(start_us, edge), max(start_us, edge))
        found = find(table)
        if found is not None and table.lo_us < found < table.hi_us:
            if earliest <= found <= latest:
                return found
            break
    message = f"the deadline lies more than {HORIZON_YEARS} years from its start"
    raise invalid(pointer, "horizon", message, f"within {HORIZON_YEARS} years")


def _years_from(at_us: int, years: int) -> int:
    """The same date so many years later; 29 February becomes 1 March."""
    year = year_of(at_us)
    target = min(max(year + years, FIRST_YEAR), LAST_YEAR)
    into = at_us - year_start_us(year)
    leap_day = 59 * 86_400_000_000
    length, wanted = _is_leap(year), _is_leap(target)
    if length and not wanted and into >= leap_day + 86_400_000_000:
        into -= 86_400_000_000
    elif wanted and not length and into >= leap_day:
        into += 86_400_000_000
    return year_start_us(target) + into


def _is_leap(year: int) -> bool:
    return year_start_us(year + 1) - year_start_us(year) == 366 * 86_400_000_000


def _elapsed(given: dict[str, Any], hours: OpenHours) -> CalendarAnswer:
    start, end = _span(given, hours)
    windows = hours.table(start, end).segments(start, end) if end > start else []
    total = sum(closes - opens for opens, closes in windows)
    return {"elapsed_s": plain_seconds(total), "windows": _counted(windows)}


def _list(given: dict[str, Any], hours: OpenHours) -> CalendarAnswer:
    if given["list"] != "windows":
        raise invalid("/list", "value", "only windows can be listed", "windows")
    start, end = _span(given, hours)
    windows = hours.table(start, end).segments(start, end) if end > start else []
    return {"windows": _limited([_pair(window) for window in windows])}


def _moment(given: dict[str, Any], hours: OpenHours) -> CalendarAnswer:
    at = _instant(given["at"], "/at", hours)
    opens = closes = None
    for edge in _search(at, hours):
        table = hours.table(at, edge)
        opens, closes = table.next_open(at), table.next_close(at)
        if opens is not None and closes is not None:
            break
    return {
        "open": hours.table(at, at).is_open(at),
        "next_open": optional_instant(opens),
        "next_close": optional_instant(closes),
    }


def _search(at_us: int, hours: OpenHours) -> list[int]:
    """How far to look for an opening or closing: past all dates that the calendars name and, where
    days close every year, until weekdays and leap days have gone round."""
    last = max([year_of(at_us), *(day.year for day in hours.root.dates())])
    further = 42 if hours.root.recurring else 2
    ends = [year_of(at_us) + 1, last + 2, last + further]
    return [year_start_us(min(year, LAST_YEAR)) for year in ends]


def _days(given: dict[str, Any], hours: OpenHours) -> CalendarAnswer:
    start = _instant(given["start"], "/start", hours)
    days, end_of_day = given["business_days"], given.get("end_of_day", False)
    if isinstance(days, bool) or not isinstance(days, int):
        raise invalid("/business_days", "type", "business_days is no whole number", "an integer")
    if not isinstance(end_of_day, bool):
        raise invalid("/end_of_day", "type", "end_of_day is no boolean", "true or false")
    deadline = reach_days(hours, start, days, end_of_day, "/business_days")
    return {"deadline": format_instant(deadline)}


def reach_days(hours: OpenHours, start_us: int, days: int, end_of_day: bool, pointer: str) -> int:
    """The deadline so many open days from a start. Raises Refused with code `horizon`."""
    wanted = min(max(days, -DAYS_MAX), DAYS_MAX)

    def within(table: WindowTable) -> int | None:
        return table.business_days(start_us, wanted, end_of_day=end_of_day)

    return _bounded(hours, start_us, days >= 0, within, pointer)


def _span(given: dict[str, Any], hours: OpenHours) -> tuple[int, int]:
    start = _instant(given["start"], "/start", hours)
    end = _instant(given["end"], "/end", hours)
    if year_of(end) - year_of(start) > SPAN_YEARS_MAX:
        expected = f"at most {SPAN_YEARS_MAX} years"
        raise invalid("/end", "too_long", "the span is too long", expected)
    return start, end


def _instant(value: object, pointer: str, hours: OpenHours) -> int:
    text = value.upper() if isinstance(value, str) else ""
    if _INSTANT.match(text):
        try:
            moment = datetime.fromisoformat(text)
            at_us = instant_in(hours.timezone, moment)
        except (ValueError, OverflowError):
            pass
        else:
            if year_start_us(NAMED_FIRST) <= at_us < year_start_us(NAMED_LAST + 1):
                return at_us
    raise invalid(pointer, "instant", f"{value!r} is no instant", "RFC 3339: 2026-11-23T09:00:00Z")


def _number(value: object, pointer: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise invalid(pointer, "type", "this is no number of seconds", "a number")
    if abs(value) > HORIZON_YEARS * 366 * 86_400:
        message = f"the deadline lies more than {HORIZON_YEARS} years from its start"
        raise invalid(pointer, "horizon", message, f"within {HORIZON_YEARS} years")
    return value


def plain_seconds(span: int) -> int | float:
    """Microseconds as seconds, whole ones without a fraction."""
    whole, rest = divmod(span, 1_000_000)
    return span / 1_000_000 if rest else whole


def _pair(window: tuple[int, int]) -> OpenWindow:
    return {"start": format_instant(window[0]), "end": format_instant(window[1])}


def _counted(windows: list[tuple[int, int]]) -> list[OpenWindow]:
    return _limited(
        [{**_pair(window), "counted_s": plain_seconds(window[1] - window[0])} for window in windows]
    )


def _limited(windows: list[OpenWindow]) -> list[OpenWindow]:
    if len(windows) > WINDOWS_MAX:
        raise Refused(
            "too-large", f"The answer would hold {len(windows)} windows, more than {WINDOWS_MAX}."
        )
    return windows


_ANSWERS: dict[str, Callable[[dict[str, Any], OpenHours], CalendarAnswer]] = {
    "deadline": _deadline,
    "elapsed": _elapsed,
    "windows": _list,
    "moment": _moment,
    "days": _days,
}
