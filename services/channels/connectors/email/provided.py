"""Mail that a provider hands over in pieces, put together again, so that one parser reads all."""

import base64
import re
from collections.abc import Iterable, Mapping
from hashlib import sha256

from services.channels.connectors.email.bodies import File
from services.channels.connectors.email.email_mime import EmailSettings, normalise
from services.channels.connectors.email.mime import parse_mail
from services.channels.connectors.fields import clean
from services.channels.connectors.port import Normalised, Parsed

# What describes the original's outer shape, which the pieces no longer have.
_SHAPE = ("mime-version", "content-type", "content-transfer-encoding", "content-disposition")
_NAME = re.compile(r"[!-9;-~]{1,128}\Z")


def raw_event(raw: bytes, settings: EmailSettings, parsed: Parsed) -> Normalised:
    """The event of a raw mail."""
    return normalise(parse_mail(raw, parsed), settings)


def pieces_event(
    headers: Iterable[tuple[str, str]],
    text: str | None,
    html: str | None,
    files: Iterable[File],
    settings: EmailSettings,
    parsed: Parsed,
) -> Normalised:
    """The event of a mail given in pieces: decoded headers, text, HTML, files."""
    given = list(files)
    event = raw_event(rebuilt(headers, text, html, given), settings, parsed)
    seen = event.attachments[-len(given) :] if given else []
    for attachment, file in zip(seen, given, strict=False):
        attachment.inline = file.inline
        attachment.content_type = clean(file.content_type, 200).lower() or attachment.content_type
    return event


def rebuilt(
    headers: Iterable[tuple[str, str]],
    text: str | None,
    html: str | None,
    files: Iterable[File],
) -> bytes:
    """A raw mail with these pieces, the same bytes each time."""
    lines = [_line(name, value) for name, value in headers if name.lower() not in _SHAPE]
    bodies = [
        _part(f"text/{kind}; charset=utf-8", body.encode("utf-8", "replace"))
        for kind, body in (("plain", text), ("html", html))
        if body
    ]
    parts = [_several("alternative", bodies), *(_file(file) for file in files)]
    return b"".join(lines) + b"MIME-Version: 1.0\r\n" + _several("mixed", parts)


def _line(name: str, value: str) -> bytes:
    if not _NAME.match(name):
        return b""
    unfolded = re.sub(r"[\r\n]+[ \t]*", " ", clean(value)).strip()
    return f"{name}: {unfolded}\r\n".encode("utf-8", "replace")


def _several(kind: str, parts: list[bytes]) -> bytes:
    edge = sha256(b"\x00".join(parts)).hexdigest()
    head = f'Content-Type: multipart/{kind}; boundary="{edge}"\r\n\r\n'.encode()
    return head + b"".join(_edge(edge) + part for part in parts) + f"--{edge}--\r\n".encode()


def _edge(edge: str) -> bytes:
    return f"--{edge}\r\n".encode()


def _part(content_type: str, content: bytes, more: str = "") -> bytes:
    coded = base64.encodebytes(content).replace(b"\n", b"\r\n")
    head = f"Content-Type: {content_type}\r\nContent-Transfer-Encoding: base64\r\n{more}\r\n"
    return head.encode("utf-8", "replace") + coded + b"\r\n"


_TYPE = re.compile(r"[A-Za-z0-9.+_-]{1,80}/[A-Za-z0-9.+_-]{1,80}\Z")


def _file(file: File) -> bytes:
    """A file's part, such that nothing of it is opened as text or as a mail within the mail."""
    outer = file.content_type.lower().startswith(("multipart/", "message/"))
    plain = _TYPE.match(file.content_type) and not outer
    kind = file.content_type if plain else "application/octet-stream"
    name = base64.b64encode((file.name or "").encode("utf-8", "replace")).decode()
    more = "Content-Disposition: attachment"
    more += f'; filename="=?utf-8?b?{name}?="\r\n' if file.name else "\r\n"
    if file.content_id:
        identity = re.sub(r"[<>\s]", "", clean(file.content_id, 200))
        more += f"Content-ID: <{identity}>\r\n"
    return _part(kind, file.content, more)


def header_pairs(names: Iterable[tuple[object, object]]) -> list[tuple[str, str]]:
    """The pairs that are text, in their order."""
    return [(a, b) for a, b in names if isinstance(a, str) and isinstance(b, str)]


def header_lines(text: str) -> list[tuple[str, str]]:
    """The headers of a block of lines, unfolded."""
    unfolded = re.sub(r"\r?\n[ \t]+", " ", text.strip("\r\n"))
    split = (line.partition(":") for line in unfolded.splitlines())
    return [(name.strip(), value.strip()) for name, colon, value in split if colon]


def completed(
    pairs: list[tuple[str, str]], known: Mapping[str, str | None]
) -> list[tuple[str, str]]:
    """The headers, with those that the provider tells beside them where they lack."""
    there = {name.lower() for name, _ in pairs}
    return pairs + [(name, v) for name, v in known.items() if v and name.lower() not in there]


def visible_reply(event: Normalised, theirs: str, signature: str = "") -> str | None:
    """The reply as the provider stripped it, unless a line of the mail is missing there that we keep:
    providers lose answers between and below quotes. A `signature` that they tell apart may be missing.
    What is not made of the text's own lines cannot be judged."""
    own, theirs = event.reply_text, clean(theirs).strip()
    there, told = _lines(theirs), _lines(signature)
    if not theirs or not own or not set(there) <= set(_lines(event.text or "")):
        return theirs or own
    kept = _lines(own)
    if kept and kept[-1].endswith((":", "：")):
        kept.pop()  # "Kim wrote:", of which nothing is left below
    lost = set(kept) - {*there, *told}
    return own if any(line[0] != ">" for line in lost) else theirs


def _lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def delivered_to(addresses: Iterable[str]) -> list[tuple[str, str]]:
    """The envelope's recipients as headers: a token in one of them names the conversation."""
    return [("X-Original-To", address) for address in addresses if address][:100]
