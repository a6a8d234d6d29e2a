"""Expands calendars into windows of UTC time, year by year and only as far as somebody asks."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from shared.calendars.model import DAY_S, Calendar, Combine, Rules, Span
from shared.calendars.zones import country_days, instant_of, offset_at
from shared.contracts.instants import SECOND_US
from shared.contracts.windows import DAY_US, Expanded, WindowTable

Pair = tuple[int, int]
OpenDays = dict[int, list[Pair]]  # local day number -> its windows

FIRST_YEAR, LAST_YEAR = 1870, 2250  # what can be expanded; named dates lie well within
_EPOCH_DAY = date(1970, 1, 1).toordinal()


class OpenDay(NamedTuple):
    """A local date: its windows in UTC, and why it is closed when a holiday closes it."""

    day: date
    starts_us: int
    ends_us: int
    windows: tuple[Pair, ...]
    holiday: str | None


def year_start_us(year: int) -> int:
    """The first instant of a year in UTC."""
    return (date(year, 1, 1).toordinal() - _EPOCH_DAY) * DAY_US


def year_of(at_us: int) -> int:
    """The UTC year of an instant, kept within what can be expanded."""
    days = at_us // DAY_US + _EPOCH_DAY
    first, last = date(FIRST_YEAR, 1, 1).toordinal(), date(LAST_YEAR, 12, 31).toordinal()
    return date.fromordinal(min(max(days, first), last)).year


def _month_of(at_us: int) -> int:
    """Months since the year 0 of an instant's UTC date, kept within what can be expanded."""
    year = year_of(at_us)
    days = min(max((at_us - year_start_us(year)) // DAY_US, 0), 365)
    return year * 12 + (date(year, 1, 1) + timedelta(days=min(days, 364))).month - 1


class OpenHours:
    """The open hours of one calendar, or of several combined. Not safe for threads."""

    def __init__(self, calendars: Sequence[Calendar], combine: Combine = "union") -> None:
        assert calendars, "at least one calendar"
        whole = Calendar(None, calendars[0].versions[:1], tuple(calendars), combine)
        self.root = calendars[0] if len(calendars) == 1 else whole
        self._leaves = self.root.leaves()
        self._months: dict[tuple[int, int], list[OpenDay]] = {}
        self._table: WindowTable | None = None
        self._span = (0, 0)

    @property
    def timezone(self) -> str:
        """The zone of the calendar, or of the first of several: local times mean this one."""
        return self.root.timezone

    def table(self, first_us: int, last_us: int) -> WindowTable:
        """A table that covers at least the years of both instants."""
        low, high = year_of(first_us), year_of(last_us)
        if self._table is None or low < self._span[0] or high > self._span[1]:
            if self._table is not None:
                low, high = min(low, self._span[0]), max(high, self._span[1])
            self._span = (low, high)
            self._table = WindowTable(
                self.expanded(year_start_us(low), year_start_us(min(high, LAST_YEAR) + 1))
            )
        return self._table

    def expanded(self, lo_us: int, hi_us: int) -> Expanded:
        """Windows, holidays, open days and UTC offsets between two instants."""
        months = range(_month_of(lo_us - 2 * DAY_US), _month_of(hi_us + 2 * DAY_US) + 1)
        each = [
            [day for month in months for day in self._month(index, month)]
            for index in range(len(self._leaves))
        ]
        windows, days = _combined(self.root, iter(each))
        return Expanded(
            lo_us,
            hi_us,
            _clip(windows, lo_us, hi_us),
            _holidays(each, lo_us, hi_us),
            sorted((number, max(end for _, end in pairs)) for number, pairs in days.items()),
            _offsets(self.root, lo_us, hi_us),
        )

    def opens_in(self, year: int) -> bool:
        """Whether any window opens in a year."""
        if self.root.parts:
            return bool(self.expanded(year_start_us(year), year_start_us(year + 1)).windows)
        months = range(year * 12, year * 12 + 12)
        return any(day.windows for month in months for day in self._month(0, month))

    def _month(self, index: int, month: int) -> list[OpenDay]:
        found = self._months.get((index, month))
        if found is None:
            first = date(month // 12, month % 12 + 1, 1)
            found = self._months[index, month] = list(days_of(self._leaves[index], first))
        return found


def _combined(node: Calendar, each: Iterator[list[OpenDay]]) -> tuple[list[Pair], OpenDays]:
    """Windows and open days of a calendar from the days of its leaves, in their order."""
    if not node.parts:
        days = {
            day.day.toordinal() - _EPOCH_DAY: list(day.windows) for day in next(each) if day.windows
        }
        return merge(pair for pairs in days.values() for pair in pairs), days
    found = [_combined(part, each) for part in node.parts]
    if node.combine == "union":
        together: OpenDays = {}
        for _, days in found:
            for number, pairs in days.items():
                together.setdefault(number, []).extend(pairs)
        return merge(pair for windows, _ in found for pair in windows), together
    windows, days = found[0]
    for other, _ in found[1:]:
        windows = intersect(windows, other)
    table = WindowTable(Expanded(0, 0, windows))
    within: OpenDays = {}
    for number, pairs in days.items():
        left = [one for start, end in pairs for one in table.segments(start, end)]
        if left:
            within[number] = left
    return windows, within


def days_of(calendar: Calendar, first: date) -> Iterator[OpenDay]:
    """Every local date of a month that exists in the calendar's zone, from its first on."""
    day = first
    rules = calendar.rules_on(day)
    starts = _wall(day, 0, rules)
    while day.month == first.month:
        following = day + timedelta(days=1)
        next_rules = calendar.rules_on(following)
        ends = _wall(following, 0, next_rules)
        if ends > starts:  # a date that the zone skipped has no time
            windows, holiday = _day(day, starts, ends, rules)
            yield OpenDay(day, starts, ends, windows, holiday)
        day, rules, starts = following, next_rules, ends


def _day(day: date, starts: int, ends: int, rules: Rules) -> tuple[tuple[Pair, ...], str | None]:
    spans: tuple[Span, ...]
    if day in rules.overrides:
        spans = rules.overrides[day]
    else:
        holiday = _holiday(day, rules)
        if holiday is not None:
            return (), holiday
        if rules.always_open:
            return ((starts, ends),), None
        spans = rules.week[day.weekday()]
    if not spans:
        return (), None
    pairs = ((_wall(day, start, rules), _wall(day, end, rules)) for start, end in spans)
    return tuple(merge(pair for pair in pairs if pair[0] < pair[1])), None


def _holiday(day: date, rules: Rules) -> str | None:
    public = country_days(rules.country, rules.subdivision, day.year) if rules.country else {}
    if day in public:
        return public[day]
    if day in rules.dated or (day.month, day.day) in rules.yearly:
        return f"holiday {day.isoformat()}"
    return next((name for feed in rules.feeds if (name := feed.holiday(day))), None)


def _wall(day: date, seconds: int, rules: Rules) -> int:
    if seconds >= DAY_S:
        day, seconds = day + timedelta(days=1), seconds - DAY_S
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return instant_of(datetime(day.year, day.month, day.day, hour, minute, second), rules.timezone)


def _offsets(calendar: Calendar, lo_us: int, hi_us: int) -> list[Pair]:
    """UTC offsets of the calendar's zone, from probes each day and a search between them."""
    found: list[Pair] = []
    at, zone = lo_us, calendar.timezone
    offset = offset_at(at, zone)
    found.append((at, offset))
    while at < hi_us:
        following = min(at + DAY_US, hi_us)
        new = offset_at(following, zone)
        if new != offset:
            found.append((_change(at, following, zone, offset), new))
            offset = new
        at = following
    return found


def _change(low: int, high: int, zone: str, before: int) -> int:
    while high - low > SECOND_US:
        middle = (low + high) // 2 // SECOND_US * SECOND_US
        middle = middle if middle > low else low + SECOND_US
        if middle >= high:
            break
        if offset_at(middle, zone) == before:
            low = middle
        else:
            high = middle
    return high


def _holidays(each: list[list[OpenDay]], lo_us: int, hi_us: int) -> list[tuple[int, int, str]]:
    days = sorted(
        (max(day.starts_us, lo_us), min(day.ends_us, hi_us), day.holiday)
        for days in each
        for day in days
        if day.holiday is not None and day.ends_us > lo_us and day.starts_us < hi_us
    )
    found: list[tuple[int, int, str]] = []
    for start, end, name in days:
        free = max(start, found[-1][1]) if found else start
        if free < end:
            found.append((free, end, name))
    return found


def _clip(windows: Iterable[Pair], lo_us: int, hi_us: int) -> list[Pair]:
    return [
        (max(start, lo_us), min(end, hi_us))
        for start, end in windows
        if end > lo_us and start < hi_us
    ]


def merge(pairs: Iterable[Pair]) -> list[Pair]:
    """The union: sorted, disjoint, windows that touch made one."""
    found: list[Pair] = []
    for start, end in sorted(pairs):
        if found and start <= found[-1][1]:
            if end > found[-1][1]:
                found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return found


def intersect(left: Sequence[Pair], right: Sequence[Pair]) -> list[Pair]:
    """What lies in both of two sorted, disjoint lists."""
    found: list[Pair] = []
    i = j = 0
    while i < len(left) and j < len(right):
        start, end = max(left[i][0], right[j][0]), min(left[i][1], right[j][1])
        if start < end:
            found.append((start, end))
        if left[i][1] < right[j][1]:
            i += 1
        else:
            j += 1
    return found


def instant_in(zone: str, wall: datetime) -> int:
    """A local wall time of a zone as an instant (`instant_of`); aware times by their offset."""
    if wall.tzinfo is None:
        return instant_of(wall, zone)
    return (wall.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
