"""Patterns of `matches`: what they may cost, and a fast way for those that are plain word lists.

CEL's engine (linear in the text) compiles a pattern anew at every call: 20 µs to 300 µs for a list
of words, many milliseconds for repeated Unicode classes. Word lists are looked for here; all others
are weighed when the rule is written.
"""

import re
from functools import lru_cache

from shared.rules.limits import TEXT_MAX_CHARS

# No repetition of any kind: cannot backtrack more than the pattern is long.
_WORD_LIST = re.compile(r"(?:\(\?i\))?(?:[^\W_]|[ _\-',:;!@#&%\"<>=~/|]|\\b)*\Z")
_BOUNDARY = "\\b"
_FOLDING = "(?i)"
# The engine takes spaces within the braces.
_REPEAT = re.compile(r"\{\s*(\d+)\s*(,\s*(\d*)\s*)?\}")
_HEAVY = "wWpPbB"  # Unicode tables
_MEDIUM = "dDsS"
FOUND_KEPT = 1_024
FOLDS_KEPT = 8_192


def is_word_list(pattern: str) -> bool:
    """Whether only letters, digits, harmless signs, `|`, `\\b` and a leading `(?i)` occur."""
    return _WORD_LIST.match(pattern) is not None


class _Words:
    """A word list, searched for as `re` would: what `re` does in 15 ms for fifty words in a long text
    takes 50 µs to 1 ms, since a word that is not there is not there as a text either."""

    __slots__ = ("_folds", "_words")

    def __init__(self, pattern: str) -> None:
        self._folds = pattern.startswith(_FOLDING)
        flags = re.IGNORECASE if self._folds else 0
        self._words: list[tuple[str, re.Pattern[str] | None]] = []
        for word in dict.fromkeys(pattern.removeprefix(_FOLDING).split("|")):
            bare = word.replace(_BOUNDARY, "")
            exact = re.compile(word, flags) if _BOUNDARY in word else None
            self._words.append((folded(bare) if self._folds else bare, exact))

    def are_in(self, text: str) -> bool:
        within = folded(text) if self._folds else text
        for bare, exact in self._words:
            if bare in within and (exact is None or exact.search(text) is not None):
                return True
        return False


class _Folds(dict[int, int]):
    """What each character is compared as when case does not matter, as `re` has it."""

    def __missing__(self, code: int) -> int:
        lower = "i" if code == 0x130 else chr(code).lower()
        upper = lower.upper()
        known = upper.lower() if len(upper) == 1 else lower
        if len(self) >= FOLDS_KEPT:
            self.clear()
        found = self[code] = _ALIKE.get(ord(known), ord(known))
        return found


# Alike for `re` though no single capital is common to them.
_ALIKE = {0x1FD3: 0x390, 0x1FE3: 0x3B0, 0xFB06: 0xFB05}
_FOLDS = _Folds()


@lru_cache(maxsize=16)
def folded(text: str) -> str:
    """`text` so that two that differ in case alone are equal; as many characters as before."""
    return text.lower() if text.isascii() else text.translate(_FOLDS)


@lru_cache(maxsize=1024)
def _words(pattern: str) -> _Words:
    return _Words(pattern)


@lru_cache(maxsize=FOUND_KEPT)
def _are_in(text: str, pattern: str) -> bool:
    """Remembered: within a macro the same is asked for each item."""
    return _words(pattern).are_in(text)


def matches_words(text: object, pattern: object) -> bool | None:
    """`matches` for word lists, called from CEL. None (an error there) when the text is no string."""
    if not isinstance(text, str) or not isinstance(pattern, str):
        return None
    return _are_in(text[:TEXT_MAX_CHARS], pattern)


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
