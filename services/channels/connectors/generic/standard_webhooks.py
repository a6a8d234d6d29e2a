"""Any sender that signs as Standard Webhooks say: `v1` (HMAC) and `v1a` (ed25519), lists of both.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from services.channels.connectors.generic.receiving import (
    OWN_SHAPE,
    ReceivingSettings,
    Said,
    receive,
)
from services.channels.connectors.port import Connector, Context, Example, InboundRequest, Parsed
from services.channels.connectors.posting import encoded, posted, standard
from services.channels.connectors.signatures import AnyOf, StandardWebhooks
from shared.contracts import interactions
from shared.contracts.instants import parse_instant

SETUP = f"""\
1. Give the sender the connector's inbound URL, and put its secret (`whsec_…`) into
   `signing_secret`, or its public key (`whpk_…`) into `public_key`; a list of them during rotation.
   The older header names of Svix (`svix-id` …) are understood too.
2. Choose the `channel`.

{OWN_SHAPE}"""

_OWN = StandardWebhooks(public_key="public_key")
_SVIX = StandardWebhooks(public_key="public_key", headers="svix")
PREFIXES = ("webhook", "svix")


def parse(request: InboundRequest, settings: ReceivingSettings, _: Context) -> Parsed:
    found = (request.header(f"{prefix}-id") for prefix in PREFIXES)
    identity = next((one[:512] for one in found if one), None)
    return receive(request, settings.mapped(), identity)


def _ed25519(said: Said, at_us: int) -> tuple[InboundRequest, str]:
    """A request signed with a key made from a word, and its public key as senders show it."""
    private = Ed25519PrivateKey.from_private_bytes(b"example".ljust(32, b"."))
    raw = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    body, stamp = encoded(said.payload()), str(at_us // 1_000_000)
    signature = base64.b64encode(private.sign(f"d-a.{stamp}.".encode() + body)).decode()
    headers = (
        ("webhook-id", "d-a"),
        ("webhook-timestamp", stamp),
        ("webhook-signature", f"v1,AAAA v1a,{signature}"),
    )
    request = posted(said.payload(), at_us, *headers)
    return request, "whpk_" + base64.b64encode(raw).decode()


def examples() -> tuple[Example, ...]:
    at_us = parse_instant("2026-03-02T09:20:00Z")
    secret = "whsec_ZXhhbXBsZS1zaWduaW5nLXNlY3JldA=="

    def one(name: str, said: Said, event: str, revises: str | None = None) -> Example:
        request = standard(_OWN, secret, f"d-{said.id}", said.payload(), at_us)
        return Example(name, request, {"signing_secret": (secret,)}, (event,), revises)

    edit = Said("m-2", "It is red!", type="message_edited", replaces="m-1")
    request, key = _ed25519(Said("m-4", "Signed with ed25519"), at_us)
    return (
        one("message", Said("m-1", "It is red"), interactions.MESSAGE),
        one("edit", edit, interactions.MESSAGE_EDITED, "message"),
        one(
            "delete",
            Said("m-3", type="message_deleted", replaces="m-1"),
            interactions.MESSAGE_DELETED,
            "message",
        ),
        Example("ed25519", request, {"public_key": (key,)}, (interactions.MESSAGE,)),
    )


CONNECTOR = Connector(
    kind="standard_webhooks",
    channel="chat",
    title="Any sender: Standard Webhooks",
    setup=SETUP,
    signature=AnyOf((_OWN, _SVIX)),
    parse=parse,
    examples=examples,
    settings=ReceivingSettings,
    secrets={
        "signing_secret": "The sender's secret (whsec_…).",
        "public_key": "The sender's ed25519 public key (whpk_…).",
    },
)
