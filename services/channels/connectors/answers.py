"""What somebody filled into a form, told as JSON in a text, as lines that an agent reads."""

from typing import Any

from services.channels.connectors import fields
from services.channels.connectors.port import Parsed

_MAX_LINES = 100
_MAX_DEPTH = 4
_OURS = frozenset({"flow_token", "wa_flow_response_params"})
"""What the business's own program put there."""


def lines_of(answers: str) -> str | None:
    """A line for each answer; the text itself where it is no object, None where nothing is answered."""
    told = fields.decode_json(answers.encode("utf-8", "replace"), Parsed())
    if not isinstance(told, dict):
        return answers
    found: list[str] = []
    _collect(told, "", found, 0)
    return "\n".join(found[:_MAX_LINES]) or None


def _collect(told: dict[str, Any], within: str, found: list[str], depth: int) -> None:
    for name, value in told.items():
        if name in _OURS or len(found) >= _MAX_LINES:
            continue
        label = f"{within}{fields.clean(name, 100)}"
        if isinstance(value, dict) and depth < _MAX_DEPTH:
            _collect(value, f"{label}.", found, depth + 1)
        elif shown := _shown(value):
            found.append(f"{label}: {shown}")


def _shown(value: Any) -> str | None:
    """A scalar, or a list's scalars; yes and no for what was ticked."""
    if isinstance(value, list):
        return ", ".join(each for one in value if (each := _shown(one))) or None
    if isinstance(value, bool):
        return "yes" if value else "no"
    return fields.text({"value": value}, "value")
