"""How a new task finds its queue and its requirements: the first rule that matches."""

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from services.router.domain.config import Policy, Prefer, Rule, Step
from services.router.domain.facts import TASK_NAMES, TaskFacts
from services.router.domain.likeness import Likeness, likeness, reads
from services.router.domain.requirements import Requirement, bind, shared
from shared.rules import Condition, Constant, Value, compile_condition, compile_value

PLANS_KEPT = 4_096


class RuleTrace(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why one rule matched or not. `missing` names what its condition asked for in vain."""

    rule: int
    matched: bool
    because: str
    name: str | None = None
    missing: str | None = None


class Plan(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a policy decided for a task: all that the task keeps of it."""

    policy: str
    version: int
    rule: int
    steps: tuple[Step, ...]
    rule_name: str | None = None
    priority: int | float = 0
    requires: tuple[Requirement, ...] = ()
    prefer: Prefer | None = None
    escalation: str | None = None
    trace: tuple[RuleTrace, ...] = ()


class _CompiledRule(NamedTuple):
    rule: Rule
    when: Condition | None
    priority: Value | Constant


_UNKNOWN = Plan("", 0, -1, ())


class CompiledPolicy:
    """A policy ready to decide. Raises shared.rules.RuleError for CEL that was never checked.

    Plans of tasks that its rules cannot tell apart are worked out once (likeness.py)."""

    def __init__(self, policy: Policy, version: int) -> None:
        self.policy = policy
        self.version = version
        self._read = reads(policy)
        self._plans: dict[Likeness, Plan | None] = {}
        self._rules = tuple(
            _CompiledRule(
                rule,
                None if rule.when is None else compile_condition(rule.when, TASK_NAMES),
                compile_value(rule.priority, TASK_NAMES),
            )
            for rule in policy.rules
        )

    def plan(self, facts: TaskFacts) -> Plan | None:
        """The first matching rule's plan; None when no rule matches (reason no_rule)."""
        alike = None if self._read is None else likeness(facts.given, self._read)
        if alike is None:
            return self._work_out(facts)
        found = self._plans.get(alike, _UNKNOWN)
        if found is _UNKNOWN:
            if len(self._plans) >= PLANS_KEPT:
                self._plans.clear()
            found = self._plans[alike] = self._work_out(facts)
        return found

    def _work_out(self, facts: TaskFacts) -> Plan | None:
        trace: list[RuleTrace] = []
        for index, compiled in enumerate(self._rules):
            trace.append(_judge(index, compiled, facts))
            if trace[-1].matched:
                return self._decide(index, compiled, facts, tuple(trace))
        return None

    def trace(self, facts: TaskFacts) -> tuple[RuleTrace, ...]:
        """Every rule judged, up to and with the first that matches."""
        found: list[RuleTrace] = []
        for index, compiled in enumerate(self._rules):
            found.append(_judge(index, compiled, facts))
            if found[-1].matched:
                break
        return tuple(found)

    def _decide(
        self, index: int, compiled: _CompiledRule, facts: TaskFacts, trace: tuple[RuleTrace, ...]
    ) -> Plan:
        rule = compiled.rule
        priority, fault = compiled.priority.detail(facts.variables)
        if fault:
            because = f"{trace[-1].because}; priority is 0 because {fault}"
            trace = (*trace[:-1], msgspec.structs.replace(trace[-1], because=because))
        return Plan(
            policy=self.policy.id,
            version=self.version,
            rule=index,
            rule_name=rule.name,
            priority=priority,
            requires=shared(bind(rule.require, facts)),
            steps=rule.steps,
            prefer=rule.prefer,
            escalation=rule.escalation,
            trace=trace,
        )


def _judge(index: int, compiled: _CompiledRule, facts: TaskFacts) -> RuleTrace:
    name = compiled.rule.name
    if compiled.when is None:
        return RuleTrace(index, True, "the rule has no condition", name)
    verdict = compiled.when.evaluate(facts.variables)
    if verdict.holds:
        return RuleTrace(index, True, "its condition holds", name)
    because = verdict.error or "its condition does not hold"
    return RuleTrace(index, False, because, name, verdict.missing)


def first_step(steps: tuple[Step, ...], start: int, could: Callable[[Step], bool]) -> int:
    """The first step from `start` on that is not skipped; the last one never is.

    `could(step)`: whether any agent who serves its queue and channel meets the requirements, busy
    or not. Only when nobody could is `skip_if: nobody_could` taken (facts/routing.md §2.4, Wazo).
    """
    last = len(steps) - 1
    for index in range(start, last):
        if steps[index].skip_if != "nobody_could" or could(steps[index]):
            return index
    return last


def queues_at(steps: tuple[Step, ...], step: int) -> tuple[str, ...]:
    """The queues that a task waits in during a step, newest last; a step that keeps the previous
    joins it, any other replaces it."""
    if step == 0:
        return (steps[0].queue,)
    queues: list[str] = []
    for entry in steps[: step + 1]:
        if not entry.keep_previous:
            queues.clear()
        if entry.queue not in queues:
            queues.append(entry.queue)
    return tuple(queues)
