"""winmail.dat: what Outlook wrapped is among the mail's files, and broken wrapping loses nothing."""

import base64
import struct

from hypothesis import given
from hypothesis import strategies as st

from services.channels.connectors import registry
from services.channels.connectors.email.tnef import opened
from services.channels.connectors.handling import handle
from services.channels.connectors.port import InboundRequest
from shared.contracts.interactions import Interaction


def attribute(name: int, data: bytes, level: int = 2) -> bytes:
    return struct.pack("<BII", level, name, len(data)) + data + struct.pack("<H", sum(data) % 65536)


def properties(*listed: tuple[int, int, bytes]) -> bytes:
    made = struct.pack("<I", len(listed))
    for which, kind, value in listed:
        made += struct.pack("<HH", kind, which)
        if which >= 0x8000:
            made += bytes(16) + struct.pack("<II", 1, 4) + "A\0".encode("utf-16-le")
        if kind in (0x1E, 0x1F, 0x102, 0x0D):
            made += struct.pack("<II", 1, len(value)) + value + bytes(-len(value) % 4)
        else:
            made += value
    return made


def wrapped(*attributes: bytes) -> bytes:
    return b"\x78\x9f\x3e\x22" + b"\x01\x00" + b"".join(attributes)


def wide(text: str) -> bytes:
    return (text + "\0").encode("utf-16-le")


LONG = properties(
    (0x8123, 0x03, b"\x01\0\0\0"),
    (0x3707, 0x1F, wide("Übersicht März.pdf")),
    (0x370E, 0x1E, b"application/pdf\0"),
    (0x3712, 0x1F, wide("<image001@x>")),
)
FILE = attribute(0x69002, bytes(14)) + attribute(0x18010, b"UBERSI~1.PDF\0")
PDF = FILE + attribute(0x6800F, b"%PDF-1") + attribute(0x69005, LONG)
ANSI = attribute(0x69002, bytes(14)) + attribute(0x18010, "Größe.txt\0".encode("cp1252"))
TEXT = ANSI + attribute(0x6800F, b"hello")
BODY = attribute(0x69003, properties((0x1000, 0x1F, wide("Dear team"))), 1)
CODEPAGE = attribute(0x69007, struct.pack("<II", 1252, 0), 1)


def read(content: bytes, words: str = "Hello", kind: str = "application/ms-tnef") -> Interaction:
    encoded = base64.encodebytes(content).decode()
    mail = (
        "From: Kim <kim@x.example>\nSubject: Bill\nMessage-ID: <1@x>\nMIME-Version: 1.0\n"
        f"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\n\n{words}\n--b\n"
        f'Content-Type: {kind}; name="winmail.dat"\nContent-Transfer-Encoding: base64\n'
        f'Content-Disposition: attachment; filename="winmail.dat"\n\n{encoded}\n--b--\n'
    )
    connector = registry.get("email_mime")
    request = InboundRequest("POST", "https://a.example/", (), mail.encode(), 0)
    handled = handle(
        connector, connector.settings(), {}, request, connector_id="m", workspace="w", trial=True
    )
    assert handled.problems == []
    return handled.events[0].interaction


def test_the_files_inside_are_the_mails_files() -> None:
    data = read(wrapped(CODEPAGE, BODY, PDF, TEXT))
    found = [(one.name, one.content_type, one.size, one.inline) for one in data.attachments]
    assert found == [
        ("Übersicht März.pdf", "application/pdf", 6, True),
        ("Größe.txt", "application/octet-stream", 5, False),
    ]
    assert data.text == "Hello", "the mail's own words are the text"


def test_its_words_are_the_text_of_a_mail_that_has_no_others() -> None:
    assert read(wrapped(CODEPAGE, BODY, PDF), words="").text == "Dear team"
    html = attribute(0x69003, properties((0x1013, 0x102, b"<p>Dear <b>team</b></p>")), 1)
    assert read(wrapped(html, PDF), words="", kind="application/octet-stream").text == "Dear team"


def test_a_message_that_was_attached_gives_its_files_and_another_object_itself() -> None:
    inner = bytes(16) + wrapped(TEXT)
    embedded = FILE + attribute(0x69005, properties((0x3701, 0x0D, inner)))
    assert [one.name for one in read(wrapped(embedded)).attachments] == ["Größe.txt"]
    drawn = FILE + attribute(0x69005, properties((0x3701, 0x0D, bytes(16) + b"drawing")))
    assert [one.size for one in read(wrapped(drawn)).attachments] == [7]


def test_what_holds_no_file_stays_as_it_is() -> None:
    for content in (wrapped(CODEPAGE, BODY), b"not wrapped", b"\x78\x9f\x3e\x22"):
        (file,) = read(content).attachments
        assert (file.name, file.size) == ("winmail.dat", len(content))


def test_what_breaks_off_gives_what_came_before() -> None:
    whole = wrapped(CODEPAGE, BODY, TEXT, PDF)
    for end in range(len(whole)):
        found = opened(whole[:end])
        assert found is None or all(one.content for one in found.files)
    found = opened(wrapped(TEXT, FILE, attribute(0x69005, b"\xff\xff\xff\xff"), TEXT))
    assert found is not None and [one.name for one in found.files] == ["Größe.txt"] * 2


@given(st.binary(max_size=400), st.integers(0, 400), st.binary(max_size=8))
def test_no_bytes_raise(tail: bytes, at: int, other: bytes) -> None:
    opened(b"\x78\x9f\x3e\x22" + tail)
    whole = wrapped(CODEPAGE, BODY, PDF, TEXT)
    opened(whole[:at] + other + whole[at + len(other) :])
