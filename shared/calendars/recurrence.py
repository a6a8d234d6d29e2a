"""Recurrence rules of whole days: RRULE of RFC 5545, section 3.3.10.

Read are FREQ=YEARLY, MONTHLY, WEEKLY and DAILY with INTERVAL, COUNT, UNTIL, BYMONTH, BYMONTHDAY, BYDAY,
BYSETPOS and WKST.
"""

import calendar
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
FREQUENCIES = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY")
PARTS = ("INTERVAL", "COUNT", "UNTIL", "BYMONTH", "BYMONTHDAY", "BYDAY", "BYSETPOS", "WKST")

_BYDAY = re.compile(r"([+-]?\d{1,2})?(MO|TU|WE|TH|FR|SA|SU)\Z")
_INSTANT = re.compile(r"(\d{4})(\d\d)(\d\d)(?:T(\d\d)(\d\d)(\d\d)(Z?))?\Z")


@dataclass(frozen=True)
class Rule:
    """A recurrence. `days`: (ordinal or 0, weekday from Monday); `week_start` counts likewise."""

    frequency: str = "YEARLY"
    interval: int = 1
    count: int | None = None
    until: date | None = None
    months: tuple[int, ...] = ()
    month_days: tuple[int, ...] = ()
    days: tuple[tuple[int, int], ...] = ()
    places: tuple[int, ...] = ()
    week_start: int = 0


def local_date(text: str) -> date:
    """The date of a DATE, of a local DATE-TIME, and of a midnight somewhere that was written in UTC: what
    Outlook and Exchange make of the dates of whole days (23:00Z is the next day east of Greenwich).

    Raises ValueError.
    """
    match = _INSTANT.match(text.strip())
    if match is None:
        raise ValueError(text)
    day = date(int(match[1]), int(match[2]), int(match[3]))
    midnight_elsewhere = match[7] and match[6] == "00" and int(match[4]) >= 12
    return day + timedelta(days=1) if midnight_elsewhere else day


def is_read(text: str) -> bool:
    """Whether only parts are in it that are understood here."""
    parts = _parts(text)
    return parts.get("FREQ") in FREQUENCIES and not parts.keys() - {"FREQ", *PARTS}


def parse_rule(text: str) -> Rule:
    """Raises ValueError where a part is no value of its kind."""
    parts = _parts(text)
    rule = Rule(
        parts["FREQ"],
        int(parts.get("INTERVAL", 1)),
        int(parts["COUNT"]) if "COUNT" in parts else None,
        local_date(parts["UNTIL"]) if "UNTIL" in parts else None,
        _numbers(parts.get("BYMONTH")),
        _numbers(parts.get("BYMONTHDAY")),
        tuple(_weekday(one) for one in parts.get("BYDAY", "").split(",") if one),
        _numbers(parts.get("BYSETPOS")),
        WEEKDAYS.index(parts.get("WKST", "MO")),
    )
    _check(rule)
    return rule


def _check(rule: Rule) -> None:
    within = (
        rule.interval >= 1
        and all(1 <= month <= 12 for month in rule.months)
        and all(1 <= abs(day) <= 31 for day in rule.month_days)
        and all(1 <= abs(place) <= 366 for place in rule.places)
    )
    numbered = any(ordinal for ordinal, _ in rule.days)
    if not within or (numbered and rule.frequency in ("WEEKLY", "DAILY")):
        raise ValueError("a part is out of its range")


def _parts(text: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in text.strip().upper().split(";") if "=" in part)


def _numbers(text: str | None) -> tuple[int, ...]:
    return tuple(int(one) for one in text.split(",")) if text else ()


def _weekday(text: str) -> tuple[int, int]:
    match = _BYDAY.match(text)
    if match is None:
        raise ValueError(text)
    return int(match[1] or 0), WEEKDAYS.index(match[2])


def occurrences(rule: Rule, start: date, first: int, last: int) -> Iterator[date]:
    """The rule's days in the years `first` to `last`, from `start` on, in order."""
    left = rule.count
    begin = start if left is not None else max(start, date(first, 1, 1))
    for found in _periods(rule, start, begin, last):
        days = [day for day in _placed(rule, found) if day >= start]
        if rule.until is not None:
            days = [day for day in days if day <= rule.until]
        if left is not None:
            days = days[:left]
            left -= len(days)
        yield from (day for day in days if first <= day.year <= last)
        if left == 0:
            return


