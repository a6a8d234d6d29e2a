"""What a task asks of an agent: binding, the four cases of Wazo, relaxation, signatures."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.router.domain.config import Agent, Relax, Require
from services.router.domain.facts import AGENT_NAMES, TaskFacts
from services.router.domain.requirements import (
    AgentFacts,
    Requirement,
    active,
    bind,
    drops,
    met_by,
    next_relaxation_us,
    signature,
)
from shared.rules import Variables, compile_condition

SECOND = 1_000_000


def facts(**task: object) -> TaskFacts:
    return TaskFacts.of(
        now_us=0,
        task={"channel": "chat", "language": "de", **task},
        customer={"id": "kim", "tier": "gold", "attributes": {"region": "eu"}},
    )


def agent(**skills: int) -> AgentFacts:
    return AgentFacts(Agent(id="ana", team="berlin", skills=skills, attributes={"site": "eu"}))


# -- binding


@pytest.mark.parametrize(
    ("source", "bound"),
    [
        ("skill(task.language) >= 1", [("de", 1)]),
        ('skill("billing") > 2', [("billing", 3)]),
        ('skill("billing")', [("billing", 1)]),
        ('skill("billing") != 0', [("billing", 1)]),
        ('skill("billing") >= 3 && skill(task.language) >= 2', [("billing", 3), ("de", 2)]),
        ("skill(customer.attributes.region) >= 1", [("eu", 1)]),
    ],
)
def test_plain_skills_become_what_an_index_answers(source: str, bound: list[tuple[str, int]]):
    found = bind([source], facts())
    assert [(item.skill, item.level) for item in found] == bound
    assert [item.text for item in found] == [f"{skill} >= {level}" for skill, level in bound]


@pytest.mark.parametrize(
    "source",
    [
        'skill("a") >= 1 || skill("b") >= 1',
        'skill("a") == 3',
        'skill("a") >= 0',
        'skill("a") <= 3',
        'agent.team == "berlin"',
        'skill(task.language + "-DE") >= 1',
        "skill(task.attributes.product) >= 1",
        'task.channel == "chat" ? skill("a") >= 1 : true',
        '1 <= skill("a")',
    ],
)
def test_all_else_stays_cel(source: str):
    (found,) = bind([source], facts())
    assert (found.skill, found.cel, found.text) == (None, source, source)


def test_parts_are_bound_one_by_one():
    found = bind(
        ['skill("a") >= 2 && agent.attributes.site == customer.attributes.region'], facts()
    )
    assert [item.text for item in found] == [
        "a >= 2",
        "agent.attributes.site == customer.attributes.region",
    ]
    assert met_by(found, agent(a=2))
    assert not met_by(found, agent(a=1))


def test_only_what_is_read_is_kept_with_the_task():
    (found,) = bind(
        ['agent.attributes.site == customer.attributes.region && agent.team != "x"'], facts()
    )[:1]
    assert msgspec.json.decode(found.bound) == {"customer": {"attributes": {"region": "eu"}}}
    again = msgspec.json.decode(msgspec.json.encode(found), type=Requirement)
    assert again == found
    assert again.met_by(agent())


def test_one_agent_serves_tasks_with_other_values():
    """The agent's prepared context must not keep what the task before brought."""
    source = "agent.attributes.site == customer.attributes.region"
    (here,) = bind([source], facts())
    away = TaskFacts.of(now_us=0, task={}, customer={"attributes": {"region": "us"}})
    nowhere = TaskFacts.of(now_us=0, task={})
    (there,) = bind([source], away)
    (missing,) = bind([source], nowhere)
    who = agent()
    assert [item.met_by(who) for item in (here, there, missing, here)] == [True, False, False, True]
    assert missing.evaluate(who).missing == "customer.attributes.region"


# -- Wazo


def test_a_skill_that_the_agent_lacks_is_undefined():
    for source in ('skill("x") > 0 || skill("x") < 1', '!(skill("x") >= 1)', 'skill("x") != 3'):
        (item,) = bind([source], facts())
        check = item.evaluate(agent(y=1))
        assert (check.passed, check.missing) == (False, "skill x")


def test_a_bare_skill_means_not_zero():
    (item,) = bind(['skill("x")'], facts())
    assert item.met_by(agent(x=1))
    assert not item.met_by(agent(x=0))
    assert not item.met_by(agent())


def test_a_level_is_at_least():
    (item,) = bind([Require(skill="billing", level=3)], facts())
    assert item.met_by(agent(billing=3))
    assert not item.met_by(agent(billing=2))
    assert item.evaluate(agent(billing=2)) == ("skill billing >= 3", 2, False, None)
    assert item.evaluate(agent()) == ("skill billing >= 3", None, False, "skill billing")


def test_without_a_language_nobody_is_able_and_it_says_why():
    (item,) = bind(["skill(task.language) >= 1"], facts(language=None))
    check = item.evaluate(agent(de=5))
    assert (check.passed, check.missing) == (False, "task.language")


