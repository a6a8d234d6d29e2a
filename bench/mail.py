"""How many mails of about 10 KB one core reads, from bytes to the event that goes on the bus."""

import base64
import quopri
import time
from collections.abc import Callable

from bench.figures import Figure
from services.channels.connectors import registry
from services.channels.connectors.email.email_mime import EmailSettings, request_of
from services.channels.connectors.handling import handle

ROUNDS = 150
REPEATS = 3
TARGET = 1_000
SETTINGS = EmailSettings(addresses=["help@acme.example"])

_HEAD = (
    b"".join(
        b"Received: from mx%d.example.org (mx%d.example.org [192.0.2.%d]) by mx.acme.example with"
        b" ESMTPS id 4X%d\r\n for <help@acme.example>; Mon, 02 Mar 2026 10:00:0%d +0100\r\n"
        % ((n,) * 5)
        for n in range(6)
    )
    + b"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.org; s=20260101;\r\n b="
    + b"A" * 340
    + b"\r\nFrom: =?utf-8?q?Kim_M=C3=BCller?= <kim@example.org>\r\nTo: Help <help@acme.example>\r\n"
    b"Subject: =?utf-8?q?Re=3A_Rechnung_f=C3=BCr_M=C3=A4rz?=\r\nMessage-ID: <a@example.org>\r\n"
    b"In-Reply-To: <x@acme.example>\r\nReferences: <y@acme.example> <x@acme.example>\r\n"
    b"Date: Mon, 02 Mar 2026 10:00:00 +0100\r\nMIME-Version: 1.0\r\n"
)
_WORDS = "Guten Tag, meine Rechnung für März ist leider falsch. Bitte prüfen Sie den Betrag von 42,00 EUR.\n"
_ATTRIBUTION = "\nAm 02.03.2026 um 10:00 schrieb Acme <help@acme.example>:\n"


def _plain(lines: int) -> bytes:
    text = _WORDS * lines + _ATTRIBUTION + f"> {_WORDS}" * lines
    return text.replace("\n", "\r\n").encode()


def _html(lines: int) -> bytes:
    text = f"<p>{_WORDS}</p>" * lines + f"<blockquote>{f'<div>{_WORDS}</div>' * lines}</blockquote>"
    return f"<html><body>{text}</body></html>".encode()


def _part(kind: bytes, encoding: bytes, content: bytes) -> bytes:
    head = b"Content-Type: %s; charset=utf-8\r\nContent-Transfer-Encoding: %s\r\n\r\n"
    return head % (kind, encoding) + content + b"\r\n"


def _multipart(kind: bytes, *parts: bytes) -> bytes:
    inner = b"".join(b"--edge\r\n" + part for part in parts)
    return b'Content-Type: multipart/%s; boundary="edge"\r\n\r\n' % kind + inner + b"--edge--\r\n"


def mails() -> dict[str, bytes]:
    """Mails of about 10 KB, of the sorts that fill a mailbox."""
    quoted = [quopri.encodestring(each) for each in (_plain(14), _html(14))]
    file = base64.encodebytes(bytes(range(256)) * 16)
    return {
        "plain": _HEAD + _part(b"text/plain", b"8bit", _plain(44)),
        "plain and HTML": _HEAD
        + _multipart(
            b"alternative",
            _part(b"text/plain", b"quoted-printable", quoted[0]),
            _part(b"text/html", b"quoted-printable", quoted[1]),
        ),
        "HTML": _HEAD + _part(b"text/html", b"base64", base64.encodebytes(_html(28))),
        "with a file": _HEAD
        + _multipart(
            b"mixed",
            _part(b"text/plain", b"8bit", _plain(18)),
            _part(b"application/pdf; name=a.pdf", b"base64", file),
        ),
    }


def run() -> list[Figure]:
    rates = {name: 1 / _cost_s(raw) for name, raw in mails().items()}
    mean = len(rates) / sum(1 / rate for rate in rates.values())
    more: dict[str, float | str] = {name: round(rate) for name, rate in rates.items()}
    return [Figure(name="10 KB mail read", value=mean, unit="mails/s", target=TARGET, more=more)]


def _cost_s(raw: bytes) -> float:
    connector, request = registry.get("email_mime"), request_of(raw, 0)

    def once() -> None:
        handle(connector, SETTINGS, {}, request, connector_id="mail", workspace="bench")

    once()
    return min(_timed(once) for _ in range(REPEATS))


def _timed(once: Callable[[], None]) -> float:
    started = time.process_time()
    for _ in range(ROUNDS):
        once()
    return (time.process_time() - started) / ROUNDS
