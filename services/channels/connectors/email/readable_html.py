"""HTML as the text that a person reads in it: one pass over tags, in time linear in its length.

Mail's HTML is not well-formed, so nothing is expected to be closed or in its place. Quoted history,
marked as such by mail programs, gets the ">" of plain text, so that the visible reply is told from it.
"""

import re
from collections.abc import Callable
from html import unescape
from typing import NamedTuple

MAX_TEXT = 2_000_000

# Quoted attributes may hold ">"; possessive, so that an open quote costs one look ahead. One group
# around all of it: splitting by it gives texts and tags in turn. "<kim@example.org>" is an address that
# nobody escaped.
_TAG = re.compile(
    r"(<[!?][^>]{0,300}>"
    r"|</?(?![\w.+-]{1,64}@)[a-zA-Z][a-zA-Z0-9:-]{0,30}"
    r"(?>[^<>\"']++|\"[^\"]{0,2000}\"|'[^']{0,2000}'|[\"']){0,100}+>)",
    re.DOTALL,
)
_NAME = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9:-]{0,30})")
# How mails hide what only a list of mails is to show. A font of size 0 hides nothing: templates set it
# around words that have a size of their own.
_STYLE = re.compile(r"(?i)\bstyle\s*=\s*(?:\"([^\"]*)|'([^']*))")
_GONE = re.compile(
    r"(?i)\b(?:display\s*:\s*none|mso-hide\s*:\s*all|visibility\s*:\s*hidden"
    r"|opacity\s*:\s*0(?:\.0+)?\s*(?:[;!]|\Z))"
)
_FLATTENED = re.compile(r"(?i)\bmax-height\s*:\s*0(?:px)?\s*(?:[;!]|\Z)")
_CLIPPED = re.compile(r"(?i)\boverflow\s*:\s*hidden")
_HIDES = ("none", "hidden", "opacity", "mso-hide")
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")
_IS_HIDDEN = re.compile(r"(?i)(?:\A|\s)hidden(?:\s|=|/|\Z)")
_CITED = re.compile(
    r"(?i)\btype\s*=\s*[\"']?cite|\bclass\s*=\s*[\"'][^\"']*(?:gmail_quote|yahoo_quoted|protonmail_quote"
    r"|zmail_extra|moz-cite)"
)
_UNREAD = frozenset({"script", "style", "title", "template"})
_VOID = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "wbr"}
)
_LINES = frozenset(
    {
        "address", "article", "aside", "body", "caption", "center", "dd", "details", "div", "dl", "dt",
        "fieldset", "figure", "footer", "form", "header", "html", "legend", "li", "main", "nav",
        "section", "summary", "table", "tbody", "tfoot", "thead", "tr", "ul", "ol",
    }
)  # fmt: skip
_PARAGRAPHS = frozenset({"p", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "pre", "hr"})
_MAX_DEPTH = 50


class _Page:
    """The lines written so far."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._line: list[str] = []
        self._blank = True  # whether the line holds nothing to see
        self._space = False
        self.quotes = 0

    def write(self, text: str) -> None:
        """Words; any number of blanks between them counts as one."""
        words = text.split()
        if not words:
            self._space = True
            return
        if not self._blank and (self._space or text[0].isspace()):
            self._line.append(" ")
        self._line.append(" ".join(words))
        self._blank = False
        self._space = text[-1].isspace()

    def separate(self) -> None:
        """A wide gap, as between the cells of a row."""
        if not self._blank:
            self._line.append(" ")
        self._blank, self._space = False, True

    def write_kept(self, text: str) -> None:
        """Text whose line breaks and blanks stay."""
        first, *others = text.split("\n")
        self._keep(first)
        for line in others:
            self.end_line(forced=True)
            self._keep(line)

    def _keep(self, line: str) -> None:
        if line:
            self._line.append(line)
            self._blank = False

    def mark(self, text: str) -> None:
        """What opens a line, such as the star of a list's item."""
        self._line.append(text)
        self._blank = True

    def end_line(self, *, forced: bool = False) -> None:
        if not self._blank or forced:
            line = "".join(self._line).rstrip()
            self.lines.append(("> " * self.quotes + line).rstrip() if self.quotes else line)
            self._line.clear()
            self._blank = True
        self._space = False

    def end_paragraph(self) -> None:
        if not self._blank:
            self.end_line()
        self._space = False
        if self.lines and self.lines[-1].strip("> "):
            self.lines.append(("> " * self.quotes).rstrip())


