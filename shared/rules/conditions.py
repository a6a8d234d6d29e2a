"""Rules that customers write in CEL: compiled once, bounded, and never an exception at run time."""

import math
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import cel

from shared.rules.analysis import Analyser, Analysis, Path
from shared.rules.faults import RuleError
from shared.rules.limits import SOURCE_MAX_CHARS
from shared.rules.tokens import Token, tokens
from shared.rules.variables import WORDS_FUNCTION, Declared, Needs, Variables, look_up

_SYNTAX = re.compile(r"ERROR: <input>:(\d+):(\d+): (?:Syntax error: )?([^\n]*)")
_NO_TOKEN = "token recognition error at:"
_EXPECTING = re.compile(r"(.*?),? expecting (.*)\Z", re.DOTALL)


class Verdict(NamedTuple):
    """`missing`: what the rule asked for and did not find (the whole condition is then false);
    `error`: any other reason why it could not be decided."""

    holds: bool
    missing: str | None = None
    error: str | None = None


YES = Verdict(True)
NO = Verdict(False)


class _Failure(NamedTuple):
    missing: str | None
    error: str


class _Rule:
    __slots__ = ("_absent_as", "_program", "needs", "paths", "source", "weight")

    def __init__(self, source: str, program: cel.Program, analysis: Analysis) -> None:
        self.source = source
        self.paths: tuple[Path, ...] = tuple(dict.fromkeys(path for path, _ in analysis.paths))
        self.needs = _needs(self.paths, bool(analysis.skills))
        self.weight = analysis.weight
        self._program = program
        self._absent_as = "skill " if analysis.skills else ""

    def _run(self, variables: Variables) -> Any:
        return self._run_in(variables.context_for(self.needs), lambda: variables.values)

    def _run_in(self, context: cel.Context, values: Callable[[], dict[str, Any]]) -> Any:
        """The result, or a _Failure. `values` is asked only to name what is missing."""
        try:
            return self._program.execute(context)
        except KeyError as error:
            return self._absent(str(error).strip("\"'"), values())
        except Exception as error:
            return self._undecided(error, values())
        except BaseException as error:
            if type(error).__name__ != "PanicException":  # what a fault inside the engine raises
                raise
            return _Failure(None, "the rule could not be evaluated")

    def _absent(self, name: str, values: dict[str, Any]) -> _Failure:
        for path in self.paths:
            if name in path and not _resolves(path, values):
                return _Failure(".".join(path), f"{'.'.join(path)} is not there")
        return _Failure(f"{self._absent_as}{name}", f"{self._absent_as}{name} is not there")

    def _undecided(self, error: Exception, values: dict[str, Any]) -> _Failure:
        for path in self.paths:
            if _is_null(path, values):
                return _Failure(".".join(path), f"{'.'.join(path)} is null")
        return _Failure(None, str(error).partition(":")[0])


class Condition(_Rule):
    """A compiled `when`. `paths` are the names it reads."""

    __slots__ = ("_flag",)

    def __init__(self, source: str, program: cel.Program, analysis: Analysis) -> None:
        super().__init__(source, program, analysis)
        plain = len(self.paths) == 1 and len(self.paths[0]) == 2 and not analysis.skills
        self._flag = self.paths[0] if plain and source.strip() == ".".join(self.paths[0]) else None

    def evaluate(self, variables: Variables) -> Verdict:
        """Whether it holds. Anything missing makes the whole condition false, under `!` too."""
        if self._flag is not None:  # "task.held": most of what is asked, and no engine is needed
            flag = variables.flag(*self._flag)
            if flag is not None:
                return YES if flag else NO
        return _verdict(self._run(variables))

    def evaluate_in(self, context: cel.Context, values: Callable[[], dict[str, Any]]) -> Verdict:
        """The same with a context that the caller prepared from these (bounded) values."""
        return _verdict(self._run_in(context, values))


def _verdict(result: Any) -> Verdict:
    if result is True:
        return YES
    if isinstance(result, _Failure):
        return Verdict(False, result.missing, result.error)
    return NO


class Value(_Rule):
    """A compiled number."""

    def evaluate(self, variables: Variables) -> int | float:
        """The number; 0 when it fails or is none."""
        return self.detail(variables)[0]

    def detail(self, variables: Variables) -> tuple[int | float, str | None]:
        """The number, and why it is 0 when it could not be found."""
        result = self._run(variables)
        if isinstance(result, _Failure):
            return 0, result.error
        if isinstance(result, bool) or not isinstance(result, int | float):
            return 0, "the result is no number"
        return (result, None) if math.isfinite(result) else (0, "the result is not finite")


class Expression(_Rule):
    """A compiled expression of any type."""

    def evaluate_in(
        self, context: cel.Context, values: Callable[[], dict[str, Any]]
    ) -> tuple[Any, str | None]:
        """(the result, None), or (None, why there is none), in a context that the caller prepared
        from these values."""
        result = self._run_in(context, values)
        return (None, result.error) if isinstance(result, _Failure) else (result, None)


class Constant:
    """A number that was written as such; stands where a Value could."""

    __slots__ = ("number",)
    paths: tuple[Path, ...] = ()
    weight = 0

    def __init__(self, number: int | float) -> None:
        self.number = number

    @property
    def source(self) -> str:
        return str(self.number)

    def evaluate(self, variables: Variables) -> int | float:
        return self.number

    def detail(self, variables: Variables) -> tuple[int | float, str | None]:
        return self.number, None


@lru_cache(maxsize=4096)
def compile_condition(source: str, declared: Declared, *, skills: bool = False) -> Condition:
    """The condition that `source` states. With `skills`, `skill(name)` is the level that
    `agent.skills` has, and `agent` must be declared.

    Raises RuleError with the place of the fault.
    """
    program, analysis = _compile(source, declared, skills, "({}\n) == true")
    return Condition(source, program, analysis)


