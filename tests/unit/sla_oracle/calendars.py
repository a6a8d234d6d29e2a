"""Open hours by walking local days: each window's two ends are turned into instants by `zoneinfo`.

Written from API.md («SLA», `calendars:evaluate`) and from the edge rules that the documentation names;
the sentence that a rule comes from stands beside it. Instants are whole microseconds of UTC.
"""

from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import holidays as holiday_data

from shared.calendars.zones import zone as zone_of  # the installation's time-zone data

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
WHOLE_DAY = [["00:00", "24:00"]]


def us(text: str, zone: str = "UTC") -> int:
    """«Times without offset are local to the calendar.»"""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone_of(zone))
    return (moment.astimezone(UTC) - EPOCH) // MICROSECOND


def text(at: int | None) -> str | None:
    if at is None:
        return None
    return (EPOCH + timedelta(microseconds=at)).isoformat().replace("+00:00", "Z")


def in_force(body: dict, day: date) -> dict:
    """«`versions[].from` is a local date, inclusive, and replaces the fields it names.»"""
    found = dict(body)
    for version in sorted(body.get("versions", ()), key=lambda one: one["from"]):
        if version["from"] <= str(day):
            found |= {name: value for name, value in version.items() if name != "from"}
    return found


@cache
def country_days(country: str, subdivision: str | None, year: int) -> frozenset[date]:
    """«`country` closes the day itself and its observed substitute.»"""
    both = set()
    for observed in (True, False):
        both |= set(holiday_data.country_holidays(country, subdiv=subdivision, years=range(year - 1, year + 2), observed=observed))  # fmt: skip
    return frozenset(both)


def is_holiday(body: dict, day: date) -> bool:
    for one in body.get("holidays", ()):
        if one == str(day) or (isinstance(one, dict) and one["yearly"] == f"{day:%m-%d}"):
            return True
    country = body.get("country")
    return bool(country) and day in country_days(country, body.get("subdivision"), day.year)


def hours_of(body: dict, day: date) -> tuple[list, bool]:
    """A local day's windows, and whether it is a holiday.

    «`overrides` win over holidays, an empty list closes the day.»
    """
    body = in_force(body, day)
    if str(day) in body.get("overrides", {}):
        return body["overrides"][str(day)], False
    if is_holiday(body, day):
        return [], True
    if body.get("always_open"):
        return WHOLE_DAY, False
    return body.get("hours", {}).get(DAYS[day.weekday()], []), False


def instant(day: date, clock: str, where: ZoneInfo) -> int:
    """«Gap: shifts forward»; «overlap: first occurrence for both»: what `fold=0` gives."""
    parts = [int(one) for one in clock.split(":")]
    hour, minute, second = (*parts, 0)[:3]
    local = datetime(day.year, day.month, day.day) + timedelta(hours=hour, minutes=minute, seconds=second)  # fmt: skip
    return (local.replace(tzinfo=where, fold=0).astimezone(UTC) - EPOCH) // MICROSECOND


def exists(day: date, where: ZoneInfo) -> bool:
    """Not so for a date that a zone left out (Samoa, 2011-12-30)."""
    noon = EPOCH + timedelta(microseconds=instant(day, "12:00", where))
    return noon.astimezone(where).date() == day


def windows_of(body: dict, day: date) -> list[tuple[int, int]]:
    where = zone_of(in_force(body, day)["timezone"])
    if not exists(day, where):
        return []
    found = []
    for opens, closes in hours_of(body, day)[0]:
        # «End before start is overnight», «belongs to the day it opens».
        last = day + timedelta(days=1) if closes < opens else day
        window = instant(day, opens, where), instant(last, closes, where)
        if window[0] < window[1]:
            found.append(window)
    return found


def merged(windows: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """«Merges windows that touch.»"""
    found: list[tuple[int, int]] = []
    for start, end in sorted(windows):
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((start, end))
    return found


class Hours:
    """The open hours of one or several calendars between two instants, a day or two beyond each."""

    def __init__(self, bodies: list[dict], first: int, last: int, combine: str = "union"):
        self.bodies = bodies
        self.zone = zone_of(bodies[0]["timezone"])
        self.first, self.last = self.local(first).date(), self.local(last).date()
        sets = [merged(self._walk(body)) for body in bodies]
        self.open = merged([one for each in sets for one in each])
        if combine == "intersection":
            self.open = sets[0]
            for other in sets[1:]:
                self.open = [(max(a, c), min(b, d)) for a, b in self.open for c, d in other if max(a, c) < min(b, d)]  # fmt: skip

    def local(self, at: int) -> datetime:
        return (EPOCH + timedelta(microseconds=at)).astimezone(self.zone)

    def days(self):
        day = self.first - timedelta(days=2)
        while day <= self.last + timedelta(days=2):
            yield day
            day += timedelta(days=1)

    def _walk(self, body: dict) -> list[tuple[int, int]]:
        return [window for day in self.days() for window in windows_of(body, day)]

    def clipped(self, start: int, end: int) -> list[tuple[int, int]]:
        """«An end before the start gives 0», «clips to [start, end)»."""
        return [(max(a, start), min(b, end)) for a, b in self.open if max(a, start) < min(b, end)]

    def elapsed(self, start: int, end: int) -> int:
        return sum(b - a for a, b in self.clipped(start, end))

    def is_open(self, at: int) -> bool:
        """Half-open: «start exactly at closing: not open»."""
        return any(a <= at < b for a, b in self.open)

    def next_open(self, at: int) -> int | None:
        """«`next_open` is `at` itself when open.»"""
        return next((max(a, at) for a, b in self.open if b > at), None)

    def next_close(self, at: int) -> int | None:
        """«`next_close` is the first closing after `at`, also when closed.»"""
        return next((b for _, b in self.open if b > at), None)

    def forward(self, start: int, span: int) -> int | None:
        """«A deadline that uses up a window exactly is its closing instant»; 0: the next opening."""
        if span == 0:
            return self.next_open(start)
        for a, b in self.open:
            a = max(a, start)
            if a < b:
                if span <= b - a:
                    return a + span
                span -= b - a
        return None

    def backward(self, start: int, span: int) -> int | None:
        """«Looking back mirrors looking ahead: a window used up exactly gives its opening.»"""
        for a, b in reversed(self.open):
            b = min(b, start)
            if a < b:
                if span <= b - a:
                    return b - span
                span -= b - a
        return None

    def business_days(self, start: int, count: int, end_of_day: bool = False) -> int | None:
        """«The same local time n open days later (negative: earlier), the next opening if closed
        then; `end_of_day`: that day's last closing.»"""
        local = self.local(start)
        day, step = local.date(), timedelta(days=1 if count > 0 else -1)
        for _ in range(abs(count)):
            day += step
            while not windows_of(self.bodies[0], day):
                day += step
                if not self.first <= day <= self.last:
                    return None
        if end_of_day:
            own = windows_of(self.bodies[0], day)
            return max(end for _, end in own) if own else None
        wall = datetime.combine(day, local.time())
        there = (wall.replace(tzinfo=self.zone, fold=0).astimezone(UTC) - EPOCH) // MICROSECOND
        return self.next_open(there if count else start)
