"""Calendars: from hours as people write them to windows of UTC time. Pure."""

from typing import Any

from shared.calendars.evaluate import (
    Lookup,
    check_calendar,
    check_read,
    evaluate,
    reach,
    reach_days,
)
from shared.calendars.expand import OpenHours
from shared.calendars.lazy import LazyWindows
from shared.calendars.model import Calendar, Combine
from shared.calendars.parse import Faults, parse_calendar
from shared.calendars.zones import data_versions
from shared.contracts.windows import Expanded, WindowTable

__all__ = [
    "AHEAD_US",
    "BACK_US",
    "Calendar",
    "Combine",
    "Expanded",
    "Faults",
    "LazyWindows",
    "Lookup",
    "OpenHours",
    "WindowTable",
    "check_calendar",
    "check_read",
    "data_versions",
    "evaluate",
    "expand",
    "parse_calendar",
    "reach",
    "reach_days",
]

YEAR_US = 366 * 86_400_000_000
BACK_US = YEAR_US
AHEAD_US = 11 * YEAR_US


def expand(
    body: dict[str, Any], now_us: int, ahead_us: int = AHEAD_US, back_us: int = BACK_US
) -> Expanded:
    """A stored calendar from a year ago until 11 years ahead, as the cores take it in.

    Raises Refused("validation") when the body is no calendar, never opens, or has a feed unread.
    """
    calendar = parse_calendar(body)
    check_calendar(calendar)
    check_read(calendar)
    return OpenHours([calendar]).expanded(now_us - back_us, now_us + ahead_us)
