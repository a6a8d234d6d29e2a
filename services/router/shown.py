"""A resource as `GET` shows it: every field with its value, the defaults too, in the form of
`workspace.yaml` (what is short there is short here). What is stored is shorter: config.py."""

from collections.abc import Mapping
from typing import Any

import msgspec

from services.router.domain.config import (
    TYPES,
    Action,
    AgentQueue,
    CoolDowns,
    Relax,
    Require,
    Rule,
    SlaTrigger,
    Trigger,
)
from services.router.resources import whole_numbers

# Of these one field is written and the others stay away.
_CHOICES = (Action, CoolDowns, Relax, SlaTrigger, Trigger)
_RULE = ("name", "when", "priority", "require", "prefer", "escalation", "steps")


def shown(kind: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """The canonical body of an agent, queue, policy, escalation, customer or team -> the form of
    `GET`, which its PUT takes back unchanged."""
    return whole_numbers(_object(msgspec.convert(body, TYPES[kind])))


def _object(value: msgspec.Struct) -> dict[str, Any]:
    names = _RULE if isinstance(value, Rule) else value.__struct_fields__
    held = {name: getattr(value, name) for name in names}
    if isinstance(value, _CHOICES):
        held = {name: one for name, one in held.items() if one is not False}
    # Cool-downs by outcome are no fields of the contract's example: shown where there are any.
    return {name: _plain(one) for name, one in held.items() if one not in (None, CoolDowns())}


def _plain(value: Any) -> Any:
    if isinstance(value, Require):
        return _requirement(value)
    if isinstance(value, AgentQueue) and value == AgentQueue(value.queue):
        return value.queue
    if isinstance(value, msgspec.Struct):
        return _object(value)
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return value


def _requirement(value: Require) -> Any:
    """CEL alone is its text; a level belongs to a skill only."""
    if value.cel is not None and value == Require(cel=value.cel):
        return value.cel
    unsaid = {"level"} if value.skill is None else set[str]()
    return {
        name: one
        for name, one in _object(value).items()
        if name not in unsaid and one != [] and one is not False
    }
