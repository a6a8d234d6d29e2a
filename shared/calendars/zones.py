"""Time zones and public holidays from the pinned packages, never from the machine's own copy."""

from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from importlib import resources
from importlib.metadata import version
from zoneinfo import ZoneInfo

import holidays as public_holidays
import tzdata

from shared.contracts.instants import SECOND_US

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def data_versions() -> dict[str, str]:
    """Versions of the time-zone and holiday data that every expansion depends on."""
    return {"tzdata": tzdata.IANA_VERSION, "holidays": version("holidays")}


@lru_cache(maxsize=1)
def zone_names() -> frozenset[str]:
    return frozenset((resources.files("tzdata") / "zones").read_text().split())


@lru_cache(maxsize=256)
def zone(name: str) -> ZoneInfo:
    """The zone by its IANA name. Raises KeyError when there is none."""
    if name not in zone_names():
        raise KeyError(name)
    *folders, leaf = name.split("/")
    package = ".".join(("tzdata.zoneinfo", *folders))
    with (resources.files(package) / leaf).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


def instant_of(wall: datetime, name: str) -> int:
    """Local wall time -> microseconds since the epoch: gaps shift forward, of an overlap the first
    occurrence counts."""
    span = wall.replace(tzinfo=zone(name), fold=0) - _EPOCH
    return (span.days * 86_400 + span.seconds) * SECOND_US + span.microseconds


def offset_at(at_us: int, name: str) -> int:
    """The zone's UTC offset at an instant, in microseconds."""
    moment = datetime.fromtimestamp(at_us // SECOND_US, UTC).astimezone(zone(name))
    offset = moment.utcoffset()
    assert offset is not None
    return offset // _MICROSECOND


@lru_cache(maxsize=1)
def countries() -> dict[str, tuple[str, ...]]:
    """ISO 3166 code -> codes of its subdivisions."""
    return {
        code: tuple(parts) for code, parts in public_holidays.list_supported_countries().items()
    }


@lru_cache(maxsize=512)
def country_days(country: str, subdivision: str | None, year: int) -> dict[date, str]:
    """Public holidays of a year with their names, observed substitutes included.

    The years around it are computed too: a substitute may fall into the year before or after.
    """
    years = [y for y in (year - 1, year, year + 1) if 1 <= y <= 9999]
    found = _public(country, subdivision, tuple(years))
    return {day: name for day, name in found.items() if day.year == year}


def _public(country: str, subdivision: str | None, years: tuple[int, ...]) -> dict[date, str]:
    plain = public_holidays.country_holidays(country, subdiv=subdivision, years=years)
    if "en_US" in plain.supported_languages:
        with suppress(NotImplementedError):
            plain = public_holidays.country_holidays(
                country, subdiv=subdivision, years=years, language="en_US"
            )
    return dict(plain)
