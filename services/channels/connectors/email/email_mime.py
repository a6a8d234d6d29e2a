"""E-mail as it is: a raw RFC 5322 message in the body of a POST (and what LMTP hands over).

Nothing signs it, so the address carries an unguessable part.
"""

from pydantic import Field

from services.channels.connectors.email import automatic, bounces, threading
from services.channels.connectors.email.mime import Mail, parse_mail
from services.channels.connectors.email.writer import writer_of
from services.channels.connectors.identities import EMAIL, email, identities
from services.channels.connectors.port import (
    DAY_S,
    Answers,
    Connector,
    Context,
    Example,
    InboundRequest,
    Normalised,
    Parsed,
    Settings,
)
from services.channels.connectors.signatures import Unsigned
from shared.contracts import interactions
from shared.contracts.instants import format_instant, parse_instant
from shared.contracts.interactions import Address, Author, Email


class EmailSettings(Settings):
    addresses: list[str] = Field(
        default_factory=list,
        description="Our own addresses. A mail from one of them is our own coming back; "
        "`support+TOKEN@` names a conversation, where TOKEN is its id or anything of yours.",
    )
    message_id_domains: list[str] = Field(
        default_factory=list,
        description="Domains of the Message-IDs that we send with, to know our own mail again; "
        "one with a conversation's id in it (`<cnv_…@domain>`) brings its answers there.",
    )


SETUP = """\
1. List your own addresses under `addresses`, the domains of your Message-IDs under
   `message_id_domains`.
2. Have the mail server deliver these addresses by LMTP to `OMNIROUTE_LMTP_PORT` (or by SMTP to
   `OMNIROUTE_SMTP_PORT`).
3. Or have it pipe each message, unchanged, to the connector's inbound URL:
   `curl --data-binary @- -H 'Content-Type: message/rfc822' --fail URL`. The URL is a secret. Treat
   any answer but 2xx as a temporary failure and try again later.
"""


def parse(request: InboundRequest, settings: EmailSettings, _: Context) -> Parsed:
    parsed = Parsed()
    if not request.body.strip():
        parsed.lose("empty", "The body is empty.")
        return parsed
    parsed.events.append(normalise(parse_mail(request.body, parsed), settings))
    return parsed


def _own(settings: EmailSettings) -> set[str]:
    return {address for each in settings.addresses if (address := email(each))}


def thread_candidates(mail: Mail, settings: EmailSettings) -> list[str]:
    """What the thread index may know this mail by, best first; see `threading`."""
    ids = (*mail.in_reply_to, *reversed(mail.references))
    token = threading.token_of(mail.recipients, settings.addresses)
    sender = writer_of(mail, _own(settings))
    return threading.candidates(
        mail.headers,
        sender=email(sender.address) if sender else None,
        token=token or threading.token_in_ids(ids, settings.message_id_domains),
        in_reply_to=mail.in_reply_to,
        references=mail.references,
        reported=bounces.reported_ids(mail.report, mail.bounce),
        subject=mail.subject,
    )


def normalise(mail: Mail, settings: EmailSettings) -> Normalised:
    """The event of a mail; connectors of providers that hand over raw mail use it too."""
    own = _own(settings)
    sender = writer_of(mail, own)
    address = email(sender.address) if sender else None
    own_loop = _own_loop(mail, address, own, settings.message_id_domains)
    flags = automatic.flags_of(
        mail.headers, bounce=mail.bounce is not None, report=mail.report, own_loop=own_loop
    )
    return Normalised(
        vendor_id=f"{mail.message_id}:{mail.digest}",
        conversation_key=threading.fallback_key(mail.message_id, mail.in_reply_to, mail.references),
        occurred_at_us=mail.date_us,
        direction="outbound" if own_loop else "inbound",
        author=_author(mail, sender, own_loop),
        text=mail.text or None,
        html=mail.html,
        reply_text=mail.reply_text or None,
        subject=mail.subject or None,
        identities=identities(**{EMAIL: address}),
        attachments=mail.attachments,
        in_reply_to=next(iter(mail.in_reply_to), None),
        flags=flags,
        email=_email(mail),
        vendor={"message_id": mail.message_id} | ({"synthetic_id": True} if mail.synthetic else {}),
        thread_candidates=thread_candidates(mail, settings),
    )


