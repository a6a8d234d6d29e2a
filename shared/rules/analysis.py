"""Reads a CEL source before it is accepted: which names and patterns it uses, and that it is bounded.

The checks stand on tokens, because CEL's package offers no syntax tree.
"""

from typing import NamedTuple

from shared.rules.faults import RuleError, nearest
from shared.rules.limits import (
    DEPTH_MAX,
    LIST_MAX_ITEMS,
    LITERAL_MAX_CHARS,
    LITERAL_MAX_ITEMS,
    MACRO_MAX_WEIGHT,
    MACROS_MAX,
    PATTERN_MAX_CHARS,
    PATTERN_MAX_WEIGHT,
    PLUS_IN_MACRO_MAX,
    PLUS_MAX,
    TEXT_MAX_CHARS,
    VALUES_MAX_CHARS,
)
from shared.rules.patterns import is_word_list, weight
from shared.rules.tokens import RESERVED, Token, string_value
from shared.rules.variables import Declared

MACROS = frozenset({"all", "exists", "exists_one", "map", "filter"})
METHODS = frozenset(
    {
        "contains", "startsWith", "endsWith", "matches", "size",
        "getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear",
        "getHours", "getMinutes", "getSeconds", "getMilliseconds",
    }
)  # fmt: skip
FUNCTIONS = frozenset(
    {"size", "has", "int", "uint", "double", "string", "bytes", "type", "dyn", "timestamp", "duration", "matches"}
)  # fmt: skip
SKILL = "skill"
TOKENS_A_WEIGHT = 20  # so many words and signs are evaluated in 10 µs
WORD_CHARS_A_WEIGHT = 10  # so many characters of a word list are looked for in 10 µs

Path = tuple[str, ...]


class Analysis(NamedTuple):
    """`paths`: every chain of names that the source reads, as far as it is fixed, with its place.
    `word_lists`: indexes of `matches` tokens whose pattern is a word list. `skills`: indexes of
    `skill` tokens. `weight`: about how long it takes at worst, in 10 µs."""

    paths: tuple[tuple[Path, int], ...]
    word_lists: frozenset[int]
    skills: frozenset[int]
    weight: int = 0


class _Frame:
    """An open bracket: the macro it belongs to, its bound name, its commas."""

    __slots__ = ("bound", "commas", "index", "macro", "plus")

    def __init__(self, index: int, macro: str | None, bound: str | None) -> None:
        self.index, self.macro, self.bound = index, macro, bound
        self.commas = self.plus = 0


