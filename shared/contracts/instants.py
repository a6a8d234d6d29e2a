"""Instants are integers: microseconds since 1970-01-01T00:00:00Z. RFC 3339 exists only at the edge."""

import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

SECOND_US = 1_000_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY = _EPOCH.toordinal()
_MICROSECOND = timedelta(microseconds=1)
_DAY_S = 86_400


class InstantOutOfRange(ValueError):
    """An instant that is none of ours: before 1970 or after 9999."""


def parse_instant(text: str) -> int:
    """RFC 3339 with an offset -> microseconds since the epoch.

    Fractions beyond microseconds are cut. Raises ValueError when the text is no instant or has no
    offset.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text[:40]!r} is no instant") from None
    if moment.tzinfo is None:
        raise ValueError(f"{text[:40]!r} has no UTC offset")
    return (moment - _EPOCH) // _MICROSECOND


def is_ours(instant_us: int) -> bool:
    """Whether it lies in 1970 to 9999: no other instant is taken from anybody."""
    return 0 <= instant_us < _YEAR_10000_US


@lru_cache(maxsize=8192)
def format_instant(instant_us: int) -> str:
    """Microseconds since the epoch -> RFC 3339 in UTC; a fraction only where there is one."""
    return format_once(instant_us)


def format_once(instant_us: int) -> str:
    """`format_instant` of an instant that will not be asked for again: it is not remembered."""
    seconds, micros = divmod(instant_us, SECOND_US)
    text = _second(seconds)
    return f"{text}.{str(micros).zfill(6)}Z" if micros else f"{text}Z"  # quicker than :06d


@lru_cache(maxsize=4096)
def _second(seconds: int) -> str:
    """Cached: the instants of a batch lie in few seconds."""
    days, rest = divmod(seconds, _DAY_S)
    minute, second = divmod(rest, 60)
    return f"{_day(days)}T{minute // 60:02d}:{minute % 60:02d}:{second:02d}"


@lru_cache(maxsize=4096)
def _day(days: int) -> str:
    """The date so many days after 1970-01-01. Raises ValueError outside the years 1 to 9999."""
    return date.fromordinal(_EPOCH_DAY + days).isoformat()


def normal_instant(text: str) -> str:
    """RFC 3339 with an offset -> the same instant as `format_instant` writes it.

    Raises ValueError when the text is no instant, has no offset, or is before 1970 or after 9999.
    """
    if (usual := _USUAL.match(text)) is not None:
        moment, fraction = usual.groups()
        datetime.fromisoformat(moment)
        fraction = (fraction or "").ljust(6, "0")
        return f"{moment}Z" if fraction == "000000" else f"{moment}.{fraction}Z"
    instant = parse_instant(text)
    if not is_ours(instant):
        raise InstantOutOfRange(text)
    return format_instant(instant)


_YEAR_10000_US = 253_402_300_800_000_000
# UTC from 1970 as nearly everybody writes it: then the text is the answer, once it is known to be a
# day and a time of day that there are.
_USUAL = re.compile(
    r"((?:19[7-9]|[2-9]\d\d)\d-\d\d-\d\dT(?:[01]\d|2[0-3]):\d\d:\d\d)(?:\.(\d{1,6}))?Z\Z", re.ASCII
)


@lru_cache(maxsize=8192)
def optional_instant(instant_us: int | None) -> str | None:
    """format_instant, or None for None."""
    return None if instant_us is None else format_instant(instant_us)


def span_us(seconds: float) -> int:
    """A span in seconds (as people write it) -> whole microseconds."""
    return round(seconds * SECOND_US)


def seconds(span: int) -> float:
    """A span in microseconds -> seconds, exact to the microsecond."""
    return span / SECOND_US
