"""Times of day on a customer's clock, as a window of instants. Pure."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

SKIPPED_MAX = timedelta(days=1)  # by any clock at once: Samoa left out a day
SECOND = timedelta(seconds=1)


def local_time(text: str | None) -> datetime | None:
    """A time without an offset; None for any other text."""
    try:
        found = None if text is None else datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found is not None and found.tzinfo is None else None


def local_window(
    since: datetime | None, until: datetime | None, zone: str
) -> tuple[datetime | None, datetime | None]:
    """Two times of a local clock as instants. What the clock skips shifts forward, as in calendars; where
    that puts the beginning behind an end that the clock does show, it begins as the clock goes on, and
    what ends just then is as long as it is on the clock."""
    clock = ZoneInfo(zone)
    begins = None if since is None else since.replace(tzinfo=clock).astimezone(UTC)
    ends = None if until is None else until.replace(tzinfo=clock).astimezone(UTC)
    if since and until and begins and ends and since < until and ends <= begins:
        begins = _gap_end(ends.replace(microsecond=0), clock)
        if ends <= begins:
            ends = begins + (until - since)
    return begins, ends


def _gap_end(before: datetime, clock: ZoneInfo) -> datetime:
    """When the clock last changed, looking back from an instant."""
    shown = before.astimezone(clock).utcoffset()
    low, high = before - SKIPPED_MAX, before
    while high - low > SECOND:
        middle = low + (high - low) // SECOND // 2 * SECOND
        if middle.astimezone(clock).utcoffset() == shown:
            high = middle
        else:
            low = middle
    return high
