"""What is wrong with a rule's source, with the place and what would be right."""

from collections.abc import Iterable
from difflib import get_close_matches


class RuleError(ValueError):
    """A source that is refused when it is written.

    `code` is stable (`cel_…`), `position` counts characters from 0, `expected` says what would be
    right where that is known.
    """

    def __init__(self, code: str, message: str, position: int = 0, expected: str | None = None):
        super().__init__(message)
        self.code = code
        self.message = message
        self.position = position
        self.expected = expected


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that looks most like `name`; None when none does."""
    found = get_close_matches(name, sorted(known), n=1, cutoff=0.6)
    return found[0] if found else None


NAMES_TOLD_MAX = 10


def known_names(name: str, known: Iterable[str]) -> str:
    """What would be right instead of `name`: the likeliest known name, else the first few of them."""
    names = sorted(known)
    if guess := nearest(name, names):
        return guess
    more = ", …" if len(names) > NAMES_TOLD_MAX else ""
    return f"one of {', '.join(names[:NAMES_TOLD_MAX])}{more}" if names else "there is none yet"
