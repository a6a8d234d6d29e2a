"""`POST sla-policies:evaluate` as a pure function: clocks of invented events under a policy."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, cast

from services.sla.domain.clock import Clock
from services.sla.domain.derive import derive, facts_of
from services.sla.domain.events import TYPES, Event
from services.sla.domain.fold import Fold
from services.sla.domain.policy import METRICS, Book, Policy, check_references
from services.sla.domain.shapes import EvaluatedClocks, TriedClock
from services.sla.domain.view import clock_view, ledger
from services.sla.questions import CALENDARS_MAX, EVENTS_MAX, PolicyTrial, TrialFacts
from services.sla.resources import read_compiled
from shared.calendars import LazyWindows, OpenHours, check_calendar, check_read, parse_calendar
from shared.contracts.instants import parse_instant
from shared.contracts.problems import invalid
from shared.contracts.windows import Windows
from shared.rules import nearest

HORIZON_YEARS = 10
_FIELDS = tuple(PolicyTrial.model_fields)
_FACTS = tuple(TrialFacts.model_fields)
_TYPES: tuple[tuple[tuple[str, ...], type, str], ...] = (
    (("channel", "queue", "language", "kind", "agent_id", "reason"), str, "a string"),
    (("customer", "attributes"), dict, "an object"),
    (("tags",), list, "a list"),
)
_MODES = ("recompute", "forward", "reset", "proportional")

Lookup = Callable[[str], dict[str, Any] | None]


def evaluate(body: object, lookup: Lookup = lambda _: None) -> EvaluatedClocks:
    """`{"clocks": […]}` for one call's body (API.md, «SLA»). `lookup` gives a stored calendar by
    id where the call does not bring it. Raises Refused("validation") with pointers."""
    given = _object(body, "", _FIELDS)
    for name in ("policy", "events", "now"):
        if name not in given:
            raise invalid(f"/{name}", "missing", f"{name} is missing", name)
    now_us = _instant(given["now"], "/now")
    calendars = _Calendars(given.get("calendars", []), lookup)
    policy = _policy(given["policy"], "/policy", calendars)
    facts = _facts(given.get("facts", {}))
    events, books = _events(given["events"], calendars)
    book = Book((policy,), calendars.windows)
    past = [event for event in events if event.at_us <= now_us]
    fold = derive(past, facts, book, books.__getitem__, keep_all=True)
    fold.advance(now_us)
    order = [*METRICS, *(target.metric for target in policy.named)]
    clocks = sorted(
        [*(fold.shed or ()), *fold.episode.clocks], key=lambda clock: _place(clock, order)
    )
    return {"clocks": [_shown(fold, clock, now_us) for clock in clocks]}


def _place(clock: Clock, order: list[str]) -> tuple[int, int]:
    return (order.index(clock.metric) if clock.metric in order else len(order), clock.cycle)


def _shown(fold: Fold, clock: Clock, now_us: int) -> TriedClock:
    latest = clock.started_us + HORIZON_YEARS * 366 * 86_400_000_000
    beyond = clock.due_us is None and clock.state == "running"
    if beyond or (clock.due_us is not None and clock.due_us > latest):
        message = f"the deadline lies more than {HORIZON_YEARS} years from its start"
        expected = f"within {HORIZON_YEARS} years"
        raise invalid(f"/policy/targets/{clock.metric}", "horizon", message, expected)
    return {
        **clock_view(clock, fold.hands, now_us),
        "ledger": ledger(clock, fold.hands, now_us, fold.former),
    }


class _Calendars:
    """The calendars of the call, then the stored ones."""

    def __init__(self, value: object, lookup: Lookup) -> None:
        self._lookup = lookup
        self._found: dict[str, Windows] = {}
        if not isinstance(value, list):
            raise invalid("/calendars", "type", "calendars must be a list", "a list of calendars")
        listed = cast("list[object]", value)
        if len(listed) > CALENDARS_MAX:
            raise invalid(
                "/calendars", "too_many", "too many calendars", f"at most {CALENDARS_MAX}"
            )
        for index, body in enumerate(listed):
            self._add(body, f"/calendars/{index}")

    def _add(self, body: object, pointer: str) -> None:
        calendar = parse_calendar(body, pointer)
        check_calendar(calendar, pointer)
        check_read(calendar, pointer)
        if calendar.id is None:
            raise invalid(f"{pointer}/id", "missing", "an inline calendar carries its id", "id")
        if calendar.id in self._found:
            raise invalid(f"{pointer}/id", "duplicate", "two calendars have this id")
        self._found[calendar.id] = LazyWindows(OpenHours([calendar]))

    def names(self, wanted: list[str]) -> list[str]:
        """The ids that there are, stored ones among `wanted` included."""
        for name in wanted:
            if name not in self._found and (stored := self._lookup(name)) is not None:
                self._found[name] = LazyWindows(OpenHours([parse_calendar(stored)]))
        return list(self._found)

    def windows(self, name: str) -> Windows:
        return self._found[name]


def _policy(value: object, pointer: str, calendars: _Calendars) -> Policy:
    _, policy = read_compiled(value, pointer)
    wanted = [name for _, name in policy.calendars()]
    check_references(policy, calendars.names(wanted), pointer)
    return policy


def _facts(value: object) -> Any:
    given = _object(value, "/facts", _FACTS)
    customer = given.get("customer")
    _check_task(given, "/facts")
    task = {name: given[name] for name in given if name != "customer"}
    return facts_of(task, cast("dict[str, Any] | None", customer))


def _events(value: object, calendars: _Calendars) -> tuple[list[Event], dict[str, Book]]:
    if not isinstance(value, list):
        raise invalid("/events", "type", "events must be a list", "a list of events")
    listed = cast("list[object]", value)
    if len(listed) > EVENTS_MAX:
        raise invalid("/events", "too_many", "too many events", f"at most {EVENTS_MAX}")
    found: list[Event] = []
    books: dict[str, Book] = {}
    for index, entry in enumerate(listed):
        place = f"/events/{index}"
        given = _object(entry, place, None)
        kind = given.get("type")
        if not isinstance(kind, str) or kind not in TYPES:
            close = nearest(kind, TYPES) if isinstance(kind, str) else None
            raise invalid(f"{place}/type", "value", f"unknown event type {kind!r}", close or ", ".join(TYPES))  # fmt: skip
        at_us = _instant(given.get("time"), f"{place}/time")
        if kind == "policy_changed":
            books[str(index)] = _changed(given, place, calendars)
        if kind == "priority_changed" and given.get("priority") is None:
            raise invalid(f"{place}/priority", "missing", "the new priority is missing", "a number")
        _check_task(given, place)
        if given.get("until") is not None:
            _instant(given["until"], f"{place}/until")
        fields = {
            name: one for name, one in given.items() if name not in ("time", "type", "policy")
        }
        found.append(Event(at_us, kind, index, fields, str(index)))
    return found, books


def _changed(given: dict[str, Any], place: str, calendars: _Calendars) -> Book:
    if "policy" not in given:
        raise invalid(f"{place}/policy", "missing", "the new policy is missing", "a policy")
    mode = given.get("mode")
    if mode is not None and mode not in _MODES:
        raise invalid(f"{place}/mode", "value", f"unknown mode {mode!r}", ", ".join(_MODES))
    return Book((_policy(given["policy"], f"{place}/policy", calendars),), calendars.windows)


def _check_task(given: dict[str, Any], pointer: str) -> None:
    """What is said of the task and its customer has the types that conditions count on."""
    for names, kind, expected in _TYPES:
        for name in names:
            if given.get(name) is not None and not isinstance(given[name], kind):
                raise invalid(f"{pointer}/{name}", "type", f"{name} must be {expected}", expected)
    _check_priority(given.get("priority"), f"{pointer}/priority")


def _check_priority(value: object, pointer: str) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        raise invalid(pointer, "type", "the priority is no number", "a number")


def _instant(value: object, pointer: str) -> int:
    if isinstance(value, str):
        try:
            at_us = parse_instant(value.upper())
        except (ValueError, OverflowError):
            pass
        else:
            if 1900 <= datetime.fromisoformat(value.upper()).year < 2200:
                return at_us
    raise invalid(pointer, "instant", f"{value!r} is no instant", "RFC 3339: 2026-11-23T09:00:00Z")


def _object(value: object, pointer: str, known: tuple[str, ...] | None) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise invalid(pointer, "type", "this must be an object", "an object")
    given = cast("dict[str, Any]", value)
    for name in given if known is not None else ():
        if name not in (known or ()):
            expected = nearest(name, known or ())
            raise invalid(f"{pointer}/{name}", "unknown_field", f"unknown field {name!r}", expected)
    return given
