"""Service-level policies, compiled: which clocks a conversation gets and what their targets are."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from shared.contracts.instants import span_us
from shared.contracts.problems import Refused, invalid
from shared.contracts.windows import Windows
from shared.rules import Condition, Declared, RuleError, Variables, compile_condition, known_names

METRICS: tuple[str, ...] = (
    "first_response",
    "next_response",
    "periodic_update",
    "first_resolution",
    "resolution",
    "time_to_assign",
    "customer_wait",
    "agent_work",
)
Mode = Literal["recompute", "forward", "reset", "proportional"]
Reopen = Literal["continue", "new_cycle"]
OutOfHours = Literal["send", "hold", "skip"]

DEFAULT_LATENESS_S = 300
TASK_FIELDS = frozenset(
    {
        "id", "kind", "channel", "language", "attributes", "priority", "queue", "state", "held",
        "hold_reason", "agent_id", "tags",
    }
)  # fmt: skip
CUSTOMER_FIELDS = frozenset({"id", "name", "tier", "language", "attributes"})
# What `when` and `pause_when` may name; the conditions of named clocks see the event too.
STANDING = Declared({"task": TASK_FIELDS, "customer": CUSTOMER_FIELDS})
EVENTFUL = Declared({"task": TASK_FIELDS, "customer": CUSTOMER_FIELDS, "event": None})

# What may answer a customer, and what does where the policy does not say.
ANSWERS: tuple[str, ...] = ("agent_message", "agent_note", "bot_message", "auto_reply")
HUMAN = frozenset({"agent_message"})

# What pauses a metric by its meaning where the policy does not say (a requester's wait does not run
# while we wait for him; an agent does not work on what is held).
DEFAULT_PAUSE: dict[str, str] = {
    "customer_wait": 'task.held && task.hold_reason == "waiting_on_customer"',
    "agent_work": "task.held",
}


class Goal(NamedTuple):
    """A target: open time in microseconds, or a number of business days."""

    span_us: int | None
    days: int | None
    end_of_day: bool = False


class Rung(NamedTuple):
    """One level of a ladder of notices: at a share of the target that is used (above 1: overdue), to
    whom, and what happens outside the hours of notices."""

    name: str
    used: float
    notify: tuple[str, ...]
    out_of_hours: OutOfHours


Steps = tuple[tuple[float, Goal], ...]


class Target(NamedTuple):
    """One clock that a policy asks for. `steps`: (least priority, goal), highest first, also those
    of each channel; `own_calendar`: the policy's rules for calendars do not touch it;
    `answered_by`: the events that answer; `pause_max_us`: open time that pauses may take."""

    metric: str
    goal: Goal
    steps: Steps
    warn_at: tuple[float, ...]
    pause: Condition | None
    reopen: Reopen
    calendar: str
    start: Condition | None = None
    stop: Condition | None = None
    by_channel: Mapping[str, tuple[Goal, Steps]] = {}
    own_calendar: bool = False
    answered_by: frozenset[str] = HUMAN
    pause_max_us: int | None = None
    ladder: tuple[Rung, ...] = ()

    def goal_at(self, priority: float, channel: str | None = None) -> Goal:
        """The goal on a channel, of the highest step that the priority reaches."""
        goal, steps = self.by_channel.get(channel or "", (self.goal, self.steps))
        for least, reached in steps:
            if priority >= least:
                return reached
        return goal


class Policy(NamedTuple):
    """A compiled version of a policy."""

    id: str
    version: int
    when: Condition | None
    targets: dict[str, Target]
    named: tuple[Target, ...]
    on_change: Mode
    lateness_us: int
    calendar: str = ""
    calendar_rules: tuple[tuple[Condition, str], ...] = ()
    notice_calendar: str | None = None
    warnings_out_of_hours: OutOfHours = "send"

    def calendar_of(self, target: Target, variables: Variables) -> str:
        """The calendar that a clock counts on: its own, else by rule, else the policy's."""
        if not target.own_calendar:
            for when, name in self.calendar_rules:
                if when.evaluate(variables).holds:
                    return name
        return target.calendar

    def calendars(self) -> list[tuple[str, str]]:
        """(pointer, id) of every calendar that it names."""
        found = [("/calendar", self.calendar)]
        found += [(f"/calendars/{i}/calendar", name) for i, (_, name) in enumerate(self.calendar_rules)]  # fmt: skip
        for metric, target in self.targets.items():
            if target.own_calendar:
                found.append((f"/targets/{metric}/calendar", target.calendar))
        for index, target in enumerate(self.named):
            if target.own_calendar:
                found.append((f"/named/{index}/calendar", target.calendar))
        if self.notice_calendar is not None:
            found.append(("/notices/calendar", self.notice_calendar))
        return found

    def find(self, metric: str) -> Target | None:
        """The target of a metric or named clock."""
        found = self.targets.get(metric)
        if found is not None:
            return found
        return next((target for target in self.named if target.metric == metric), None)


class Book(NamedTuple):
    """All policies in order, with the calendars they count on: one state of the configuration."""

    policies: tuple[Policy, ...]
    windows: Callable[[str], Windows]
    names: Mapping[str, str] = {}

    def choose(self, variables: Variables) -> Policy | None:
        """The first policy that holds."""
        for policy in self.policies:
            if policy.when is None or policy.when.evaluate(variables).holds:
                return policy
        return None