def _placed(rule: Rule, days: list[date]) -> list[date]:
    """Those that BYSETPOS names of a period's days, all where it names none."""
    if not rule.places:
        return days
    count = len(days)
    indexes = {place - 1 if place > 0 else count + place for place in rule.places}
    return [day for index, day in enumerate(days) if index in indexes]


def _periods(rule: Rule, start: date, begin: date, last: int) -> Iterator[list[date]]:
    """The days of each period (year, month, week or day) from the one that holds `begin` on."""
    if rule.frequency == "YEARLY":
        for year in range(begin.year, last + 1):
            if (year - start.year) % rule.interval == 0:
                yield _of_year(rule, start, year)
    elif rule.frequency == "MONTHLY":
        for number in _steps(_month(start), _month(begin), last * 12 + 11, rule.interval):
            yield _of_month(rule, start, number // 12, number % 12 + 1)
    else:
        yield from _of_weeks_and_days(rule, start, begin, last)


def _of_weeks_and_days(rule: Rule, start: date, begin: date, last: int) -> Iterator[list[date]]:
    end = date(last, 12, 31).toordinal()
    if rule.frequency == "DAILY":
        for number in _steps(start.toordinal(), begin.toordinal(), end, rule.interval):
            yield _left(rule, [date.fromordinal(number)])
        return
    monday = start.toordinal() - (start.weekday() - rule.week_start) % 7
    for number in _steps(monday, begin.toordinal() - 6, end, 7 * rule.interval):
        yield _of_week(rule, start, date.fromordinal(number))


def _steps(origin: int, begin: int, end: int, step: int) -> range:
    """origin, origin + step, … from `begin` to `end`."""
    skipped = max(0, -((origin - begin) // step))
    return range(origin + skipped * step, end + 1, step)


def _month(day: date) -> int:
    return day.year * 12 + day.month - 1


def _of_week(rule: Rule, start: date, first: date) -> list[date]:
    wanted = {weekday for _, weekday in rule.days} or {start.weekday()}
    days = [first + timedelta(days=number) for number in range(7)]
    return [
        day
        for day in days
        if day.weekday() in wanted and (not rule.months or day.month in rule.months)
    ]


def _left(rule: Rule, days: list[date]) -> list[date]:
    """Those of some days that a daily rule's parts leave."""
    wanted = {weekday for _, weekday in rule.days}
    return [
        day
        for day in days
        if (not rule.months or day.month in rule.months)
        and (not wanted or day.weekday() in wanted)
        and (not rule.month_days or day.day in _days_of_month(rule, day))
    ]


def _days_of_month(rule: Rule, day: date) -> set[int]:
    length = calendar.monthrange(day.year, day.month)[1]
    return {each if each > 0 else length + 1 + each for each in rule.month_days}


def _of_year(rule: Rule, start: date, year: int) -> list[date]:
    """The days of a year that the rule's parts leave (table of section 3.3.10)."""
    if rule.days and not rule.months and not rule.month_days:
        return sorted(_weekdays(rule, date(year, 1, 1), date(year, 12, 31)))
    months = rule.months or (range(1, 13) if rule.month_days else (start.month,))
    return sorted(day for month in months for day in _of_month(rule, start, year, month))


def _of_month(rule: Rule, start: date, year: int, month: int) -> list[date]:
    if rule.months and month not in rule.months:
        return []
    length = calendar.monthrange(year, month)[1]
    first, last = date(year, month, 1), date(year, month, length)
    if rule.month_days:
        wanted = _days_of_month(rule, first)
        days = {first.replace(day=day) for day in wanted if 1 <= day <= length}
    elif rule.days:
        days = _weekdays(rule, first, last)
    else:
        days = {first.replace(day=start.day)} if start.day <= length else set[date]()
    if rule.month_days and rule.days:
        days = {day for day in days if day.weekday() in {weekday for _, weekday in rule.days}}
    return sorted(days)


def _weekdays(rule: Rule, first: date, last: date) -> set[date]:
    """The weekdays of the rule between two days: all of them, or the nth from either end."""
    found: set[date] = set()
    for ordinal, weekday in rule.days:
        day = first + timedelta(days=(weekday - first.weekday()) % 7)
        each = [day + timedelta(days=7 * week) for week in range((last - day).days // 7 + 1)]
        if not ordinal:
            found.update(each)
        elif abs(ordinal) <= len(each):
            found.add(each[ordinal - 1] if ordinal > 0 else each[ordinal])
    return found