def _author(mail: Mail, sender: Address | None, own_loop: bool) -> Author:
    name = sender.name if sender else None
    address = email(sender.address) if sender else None
    if mail.bounce is not None:
        return Author(role="system", name=name, id=address)
    return Author(role="agent" if own_loop else "customer", name=name, id=address)


def _own_loop(mail: Mail, sender: str | None, own: set[str], domains: list[str]) -> bool:
    """Whether the mail is one of ours that came back."""
    loops = {email(value) for value in mail.headers.all("x-loop")}
    domain = mail.message_id.rpartition("@")[2].lower()
    ours = domain in {each.lower() for each in domains}
    return sender in own or bool(own & loops) or (ours and not mail.synthetic)


def _email(mail: Mail) -> Email:
    return Email(
        sender=mail.sender,
        to=mail.to,
        cc=mail.cc,
        reply_to=mail.reply_to,
        message_id=mail.message_id,
        in_reply_to=mail.in_reply_to,
        references=mail.references,
        date=_date(mail.date_us),
        bounce=mail.bounce,
        no_auto_reply=automatic.asks_no_answer(mail.headers),
    )


def _date(date_us: int | None) -> str | None:
    try:
        return None if date_us is None else format_instant(date_us)
    except (ValueError, OverflowError):
        return None


URL = "https://omniroute.example/v1/workspaces/demo/connectors/mail/inbound"


def request_of(raw: bytes, received_at_us: int, *, url: str = URL) -> InboundRequest:
    """A mail of ours as the mail server would post it."""
    return InboundRequest("POST", url, (("Content-Type", "message/rfc822"),), raw, received_at_us)


_FIRST = """\
From: "Kim Example" <kim@example.org>
To: help@acme.example
Subject: =?utf-8?q?Rechnung_f=C3=BCr_M=C3=A4rz?=
Date: Mon, 02 Mar 2026 10:00:00 +0100
Message-ID: <first@mail.example.org>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="edge"

--edge
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

Guten Tag, meine Rechnung ist falsch.

--
Kim Example
--edge
Content-Type: text/plain; name="invoice.txt"
Content-Disposition: attachment; filename="invoice.txt"
Content-Transfer-Encoding: base64

NDcxMQ==
--edge--
"""

_REPLY = """\
From: kim@example.org
To: help@acme.example
Subject: Re: Rechnung
Date: Mon, 02 Mar 2026 10:05:00 +0100
Message-ID: <second@mail.example.org>
In-Reply-To: <answer@acme.example>
References: <first@mail.example.org> <answer@acme.example>
Content-Type: text/plain; charset=utf-8

Vielen Dank, das stimmt jetzt.

Am 02.03.2026 um 10:03 schrieb Acme <help@acme.example>:
> Wir haben die Rechnung berichtigt.
"""

_AWAY = """\
From: kim@example.org
To: help@acme.example
Subject: Abwesend
Date: Mon, 02 Mar 2026 10:06:00 +0100
Auto-Submitted: auto-replied

Ich bin bis Freitag nicht im Haus.
"""


def examples() -> tuple[Example, ...]:
    received = parse_instant("2026-03-02T09:06:30Z")
    mails = {"first": _FIRST, "reply": _REPLY, "out of office": _AWAY}
    return tuple(
        Example(name, request_of(mail.encode(), received), {}, (interactions.MESSAGE,))
        for name, mail in mails.items()
    )


CONNECTOR = Connector(
    kind="email_mime",
    channel="email",
    title="E-mail (raw MIME)",
    setup=SETUP,
    signature=Unsigned(),
    parse=parse,
    examples=examples,
    settings=EmailSettings,
    answers=Answers(),
    retry_horizon_s=7 * DAY_S,
    max_body_bytes=40 * 1024 * 1024,
)
