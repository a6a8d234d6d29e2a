"""Service-level policies, compiled: which clocks a conversation gets and what their targets are."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from shared.contracts.instants import span_us
from shared.contracts.problems import Refused, invalid
from shared.contracts.windows import Windows
from shared.rules import Condition, Declared, RuleError, Variables, compile_condition

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


class Target(NamedTuple):
    """One clock that a policy asks for. `steps`: (least priority, goal), highest first."""

    metric: str
    goal: Goal
    steps: tuple[tuple[float, Goal], ...]
    warn_at: tuple[float, ...]
    pause: Condition | None
    reopen: Reopen
    calendar: str
    start: Condition | None = None
    stop: Condition | None = None

    def goal_at(self, priority: float) -> Goal:
        """The goal of the highest step that the priority reaches."""
        for least, goal in self.steps:
            if priority >= least:
                return goal
        return self.goal


class Policy(NamedTuple):
    """A compiled version of a policy."""

    id: str
    version: int
    when: Condition | None
    targets: dict[str, Target]
    named: tuple[Target, ...]
    on_change: Mode
    lateness_us: int

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
    return Policy(
        body["id"],
        version,
        _condition(body.get("when"), STANDING, f"{pointer}/when"),
        targets,
        named,
        body.get("on_change") or "recompute",
        span_us(body.get("lateness_s", DEFAULT_LATENESS_S)),
    )


def check_references(policy: Policy, calendars: Sequence[str], pointer: str = "") -> None:
    """Raises Refused when the policy names a calendar that there is not."""
    for target in policy.targets.values():
        if target.calendar not in calendars:
            raise _unknown(f"{pointer}/calendar", target.calendar)
    for index, target in enumerate(policy.named):
        if target.calendar not in calendars:
            raise _unknown(f"{pointer}/named/{index}/calendar", target.calendar)


def _unknown(pointer: str, name: str) -> Refused:
    return invalid(
        pointer, "unknown_calendar", f"there is no calendar {name!r}", "the id of a calendar"
    )


def _target(metric: str, given: Mapping[str, Any], calendar: str, pointer: str) -> Target:
    pause = given.get("pause_when")
    pause = DEFAULT_PAUSE.get(metric) if pause is None else pause
    by_default: Reopen = "continue" if metric in ("first_response", "resolution") else "new_cycle"
    goal = _goal(given)
    steps = sorted(((step["min"], _goal(step)) for step in given.get("by_priority") or ()), reverse=True, key=lambda step: step[0])  # fmt: skip
    return Target(
        metric,
        goal,
        tuple(steps),
        tuple(sorted(given.get("warn_at") or ())),
        _condition(pause, STANDING, f"{pointer}/pause_when"),
        given.get("reopen") or by_default,
        calendar,
    )


def _named(given: Mapping[str, Any], calendar: str, pointer: str) -> Target:
    return Target(
        given["name"],
        _goal(given),
        (),
        tuple(sorted(given.get("warn_at") or ())),
        _condition(given.get("pause_when"), EVENTFUL, f"{pointer}/pause_when"),
        "new_cycle",
        given.get("calendar") or calendar,
        _condition(given["start_when"], EVENTFUL, f"{pointer}/start_when"),
        _condition(given["stop_when"], EVENTFUL, f"{pointer}/stop_when"),
    )


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
