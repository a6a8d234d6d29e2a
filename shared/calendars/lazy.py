"""Open hours that a clock can count on, expanded only as far as it asks."""

from shared.calendars.expand import OpenHours, year_of, year_start_us
from shared.contracts.windows import WindowTable

HORIZON_YEARS = 11


class LazyWindows:
    """`shared.contracts.windows.Windows` over a calendar: None beyond HORIZON_YEARS."""

    def __init__(self, hours: OpenHours) -> None:
        self._hours = hours

    def _table(self, first_us: int, last_us: int) -> WindowTable:
        return self._hours.table(first_us, max(first_us, last_us))

    def _reach(self, start_us: int, years: int) -> WindowTable:
        return self._table(start_us, year_start_us(year_of(start_us) + years))

    def forward(self, start_us: int, span_us: int) -> int | None:
        for years in (0, 1, HORIZON_YEARS):
            table = self._reach(start_us, years)
            found = table.forward(start_us, span_us)
            if found is not None and found < table.hi_us:
                return found
        return None

    def elapsed(self, start_us: int, end_us: int) -> int:
        return self._table(start_us, end_us).elapsed(start_us, end_us)

    def segments(self, start_us: int, end_us: int) -> list[tuple[int, int]]:
        return self._table(start_us, end_us).segments(start_us, end_us)

    def closures(self, start_us: int, end_us: int) -> list[tuple[int, int, str]]:
        return self._table(start_us, end_us).closures(start_us, end_us)

    def business_days(self, start_us: int, days: int, *, end_of_day: bool = False) -> int | None:
        for years in (0, 1, HORIZON_YEARS):
            table = self._reach(start_us, years)
            found = table.business_days(start_us, days, end_of_day=end_of_day)
            if found is not None and found < table.hi_us:
                return found
        return None
