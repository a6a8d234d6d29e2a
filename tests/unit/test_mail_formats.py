"""Mail as gateways and programs break it: structure, encodings, headers. One broken thing a case."""

import time

import pytest

from services.channels.connectors.email.email_mime import EmailSettings, normalise
from services.channels.connectors.email.encodings import decoded, encoding
from services.channels.connectors.email.headers import addresses
from services.channels.connectors.email.headers import decoded as words
from services.channels.connectors.email.mime import Mail, parse_mail
from services.channels.connectors.email.parameters import parameters
from services.channels.connectors.port import Parsed

HEAD = (
    b"From: Kim <kim@example.org>\nTo: help@acme.example\nSubject: Invoice\n"
    b"Message-ID: <a@b>\nDate: Mon, 02 Mar 2026 10:00:00 +0100\n"
)
PDF = b"Content-Type: application/pdf; name=x.pdf\nContent-Transfer-Encoding: base64\n\nAAAA\n"


def read(raw: bytes) -> Mail:
    return parse_mail(raw, Parsed())


def body(kind: bytes, rest: bytes) -> Mail:
    """A mail of this Content-Type with these bytes below."""
    return read(HEAD + b"Content-Type: " + kind + b"\n" + rest)


MIXED = b"--edge\nContent-Type: text/plain\n\nplain words\n--edge\n" + PDF


@pytest.mark.parametrize(
    ("declared", "end"),
    [
        (b"multipart/mixed; boundary=edge", b"--edge--\n"),
        (b"multipart/mixed; boundary=edge", b""),
        (b'multipart/mixed; boundary="edge "', b"--edge--\n"),
        (b"multipart/mixed; boundary=edge;", b"--edge--  \r\nfooter"),
        (b"multipart/mixed", b"--edge--\n"),
        (b"multipart/mixed; boundary=", b"--edge--\n"),
        (b"multipart/mixed; boundary=another", b"--edge--\n"),
        (b"multipart; boundary=edge", b"--edge--\n"),
    ],
)
def test_a_boundary_may_be_missing_wrong_or_open(declared: bytes, end: bytes) -> None:
    found = body(declared, b"\n" + MIXED + end)
    assert found.text == "plain words"
    assert [(each.name, each.size) for each in found.attachments] == [("x.pdf", 3)]


def test_a_part_that_is_cut_off_keeps_what_came() -> None:
    found = body(
        b"multipart/mixed; boundary=edge", b"\n--edge\nContent-Type: text/plain\n\nsome wo"
    )
    assert found.text == "some wo"


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"])
def test_line_endings(ending: bytes) -> None:
    raw = HEAD + b"Content-Type: multipart/mixed; boundary=edge\n\n" + MIXED + b"--edge--\n"
    found = read(raw.replace(b"\n", ending))
    assert (found.subject, found.text, len(found.attachments)) == ("Invoice", "plain words", 1)


@pytest.mark.parametrize(
    ("declared", "rest", "text"),
    [
        (b"multipart/alternative", b"\njust words\n", "just words"),
        (b"multipart/mixed; boundary=x", b"\njust words\n--x--\n", "just words"),
        (
            b"multipart/mixed; boundary=x",
            b"\n--x\nContent-Type: text/plain\nno gap\n--x--",
            "no gap",
        ),
        (b"multipart/mixed; boundary=x", b"\n--x\nTo be: or not\n--x--", "To be: or not"),
        (b"multipart/mixed; boundary=x", b"\n--x\n\nwords\n--xy\n--x--", "words\n--xy"),
        (b"multipart/alternative", b"\n<html><p>rich <b>words</b></p></html>", "rich words"),
        (b"nonsense", b"\njust words\n", "just words"),
        (b"; charset=utf-8", b"\nGr\xc3\xbc\xc3\x9fe\n", "Grüße"),
        (b"text/plain charset=koi8-r", b"\n\xe7\xd2\xd5\xd3\xd4\xd8\n", "Грусть"),
        (b"text/plain; charset=iso-8859-1", b"\nGr\xc3\xbc\xc3\x9fe\n", "Grüße"),
        (b"text/plain; charset=utf-8", b"\n\xef\xbb\xbfhello", "hello"),
        (b"TEXT/HTML", b"\n<meta charset=windows-1251><p>\xcf\xf0\xe8\xe2\xe5\xf2", "Привет"),
        (b"message/rfc822", b"\nSubject: inner\n\ninner words\n", "inner words"),
        (b"text/plain; name=body.txt", b"Content-Disposition: inline\n\njust words", "just words"),
    ],
)
def test_the_best_text_is_found(declared: bytes, rest: bytes, text: str) -> None:
    assert body(declared, rest).text == text


