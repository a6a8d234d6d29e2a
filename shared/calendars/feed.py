"""Holiday feeds: the all-day events of an iCalendar text (RFC 5545), each date with its switch.

Read are VEVENTs of whole days: DTSTART, DTEND (exclusive) or DURATION in days and weeks, SUMMARY, RRULE
(`recurrence.py`), RDATE, EXDATE and RECURRENCE-ID; cancelled ones and those at a time of day close nothing.
Whole are those whose DTSTART is a date, and, as Outlook and Exchange write them, those from a midnight to
a midnight, or marked X-MICROSOFT-CDO-ALLDAYEVENT.
"""

import re
from collections.abc import Iterator
from datetime import date, timedelta
from typing import NamedTuple

from shared.calendars.recurrence import (
    FREQUENCIES,
    PARTS,
    Rule,
    is_read,
    local_date,
    occurrences,
    parse_rule,
)

TEXT_MAX = 512 * 1024  # characters of one feed
EVENTS_MAX = 5_000
DAYS_MAX = 366  # of one event

_LINE = re.compile(r'([A-Za-z0-9-]+)((?:;[^=;:]+=(?:"[^"]*"|[^";:,]*)(?:,(?:"[^"]*"|[^";:,]*))*)*):(.*)\Z', re.DOTALL)  # fmt: skip
_DURATION = re.compile(r"\+?P(?:(\d{1,3})W)?(?:(\d{1,3})D)?(?:T0[HMS])?\Z")
# The end of a value, behind what an unquoted TZID with a colon of its own leaves in it.
_STAMP = re.compile(r"(\d{8}(?:T\d{6}Z?)?)\s*\Z", re.IGNORECASE)
# Some programs break the lines of these without folding them.
_PROSE = frozenset({"DESCRIPTION", "SUMMARY", "LOCATION", "COMMENT", "X-ALT-DESC"})


class FeedError(ValueError):
    """The text is no feed that can be read; `line` (from 1) is where."""

    def __init__(self, line: int, message: str, expected: str) -> None:
        super().__init__(f"{message} (line {line})")
        self.expected = expected


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
    number = depth = calendars = open_calendars = 0
    name = ""
    for number, line in _unfolded(text):
        match = _LINE.match(line)
        if inside is not None and name in _PROSE and (match is None or not match[1].isupper()):
            continue
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
            if kind == "VCALENDAR":
                calendars += name == "BEGIN"
                open_calendars += 1 if name == "BEGIN" else -1
        elif inside is not None and depth <= 0:
            inside.setdefault(name, []).append((number, parameters, value))
    if not calendars:
        raise FeedError(1, "the text holds no calendar", "BEGIN:VCALENDAR … END:VCALENDAR")
    if open_calendars > 0:
        raise FeedError(number, "the text breaks off", "END:VCALENDAR at the end")
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
    if "DTSTART" not in lines or not _is_whole_days(lines):
        return None
    number, _, value = lines["DTSTART"][0]
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


def _is_whole_days(lines: dict[str, list[tuple[int, str, str]]]) -> bool:
    _, parameters, value = lines["DTSTART"][0]
    if "T" not in _stamp(value) or "VALUE=DATE;" in f"{parameters};":
        return True
    marked = lines.get("X-MICROSOFT-CDO-ALLDAYEVENT", ())
    if any(value.strip().upper() == "TRUE" for _, _, value in marked):
        return True
    ends = [_stamp(value) for _, _, value in lines.get("DTEND", ())]
    return bool(ends) and all(each.endswith("T000000") for each in (_stamp(value), ends[0]))


def _stamp(value: str) -> str:
    match = _STAMP.search(value)
    return match[1].upper() if match else value


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
    try:
        return local_date(_stamp(text.strip()))
    except ValueError as error:
        raise FeedError(line, f"{text.strip()!r} is no date", "YYYYMMDD") from error


def _text(value: str) -> str:
    """TEXT without its escapes (section 3.3.11), on one line."""
    plain = re.sub(r"\\(.)", lambda found: " " if found[1] in "nN" else found[1], value)
    return " ".join(plain.split())[:200] or "holiday"


def _rule(line: int, text: str) -> Rule:
    if not is_read(text):
        message = f"the rule {text.strip()!r} is not read"
        expected = f"FREQ={', '.join(FREQUENCIES)} with {', '.join(PARTS)}"
        raise FeedError(line, message, expected)
    try:
        return parse_rule(text)
    except ValueError as error:
        message = f"the rule {text.strip()!r} is not valid"
        raise FeedError(line, message, "RFC 5545, section 3.3.10") from error


def _starts(event: FeedEvent, first: int, last: int) -> set[date]:
    """The event's first days in the years `first` to `last`."""
    found = {day for day in (event.start, *event.extra) if first <= day.year <= last}
    if event.rule is not None:
        found.update(occurrences(event.rule, event.start, first, last))
    return found - event.except_on
