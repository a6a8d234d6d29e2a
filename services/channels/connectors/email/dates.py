"""The instant that a Date header means, as mail programs write it. RFC 5322, and what breaks it."""

import re
from datetime import UTC, datetime, timedelta
from email.errors import MessageError
from email.utils import parsedate_to_datetime

from shared.contracts.instants import parse_instant

# What the standard library is known to raise on a broken date.
_BROKEN = (ValueError, LookupError, TypeError, AttributeError, MessageError, OverflowError)
MAX_DATE = 200

# RFC 5322's date as nearly every program writes it.
_DATE = re.compile(
    r"\s*(?:[A-Za-z]{3}, +)?(\d{1,2}) ([A-Z][a-z]{2}) (19[7-9]\d|20\d\d) (\d\d):(\d\d):(\d\d) ([+-])([01]\d)([0-5]\d)"
    r"(?: \([A-Za-z]{1,5}\))?\s*\Z",
    re.ASCII,
)
_MONTHS: dict[str | None, int] = {
    "Jan": 1, "Feb": 2, "Mar": 3, "Apr": 4, "May": 5, "Jun": 6,
    "Jul": 7, "Aug": 8, "Sep": 9, "Oct": 10, "Nov": 11, "Dec": 12,
}  # fmt: skip
_EPOCH = datetime(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)


def instant(value: str) -> int | None:
    """A Date header in microseconds; None for what is no date."""
    try:
        found = _DATE.match(value)
        if found and found[2] in _MONTHS:
            return _usual(found)
        return _rare(value[:MAX_DATE].strip())
    except _BROKEN:
        return None


def _usual(found: re.Match[str]) -> int:
    day, month, year, hour, minute, second, sign, hours, minutes = found.groups()
    moment = datetime(
        int(year), _MONTHS[month], int(day), int(hour), int(minute), min(int(second), 59)
    )
    ahead = timedelta(hours=int(hours), minutes=int(minutes))
    return (moment - _EPOCH + (ahead if sign == "-" else -ahead)) // _MICROSECOND


_NUMERIC = re.compile(
    r"(?:(?P<y>\d{4})[-/](?P<m>\d\d?)[-/](?P<d>\d\d?)|(?P<d2>\d\d?)\.(?P<m2>\d\d?)\.(?P<y2>\d{4}))[T ]+"
    r"(?P<clock>\d\d?:\d\d(?::\d\d)?)(?:\.\d+)? ?(?P<zone>Z|[+-]\d\d:?\d\d|[A-Z]{2,5})?\Z"
)
_LABEL = re.compile(r"(?i)date\s*:\s*")
_HALF = re.compile(r"(?i)\b(\d{1,2})(:\d\d(?::\d\d)?)\s*([ap])\.?m\b\.?")
_YEAR_126 = re.compile(r"(?<=[a-z] )(1\d\d)(?= \d\d?:)")  # counted from 1900 (RFC 5322, 4.3)
_LEAP = re.compile(r"(?<=:\d\d):60\b")
_WEEKDAY = re.compile(r"\A[^\W\d]{2,12}\.?,?\s+(?=\d)")
_WORD = re.compile(r"[^\W\d_]{3,10}\.?")
_ZONE = re.compile(r"\s\(?([A-Z]{3,4})\)?\Z")

# Zones that programs write by name and that mean one offset; those that mean several are left out.
_ZONES = {
    "CET": "+0100", "CEST": "+0200", "MEZ": "+0100", "MESZ": "+0200", "MET": "+0100", "MEST": "+0200",
    "WET": "+0000", "WEST": "+0100", "EET": "+0200", "EEST": "+0300", "BST": "+0100", "MSK": "+0300",
    "JST": "+0900", "KST": "+0900", "HKT": "+0800", "SGT": "+0800", "AEST": "+1000", "AEDT": "+1100",
    "NZST": "+1200", "NZDT": "+1300", "BRT": "-0300",
}  # fmt: skip
# Months in other languages, by as many letters as tell them apart.
_FOREIGN = {
    "jän": "Jan", "jän.": "Jan", "janv": "Jan", "ene": "Jan", "gen": "Jan", "fév": "Feb", "fev": "Feb",
    "febr": "Feb", "mär": "Mar", "mrz": "Mar", "mars": "Mar", "mrt": "Mar", "maart": "Mar", "avr": "Apr",
    "abr": "Apr", "mai": "May", "mei": "May", "maj": "May", "mag": "May", "juin": "Jun", "giu": "Jun",
    "juil": "Jul", "lug": "Jul", "aoû": "Aug", "aou": "Aug", "ago": "Aug", "set": "Sep", "okt": "Oct",
    "out": "Oct", "ott": "Oct", "dez": "Dec", "déc": "Dec", "dic": "Dec",
}  # fmt: skip


def _rare(value: str) -> int | None:
    value = _LEAP.sub(":59", _LABEL.sub("", value, count=1))
    value = _HALF.sub(_whole_day, value)
    if numeric := _NUMERIC.match(value):
        return _numeric(numeric)
    value = _WORD.sub(_english, _WEEKDAY.sub("", value))
    value = _YEAR_126.sub(lambda found: str(int(found[1]) + 1900), value)
    zone = _ZONE.search(value)
    if zone and zone[1] in _ZONES and not re.search(r"[+-]\d{4}", value):
        value = f"{value[: zone.start()]} {_ZONES[zone[1]]}"
    moment = parsedate_to_datetime(value)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return parse_instant(moment.astimezone(UTC).isoformat())


def _whole_day(found: re.Match[str]) -> str:
    hour = int(found[1]) % 12 + (12 if found[3] in "pP" else 0)
    return f"{hour:02}{found[2]}"


def _english(found: re.Match[str]) -> str:
    word = found[0].rstrip(".").lower()
    foreign = next((_FOREIGN[word[:n]] for n in (5, 4, 3) if word[:n] in _FOREIGN), None)
    alike = word[:3].capitalize()  # "Januar", "marzo", "septembre"
    return foreign or (alike if alike in _MONTHS else found[0])


def _numeric(found: re.Match[str]) -> int:
    """Year, month and day in figures, as ISO 8601 or as in Germany; UTC where no zone is told."""
    year, month, day = (found[name] or found[f"{name}2"] for name in ("y", "m", "d"))
    zone = found["zone"] or "Z"
    zone = _ZONES.get(zone, "Z" if zone.isalpha() else zone)
    clock = found["clock"].zfill(5 if found["clock"].count(":") == 1 else 8)
    clock = clock if clock.count(":") == 2 else f"{clock}:00"
    offset = zone if zone == "Z" or ":" in zone else f"{zone[:3]}:{zone[3:]}"
    return parse_instant(f"{year}-{int(month):02}-{int(day):02}T{clock}{offset}")
