"""Mail as gateways and programs break it: structure, encodings, headers. One broken thing a case."""

import pytest

from services.channels.connectors.email.email_mime import EmailSettings, normalise
from services.channels.connectors.email.encodings import decoded, encoding
from services.channels.connectors.email.headers import addresses
from services.channels.connectors.email.headers import decoded as words
from services.channels.connectors.email.mime import Mail, parse_mail
from services.channels.connectors.email.parameters import parameters
from services.channels.connectors.email.readable_html import readable_html
from services.channels.connectors.port import Parsed
from tests.mail.cost import cpu_s

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
        (b"text/plain", b"Content-Disposition: attachment\n\njust words", "just words"),
        (b"text/enriched", b"\n<bold>just</bold> 1 << 2", "just 1 < 2"),
        (b"text/x-unheard-of", b"\njust words", "just words"),
        (
            b"multipart/alternative; boundary=x",
            b"\n--x\n\nplain\n--x\nContent-Type: text/enriched\n\n<bold>rich</bold>\n--x--",
            "plain",
        ),
        (
            b"text/html",
            b"\n<div>Write to Kim <kim@example.org> soon",
            "Write to Kim <kim@example.org> soon",
        ),
    ],
)
def test_the_best_text_is_found(declared: bytes, rest: bytes, text: str) -> None:
    assert body(declared, rest).text == text


def test_a_richer_form_of_the_text_is_no_attachment() -> None:
    parts = b"\n--x\n\nplain\n--x\nContent-Type: text/enriched\n\n<bold>rich</bold>\n--x--"
    assert body(b"multipart/alternative; boundary=x", parts).attachments == []
    calendar = body(b"text/calendar", b"\nBEGIN:VCALENDAR")
    assert [each.content_type for each in calendar.attachments] == ["text/calendar"]


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
        return cpu_s(lambda: read(raw))

    small = max(min(cost(2_000) for _ in range(3)), 1e-3)
    assert cost(16_000) < small * 8 * 12


@pytest.mark.parametrize(
    ("kind", "piece"),
    [
        (b"text/plain; format=flowed", b"a \n"),
        (b"text/html", b"&"),
    ],
)
def test_a_body_of_one_paragraph_costs_no_more_than_its_length(kind: bytes, piece: bytes) -> None:
    """A megabyte of it took half a minute."""

    def cost(count: int) -> float:
        return cpu_s(lambda: body(kind, b"\n" + piece * count))

    small = max(min(cost(4_000) for _ in range(3)), 1e-3)
    assert cost(128_000) < small * 32 * 8


def test_a_style_is_read_once() -> None:
    """Whether it hides was looked for from each of its declarations to its end."""

    def cost(count: int) -> float:
        style = "overflow:hidden;" * count
        return cpu_s(lambda: [readable_html(f"<p style='{style}{at}'>x") for at in range(50)])

    small = max(min(cost(4) for _ in range(3)), 1e-3)
    assert cost(120) < small * 30 * 3


def test_all_parts_of_a_mail_are_read_up_to_one_limit() -> None:
    parts = b"".join(
        b"--edge\nContent-Type: text/html\n\n" + b"<p>words" * 30_000 for _ in range(9)
    )
    parsed = Parsed()
    mail = parse_mail(HEAD + b"Content-Type: multipart/mixed; boundary=edge\n\n" + parts, parsed)
    assert {problem.code for problem in parsed.problems} >= {"html_cut"}
    assert mail.text.startswith("words") and len(mail.text) < 9 * 30_000 * 5


def test_more_parts_than_any_mail_has_are_one() -> None:
    parts = b"--edge\nContent-Type: text/plain\n\nx\n" * 3_000
    mail = read(HEAD + b"Content-Type: multipart/mixed; boundary=edge\n\n" + parts)
    assert mail.text.startswith("x\n\nx")


# --- what machines write ------------------------------------------------------------------------

OURS = EmailSettings(addresses=["help@acme.example"], message_id_domains=["out.acme.example"])


def notice(sender: str, subject: str, text: str, more: str = "") -> bytes:
    return (
        f"From: {sender}\nTo: help@acme.example\nSubject: {subject}\nMessage-ID: <n1@mx.example>\n"
        f"{more}\n{text}"
    ).encode()


