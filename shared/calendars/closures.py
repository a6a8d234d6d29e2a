"""The days that a calendar closes (or opens specially), by name: what people check a feed with."""

from collections.abc import Iterator
from datetime import date, timedelta

from shared.calendars.model import Calendar, Rules
from shared.calendars.shapes import SpecialDay
from shared.calendars.zones import country_days

DAYS_MAX = 3_660


def special_days(calendar: Calendar, first: date, last: date) -> list[SpecialDay]:
    """`{"date", "name", "source", "closes"}` of each date from `first` to `last`, both inclusive.

    `source`: country, holidays, override, or feed:<name>; `closes` is false for a date of a feed
    that is switched off, and for one whose override opens it. At most DAYS_MAX days.
    """
    found: list[SpecialDay] = []
    days = min((last - first).days + 1, DAYS_MAX)
    for leaf in calendar.leaves():
        for number in range(days):
            day = first + timedelta(days=number)
            rules = leaf.rules_on(day)
            for name, source, closes in _of_day(day, rules):
                opened = bool(rules.overrides.get(day)) and source != "override"
                found.append(
                    {
                        "date": day.isoformat(),
                        "name": name,
                        "source": source,
                        "closes": closes and not opened,
                    }
                )
    return sorted(found, key=lambda one: (one["date"], one["source"]))


def _of_day(day: date, rules: Rules) -> Iterator[tuple[str, str, bool]]:
    if day in rules.overrides:
        windows = rules.overrides[day]
        yield "other hours" if windows else "closed", "override", not windows
    if rules.country:
        name = country_days(rules.country, rules.subdivision, day.year).get(day)
        if name is not None:
            yield name, "country", True
    if day in rules.dated or (day.month, day.day) in rules.yearly:
        yield "holiday", "holidays", True
    for feed in rules.feeds:
        name = feed.days(day.year).get(day)
        if name is not None:
            yield name, f"feed:{feed.name}", day not in feed.off