# -- relaxation: each selector with its own expiry (Azure, facts/routing.md §2.4)

GERMAN = Require(skill="de", level=3, relax=(Relax(60, level=1), Relax(180, drop=True)))
BILLING = Require(skill="billing", level=3)


def texts(waited_s: float, **options: object) -> list[str]:
    requires = bind([BILLING, GERMAN], facts())
    found = active(requires, round(waited_s * SECOND), **options)  # type: ignore[arg-type]
    return [item.text for item in found]


def test_requirements_relax_with_the_wait():
    assert texts(0) == ["billing >= 3", "de >= 3"]
    assert texts(59.999_999) == ["billing >= 3", "de >= 3"]
    assert texts(60) == ["billing >= 3", "de >= 1"]
    assert texts(179) == ["billing >= 3", "de >= 1"]
    assert texts(180) == ["billing >= 3"]


def test_relax_all_and_drop_requirement():
    assert texts(0, relax_all=True) == ["billing >= 3"]
    assert texts(0, dropped=("billing",)) == ["de >= 3"]
    assert texts(0, dropped=("billing >= 3", "de")) == []
    (bot,) = bind(['agent.kind == "bot"'], facts())
    assert drops(bot, 'agent.kind == "bot"')


def test_cel_can_be_dropped_in_time():
    (item,) = bind([Require(cel='agent.team == "x"', relax=(Relax(5, drop=True),))], facts())
    assert active((item,), 4 * SECOND) == (item,)
    assert active((item,), 5 * SECOND) == ()


STAGES = st.lists(st.integers(1, 50), unique=True, max_size=4).map(
    lambda times: tuple(
        Relax(at, level=5 - place) if place < 3 else Relax(at, drop=True)
        for place, at in enumerate(sorted(times))
    )
)


@settings(deadline=None)
@given(st.lists(STAGES, min_size=1, max_size=3), st.integers(0, 60))
def test_the_next_relaxation_is_exactly_when_something_changes(
    ladders: list[tuple[Relax, ...]], waited_s: int
):
    requires = tuple(
        Requirement(text=f"s{place} >= 6", skill=f"s{place}", level=6, relax=relax)
        for place, relax in enumerate(ladders)
    )
    waited = waited_s * SECOND
    at = next_relaxation_us(requires, waited)
    now = active(requires, waited)
    if at is None:
        assert active(requires, 10_000 * SECOND) == now
    else:
        assert active(requires, at - 1) == now
        assert active(requires, at) != now


# -- what the index says and what CEL says is the same

NAMES = st.sampled_from(["a", "b", "c"])
PART = st.one_of(
    st.builds('skill("{}") {} {}'.format, NAMES, st.sampled_from([">=", ">"]), st.integers(0, 4)),
    st.builds('skill("{}")  !=  0'.format, NAMES),
    st.builds("skill(task.attributes.{}) >= {}".format, st.sampled_from("xyz"), st.integers(1, 3)),
    st.builds('agent.team == "{}"'.format, st.sampled_from(["berlin", "bonn"])),
    st.builds('(skill("{}") == 1 || agent.id == "ana")'.format, NAMES),
)


@settings(deadline=None)
@given(
    st.lists(PART, min_size=1, max_size=3),
    st.dictionaries(NAMES, st.integers(0, 4)),
    st.fixed_dictionaries({"x": NAMES, "y": st.just(7)}),
)
def test_bound_requirements_mean_what_the_condition_means(
    parts: list[str], skills: dict[str, int], attributes: dict[str, object]
):
    source = " && ".join(parts)
    task = facts(attributes=attributes)
    who = agent(**skills)
    whole = compile_condition(source, AGENT_NAMES, skills=True)
    seen = {**task.variables.values, "agent": {"id": "ana", "team": "berlin", "skills": skills}}
    assert met_by(bind([source], task), who) is whole.evaluate(Variables(AGENT_NAMES, seen)).holds


@settings(deadline=None)
@given(st.lists(PART, min_size=1, max_size=4), st.randoms())
def test_signatures_do_not_depend_on_order(parts: list[str], shuffle: object):
    task = facts(attributes={"x": "a"})
    other = list(parts)
    shuffle.shuffle(other)  # type: ignore[attr-defined]
    found = signature(bind(parts, task))
    assert found == signature(bind(other, task))
    assert hash(found) == hash(signature(bind(other, task)))


def test_signatures_differ_where_the_values_differ():
    source = "agent.attributes.site == customer.attributes.region"
    other = TaskFacts.of(now_us=0, task={}, customer={"attributes": {"region": "us"}})
    assert signature(bind([source], facts())) != signature(bind([source], other))
    relaxed = Requirement(text="a >= 1", skill="a", relax=(Relax(5, drop=True),))
    assert signature([relaxed]) == signature([Requirement(text="a >= 1", skill="a")])
