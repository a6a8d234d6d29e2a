"""How MessageBird and Bird sign their webhooks.

https://developers.messagebird.com/api/#verifying-http-requests
"""

from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode

from services.channels.connectors import fields
from services.channels.connectors.bearer import hs256, in_time, sign_hs256
from services.channels.connectors.port import InboundRequest, Secrets, Verdict
from services.channels.connectors.posting import URL, encoded, posted
from services.channels.connectors.signatures import any_same, decimal_us, digest, fresh, same
from shared.contracts.instants import SECOND_US

HEADER = "MessageBird-Signature-JWT"
ISSUER = "MessageBird"
_TOLERANCE_S = 300


@dataclass(frozen=True, slots=True)
class MessageBirdHmac:
    """Base64 HMAC-SHA256 over the time, the URL and the body's hash, as Bird signs; the older scheme has
    the sorted query in the URL's place.

    https://docs.bird.com/api/notifications-api/api-reference/webhook-subscriptions/verifying-a-webhook-subscription
    """

    secret_names: tuple[str, ...] = ("signing_key",)

    def verify(self, request: InboundRequest, secrets: Secrets) -> Verdict:
        known = secrets.get("signing_key", ())
        if not known:
            return "none"
        stamp = request.header("MessageBird-Request-Timestamp") or ""
        at_us = decimal_us(stamp)
        if at_us is None or not fresh(at_us, request.received_at_us, _TOLERANCE_S):
            return "invalid"
        places = (urlencode(sorted(request.query)).encode(), request.url.encode("utf-8", "replace"))
        hashed = sha256(request.body).digest()
        messages = [b"\n".join((stamp.encode(), place, hashed)) for place in places]
        expected = [
            digest("sha256", secret, message, "base64") for secret in known for message in messages
        ]
        given_one = request.header("MessageBird-Signature") or ""
        return "valid" if any_same(expected, given_one) else "invalid"


@dataclass(frozen=True, slots=True)
class MessageBirdToken:
    """A JWT over the hashes of the URL and the body, in a header of its own (HS256)."""

    secret_names: tuple[str, ...] = ("signing_key",)

    def verify(self, request: InboundRequest, secrets: Secrets) -> Verdict:
        known = secrets.get("signing_key", ())
        if not known:
            return "none"
        claims = hs256(request.header(HEADER) or "", known)
        if claims is None or claims.get("iss") != ISSUER:
            return "invalid"
        covered = _covers(claims, request)
        return "valid" if covered and in_time(claims, request.received_at_us, 1) else "invalid"


def _covers(claims: dict[str, Any], request: InboundRequest) -> bool:
    body, url = fields.text(claims, "payload_hash"), fields.text(claims, "url_hash")
    address = sha256(request.url.encode("utf-8", "replace")).hexdigest()
    right_url = url is not None and same(address, url)
    if not request.body:
        return right_url and body is None
    return right_url and body is not None and same(sha256(request.body).hexdigest(), body)


def sign(payload: dict[str, Any], received_at_us: int, *, url: str = URL) -> InboundRequest:
    """A payload of ours as MessageBird would send it."""
    body = encoded(payload)
    now_s = received_at_us // SECOND_US
    claims = {
        "iss": ISSUER,
        "nbf": now_s - 1,
        "exp": now_s + 60,
        "url_hash": sha256(url.encode()).hexdigest(),
        "payload_hash": sha256(body).hexdigest(),
    }
    token = sign_hs256(claims, "example-signing-key")
    return posted(payload, received_at_us, (HEADER, token), url=url)
