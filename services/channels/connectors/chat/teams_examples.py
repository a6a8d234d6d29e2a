"""Bot Framework activities of ours, with tokens as Microsoft would make them."""

from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from services.channels.connectors.port import Example
from services.channels.connectors.posting import posted
from shared.contracts import interactions
from shared.contracts.instants import SECOND_US, parse_instant

ISSUER = "https://api.botframework.com"


@cache
def _example_key() -> tuple[rsa.RSAPrivateKey, str]:
    """A key pair for this process's examples; nothing derives from it."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return private, private.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def token_of(received_at_us: int, service: str, **changes: Any) -> str:
    """A token as Microsoft would make it, signed by the examples' key."""
    now_s = received_at_us // SECOND_US
    claims = {"iss": ISSUER, "aud": "example-app", "exp": now_s + 600, "nbf": now_s - 10}
    return jwt.encode({**claims, "serviceurl": service, **changes}, _example_key()[0], "RS256")


def example_secrets() -> dict[str, tuple[str, ...]]:
    return {"app_id": ("example-app",), "public_keys": (_example_key()[1],)}


def examples() -> tuple[Example, ...]:
    at_us = parse_instant("2026-03-02T09:20:00Z")
    service = "https://smba.example/emea/"
    token = token_of(at_us, service)
    base = {
        "timestamp": "2026-03-02T09:19:59.1234567Z",
        "channelId": "msteams",
        "serviceUrl": service,
        "from": {"id": "29:example", "name": "Kim Example", "aadObjectId": "kim-object"},
        "recipient": {"id": "28:bot", "name": "Support"},
        "conversation": {"id": "19:room@thread.tacv2;messageid=1", "conversationType": "channel"},
    }

    def one(name: str, event: str, revises: str | None = None, **raw: Any) -> Example:
        request = posted({**base, **raw}, at_us, ("Authorization", f"Bearer {token}"))
        return Example(name, request, example_secrets(), (event,), revises)

    mention = {
        "type": "mention",
        "text": "<at>Support</at>",
        "mentioned": {"id": "28:bot", "name": "Support"},
    }
    said = {"id": "1", "text": "<at>Support</at> the lift is stuck", "entities": [mention]}
    picture = {"contentType": "image/png", "contentUrl": "https://smba.example/v3/1"}
    member = {"id": "28:bot"}
    return (
        one("text", interactions.MESSAGE, type="message", **said),
        one(
            "update",
            interactions.MESSAGE_EDITED,
            "text",
            type="messageUpdate",
            id="1",
            text="The lift is free",
        ),
        one("delete", interactions.MESSAGE_DELETED, "text", type="messageDelete", id="1"),
        one("picture", interactions.MESSAGE, type="message", id="2", attachments=[picture]),
        one(
            "reaction",
            interactions.MESSAGE,
            type="messageReaction",
            id="3",
            replyToId="1",
            reactionsAdded=[{"type": "like"}],
        ),
        one(
            "added",
            interactions.CONVERSATION_STARTED,
            type="conversationUpdate",
            id="4",
            membersAdded=[member],
        ),
    )
