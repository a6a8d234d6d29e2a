"""How a task finds its rule, and the steps it waits in."""

import pytest

from services.router.domain.config import Policy, Prefer, Require, Rule, Step
from services.router.domain.facts import TaskFacts
from services.router.domain.policy import CompiledPolicy, first_step, queues_at

STEPS = (
    Step("billing", timeout_s=300, skip_if="nobody_could"),
    Step("general", keep_previous=True),
)
POLICY = Policy(
    "default",
    rules=(
        Rule(
            name="German billing",
            when='task.channel in ["chat", "email"] && task.language == "de" && task.attributes.topic == "billing"',
            priority='customer.tier == "gold" ? 10 : 5',
            require=(Require(skill="billing", level=3),),
            prefer=Prefer(hold_s=30),
            escalation="standard",
            steps=STEPS,
        ),
        Rule(
            name="weekend", when="now < timestamp('2026-01-01T00:00:00Z')", steps=(Step("general"),)
        ),
        Rule(
            name="anything else",
            require=("skill(task.language) >= 1",),
            steps=(Step("general"),),
        ),
    ),
)
NOW = 1_795_428_000_000_000  # 2026-11-23


def facts(
    *, tier: str | None = None, topic: str | None = "billing", now_us: int = NOW
) -> TaskFacts:
    attributes = {} if topic is None else {"topic": topic}
    return TaskFacts.of(
        now_us=now_us,
        task={"channel": "chat", "language": "de", "attributes": attributes},
        customer={"tier": tier},
    )


def test_the_first_matching_rule_decides():
    plan = CompiledPolicy(POLICY, 3).plan(facts(tier="gold"))
    assert plan is not None
    assert (plan.policy, plan.version, plan.rule, plan.rule_name) == (
        "default",
        3,
        0,
        "German billing",
    )
    assert plan.priority == 10
    assert [item.text for item in plan.requires] == ["billing >= 3"]
    assert (plan.steps, plan.prefer, plan.escalation) == (STEPS, Prefer(hold_s=30), "standard")


def test_unset_declared_fields_are_null():
    plan = CompiledPolicy(POLICY, 1).plan(facts(tier=None))
    assert plan is not None and plan.priority == 5


def test_the_trace_names_what_was_missing():
    plan = CompiledPolicy(POLICY, 1).plan(facts(topic=None))
    assert plan is not None and plan.rule_name == "anything else"
    first, weekend, last = plan.trace
    assert (first.matched, first.missing) == (False, "task.attributes.topic")
    assert (weekend.matched, weekend.missing, weekend.because) == (
        False,
        None,
        "its condition does not hold",
    )
    assert last.matched
    assert [item.text for item in plan.requires] == ["de >= 1"]


def test_now_is_the_inputs():
    plan = CompiledPolicy(POLICY, 1).plan(facts(topic=None, now_us=0))
    assert plan is not None and plan.rule_name == "weekend"


def test_no_rule():
    policy = CompiledPolicy(Policy("p", rules=(Rule(when="false", steps=(Step("q"),)),)), 1)
    assert policy.plan(facts()) is None
    assert [entry.matched for entry in policy.trace(facts())] == [False]


def test_a_priority_that_fails_is_zero_and_says_so():
    rule = Rule(priority="task.attributes.weight * 2", steps=(Step("q"),))
    plan = CompiledPolicy(Policy("p", rules=(rule,)), 1).plan(facts())
    assert plan is not None and plan.priority == 0
    assert "task.attributes.weight is not there" in plan.trace[-1].because


# -- steps


def test_a_step_is_skipped_only_when_nobody_could_ever():
    """Wazo: not merely because those who could are busy; `could` knows no load."""
    assert first_step(STEPS, 0, lambda step: step.queue == "billing") == 0
    assert first_step(STEPS, 0, lambda step: step.queue == "general") == 1
    assert first_step(STEPS, 1, lambda step: False) == 1


def test_the_last_step_and_steps_without_skip_if_are_never_skipped():
    assert first_step((Step("a"), Step("b")), 0, lambda step: False) == 0
    only = (Step("a", skip_if="nobody_could"),)
    assert first_step(only, 0, lambda step: False) == 0


@pytest.mark.parametrize(
    ("step", "queues"), [(0, ("a",)), (1, ("a", "b")), (2, ("c",)), (3, ("c", "a"))]
)
def test_a_step_joins_or_replaces(step: int, queues: tuple[str, ...]):
    steps = (
        Step("a"),
        Step("b", keep_previous=True),
        Step("c"),
        Step("a", keep_previous=True),
    )
    assert queues_at(steps, step) == queues
