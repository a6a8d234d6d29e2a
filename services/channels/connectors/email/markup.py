"""HTML of a mail: made safe to show, and to text where the mail brings none."""

import html as entities
import re

import nh3
from inscriptis import get_text
from inscriptis.model.config import ParserConfig
from lxml.etree import LxmlError

MAX_HTML = 200_000  # characters that go on the bus
MAX_SOURCE = 1_000_000

_CONFIG = ParserConfig(display_links=False, display_images=False)
_SCHEMES = {"http", "https", "mailto", "tel", "cid"}
_TAG = re.compile(r"<[^>]{0,5000}>")
_GONE = re.compile(r"(?is)<(script|style|head|title)\b[^>]{0,2000}>.{0,200000}?</\1\s*>")


def safe(html: str) -> str:
    """The HTML with nothing that runs, loads styles or leaves the page unasked."""
    source = html[:MAX_SOURCE]
    if _tangled(source):
        return of_text(_tidied(_stripped(source)))
    return nh3.clean(source, url_schemes=_SCHEMES)


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


def _tangled(html: str) -> bool:
    """Whether an HTML parser would take quadratic time or copy formatting into every block: unclosed
    tags by the thousand. Such HTML is nobody's mail."""
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
    """Readable text of HTML."""
    source = html[:MAX_SOURCE]
    if not source.strip():
        return ""
    try:
        text = get_text(source, _CONFIG)
    except (ValueError, RecursionError, LxmlError, KeyError, AttributeError, TypeError, IndexError):
        text = ""
    return _tidied(text or _stripped(source))


def _stripped(html: str) -> str:
    return entities.unescape(_TAG.sub(" ", _GONE.sub(" ", html)))


def _tidied(text: str) -> str:
    lines = [line.rstrip() for line in text.replace("\xa0", " ").split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def of_text(text: str) -> str:
    """Plain text as HTML, for a mail whose other sections are HTML."""
    return f"<pre>{entities.escape(text, quote=False)}</pre>"
