"""Pictures that stand in a mail's HTML as data: they are the mail's files, like those it refers to."""

import re
from collections.abc import Callable
from hashlib import sha256
from urllib.parse import unquote_to_bytes

from services.channels.connectors.email import encodings

SMALLEST = 128  # bytes: what is smaller is a spacer, or counts who reads

_IMAGE = re.compile(
    r"""(?i)(<img\b[^<>]{0,4000}?\ssrc\s*=\s*)("\s*data:[^"]*"|'\s*data:[^']*'|data:[^\s"'<>]+)"""
)
_DATA = re.compile(
    r"(?i)\s*data:([a-z0-9.+-]{1,40}/[a-z0-9.+-]{1,100})(?:;[^,;]{0,100}){0,4}?;\s*base64\s*,"
)


def without_pictures(html: str, keep: Callable[[bytes, str, str], None]) -> str:
    """The HTML with references (`cid:`) in the place of its pictures. `keep` gets each of them once:
    content, media type and the id that the HTML refers to it by."""
    if "data:" not in html and "DATA:" not in html:
        return html
    known: set[str] = set()

    def reference(found: re.Match[str]) -> str:
        picture = _picture(found[2].strip("\"'"))
        if picture is None:
            return found[0]
        kind, content = picture
        identity = f"{sha256(content).hexdigest()[:32]}@data.invalid"
        if identity not in known:
            known.add(identity)
            keep(content, kind, identity)
        return f'{found[1]}"cid:{identity}"'

    return _IMAGE.sub(reference, html)


def _picture(address: str) -> tuple[str, bytes] | None:
    told = data_of(address)
    shown = told is not None and told[0].startswith("image/") and len(told[1]) > SMALLEST
    return told if shown else None


def data_of(address: str) -> tuple[str, bytes] | None:
    """(media type, content) of a data: address in base64 (RFC 2397); None for what is none."""
    head = _DATA.match(address)
    if head is None:
        return None
    coded = unquote_to_bytes(address[head.end() :])
    return head[1].lower(), encodings.decoded(coded, "base64", text=False)
