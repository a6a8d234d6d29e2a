"""Instants are integers: microseconds since 1970-01-01T00:00:00Z. RFC 3339 exists only at the edge."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache

SECOND_US = 1_000_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def parse_instant(text: str) -> int:
    """RFC 3339 with an offset -> microseconds since the epoch.

    Fractions beyond microseconds are cut. Raises ValueError when the text is no instant or has no
    offset.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no UTC offset")
    return (moment - _EPOCH) // _MICROSECOND


@lru_cache(maxsize=8192)
def format_instant(instant_us: int) -> str:
    """Microseconds since the epoch -> RFC 3339 in UTC; a fraction only where there is one."""
    seconds, micros = divmod(instant_us, SECOND_US)
    text = _second(seconds)
    return f"{text}.{micros:06d}Z" if micros else f"{text}Z"


@lru_cache(maxsize=4096)
def _second(seconds: int) -> str:
    """Cached: the instants of a batch lie in few seconds, and formatting is slow."""
    return (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")


def optional_instant(instant_us: int | None) -> str | None:
    """format_instant, or None for None."""
    return None if instant_us is None else format_instant(instant_us)


def span_us(seconds: float) -> int:
    """A span in seconds (as people write it) -> whole microseconds."""
    return round(seconds * SECOND_US)


def seconds(span: int) -> float:
    """A span in microseconds -> seconds, exact to the microsecond."""
    return span / SECOND_US
