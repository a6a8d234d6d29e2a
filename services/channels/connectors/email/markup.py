"""HTML of a mail: made safe to show, and to text where the mail brings none."""

import html as entities
import re

import nh3

from services.channels.connectors.email.readable_html import readable_html

MAX_HTML = 200_000  # characters that go on the bus
MAX_SOURCE = 1_000_000

_CLEANER = nh3.Cleaner(url_schemes={"http", "https", "mailto", "tel", "cid"})


def safe(html: str) -> str:
    """The HTML with nothing that runs, loads styles or leaves the page unasked."""
    source = _first(html)
    if _tangled(source):
        return of_text(to_text(source))
    return _CLEANER.clean(source)


def _first(html: str) -> str:
    """As much of the HTML as is read, up to a whole tag."""
    if len(html) <= MAX_SOURCE:
        return html
    source = html[:MAX_SOURCE]
    opened = source.rfind("<")
    return source[:opened] if opened > source.rfind(">") else source


_OPENING = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]{0,20})")
_FORMATTING = frozenset(
    [
        "a",
        "b",
        "big",
        "code",
        "em",
        "font",
        "i",
        "nobr",
        "s",
        "small",
        "strike",
        "strong",
        "tt",
        "u",
    ]
)
_FLAT = frozenset(
    [
        "area",
        "base",
        "br",
        "col",
        "dd",
        "dt",
        "embed",
        "hr",
        "img",
        "input",
        "li",
        "link",
        "meta",
        "option",
        "p",
        "param",
        "source",
        "tbody",
        "td",
        "tfoot",
        "th",
        "thead",
        "tr",
        "wbr",
    ]
)
_MAX_NESTING = 1000
_MAX_FORMATTING = 200
_MAX_COPIES = 500_000
_MAX_ENTITIES = 20_000  # in one stretch of text


def _tangled(html: str) -> bool:
    """Whether an HTML parser would take quadratic time or copy formatting into every block: unclosed
    tags by the thousand, or a text that it puts together from that many pieces, since each `&` begins
    one. Such HTML is nobody's mail."""
    entities_most = max(text.count("&") for text in html.split("<")) if "&" in html else 0
    if entities_most > _MAX_ENTITIES:
        return True
    if html.count("<") <= _MAX_FORMATTING:
        return False
    depth = formatting = deepest_formatting = tags = 0
    for slash, name in _OPENING.findall(html):
        name = name.lower()
        tags += 1
        if name in _FLAT:
            continue
        step = -1 if slash else 1
        depth = max(depth + step, 0)
        if name in _FORMATTING:
            formatting = max(formatting + step, 0)
            deepest_formatting = max(deepest_formatting, formatting)
        if depth > _MAX_NESTING or formatting > _MAX_FORMATTING:
            return True
    return deepest_formatting * tags > _MAX_COPIES


def to_text(html: str) -> str:
    """Readable text of HTML; quoted history, where its program marks it, with ">"."""
    source = _first(html)
    return _tidied(readable_html(source)) if source.strip() else ""


def _tidied(text: str) -> str:
    if "\n\n\n" in text:
        text = re.sub(r"\n{3,}", "\n\n", text)
    return text.strip()


_PICTURE = re.compile(r'<img\b[^>]*?\ssrc="(https?://[^"]{1,4096})"')
_MAX_PICTURES = 50


def pictures_of(cleaned: str) -> list[str]:
    """The addresses of the pictures in HTML that `safe` made, each once, in their order."""
    found = (entities.unescape(url) for url in _PICTURE.findall(cleaned))
    return list(dict.fromkeys(found))[:_MAX_PICTURES]


def of_text(text: str) -> str:
    """Plain text as HTML, for a mail whose other sections are HTML."""
    return f"<pre>{entities.escape(text, quote=False)}</pre>"
