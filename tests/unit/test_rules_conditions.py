"""Customers' rules: what they mean, what is missing, and that nothing raises at run time."""

from datetime import UTC, datetime
from typing import Any

import cel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.rules import Declared, RuleError, Variables, compile_condition, compile_value
from shared.rules.limits import LIST_MAX_ITEMS, TEXT_MAX_CHARS, VALUES_MAX_NODES
from shared.rules.patterns import is_word_list, matches_words
from shared.rules.tokens import string_value, tokens
from shared.rules.variables import bounded

NAMES = Declared(
    {
        "task": frozenset({"channel", "language", "attributes", "priority"}),
        "customer": frozenset({"id", "tier"}),
        "message": frozenset({"text", "flags"}),
        "agent": frozenset({"skills", "team"}),
        "now": None,
    }
)
SEEN = Variables(
    NAMES,
    {
        "task": {
            "channel": "chat",
            "language": "de",
            "attributes": {"topic": "billing", "tags": ["a", "vip"]},
        },
        "message": {"text": "A human, please", "flags": []},
        "agent": {"skills": {"de": 3, "none": 0}},
        "now": datetime(2026, 11, 23, 10, tzinfo=UTC),
    },
)


def verdict(source: str, **options: Any):
    return compile_condition(source, NAMES, **options).evaluate(SEEN)


@pytest.mark.parametrize(
    "source",
    [
        'task.channel in ["chat", "email"] && task.language == "de"',
        'task.attributes.topic == "billing"',
        'task["attributes"]["topic"] == "billing"',
        "customer.tier == null",
        "!has(task.attributes.region)",
        'task.attributes.tags.exists(tag, tag == "vip")',
        'message.text.matches("(?i)HUMAN|agent")',
        'matches(message.text, "(?i)human")',
        'message.text.matches("h[a-z]+n")',
        'now > timestamp("2026-01-01T00:00:00Z")',
        "true // with a comment",
        'task.attributes.region == "eu" || task.channel == "chat"',
    ],
)
def test_conditions_that_hold(source: str):
    assert verdict(source) == (True, None, None)


@pytest.mark.parametrize("source", ['task.channel == "email"', "1", '"text"', "[true]"])
def test_conditions_that_do_not_hold(source: str):
    assert verdict(source) == (False, None, None)


@pytest.mark.parametrize(
    "source", ["task.attributes.region == 1", 'task.attributes["region"] == 1']
)
def test_a_missing_attribute_makes_the_condition_false_also_under_not(source: str):
    for text in (source, f"!({source})"):
        holds, missing, error = verdict(text)
        assert not holds
        assert missing == "task.attributes.region"
        assert error


def test_a_null_that_cannot_be_compared_is_named():
    for source in ("customer.tier > 3", "!(customer.tier > 3)"):
        assert verdict(source)[:2] == (False, "customer.tier")


def test_other_faults_at_run_time_are_reported():
    holds, missing, error = verdict("1 / 0 == 1")
    assert (holds, missing) == (False, None)
    assert error is not None and "division by zero" in error


# -- skills: the four cases of Wazo (facts/routing.md §2.4)


@pytest.mark.parametrize(
    "source",
    [
        'skill("fr") > 0',
        'skill("fr") < 1',
        'skill("fr") != 3',
        'skill("fr") > 0 || skill("fr") < 1',
    ],
)
def test_an_undefined_skill_is_false_in_every_comparison_also_under_not(source: str):
    assert verdict(source, skills=True)[:2] == (False, "skill fr")
    assert verdict(f"!({source})", skills=True)[:2] == (False, "skill fr")


def test_a_skill_of_zero_is_defined():
    assert verdict('skill("none") < 1', skills=True).holds
    assert verdict("skill(task.language) == 3", skills=True).holds


def test_skill_is_known_only_where_there_is_an_agent():
    with pytest.raises(RuleError, match="no function 'skill'"):
        compile_condition('skill("de") >= 1', NAMES)


# -- values


@pytest.mark.parametrize(
    ("source", "number"),
    [
        (7, 7),
        (2.5, 2.5),
        ('task.channel == "chat" ? 10 : 5', 10),
        ("task.attributes.weight", 0),
        ("1 / 0", 0),
        ('"ten"', 0),
        ("true", 0),
        ("customer.tier", 0),
        ("1.0e308 * 10.0", 0),
    ],
)
def test_values_and_zero_for_what_fails(source: str | float, number: float):
    assert compile_value(source, NAMES).evaluate(SEEN) == number


def test_a_value_says_why_it_is_zero():
    assert compile_value("task.attributes.weight", NAMES).detail(SEEN) == (
        0,
        "task.attributes.weight is not there",
    )


# -- never an exception

WORDS = st.sampled_from(
    "task customer message agent now .channel .attributes .tags .text .all( .exists( .map( .matches( x , "
    '"a" "(?i)b" 1 2.5 null true == != < >= && || ! ? : ( ) [ ] { } + - / % in has( size( skill( -1 '
    ".contains( .size() r'\\w' '' // \n ` \\ é 9223372036854775807".split(" ")
)


