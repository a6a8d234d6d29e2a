"""Headers of a mail as people broke them: unfolded, decoded; addresses and ids read out."""

import binascii
import re
from html import unescape

from services.channels.connectors.email import charsets
from services.channels.connectors.email.encodings import padded
from services.channels.connectors.fields import clean
from shared.contracts.interactions import Address

MAX_HEADER = 32_768
MAX_ADDRESSES = 200
MAX_IDS = 100


class Headers:
    """All headers of one entity by name, raw as they came; reads never raise. Each is decoded when
    it is first asked for: most of a mail's are never."""

    def __init__(self, fields: list[tuple[str, bytes]], charset: str | None = None) -> None:
        self._charset = charset
        self._raw: dict[str, list[bytes]] = {}
        self._first: dict[str, str] = {}
        self._texts: dict[str, str] = {}
        self._addresses: dict[str, list[Address]] = {}
        for name, value in fields:
            self._raw.setdefault(name, []).append(value)

    def raw(self, name: str) -> str:
        """The first non-empty value, unfolded, bytes decoded, encoded words left as they are."""
        if name not in self._raw:
            return ""
        if name not in self._first:
            first = next((each for each in self._raw[name] if each.strip()), b"")
            self._first[name] = readable(first, self._charset)
        return self._first[name]

    def all(self, name: str) -> list[str]:
        """Every value of a header."""
        return [readable(value, self._charset) for value in self._raw.get(name, ())]

    def has(self, name: str) -> bool:
        return name in self._raw

    def text(self, name: str) -> str:
        """The value decoded for people."""
        if name not in self._texts:
            self._texts[name] = decoded(self.raw(name))
        return self._texts[name]

    def token(self, name: str) -> str:
        """The first word in lower case, before any parameter or comment."""
        if name not in self._raw:
            return ""
        words = re.split(r"[;(\s,]", self.raw(name).strip().lower(), maxsplit=1)
        return words[0]

    def addresses(self, name: str) -> list[Address]:
        """The addresses in every header of that name."""
        if name not in self._raw:
            return []
        if name not in self._addresses:
            found = [each for value in self.all(name) for each in addresses(value)]
            self._addresses[name] = found[:MAX_ADDRESSES]
        return self._addresses[name]

    def ids(self, name: str) -> list[str]:
        """Message ids, without their brackets, each once."""
        return message_ids(self.raw(name)) if name in self._raw else []


def readable(value: bytes, charset: str | None = None) -> str:
    """A raw header value as text; `charset` is the one that the mail's body declares."""
    value = value[:MAX_HEADER]
    if value.isascii() and b"\x1b" not in value:
        text = value.decode("ascii")
        return text.replace("\x00", "") if "\x00" in text else text
    declared = "iso-2022-jp" if b"\x1b" in value else None
    return clean(charsets.decode(value, declared, charset), MAX_HEADER)


# A question mark inside a word ought to be encoded, but often is not.
_WORD = re.compile(r"=\?([^?\s]{1,60})\?([bBqQ])\?((?:[^?]|\?(?!=|[bBqQ]\?)){0,2000})\?=")
_ONE_WORD = re.compile(r"=\?([^?\s]{1,60})\?([bBqQ])\?([^?]{0,2000})\?=")
_BETWEEN = re.compile(r"(\?=)\s+(?==\?[^?\s]{1,60}\?[bBqQ]\?)")
_CONTROLS = re.compile(r"[\r\n\t]+")
_UNCLOSED = re.compile(r"=\?[^?\s]{1,60}\?[bBqQ]\?[^?]*\??\Z")


def decoded(value: str) -> str:
    """RFC 2047 encoded words to text. Neighbours of one charset are joined before they are decoded:
    many programs split a character between two of them."""
    if "=?" not in value:
        return clean(value).strip()
    if word := _ONE_WORD.fullmatch(value):
        text = charsets.decode(_word_bytes(word[2], word[3]), word[1].lower())
        return clean(_CONTROLS.sub(" ", text)).strip()
    value = _BETWEEN.sub(r"\1", value)
    if _UNCLOSED.search(value):
        value = value.removesuffix("?") + "?="
    out: list[str] = []
    pending, charset, end = b"", "", 0
    for word in _WORD.finditer(value):
        if word.start() > end or word[1].lower() != charset:
            out += [charsets.decode(pending, charset), value[end : word.start()]]
            pending, charset = b"", word[1].lower()
        pending += _word_bytes(word[2], word[3])
        end = word.end()
    out += [charsets.decode(pending, charset), value[end:]]
    return clean(_CONTROLS.sub(" ", "".join(out))).strip()


def _word_bytes(encoding: str, body: str) -> bytes:
    raw = body.encode("utf-8", "replace")
    if encoding in "qQ":
        return binascii.a2b_qp(raw.replace(b" ", b"_"), header=True)
    return padded(re.sub(rb"[^A-Za-z0-9+/]+", b"", raw))


_PIECE = re.compile(
    r'"(?:[^"\\]|\\.)*"|<[^<>]*>|\((?:[^()\\]|\\.|\([^()]*\))*\)|[,;]|[^,;"<(]+|.', re.DOTALL
)
_BARE = re.compile(r"[^\s<>()\"',;:\[\]]{1,256}@[^\s<>()\"',;:]{1,255}")

