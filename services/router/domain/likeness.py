"""Tasks that a policy cannot tell apart: their facts are alike in all that its rules read.

A plan follows from the values at the paths that the rules read, so alike tasks share one plan.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from services.router.domain.config import Policy
from services.router.domain.facts import TASK_NAMES
from services.router.domain.requirements import paths_read
from shared.rules import compile_condition, compile_value

Path = tuple[str, ...]
Read = tuple[str, str, Path]
Likeness = tuple[Any, ...]

# Longer values are hardly ever alike, and facts beyond these may be cut before rules see them
# (shared/rules/limits.py): then the plan is worked out.
TEXT_MAX_CHARS = 64
FIELD_MAX_KEYS = 16
FIELD_TEXT_MAX_CHARS = 1_000
FIELD_NAME_MAX_CHARS = 500

_SCALARS: frozenset[type] = frozenset({str, int, bool, float, type(None)})
_ABSENT = ()


def reads(policy: Policy) -> tuple[Read, ...] | None:
    """What the rules read of a task, as (variable, field, what inside the field). None: something
    that no two tasks have alike, such as the time."""
    paths: set[Path] = set()
    for rule in policy.rules:
        if rule.when is not None:
            paths.update(compile_condition(rule.when, TASK_NAMES).paths)
        paths.update(compile_value(rule.priority, TASK_NAMES).paths)
        paths.update(paths_read(rule.require))
    if any(len(path) < 2 for path in paths):
        return None
    return tuple((path[0], path[1], path[2:]) for path in sorted(paths))


def likeness(given: Mapping[str, Mapping[str, Any]], read: Iterable[Read]) -> Likeness | None:
    """Equal for facts that the rules cannot tell apart; None where that is not worth finding out."""
    found: list[Any] = []
    for variable, field, inside in read:
        value: Any = given[variable].get(field)
        if inside:
            value = _inside(value, inside)
        kind: type = type(value)
        if kind is str:
            if len(value) > TEXT_MAX_CHARS:
                return None
        elif kind is int or kind is bool:
            value = (kind, value)
        elif value is not None and value is not _ABSENT:
            return None
        found.append(value)
    return tuple(found)


def _inside(value: Any, names: Path) -> Any:
    """The value there; _ABSENT where there is none; an object unlike any other if rules may see
    less than that."""
    if value is None:
        return _ABSENT
    for name in names:
        if not _is_plain(value):
            return object()
        value = value.get(name, _ABSENT)
    return value


def _is_plain(fields: Any) -> bool:
    """Whether it holds fields that rules certainly see as they are: flat, few, short."""
    if fields.__class__ is not dict or len(fields) > FIELD_MAX_KEYS:
        return False
    for name, item in fields.items():
        if type(item) not in _SCALARS or len(name) > FIELD_NAME_MAX_CHARS:
            return False
        if type(item) is str and len(item) > FIELD_TEXT_MAX_CHARS:
            return False
    return True
