"""What a posted event must hold, and how much of it: checks beyond its shape. Pure."""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, cast

from services.channels.posted import Attachment, EventData, Posted
from shared.contracts import interactions
from shared.contracts.ids import CLIENT_ID
from shared.contracts.problems import Refused, invalid

MAX_KEY_CHARS = 512
MAX_TEXT_CHARS = 262_144
MAX_ATTACHMENTS = 50
MAX_DEPTH = 16

ACCEPTED_TYPES = frozenset({*interactions.INTERACTION_TYPES, interactions.TRANSCRIPT_PARTIAL})
_SPOKEN = frozenset({interactions.MESSAGE, interactions.MESSAGE_EDITED})
_SEGMENTS = frozenset({interactions.TRANSCRIPT_SEGMENT, interactions.TRANSCRIPT_PARTIAL})
_REPLACING = frozenset({interactions.MESSAGE_EDITED, interactions.MESSAGE_DELETED})
_CONVERSATION = re.compile(r"cnv_[0-9a-f]{32}\Z")
_INT64 = 1 << 63

_CHARS: tuple[tuple[str, int], ...] = (
    ("text", MAX_TEXT_CHARS),
    ("html", MAX_TEXT_CHARS),
    ("conversation_key", MAX_KEY_CHARS),
    ("subject", 998),
    ("language", 35),
    ("in_reply_to", MAX_KEY_CHARS),
    ("replaces", MAX_KEY_CHARS),
    ("comment", 10_000),
)
_ENTRIES: tuple[tuple[str, int], ...] = (
    ("identities", 20),
    ("attachments", MAX_ATTACHMENTS),
    ("attributes", 64),
    ("flags", 16),
)


def check(posted: Posted) -> None:
    """Raise Refused with the pointer of the first thing that is missing or too much."""
    data = posted.data
    for name in ("id", "source"):
        text: str = getattr(posted, name)
        if not 0 < len(text) <= MAX_KEY_CHARS or "\x00" in text:
            expected = f"1 to {MAX_KEY_CHARS} characters"
            raise invalid(f"/{name}", "length", f"{name!r} is empty or too long.", expected)
    if posted.type not in ACCEPTED_TYPES:
        raise _unknown_type(posted.type)
    _check_conversation(data)
    _check_limits(data)
    _check_content(posted.type, data)


def _unknown_type(name: str) -> Refused:
    near = get_close_matches(name, ACCEPTED_TYPES, 1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    expected = near[0] if near else ", ".join(sorted(ACCEPTED_TYPES))
    return invalid("/type", "unknown_type", f"{name[:80]!r} is no event type.{hint}", expected)


def _check_conversation(data: EventData) -> None:
    if data.conversation_id is not None:
        if _CONVERSATION.match(data.conversation_id) is None:
            raise invalid("/data/conversation_id", "format", "This is no conversation id.", "cnv_…")
    elif not data.conversation_key:
        raise invalid(
            "/data/conversation_key", "missing", "The event names no conversation.",
            "conversation_key (yours) or conversation_id (ours)",
        )  # fmt: skip


def _check_limits(data: EventData) -> None:
    for name, limit in _CHARS:
        text: str | None = getattr(data, name)
        if text is not None and len(text) > limit:
            raise _too_long(f"/data/{name}", len(text), limit)
    for name, limit in _ENTRIES:
        entries: list[Any] | dict[str, Any] | None = getattr(data, name)
        if entries is not None and len(entries) > limit:
            at, held = f"/data/{name}", len(entries)
            raise invalid(at, "too_many", f"{name!r} has {held} entries.", f"at most {limit}")
    for name in ("agent_id", "task_id"):
        text = getattr(data, name)
        if text is not None and CLIENT_ID.match(text) is None:
            raise invalid(f"/data/{name}", "format", f"{name!r} is no id.", "[A-Za-z0-9_-]{1,64}")
    _check_people(data)
    if data.attachments:
        check_attachments(data.attachments, "/data")
    if data.attributes:
        for name, value in data.attributes.items():
            _check_value(value, ("data", "attributes", name))


def _check_people(data: EventData) -> None:
    for name in ("name", "id"):
        text: str | None = getattr(data.author, name)
        if text is not None and len(text) > MAX_KEY_CHARS:
            raise _too_long(f"/data/author/{name}", len(text), MAX_KEY_CHARS)
    for index, one in enumerate(data.identities or ()):
        for name, limit in (("scheme", 64), ("value", MAX_KEY_CHARS)):
            held = len(getattr(one, name))
            if not 0 < held <= limit:
                raise _too_long(f"/data/identities/{index}/{name}", held, limit)


def check_attachments(attachments: Iterable[Attachment], at: str) -> None:
    """Raise Refused for an attachment with an impossible size or an overlong text."""
    for index, one in enumerate(attachments):
        place = f"{at}/attachments/{index}"
        if one.size is not None and not 0 <= one.size < _INT64:
            raise invalid(f"{place}/size", "range", "This is no size in bytes.", "0 or more")
        for name, limit in (("name", 1024), ("content_type", 255), ("url", 4096)):
            text: str | None = getattr(one, name)
            if text is not None and len(text) > limit:
                raise _too_long(f"{place}/{name}", len(text), limit)


def _too_long(pointer: str, held: int, limit: int) -> Refused:
    name = pointer.rpartition("/")[2]
    return invalid(pointer, "length", f"{name!r} has {held} characters.", f"at most {limit}")


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
        _check_segment(data)
    elif event_type == interactions.DELIVERY_STATUS:
        if data.delivery_status is None:
            raise _missing("delivery_status", "There is no status.", "{message_id, status}")
    elif event_type == interactions.FEEDBACK and data.survey is None:
        raise _missing("survey", "Which survey is it?", "csat, nps or ces")
    if event_type in _REPLACING and not data.replaces:
        raise _missing("replaces", "Which message is meant?", "the original event's id")


def _check_segment(data: EventData) -> None:
    if data.segment is None:
        raise _missing("segment", "A transcript segment needs its place.", "{index, …}")
    if data.text is None:
        raise _missing("text", "A transcript segment needs its text.", "text")
    for name in ("index", "start_ms", "end_ms"):
        number: int | None = getattr(data.segment, name)
        if number is not None and not 0 <= number < _INT64:
            at = f"/data/segment/{name}"
            raise invalid(at, "range", f"{name!r} is out of range.", "a whole number from 0")


def _missing(name: str, message: str, expected: str) -> Refused:
    return invalid(f"/data/{name}", "missing", message, expected)