QMAIL = """Hi. This is the qmail-send program at mx.example.
I'm afraid I wasn't able to deliver your message to the following addresses.

<kim@example.org>:
192.0.2.1 does not like recipient.
Remote host said: 550 5.1.1 User unknown

--- Below this line is a copy of the message.

Return-Path: <help@acme.example>
Message-ID: <out1@out.acme.example>
Subject: Your parcel
"""
EXIM = """This message was created automatically by mail delivery software.

A message that you sent could not be delivered to one or more of its recipients.

  kim@example.org
    mailbox is full: retry timeout exceeded

------ This is a copy of the message, including all the headers. ------

Message-ID: <out1@out.acme.example>
"""
SENDMAIL = """The original message was received at Mon, 2 Mar 2026 10:00:00 GMT

   ----- The following addresses had permanent fatal errors -----
<kim@example.org>
    (reason: 550 5.1.1 User unknown)

Message-ID: <out1@out.acme.example>
"""


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (notice("MAILER-DAEMON@mx.example", "failure notice", QMAIL), "5.1.1"),
        (notice("<mailer-daemon@mx.example>", "?", QMAIL), "5.1.1"),
        (notice("Mail Delivery System <Mailer-Daemon@mx.example>", "Mail delivery failed", EXIM), None),
        (notice("x@mx.example", "?", EXIM, "X-Failed-Recipients: kim@example.org\n"), None),
        (notice("Mail Delivery Subsystem <MAILER-DAEMON@mx.example>", "Returned mail", SENDMAIL), "5.1.1"),
        (notice("postmaster@mx.example", "Unzustellbar: Paket", SENDMAIL), "5.1.1"),
        (notice("postmaster@mx.example", "Échec de remise : Colis", SENDMAIL), "5.1.1"),
        (notice("MAILER-DAEMON", "系统退信", SENDMAIL, "Return-Path: <>\n"), "5.1.1"),
    ],
)  # fmt: skip
def test_bounces_without_a_report(raw: bytes, status: str | None) -> None:
    found = normalise(read(raw), OURS)
    assert found.flags[0] == "bounce" and found.email is not None
    bounce = found.email.bounce
    assert bounce is not None
    assert (bounce.status, bounce.recipient) == (status, "kim@example.org")
    assert bounce.message_id == "out1@out.acme.example"
    assert "id:out1@out.acme.example" in found.thread_candidates


def report(kind: str, *parts: str, outer: str = "report") -> bytes:
    inner = "".join(f"--edge\n{part}\n" for part in parts)
    head = f'Content-Type: multipart/{outer}; report-type={kind}; boundary="edge"\n'
    text = f"--edge\nContent-Type: text/plain\n\nwords\n{inner}--edge--\n"
    return notice("Postmaster <postmaster@mx.example>", "Notice", text, head)


STATUS = "Content-Type: message/delivery-status\n{}\nReporting-MTA: dns; mx.example\n\n"


@pytest.mark.parametrize(
    ("rows", "status"),
    [
        ("Final-Recipient: rfc822;kim@example.org\nAction: failed\nStatus: 5.1.10", "5.1.10"),
        ("Final-Recipient: RFC822; <kim@example.org>\nAction: Failed\nStatus: 5.2.2 (full)", "5.2.2"),
        ("Original-Recipient: rfc822;kim@example.org\nAction: failed\nStatus: 550\n"
         "Diagnostic-Code: smtp; 550-5.1.1 no such\n user", "5.1.1"),
        ("Final-Recipient: rfc822;a@example.org\nAction: delivered\nStatus: 2.0.0\n\n"
         "Final-Recipient: rfc822;kim@example.org\nAction: failed\nStatus: 5.4.4", "5.4.4"),
        ("Final-Recipient: rfc822;kim@example.org\nAction: delayed\nStatus: 4.4.7", "4.4.7"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("outer", ["report", "mixed"])
def test_reports_of_delivery(rows: str, status: str, outer: str) -> None:
    original = "Content-Type: text/rfc822-headers\n\nMessage-ID: <out1@out.acme.example>"
    raw = report("delivery-status", STATUS.format("") + rows, original, outer=outer)
    found = normalise(read(raw), OURS)
    assert found.flags[0] == "bounce" and found.email is not None
    bounce = found.email.bounce
    assert bounce is not None
    assert (bounce.status, bounce.recipient) == (status, "kim@example.org")
    assert bounce.message_id == "out1@out.acme.example"


def test_a_report_may_be_encoded() -> None:
    rows = (
        STATUS.format("Content-Transfer-Encoding: quoted-printable\n")
        + "Action: fail=\ned\nStatus: 5=2E1.1"
    )
    mail = read(report("delivery-status", rows))
    assert mail.bounce is not None and mail.bounce.status == "5.1.1"


def test_a_receipt_is_automatic_and_names_the_message_it_is_about() -> None:
    part = (
        "Content-Type: message/disposition-notification\n\nFinal-Recipient: rfc822;kim@example.org\n"
        "Original-Message-ID: <out1@out.acme.example>\nDisposition: manual-action; displayed"
    )
    found = normalise(read(report("disposition-notification", part)), OURS)
    assert found.flags == ["auto_reply"]
    assert found.thread_candidates == ["id:out1@out.acme.example"]


def test_a_wish_for_no_automatic_answer_silences_nobody() -> None:
    found = normalise(read(HEAD + b"X-Auto-Response-Suppress: All\n\nwords"), OURS)
    assert found.flags == [] and found.email is not None and found.email.no_auto_reply


FORM = b"From: Acme <help@acme.example>\nTo: help@acme.example\nReply-To: Kim <kim@example.org>\n"


def test_a_form_that_writes_in_our_name_is_the_customers_mail() -> None:
    found = normalise(read(FORM + b"Subject: Form\n\nwords"), OURS)
    assert (found.direction, found.flags) == ("inbound", [])
    assert (found.author.role, found.author.id) == ("customer", "kim@example.org")
    back = normalise(read(FORM + b"X-Loop: help@acme.example\nSubject: Form\n\nwords"), OURS)
    assert "own_loop" in back.flags
    ours = FORM.replace(b"To: help", b"To: kim", 1)
    assert "own_loop" in normalise(read(ours + b"Subject: x\n\nwords"), OURS).flags
