"""Pictures that stand in a mail's HTML as data."""

import base64

import pytest

from services.channels.connectors.email.mime import Mail, parse_mail
from services.channels.connectors.port import Parsed

HEAD = b"From: Kim <kim@example.org>\r\nSubject: Bill\r\nMIME-Version: 1.0\r\n"
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256))


def in_html(content: bytes, kind: str = "image/png", quote: str = '"') -> str:
    return f"<img alt=x src={quote}data:{kind};base64,{base64.b64encode(content).decode()}{quote}>"


def html_mail(html: str) -> tuple[Mail, Parsed]:
    parsed = Parsed()
    raw = HEAD + b"Content-Type: text/html; charset=utf-8\r\n\r\n" + html.encode()
    return parse_mail(raw, parsed), parsed


@pytest.mark.parametrize("quote", ['"', "'", ""])
def test_a_picture_that_stands_in_the_html_is_a_file_of_the_mail(quote: str) -> None:
    mail, parsed = html_mail(f"<p>See</p>{in_html(PICTURE, quote=quote)}<p>Broken</p>")
    [file] = mail.attachments
    assert (file.content_type, file.size, file.inline) == ("image/png", len(PICTURE), True)
    assert [blob.content for blob in parsed.blobs] == [PICTURE]
    assert mail.html is not None and f'src="cid:{file.content_id}"' in mail.html
    assert mail.text == "See\n\nBroken"


def test_what_is_said_below_a_large_picture_is_read() -> None:
    mail, parsed = html_mail(f"<p>See</p>{in_html(PICTURE * 4000)}<p>Broken since Monday</p>")
    assert mail.text == "See\n\nBroken since Monday" and not parsed.problems
    assert [file.size for file in mail.attachments] == [len(PICTURE) * 4000]


def test_a_picture_counts_once_and_a_spacer_never() -> None:
    html = in_html(PICTURE) * 2 + in_html(b"GIF89a", "image/gif") + in_html(PICTURE, "text/html")
    mail, _ = html_mail(html)
    assert [file.content_type for file in mail.attachments] == ["image/png"]


def test_html_that_is_cut_is_noted() -> None:
    mail, parsed = html_mail("<p>First</p>" + "<span></span>" * 100_000 + "<p>Last</p>")
    assert mail.text == "First" and "html_cut" in [each.code for each in parsed.problems]


@pytest.mark.parametrize(
    "piece", ["<img src='data:", "<img ", '<img src="data:image/png;a', "data:"]
)
def test_pictures_are_sought_once(piece: str) -> None:
    assert html_mail(piece * 20_000)[0].attachments == []
