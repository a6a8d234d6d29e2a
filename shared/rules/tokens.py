"""The words of a CEL source and where they stand, for checks that CEL's own parser does not offer."""

import re
from typing import NamedTuple

# https://github.com/google/cel-spec/blob/master/doc/langdef.md#syntax
_TOKEN = re.compile(
    r"""
    (?P<space>\s+|//[^\n]*)
  | (?P<string>[bB]?[rR]  # raw: a backslash is nothing special there
        (?:'''.*?'''|\"\"\".*?\"\"\"|'[^'\n]*'|"[^"\n]*")
      |[bB]?
        (?:'''(?:\\.|[^\\])*?'''|\"\"\"(?:\\.|[^\\])*?\"\"\"
          |'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"))
  | (?P<number>0[xX][0-9a-fA-F]+[uU]?|(?:\d+\.\d+|\.\d+|\d+)(?:[eE][+-]?\d+)?[uU]?)
  | (?P<ident>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<op>&&|\|\||==|!=|<=|>=|[-+*/%<>!?:.,()\[\]{}])
    """,
    re.VERBOSE | re.DOTALL,
)

RESERVED = frozenset({"true", "false", "null", "in"})


class Token(NamedTuple):
    """`kind`: string, number, ident, op, or other for what is no CEL at all."""

    kind: str
    text: str
    start: int


def tokens(source: str) -> tuple[Token, ...]:
    """The source's tokens without spaces and comments. Never fails: CEL's parser judges syntax."""
    found: list[Token] = []
    at = 0
    while at < len(source):
        match = _TOKEN.match(source, at)
        if match is None:
            found.append(Token("other", source[at], at))
            at += 1
            continue
        if match.lastgroup != "space":
            found.append(Token(match.lastgroup or "other", match.group(), at))
        at = match.end()
    return tuple(found)


def string_value(text: str) -> str | None:
    """What a string literal stands for; None for bytes."""
    prefix = text[: len(text) - len(text.lstrip("bBrR"))].lower()
    if "b" in prefix:
        return None
    body = text[len(prefix) :]
    quote = 3 if body[:3] in ("'''", '"""') else 1
    body = body[quote:-quote]
    return body if "r" in prefix else _ESCAPE.sub(_unescape, body)


_ESCAPE = re.compile(
    r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-3][0-7]{2}|.)", re.DOTALL
)
_PLAIN = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}


def _unescape(match: re.Match[str]) -> str:
    what = match.group(1)
    if what[0] in "xXuU" and len(what) > 1:
        code = int(what[1:], 16)
        return chr(code) if code < 0x110000 else "\ufffd"
    if what.isdigit() and len(what) == 3:
        return chr(int(what, 8))
    return _PLAIN.get(what, what)
