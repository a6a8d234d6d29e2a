"""The shapes of what is answered about calendars."""

from typing import NotRequired, TypedDict


class OpenWindow(TypedDict):
    start: str
    end: str
    counted_s: NotRequired[int | float]


class CalendarAnswer(TypedDict):
    """What was asked for: a deadline, the open time that has passed, whether it is open, or windows."""

    deadline: NotRequired[str]
    elapsed_s: NotRequired[int | float]
    windows: NotRequired[list[OpenWindow]]
    open: NotRequired[bool]
    next_open: NotRequired[str | None]
    next_close: NotRequired[str | None]


class SpecialDay(TypedDict):
    """`source`: country, holidays, override, or feed:<name>; `closes`: false where it is switched off
    or an override opens it."""

    date: str
    name: str
    source: str
    closes: bool
