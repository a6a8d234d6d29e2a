"""Holiday feeds: the all-day events of an iCalendar text (RFC 5545), each date with its switch.

Read are VEVENTs whose DTSTART is a date: DTEND (exclusive) or DURATION in days and weeks, SUMMARY,
RRULE with FREQ=YEARLY (INTERVAL, COUNT, UNTIL, BYMONTH, BYMONTHDAY, BYDAY), RDATE, EXDATE and
RECURRENCE-ID; cancelled ones and those at a time of day close nothing.
"""

import calendar
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import NamedTuple

TEXT_MAX = 512 * 1024  # characters of one feed
EVENTS_MAX = 5_000
DAYS_MAX = 366  # of one event
WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")

_LINE = re.compile(r'([A-Za-z0-9-]+)((?:;[^=;:]+=(?:"[^"]*"|[^";:,]*)(?:,(?:"[^"]*"|[^";:,]*))*)*):(.*)\Z', re.DOTALL)  # fmt: skip
_DURATION = re.compile(r"\+?P(?:(\d{1,3})W)?(?:(\d{1,3})D)?(?:T0[HMS])?\Z")
_BYDAY = re.compile(r"([+-]?\d{1,2})?(MO|TU|WE|TH|FR|SA|SU)\Z")
_RULE_PARTS = ("FREQ", "INTERVAL", "COUNT", "UNTIL", "BYMONTH", "BYMONTHDAY", "BYDAY", "WKST")


class FeedError(ValueError):
    """The text is no feed that can be read; `line` (from 1) is where."""

    def __init__(self, line: int, message: str, expected: str) -> None:
        super().__init__(f"{message} (line {line})")
        self.expected = expected


@dataclass(frozen=True)
class Rule:
    """A yearly recurrence. `days`: (ordinal or 0, weekday from Monday)."""

    interval: int = 1
    count: int | None = None
    until: date | None = None
    months: tuple[int, ...] = ()
    month_days: tuple[int, ...] = ()
    days: tuple[tuple[int, int], ...] = ()


class FeedEvent(NamedTuple):
    """An all-day event of `length` days. `uid` and `replaces` name an instance that it stands for."""

    start: date
    length: int
    name: str
    rule: Rule | None = None
    extra: frozenset[date] = frozenset()
    except_on: frozenset[date] = frozenset()
    uid: str = ""
    replaces: date | None = None


class Feed:
    """A feed's dates. Dates in `off` stay open although the feed names them. `unread`: only its
    address is known here."""

    def __init__(
        self,
        name: str,
        events: tuple[FeedEvent, ...],
        off: frozenset[date],
        *,
        unread: bool = False,
    ) -> None:
        self.name = name
        self.events = events
        self.off = off
        self.unread = unread
        self._years: dict[int, dict[date, str]] = {}

    def days(self, year: int) -> dict[date, str]:
        """Every date of a year that the feed names, switched off ones included."""
        found = self._years.get(year)
        if found is None:
            found = self._years[year] = {}
            for event in self.events:
                for start in _starts(event, year - 1, year):
                    for number in range(event.length):
                        day = start + timedelta(days=number)
                        if day.year == year:
                            found.setdefault(day, event.name)
        return found

    def holiday(self, day: date) -> str | None:
        """The name of a day that this feed closes."""
        return None if day in self.off else self.days(day.year).get(day)

    @property
    def recurring(self) -> bool:
        return any(event.rule is not None for event in self.events)

    def dates(self) -> set[date]:
        """First days that the feed names singly."""
        return {day for event in self.events for day in (event.start, *event.extra)}


