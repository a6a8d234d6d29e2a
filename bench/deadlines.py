"""Deadlines on a cached calendar: one by one and in a batch, against the naive walk from day to day."""

import random
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from bench.figures import Figure
from shared.calendars import expand
from shared.calendars.batch import BatchTable
from shared.contracts.instants import parse_instant
from shared.contracts.window_index import IndexedTable

ZONE = "Europe/Berlin"
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
OFFICE = {
    "timezone": ZONE,
    "hours": {day: [["08:00", "12:30"], ["13:15", "18:00"]] for day in DAYS[:5]},
    "holidays": [{"yearly": "12-25"}, {"yearly": "12-26"}, {"yearly": "01-01"}],
}
NOW_US = parse_instant("2026-11-23T09:00:00Z")
COUNT = 200_000
WALKED = 2_000
ROUNDS = 5
DAY_US = 86_400_000_000


def run() -> list[Figure]:
    """Deadlines per second of CPU. The answers of all three ways are compared first."""
    expanded = expand(OFFICE, NOW_US)
    table, batch = IndexedTable(expanded), BatchTable(expanded)
    chance = random.Random(7)
    starts = [NOW_US + chance.randrange(365 * DAY_US) for _ in range(COUNT)]
    spans = [chance.randrange(1, 5 * 8 * 3600) * 1_000_000 for _ in range(COUNT)]
    pairs = list(zip(starts, spans, strict=True))
    alone = [table.forward(start, span) for start, span in pairs]
    assert batch.forward(starts, spans).tolist() == alone
    assert [_walk(start, span) for start, span in pairs[:WALKED]] == alone[:WALKED]
    forward = table.forward
    walk = _rate(WALKED, lambda: [_walk(start, span) for start, span in pairs[:WALKED]])
    single = _rate(COUNT, lambda: [forward(start, span) for start, span in pairs])
    many = _rate(COUNT, lambda: batch.forward(starts, spans))
    return [
        _figure("Deadlines on a cached calendar, one by one", single, walk),
        _figure("Deadlines on a cached calendar, in a batch", many, walk),
    ]


def _figure(name: str, rate: float, walk: float) -> Figure:
    return Figure(
        name=name,
        value=rate,
        unit="deadlines/s",
        baseline=walk,
        baseline_name="deadlines/s walking days",
        target=1_000_000,
    )


def _rate(count: int, work: Callable[[], object]) -> float:
    """The best of some rounds: what the code costs, not what the machine was doing besides."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        work()
        best = min(best, time.process_time() - began)
    return count / best


_HOLIDAYS = {(12, 25), (12, 26), (1, 1)}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WINDOWS = (((8, 0), (12, 30)), ((13, 15), (18, 0)))


def _walk(start_us: int, span_us: int) -> int:
    """What one writes without a table: local days one after the other, in aware datetimes."""
    zone = ZoneInfo(ZONE)
    start = _EPOCH + timedelta(microseconds=start_us)
    left = timedelta(microseconds=span_us)
    day: date = start.astimezone(zone).date()
    while True:
        if day.weekday() < 5 and (day.month, day.day) not in _HOLIDAYS:
            for opening, closing in _WINDOWS:
                opens = datetime(day.year, day.month, day.day, *opening, tzinfo=zone)
                closes = datetime(day.year, day.month, day.day, *closing, tzinfo=zone)
                opens = max(opens.astimezone(UTC), start)
                closes = closes.astimezone(UTC)
                if opens < closes:
                    if left <= closes - opens:
                        return (opens + left - _EPOCH) // timedelta(microseconds=1)
                    left -= closes - opens
        day += timedelta(days=1)
