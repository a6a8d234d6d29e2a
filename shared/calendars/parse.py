"""Reads a calendar as people write it and refuses what is wrong, with the place of each fault."""

import re
from dataclasses import replace
from datetime import date
from itertools import pairwise
from typing import Any, cast

from shared.calendars.feed import Feed, FeedError, FeedEvent, read_feed
from shared.calendars.model import (
    ALL_HOURS,
    DAY_S,
    DAYS,
    NAMED_FIRST,
    NAMED_LAST,
    NO_HOURS,
    Calendar,
    Rules,
    Span,
    Week,
)
from shared.calendars.zones import countries, zone_names
from shared.contracts.ids import CLIENT_ID
from shared.contracts.problems import Fault, Refused
from shared.rules import nearest

_HOURS = (
    "hours", "always_open", "holidays", "feeds", "country", "subdivision", "overrides",
)  # fmt: skip
FIELDS = ("id", "timezone", *_HOURS, "versions", "calendars", "combine")
VERSION_FIELDS = ("from", "timezone", *_HOURS)
LIST_MAX = 5_000  # holidays, overrides or versions of one calendar
WINDOWS_PER_DAY_MAX = 48
FEEDS_MAX = 20
PARTS_MAX = 20  # calendars that one is made of
DEPTH_MAX = 3

