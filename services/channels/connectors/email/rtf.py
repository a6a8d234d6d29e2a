"""RTF as the text that a person reads in it, or the HTML that Outlook wrapped in it.

Rich Text Format 1.9.1; MS-OXRTFEX for the wrapped HTML. One pass, in time linear in its length;
nothing raises.
"""

import re
from codecs import lookup

import msgspec

MAX_DEPTH = 200
_TOKEN = re.compile(
    rb"\\([a-zA-Z]{1,32})(-?\d{1,10})?[ ]?|\\'([0-9a-fA-F]{2})|\\([^a-zA-Z'])|([{}])|([^\\{}\r\n]+)"
)
_UNREAD = frozenset(
    b"colortbl stylesheet info pict object themedata filetbl listtable listoverridetable rsidtbl "
    b"header headerl headerr headerf footer footerl footerr footerf generator xmlnstbl datastore "
    b"latentstyles fldinst mhtmltag bkmkstart bkmkend pntext pntxta pntxtb".split()
)
_SAID = {
    b"par": "\n", b"line": "\n", b"row": "\n", b"sect": "\n", b"page": "\n", b"tab": "\t",
    b"cell": "\t", b"emdash": "—", b"endash": "–", b"lquote": "‘", b"rquote": "’",
    b"ldblquote": "“", b"rdblquote": "”", b"bullet": "•", b"enspace": " ", b"emspace": " ",
}  # fmt: skip
_SIGNS = {
    b"~": "\u00a0",
    b"_": "\u2011",
    b"\\": "\\",
    b"{": "{",
    b"}": "}",
    b"\n": "\n",
    b"\r": "\n",
}
_CODEPAGES = {128: "cp932", 129: "cp949", 134: "gb18030", 136: "cp950", 161: "cp1253", 162: "cp1254",
              163: "cp1258", 177: "cp1255", 178: "cp1256", 186: "cp1257", 204: "cp1251", 222: "cp874",
              238: "cp1250"}  # fmt: skip


class _Group(msgspec.Struct):
    """What holds within a pair of braces."""

    unread: bool = False
    fonts: bool = False
    tag: bool = False
    hidden: bool = False
    font: int = -1
    skips: int = 1


class _Reader:
    def __init__(self) -> None:
        self.out: list[str] = []
        self.pending = bytearray()
        self.group, self.stack = _Group(), list[_Group]()
        self.codepage = "cp1252"
        self.fonts: dict[int, str] = {}
        self.html = self.starred = False
        self.skip = 0

    def say(self, text: str) -> None:
        self.flush()
        if not self._silent():
            self.out.append(text)

    def hold(self, raw: bytes) -> None:
        """Bytes in the font's codepage, which may need more than one for a character."""
        if not self._silent():
            self.pending += raw

    def flush(self) -> None:
        if self.pending:
            name = self.fonts.get(self.group.font, self.codepage)
            self.out.append(self.pending.decode(name, "replace"))
            self.pending.clear()

    def _silent(self) -> bool:
        hidden = self.group.hidden and not self.group.tag
        return self.group.unread or self.group.fonts or hidden

    def open(self) -> None:
        self.flush()
        if len(self.stack) < MAX_DEPTH:
            self.stack.append(self.group)
            self.group = msgspec.structs.replace(self.group)

    def close(self) -> None:
        self.flush()
        if self.stack:
            self.group = self.stack.pop()

    def command(self, word: bytes, number: int | None) -> None:
        self.flush()
        self.skip = 0
        starred, self.starred = self.starred, False
        if word in _SAID:
            self.say(_SAID[word])
        elif word == b"u" and number is not None:
            self.say(chr(number % 0x10000))
            self.skip = self.group.skips
        elif word == b"uc":
            self.group.skips = min(max(number or 0, 0), 16)
        elif word == b"htmltag":
            self.group.tag = self.html
            self.group.unread = not self.html
        elif word == b"htmlrtf":
            self.group.hidden = self.html and number != 0
        elif word == b"fromhtml":
            self.html = number != 0
        elif word == b"fonttbl":
            self.group.fonts = True
        elif word in _UNREAD or (starred and word not in (b"fldrslt", b"shptxt")):
            self.group.unread = True
        else:
            self._of_fonts(word, number)

    def _of_fonts(self, word: bytes, number: int | None) -> None:
        if word == b"f" and number is not None:
            self.group.font = number
        elif word == b"fcharset" and self.group.fonts and number in _CODEPAGES:
            self.fonts[self.group.font] = _CODEPAGES[number]
        elif word == b"ansicpg" and number is not None:
            self.codepage = _known(f"cp{number}") or self.codepage


def _known(name: str) -> str | None:
    try:
        return lookup("utf-8" if name == "cp65001" else name).name
    except LookupError:
        return None


def read(raw: bytes) -> tuple[str, str]:
    """(text, HTML) of an RTF: one of them, the other is "". ("", "") for what is none."""
    if not raw.lstrip().startswith(b"{\\rtf"):
        return "", ""
    reader = _Reader()
    for word, number, hexed, sign, brace, plain in _TOKEN.findall(raw):
        if brace:
            reader.skip = 0
            reader.open() if brace == b"{" else reader.close()
        elif word:
            reader.command(word, int(number) if number else None)
        elif sign == b"*":
            reader.starred = True
        elif reader.skip and (hexed or sign):
            reader.skip -= 1
        elif hexed:
            reader.hold(bytes.fromhex(hexed.decode()))
        elif sign:
            reader.say(_SIGNS.get(sign, ""))
        else:
            reader.hold(plain[reader.skip :])
            reader.skip = max(reader.skip - len(plain), 0)
    reader.flush()
    said = "".join(reader.out).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return ("", said) if reader.html else (said.strip(), "")