def compile_value(source: str | int | float, declared: Declared) -> Value | Constant:
    """The number that `source` is or states. Raises RuleError."""
    if isinstance(source, str):
        return _compile_value(source, declared)
    if not math.isfinite(source):
        raise RuleError("not_finite", "the number is not finite", 0, "a finite number")
    return Constant(source)


@lru_cache(maxsize=4096)
def compile_expression(source: str, declared: Declared) -> Expression:
    """What `source` states, of any type. Raises RuleError with the place of the fault."""
    program, analysis = _compile(source, declared, False, "{}")
    return Expression(source, program, analysis)


@lru_cache(maxsize=4096)
def _compile_value(source: str, declared: Declared) -> Value:
    program, analysis = _compile(source, declared, False, "{}")
    return Value(source, program, analysis)


def _compile(
    source: str, declared: Declared, skills: bool, frame: str
) -> tuple[cel.Program, Analysis]:
    _check_size(source)
    _parse(source)
    found = tokens(source)
    analysis = Analyser(found, declared, skills=skills).run()
    _try_patterns(found, analysis)
    return _parse(frame.replace("{}", _rewrite(source, found, analysis))), analysis


def _check_size(source: str) -> None:
    if len(source) > SOURCE_MAX_CHARS:
        raise RuleError(
            "cel_too_long",
            f"the rule has {len(source)} characters",
            SOURCE_MAX_CHARS,
            f"at most {SOURCE_MAX_CHARS} characters",
        )
    if not source.strip():
        raise RuleError("cel_empty", "the rule is empty", 0, "a CEL expression")


def _parse(source: str) -> cel.Program:
    try:
        return cel.compile(source)
    except Exception as error:
        raise _syntax_error(source, str(error)) from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise RuleError("cel_syntax", "the rule is no valid CEL") from None


def _syntax_error(source: str, report: str) -> RuleError:
    match = _SYNTAX.search(report)
    if match is None:
        return RuleError("cel_syntax", "the rule is no valid CEL")
    line, column, text = int(match[1]), int(match[2]), match[3]
    position = sum(len(row) + 1 for row in source.split("\n")[: line - 1]) + column - 1
    split = _EXPECTING.match(text)
    message, wanted = (split[1], split[2]) if split else (text, None)
    if "'<EOF>'" in message:
        message = "the rule ends too early"
    elif message.startswith(_NO_TOKEN):
        message = f"{message.removeprefix(_NO_TOKEN).strip()} is no sign of CEL"
    expected = "a value or a name" if wanted and "IDENTIFIER" in wanted else wanted
    return RuleError("cel_syntax", message[:200], max(0, position), expected and expected[:200])


def _try_patterns(found: tuple[Token, ...], analysis: Analysis) -> None:
    """Refuses patterns that the engine would refuse at run time."""
    for index, token in enumerate(found):
        if token.kind != "ident" or token.text != "matches" or index in analysis.word_lists:
            continue
        literal = next(word for word in reversed(found[: _closing(found, index + 1)]) if word)
        try:
            cel.evaluate(f'"".matches({literal.text})')
        except Exception as error:
            raise RuleError(
                "cel_bad_pattern",
                "the pattern is no valid regular expression",
                literal.start,
                _last_line(str(error)),
            ) from None


def _last_line(report: str) -> str:
    lines = [line for line in report.splitlines() if line.startswith("error:")]
    return lines[0].removeprefix("error:").partition(". Check")[0].strip() if lines else "a pattern"


def _closing(found: tuple[Token, ...], opening: int) -> int:
    """Index of the bracket that closes the one at `opening`."""
    depth = 0
    for at in range(opening, len(found)):
        text = found[at].text
        depth += (text in ("(", "[", "{")) - (text in (")", "]", "}"))
        if depth == 0:
            return at
    return len(found)


def _rewrite(source: str, found: tuple[Token, ...], analysis: Analysis) -> str:
    """The source with word lists' `matches` and `skill(…)` replaced by what the engine does fast."""
    changed: dict[int, str] = dict.fromkeys(analysis.word_lists, WORDS_FUNCTION)
    for index in analysis.skills:
        end = _closing(found, index + 1)
        _check_skill(found, index, end)
        changed |= {index: "agent.skills", index + 1: "[", end: "]"}
    parts: list[str] = []
    at = 0
    for index in sorted(changed):
        token = found[index]
        parts += [source[at : token.start], changed[index]]
        at = token.start + len(token.text)
    return "".join([*parts, source[at:]])


def _check_skill(found: tuple[Token, ...], index: int, end: int) -> None:
    inside = found[index + 2 : end]
    depth = 0
    for token in inside:
        depth += (token.text in ("(", "[", "{")) - (token.text in (")", "]", "}"))
        if token.text == "," and depth == 0:
            break
    else:
        if inside:
            return
    raise RuleError("cel_arguments", "skill takes one name", found[index].start, 'skill("billing")')


def _needs(paths: tuple[Path, ...], skills: bool) -> Needs:
    """The first-level fields of each variable that the rule reads."""
    found: dict[str, frozenset[str] | None] = {}
    for root, *rest in (*paths, *((("agent", "skills"),) if skills else ())):
        known = found.get(root, frozenset())
        found[root] = None if not rest or known is None else known | {rest[0]}
    return tuple(found.items())


def _resolves(path: Path, values: dict[str, Any]) -> bool:
    try:
        look_up(path, values)
    except KeyError:
        return False
    return True


def _is_null(path: Path, values: dict[str, Any]) -> bool:
    return _resolves(path, values) and look_up(path, values) is None