def test_a_head_that_ends_without_a_blank_line() -> None:
    found = read(HEAD + b"these are words\nand more: words\n")
    assert (found.subject, found.text) == ("Invoice", "these are words\nand more: words")


def test_an_address_list_broken_over_lines_without_indent() -> None:
    raw = HEAD.replace(b"To: help@acme.example", b"To: \n a@x.example,\nb@x.example")
    assert [each.address for each in read(raw + b"\nx").to] == ["a@x.example", "b@x.example"]


def test_an_attached_mail_is_kept_byte_for_byte() -> None:
    inner = b"Subject:  inner \nX-Odd:\tone\n\nwords =3D\n"
    parsed = Parsed()
    part = b"--x\nContent-Type: message/rfc822\n\n" + inner + b"\n--x--"
    parse_mail(HEAD + b"Content-Type: multipart/mixed; boundary=x\n\n" + part, parsed)
    assert parsed.blobs[0].content == inner


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (b"quoted-printable;", "qp"), (b"Quoted-Printable (as they say)", "qp"),
        (b"'base64'", "base64"), (b"x-uuencode", "uu"), (b"8bits", ""), (b"7 bit", ""), (b"", ""),
    ],
)  # fmt: skip
def test_names_of_encodings(value: bytes, name: str) -> None:
    assert encoding(value) == name


@pytest.mark.parametrize(
    ("raw", "name", "wanted"),
    [
        (b"aGVsbG8gd29yZHM", "base64", b"hello words"),
        (b"aGVs\r\nbG8gd2\n9yZHM=", "base64", b"hello words"),
        (b"aGVsbG8gd29yZHM=\n\n-- \nfooter of a list\n", "base64", b"hello words"),
        (b"These are plain words, after all.", "base64", b"These are plain words, after all."),
        (b"50=25 =XX a=\nb", "qp", b"50% =XX ab"),
        (b"begin 644 x\n#8V%T\n`\nend\nmore", "uu", b"cat"),
        (b"these are words", "uu", b"these are words"),
    ],
)
def test_encodings(raw: bytes, name: str, wanted: bytes) -> None:
    assert decoded(raw, name, text=True).startswith(wanted)


def test_what_follows_base64_is_kept() -> None:
    raw = b"aGVsbG8gd29yZHM=\n\n-- \nfooter of a list\n"
    assert b"footer of a list" in decoded(raw, "base64", text=True)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (b"attachment; filename=a b;c.pdf", "a b;c.pdf"),
        (b'attachment; filename="a;b.pdf"', "a;b.pdf"),
        (b'attachment; filename="a \\"b\\".pdf"', 'a "b".pdf'),
        (b'attachment; filename="open.pdf', "open.pdf"),
        (b'attachment; filename="C:\\dir\\a.pdf"', "C:\\dir\\a.pdf"),
        (
            b"attachment; filename*0*=utf-8''f%C3%BC; filename*1*=r%20x; filename*2=.pdf",
            "für x.pdf",
        ),
        (b"attachment; filename*1=b.pdf; filename*0=a", "ab.pdf"),
        (b"attachment; filename*=x-foo''f%C3%BCr.pdf", "für.pdf"),
        (b"attachment; filename=f\xfcr.pdf", "für.pdf"),
        ("attachment; filename=für.pdf".encode(), "für.pdf"),
        (b"attachment; filename=x; filename=y", "x"),
        (b"attachment; FILENAME = x ", "x"),
        (b"attachment;;; filename=x", "x"),
    ],
)
def test_parameters(value: bytes, wanted: str) -> None:
    assert parameters(value)[1]["filename"] == wanted


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        ("=?utf-8?Q?Hello_w=F6rld", "Hello wörld"),
        ("=?utf-8?B?SGVsbG8=", "Hello"),
        ("=?utf-8?Q?How?_So?= x", "How? So x"),
        ("=?utf-8?Q?a =?utf-8?Q?b?=", "=?utf-8?Q?a b"),
        ("=?ISO-2022-JP?B?GyRCJDkkXyReJDskcw==?= =?ISO-2022-JP?B?GyhC?= ok", "すみません ok"),
    ],
)
def test_encoded_words_that_are_broken(raw: str, wanted: str) -> None:
    assert words(raw) == wanted


