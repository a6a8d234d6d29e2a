"""Raw e-mail: broken mail is read, nothing raises, flags and threads are told apart."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.channels.connectors import registry
from services.channels.connectors.email import charsets, headers, markup
from services.channels.connectors.email.email_mime import (
    EmailSettings,
    normalise,
    thread_candidates,
)
from services.channels.connectors.email.mime import MAX_TEXT, Mail, parse_mail
from services.channels.connectors.email.reply import reply_of
from services.channels.connectors.handling import handle
from services.channels.connectors.port import InboundRequest, Normalised, Parsed

SAMPLES = Path(__file__).parents[3] / "shared" / "samples" / "emails"
OURS = EmailSettings(addresses=["Help@acme.example"], message_id_domains=["out.acme.example"])


def read(raw: bytes | str) -> Mail:
    return parse_mail(raw if isinstance(raw, bytes) else raw.encode(), Parsed())


def event(raw: bytes | str) -> Normalised:
    return normalise(read(raw), OURS)


def mail(body: str = "Hello", **fields: str) -> str:
    base = {
        "From": "kim@example.org",
        "To": "help@acme.example",
        "Subject": "Invoice",
        "Message-ID": "<m1@example.org>",
        "Date": "Mon, 02 Mar 2026 10:00:00 +0100",
    }
    base |= {name.replace("_", "-"): value for name, value in fields.items()}
    return "".join(f"{name}: {value}\n" for name, value in base.items() if value) + "\n" + body


def multipart(kind: str, *parts: str) -> str:
    body = "".join(f"--edge\n{part}\n" for part in parts) + "--edge--\n"
    return mail(body, Content_Type=f'multipart/{kind}; boundary="edge"')


# --- text and headers ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "name", "wanted"),
    [
        ("Grüße aus Köln".encode(), "utf-8", "Grüße aus Köln"),
        ("Grüße aus Köln".encode("latin-1"), "iso-8859-1", "Grüße aus Köln"),
        ("Grüße aus Köln".encode("latin-1"), None, "Grüße aus Köln"),
        ("Grüße aus Köln".encode("latin-1"), "utf-8", "Grüße aus Köln"),
        ("Grüße aus Köln".encode(), "x-unknown", "Grüße aus Köln"),
        (b"\x80 42 \x96 \x93ok\x94", "iso-8859-1", "€ 42 – “ok”"),
        ("您好".encode("gbk"), "iso-gb2312", "您好"),
        ("您好".encode("gbk"), "gb2312", "您好"),
        ("스티해".encode("cp949"), "ks_c_5601-1987", "스티해"),
        ("こんにちは①".encode("cp932"), "shift_jis", "こんにちは①"),
        ("すみません".encode("iso2022_jp"), "iso-2022-jp", "すみません"),
        (b"\x1b$B-!\x1b(B abc", "iso-2022-jp", "① abc"),
        (b"\x1b(I1\x1b(B", "iso-2022-jp", "ｱ"),
        (b"Hi Mom +Jjo-!", "unicode-1-1-utf-7", "Hi Mom ☺!"),
        ("Грусть".encode("koi8-r"), "koi8-r", "Грусть"),
        (b"plain", "base64", "plain"),
        (b"plain", "idna", "plain"),
        (b"plain", "\x00", "plain"),
    ],
)
def test_bytes_become_text(raw: bytes, name: str | None, wanted: str) -> None:
    assert charsets.decode(raw, name) == wanted


@given(
    st.binary(max_size=200), st.none() | st.sampled_from(["utf-8", "gb2312", "iso-2022-jp", "x"])
)
def test_any_bytes_become_text(raw: bytes, name: str | None) -> None:
    charsets.decode(raw, name).encode("utf-8", "surrogatepass")


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        ("=?utf-8?q?Rechnung_f=C3=BCr?= Kim", "Rechnung für Kim"),
        ("=?utf-8?b?UmVjaG51bmcgZsO8cg==?=", "Rechnung für"),
        ("=?utf-8?b?UmVjaG51bmcgZsO8cg?=", "Rechnung für"),
        ("=?UTF-8?Q?f=C3?=\n =?UTF-8?Q?=BCr?=", "für"),
        ("=?utf-8?q?a?= =?utf-8?q?b?= c", "ab c"),
        ("=?iso-8859-1*de?q?f=FCr?=", "für"),
        ("=?utf-8?q?with space?=", "with space"),
        ("=?x-unknown?q?f=C3=BCr?=", "für"),
        ("=?broken", "=?broken"),
        ("=?utf-8?b?!!!?=", ""),
    ],
)
def test_encoded_words(raw: str, wanted: str) -> None:
    assert headers.decoded(raw) == wanted


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        ("Kim <kim@example.org>", [("kim@example.org", "Kim")]),
        ('"Doe, Kim" <kim@example.org>', [("kim@example.org", "Doe, Kim")]),
        ("Doe, Kim <kim@example.org>", [("kim@example.org", "Doe, Kim")]),
        ("=?utf-8?q?Doe=2C_Kim?= <kim@example.org>", [("kim@example.org", "Doe, Kim")]),
        ("kim@example.org (Kim)", [("kim@example.org", "Kim")]),
        (", a@b.example, c@d.example", [("a@b.example", None), ("c@d.example", None)]),
        ("a@b.example; c@d.example", [("a@b.example", None), ("c@d.example", None)]),
        ("undisclosed-recipients:;", []),
        ("Team: a@b.example, c@d.example;", [("a@b.example", None), ("c@d.example", None)]),
        ("'kim@example.org' <kim@example.org>", [("kim@example.org", "kim@example.org")]),
        ("<mailto:kim@example.org>", [("kim@example.org", None)]),
        ('"unclosed <kim@example.org>', [("kim@example.org", "unclosed")]),
        ("root", [("root", None)]),
        ("MAILER DAEMON <>", [("", "MAILER DAEMON")]),
        ("", []),
    ],
)
def test_addresses(raw: str, wanted: list[tuple[str, str | None]]) -> None:
    assert [(each.address, each.name) for each in headers.addresses(raw)] == wanted


def test_ids_keep_the_valid_ones() -> None:
    assert headers.message_ids("<a@b>, <in valid@x>\t<c@d> junk <a@b>") == ["a@b", "c@d"]
    assert headers.message_ids("a@b c@d") == ["a@b", "c@d"]
    assert headers.message_ids("Your mail of Monday") == []


def test_headers_with_a_broken_line_between_are_all_read() -> None:
    raw = mail().replace("Subject:", "quite Delivered-To: x\nnonsense\nSubject:", 1)
    found = read(raw)
    assert (found.subject, found.message_id) == ("Invoice", "m1@example.org")
    assert found.text == "Hello"


def test_raw_bytes_in_headers_are_read_with_the_bodys_charset() -> None:
    raw = mail(Subject="SUBJ", Content_Type="text/plain; charset=gb2312").encode()
    assert read(raw.replace(b"SUBJ", "您好，发票".encode("gbk"))).subject == "您好，发票"
    utf8 = mail(Subject="Rechnung für Köln").encode()
    assert read(utf8).subject == "Rechnung für Köln"


def test_nul_bytes_and_lone_surrogates_go() -> None:
    found = read(mail("a\x00b", Subject="x\x00y"))
    assert (found.text, found.subject) == ("ab", "xy")


@pytest.mark.parametrize("date", ["Mon, 02 Mar 2026 10:00:00 +0100", "2 Mar 2026 09:00 GMT"])
def test_dates(date: str) -> None:
    assert read(mail(Date=date)).date_us == 1772442000_000000


@pytest.mark.parametrize("date", ["", "yesterday", "Mon, 99 Foo 2026", "1 Jan 99999 10:00 +0000"])
def test_odd_dates_are_no_dates(date: str) -> None:
    assert read(mail(Date=date)).date_us is None


# --- bodies and attachments ---------------------------------------------------------------------

PLAIN = "Content-Type: text/plain; charset=utf-8\n\nplain words"
HTML = "Content-Type: text/html; charset=utf-8\n\n<p>rich <b>words</b></p>"


def test_alternatives_are_one_body() -> None:
    found = read(multipart("alternative", PLAIN, HTML))
    assert (found.text, found.html) == ("plain words", "<p>rich <b>words</b></p>")


def test_an_empty_text_beside_real_html_counts_as_none() -> None:
    found = read(multipart("alternative", "Content-Type: text/plain\n\n  \n", HTML))
    assert found.text == "rich words"


def test_several_text_parts_are_all_kept() -> None:
    found = read(multipart("mixed", PLAIN, HTML, "Content-Type: text/plain\n\nfooter"))
    assert found.text == "plain words\n\nrich words\n\nfooter"
    assert found.html is not None and "plain words" in found.html and "footer" in found.html


def test_attachments_of_every_sort() -> None:
    found = read(
        multipart(
            "mixed",
            PLAIN,
            "Content-Type: text/plain; name=a.txt\nContent-Disposition: attachment\n\nfile",
            "Content-Type: image/png\nContent-ID: <img1>\nContent-Disposition: inline\n"
            "Content-Transfer-Encoding: base64\n\niVBORw0=",
            "Content-Type: application/pdf; name*=utf-8''f%C3%BCr.pdf\n\nx",
            'Content-Type: application/pdf; name="=?utf-8?q?f=C3=BCr?= 2.pdf"\n\nx',
            "Content-Type: message/rfc822\n\nSubject: inner\n\ninner words",
            'Content-Type: text/calendar\nContent-Disposition: attachment; filename="..\\a/b.ics"\n\nx',
        )
    )
    assert [a.name for a in found.attachments] == [
        "a.txt", None, "für.pdf", "für 2.pdf", "inner.eml", "b.ics",
    ]  # fmt: skip
    image = found.attachments[1]
    assert (image.inline, image.content_id, image.size) == (True, "img1", 5)
    assert len(image.sha256 or "") == 64
    assert found.text == "plain words"


def test_blobs_hold_what_attachments_name() -> None:
    parsed = Parsed()
    raw = multipart("mixed", PLAIN, "Content-Type: image/gif\n\nGIF")
    found = parse_mail(raw.encode(), parsed)
    assert [b.sha256 for b in parsed.blobs] == [a.sha256 for a in found.attachments]
    assert parsed.blobs[0].content == b"GIF"


def test_uuencoded_files_leave_the_text() -> None:
    found = read(mail("before\nbegin 644 a.txt\n#8V%T\n`\nend\nafter"))
    assert found.text == "before\nafter"
    assert [(a.name, a.size) for a in found.attachments] == [("a.txt", 3)]
    kept = read(mail("before\nbegin 644 words that are no file\nafter"))
    assert kept.text.endswith("after") and kept.attachments == []


def test_html_is_made_safe() -> None:
    html = "<p onclick=x()>a<script>steal()</script><a href='javascript:x'>b</a><img src=cid:1></p>"
    found = read(multipart("alternative", "Content-Type: text/html\n\n" + html))
    assert found.html is not None
    for bad in ("onclick", "script", "javascript", "steal"):
        assert bad not in found.html
    assert "cid:1" in found.html


@pytest.mark.parametrize("tangle", ["<div>" * 3000, "<b>" * 300, "<b>" * 150 + "<p>x" * 5000])
def test_tangled_html_is_shown_as_text(tangle: str) -> None:
    assert "<pre>" in markup.safe(tangle + "words") and "words" in markup.safe(tangle + "words")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\n\n",
        b"no header at all",
        b"Content-Type: multipart/mixed; boundary=\n\nwords",
        b"Content-Type: multipart/mixed\n\nwords",
        b'Content-Type: multipart/mixed; boundary="x"\n\n--x\n\nwords',
        b"Content-Type: text/plain; charset*=%%%\n\nwords",
        b"Content-Transfer-Encoding: base64\n\n!!!!words",
        b"Content-Transfer-Encoding: x-uuencode\n\nwords",
        b"Content-Disposition: attachment; filename*0*=x; filename*2*=y\n\nwords",
        b"From: \xff\xfe\nSubject: \x80\n\n\x81",
        b"From:\r\n\r\n",
    ],
)
def test_broken_mail_is_read(raw: bytes) -> None:
    found = normalise(read(raw), OURS)
    assert found.conversation_key
    if b"words" in raw and b"attachment" not in raw and b"encode" not in raw:
        assert "words" in (found.text or "")


def test_an_inner_mail_that_cannot_be_written_again_is_kept() -> None:
    parsed = Parsed()
    inner = "Content-Type: message/rfc822\n\nReceived: by x\n\tid\x0b:y:\nSubject: inner\n\nwords"
    found = parse_mail(multipart("mixed", PLAIN, inner).encode(), parsed)
    assert found.attachments[0].content_type == "message/rfc822"
    assert b"Subject: inner" in parsed.blobs[0].content and b"words" in parsed.blobs[0].content


def test_too_many_parts_are_read_as_one_text() -> None:
    parsed = Parsed()
    raw = "".join(
        f'Content-Type: multipart/mixed; boundary="b{n}"\n\n--b{n}\n' for n in range(5000)
    )
    found = parse_mail((mail("")[:-1] + raw + "words").encode(), parsed)
    assert "words" in found.text
    assert [p.code for p in parsed.problems] == ["too_many_parts"]


def test_long_text_is_cut_and_says_so() -> None:
    parsed = Parsed()
    found = parse_mail(mail("words " * 100_000).encode(), parsed)
    assert len(found.text) == MAX_TEXT
    assert [(p.code, p.lost) for p in parsed.problems] == [("text_cut", False)]


# --- automatic mail -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({}, []),
        ({"Auto-Submitted": "no"}, []),
        ({"Auto-Submitted": "auto-forwarded"}, []),
        ({"Auto-Submitted": "Auto-Replied; owner-email=x@y"}, ["auto_reply"]),
        ({"Auto-Submitted": "auto-generated (failure)"}, ["auto_reply"]),
        ({"X-Autoreply": "yes"}, ["auto_reply"]),
        ({"X-Autoreply": "no"}, []),
        ({"Precedence": "auto_reply"}, ["auto_reply"]),
        ({"Precedence": "bulk"}, ["auto_reply"]),
        ({"Precedence": "bulk", "List-Id": "<news.x>"}, ["list"]),
        ({"Precedence": "list"}, ["list"]),
        ({"List-Unsubscribe": "<mailto:x@y>"}, ["list"]),
        ({"Return-Path": "<>"}, ["auto_reply"]),
        ({"Return-Path": "<kim@example.org>"}, []),
        ({"X-Auto-Response-Suppress": "All"}, []),
        (
            {"X-Auto-Response-Suppress": "OOF", "Auto-Submitted": "auto-generated"},
            ["auto_reply", "suppress"],
        ),
        (
            {"X-Auto-Response-Suppress": "All", "Subject": "Out of office until Friday"},
            ["auto_reply", "suppress"],
        ),
        ({"Subject": "Out of office chairs"}, []),
        ({"Subject": "Abwesenheit", "In-Reply-To": "<a@b>"}, ["auto_reply"]),
        ({"Subject": "Automatic reply: Invoice"}, ["auto_reply"]),
        ({"Subject": "Automatische Antwort: Rechnung"}, ["auto_reply"]),
        ({"Subject": "Réponse automatique : Facture"}, ["auto_reply"]),
        ({"Subject": "自动答复: 发票"}, ["auto_reply"]),
        ({"Subject": "Out of Office AutoReply: Invoice"}, ["auto_reply"]),
        ({"Subject": "Abwesenheitsnotiz: Rechnung"}, ["auto_reply"]),
        ({"Subject": "Réponse automatique d'absence du bureau : Facture"}, ["auto_reply"]),
        ({"Subject": "Frånvaromeddelande: Faktura"}, ["auto_reply"]),
        ({"Subject": "[Auto-Reply] Invoice"}, ["auto_reply"]),
        ({"Subject": "Auto reply"}, ["auto_reply"]),
        ({"Subject": "رد تلقائي: فاتورة"}, ["auto_reply"]),
        ({"Subject": "Auto reply does not work"}, []),
        ({"Subject": "Abwesenheitsnotiz einrichten"}, []),
        ({"Return-Path": "<MAILER-DAEMON>"}, ["auto_reply"]),
        ({"Subject": "Re: Automatic reply: Invoice"}, []),
        ({"Subject": "Automatic replies do not stop"}, []),
        ({"X-Autoresponder": "1"}, ["auto_reply"]),
        ({"X-Autogenerated": "Reply"}, ["auto_reply"]),
        ({"X-Autogenerated": "Forward"}, []),
        ({"X-MS-Exchange-Generated-Message-Source": "Mailbox Rules Agent"}, ["auto_reply"]),
        ({"List-Post": "<mailto:x@y>", "Precedence": "bulk"}, ["list"]),
        ({"X-Loop": "somebody@else.example"}, ["auto_reply"]),
        ({"From": "HELP@acme.example"}, ["own_loop"]),
        ({"Message-ID": "<x@out.acme.example>"}, ["own_loop"]),
    ],
)
def test_flags_are_kept_apart(fields: dict[str, str], wanted: list[str]) -> None:
    assert event(mail(**fields)).flags == wanted


def report(action: str, status: str = "5.1.1") -> str:
    body = multipart(
        "report",
        "Content-Type: text/plain\n\nIt could not be delivered.",
        "Content-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example\n\n"
        f"Final-Recipient: rfc822; kim@example.org\nAction: {action}\nStatus: {status}",
        "Content-Type: message/rfc822\n\nMessage-ID: <out1@acme.example>\nSubject: x\n\nours",
    )
    return body.replace("multipart/report;", "multipart/report; report-type=delivery-status;")


def test_a_bounce_names_the_recipient_and_our_message() -> None:
    found = event(report("failed"))
    assert found.flags[0] == "bounce" and found.author.role == "system"
    assert found.email is not None and found.email.bounce is not None
    bounce = found.email.bounce
    assert (bounce.status, bounce.recipient, bounce.message_id) == (
        "5.1.1", "kim@example.org", "out1@acme.example",
    )  # fmt: skip
    assert found.attachments == [], "the report's own parts are no attachments"


def test_a_notice_of_success_is_no_bounce() -> None:
    found = event(report("delivered", "2.0.0"))
    assert found.flags == ["auto_reply"] and found.email is not None
    assert found.email.bounce is None


def test_a_bounce_without_a_report_is_known_by_its_sender() -> None:
    raw = mail(
        "550 5.7.1 rejected <kim@example.org>",
        From="Mail Delivery <MAILER-DAEMON@mx.example>",
        Subject="Undelivered Mail Returned to Sender",
    )
    found = event(raw)
    assert "bounce" in found.flags and found.email is not None
    assert found.email.bounce is not None and found.email.bounce.status == "5.7.1"
    assert found.email.bounce.recipient == "kim@example.org"
    assert "bounce" not in event(mail("550 5.7.1", Subject="Undelivered parcel")).flags


# --- threads and ids ----------------------------------------------------------------------------


def test_thread_candidates_are_in_order() -> None:
    raw = mail(
        To="help+cnv42@acme.example",
        In_Reply_To="<r2@x> <r9@x>",
        References="<r1@x> <r2@x>",
        Thread_Index="AQHabcdefghijklmnopqrstuvwxyz0123456789",
        Subject="Re: [Ticket#4711] Invoice",
    )
    assert thread_candidates(read(raw), OURS) == [
        "token:cnv42",
        "id:r2@x",
        "id:r9@x",
        "id:r1@x",
        "thread:thread-index:AQHabcdefghijklmnopqrstuvwxyz0",
        "subject:4711:kim@example.org",
    ]
    foreign = mail(To="help+cnv42@other.example")
    assert thread_candidates(read(foreign), OURS) == []


def test_a_message_id_of_ours_names_its_conversation() -> None:
    name = "cnv_" + "0a" * 16
    raw = mail(In_Reply_To="<x@y>", References=f"<{name}.7@OUT.acme.example> <x@y>")
    assert thread_candidates(read(raw), OURS)[0] == f"token:{name}"
    foreign = mail(References=f"<{name}@elsewhere.example>")
    assert thread_candidates(read(foreign), OURS) == [f"id:{name}@elsewhere.example"]


def test_a_thread_has_one_key_without_an_index() -> None:
    first = event(mail(Message_ID="<a@x>"))
    second = event(mail(Message_ID="<b@x>", In_Reply_To="<a@x>"))
    third = event(mail(Message_ID="<c@x>", References="<a@x> <b@x>", In_Reply_To="<b@x>"))
    assert {e.conversation_key for e in (first, second, third)} == {"a@x"}


def test_a_mail_without_id_has_the_same_one_each_time() -> None:
    raw = mail(**{"Message-ID": ""})
    routed = "Received: from a by b\n" + raw.replace("\n", "\r\n")
    first, again, other = event(raw), event(routed), event(raw + "!")
    assert first.vendor["synthetic_id"] is True
    assert first.vendor_id == again.vendor_id != other.vendor_id


def test_a_reused_message_id_loses_no_mail() -> None:
    assert event(mail("one")).vendor_id != event(mail("two")).vendor_id
    assert event(mail("one")).vendor_id == event("Received: x\n" + mail("one")).vendor_id


# --- fuzz and the public corpus -----------------------------------------------------------------

SNIPPETS = [
    "Content-Type: multipart/mixed; boundary=x\n", "--x\n", "--x--\n", "\n", "From: a@b\n",
    "Content-Type: text/html\n", "Content-Transfer-Encoding: base64\n", "=?utf-8?b?w7w=?=", "<p>x",
    "Content-Type: message/rfc822\n", "Subject: \x80\n", "begin 644 x\n", "end\n", "\x00", "> a\n",
    "Content-Type: multipart/report; report-type=delivery-status; boundary=x\n",
    "Content-Type: message/delivery-status\n", "Action: failed\n", "charset=iso-2022-jp\n", "\x1b$B",
]  # fmt: skip


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(SNIPPETS) | st.text(max_size=8), max_size=25))
def test_snippets_of_mail_never_raise(pieces: list[str]) -> None:
    raw = "".join(pieces).encode("latin-1", "replace")
    event(raw)


def index() -> list[dict[str, object]]:
    path = SAMPLES / "index.json"
    return json.loads(path.read_text())["files"] if path.is_file() else []


needs_samples = pytest.mark.skipif(not SAMPLES.is_dir(), reason="the sample mails are not here")


@needs_samples
def test_the_corpus_is_read_as_its_sources_expect() -> None:
    """No crash at all; what the sources assert holds, but for one file whose application stops at
    its own limit of 15 attachments."""
    wrong: list[tuple[object, str, object, object]] = []
    checked = 0
    connector = registry.get("email_mime")
    for entry in index():
        if entry["kind"] != "mime":
            continue
        raw = (SAMPLES / str(entry["file"])).read_bytes()
        request = InboundRequest("POST", "https://a/", (), raw, 0)
        handled = handle(connector, OURS, {}, request, connector_id="m", workspace="w")
        assert handled.dead_letter is None and len(handled.events) == 1, entry["file"]
        found = normalise(parse_mail(raw, Parsed()), OURS)
        for name, wanted in (entry.get("expected") or {}).items():  # type: ignore[attr-defined]
            got = observed(found).get(name, wanted)
            checked += name in observed(found)
            if name == "reply_text_prefix":
                got = wanted if str(got).startswith(str(wanted)) else got
            if got != wanted:
                wrong.append((entry["file"], name, wanted, got))
    assert checked >= 20
    assert [(file, name) for file, name, _, _ in wrong] == [
        ("chatwoot__multiple_attachments.eml", "attachments")
    ]


def observed(found: Normalised) -> dict[str, object]:
    assert found.email is not None
    bounce = found.email.bounce
    return {
        "attachments": len(found.attachments),
        "auto_reply": "auto_reply" in found.flags,
        "is_bounce": bounce is not None,
        "dsn_status": bounce.status if bounce else None,
        "in_reply_to": found.in_reply_to,
        "references": found.email.references,
        "subject": found.subject,
        "to": [each.address for each in found.email.to],
        "body_text": found.text,
        "reply_text": (found.reply_text or "").strip(),
        "reply_text_prefix": found.reply_text,
    }


@needs_samples
def test_no_word_of_the_corpus_replies_is_lost_and_quotes_go() -> None:
    count = clean = 0
    for entry in index():
        if entry["kind"] != "reply_body_text":
            continue
        wanted = entry["expected"]
        assert isinstance(wanted, dict)
        body = (SAMPLES / str(entry["file"])).read_bytes().decode("utf-8", "replace")
        kept = {" ".join(line.split()) for line in reply_of(body).splitlines()}
        mine = {" ".join(line.split()) for line in wanted["reply_text"].splitlines()} - {""}
        assert mine <= kept, entry["file"]
        if "forwarded" in str(entry["file"]):
            continue  # what a customer forwards is what he has to say
        quoted = {" ".join(line.split()) for line in wanted["elided_text"].splitlines()} - {""}
        count += 1
        clean += not (quoted - mine) & kept
    assert count >= 30 and clean / count >= 0.9, f"{clean} of {count}"
