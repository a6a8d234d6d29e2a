"""Mails that say that another was not delivered: told by a report, or by two signs of a machine."""

import pytest

from services.channels.connectors.email.email_mime import EmailSettings, normalise
from services.channels.connectors.email.mime import parse_mail
from services.channels.connectors.port import Normalised, Parsed
from shared.contracts.interactions import Bounce

OURS = EmailSettings(addresses=["help@acme.example"], message_id_domains=["acme.example"])


def notice(sender: str, subject: str, text: str, more: str = "") -> Normalised:
    raw = (
        f"From: {sender}\nTo: help@acme.example\nSubject: {subject}\nMessage-ID: <n1@mx.example>\n"
        f"{more}\n{text}"
    )
    return normalise(parse_mail(raw.encode(), Parsed()), OURS)


def bounce(found: Normalised) -> Bounce:
    assert found.email is not None and found.email.bounce is not None, found.flags
    assert found.flags[0] == "bounce" and found.author.role == "system"
    return found.email.bounce


NULL = "Return-Path: <>\n"
LIST = "List-Id: <x.lists.example>\nPrecedence: bulk\n"
OPENINGS = {
    "exim, another sender": (
        "ndr@mx.example", "Mail delivery failed: returning message to sender",
        "This message was created automatically by mail delivery software.\n\n  kim@example.org\n",
    ),
    "sms32": (
        "service@mx.example", "Returned Mail - Error During Delivery",
        "------ Failed Recipients ------\n\n<kim@example.org>: mailbox unavailable [550]\n",
    ),
    "a filter": (
        "filter@mx.example", "Mail could not be delivered",
        "****** Message from InterScan ******\n\nRCPT TO:<kim@example.org> 550 5.1.1 unknown user\n",
    ),
    "exchange": (
        '"System Administrator" <admin@mx.example>', "Delivery Failure",
        "Could not deliver message to the following recipient(s):\n\nFailed Recipient: kim@example.org\n",
    ),
    "a copy of it": (
        "admin@mx.example", "Non-Delivery: your parcel",
        "--- Non-Delivery Report ---\nThe email below could not be delivered to:\n\n<kim@example.org>\n",
    ),
    "no subject": (
        "MAILER-DAEMON@mx.example", "",
        "I'm afraid I wasn't able to deliver the following message.\n\nTo: kim@example.org\n",
    ),
    "russian": (
        "Mailer-Daemon@mx.example", "Ваше сообщение не доставлено",
        "Письмо не может быть доставлено:\n\n kim@example.org\n",
    ),
    "japanese": (
        "Postmaster@mx.example", "Mail System Error - Returned Mail",
        "次のあて先へのメッセージはエラーのため送信できませんでした。\n\n<kim@example.org>\n",
    ),
    "notes": (
        "Postmaster@mx.example", "DELIVERY FAILURE: User kim (kim@example.org) not listed",
        "Your message\n\n  Subject: x\n\nwas not delivered to:\n\n  kim@example.org\n",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("sender", "subject", "text"), OPENINGS.values(), ids=OPENINGS)
@pytest.mark.parametrize("more", ["", LIST], ids=["direct", "through a list"])
def test_bounces_of_every_sort(sender: str, subject: str, text: str, more: str) -> None:
    found = bounce(notice(sender, subject, text, more))
    assert (found.recipient, found.action) == ("kim@example.org", "failed")


def test_an_empty_return_path_is_a_sign() -> None:
    text = "kim@example.org on Monday\n    The recipient name is not recognized"
    for path in (NULL, "Return-Path: <MAILER-DAEMON>\n"):
        assert bounce(notice("System Administrator <postmaster@mx.example>", "E", text, path))
        assert bounce(notice("mail@mx.example", "Undeliverable: parcel", text, path))


@pytest.mark.parametrize(
    ("sender", "subject", "text"),
    [
        ("kim@example.org", "Mail delivery failed", "I cannot send mail: 550 5.1.1 user unknown. Why?"),
        ("kim@example.org", "Fwd: Undelivered Mail Returned to Sender", "This is the mail system at host x."),
        ("kim@example.org", "Delivery failed", "Your driver was not here. The parcel was not delivered."),
        ("kim@example.org", "Delivery failure", "The parcel could not be delivered, user unknown it says."),
        ("postmaster@firm.example", "Re: Zustellung Paket", "Es wurde nicht zugestellt."),
        ("Postmaster <kim@firm.example>", "User unknown in your portal", "What now?"),
        ("System Administrator <it@firm.example>", "Returned mail", "Please stop writing to old staff."),
    ],
)  # fmt: skip
def test_what_customers_write_is_no_bounce(sender: str, subject: str, text: str) -> None:
    found = notice(sender, subject, text)
    assert found.flags == [] and found.author.role == "customer"


@pytest.mark.parametrize(
    ("line", "recipient"),
    [
        ("<kim@example.org>: unknown", "kim@example.org"),
        ("Mailbox (kim@example.org) is full", "kim@example.org"),
        ("user 'kim@example.org' unknown", "kim@example.org"),
        ('user "kim@example.org" unknown', "kim@example.org"),
        ("[SMTP=kim@example.org]", "kim@example.org"),
        ("Ask postmaster@mx.example.\n\nkim@example.org.", "kim@example.org"),
        ("A mail of help@acme.example to kim@example.org", "kim@example.org"),
        ("Message-ID: <1@acme.example>\nTo: kim@example.org", "kim@example.org"),
    ],
)
def test_the_recipient_is_who_did_not_get_it(line: str, recipient: str) -> None:
    assert bounce(notice("MAILER-DAEMON@mx.example", "failure", line, NULL)).recipient == recipient


def test_a_version_is_no_status() -> None:
    text = "<kim@example.org>: failed\n\nX-Mailman-Version: 2.0.13\n"
    assert bounce(notice("MAILER-DAEMON@mx.example", "failure notice", text)).status is None


def test_a_delay_is_told_from_a_failure() -> None:
    text = "Your message to kim@example.org has not yet been delivered. Attempts will continue."
    found = notice("MAILER-DAEMON@mx.example", "Warning: message delayed 24 hours", text)
    assert bounce(found).action == "delayed"
    status = "Final-Recipient: rfc822;kim@example.org\nAction: {}\nStatus: {}"
    assert bounce(report("delivery-status", status.format("delayed", "4.4.1"))).action == "delayed"
    assert bounce(report("delivery-status", status.format("failed", "5.4.1"))).action == "failed"


def report(kind: str, rows: str, subject: str = "Notice", more: str = NULL) -> Normalised:
    head = f'{more}Content-Type: multipart/report; report-type={kind}; boundary="edge"\n'
    part = f"--edge\nContent-Type: message/{kind}\n\nReporting-MTA: dns; mx.example\n\n{rows}\n"
    text = f"--edge\nContent-Type: text/plain\n\nwords\n{part}--edge--\n"
    return notice("Postmaster <postmaster@mx.example>", subject, text, head)


def test_complaints_and_receipts_are_no_bounces() -> None:
    assert report("feedback-report", "Feedback-Type: abuse").flags == ["auto_reply"]
    rows = "Final-Recipient: rfc822;kim@example.org\nDisposition: {}; {}"
    read = rows.format("manual-action/MDN-sent-manually", "displayed")
    gone = rows.format("automatic-action/MDN-sent-automatically", "deleted")
    assert report("disposition-notification", read, "Read: x").flags == ["auto_reply"]
    assert report("disposition-notification", gone, "Not read: x").flags == ["auto_reply"]


def test_a_refusal_by_the_recipients_filter_is_a_bounce() -> None:
    rows = (
        "Final-Recipient: rfc822;kim@example.org\nOriginal-Message-ID: <out1@acme.example>\n"
        "Disposition: automatic-action/MDN-sent-automatically; deleted"
    )
    head = "Auto-Submitted: auto-replied (rejected)\n"
    found = bounce(report("disposition-notification", rows, "Automatically rejected mail", head))
    assert (found.recipient, found.message_id) == ("kim@example.org", "out1@acme.example")


def test_a_report_with_broken_boundaries_is_one() -> None:
    head = 'Content-Type: multipart/report; report-type=delivery-status; boundary="edge"\n'
    rows = "Final-Recipient: rfc822;kim@example.org\nAction: {}\nStatus: {}\n"
    failed = notice("x@mx.example", "Notice", rows.format("failed", "5.1.1"), head)
    assert (bounce(failed).status, bounce(failed).recipient) == ("5.1.1", "kim@example.org")
    assert notice("x@mx.example", "Notice", rows.format("delivered", "2.0.0"), head).flags == [
        "auto_reply"
    ]


def test_the_mail_within_a_bounce_without_report_names_our_message() -> None:
    head = 'Content-Type: multipart/mixed; boundary="edge"\n'
    text = (
        "--edge\nContent-Type: text/plain\n\n<kim@example.org>: unknown\n"
        "--edge\nContent-Type: message/rfc822\n\nMessage-ID: <out1@acme.example>\n\nours\n--edge--\n"
    )
    found = notice("MAILER-DAEMON@mx.example", "failure notice", text, head)
    assert bounce(found).message_id == "out1@acme.example"
    assert "id:out1@acme.example" in found.thread_candidates
