"""HTML as the text that a person reads in it: one pass over tags, in time linear in its length.

Mail's HTML is not well-formed, so nothing is expected to be closed or in its place. Quoted history,
marked as such by mail programs, gets the ">" of plain text, so that the visible reply is told from it.
"""

import re
from html import unescape

MAX_TEXT = 2_000_000

# Quoted attributes may hold ">"; possessive, so that an open quote costs one look ahead.
_TAG = re.compile(
    r"<[!?][^>]{0,300}>"
    r"|<(?P<end>/?)(?P<name>[a-zA-Z][a-zA-Z0-9:-]{0,30})"
    r"(?P<more>(?>[^<>\"']++|\"[^\"]{0,2000}\"|'[^']{0,2000}'|[\"']){0,100}+)>",
    re.DOTALL,
)
_HIDDEN = re.compile(r"(?i)\bstyle\s*=\s*[\"'][^\"']*\b(?:display\s*:\s*none|mso-hide\s*:\s*all)")
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
        """Words, their blanks already single."""
        if text == " ":
            self._space = True
            return
        if text[0] == " ":
            self._space, text = True, text[1:]
        if self._space and not self._blank:
            self._line.append(" ")
        self._space = text[-1] == " "
        self._line.append(text[:-1] if self._space else text)
        self._blank = False

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
            self.lines.append("> " * self.quotes + line if self.quotes else line)
            self._line.clear()
            self._blank = True
        self._space = False

    def end_paragraph(self) -> None:
        self.end_line()
        if self.lines and self.lines[-1].strip("> "):
            self.lines.append("> " * self.quotes)


def readable_html(html: str) -> str:
    """The text, paragraphs apart by a blank line."""
    html = _without_comments(html)
    page = _Page()
    if not _render(html, page, hide=True):
        page = _Page()  # what hides is never closed: better too much text than none
        _render(html, page, hide=False)
    page.end_line()
    return "\n".join(line.rstrip() for line in page.lines)[:MAX_TEXT]


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
    """Where in the document the rendering is."""

    def __init__(self) -> None:
        self.kept = 0
        self.lists: list[int | None] = []
        self.cited: list[bool] = []
        self.cell = False
        self.open_ended: set[str] = set()


def _render(html: str, page: _Page, *, hide: bool) -> bool:
    """Write the document; False when it ends within what is hidden."""
    state = _State()
    at = 0
    hidden, depth = "", 0
    for found in _TAG.finditer(html):
        if found.start() < at:
            continue
        name = found["name"]
        if not hidden:
            _words(html[at : found.start()], page, state)
        at = found.end()
        if name is None:
            continue
        name, closes = name.lower(), bool(found["end"])
        if hidden:
            if name == hidden:
                depth += -1 if closes else 1
                hidden = hidden if depth else ""
            continue
        if closes:
            _close(name, page, state)
        elif name in _UNREAD:
            at = _after(html, name, at, state)
        elif (
            hide and name not in _VOID and "none" in found["more"] and _HIDDEN.search(found["more"])
        ):
            hidden, depth = name, 1
        else:
            _open(name, found["more"], page, state)
    if hidden:
        return False
    _words(html[at:], page, state)
    return True


_ENDS = {name: re.compile(rf"</{name}\s{{0,20}}>", re.IGNORECASE) for name in _UNREAD}


def _after(html: str, name: str, at: int, state: _State) -> int:
    """Behind the end tag of what nobody reads; here where it has none."""
    end = None if name in state.open_ended else _ENDS[name].search(html, at)
    if end is None:
        state.open_ended.add(name)
        return at
    return end.end()


def _words(raw: str, page: _Page, state: _State) -> None:
    if not raw:
        return
    text = unescape(raw) if "&" in raw else raw
    if state.kept:
        page.write_kept(text.replace("\r\n", "\n").replace("\xa0", " "))
        return
    words = " ".join(text.split())
    if not words:
        page.write(" ")
        return
    before = " " if text[0].isspace() else ""
    page.write(f"{before}{words} " if text[-1].isspace() else before + words)


def _open(name: str, more: str, page: _Page, state: _State) -> None:
    if name == "br":
        page.end_line(forced=True)
    elif name in _PARAGRAPHS:
        page.end_paragraph()
        if name == "blockquote" and len(state.cited) < _MAX_DEPTH:
            cited = bool(more) and bool(_CITED.search(more))
            state.cited.append(cited)
            page.quotes += cited
        elif name == "pre":
            state.kept += 1
    elif name in ("td", "th"):
        if state.cell:
            page.write("  ")
        state.cell = True
    elif name in _LINES:
        page.end_line()
        state.cell = False if name == "tr" else state.cell
        _open_list(name, page, state)


def _open_list(name: str, page: _Page, state: _State) -> None:
    if name in ("ul", "ol") and len(state.lists) < _MAX_DEPTH:
        state.lists.append(0 if name == "ol" else None)
    elif name == "li":
        indent = "  " * max(len(state.lists), 1)
        number = state.lists[-1] if state.lists else None
        if number is not None:
            state.lists[-1] = number + 1
        page.mark(f"{indent}* " if number is None else f"{indent}{number + 1}. ")


def _close(name: str, page: _Page, state: _State) -> None:
    if name in _PARAGRAPHS:
        if name == "blockquote" and state.cited:
            page.end_line()
            page.quotes -= state.cited.pop()
        page.end_paragraph()
        if name == "pre":
            state.kept = max(state.kept - 1, 0)
    elif name in _LINES:
        page.end_line()
        if name in ("ul", "ol") and state.lists:
            state.lists.pop()
        if name == "table":
            state.cell = False