def readable_html(html: str) -> str:
    """The text, paragraphs apart by a blank line."""
    html = _without_comments(html)
    page = _Page()
    if not _render(html, page, hide=True):
        page = _Page()  # what hides is never closed: better too much text than none
        _render(html, page, hide=False)
    page.end_line()
    return "\n".join(page.lines)[:MAX_TEXT]


def _without_comments(html: str) -> str:
    """An open comment hides nothing: what follows may be all that somebody wrote."""
    at = html.find("<!--")
    if at < 0:
        return html
    kept = [html[:at]]
    while at >= 0:
        end = html.find("-->", at + 4)
        if end < 0:
            return "".join([*kept, html[at + 4 :]])
        at = html.find("<!--", end + 3)
        kept.append(html[end + 3 : at] if at >= 0 else html[end + 3 :])
    return "".join(kept)


class _State:
    """Where in the document the rendering is. What lies before `read_from` is not read."""

    def __init__(self, html: str) -> None:
        self.html = html
        self.at = 0
        self.read_from = 0
        self.kept = 0
        self.lists: list[int | None] = []
        self.cited: list[bool] = []
        self.cell = False
        self.open_ended: set[str] = set()


class _Tag(NamedTuple):
    """What a tag means: `does` nothing where it is of no account for the text."""

    name: str
    closes: bool
    more: str
    hides: bool
    does: Callable[[_Page, _State, "_Tag"], None] | None


def _render(html: str, page: _Page, *, hide: bool) -> bool:
    """Write the document; False when it ends within what is hidden."""
    state = _State(html)
    known: dict[str, _Tag] = {}
    hidden, depth, at = "", 0, 0
    pieces = _TAG.split(html)
    for text, source in zip(pieces[::2], pieces[1::2], strict=False):
        start = at + len(text)
        at = start + len(source)
        if start < state.read_from:
            continue
        tag = known.get(source) or known.setdefault(source, _meaning(source, hide))
        if hidden:
            if tag.name == hidden:
                depth += -1 if tag.closes else 1
                hidden = hidden if depth else ""
            continue
        if state.read_from:
            text, state.read_from = html[state.read_from : start], 0
        if state.kept or "&" in text:
            _words(text, page, state)
        elif text:
            page.write(text)
        if tag.hides:
            hidden, depth = tag.name, 1
        elif tag.does:
            state.at = at
            tag.does(page, state, tag)
    if hidden:
        return False
    _words(html[state.read_from :] if state.read_from else pieces[-1], page, state)
    return True


def _meaning(source: str, hide: bool) -> _Tag:
    found = _NAME.match(source)
    if found is None:
        return _Tag("", False, "", False, None)
    name, more = found[2].lower(), source[found.end() : -1]
    if found[1]:
        return _Tag(name, True, more, False, _CLOSING.get(name))
    may_hide = hide and name not in _VOID and name not in _UNREAD
    hides = may_hide and any(word in more for word in _HIDES) and _hidden(more)
    return _Tag(name, False, more, hides, _OPENING.get(name))


def _hidden(attributes: str) -> bool:
    styles = (found[1] or found[2] or "" for found in _STYLE.finditer(attributes))
    return any(map(_style_hides, styles)) or bool(_IS_HIDDEN.search(_QUOTED.sub("", attributes)))