def read_feed(text: str) -> tuple[FeedEvent, ...]:
    """The all-day events of an iCalendar text. Raises FeedError."""
    if len(text) > TEXT_MAX:
        raise FeedError(1, "the feed is too long", f"at most {TEXT_MAX} characters")
    events: list[FeedEvent] = []
    inside: dict[str, list[tuple[int, str, str]]] | None = None
    depth = calendars = 0
    for number, line in _unfolded(text):
        match = _LINE.match(line)
        if match is None:
            raise FeedError(number, "this is no iCalendar line", "NAME;PARAMETER=VALUE:VALUE")
        name, parameters, value = match[1].upper(), match[2].upper(), match[3]
        kind = value.strip().upper()
        if name == "BEGIN" and kind == "VEVENT":
            inside, depth = {}, 0
        elif name == "END" and kind == "VEVENT" and inside is not None:
            event = _event(inside)
            inside = None
            if event is not None:
                events.append(event)
        elif name in ("BEGIN", "END"):
            depth += 1 if name == "BEGIN" else -1
            calendars += name == "BEGIN" and kind == "VCALENDAR"
        elif inside is not None and depth <= 0:
            inside.setdefault(name, []).append((number, parameters, value))
    if not calendars:
        raise FeedError(1, "the text holds no calendar", "BEGIN:VCALENDAR … END:VCALENDAR")
    if len(events) > EVENTS_MAX:
        raise FeedError(1, "the feed has too many events", f"at most {EVENTS_MAX}")
    return _without_replaced(events)


def _unfolded(text: str) -> Iterator[tuple[int, str]]:
    """Logical lines with the number of their first physical one (section 3.1)."""
    line, began = "", 0
    for number, raw in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), 1):
        if raw[:1] in (" ", "\t") and line:
            line += raw[1:]
            continue
        if line.strip():
            yield began, line
        line, began = raw.removeprefix("\ufeff"), number
    if line.strip():
        yield began, line


def _without_replaced(events: list[FeedEvent]) -> tuple[FeedEvent, ...]:
    """Instances that an event with RECURRENCE-ID stands for leave the series (section 3.8.4.4)."""
    replaced: dict[str, set[date]] = {}
    for event in events:
        if event.replaces is not None:
            replaced.setdefault(event.uid, set()).add(event.replaces)
    kept = [event for event in events if event.length]
    return tuple(
        event._replace(except_on=event.except_on | replaced[event.uid])
        if event.replaces is None and event.uid in replaced
        else event
        for event in kept
    )


def _event(lines: dict[str, list[tuple[int, str, str]]]) -> FeedEvent | None:
    """The event; None for one at a time of day. A cancelled one has no length."""
    if "DTSTART" not in lines:
        return None
    number, parameters, value = lines["DTSTART"][0]
    if "T" in value.upper() and "VALUE=DATE;" not in f"{parameters};":
        return None
    start = _date(number, value)
    cancelled = any(value.strip().upper() == "CANCELLED" for _, _, value in lines.get("STATUS", ()))
    rule = lines.get("RRULE")
    replaced = lines.get("RECURRENCE-ID")
    return FeedEvent(
        start,
        0 if cancelled else _length(lines, start),
        _text(lines["SUMMARY"][0][2]) if "SUMMARY" in lines else "holiday",
        None if rule is None else _rule(rule[0][0], rule[0][2]),
        _dates(lines.get("RDATE", ())),
        _dates(lines.get("EXDATE", ())),
        lines["UID"][0][2].strip() if "UID" in lines else "",
        None if replaced is None else _date(replaced[0][0], replaced[0][2]),
    )


def _length(lines: dict[str, list[tuple[int, str, str]]], start: date) -> int:
    """Whole days; one where neither an end nor a duration is given (section 3.6.1)."""
    days, at = 1, 0
    if "DTEND" in lines:
        at, _, value = lines["DTEND"][0]
        days = max(1, (_date(at, value) - start).days)
    elif "DURATION" in lines:
        at, _, value = lines["DURATION"][0]
        match = _DURATION.match(value.strip().upper())
        if match is None:
            raise FeedError(at, "the duration of a whole day's event is not in days", "P1D")
        days = max(1, int(match[1] or 0) * 7 + int(match[2] or 0))
    if days > DAYS_MAX:
        raise FeedError(at, f"the event lasts {days} days", f"at most {DAYS_MAX}")
    return days


def _dates(lines: list[tuple[int, str, str]] | tuple[()]) -> frozenset[date]:
    return frozenset(
        _date(number, part.split("/")[0]) for number, _, value in lines for part in value.split(",")
    )


