"""Instants between PostgreSQL's timestamptz and our integers."""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_us(moment: datetime) -> int:
    """A timestamptz -> microseconds since the epoch."""
    return (moment - _EPOCH) // _MICROSECOND


def optional_us(moment: datetime | None) -> int | None:
    """to_us, or None for None."""
    return None if moment is None else to_us(moment)


def from_us(instant_us: int) -> datetime:
    """Microseconds since the epoch -> a timestamptz."""
    return _EPOCH + timedelta(microseconds=instant_us)
