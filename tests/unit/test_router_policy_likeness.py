"""Plans worked out once for alike tasks are the plans that each task would get by itself."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.router.domain import policy as module
from services.router.domain.config import Policy, Require, Rule, Step
from services.router.domain.facts import TaskFacts
from services.router.domain.likeness import likeness, reads
from services.router.domain.policy import CompiledPolicy

STEPS = (Step("main"),)
POLICY = Policy(
    "p",
    rules=(
        Rule(STEPS, when='task.attributes.topic == "vip" && task.language != "xx"', priority=9),
        Rule(STEPS, when="task.attributes.paid == true", require=("skill(task.language) >= 2",)),
        Rule(STEPS, when="task.attributes.paid == 1", priority="task.attributes.worth"),
        Rule(STEPS, when="task.attributes.deep.er == 1"),
        Rule(STEPS, when='"gold" in task.tags'),
        Rule(STEPS, when='has(customer.attributes.vip) || customer.tier == "a"'),
        Rule(
            STEPS,
            when="task.attributes.worth > 3",
            require=(
                Require(cel="agent.team == task.attributes.team"),
                "skill(task.attributes.topic)",
            ),
        ),
        Rule(STEPS, when="message.text.contains('refund') && conversation.messages == 1"),
    ),
)
VALUES = st.sampled_from(
    [None, True, False, 0, 1, 1.0, 4, 5.5, 2**70, "", "a", "vip", "x" * 100, [1], {"er": 1}, {}]
)
NAMES = ("topic", "paid", "worth", "deep", "team", "vip", *(f"n{n}" for n in range(300)))
ATTRIBUTES = st.dictionaries(st.sampled_from(NAMES[:8]), VALUES, max_size=6) | st.just(
    {**dict.fromkeys(NAMES[6:], 1), "topic": "vip"}
)
FACTS = st.fixed_dictionaries(
    {
        "task": st.fixed_dictionaries(
            {
                "attributes": ATTRIBUTES | st.none(),
                "language": st.sampled_from([None, "de", "en"]),
                "tags": st.sampled_from([[], ["gold"]]),
            }
        ),
        "customer": st.sampled_from([{}, {"tier": "a"}, {"attributes": {"vip": False}}]),
        "message": st.sampled_from([{}, {"text": "a refund"}, {"text": "refund " * 900}]),
        "conversation": st.sampled_from([{"messages": 1}, {"messages": 2}]),
    }
)
OLD = CompiledPolicy(POLICY, 1)


def facts(given_: dict[str, Any]) -> TaskFacts:
    return TaskFacts.of(now_us=0, **given_)


@given(FACTS)
def test_alike_tasks_get_the_plan_they_would_get_alone(given_: dict[str, Any]) -> None:
    """OLD remembers what it planned before; a new policy knows nothing yet."""
    assert OLD.plan(facts(given_)) == CompiledPolicy(POLICY, 1).plan(facts(given_))


def test_a_plan_is_worked_out_once_for_alike_tasks() -> None:
    policy = CompiledPolicy(Policy("p", rules=(Rule(STEPS, when='task.language == "de"'),)), 1)
    first = policy.plan(facts({"task": {"id": "1", "language": "de"}}))
    assert policy.plan(facts({"task": {"id": "2", "language": "de"}})) is first
    assert policy.plan(facts({"task": {"id": "3", "language": "en"}})) is None


def test_numbers_truths_and_absence_are_told_apart() -> None:
    read = reads(Policy("p", rules=(Rule(STEPS, when="task.attributes.a == 1"),)))
    assert read is not None
    seen = {
        likeness(facts({"task": {"attributes": each}}).given, read)
        for each in ({"a": 1}, {"a": True}, {"a": "1"}, {"a": None}, {})
    }
    assert len(seen) == 5


def test_rules_that_read_the_time_are_judged_each_time() -> None:
    rule = Rule(STEPS, when='now > timestamp("1970-01-01T00:00:01Z")')
    policy = CompiledPolicy(Policy("p", rules=(rule,)), 1)
    assert policy.plan(TaskFacts.of(now_us=0, task={})) is None
    assert policy.plan(TaskFacts.of(now_us=2_000_000, task={})) is not None


def test_plans_remembered_are_bounded() -> None:
    policy = CompiledPolicy(Policy("p", rules=(Rule(STEPS, when='task.id == "x"'),)), 1)
    for number in range(module.PLANS_KEPT + 10):
        policy.plan(facts({"task": {"id": f"t{number}"}}))
    assert len(policy._plans) == 10  # pyright: ignore[reportPrivateUsage]