class Analyser:
    """One pass over the tokens of one source."""

    def __init__(self, found: tuple[Token, ...], declared: Declared, *, skills: bool) -> None:
        self._tokens = found
        self._declared = declared
        self._skill_allowed = skills
        self._frames: list[_Frame] = []
        self._macros = self._plus = self._weight = self._in_macros = self._words_weight = 0
        self._paths: list[tuple[Path, int]] = []
        self._word_lists: set[int] = set()
        self._skills: set[int] = set()

    def run(self) -> Analysis:
        """Raises RuleError at the first fault."""
        for index, token in enumerate(self._tokens):
            self._in_macros += self._macro_frame() is not None
            match token.kind:
                case "string":
                    self._string(token)
                case "ident":
                    self._ident(index, token)
                case "op":
                    self._op(index, token)
                case "other":
                    raise self._no_cel(token)
                case _:
                    pass
        return Analysis(
            tuple(self._paths),
            frozenset(self._word_lists),
            frozenset(self._skills),
            self._weight + self._words_weight + self._weight_of_macros(),
        )

    def _no_cel(self, token: Token) -> RuleError:
        """What the engine reads otherwise than this class would be judged otherwise, too."""
        return RuleError("cel_syntax", f"{token.text!r} is no sign of CEL", token.start)

    def _weight_of_macros(self) -> int:
        """Each addition may make the lists one list longer. Raises RuleError."""
        times = LIST_MAX_ITEMS * (1 + self._plus)
        found = self._in_macros * times // TOKENS_A_WEIGHT
        if found > MACRO_MAX_WEIGHT:
            raise RuleError(
                "cel_costly_macro",
                f"the macros of this rule are too costly: {self._in_macros} words and signs in them, "
                f"for up to {times} items",
                0,
                "shorter macros, or fewer additions beside them",
            )
        return found

    # -- looking around

    def _text(self, index: int) -> str:
        return self._tokens[index].text if 0 <= index < len(self._tokens) else ""

    def _macro_frame(self) -> _Frame | None:
        return next((frame for frame in reversed(self._frames) if frame.macro), None)

    # -- kinds of token

    def _string(self, token: Token) -> None:
        if len(token.text) > LITERAL_MAX_CHARS:
            raise RuleError(
                "cel_literal_too_long",
                f"a text in the rule is longer than {LITERAL_MAX_CHARS} characters",
                token.start,
                f"at most {LITERAL_MAX_CHARS} characters",
            )

    def _ident(self, index: int, token: Token) -> None:
        member = self._text(index - 1) == "."
        if self._text(index + 1) == "(":
            self._call(index, token, member)
        elif not member and token.text not in RESERVED:
            self._name(index, token)

    def _op(self, index: int, token: Token) -> None:
        if token.text in ("(", "[", "{"):
            self._open(index)
        elif token.text in (")", "]", "}") and self._frames:
            self._frames.pop()
        elif token.text == "," and self._frames:
            self._comma(token)
        elif token.text == "+":
            self._addition(token)

    # -- brackets

    def _open(self, index: int) -> None:
        if len(self._frames) >= DEPTH_MAX:
            raise RuleError(
                "cel_too_complex",
                f"more than {DEPTH_MAX} brackets in brackets",
                self._tokens[index].start,
            )
        called = self._text(index - 1) if self._text(index) == "(" else ""
        macro = called if called in MACROS and self._text(index - 2) == "." else None
        enclosing = self._macro_frame()
        if enclosing and enclosing.macro == "map" and self._is_literal(index):
            raise self._costly("lists and maps cannot be built inside .map", index)
        self._frames.append(_Frame(index, macro, self._text(index + 1) if macro else None))

    def _is_literal(self, index: int) -> bool:
        """A bracket that builds a list or a map, not an index or a call."""
        if self._text(index) == "(":
            return False
        before = self._tokens[index - 1] if index else None
        return before is None or (before.kind == "op" and before.text not in (")", "]", "}"))

    def _comma(self, token: Token) -> None:
        frame = self._frames[-1]
        frame.commas += 1
        if frame.commas >= LITERAL_MAX_ITEMS:
            raise RuleError(
                "cel_literal_too_long",
                f"a list in the rule has more than {LITERAL_MAX_ITEMS} items",
                token.start,
                f"at most {LITERAL_MAX_ITEMS} items",
            )

    def _addition(self, token: Token) -> None:
        self._plus += 1
        if self._plus > PLUS_MAX:
            raise RuleError("cel_too_complex", f"more than {PLUS_MAX} additions", token.start)
        macro = self._macro_frame()
        if macro:
            macro.plus += 1
            if macro.plus > PLUS_IN_MACRO_MAX:
                raise RuleError(
                    "cel_costly_macro",
                    f"more than {PLUS_IN_MACRO_MAX} additions inside .{macro.macro}",
                    token.start,
                )

    def _costly(self, message: str, index: int) -> RuleError:
        return RuleError("cel_costly_macro", message, self._tokens[index].start)

    # -- names

    def _call(self, index: int, token: Token, member: bool) -> None:
        name = token.text
        if member and name in MACROS:
            self._macro(index, token)
        elif name == "matches" and (member or name in FUNCTIONS):
            self._pattern(index, member)
        elif not member and name == SKILL and self._skill_allowed:
            self._skills.add(index)
        elif name not in (METHODS if member else FUNCTIONS):
            raise self._unknown_function(token, member)

    def _unknown_function(self, token: Token, member: bool) -> RuleError:
        plain = FUNCTIONS | {SKILL} if self._skill_allowed else FUNCTIONS
        known = METHODS | MACROS if member else plain
        guess = nearest(token.text, known)
        return RuleError(
            "cel_unknown_function",
            f"there is no function {token.text!r}",
            token.start,
            guess or f"one of {', '.join(sorted(known))}",
        )

    def _macro(self, index: int, token: Token) -> None:
        outer = self._macro_frame()
        if outer:
            raise RuleError(
                "cel_nested_macro",
                f".{token.text} stands inside .{outer.macro}; macros cannot be nested",
                token.start,
                "one macro after another",
            )
        self._macros += 1
        if self._macros > MACROS_MAX:
            raise RuleError("cel_too_complex", f"more than {MACROS_MAX} macros", token.start)

    def _name(self, index: int, token: Token) -> None:
        path = self._path(index)
        macro = self._macro_frame()
        if macro and token.text == macro.bound:
            return
        self._check_declared(path, token)
        if macro and macro.macro == "map":
            raise self._costly(f".map may only use its own name {macro.bound!r}", index)
        self._paths.append((path, token.start))

    def _path(self, index: int) -> Path:
        names = [self._text(index)]
        at = index + 1
        while True:
            if self._text(at) == "." and self._text(at + 2) != "(":
                names.append(self._text(at + 1))
                at += 2
            elif self._text(at) == "[" and self._text(at + 2) == "]":
                key = self._tokens[at + 1]
                value = string_value(key.text) if key.kind == "string" else None
                if value is None:
                    return tuple(names)
                names.append(value)
                at += 3
            else:
                return tuple(names)

    def _check_declared(self, path: Path, token: Token) -> None:
        known = self._declared.variables
        if path[0] not in known:
            guess = nearest(path[0], known)
            expected = guess or f"one of {', '.join(sorted(known))}"
            raise self._unknown(path[:1], token, expected)
        fields = known[path[0]]
        if fields is not None and len(path) > 1 and path[1] not in fields:
            guess = nearest(path[1], fields)
            expected = f"{path[0]}.{guess}" if guess else f"one of {', '.join(sorted(fields))}"
            raise self._unknown(path[:2], token, expected)

    def _unknown(self, path: Path, token: Token, expected: str) -> RuleError:
        name = ".".join(path)
        return RuleError("cel_unknown_variable", f"there is no {name!r}", token.start, expected)

    # -- patterns

    def _pattern(self, index: int, member: bool) -> None:
        at = index + 2 if member else self._second_argument(index + 1)
        literal = self._tokens[at] if 0 < at < len(self._tokens) else None
        if literal is None or literal.kind != "string" or self._text(at + 1) != ")":
            raise RuleError(
                "cel_dynamic_pattern",
                "the pattern of matches must be written out in the rule",
                self._tokens[index].start,
                "a text in quotes",
            )
        self._judge(index, literal, string_value(literal.text) or "")

    def _second_argument(self, index: int) -> int:
        depth = 0
        for at in range(index, len(self._tokens)):
            text = self._text(at)
            depth += (text in ("(", "[", "{")) - (text in (")", "]", "}"))
            if depth == 1 and text == ",":
                return at + 1
        return -1

    def _judge(self, index: int, literal: Token, pattern: str) -> None:
        if len(pattern) > PATTERN_MAX_CHARS:
            raise RuleError(
                "cel_literal_too_long",
                f"the pattern is longer than {PATTERN_MAX_CHARS} characters",
                literal.start,
                f"at most {PATTERN_MAX_CHARS} characters",
            )
        if is_word_list(pattern):
            self._word_list(index, literal, pattern)
            return
        self._weight += weight(pattern)
        if self._weight > PATTERN_MAX_WEIGHT:
            raise RuleError(
                "cel_costly_pattern",
                "the patterns of this rule are too costly to match",
                literal.start,
                "fewer repetitions of \\w, \\p and counted groups",
            )
        if self._macro_frame():
            raise RuleError(
                "cel_costly_macro",
                "inside a macro, matches takes only words separated by |",
                literal.start,
                "a pattern without repetition or classes",
            )

    def _word_list(self, index: int, literal: Token, pattern: str) -> None:
        macro = self._macro_frame()
        if macro and macro.plus:  # a new text for each item
            raise RuleError(
                "cel_costly_macro",
                "beside matches inside a macro there may be no additions",
                literal.start,
                "additions in another rule",
            )
        texts = VALUES_MAX_CHARS // TEXT_MAX_CHARS if macro else 1
        self._words_weight += texts * (1 + len(pattern) // WORD_CHARS_A_WEIGHT)
        self._word_lists.add(index)
