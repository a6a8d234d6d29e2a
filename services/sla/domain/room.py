"""How much configuration a workspace may have: calendars and policies in number, and what their conditions
cost together.

An event may be held against the condition of every policy of the workspace before one is chosen, and then
against all conditions of that one: so both sums have a limit, beside the limits of each condition.
"""

from collections.abc import Iterable

from services.sla.domain.policy import Policy
from shared.contracts.problems import Refused, full, invalid
from shared.rules import Condition
from shared.rules.limits import TOTAL_MAX_WEIGHT

CALENDARS_MAX = 1_000  # each with the windows of some fifteen years
SLA_POLICIES_MAX = 1_000

# kind -> (its name in the plural, how many)
LIMITS = {
    "calendar": ("calendars", CALENDARS_MAX),
    "sla_policy": ("SLA policies", SLA_POLICIES_MAX),
}


def check(kind: str, present: int) -> None:
    """Raises Refused (conflict, limit) where there is no room for one more."""
    what, limit = LIMITS[kind]
    if present >= limit:
        raise full(what, limit)


def check_choice(when: Condition | None, others: Iterable[Condition | None]) -> None:
    """Raises Refused where choosing among all policies may take too long with this one's condition."""
    weight = _weight(when)
    total = weight + sum(_weight(one) for one in others)
    if weight and total > TOTAL_MAX_WEIGHT:
        raise _too_costly("/when", "the conditions of all SLA policies together", total)


def check_policy(policy: Policy, pointer: str = "") -> None:
    """Raises Refused where the conditions of one policy may take too long together."""
    clocks = (*policy.targets.values(), *policy.named)
    conditions = [policy.when, *(when for when, _ in policy.calendar_rules)]
    conditions += [one for clock in clocks for one in (clock.pause, clock.start, clock.stop)]
    total = sum(_weight(one) for one in conditions)
    if total > TOTAL_MAX_WEIGHT:
        raise _too_costly(pointer, "the conditions of the policy together", total)


def _weight(condition: Condition | None) -> int:
    return 0 if condition is None else max(1, condition.weight)


def _too_costly(pointer: str, what: str, weight: int) -> Refused:
    message = f"{what} may take {weight * 10 // 1_000} ms for one event"
    expected = f"at most {TOTAL_MAX_WEIGHT * 10 // 1_000} ms: shorter patterns, fewer macros"
    return invalid(pointer, "too_costly", message, expected)
