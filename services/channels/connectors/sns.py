"""The envelope of Amazon SNS over HTTPS: notifications opened, subscriptions to be confirmed.

https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html
"""

import base64
import json
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from pydantic import Field

from services.channels.connectors import fields
from services.channels.connectors.fetching import done
from services.channels.connectors.port import Fetch, InboundRequest, Parsed, Settings
from services.channels.connectors.public_keys import example_key, sns_host, sns_message
from shared.contracts.instants import format_instant

SECRETS = {
    "signing_certificate": "PEM certificate of Amazon SNS, from the SigningCertURL of a message."
}
FETCHES = (Fetch("subscription", "GET {url}", needs=("topic_arn",), read=done),)
STEPS = """\
Fetch the certificate that a message's `SigningCertURL` names (only from `sns.<region>.amazonaws.com`)
and put its PEM text into `signing_certificate`; a list of two while Amazon changes it. A
message that names another host is refused. Set `topic_arn`: all
customers of SNS share its keys, so without it messages of anybody's topic would count. Both
signature versions are accepted; set the topic's `SignatureVersion` to 2. A request to confirm
the subscription of that topic is confirmed.
"""


_GREETING = b"Successfully validated SNS topic"


class SnsSettings(Settings):
    topic_arn: str | None = Field(
        default=None, description="The topic whose messages count; others are left aside."
    )


def messages(
    payload: Any, topic_arn: str | None, parsed: Parsed
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """(envelope, message) of the notifications in a payload: an envelope as posted, several of them
    as Lambda gets them, or a message delivered raw. Everything else is noted in `parsed`."""
    if payload is None:
        return []
    records = [each.get("Sns") for each in fields.items(payload, "Records") if "Sns" in each]
    found: list[tuple[dict[str, Any], dict[str, Any]]] = []
    for envelope in fields.items({"all": records or [payload]}, "all"):
        if "Type" in envelope and ("TopicArn" in envelope or "MessageId" in envelope):
            inner = _opened(envelope, topic_arn, parsed)
        else:
            inner = envelope
        if inner:
            found.append((envelope, inner))
    if not found and not parsed.problems and not parsed.wanted:
        parsed.lose("unusable_payload", "The body holds no message.")
    return found


def _opened(
    envelope: dict[str, Any], topic_arn: str | None, parsed: Parsed
) -> dict[str, Any] | None:
    topic, identity = fields.key(envelope, "TopicArn"), fields.key(envelope, "MessageId") or "?"
    if topic_arn and topic != topic_arn:
        parsed.note("other_topic", f"The message {identity} is of the topic {topic}.")
        return None
    kind = fields.text(envelope, "Type")
    if kind == "SubscriptionConfirmation":
        _confirmation(envelope, identity, parsed)
        return None
    if kind != "Notification":
        parsed.note("operation", f"{(kind or '?')[:64]} {identity} of the topic {topic}.")
        return None
    text = envelope.get("Message")
    content = (text if isinstance(text, str) else "").encode("utf-8", "replace")
    inner = fields.decode_json(content, Parsed())
    if content.startswith(_GREETING):
        parsed.note("operation", f"The message {identity} only tests the topic.")
        return None
    if not isinstance(inner, dict):
        parsed.lose("unusable_payload", f"The message {identity} holds no JSON object.")
        return None
    return inner


def _confirmation(envelope: dict[str, Any], identity: str, parsed: Parsed) -> None:
    url = fields.text(envelope, "SubscribeURL")
    if url is None or not sns_host(url):
        parsed.lose("foreign_address", f"SubscriptionConfirmation {identity} names another host.")
        return
    parsed.want("subscription", identity, type="SubscriptionConfirmation", url=url)


def attribute(envelope: dict[str, Any], name: str) -> str | None:
    """A message attribute of a notification."""
    return fields.key(envelope, "MessageAttributes", name, "Value")


TOPIC = "arn:aws:sns:eu-central-1:123456789012:example"
CERTIFICATE_URL = "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-0123abcd.pem"


def sign(
    message: object,
    received_at_us: int,
    *,
    url: str,
    version: str = "2",
    **more: Any,
) -> InboundRequest:
    """A message of ours as the request that SNS would send. `more` replaces envelope fields."""
    text = message if isinstance(message, str) else json.dumps(message)
    envelope: dict[str, Any] = {
        "Type": "Notification",
        "MessageId": f"00000000-0000-4000-8000-{hash_of(text)}",
        "TopicArn": TOPIC,
        "Message": text,
        "Timestamp": format_instant(received_at_us),
        "SignatureVersion": version,
        "SigningCertURL": CERTIFICATE_URL,
        **more,
    }
    algorithm = hashes.SHA1() if version == "1" else hashes.SHA256()
    signature = example_key()[0].sign(sns_message(envelope), padding.PKCS1v15(), algorithm)
    envelope["Signature"] = base64.b64encode(signature).decode()
    headers = (
        ("Content-Type", "text/plain; charset=UTF-8"),
        ("x-amz-sns-message-type", str(envelope["Type"])),
    )
    return InboundRequest("POST", url, headers, json.dumps(envelope).encode(), received_at_us)


def hash_of(text: str) -> str:
    """Twelve hex digits of a text."""
    digest = hashes.Hash(hashes.SHA256())
    digest.update(text.encode("utf-8", "surrogatepass"))
    return digest.finalize().hex()[:12]