def _style_hides(style: str) -> bool:
    """In time linear in its length: what is flattened is hidden where it is clipped too, whichever
    is said first, or where nothing is said after it."""
    if _GONE.search(style):
        return True
    flattened = [found.end() for found in _FLATTENED.finditer(style)]
    clipped = bool(flattened) and _CLIPPED.search(style) is not None
    return clipped or (bool(flattened) and flattened[-1] == len(style) and style[-1] not in ";!")


_ENDS = {name: re.compile(rf"</{name}\s{{0,20}}>", re.IGNORECASE) for name in _UNREAD}


def _skip(_: _Page, state: _State, tag: _Tag) -> None:
    """Read on behind the end tag of what nobody reads; here where it has none."""
    if tag.name in state.open_ended:
        return
    end = _ENDS[tag.name].search(state.html, state.at)
    if end is None:
        state.open_ended.add(tag.name)
    else:
        state.read_from = end.end()


def _words(raw: str, page: _Page, state: _State) -> None:
    text = unescape(raw) if "&" in raw else raw
    if state.kept:
        page.write_kept(text.replace("\r\n", "\n").replace("\xa0", " "))
    elif text:
        page.write(text)


def _break(page: _Page, _state: _State, _tag: _Tag) -> None:
    page.end_line(forced=True)


def _end_paragraph(page: _Page, _state: _State, _tag: _Tag) -> None:
    page.end_paragraph()


def _open_quote(page: _Page, state: _State, tag: _Tag) -> None:
    page.end_paragraph()
    if len(state.cited) < _MAX_DEPTH:
        cited = bool(tag.more) and bool(_CITED.search(tag.more))
        state.cited.append(cited)
        page.quotes += cited


def _open_kept(page: _Page, state: _State, _tag: _Tag) -> None:
    page.end_paragraph()
    state.kept += 1


def _open_cell(page: _Page, state: _State, _tag: _Tag) -> None:
    if state.cell:
        page.separate()
    state.cell = True


def _open_row(page: _Page, state: _State, _tag: _Tag) -> None:
    page.end_line()
    state.cell = False


def _open_list(page: _Page, state: _State, tag: _Tag) -> None:
    page.end_line()
    if len(state.lists) < _MAX_DEPTH:
        state.lists.append(0 if tag.name == "ol" else None)


def _open_item(page: _Page, state: _State, _tag: _Tag) -> None:
    page.end_line()
    indent = "  " * max(len(state.lists), 1)
    number = state.lists[-1] if state.lists else None
    if number is not None:
        state.lists[-1] = number + 1
    page.mark(f"{indent}* " if number is None else f"{indent}{number + 1}. ")


def _end_line(page: _Page, _state: _State, _tag: _Tag) -> None:
    page.end_line()


def _close_quote(page: _Page, state: _State, _tag: _Tag) -> None:
    if state.cited:
        page.end_line()
        page.quotes -= state.cited.pop()
    page.end_paragraph()


def _close_kept(page: _Page, state: _State, _tag: _Tag) -> None:
    page.end_paragraph()
    state.kept = max(state.kept - 1, 0)


def _close_list(page: _Page, state: _State, _tag: _Tag) -> None:
    page.end_line()
    if state.lists:
        state.lists.pop()


def _close_table(page: _Page, state: _State, _tag: _Tag) -> None:
    page.end_line()
    state.cell = False


_OPENING = {
    **dict.fromkeys(_LINES, _end_line),
    **dict.fromkeys(_PARAGRAPHS, _end_paragraph),
    **dict.fromkeys(_UNREAD, _skip),
    **dict.fromkeys(("td", "th"), _open_cell),
    **dict.fromkeys(("ul", "ol"), _open_list),
    "br": _break,
    "blockquote": _open_quote,
    "pre": _open_kept,
    "tr": _open_row,
    "li": _open_item,
}
_CLOSING = {
    **dict.fromkeys(_LINES, _end_line),
    **dict.fromkeys(_PARAGRAPHS, _end_paragraph),
    **dict.fromkeys(("ul", "ol"), _close_list),
    "blockquote": _close_quote,
    "pre": _close_kept,
    "table": _close_table,
}