# What most headers hold: one address, alone or with a name of plain words before it.
_USUAL = re.compile(
    r"\s*(?:(?P<quote>\"?)(?P<name>[^\"<>@,;:()\[\]\\'\s][^\"<>@,;:()\[\]\\']{0,100})(?P=quote)\s*"
    r"(?=<))?(?P<angle><)?(?P<address>\w[\w.+%&/=~-]{0,126}(?<!\.)@\w[\w.-]{0,126}(?<!\.))(?(angle)>)\s*\Z",
    re.ASCII,
)
_QUOTED_LOCAL = re.compile(r'"[^"<>]{1,200}"@[^\s<>"]{1,255}\Z')


def addresses(value: str) -> list[Address]:
    """Addresses of a header value, undecoded: names with commas, comments, groups, several per
    line, none at all."""
    if usual := _USUAL.match(value):
        return [Address(usual["address"], _name(usual["name"] or "") or None)]
    found: list[Address] = []
    pending: str | None = None
    value = value[:MAX_HEADER].replace("<<", "<").replace(">>", ">")
    if "&lt;" in value and "<" not in value:
        value = unescape(value)
    if "=?" in value and "@" not in value:
        value = decoded(value)  # the address is inside an encoded word
    for chunk in _chunks(value):
        address = _address(chunk)
        if address is None:
            continue
        if pending and any(piece.startswith("<") for piece in chunk):
            address.name = f"{pending}, {address.name}" if address.name else pending
        elif pending:
            found.append(_nameless(pending))
        pending = None if address.address else address.name
        if address.address:
            found.append(address)
    if pending:
        found.append(_nameless(pending))
    return found[:MAX_ADDRESSES]


def _nameless(words: str) -> Address:
    """What stands alone without an @: one word is a local mailbox, several are a name."""
    return Address(address="", name=words) if " " in words else Address(address=words)


def _chunks(value: str) -> list[list[str]]:
    chunks: list[list[str]] = [[]]
    for piece in _PIECE.findall(value):
        if piece in (",", ";"):
            chunks.append([])
        else:
            chunks[-1].append(piece)
    return [chunk for chunk in chunks if "".join(chunk).strip()]


def _address(chunk: list[str]) -> Address | None:
    if local := _quoted_local(chunk):
        return Address(address=local[:320])
    angles = [piece[1:-1].strip() for piece in chunk if piece.startswith("<") and len(piece) > 1]
    comments = [piece[1:-1] for piece in chunk if piece.startswith("(") and len(piece) > 1]
    rest = "".join(_unquoted(p) for p in chunk if not (p.startswith(("<", "(")) and len(p) > 1))
    address = next((_tidy(each) for each in reversed(angles) if each), "")
    if not address:
        bare = _BARE.search(rest)
        address = bare[0].strip(".") if bare else ""
        address = address if "@[" in address else address.rstrip("]")
        rest = rest.replace(bare[0], " ") if bare else rest
    group, colon, after = rest.partition(":")
    rest = after if colon and "@" not in group else rest
    name = _name(rest) or _name(" ".join(comments)) or None
    if not address and name is None:
        return None
    return Address(address=address[:320], name=name)


def _quoted_local(chunk: list[str]) -> str | None:
    """An address that is alone and whose first part is in quotes: "kim l"@example.org."""
    pieces = [piece for piece in chunk if piece.strip()]
    whole = "".join(pieces).strip()
    alone = len(pieces) == 2 and pieces[0].startswith('"') and " " in pieces[0]
    return whole if alone and _QUOTED_LOCAL.fullmatch(whole) else None


def _tidy(address: str) -> str:
    """An angle address without mailto:, route, blanks and quotes."""
    address = clean(decoded(address)).strip().removeprefix("mailto:")
    if _QUOTED_LOCAL.match(address):
        return address
    if address.startswith("@"):
        address = address.rpartition(":")[2]  # "<@relay.example:kim@example.org>"
    address = re.sub(r"\s*@\s*", "@", address.strip("'\" "))
    bare = _BARE.search(address)
    return address if bare is None or "@" not in address.partition(" ")[2] else bare[0]


def _unquoted(piece: str) -> str:
    if len(piece) > 1 and piece.startswith('"') and piece.endswith('"'):
        return re.sub(r"\\(.)", r"\1", piece[1:-1])
    return piece


def _name(text: str) -> str:
    return (
        " ".join((decoded(text) if "=?" in text else clean(text)).split())
        .strip("'\"<> ")
        .rstrip("[ ")[:512]
    )


_BRACKETED = re.compile(r"<([^<>]+)>")


def message_ids(value: str) -> list[str]:
    """The ids in a header: those in brackets without blanks; where there is none, bare words with
    an @. A corpus case mixes good ids with junk: the junk goes. Of more than MAX_IDS the first stays,
    which names the thread, and the last, which are the newest."""
    found = [each for each in _BRACKETED.findall(value) if len(each.split(None, 1)) < 2]
    if not found and "<" not in value:
        found = [each for each in re.split(r"[\s,]+", value) if "@" in each]
    ids = (clean(each.strip(), 512) for each in found)
    known = list(dict.fromkeys(each for each in ids if each))
    return known if len(known) <= MAX_IDS else known[:1] + known[1 - MAX_IDS :]