def _date(line: int, text: str) -> date:
    """The date of a DATE or of the local date of a DATE-TIME."""
    digits = text.strip()[:8]
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:8]))
    except ValueError as error:
        raise FeedError(line, f"{text.strip()!r} is no date", "YYYYMMDD") from error


def _text(value: str) -> str:
    """TEXT without its escapes (section 3.3.11), on one line."""
    plain = re.sub(r"\\(.)", lambda found: " " if found[1] in "nN" else found[1], value)
    return " ".join(plain.split())[:200] or "holiday"


def _rule(line: int, text: str) -> Rule:
    parts = dict(part.split("=", 1) for part in text.strip().upper().split(";") if "=" in part)
    unknown = [name for name in parts if name not in _RULE_PARTS]
    if parts.get("FREQ") != "YEARLY" or unknown:
        message = f"the rule {text.strip()!r} is not read"
        raise FeedError(line, message, f"FREQ=YEARLY with {', '.join(_RULE_PARTS[1:])}")
    try:
        rule = Rule(
            int(parts.get("INTERVAL", 1)),
            int(parts["COUNT"]) if "COUNT" in parts else None,
            _date(line, parts["UNTIL"]) if "UNTIL" in parts else None,
            _numbers(parts.get("BYMONTH")),
            _numbers(parts.get("BYMONTHDAY")),
            tuple(_weekday(one) for one in parts.get("BYDAY", "").split(",") if one),
        )
        within = all(1 <= month <= 12 for month in rule.months)
        if rule.interval >= 1 and within and all(1 <= abs(day) <= 31 for day in rule.month_days):
            return rule
    except (ValueError, TypeError) as error:
        if isinstance(error, FeedError):
            raise
    raise FeedError(line, f"the rule {text.strip()!r} is not valid", "RFC 5545, section 3.3.10")


def _numbers(text: str | None) -> tuple[int, ...]:
    return tuple(int(one) for one in text.split(",")) if text else ()


def _weekday(text: str) -> tuple[int, int]:
    match = _BYDAY.match(text)
    if match is None:
        raise ValueError(text)
    return int(match[1] or 0), WEEKDAYS.index(match[2])


def _starts(event: FeedEvent, first: int, last: int) -> set[date]:
    """The event's first days in the years `first` to `last`."""
    found = {day for day in (event.start, *event.extra) if first <= day.year <= last}
    rule = event.rule
    if rule is not None:
        left = rule.count
        begin = event.start.year if left is not None else max(first, event.start.year)
        for year in range(begin, last + 1):
            if (year - event.start.year) % rule.interval:
                continue
            days = [day for day in _of_year(rule, event.start, year) if day >= event.start]
            if rule.until is not None:
                days = [day for day in days if day <= rule.until]
            if left is not None:
                days = days[:left]
                left -= len(days)
            found.update(day for day in days if day.year >= first)
            if left == 0:
                break
    return found - event.except_on


def _of_year(rule: Rule, start: date, year: int) -> list[date]:
    """The days of a year that the rule's parts leave (table of section 3.3.10)."""
    if rule.days and not rule.months and not rule.month_days:
        return sorted(_weekdays(rule, date(year, 1, 1), date(year, 12, 31)))
    months = rule.months or (range(1, 13) if rule.month_days else (start.month,))
    found: list[date] = []
    for month in months:
        length = calendar.monthrange(year, month)[1]
        first, last = date(year, month, 1), date(year, month, length)
        if rule.month_days:
            wanted = {day if day > 0 else length + 1 + day for day in rule.month_days}
            days = {first.replace(day=day) for day in wanted if 1 <= day <= length}
        elif rule.days:
            days = _weekdays(rule, first, last)
        else:
            days = {first.replace(day=start.day)} if start.day <= length else set[date]()
        if rule.month_days and rule.days:
            days = {day for day in days if day.weekday() in {weekday for _, weekday in rule.days}}
        found += days
    return sorted(found)


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
