"""Bytes of a mail to text, whatever charset they claim: never an exception, the best text always."""

import codecs
import re
from functools import lru_cache

from charset_normalizer import from_bytes

_GUESS_FROM = 32  # bytes; below it charset-normalizer is no better than a coin
_GUESS_UPTO = 4096
_BY_HAND_UPTO = 1024 * 1024

# Names that mail uses and Python lacks or reads too narrowly (as WHATWG's encoding labels do).
_ALIASES = {
    "ascii": "utf-8",
    "us-ascii": "utf-8",
    "ansi_x3.4-1968": "utf-8",
    "iso-8859-1": "cp1252",
    "latin1": "cp1252",
    "latin-1": "cp1252",
    "iso-8859-9": "cp1254",
    "iso-8859-8-i": "iso-8859-8",
    "windows-874": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "x-gbk": "gb18030",
    "iso-gb2312": "gb18030",
    "gb_2312-80": "gb18030",
    "csgb2312": "gb18030",
    "big5": "cp950",
    "x-big5": "cp950",
    "big5-hk": "big5hkscs",
    "ks_c_5601-1987": "cp949",
    "ks_c_5601": "cp949",
    "euc-kr": "cp949",
    "korean": "cp949",
    "shift_jis": "cp932",
    "shift-jis": "cp932",
    "x-sjis": "cp932",
    "sjis": "cp932",
    "windows-31j": "cp932",
    "unicode-1-1-utf-7": "utf-7",
    "unicode-1-1-utf-8": "utf-8",
    "utf8": "utf-8",
    "x-mac-roman": "mac-roman",
    "macintosh": "mac-roman",
    "cp-850": "cp850",
}
_NOT_TEXT = {"unicode_escape", "raw_unicode_escape", "idna", "punycode", "undefined", "mbcs", "oem"}
_WESTERN = {"cp1252", "iso8859-1", "iso8859-15"}
_WIDE = {"gb18030", "cp950", "cp949", "cp932", "euc_jp", "big5hkscs"}


@lru_cache(maxsize=512)
def codec(name: str | None) -> str | None:
    """Python's codec for a charset's name; None for a name that nobody knows."""
    label = (name or "").strip().strip("'\"").lower().partition("*")[0].strip()
    label = _ALIASES.get(label, label)
    if not label or len(label) > 60 or not label.isascii():
        return None
    try:
        found = codecs.lookup(label)
    except (LookupError, ValueError):
        return None
    text = getattr(found, "_is_text_encoding", True) and found.name not in _NOT_TEXT
    return found.name if text else None


def decode(raw: bytes, declared: str | None = None, fallback: str | None = None) -> str:
    """The text of some bytes. `fallback` is the charset of the surroundings, tried where the
    declared one is missing or wrong."""
    if raw.isascii() and b"\x1b" not in raw:
        name = codec(declared)
        return _strict(raw, "utf-7") or raw.decode() if name == "utf-7" else raw.decode("ascii")
    name = codec(declared) or "utf-8"
    if name in _WESTERN and (text := _strict(raw, "utf-8")) is not None:
        return text  # nobody writes "Ã¼"; gateways do that to a declaration
    wider = "big5hkscs" if name == "cp950" else name  # Hong Kong's characters, under the usual name
    tried = dict.fromkeys((name, "utf-8", codec(fallback) or "utf-8", wider))
    for name in tried:
        text = _japanese(raw, name) if name.startswith("iso2022_jp") else _strict(raw, name)
        if text is not None:
            return text
    return _damaged(raw, codec(declared) or codec(fallback))


def _strict(raw: bytes, name: str) -> str | None:
    try:
        return raw.decode(name)
    except (UnicodeError, ValueError, LookupError):
        return None


def _damaged(raw: bytes, name: str | None) -> str:
    """Text that no charset reads whole: damaged UTF-8, a damaged wide charset, else a guess."""
    utf8 = raw.decode("utf-8", "replace")
    lost = utf8.count("\ufffd")
    good = len(utf8) - len(utf8.encode("ascii", "ignore")) - lost
    if good >= 4 * lost:
        return utf8
    if name in _WIDE:
        return raw.decode(name, "replace")
    if name is None and len(raw) >= _GUESS_FROM:
        best = from_bytes(raw[:_GUESS_UPTO]).best()
        if best is not None:
            return raw.decode(best.encoding, "replace")
    if name and not name.startswith(("utf", "iso2022")):
        return raw.decode(name, "replace")
    text = raw.decode("cp1252", "replace")
    return raw.decode("latin-1") if "\ufffd" in text else text


_ESCAPE = re.compile(rb"\x1b(\$[@B]|\$\([@BDOQ]|\([BJIH])")


def _japanese(raw: bytes, name: str) -> str | None:
    """ISO-2022-JP, vendors' characters (NEC row 13, half-width kana) included."""
    text = _strict(raw, name) or _strict(raw, "iso2022_jp_ext")
    if text is not None:
        return text
    if b"\x1b" not in raw:
        return _strict(raw, "cp932")
    pieces = _ESCAPE.split(raw[:_BY_HAND_UPTO])
    out = [pieces[0].decode("cp1252", "replace")]
    for escape, chunk in zip(pieces[1::2], pieces[2::2], strict=False):
        out.append(_jis(escape, chunk))
    return "".join(out)


def _jis(escape: bytes, chunk: bytes) -> str:
    if escape == b"(I":
        return bytes(byte | 0x80 for byte in chunk).decode("cp932", "replace")
    if not escape.startswith(b"$"):
        return chunk.decode("cp1252", "replace")
    pairs = (chunk[at : at + 2] for at in range(0, len(chunk), 2))
    return "".join(_pair(pair) for pair in pairs)


def _pair(pair: bytes) -> str:
    """One character of JIS X 0208 by way of Shift-JIS, whose vendor rows cp932 knows."""
    if len(pair) < 2 or not (0x21 <= pair[0] <= 0x7E and 0x21 <= pair[1] <= 0x7E):
        return pair.decode("ascii", "replace")
    row, cell = pair
    lead = (row - 0x21) // 2 + (0x81 if row < 0x5F else 0xC1)
    trail = cell + (0x1F if cell < 0x60 else 0x20) if row % 2 else cell + 0x7E
    return bytes((lead, trail)).decode("cp932", "replace")