@settings(deadline=None)
@given(st.lists(WORDS, max_size=14).map(" ".join) | st.text(max_size=40))
def test_any_text_is_refused_or_evaluates(source: str):
    try:
        condition = compile_condition(source, NAMES, skills=True)
    except RuleError as error:
        assert error.code
        assert 0 <= error.position <= len(source) + 1
        return
    holds, _, _ = condition.evaluate(SEEN)
    assert isinstance(holds, bool)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False)
    | st.text(),
    lambda inner: (
        st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=8), inner, max_size=8)
    ),
    max_leaves=60,
)


@settings(deadline=None)
@given(JSON)
def test_any_attributes_can_be_asked(value: Any):
    seen = Variables(NAMES, {"task": {"attributes": {"x": value}}})
    assert compile_condition("task.channel == null", NAMES).evaluate(seen).holds
    assert isinstance(compile_condition("task.attributes.x == 1", NAMES).evaluate(seen).holds, bool)


def test_lone_surrogates_and_endless_numbers_reach_cel():
    seen = Variables(NAMES, {"task": {"attributes": {"s": "\ud800", "n": 10**400}}})
    assert compile_condition('task.attributes.s != ""', NAMES).evaluate(seen).holds
    assert compile_condition("task.attributes.n == null", NAMES).evaluate(seen).holds


def _nodes(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + sum(_nodes(item) for item in value.values())
    if isinstance(value, list):
        return 1 + sum(_nodes(item) for item in value)
    return 1


@settings(deadline=None)
@given(JSON)
def test_bounded_values_stay_themselves_when_small(value: Any):
    cut = bounded(value)
    assert bounded(cut) == cut
    assert _nodes(cut) <= VALUES_MAX_NODES + 1


def test_large_values_are_cut():
    cut = bounded({"text": "x" * 10**6, "list": list(range(10**4)), "wide": [["y"] * 60] * 60})
    assert len(cut["text"]) == TEXT_MAX_CHARS
    assert cut["list"] == list(range(LIST_MAX_ITEMS))
    assert _nodes(cut) <= VALUES_MAX_NODES + 1
    deep: Any = "end"
    for _ in range(100):
        deep = [deep]
    assert _nodes(bounded(deep)) < 12


# -- word lists take a shorter way and must mean the same

PATTERN = st.lists(st.sampled_from(["ab", "A", "b ", "-", "|", "0", "\\b", "x_"]), max_size=6)


@settings(deadline=None)
@given(st.booleans(), PATTERN, st.text("abABx_0- |", max_size=12))
def test_word_lists_match_as_cel_itself_does(fold: bool, parts: list[str], text: str):
    pattern = ("(?i)" if fold else "") + "".join(parts)
    assert is_word_list(pattern)
    native = cel.evaluate("t.matches(p)", {"t": text, "p": pattern})
    assert matches_words(text, pattern) is native


@pytest.mark.parametrize(
    "pattern", ["a*", "a+", "(a)", "[a]", "a.b", "a{2}", "\\w", "^a", "a$", "(?s)a"]
)
def test_anything_more_is_left_to_cel(pattern: str):
    assert not is_word_list(pattern)


# -- tokens

LITERALS = ['"a\\n\\"b"', "'it\\'s'", 'r"\\d"', '"""a"b"""', "'\\x41\\u00e9\\101'", '""']


@pytest.mark.parametrize("literal", LITERALS)
def test_strings_are_read_as_cel_reads_them(literal: str):
    assert [token.kind for token in tokens(literal)] == ["string"]
    assert string_value(literal) == cel.evaluate(literal)


# -- one set of variables serves many rules, whichever came first

RULES = [
    'task.channel == "chat"',
    'task.language == "de" && task.attributes.topic == "billing"',
    "task == task",
    "has(task.attributes.region)",
    "task.attributes.region == 1",
    "customer.tier == null && message.text != null",
    "size(message) == 2",
    'skill("de") == 3',
    'agent.team == null && skill("de") == 3',
    "now == null",
]


@settings(deadline=None)
@given(st.lists(st.sampled_from(RULES), max_size=8))
def test_rules_do_not_depend_on_those_before(order: list[str]):
    given_values: dict[str, Any] = {name: SEEN.values[name] for name in NAMES.variables}
    shared = Variables(NAMES, given_values)
    for source in order:
        condition = compile_condition(source, NAMES, skills=True)
        assert condition.evaluate(shared) == condition.evaluate(Variables(NAMES, given_values))


@pytest.mark.parametrize("held", [True, False, None, "yes", 1, 0, {}, "absent"])
@pytest.mark.parametrize("declared", [frozenset({"held"}), frozenset[str]()])
def test_a_plain_flag_means_what_the_engine_says(held: Any, declared: frozenset[str]):
    names = Declared({"task": declared or None})
    values = {"task": {} if held == "absent" else {"held": held}}
    plain = compile_condition("task.held", names).evaluate(Variables(names, values))
    engine = compile_condition("(task.held)", names).evaluate(Variables(names, values))
    assert plain == engine
    assert plain.holds is (held is True)
