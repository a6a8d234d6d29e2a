"""What is refused when a rule is written, and that what is accepted cannot take long."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.rules import Declared, RuleError, Variables, compile_condition, compile_value
from shared.rules.limits import SOURCE_MAX_CHARS
from shared.rules.patterns import folded, is_word_list, matches_words, weight

NAMES = Declared(
    {
        "task": frozenset({"channel", "language", "attributes"}),
        "message": frozenset({"text"}),
    }
)


@pytest.mark.parametrize(
    ("source", "code", "position", "expected"),
    [
        ("1 +", "cel_syntax", 3, "a value or a name"),
        ("true &&\n  ) false", "cel_syntax", 10, None),
        ('"open', "cel_syntax", 0, None),
        ("  ", "cel_empty", 0, "a CEL expression"),
        ('task.chanel == "chat"', "cel_unknown_variable", 0, "task.channel"),
        ('true && tsk.channel == "x"', "cel_unknown_variable", 8, "task"),
        ("has(task.chanel)", "cel_unknown_variable", 4, "task.channel"),
        ('task["chanel"] == 1', "cel_unknown_variable", 0, "task.channel"),
        ("task.attributes.a.all(x, y == 1)", "cel_unknown_variable", 25, "one of message, task"),
        ("siz(task.channel) > 1", "cel_unknown_function", 0, "size"),
        ('task.channel.startWith("c")', "cel_unknown_function", 13, "startsWith"),
        ("[1].all(x, [1].exists(y, x == y))", "cel_nested_macro", 15, "one macro after another"),
        (
            "[[1]].all(x, x.filter(y, y > 0) == x)",
            "cel_nested_macro",
            15,
            "one macro after another",
        ),
        (
            'task.channel == "' + "a" * 300 + '"',
            "cel_literal_too_long",
            16,
            "at most 256 characters",
        ),
        ("1 in [" + "1," * 70 + "1]", "cel_literal_too_long", 133, "at most 64 items"),
        ('message.text.matches("(")', "cel_bad_pattern", 21, "unclosed group"),
        ("message.text.matches(task.channel)", "cel_dynamic_pattern", 13, "a text in quotes"),
        ('message.text.matches("a" + "b")', "cel_dynamic_pattern", 13, "a text in quotes"),
        (
            'message.text.matches("' + "a" * 201 + '")',
            "cel_literal_too_long",
            21,
            "at most 200 characters",
        ),
        ("1 == " + "+".join("1" * 30), "cel_too_complex", 46, None),
        ("[1].map(x, x + x + x + x) == []", "cel_costly_macro", 21, None),
        ("[1].map(x, task.attributes) == []", "cel_costly_macro", 11, None),
        ("[1].map(x, [x, x]) == []", "cel_costly_macro", 11, None),
        ("[" * 30 + "]" * 30 + " == 1", "cel_too_complex", 24, None),
        # In raw texts a backslash escapes no quotation mark.
        (
            r"r'\' == r'\' && [1].all(x, [2].all(y, x < y)) && r'\' == r'\'",
            "cel_nested_macro",
            31,
            "one macro after another",
        ),
        (
            "task.attributes.l.exists(x, " + "||".join(["x == 1"] * 180) + ") && 1 + 1 + 1 > 2",
            "cel_costly_macro",
            0,
            "shorter macros, or fewer additions beside them",
        ),
        (
            '["a"].exists(x, (x + message.text).matches("a|b"))',
            "cel_costly_macro",
            43,
            "additions in another rule",
        ),
        ("x" * (SOURCE_MAX_CHARS + 1), "cel_too_long", SOURCE_MAX_CHARS, "at most 2000 characters"),
    ],
)
def test_refused_with_the_place(source: str, code: str, position: int, expected: str | None):
    with pytest.raises(RuleError) as refused:
        compile_condition(source, NAMES)
    assert (refused.value.code, refused.value.position) == (code, position)
    if expected:
        assert refused.value.expected == expected


@pytest.mark.parametrize("source", ["skill()", 'skill("a", "b") > 1', "skill(size([1, 2]), 1) > 0"])
def test_skill_takes_one_name(source: str):
    with pytest.raises(RuleError) as refused:
        compile_condition(source, Declared({"agent": None}), skills=True)
    assert refused.value.code == "cel_arguments"


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_value_is_finite(number: float):
    with pytest.raises(RuleError, match="not finite"):
        compile_value(number, NAMES)


@pytest.mark.parametrize(
    "pattern",
    [
        "\\\\w{100}",
        "(?i)\\\\w{60}b",
        "((a{30}){30}){30}",
        "(\\\\w{3}[)]\\\\w{3}){100}",
        "(?:[(]\\\\w{9}){90}",
        "[\\\\w\\\\W\\\\pL]{90}",
        "a{1000}",
        "(a|b){999999999999}",
        "\\\\w{ 200 }",
        "(?x)\\\\w{ 1 , 200 }",
    ],
)
def test_costly_patterns_are_refused(pattern: str):
    with pytest.raises(RuleError) as refused:
        compile_condition(f'message.text.matches("{pattern}")', NAMES)
    assert refused.value.code == "cel_costly_pattern"


def test_costs_of_patterns_add_up():
    part = 'message.text.matches("\\\\w{9}")'
    compile_condition(part, NAMES)
    with pytest.raises(RuleError) as refused:
        compile_condition(" || ".join([part] * 3), NAMES)
    assert refused.value.code == "cel_costly_pattern"


@pytest.mark.parametrize(
    ("pattern", "cost"), [("abc", 3), ("(ab){3}", 6), ("\\w", 20), ("[a-z]+", 2), ("a{2,5}b", 6)]
)
def test_weights(pattern: str, cost: int):
    assert weight(pattern) == cost


LARGE = Variables(
    NAMES,
    {
        "task": {
            "attributes": {
                "list": list(range(10_000)),
                "texts": ["a" * 3_000] * 5,
                "nested": [[["x"] * 8] * 8] * 8,
                "wide": {f"k{number}": number for number in range(1_000)},
            }
        },
        "message": {"text": "a" * 100_000},
    },
)
LIST = "task.attributes.list"
WORDS = "(?i)" + "|".join(f"a{letter}b" for letter in "bcdefghijklmnopqrstuvwxyz" * 2)[:190]
CPU_MAX_S = 0.05  # measured: at most 4 ms; the margin is for slow machines


@pytest.mark.parametrize(
    "source",
    [
        f"{LIST}.all(x, x in {LIST})",
        f"{LIST}.map(x, x + x + x) == []",
        f"{LIST}.filter(x, x > 0).map(y, y).filter(z, true).all(w, true)",
        f"task.attributes.nested.map(x, x).map(y, y) == {LIST}",
        f"{LIST}.exists(x, task.attributes.texts.size() + x + x > 1000)",
        f"{LIST}.all(x, task.attributes == task.attributes)",
        "+".join(["message.text"] * 20) + ' == "a"',
        "+".join([LIST] * 20) + " == []",
        'message.text.matches("(?i)' + "|".join(f"word{number}" for number in range(20)) + '")',
        'message.text.matches("(a*)*b")',
        'message.text.matches("(a|aa)+b")',
        'message.text.matches("(?i)\\\\w{14}b")',
        'task.attributes.texts.exists(t, t.matches("(?i)ab|ba|aab"))',
        f"{LIST}.exists(x, " + "||".join([f'message.text.matches("{WORDS}")'] * 7) + ")",
        f"({'+'.join([LIST] * 8)}).exists(x, message.text.matches('{WORDS}'))",
        " && ".join(['message.text.contains("ab") == false'] * 40),
        "!" * 1_000 + "true",
    ],
)
def test_nothing_accepted_takes_long(source: str):
    condition = compile_condition(source, NAMES)
    condition.evaluate(LARGE)
    assert min(_seconds(condition) for _ in range(3)) < CPU_MAX_S


def _seconds(condition: object) -> float:
    started = time.thread_time()
    condition.evaluate(LARGE)  # type: ignore[attr-defined]
    return time.thread_time() - started


def test_a_thousand_refusals_take_no_time():
    """Deep brackets and long runs must not blow up the parser either."""
    started = time.thread_time()
    for source in (
        "(" * 1_900,
        "[1," * 600,
        "a" + "[b" * 900,
        "1?1:" * 450,
        "{" * 1_500,
        "-" * 1_999,
    ):
        with pytest.raises(RuleError):
            compile_condition(source, NAMES)
    assert time.thread_time() - started < 1


LETTERS = st.sampled_from("aAbBiIİısſSkK\u212aµμßẞςσΣéÉ _")
WORD = st.lists(LETTERS | st.just("\\b"), max_size=4).map("".join)


@settings(max_examples=300, deadline=None)
@given(st.lists(WORD, min_size=1, max_size=4), st.booleans(), st.text(LETTERS, max_size=12))
def test_word_lists_find_what_re_finds(words: list[str], folds: bool, text: str):
    pattern = ("(?i)" if folds else "") + "|".join(words)
    assert is_word_list(pattern)
    assert matches_words(text, pattern) is (re.search(pattern, text) is not None)


def test_characters_are_folded_as_re_folds_them():
    """All that `re` takes for one another are one, and nothing else."""
    alike: dict[str, set[str]] = {}
    for code in range(0x110000):
        char = chr(code)
        if char.lower() != char or char.upper() != char:
            alike.setdefault(folded(char), set()).add(char)
    for chars in alike.values():
        one = re.compile(min(chars), re.IGNORECASE)
        assert all(one.fullmatch(char) for char in chars), chars
    for one, other in (("\u0390", "\u1fd3"), ("\u03b0", "\u1fe3"), ("\ufb05", "\ufb06")):
        assert folded(one) == folded(other)
