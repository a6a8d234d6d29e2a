"""Which addresses of files are kept as links: desktops show them to be clicked. Pure."""

from urllib.parse import urlsplit

from shared.contracts.problems import invalid

SCHEMES = frozenset({"https", "http"})


def is_link(url: str) -> bool:
    """Whether it is an address on the web: `javascript:`, `data:`, `file:` and relative ones are not."""
    try:
        parts = urlsplit(url)
        return parts.scheme in SCHEMES and bool(parts.hostname)
    except ValueError:
        return False


def check_link(url: str | None, pointer: str) -> None:
    """Raise Refused where a posted attachment's address is none."""
    if url is not None and not is_link(url):
        raise invalid(
            pointer, "url", f"{url[:80]!r} is no address on the web.", "https://… or http://…"
        )