def compile_policy(body: Mapping[str, Any], version: int, pointer: str = "") -> Policy:
    """The policy that `body` (of the resource's shape) states.

    Raises Refused("validation") where a condition does not compile.
    """
    calendar = body["calendar"]
    targets = {
        metric: _target(metric, given, calendar, f"{pointer}/targets/{metric}")
        for metric, given in body.get("targets", {}).items()
    }
    named = tuple(
        _named(given, calendar, f"{pointer}/named/{index}")
        for index, given in enumerate(body.get("named", ()))
    )
    groups = tuple(
        _group(given, calendar, f"{pointer}/groups/{index}")
        for index, given in enumerate(body.get("groups", ()))
    )
    notices: Mapping[str, Any] = body.get("notices") or {}
    return Policy(
        body["id"],
        version,
        _condition(body.get("when"), STANDING, f"{pointer}/when"),
        targets,
        named + groups,
        body.get("on_change") or "recompute",
        span_us(body.get("lateness_s", DEFAULT_LATENESS_S)),
        calendar,
        tuple(
            (_needed(rule["when"], STANDING, f"{pointer}/calendars/{index}/when"), rule["calendar"])
            for index, rule in enumerate(body.get("calendars", ()))
        ),
        notices.get("calendar"),
        notices.get("warnings") or ("hold" if notices else "send"),
    )


def check_references(policy: Policy, calendars: Sequence[str], pointer: str = "") -> None:
    """Raises Refused when the policy names a calendar that there is not."""
    for place, name in policy.calendars():
        if name not in calendars:
            raise _unknown(f"{pointer}{place}", name, calendars)


def _unknown(pointer: str, name: str, known: Sequence[str]) -> Refused:
    message = f"there is no calendar {name!r}"
    return invalid(pointer, "unknown_calendar", message, known_names(name, known))


def _target(metric: str, given: Mapping[str, Any], calendar: str, pointer: str) -> Target:
    pause = given.get("pause_when")
    pause = DEFAULT_PAUSE.get(metric) if pause is None else pause
    by_default: Reopen = "continue" if metric in ("first_response", "resolution") else "new_cycle"
    own = given.get("calendar")
    channels: Mapping[str, Any] = given.get("by_channel") or {}
    return Target(
        metric,
        _goal(given),
        _steps(given),
        _shares(given),
        _condition(pause, STANDING, f"{pointer}/pause_when"),
        given.get("reopen") or by_default,
        own or calendar,
        by_channel={name: (_goal(one), _steps(one)) for name, one in channels.items()},
        own_calendar=own is not None,
        answered_by=frozenset(given.get("answered_by") or HUMAN),
        pause_max_us=_optional_span(given.get("pause_max_s")),
        ladder=_ladder(given),
    )


def _named(given: Mapping[str, Any], calendar: str, pointer: str) -> Target:
    return _clock_of(
        given,
        calendar,
        _condition(given.get("pause_when"), EVENTFUL, f"{pointer}/pause_when"),
        _needed(given["start_when"], EVENTFUL, f"{pointer}/start_when"),
        _needed(given["stop_when"], EVENTFUL, f"{pointer}/stop_when"),
    )


def _group(given: Mapping[str, Any], calendar: str, pointer: str) -> Target:
    """A group's own target (OLA): it runs while the task is in the group's queue."""
    inside = f'task.queue == "{given["queue"]}"'
    return _clock_of(
        given,
        calendar,
        _condition(given.get("pause_when"), EVENTFUL, f"{pointer}/pause_when"),
        _needed(f'{inside} && task.state != "completed"', EVENTFUL, pointer),
        _needed(f'!({inside}) || task.state == "completed"', EVENTFUL, pointer),
    )


def _clock_of(
    given: Mapping[str, Any],
    calendar: str,
    pause: Condition | None,
    start: Condition,
    stop: Condition,
) -> Target:
    own = given.get("calendar")
    return Target(
        given["name"],
        _goal(given),
        _steps(given),
        _shares(given),
        pause,
        "new_cycle",
        own or calendar,
        start,
        stop,
        own_calendar=own is not None,
        pause_max_us=_optional_span(given.get("pause_max_s")),
        ladder=_ladder(given),
    )


def _steps(given: Mapping[str, Any]) -> Steps:
    found = [(step["min"], _goal(step)) for step in given.get("by_priority") or ()]
    return tuple(sorted(found, reverse=True, key=lambda step: step[0]))


def _shares(given: Mapping[str, Any]) -> tuple[float, ...]:
    return tuple(sorted(given.get("warn_at") or ()))


def _ladder(given: Mapping[str, Any]) -> tuple[Rung, ...]:
    found = [
        Rung(one["name"], one["used"], tuple(one["notify"]), one.get("out_of_hours") or "hold")
        for one in given.get("ladder") or ()
    ]
    return tuple(sorted(found, key=lambda rung: rung.used))


def _optional_span(seconds: float | None) -> int | None:
    return None if seconds is None else span_us(seconds)


def _goal(given: Mapping[str, Any]) -> Goal:
    seconds, days = given.get("target_s"), given.get("target_business_days")
    return Goal(None if seconds is None else span_us(seconds), days, bool(given.get("end_of_day")))


def _condition(source: str | None, declared: Declared, pointer: str) -> Condition | None:
    if source is None:
        return None
    try:
        return compile_condition(source, declared)
    except RuleError as error:
        message = f"{error.message} (character {error.position + 1})"
        raise invalid(pointer, error.code, message, error.expected) from error


def _needed(source: str, declared: Declared, pointer: str) -> Condition:
    found = _condition(source, declared, pointer)
    assert found is not None
    return found