_TIME = re.compile(r"(\d\d):(\d\d)(?::(\d\d))?\Z", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d\Z", re.ASCII)
_YEARLY = re.compile(r"(\d\d)-(\d\d)\Z", re.ASCII)
_FEED_URL = re.compile(r"(?:https?|webcal)://[!-~]{1,1990}\Z", re.ASCII)
_BEGINNING = date.min


def escape(name: str) -> str:
    """A key as a part of a JSON pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")


class Faults:
    """Collects what is wrong."""

    def __init__(self) -> None:
        self.found: list[Fault] = []

    def add(self, pointer: str, code: str, message: str, expected: str | None = None) -> None:
        self.found.append(Fault(pointer, code, message, expected))

    def refuse(self) -> None:
        """Raises Refused when anything was wrong."""
        if self.found:
            raise Refused("validation", self.found[0].message, errors=self.found)


def parse_calendar(body: object, pointer: str = "") -> Calendar:
    """The calendar that `body` (JSON values) states. Raises Refused("validation") with all faults.

    Whether any window ever opens is checked by `shared.calendars.check_calendar`.
    """
    faults = Faults()
    calendar = _calendar(body, pointer, faults)
    faults.refuse()
    assert calendar is not None
    return calendar


def _calendar(body: object, at: str, faults: Faults, depth: int = 1) -> Calendar | None:
    given = _object(body, at, FIELDS, faults)
    if given is None:
        return None
    name = given.get("id")
    if name is not None and not (isinstance(name, str) and CLIENT_ID.match(name)):
        faults.add(f"{at}/id", "id", "the id is not valid", "[A-Za-z0-9_-]{1,64}")
        name = None
    if "calendars" in given:
        return _combined(given, name, at, faults, depth)
    if "combine" in given:
        faults.add(f"{at}/combine", "form", "combine needs calendars", "calendars")
    if "timezone" not in given:
        faults.add(f"{at}/timezone", "missing", "a calendar needs a time zone", "Europe/Berlin")
    base = _rules(given, Rules(_BEGINNING, "UTC"), at, faults)
    versions = [base, *_versions(given.get("versions"), base, f"{at}/versions", faults)]
    if not any(rules.always_open or any(rules.week) or rules.overrides for rules in versions):
        faults.add(f"{at}/hours", "never_open", "the calendar has no open hours at all", "hours")
    return Calendar(name, tuple(versions))


def _combined(
    given: dict[str, Any], name: str | None, at: str, faults: Faults, depth: int
) -> Calendar | None:
    """A calendar made of others: open when one of them is, or only when all are."""
    for field in (*_HOURS, "versions"):
        if field in given:
            message = f"a calendar made of others has no {field} of its own"
            faults.add(
                f"{at}/{field}", "contradiction", message, "id, timezone, calendars, combine"
            )
    combine = given.get("combine")
    if combine not in ("union", "intersection"):
        message = "how to combine the calendars"
        faults.add(f"{at}/combine", "value", message, "union or intersection")
    entries = _list(given["calendars"], f"{at}/calendars", faults, PARTS_MAX)
    if not entries:
        faults.add(f"{at}/calendars", "never_open", "no calendar to combine", "a list of calendars")
    if depth >= DEPTH_MAX:
        faults.add(f"{at}/calendars", "too_deep", "too many levels", f"at most {DEPTH_MAX}")
        return None
    found = [
        _calendar(entry, f"{at}/calendars/{index}", faults, depth + 1)
        for index, entry in enumerate(entries)
    ]
    parts = tuple(part for part in found if part is not None)
    if faults.found:
        return None
    zone = parts[0].timezone
    if "timezone" in given:
        zone = _zone(given["timezone"], f"{at}/timezone", faults)
    return Calendar(name, (Rules(_BEGINNING, zone),), parts, cast("Any", combine))


def _versions(value: object, base: Rules, at: str, faults: Faults) -> list[Rules]:
    entries = _list(value, at, faults)
    dated: list[tuple[date, int, dict[str, Any]]] = []
    for index, entry in enumerate(entries):
        given = _object(entry, f"{at}/{index}", VERSION_FIELDS, faults)
        if given is None:
            continue
        since = _date(given.get("from"), f"{at}/{index}/from", faults)
        if since is None:
            continue
        if any(since == other for other, _, _ in dated):
            faults.add(f"{at}/{index}/from", "duplicate", f"two versions begin on {since}")
        dated.append((since, index, given))
    found: list[Rules] = []
    before = base
    for since, index, given in sorted(dated, key=lambda entry: entry[:2]):
        before = _rules(given, replace(before, since=since), f"{at}/{index}", faults)
        found.append(before)
    return found


def _rules(given: dict[str, Any], before: Rules, at: str, faults: Faults) -> Rules:
    """`before` with the fields that `given` names replaced."""
    rules = _hours(given, before, at, faults)
    if "timezone" in given:
        rules = replace(rules, timezone=_zone(given["timezone"], f"{at}/timezone", faults))
    if "holidays" in given:
        dated, yearly = _holidays(given["holidays"], f"{at}/holidays", faults)
        rules = replace(rules, dated=dated, yearly=yearly)
    if "feeds" in given:
        rules = replace(rules, feeds=_feeds(given["feeds"], f"{at}/feeds", faults))
    if "overrides" in given:
        found = _overrides(given["overrides"], f"{at}/overrides", faults)
        rules = replace(rules, overrides=found)
    return _country(given, rules, at, faults)


def _hours(given: dict[str, Any], before: Rules, at: str, faults: Faults) -> Rules:
    rules = before
    if "hours" in given:
        week = _week(given["hours"], f"{at}/hours", faults)
        rules = replace(rules, week=week, always_open=False)
    if "always_open" not in given:
        return rules
    always = given["always_open"]
    if not isinstance(always, bool):
        faults.add(f"{at}/always_open", "type", "always_open is not a boolean", "true or false")
    elif always and "hours" in given and any(rules.week):
        faults.add(f"{at}/hours", "contradiction", "the calendar is always open and has hours")
    elif always:
        return replace(rules, week=ALL_HOURS, always_open=True)
    elif before.always_open and "hours" not in given:
        return replace(rules, week=NO_HOURS, always_open=False)
    return rules


def _country(given: dict[str, Any], rules: Rules, at: str, faults: Faults) -> Rules:
    if "country" in given:
        country = given["country"]
        if country is not None and (not isinstance(country, str) or country not in countries()):
            close = nearest(country, countries()) if isinstance(country, str) else None
            expected = close or "an ISO 3166 code such as DE"
            faults.add(f"{at}/country", "unknown_country", f"unknown country {country!r}", expected)
            return rules
        kept = rules.subdivision if country == rules.country else None
        rules = replace(rules, country=country, subdivision=kept)
    if "subdivision" not in given or given["subdivision"] is None:
        return replace(rules, subdivision=None) if "subdivision" in given else rules
    part = given["subdivision"]
    if rules.country is None:
        faults.add(f"{at}/country", "missing", "a subdivision needs its country", "country")
    elif not isinstance(part, str) or part not in countries()[rules.country]:
        expected = ", ".join(countries()[rules.country]) or "none: the country has no subdivisions"
        message = f"{rules.country} has no subdivision {part!r}"
        faults.add(f"{at}/subdivision", "unknown_subdivision", message, expected)
    else:
        return replace(rules, subdivision=part)
    return rules


def _zone(value: object, at: str, faults: Faults) -> str:
    if isinstance(value, str) and value in zone_names():
        return value
    close = nearest(value, zone_names()) if isinstance(value, str) else None
    faults.add(at, "unknown_timezone", f"unknown time zone {value!r}", close or "an IANA name")
    return "UTC"


def _week(value: object, at: str, faults: Faults) -> Week:
    given = _object(value, at, DAYS, faults)
    if given is None:
        return NO_HOURS
    before = len(faults.found)
    week = tuple(
        _windows(given.get(day), f"{at}/{day}", faults) if day in given else () for day in DAYS
    )
    if len(faults.found) == before:
        _check_neighbours(week, at, faults)
    return week


def _check_neighbours(week: Week, at: str, faults: Faults) -> None:
    """An overnight window must not run into the next day's first."""
    for index, spans in enumerate(week):
        following = (index + 1) % 7
        tail = max((end for _, end in spans), default=0) - DAY_S
        for number, (start, _) in enumerate(week[following]):
            if start < tail:
                place = f"{at}/{DAYS[following]}/{number}"
                message = f"the window overlaps {DAYS[index]}'s, which ends on the next day"
                faults.add(place, "overlap", message, "windows that do not overlap")


def _windows(value: object, at: str, faults: Faults) -> tuple[Span, ...]:
    entries = _list(value, at, faults, WINDOWS_PER_DAY_MAX)
    found: list[tuple[Span, int]] = []
    for index, entry in enumerate(entries):
        span = read_window(entry, f"{at}/{index}", faults)
        if span is not None:
            found.append((span, index))
    found.sort()
    for ((_, end), _), ((start, _), index) in pairwise(found):
        if start < end:
            expected = "windows that do not overlap"
            faults.add(f"{at}/{index}", "overlap", "the window overlaps another one", expected)
    return tuple(span for span, _ in found)


def read_window(value: object, at: str, faults: Faults) -> Span | None:
    """A window in seconds from the day's midnight; overnight ones end beyond DAY_S."""
    if not isinstance(value, list) or len(cast("list[Any]", value)) != 2:
        faults.add(at, "type", "a window is a pair of times", '["08:00", "18:00"]')
        return None
    pair = cast("list[Any]", value)
    start = _time(pair[0], f"{at}/0", faults)
    end = _time(pair[1], f"{at}/1", faults, is_end=True)
    if start is None or end is None:
        return None
    if start == end:
        faults.add(at, "empty", "the window ends when it starts", '["00:00", "24:00"] for a day')
        return None
    return start, end if end > start else end + DAY_S


def _time(value: object, at: str, faults: Faults, *, is_end: bool = False) -> int | None:
    match = _TIME.match(value) if isinstance(value, str) else None
    if match is not None:
        hour, minute, second = (int(part or 0) for part in match.groups())
        seconds = hour * 3600 + minute * 60 + second
        if minute < 60 and second < 60 and (hour < 24 or (is_end and seconds == DAY_S)):
            return seconds
    expected = "HH:MM or HH:MM:SS, 24:00 only as an end"
    faults.add(at, "time", f"{value!r} is no time of day here", expected)
    return None


def _date(value: object, at: str, faults: Faults) -> date | None:
    if isinstance(value, str) and _DATE.match(value):
        try:
            day = date.fromisoformat(value)
        except ValueError:
            pass
        else:
            if NAMED_FIRST <= day.year <= NAMED_LAST:
                return day
    expected = f"YYYY-MM-DD from {NAMED_FIRST} to {NAMED_LAST}"
    faults.add(at, "date", f"{value!r} is no date", expected)
    return None


def _holidays(
    value: object, at: str, faults: Faults
) -> tuple[frozenset[date], frozenset[tuple[int, int]]]:
    dated: set[date] = set()
    yearly: set[tuple[int, int]] = set()
    for index, entry in enumerate(_list(value, at, faults)):
        place = f"{at}/{index}"
        if not isinstance(entry, dict):
            if (day := _date(entry, place, faults)) is not None:
                dated.add(day)
            continue
        given = _object(cast("Any", entry), place, ("yearly",), faults)
        if given is not None and (found := _yearly(given.get("yearly"), place, faults)):
            yearly.add(found)
    return frozenset(dated), frozenset(yearly)


def _feeds(value: object, at: str, faults: Faults) -> tuple[Feed, ...]:
    found: list[Feed] = []
    for index, entry in enumerate(_list(value, at, faults, FEEDS_MAX)):
        place = f"{at}/{index}"
        given = _object(entry, place, ("name", "url", "ical", "off"), faults)
        if given is None:
            continue
        name = given.get("name")
        if not isinstance(name, str) or not CLIENT_ID.match(name):
            faults.add(f"{place}/name", "id", "a feed needs a name", "[A-Za-z0-9_-]{1,64}")
            continue
        if any(name == other.name for other in found):
            faults.add(f"{place}/name", "duplicate", f"two feeds are named {name!r}")
        off = _list(given.get("off", []), f"{place}/off", faults)
        days = [_date(day, f"{place}/off/{number}", faults) for number, day in enumerate(off)]
        unread = _address(given, place, faults) and "ical" not in given
        events = () if unread else _ical(given.get("ical"), f"{place}/ical", faults)
        off_days = frozenset(day for day in days if day is not None)
        found.append(Feed(name, events, off_days, unread=unread))
    return tuple(found)


def _address(given: dict[str, Any], at: str, faults: Faults) -> bool:
    """Whether the feed has an address."""
    if "url" not in given:
        return False
    url = given["url"]
    if not isinstance(url, str) or not _FEED_URL.match(url):
        expected = "https://… or webcal://…, at most 2,000 characters"
        faults.add(f"{at}/url", "url", "the address of a feed is no URL of the web", expected)
    return True


def _ical(value: object, at: str, faults: Faults) -> tuple[FeedEvent, ...]:
    if not isinstance(value, str):
        message = "a feed needs its iCalendar text (ical) or its address (url)"
        faults.add(at, "type", message, "BEGIN:VCALENDAR … END:VCALENDAR")
        return ()
    try:
        return read_feed(value)
    except FeedError as error:
        faults.add(at, "ical", str(error), error.expected)
        return ()


def _yearly(value: object, at: str, faults: Faults) -> tuple[int, int] | None:
    match = _YEARLY.match(value) if isinstance(value, str) else None
    if match is not None:
        month, day = int(match[1]), int(match[2])
        try:
            date(2024, month, day)  # a leap year: 02-29 is a date
        except ValueError:
            pass
        else:
            return month, day
    faults.add(f"{at}/yearly", "date", f"{value!r} is no day of the year", "MM-DD")
    return None


def _overrides(value: object, at: str, faults: Faults) -> dict[date, tuple[Span, ...]]:
    given = _object(value, at, None, faults) or {}
    found: dict[date, tuple[Span, ...]] = {}
    if len(given) > LIST_MAX:
        faults.add(at, "too_many", f"more than {LIST_MAX} overrides", f"at most {LIST_MAX}")
        return found
    for key, windows in given.items():
        place = f"{at}/{escape(key)}"
        day = _date(key, place, faults)
        spans = _windows(windows, place, faults)
        if day is not None:
            found[day] = spans
    return found


def _object(
    value: object, at: str, known: tuple[str, ...] | None, faults: Faults
) -> dict[str, Any] | None:
    if not isinstance(value, dict):
        faults.add(at, "type", "this must be an object", "an object")
        return None
    given = cast("dict[str, Any]", value)
    for name in given if known is not None else ():
        if name not in (known or ()):
            expected = nearest(str(name), known or ()) or ", ".join(known or ())
            message = f"unknown field {name!r}"
            faults.add(f"{at}/{escape(str(name))}", "unknown_field", message, expected)
    return given


def _list(value: object, at: str, faults: Faults, most: int = LIST_MAX) -> list[Any]:
    if value is None and at.endswith("/versions"):
        return []
    if not isinstance(value, list):
        faults.add(at, "type", "this must be a list", "a list")
        return []
    found = cast("list[Any]", value)
    if len(found) > most:
        faults.add(at, "too_many", f"more than {most} entries", f"at most {most}")
        return []
    return found
