"""What a rule gets to see: declared names, bounded values, a CEL context prepared once."""

import re
from collections.abc import Mapping
from typing import Any, cast

import cel

from shared.rules.limits import (
    LIST_MAX_ITEMS,
    MAP_MAX_KEYS,
    TEXT_MAX_CHARS,
    VALUE_MAX_DEPTH,
    VALUES_MAX_CHARS,
    VALUES_MAX_NODES,
)
from shared.rules.patterns import matches_words

WORDS_FUNCTION = "matches_words"  # what a word list's `matches` becomes; no source may name it
_SURROGATE = re.compile("[\ud800-\udfff]")
_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1


class Declared:
    """The variables that a rule may name, each with its fields; None where any field may be asked
    for. A field may itself be open: only the first level is declared."""

    __slots__ = ("variables",)

    def __init__(self, variables: Mapping[str, frozenset[str] | None]) -> None:
        self.variables = dict(variables)

    def fill(self, name: str, value: Any) -> Any:
        """`value` with every declared field that it lacks as null."""
        fields = self.variables.get(name)
        if fields is None or not isinstance(value, Mapping):
            return value
        given = cast("Mapping[str, Any]", value)
        return {**dict.fromkeys(sorted(fields)), **given}


class Variables:
    """Values for the variables of `declared`, bounded. Build once, evaluate many rules; one that no
    rule asks costs nothing. The values given must not change afterwards.

    Declared fields that are unset are null; a declared variable that is not given has all fields
    null. Not safe for threads.
    """

    __slots__ = ("_context", "_declared", "_given", "_values")

    def __init__(self, declared: Declared, values: Mapping[str, Any]) -> None:
        self._declared = declared
        self._given = values
        self._values: dict[str, Any] | None = None
        self._context: cel.Context | None = None

    @property
    def values(self) -> dict[str, Any]:
        """The bounded values by variable, made when first asked for."""
        if self._values is None:
            self._values = {
                name: bounded(self._declared.fill(name, self._value(name, fields)))
                for name, fields in self._declared.variables.items()
            }
        return self._values

    def _value(self, name: str, fields: frozenset[str] | None) -> Any:
        return self._given.get(name, None if fields is None else {})

    @property
    def context(self) -> cel.Context:
        """The prepared context: 0.3 µs a rule instead of 6 to 400."""
        if self._context is None:
            self._context = prepared(self.values)
        return self._context

    def at(self, path: tuple[str, ...]) -> Any:
        """The value at a path such as ("task", "language"). Raises KeyError with the path's text
        where there is none."""
        return look_up(path, self.values)


def look_up(path: tuple[str, ...], values: Mapping[str, Any]) -> Any:
    """The value at a path. Raises KeyError with the path's text where there is none."""
    value: Any = values
    for name in path:
        if not isinstance(value, Mapping) or name not in value:
            raise KeyError(".".join(path))
        value = cast("Mapping[str, Any]", value)[name]
    return value


def prepared(values: Mapping[str, Any]) -> cel.Context:
    """A context of values that are already bounded."""
    return cel.Context(variables=dict(values), functions={WORDS_FUNCTION: matches_words})


class _Budget:
    __slots__ = ("chars", "nodes")

    def __init__(self) -> None:
        self.nodes = VALUES_MAX_NODES
        self.chars = VALUES_MAX_CHARS


def bounded(value: Any) -> Any:
    """`value` cut to what CEL may see (limits.py). The same value always gives the same cut."""
    return _bounded(value, _Budget(), VALUE_MAX_DEPTH)


def _bounded(value: Any, budget: _Budget, depth: int) -> Any:
    budget.nodes -= 1
    if budget.nodes < 0:
        return None
    if isinstance(value, str):
        return _text(value, budget)
    if isinstance(value, int) and not isinstance(value, bool):
        return (
            value if _INT_MIN <= value <= _INT_MAX else float(value) if abs(value) < 1e300 else None
        )
    if isinstance(value, Mapping):
        return _mapping(cast("Mapping[Any, Any]", value), budget, depth - 1) if depth else None
    if isinstance(value, list | tuple):
        return _items(cast("list[Any]", value), budget, depth - 1) if depth else None
    return value


def _text(value: str, budget: _Budget) -> str:
    kept = value[: min(TEXT_MAX_CHARS, budget.chars)]
    budget.chars -= len(kept)
    try:
        kept.encode()
    except UnicodeEncodeError:
        return _SURROGATE.sub("\ufffd", kept)
    return kept


def _mapping(value: Mapping[Any, Any], budget: _Budget, depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, item in value.items():
        if len(found) >= MAP_MAX_KEYS or budget.nodes <= 0:
            break
        found[_text(str(key), budget)] = _bounded(item, budget, depth)
    return found


def _items(value: list[Any], budget: _Budget, depth: int) -> list[Any]:
    found: list[Any] = []
    for item in value[:LIST_MAX_ITEMS]:
        if budget.nodes <= 0:
            break
        found.append(_bounded(item, budget, depth))
    return found
