"""The days that seen ids are kept in: a partition each, made ahead and dropped whole."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

Day = date

_EPOCH = date(1970, 1, 1)
_DAY_US = 86_400_000_000
_AHEAD = 3

_PARTITIONS = (
    "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
    " WHERE i.inhparent = to_regclass($1)"
)


def day_of(instant_us: int) -> Day:
    """The day in UTC."""
    return _EPOCH + timedelta(days=instant_us // _DAY_US)


def ahead(now_us: int) -> list[Day]:
    """Yesterday (a clock may go back a little) and the days to come."""
    today = day_of(now_us)
    return [today + timedelta(days=number) for number in range(-1, _AHEAD + 1)]


def oldest(now_us: int, keep: int) -> Day:
    """The first day that is kept."""
    return day_of(now_us) - timedelta(days=keep)


async def missing(raw: Any, schema: str, wanted: Sequence[Day]) -> list[Day]:
    """Those of `wanted` without a partition."""
    present = {row[0] for row in await raw.fetch(_PARTITIONS, f"{schema}.seen")}
    return [day for day in wanted if _name(day) not in present]


async def before(raw: Any, schema: str, first: Day) -> list[str]:
    """Names of the partitions of days before `first`."""
    names = [row[0] for row in await raw.fetch(_PARTITIONS, f"{schema}.seen")]
    return sorted(name for name in names if name < _name(first))


def create(schema: str, day: Day) -> str:
    """Made beside the table and then attached: writers go on meanwhile."""
    name, following = _name(day), day + timedelta(days=1)
    return (
        f"CREATE TABLE {schema}.{name} (LIKE {schema}.seen INCLUDING ALL);"
        f" ALTER TABLE {schema}.seen ATTACH PARTITION {schema}.{name}"
        f" FOR VALUES FROM ('{day.isoformat()}') TO ('{following.isoformat()}')"
    )


def drop(schema: str, name: str) -> str:
    return f"DROP TABLE {schema}.{name}"


def _name(day: Day) -> str:
    return f"seen_{day:%Y%m%d}"
