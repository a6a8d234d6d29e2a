"""Amazon SES: mail that a receipt rule publishes to SNS, and what became of mail that we sent.

https://docs.aws.amazon.com/ses/latest/dg/receiving-email-notifications-contents.html
"""

import base64
import binascii
from typing import Any
from urllib.parse import urlencode

from pydantic import Field

from services.channels.connectors import fields, sns
from services.channels.connectors.email import provided
from services.channels.connectors.email.email_mime import EmailSettings
from services.channels.connectors.port import (
    DAY_S,
    Connector,
    Context,
    Example,
    Fetch,
    InboundRequest,
    Normalised,
    Page,
    Parsed,
    Told,
)
from services.channels.connectors.public_keys import SnsSignature, example_key
from shared.contracts import interactions
from shared.contracts.instants import parse_instant
from shared.contracts.interactions import Author, Delivery


class SesSettings(sns.SnsSettings, EmailSettings):
    region: str | None = Field(
        default=None,
        max_length=40,
        pattern=r"^[a-z0-9-]+$",
        description="Region of the bucket that mails are put into, such as eu-central-1.",
    )
    access_key_id: str | None = Field(
        default=None,
        max_length=128,
        pattern=r"^[A-Za-z0-9]+$",
        description="The access key that may read that bucket (`s3:GetObject`).",
    )


SETUP = (
    """\
1. Add an SNS action to the receipt rule, with the encoding **Base64**: UTF-8 damages mail in other
   charsets. SNS carries mail up to 150 KB and SES bounces what is larger. For larger mail
   use an S3 action with this topic instead, unencrypted by SES, and set `region`, `access_key_id`
   and the secret `secret_access_key` of a key that may read the bucket: the mail is fetched from
   there. Without them it stays owed for half a day, then its notification becomes a dead letter
   with bucket and key, which can be replayed.
2. Subscribe the connector's inbound URL to the topic, over HTTPS, raw delivery off.
3. """
    + sns.STEPS.replace("\n", "\n   ").strip()
    + """
4. List your own addresses under `addresses`, the domains of your Message-IDs under
   `message_id_domains`.
"""
)

_STATUS = {"bounce": "failed", "reject": "failed", "delivery": "delivered", "open": "read"}
_VERDICTS = ("spam", "virus", "spf", "dkim", "dmarc")


def parse(request: InboundRequest, settings: SesSettings, _: Context) -> Parsed:
    parsed = Parsed()
    if request.media_type == "message/rfc822":
        _fetched(request, settings, parsed)
        return parsed
    payload = fields.decode_json(request.body, parsed)
    for envelope, found in sns.messages(payload, settings.topic_arn, parsed):
        records = [each.get("ses") for each in fields.items(found, "Records") if "ses" in each]
        for message in fields.items({"all": records or [found]}, "all"):
            _message(message, fields.key(envelope, "MessageId"), settings, parsed)
    if payload is not None and not (parsed.events or parsed.problems):
        parsed.lose("unusable_payload", "The payload holds neither a mail nor a notice.")
    return parsed


def _message(
    message: dict[str, Any], sns_id: str | None, settings: SesSettings, parsed: Parsed
) -> None:
    if fields.text(message, "source") == "aws.ses":  # by EventBridge
        message = fields.obj(message, "detail")
    mail, receipt = fields.obj(message, "mail"), fields.obj(message, "receipt")
    identity = fields.key(mail, "messageId")
    kind = (
        fields.text(message, "notificationType") or fields.text(message, "eventType") or ""
    ).lower()
    if kind == "amazonsnssubscriptionsucceeded":
        parsed.note("operation", "SES tells that its notices reach this topic.")
        return
    if identity is None:
        parsed.lose("missing_id", "The notification has no mail.messageId.")
    elif kind and kind != "received":
        _outcome(message, kind, identity, sns_id, parsed)
    elif fields.text(message, "content") is None:
        _elsewhere(mail, receipt, identity, parsed)
    else:
        _received(message, identity, sns_id, settings, parsed)


def _received(
    message: dict[str, Any],
    identity: str,
    sns_id: str | None,
    settings: SesSettings,
    parsed: Parsed,
) -> None:
    mail, receipt = fields.obj(message, "mail"), fields.obj(message, "receipt")
    raw = _content(message["content"], fields.text(receipt, "action", "encoding"))
    event = provided.raw_event(raw, settings, parsed)
    event.vendor_id = f"ses:{identity}"
    if event.occurred_at_us is None:
        event.occurred_at_us = _instant(fields.text(mail, "timestamp"))
    event.vendor |= fields.known(
        mail_id=identity,
        sns_message_id=sns_id,
        envelope_from=fields.key(mail, "source"),
        envelope_to=fields.texts(receipt, "recipients") or fields.texts(mail, "destination"),
        **{name: fields.key(receipt, f"{name}Verdict", "status") for name in _VERDICTS},
    )
    parsed.events.append(event)


def _content(text: str, encoding: str | None) -> bytes:
    """The raw mail; base64 also where the notification does not say so but the text can be nothing
    else: raw mail has a colon in its first line."""
    if (encoding or "").upper() == "BASE64" or ":" not in text[:2000]:
        try:
            return base64.b64decode("".join(text.split()), validate=True)
        except (binascii.Error, ValueError):
            pass
    return text.encode("utf-8", "replace")


