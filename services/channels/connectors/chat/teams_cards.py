"""The words of a card that was posted in Teams.

https://learn.microsoft.com/microsoftteams/platform/task-modules-and-cards/cards/cards-reference
"""

from typing import Any

from services.channels.connectors import fields
from services.channels.connectors.port import Answer

RECEIVED = Answer(
    200,
    '{"statusCode":200,"type":"application/vnd.microsoft.activity.message","value":"✓"}',
    (("Content-Type", "application/json"),),
)
"""To a button that asks the bot: the card stays as it is."""

_MAX_DEPTH = 8
_MAX_LINES = 200
_INSIDE = ("body", "items", "columns", "rows", "cells", "sections", "inlines", "facts")


def words_of(card: dict[str, Any]) -> str:
    """A hero card's titles and text, an Adaptive Card's blocks and facts, in their order."""
    lines: list[str] = []
    _collect(card, lines, 0)
    return "\n".join(lines[:_MAX_LINES])


def _collect(part: dict[str, Any], lines: list[str], depth: int) -> None:
    fact = fields.text(part, "title") or fields.text(part, "name")
    value = fields.text(part, "value")
    if fact and value and "type" not in part:
        lines.append(f"{fact}: {value}")
    else:
        lines += [
            said for name in ("title", "subtitle", "text") if (said := fields.text(part, name))
        ]
    for name in _INSIDE if depth < _MAX_DEPTH and len(lines) < _MAX_LINES else ():
        for inner in fields.items(part, name):
            _collect(inner, lines, depth + 1)
