"""What a posted event must hold, beyond its shape. Pure."""

from difflib import get_close_matches
from typing import Any, cast

from services.channels.links import check_link
from services.channels.posted import EventData, Posted
from shared.contracts import interactions
from shared.contracts.problems import Refused, invalid

MAX_DEPTH = 16

ACCEPTED_TYPES = frozenset({*interactions.INTERACTION_TYPES, interactions.TRANSCRIPT_PARTIAL})
_SPOKEN = frozenset({interactions.MESSAGE, interactions.MESSAGE_EDITED})
_SEGMENTS = frozenset({interactions.TRANSCRIPT_SEGMENT, interactions.TRANSCRIPT_PARTIAL})
_REPLACING = frozenset({interactions.MESSAGE_EDITED, interactions.MESSAGE_DELETED})
_INT64 = 1 << 63


def check(posted: Posted) -> None:
    """Raise Refused with the pointer of the first thing that is missing or too much."""
    data = posted.data
    if posted.type not in ACCEPTED_TYPES:
        raise _unknown_type(posted.type)
    if data.conversation_id is None and not data.conversation_key:
        raise invalid(
            "/data/conversation_key", "missing", "The event names no conversation.",
            "conversation_key (yours) or conversation_id (ours)",
        )  # fmt: skip
    if data.attributes:
        for name, value in data.attributes.items():
            if type(value) is not str:
                _check_value(value, ("data", "attributes", name))
    if data.attachments:
        for index, file in enumerate(data.attachments):
            check_link(file.url, f"/data/attachments/{index}/url")
    _check_content(posted.type, data)


def _unknown_type(name: str) -> Refused:
    near = get_close_matches(name, ACCEPTED_TYPES, 1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    expected = near[0] if near else ", ".join(sorted(ACCEPTED_TYPES))
    return invalid("/type", "unknown_type", f"{name[:80]!r} is no event type.{hint}", expected)


def _check_value(value: Any, place: tuple[str, ...]) -> None:
    """Attributes are for rules: shallow, and with numbers that every reader holds exactly."""
    if isinstance(value, (str, float, bool)) or value is None:
        return
    if isinstance(value, int):
        if not -_INT64 <= value < _INT64:
            raise invalid(_pointer(place), "range", "The number is too large.", "64 bits")
        return
    if len(place) > MAX_DEPTH:
        raise invalid(_pointer(place), "depth", "This is nested too deep.", f"{MAX_DEPTH} levels")
    inner = cast("dict[str, Any]", value).items() if isinstance(value, dict) else enumerate(value)
    for name, one in inner:
        _check_value(one, (*place, str(name)))


def refuse_nul(value: Any, place: tuple[str, ...] = ()) -> None:
    """Raise Refused where a text holds NUL, which databases and desktops do not take."""
    if isinstance(value, str):
        if "\x00" in value:
            at = _pointer(place)
            raise invalid(at, "nul", "The text holds a NUL character.", "text without \\u0000")
    elif isinstance(value, dict):
        for name, one in cast("dict[str, Any]", value).items():
            refuse_nul(name, place)
            refuse_nul(one, (*place, name))
    elif isinstance(value, list):
        for index, one in enumerate(cast("list[Any]", value)):
            refuse_nul(one, (*place, str(index)))


def _pointer(place: tuple[str, ...]) -> str:
    return "".join("/" + one.replace("~", "~0").replace("/", "~1") for one in place)


def _check_content(event_type: str, data: EventData) -> None:
    if event_type in _SPOKEN:
        if not (data.text or data.html or data.attachments):
            raise _missing("text", "A message needs content.", "text, html or attachments")
    elif event_type in _SEGMENTS:
        if data.segment is None:
            raise _missing("segment", "A transcript segment needs its place.", "{index, …}")
        if data.text is None:
            raise _missing("text", "A transcript segment needs its text.", "text")
    elif event_type == interactions.DELIVERY_STATUS:
        if data.delivery_status is None:
            raise _missing("delivery_status", "There is no status.", "{message_id, status}")
    elif event_type == interactions.FEEDBACK and data.survey is None:
        raise _missing("survey", "Which survey is it?", "csat, nps or ces")
    if event_type in _REPLACING and not data.replaces:
        raise _missing("replaces", "Which message is meant?", "the original event's id")


def _missing(name: str, message: str, expected: str) -> Refused:
    return invalid(f"/data/{name}", "missing", message, expected)