def _elsewhere(
    mail: dict[str, Any], receipt: dict[str, Any], identity: str, parsed: Parsed
) -> None:
    """A mail of which the notification tells only the headers: it lies in S3, or with Lambda."""
    place = fields.known(
        bucket=fields.key(receipt, "action", "bucketName"),
        object=fields.key(receipt, "action", "objectKey"),
        subject=fields.text(mail, "commonHeaders", "subject"),
    )
    parsed.want("message", identity, **place)


def _stored(told: Told) -> Page:
    """The object is the mail as it came."""
    return Page(
        payloads=[told.body],
        content_type="message/rfc822",
        query=urlencode({"mail_id": told.ids["key"]}),
    )


def _fetched(request: InboundRequest, settings: SesSettings, parsed: Parsed) -> None:
    identity = request.argument("mail_id")
    if identity is None or not request.body.strip():
        parsed.lose("unusable_payload", "The object in the bucket is empty, or no mail's.")
        return
    event = provided.raw_event(request.body, settings, parsed)
    event.vendor_id = f"ses:{identity[:512]}"
    event.vendor |= fields.known(mail_id=identity[:512])
    parsed.events.append(event)


def _outcome(
    message: dict[str, Any], kind: str, identity: str, sns_id: str | None, parsed: Parsed
) -> None:
    """What became of a mail that we sent."""
    status = _STATUS.get(kind) or ("sent" if kind == "send" else None)
    if status is None:
        parsed.note("not_an_interaction", f"The notice {kind[:64]!r} is no message.")
        return
    named = fields.key(message, "mail", "commonHeaders", "messageId") or identity
    whom = next(fields.items(message, "bounce", "bouncedRecipients"), {})
    why = fields.text(whom, "diagnosticCode") or fields.text(message, "bounce", "bounceSubType")
    at = fields.text(message, kind, "timestamp") or fields.text(message, "mail", "timestamp")
    parsed.events.append(
        Normalised(
            vendor_id=f"ses:{identity}:{kind}:{fields.key(whom, 'emailAddress') or ''}",
            conversation_key=named.strip("<>"),
            type=interactions.DELIVERY_STATUS,
            occurred_at_us=_instant(at),
            direction="outbound",
            author=Author(role="system"),
            delivery_status=Delivery(named.strip("<>"), status, why),  # type: ignore[arg-type]
            vendor=fields.known(mail_id=identity, sns_message_id=sns_id, event=kind),
        )
    )


def _instant(text: str | None) -> int | None:
    try:
        return parse_instant(text or "")
    except (ValueError, OverflowError):
        return None


URL = "https://omniroute.example/v1/workspaces/demo/connectors/ses/inbound"
_RAW = """\
From: Kim Example <kim@example.org>
To: help@acme.example
Date: Mon, 02 Mar 2026 10:00:00 +0100
Message-ID: <first@mail.example.org>
Subject: Invoice
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: 8bit

Die Rechnung für März ist falsch.
"""


def examples() -> tuple[Example, ...]:
    at_us = parse_instant("2026-03-02T09:00:30Z")
    secrets = {"signing_certificate": (example_key()[1],)}
    passed = {f"{name}Verdict": {"status": "PASS"} for name in _VERDICTS}

    def received(identity: str, action: dict[str, str], **more: str) -> dict[str, Any]:
        mail = {
            "messageId": identity,
            "source": "kim@example.org",
            "destination": ["help@acme.example"],
        }
        receipt = {"recipients": ["help@acme.example"], "action": action, **passed}
        return {"notificationType": "Received", "mail": mail, "receipt": receipt, **more}

    coded = base64.b64encode(_RAW.encode("latin-1")).decode()
    whole = received("ses1", {"type": "SNS", "encoding": "BASE64"}, content=coded)
    stored = received("ses2", {"type": "S3", "bucketName": "mail", "objectKey": "in/ses2"})
    bounced = {
        "notificationType": "Bounce",
        "mail": {"messageId": "out1", "timestamp": "2026-03-02T08:59:00Z"},
        "bounce": {
            "timestamp": "2026-03-02T09:00:00Z",
            "bouncedRecipients": [{"emailAddress": "nobody@example.org", "diagnosticCode": "550"}],
        },
    }
    return (
        Example("mail", sns.sign(whole, at_us, url=URL), secrets, (interactions.MESSAGE,)),
        Example("stored in S3", sns.sign(stored, at_us, url=URL, version="1"), secrets, ()),
        Example(
            "bounce", sns.sign(bounced, at_us, url=URL), secrets, (interactions.DELIVERY_STATUS,)
        ),
    )


CONNECTOR = Connector(
    kind="ses_sns",
    channel="email",
    title="Amazon SES over SNS",
    setup=SETUP,
    signature=SnsSignature(),
    parse=parse,
    examples=examples,
    settings=SesSettings,
    secrets={
        **sns.SECRETS,
        "secret_access_key": "The access key's secret, for mail that lies in a bucket.",
    },
    retry_horizon_s=DAY_S,
    covers_body=False,  # SNS signs fields of its envelope, not the bytes
    max_body_bytes=40 * 1024 * 1024,
    fetches=(
        *sns.FETCHES,
        Fetch(
            "message",
            "GET https://s3.{region}.amazonaws.com/{bucket}/{object}",
            secret="secret_access_key",
            auth="aws4:s3",
            hosts=("amazonaws.com",),
            needs=("region", "access_key_id"),
            read=_stored,
        ),
    ),
)
