"""Overlapping windows of a calendar that is imported: made one, each with a word about it."""

from copy import deepcopy
from typing import Any, cast

from shared.calendars.model import DAY_S, DAYS, Span
from shared.calendars.parse import Faults, escape, read_window


def merge_overlaps(body: dict[str, Any], pointer: str = "") -> tuple[dict[str, Any], list[str]]:
    """The calendar without overlapping windows, and a warning for each day that had some.

    Only the import of a file does this; the API refuses overlaps. What is malformed is left as it
    is, for `parse_calendar` to refuse.
    """
    found = deepcopy(body)
    warnings: list[str] = []
    _merge(found, pointer, warnings)
    return found, warnings


def _merge(body: dict[str, Any], at: str, warnings: list[str]) -> None:
    hours = body.get("hours")
    if isinstance(hours, dict):
        _merge_week(cast("dict[str, Any]", hours), f"{at}/hours", warnings)
    overrides = body.get("overrides")
    if isinstance(overrides, dict):
        _merge_days(cast("dict[str, Any]", overrides), f"{at}/overrides", warnings)
    for name in ("versions", "calendars"):
        listed = body.get(name)
        for index, one in enumerate(cast("list[Any]", listed) if isinstance(listed, list) else ()):
            if isinstance(one, dict):
                _merge(cast("dict[str, Any]", one), f"{at}/{name}/{index}", warnings)


def _merge_days(days: dict[str, Any], at: str, warnings: list[str]) -> None:
    for key, windows in days.items():
        spans = _spans(windows)
        merged = None if spans is None else _union(spans)
        if spans is None or merged is None or len(merged) == len(spans):
            continue
        days[key] = [_written(span) for span in merged]
        warnings.append(f"{at}/{escape(key)}: overlapping windows were made one: {days[key]}")


def _merge_week(week: dict[str, Any], at: str, warnings: list[str]) -> None:
    spans = {day: _spans(week.get(day, [])) for day in DAYS}
    if any(found is None for found in spans.values()):
        return
    before = {day: sorted(found or []) for day, found in spans.items()}
    after = {day: _union(found) for day, found in before.items()}
    for index, day in enumerate(DAYS):
        _hand_over(after, day, DAYS[(index + 1) % 7])
    for index, day in enumerate(DAYS):  # once more: a day may have grown by what came over
        _hand_over(after, day, DAYS[(index + 1) % 7])
    for day in DAYS:
        if after[day] != before[day]:
            week[day] = [_written(span) for span in after[day]]
            warnings.append(f"{at}/{day}: overlapping windows were made one: {week[day]}")


def _hand_over(week: dict[str, list[Span]], day: str, following: str) -> None:
    """What a window reaches beyond a whole day belongs to the next; there, what it covers goes."""
    for index, (start, end) in enumerate(week[day]):
        if end - start > DAY_S or (end - start == DAY_S and start):
            week[day][index] = (start, DAY_S)
            week[following] = _union([(0, end - DAY_S), *week[following]])
    tail = max((end for _, end in week[day]), default=0) - DAY_S
    week[following] = [(max(start, tail), end) for start, end in week[following] if end > tail]


def _spans(windows: object) -> list[Span] | None:
    """The windows in seconds; None when one is malformed."""
    if not isinstance(windows, list):
        return None
    faults = Faults()
    found = [read_window(one, "", faults) for one in cast("list[Any]", windows)]
    return None if faults.found else [span for span in found if span is not None]


def _union(spans: list[Span]) -> list[Span]:
    """Overlapping windows made one; windows that only touch stay two, as they were written."""
    found: list[Span] = []
    for start, end in sorted(spans):
        if found and start < found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def _written(span: Span) -> list[str]:
    start, end = span
    return [_clock(start), "24:00" if end == DAY_S else _clock(end % DAY_S)]


def _clock(seconds: int) -> str:
    minutes, second = divmod(seconds, 60)
    text = f"{minutes // 60:02d}:{minutes % 60:02d}"
    return f"{text}:{second:02d}" if second else text