def test_escape_sequences_in_a_raw_header_are_japanese() -> None:
    raw = HEAD.replace(b"Invoice", "すみません".encode("iso2022_jp"))
    assert read(raw + b"\nx").subject == "すみません"


@pytest.mark.parametrize(
    ("raw", "address", "name"),
    [
        ("Kim <<kim@example.org>>", "kim@example.org", "Kim"),
        ("Kim <kim@example.org", "kim@example.org", "Kim"),
        ("Kim < kim @example.org >", "kim@example.org", "Kim"),
        ('Kim <"kim lee"@example.org>', '"kim lee"@example.org', "Kim"),
        ("Kim <@a.example,@b.example:kim@example.org>", "kim@example.org", "Kim"),
        ("kim@example.org (Kim (the boss) Lee)", "kim@example.org", "Kim (the boss) Lee"),
        ("=?utf-8?Q?J=C3=BCrgen_<kim=40example.org>?=", "kim@example.org", "Jürgen"),
        ("=?utf-8?Q?J=C3=BCrgen_<kim@example.org>?=", "kim@example.org", "Jürgen"),
        (
            "Kim [Sales] @ Acme, Inc. <kim@example.org>",
            "kim@example.org",
            "Kim [Sales] @ Acme, Inc.",
        ),
    ],
)
def test_addresses_that_are_broken(raw: str, address: str, name: str) -> None:
    assert [(each.address, each.name) for each in addresses(raw)] == [(address, name)]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (b"Sender: s@x.example\n", "s@x.example"),
        (b"From: \nSender: s@x.example\n", "s@x.example"),
        (b"Reply-To: r@x.example\n", "r@x.example"),
        (b"Return-Path: <p@x.example>\n", "p@x.example"),
        (b"From: Only A Name\nReply-To: r@x.example\n", "r@x.example"),
    ],
)
def test_the_sender_where_from_names_nobody(given: bytes, wanted: str) -> None:
    found = normalise(read(given + b"Subject: x\n\nwords"), EmailSettings())
    assert [each.value for each in found.identities] == [wanted]


@pytest.mark.parametrize(
    "piece",
    [b"--edge\n", b"--edge", b"x: ;=\"\\\"", b"=?a?q?", b"<(\"", b"begin 644 x\n", b"Content-a:\n",
     b"--x\nContent-Type: multipart/mixed; boundary=x\n\n"],
)  # fmt: skip
def test_cost_grows_with_length_only(piece: bytes) -> None:
    """Splitting or matching of quadratic cost would take minutes here."""

    def cost(count: int) -> float:
        raw = HEAD + b"X: " + piece.replace(b"\n", b" ") * count + b"\nTo: " + (
            piece.replace(b"\n", b" ") * count
        ) + b"\nContent-Type: multipart/mixed; boundary=edge\n\n" + piece * count  # fmt: skip
        started = time.process_time()
        read(raw)
        return time.process_time() - started

    small = max(min(cost(2_000) for _ in range(3)), 1e-3)
    assert cost(16_000) < small * 8 * 12
