"""Rare forms of real mails: signed and encrypted ones, mails in pieces, invitations, Outlook's RTF, dates
and addresses as nobody should write them."""

import base64
import struct
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from services.channels.connectors.email import encodings, invitations, lzfu, rtf, smime
from services.channels.connectors.email.dates import instant
from services.channels.connectors.email.headers import addresses
from services.channels.connectors.email.markup import to_text
from services.channels.connectors.email.mime import Mail, parse_mail
from services.channels.connectors.email.reply import reply_of
from services.channels.connectors.port import Parsed

HEAD = b"From: Kim <kim@example.org>\r\nSubject: Bill\r\nMIME-Version: 1.0\r\n"


def read(rest: str | bytes) -> Mail:
    raw = rest.encode() if isinstance(rest, str) else rest
    return parse_mail(HEAD + raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"), Parsed())


def files(mail: Mail) -> list[tuple[str | None, str | None]]:
    return [(file.name, file.content_type) for file in mail.attachments]


# --- Signed and encrypted ---------------------------------------------------------------------


def signed(content: bytes) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kim")])
    built = x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(1)
    built = built.public_key(key.public_key()).not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
    certificate = built.not_valid_after(datetime(2040, 1, 1, tzinfo=UTC)).sign(key, hashes.SHA256())
    builder = pkcs7.PKCS7SignatureBuilder().set_data(content)
    builder = builder.add_signer(certificate, key, hashes.SHA256())
    return builder.sign(Encoding.DER, [pkcs7.PKCS7Options.Binary])


def enveloped(der: bytes, kind: str = "signed-data") -> bytes:
    head = f"Content-Type: application/pkcs7-mime; smime-type={kind}; name=smime.p7m\r\n"
    return (head + "Content-Transfer-Encoding: base64\r\n\r\n").encode() + base64.encodebytes(der)


INNER = b"Content-Type: multipart/mixed; boundary=i\r\n\r\n--i\r\n\r\nThe words\r\n--i\r\n"
INNER += b"Content-Type: application/pdf; name=a.pdf\r\n\r\nPDF\r\n--i--\r\n"


def test_a_mail_within_its_signature_is_read() -> None:
    der = signed(INNER)
    mail = read(enveloped(der))
    assert mail.text == "The words" and files(mail) == [("a.pdf", "application/pdf")]
    twice = read(enveloped(signed(enveloped(der))))
    assert twice.text == "The words"
    assert smime.signed_content(der[: len(der) // 2]) in (None, INNER)


def test_a_signature_of_unknown_length_is_read() -> None:
    """As Outlook and OpenSSL write it while streaming: lengths told by an end, content in chunks."""

    def unended(tag: int, content: bytes) -> bytes:
        return bytes([tag, 0x80]) + content + b"\x00\x00"

    def octets(content: bytes) -> bytes:
        return bytes([0x04, len(content)]) + content

    oid = bytes.fromhex("06092a864886f70d0107")
    chunks = octets(b"Content-Type: text/plain\r\n\r\n") + octets(b"In two chunks")
    held = unended(0x30, oid + b"\x01" + unended(0xA0, unended(0x24, chunks)))
    body = unended(0x30, b"\x02\x01\x01" + b"\x31\x00" + held)
    der = unended(0x30, oid + b"\x02" + unended(0xA0, body))
    assert read(enveloped(der)).text == "In two chunks"


def test_what_is_encrypted_stays_a_file() -> None:
    mail = read(enveloped(b"0\x82\x01\x00" + b"secret" * 20, "enveloped-data"))
    assert mail.text == "" and files(mail) == [("smime.p7m", "application/pkcs7-mime")]


@given(st.binary(max_size=200), st.integers(0, 200), st.binary(max_size=4))
def test_no_signature_raises(tail: bytes, at: int, other: bytes) -> None:
    smime.signed_content(b"0\x80" + tail)
    smime.signed_content(b"0\x82\x01\x00" + tail[:at] + other + tail[at:])


def test_words_that_were_signed_in_place_are_the_reply() -> None:
    text = (
        "Before\n-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nHello\n- - a point\nBye\n"
        "-----BEGIN PGP SIGNATURE-----\n\niQEz\n-----END PGP SIGNATURE-----\nAfter"
    )
    assert reply_of(text) == "Before\nHello\n- a point\nBye\nAfter"
    assert reply_of("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA1") != ""


# --- Mails within mails -----------------------------------------------------------------------


def test_a_part_of_a_mail_sent_in_pieces_shows_its_words() -> None:
    first = read(
        'Content-Type: message/partial; id="a"; number=1; total=2\n\n'
        "From: a@example.org\nContent-Type: text/plain\n\nThe first half"
    )
    assert first.text == "The first half"
    second = read('Content-Type: message/partial; id="a"; number=2\n\nand: the second')
    assert second.text == "and: the second"


@pytest.mark.parametrize(
    ("subject", "name"),
    [
        ("Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= / again\n", "Grüße again.eml"),
        ("Subject: \n", "message.eml"),
        ("", "message.eml"),
    ],
)
def test_a_mail_that_is_attached_has_a_name(subject: str, name: str) -> None:
    mail = read(
        "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nSee below\n--b\n"
        f"Content-Type: message/rfc822\n\nFrom: a@example.org\n{subject}\nbody\n--b--\n"
    )
    assert mail.text == "See below" and files(mail) == [(name, "message/rfc822")]


ICS = (
    "BEGIN:VCALENDAR\nMETHOD:{method}\nBEGIN:VTIMEZONE\nTZID:Berlin\nEND:VTIMEZONE\nBEGIN:VEVENT\n"
    "ATTENDEE;PARTSTAT=DECLINED:mailto:kim@example.org\nSUMMARY:Visit\\, second\n"
    " floor\nDTSTART;TZID=Europe/Berlin:20260302T100000\nLOCATION:Room 1\nBEGIN:VALARM\n"
    "DESCRIPTION:Reminder\nEND:VALARM\nDESCRIPTION:Bring\\nthe bill\nEND:VEVENT\nEND:VCALENDAR\n"
)


def test_an_invitation_that_says_nothing_else_is_told_in_words() -> None:
    mail = read(
        "Content-Type: text/calendar; method=REQUEST; charset=utf-8\n\n"
        + ICS.format(method="REQUEST")
    )
    assert mail.text == (
        "Invitation: Visit, secondfloor\nWhen: 2026-03-02 10:00 Europe/Berlin\nWhere: Room 1\n"
        "Bring\nthe bill"
    )
    assert files(mail) == [("invite.ics", "text/calendar")]
    assert invitations.words_of(ICS.format(method="REPLY")).startswith("Declined: Visit")
    assert invitations.words_of("BEGIN:VCALENDAR\nEND:VCALENDAR") == ""


# --- Outlook's RTF ----------------------------------------------------------------------------

# The two examples of MS-OXRTFCP, 4.1.
PUBLISHED = (
    "2d0000002b0000004c5a4675f1c5c7a703000a007263706731323542320af32068656c090020627705b06c647d0a800fa0",
    "1a0000001c0000004c5a4675e2d44b51410004205758595a0d6e7d010eb0",
)


def test_compressed_rtf_is_read_as_published() -> None:
    plain, runs = (lzfu.decompressed(bytes.fromhex(one)) for one in PUBLISHED)
    assert plain == b"{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n"
    assert runs == b"{\\rtf1 WXYZWXYZWXYZWXYZWXYZ}"
    whole = bytes.fromhex(PUBLISHED[0])
    for end in range(len(whole)):
        assert plain.startswith(lzfu.decompressed(whole[:end]))
    assert rtf.read(plain) == ("hello world", "")


def packed(content: bytes) -> bytes:
    """As Outlook writes what it does not compress."""
    return struct.pack("<IIII", len(content) + 12, len(content), 0x414C454D, 0) + content


RTF = (
    rb"{\rtf1\ansi\ansicpg1252{\fonttbl{\f0\fcharset0 Arial;}{\f1\fcharset128 Gothic;}}{\info{\author X}}"
    rb"\pard Gr\'fc\'dfe \u8364 ?5\par {\f1\'93\'fa\'96\'7b}\line \{a\}{\*\unknown no}\tab b}"
)


def test_rtf_is_read_with_its_charsets_and_signs() -> None:
    assert rtf.read(RTF) == ("Grüße €5\n日本\n{a}\tb", "")
    assert rtf.read(b"no rtf") == ("", "")


def test_html_that_outlook_wrapped_in_rtf_is_unwrapped() -> None:
    wrapped = (
        rb"{\rtf1\ansi\fromhtml1 {\*\htmltag64 <p>}\htmlrtf \par hidden\htmlrtf0 Hello "
        rb"w\'f6rld{\*\htmltag84 &nbsp;}\htmlrtf \'a0\htmlrtf0{\*\htmltag72 </p>}{\*\mhtmltag84 <i>}}"
    )
    assert rtf.read(wrapped) == ("", "<p>Hello wörld&nbsp;</p>")


def test_a_winmail_dat_that_holds_only_rtf_is_read() -> None:
    content = packed(RTF)
    row = struct.pack("<IHHII", 1, 0x102, 0x1009, 1, len(content)) + content
    row += b"\x00" * (-len(content) % 4)
    tnef = (
        b"\x78\x9f\x3e\x22\x00\x00" + struct.pack("<BII", 1, 0x69003, len(row)) + row + b"\x00\x00"
    )
    mail = read(
        b"Content-Type: application/ms-tnef; name=winmail.dat\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(tnef)
    )
    assert mail.text == "Grüße €5\n日本\n{a}\tb" or mail.text.startswith("Grüße €5\n日本")


@given(st.binary(max_size=300))
def test_no_rtf_raises(tail: bytes) -> None:
    rtf.read(b"{\\rtf1" + tail)
    lzfu.decompressed(bytes.fromhex(PUBLISHED[0])[:16] + tail)


# --- Encodings, dates, addresses --------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        (b"SGVsbG8g*d29y!bGQ=", b"Hello world"),
        (b"Plain*words!though", b"Plain*words!though"),
        (b"These are words, not base64!", b"These are words, not base64!"),
    ],
)
def test_base64_is_read_past_what_is_none(raw: bytes, wanted: bytes) -> None:
    assert encodings.decoded(raw, "base64", text=True) == wanted


@pytest.mark.parametrize(
    "date",
    [
        "Mon, 02 Mar 2026 10:00:00 CET",
        "Mon, 2 Mar 2026 10:00:00 +0100 (MEZ)",
        "2026-03-02 09:00:00 +0000",
        "2026-03-02T09:00:00.120Z",
        "02.03.2026 10:00:00 +0100",
        "2026/03/02 09:00",
        "Mo, 2 Mrz 2026 10:00:00 +0100",
        "lun., 2 mars 2026 10:00:00 +0100",
        "lun, 2 marzo 2026 10:00:00 +0100",
        "Monday, March 2, 2026 9:00 AM",
        "Mon, 2 Mar 2026 06:00:00 PM +0900",
        "Date: Mon, 2 Mar 2026 09:00:00 +0000",
    ],
)
def test_dates_that_nobody_should_write(date: str) -> None:
    assert instant(date) == 1772442000_000000


@pytest.mark.parametrize("date", ["2026-13-02 09:00", "32.01.2026 09:00", "2026-03-02", "Mrz 2026"])
def test_what_is_no_date(date: str) -> None:
    assert instant(date) is None


def test_a_leap_second_is_the_last() -> None:
    assert instant("Mon, 2 Mar 2026 09:00:60 +0000") == 1772442059_000000


@given(st.text(max_size=60))
def test_no_date_raises(value: str) -> None:
    instant(value)


@pytest.mark.parametrize(
    ("value", "address", "name"),
    [
        ('"kim l"@example.org', '"kim l"@example.org', None),
        ("Kim[kim@example.org]", "kim@example.org", "Kim"),
        ("Kim &lt;kim@example.org&gt;", "kim@example.org", "Kim"),
        ("kim@[192.0.2.1]", "kim@[192.0.2.1]", None),
    ],
)
def test_addresses_that_nobody_should_write(value: str, address: str, name: str | None) -> None:
    (found,) = addresses(value)
    assert (found.address, found.name) == (address, name)


# --- Replies and bounces ----------------------------------------------------------------------


@pytest.mark.parametrize("word", ["Quoting", "Zitat von", "Citando a", "Citeren van", "Cytowanie"])
def test_a_webmails_attribution_goes_with_what_it_quotes(word: str) -> None:
    line = f"{word} Support <s@shop.example>:"
    assert reply_of(f"Yes, please.\n\n{line}\n\n> Shall we?\n") == "Yes, please."
    unmarked = f"Yes, please.\n\n{line}\n\nShall we?"
    assert reply_of(unmarked) == unmarked, "nothing marks what follows as another's"


@pytest.mark.parametrize(
    "subject",
    ["No se puede entregar: Hola", "Niedostarczalne: X", "Kan inte levereras: X", "无法送达: X"],
)
def test_a_postmasters_bounce_in_other_languages(subject: str) -> None:
    raw = f"From: postmaster@example.org\r\nSubject: {subject}\r\n\r\nkim@example.org 550 5.1.1\r\n"
    bounce = parse_mail(raw.encode(), Parsed()).bounce
    assert bounce is not None
    assert (bounce.status, bounce.recipient) == ("5.1.1", "kim@example.org")


@pytest.mark.parametrize(
    ("hiding", "hidden"),
    [
        ('style="display:none"', True),
        ("style='color:red; visibility: hidden'", True),
        ('style="max-height:0px;overflow:hidden"', True),
        ('style="overflow: hidden; max-height: 0"', True),
        ('style="opacity:0;"', True),
        ("hidden", True),
        ('class="a" hidden=""', True),
        ('style="overflow: hidden ; width:3px"', False),
        ('style="opacity:0.5"', False),
        ('style="max-height:0.5em"', False),
        ('style="font-size:0"', False),
        ('title="is hidden "', False),
        ('data-x="display:none"', False),
    ],
)
def test_what_a_mail_hides_is_not_read(hiding: str, hidden: bool) -> None:
    text = to_text(f"<p>Seen</p><div {hiding}>Preheader</div><p>Too</p>")
    assert text == ("Seen\n\nToo" if hidden else "Seen\n\nPreheader\n\nToo")


@pytest.mark.parametrize(
    "line",
    ["Odesláno z iPhonu", "Az iPhone-omról küldve", "Trimis de pe iPhone", "Obtenir Outlook pour iOS",
     "Pobierz aplikację Outlook dla systemu iOS", "Hämta Outlook för iOS", "Envoyé depuis mon mobile Orange",
     "发自我的小米手机", "从 Windows 版邮件发送", "Von Outlook für iOS gesendet", "Στάλθηκε από το iPhone μου",
     "Enviat des del meu iPhone", "Envoyé à partir d’Outlook", "נשלח מה-iPhone שלי", "أرسل من الـ iPhone",
     "Gửi từ iPhone của tôi", "Dikirim dari iPhone saya", "ส่งจาก iPhone ของฉัน"],
)  # fmt: skip
def test_more_devices_signatures_go(line: str) -> None:
    assert reply_of(f"Yes, please.\n\n{line}") == "Yes, please."


def test_sentences_that_begin_like_a_devices_signature_stay() -> None:
    for line in (
        "Obtenir un remboursement pour iOS me semble juste.",
        "Envoyé depuis mon mobile hier soir",
    ):
        assert reply_of(f"Yes, please.\n\n{line}").endswith(line)


def test_of_too_many_references_the_first_and_the_newest_stay() -> None:
    mail = read("References: " + " ".join(f"<{n}@x>" for n in range(150)) + "\n\nHi\n")
    assert (mail.references[0], mail.references[1], mail.references[-1]) == ("0@x", "51@x", "149@x")


def test_characters_of_hong_kong_in_big5() -> None:
    raw = b"Content-Type: text/plain; charset=big5\n\n" + "唔該嘅".encode("big5hkscs")
    assert read(raw).text == "唔該嘅"


def test_a_year_that_is_counted_from_1900() -> None:
    assert instant("Mon, 2 Mar 126 09:59:00 +0100") == instant("Mon, 2 Mar 2026 09:59:00 +0100")
