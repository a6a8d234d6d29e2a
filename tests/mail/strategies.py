"""Mails out of the pieces that break parsers, for property tests and the fuzzer's first corpus."""

from hypothesis import strategies as st

_NAMES = ("From", "To", "Subject", "Date", "Message-ID", "References", "In-Reply-To", "Content-Type",
          "Content-Transfer-Encoding", "Content-Disposition", "Auto-Submitted", "X-Loop", "Return-Path",
          "MIME-Version", "Received")  # fmt: skip
_VALUES = (
    b"Kim <kim@example.org>", b"=?utf-8?q?f=C3=BCr?=", b"=?x?b?!!?=", b"=?utf-8?Q?open", b"<a@b> <c@d>",
    b'"un<closed', b"multipart/mixed; boundary=x", b'multipart/alternative; boundary="x"',
    b"multipart/report; report-type=delivery-status; boundary=x", b"multipart/mixed", b"text/html",
    b"text/plain; charset=iso-2022-jp", b"text/plain; charset=utf-16", b"text/plain; charset=nope",
    b"message/rfc822", b"message/delivery-status", b"base64", b"quoted-printable", b"x-uuencode",
    b"attachment; filename*0*=utf-8''%ff; filename*1=x", b"auto-replied", b"<>", b"\xff\xfe\x00",
    b"Mon, 02 Mar 2026 10:00:00 +0100", b"99 Foo 99999", b"\x1b$B$9", b"a;b=\"c\\",
)  # fmt: skip
_LINES = (
    b"--x", b"--x--", b"", b"words and more words", b"> quoted", b"On 2.3.2026 10:00 a@b.example wrote:",
    b"-----Original Message-----", b"From: a@b.example", b"Sent: x", b"Subject: x", b"-- ", b"begin 644 x",
    b"#8V%T", b"end", b"aGVsbG8=", b"<html><p>rich<br>", b"<blockquote type=cite>", b"<style>", b"<!--",
    b"Action: failed", b"Status: 5.1.1", b"Final-Recipient: rfc822;a@b.example", b"=C3=BC=", b"\xff\xfe",
    b"Gr\xfc\xdfe", b"\x00", b"\x1b$B$3$s\x1b(B", b"&#xD800;&amp;", b"Begin forwarded message:",
)  # fmt: skip

_field = st.tuples(st.sampled_from(_NAMES), st.sampled_from(_VALUES) | st.binary(max_size=20)).map(
    lambda pair: pair[0].encode() + b": " + pair[1]
)
_line = st.sampled_from(_LINES) | _field | st.binary(max_size=12)

mails = st.tuples(
    st.lists(_field, max_size=8),
    st.lists(_line, max_size=25),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
).map(lambda parts: parts[2].join([*parts[0], b"", *parts[1]]))
"""Raw mails, most of them broken."""
