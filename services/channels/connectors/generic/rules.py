"""A customer's rules that map any JSON to our shape: CEL, compiled when written, bounded."""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

from services.channels.connectors import fields
from services.channels.connectors.port import InboundRequest, Parsed
from services.channels.connectors.reading import cleaned
from shared.rules import Declared, Expression, RuleError, compile_expression, nearest, prepared

NAMES = frozenset(
    {
        "id", "type", "conversation_key", "time", "direction", "text", "html", "subject",
        "language", "in_reply_to", "replaces", "reason", "survey", "score", "comment",
        "sequence", "author_role", "author_id", "author_name", "email", "phone", "identities",
        "attachments", "attributes", "flags", "message_id", "status", "error",
    }
)  # fmt: skip
REQUIRED = "conversation_key"
MAX_ITEMS = 1000
MAX_VALUES = 50_000  # of a body; what is beyond them rules do not see
_DECLARED = Declared({"body": None, "item": None, "headers": None, "query": None})
_CREDENTIAL = re.compile(r"auth|cookie|token|secret|key|signature|password", re.IGNORECASE)

Scope = dict[str, Any]


class Mapped:
    """Compiled rules. A field whose rule finds nothing is left out; the body is never altered."""

    __slots__ = ("_fields", "_items", "_needs", "_when")

    def __init__(
        self, found: dict[str, Expression], items: Expression | None, when: Expression | None
    ) -> None:
        self._fields, self._items, self._when = found, items, when
        self._needs = _needs([*found.values(), *([] if when is None else [when])])

    def objects(
        self, payload: Any, request: InboundRequest, parsed: Parsed
    ) -> list[dict[str, Any]]:
        """The body's items in our shape, those only for which `when` holds."""
        scope = _scope(payload, request)
        if _is_longer(payload, MAX_VALUES):
            parsed.lose("too_many_values", f"The body holds more than {MAX_VALUES} values.")
        found = [payload] if self._items is None else self._several(scope, parsed)
        if len(found) > MAX_ITEMS:
            parsed.lose("too_many_events", f"`items` finds more than {MAX_ITEMS}.")
        kept: list[dict[str, Any]] = []
        shared = _part(scope, self._needs)
        for each in found[:MAX_ITEMS]:
            run = _runner({**shared, "item": each}, {**scope, "item": each})
            if self._when is None or run(self._when)[0] is True:
                kept.append(self._shaped(run))
        return kept

    def _several(self, scope: Scope, parsed: Parsed) -> list[Any]:
        assert self._items is not None
        found, why = _runner(scope, scope)(self._items)
        if isinstance(found, list):
            return found
        parsed.lose("unusable_payload", f"`items` finds no list: {why or 'it is something else'}.")
        return []

    def _shaped(self, run: "Run") -> dict[str, Any]:
        raw: dict[str, Any] = {}
        for name, rule in self._fields.items():
            value, _ = run(rule)
            if isinstance(value, datetime):
                value = value.isoformat()
            if value is not None:
                raw[name] = value
        return shaped(raw)


Run = Callable[[Expression], tuple[Any, str | None]]


def _runner(seen: Scope, scope: Scope) -> Run:
    """What evaluates rules that see these parts of a scope."""
    context = prepared(seen)
    return lambda rule: rule.evaluate_in(context, lambda: scope)


def _needs(rules: Iterable[Expression]) -> dict[str, frozenset[str] | None]:
    """The variables that some rules read, each with the fields asked; None: all."""
    found: dict[str, frozenset[str] | None] = {}
    for name, asked in (need for rule in rules for need in rule.needs):
        known = found.get(name, frozenset[str]())
        found[name] = None if asked is None or known is None else known | asked
    return found


def _part(scope: Scope, needs: Mapping[str, frozenset[str] | None]) -> Scope:
    """What rules read of a scope. The engine copies all it is given for each rule: with the whole
    body that would be each item's time times the length of the list."""
    return {name: _asked(scope[name], asked) for name, asked in needs.items() if name in scope}


def _asked(value: Any, asked: frozenset[str] | None) -> Any:
    if asked is None or not isinstance(value, dict):
        return value
    return {name: value[name] for name in asked if name in value}


def _is_longer(payload: Any, most: int) -> bool:
    """Whether JSON holds more than so many values."""
    count, rest = 0, [payload]
    while rest and count <= most:
        value = rest.pop()
        count += 1
        if isinstance(value, dict | list):
            rest.extend(value.values() if isinstance(value, dict) else value)
    return count > most


def _scope(payload: Any, request: InboundRequest) -> Scope:
    """What rules see. Credentials are left out: a kept request must map the same again."""
    headers = {name.lower(): value for name, value in reversed(request.headers)}
    query = dict(reversed(request.query))
    return {
        "body": cleaned(payload, nodes=MAX_VALUES),
        "item": None,
        "headers": cleaned({n: v for n, v in headers.items() if not _CREDENTIAL.search(n)}),
        "query": cleaned({n: v for n, v in query.items() if not _CREDENTIAL.search(n)}),
    }


def shaped(raw: dict[str, Any]) -> dict[str, Any]:
    """Flat names as `plain` has them: author_*, email and phone, lists of URLs as attachments."""
    author = {
        name: str(raw.pop(f"author_{name}"))
        for name in ("role", "id", "name")
        if f"author_{name}" in raw
    }
    known = raw.pop("identities", None)
    pairs = known.items() if isinstance(known, dict) else ()
    people = [{"scheme": scheme, "value": value} for scheme, value in pairs]
    people += list(fields.items({"list": known}, "list")) if isinstance(known, list) else []
    for scheme in ("email", "phone"):
        if scheme in raw:
            people.append({"scheme": scheme, "value": raw.pop(scheme)})
    attached = raw.get("attachments")
    if isinstance(attached, str | list):
        each_of = attached if isinstance(attached, list) else [attached]
        raw["attachments"] = [{"url": one} if isinstance(one, str) else one for one in each_of]
    return {**raw, "author": author, "identities": people}


@lru_cache(maxsize=1024)
def compiled(names: tuple[tuple[str, str], ...], items: str | None, when: str | None) -> Mapped:
    """The rules of a connector. Raises RuleError for an unknown name, a missing one or bad CEL."""
    for name, _ in names:
        if name not in NAMES:
            expected = nearest(name, NAMES) or ", ".join(sorted(NAMES))
            raise RuleError("unknown_field", f"there is no field {name!r}", 0, expected)
    if REQUIRED not in dict(names):
        raise RuleError("missing_field", f"the field {REQUIRED!r} needs a rule", 0, REQUIRED)
    found = {name: compile_expression(source, _DECLARED) for name, source in names}
    return Mapped(
        found,
        None if items is None else compile_expression(items, _DECLARED),
        None if when is None else compile_expression(when, _DECLARED),
    )
