"""What connectors of phone transcripts share: utterances as one message in several revisions, the
clock of a call, the customer's side."""

import re
from hashlib import sha256
from typing import Any, Literal

from services.channels.connectors import fields
from services.channels.connectors.port import InboundRequest, Normalised, Parsed
from services.channels.connectors.reading import moment
from shared.contracts import interactions
from shared.contracts.instants import parse_instant
from shared.contracts.interactions import Author, Role, Segment

_LANGUAGE = re.compile(r"[a-z]{2,3}\Z")
MAX_TURNS = 4900
_CLOCK = 4_102_444_800_000_000  # 2100: later than any instant that a vendor may mean


def short_hash(*parts: str | bytes) -> str:
    """Sixteen hex digits of some parts."""
    joined = b"\x00".join(
        p if isinstance(p, bytes) else p.encode("utf-8", "replace") for p in parts
    )
    return sha256(joined).hexdigest()[:16]


def utterance(
    call: str,
    key: str,
    text: str,
    *,
    role: Role,
    index: int = 0,
    final: bool = True,
    start_ms: float | None = None,
    end_ms: float | None = None,
    began_us: int | None = None,
    occurred_at_us: int | None = None,
    **more: Any,
) -> Normalised:
    """One utterance of a call, as far as it is known.

    `key` names it within the connector: every partial, the final one and what later revises it are
    the same message, each text its own event; the same text again is the same event. Offsets count from `began_us`, the start of the call by the wall
    clock, where that is known. `more`: fields of Normalised, and `confidence`, `speaker` of Segment.
    """
    if occurred_at_us is None and began_us is not None and start_ms is not None:
        occurred_at_us = began_us + round(start_ms * 1000)
    segment = Segment(
        index=max(index, 0),
        start_ms=_whole(start_ms),
        end_ms=_whole(end_ms),
        speaker=more.pop("speaker", None) or role,
        confidence=more.pop("confidence", None),
    )
    return Normalised(
        vendor_id=f"{key}:{'final' if final else 'partial'}:{short_hash(text)}",
        message_key=key,
        conversation_key=call,
        type=interactions.TRANSCRIPT_SEGMENT if final else interactions.TRANSCRIPT_PARTIAL,
        occurred_at_us=_sane(occurred_at_us),
        direction="inbound" if role == "customer" else "outbound",
        author=more.pop("author", None) or Author(role=role),
        text=text,
        segment=segment,
        **more,
    )


def confidence_in(words: list[dict[str, Any]]) -> float | None:
    """How sure the words of an utterance are on average, where their vendor tells it of each only."""
    told = [found for each in words if (found := fields.number(each, "confidence")) is not None]
    return round(sum(told) / len(told), 4) if told else None


def _whole(milliseconds: float | None) -> int | None:
    sane = milliseconds is not None and 0 <= milliseconds < 10**12
    return round(milliseconds) if sane and milliseconds is not None else None


def _sane(instant_us: int | None) -> int | None:
    return instant_us if instant_us is not None and 0 <= instant_us < _CLOCK else None


def boundary(
    call: str, key: str, which: Literal["started", "ended"], at_us: int | None, **more: Any
) -> Normalised:
    """The start or the end of a call."""
    return Normalised(
        vendor_id=key,
        conversation_key=call,
        type=getattr(interactions, f"CONVERSATION_{which.upper()}"),
        occurred_at_us=_sane(at_us),
        author=more.pop("author", None) or Author(role="system"),
        reason="ended" if which == "ended" else None,
        **more,
    )


def remark(call: str, key: str, text: str, at_us: int | None = None, **more: Any) -> Normalised:
    """Something about a call that agents read and nobody said: it opens and answers nothing."""
    return Normalised(
        vendor_id=key,
        conversation_key=call,
        occurred_at_us=_sane(at_us),
        author=Author(role="system"),
        text=text,
        flags=["suppress"],
        generated=True,
        **more,
    )


def language(locale: str | None) -> str | None:
    """The language of a locale such as en-US; None for what is none."""
    code = (locale or "").replace("_", "-").partition("-")[0].lower()
    return code if _LANGUAGE.match(code) else None


def instant(text: str | None) -> int | None:
    """An instant as RFC 3339; None for anything else."""
    try:
        return _sane(parse_instant(text or ""))
    except (ValueError, OverflowError):
        return None


def millis(source: Any, *path: str) -> int | None:
    """An instant at a path, in microseconds: milliseconds since 1970 as a rule, but also seconds or
    a date where the vendor's forms differ."""
    return _sane(moment(source, *path))


def listed(parsed: Parsed, source: Any, *path: str) -> list[dict[str, Any]]:
    """The objects in a list that may be as long as a call; what exceeds MAX_TURNS is told."""
    value = fields.at(source, *path)
    found = [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
    if len(found) > MAX_TURNS:
        parsed.lose("too_many_events", f"The payload holds more than {MAX_TURNS} utterances.")
    return found[:MAX_TURNS]


def told(request: InboundRequest, name: str) -> str | None:
    """What whoever configured the inbound URL added to it: `?conversation_key=`, `?started_at=`."""
    value = fields.clean(request.argument(name) or "", 512).strip()
    return value or None
