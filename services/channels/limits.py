"""What a posted event must hold, beyond its shape. Pure."""

from difflib import get_close_matches

from services.channels.links import check_link
from services.channels.posted import EventData, Posted
from shared.contracts import interactions
from shared.contracts.problems import Refused, invalid
from shared.contracts.values import check_value

ACCEPTED_TYPES = frozenset({*interactions.INTERACTION_TYPES, interactions.TRANSCRIPT_PARTIAL})
_SPOKEN = frozenset({interactions.MESSAGE, interactions.MESSAGE_EDITED})
_SEGMENTS = frozenset({interactions.TRANSCRIPT_SEGMENT, interactions.TRANSCRIPT_PARTIAL})
_REPLACING = frozenset({interactions.MESSAGE_EDITED, interactions.MESSAGE_DELETED})


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
                check_value(value, ("data", "attributes", name))
    if data.attachments:
        for index, file in enumerate(data.attachments):
            check_link(file.url, f"/data/attachments/{index}/url")
    _check_content(posted.type, data)


def _unknown_type(name: str) -> Refused:
    near = get_close_matches(name, ACCEPTED_TYPES, 1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    expected = near[0] if near else ", ".join(sorted(ACCEPTED_TYPES))
    return invalid("/type", "unknown_type", f"{name[:80]!r} is no event type.{hint}", expected)


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
