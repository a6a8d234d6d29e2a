"""Patterns of `matches`: what they may cost, and a fast way for those that are plain word lists.

CEL's engine (linear in the text) compiles a pattern anew at every call: 20 µs to 300 µs for a list
of words, many milliseconds for repeated Unicode classes. Word lists are matched by a compiled
pattern kept from call to call; all others are weighed when the rule is written.
"""

import re
from functools import lru_cache

from shared.rules.limits import TEXT_MAX_CHARS

# No repetition of any kind: cannot backtrack more than the pattern is long.
_WORD_LIST = re.compile(r"(?:\(\?i\))?(?:[^\W_]|[ _\-',:;!@#&%\"<>=~/|]|\\b)*\Z")
_REPEAT = re.compile(r"\{(\d+)(,(\d*))?\}")
_HEAVY = "wWpPbB"  # Unicode tables
_MEDIUM = "dDsS"


def is_word_list(pattern: str) -> bool:
    """Whether only letters, digits, harmless signs, `|`, `\\b` and a leading `(?i)` occur."""
    return _WORD_LIST.match(pattern) is not None


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def matches_words(text: object, pattern: object) -> bool | None:
    """`matches` for word lists, called from CEL. None (an error there) when the text is no string."""
    if not isinstance(text, str) or not isinstance(pattern, str):
        return None
    return _compiled(pattern).search(text[:TEXT_MAX_CHARS]) is not None


def weight(pattern: str) -> int:
    """About how dear compiling and matching is; one unit is some 10 µs."""
    before: list[int] = []  # weight of what stands before each open group
    total, last, at = 0, 0, 0
    while at < len(pattern):
        char = pattern[at]
        repeat = _REPEAT.match(pattern, at) if char == "{" else None
        if repeat:
            total += last * (_times(repeat) - 1)
            last *= _times(repeat)
            at = repeat.end()
        elif char == "(":
            before.append(total)
            total, last, at = 0, 0, at + 1
        elif char == ")" and before:
            total, last, at = before.pop() + total, total, at + 1
        elif char in "*+":
            total, last, at = total + last, 2 * last, at + 1
        else:
            last, at = _atom(pattern, at)
            total += last
    return total + sum(before)


def _atom(pattern: str, at: int) -> tuple[int, int]:
    """Weight of the escape, class or character at `at`, and where it ends."""
    if pattern[at] == "\\":
        return _escape_weight(pattern[at + 1 : at + 2]), at + 2
    if pattern[at] == "[":
        return _class(pattern, at + 1)
    return 1, at + 1


def _class(pattern: str, at: int) -> tuple[int, int]:
    """Weight and end of a bracketed class whose inside begins at `at`."""
    total, start = 1, at
    while at < len(pattern):
        char = pattern[at]
        if char == "]" and pattern[start:at] not in ("", "^"):
            return total, at + 1
        if char == "[":
            inner, at = _class(pattern, at + 1)
            total += inner
        elif char == "\\":
            total, at = total + _escape_weight(pattern[at + 1 : at + 2]), at + 2
        else:
            at += 1
    return total, at


def _escape_weight(char: str) -> int:
    if char and char in _HEAVY:
        return 20
    return 3 if char and char in _MEDIUM else 1


def _times(repeat: re.Match[str]) -> int:
    most = repeat.group(3) or repeat.group(1)
    return min(int(most), 10_000) if len(most) < 6 else 10_000
