"""What Meta's webhooks share: the subscription handshake, answers and the envelope of entries.

https://developers.facebook.com/docs/graph-api/webhooks/getting-started
"""

from collections.abc import Iterator
from typing import Any

from services.channels.connectors import fields
from services.channels.connectors.port import (
    DAY_S,
    Answer,
    Answers,
    HandshakeExample,
    Handshaken,
    InboundRequest,
    Parsed,
    Secrets,
    Settings,
    Verdict,
)
from services.channels.connectors.signatures import any_same

SECRETS = {
    "app_secret": "Settings > Basic > App secret of the Meta app: signs what is posted.",
    "verify_token": "A word of your choice, entered again in the webhook's configuration.",
}
RETRY_HORIZON_S = 8 * DAY_S
MAX_BODY_BYTES = 4 * 1024 * 1024
_PLAIN = (("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff"))

# A 4xx or 5xx for a payload that cannot be used would only earn its redelivery, and in the end a
# disabled subscription.
ANSWERS = Answers(ok=Answer(200), unusable=Answer(200))


def handshake(request: InboundRequest, secrets: Secrets, _: Settings) -> Handshaken | None:
    """GET with hub.mode=subscribe: the challenge comes back when the token is ours."""
    if request.method.upper() != "GET" or request.argument("hub.mode") is None:
        return None
    verdict = _verdict(request, secrets.get("verify_token", ()))
    challenge = fields.clean(request.argument("hub.challenge") or "", 1024)
    good = request.argument("hub.mode") == "subscribe" and verdict != "invalid"
    return Handshaken(verdict, Answer(200, challenge, _PLAIN) if good else Answer(403))


def handshakes() -> tuple[HandshakeExample, ...]:
    query = "hub.mode=subscribe&hub.challenge=c%2042&hub.verify_token=example-word"
    request = InboundRequest("GET", f"https://omniroute.example/inbound?{query}", (), b"", 0)
    secrets = {"verify_token": ("example-word",)}
    return (HandshakeExample("subscribe", request, secrets, Answer(200, "c 42", _PLAIN)),)


def _verdict(request: InboundRequest, known: tuple[str, ...]) -> Verdict:
    if not known:
        return "none"
    token = request.argument("hub.verify_token") or ""
    return "valid" if any_same(known, token) else "invalid"


def entries(payload: Any, parsed: Parsed) -> Iterator[dict[str, Any]]:
    """The entries of a payload; a payload without any is a problem."""
    found = list(fields.items(payload, "entry"))
    if not found:
        parsed.lose("unusable_payload", "The payload has no entry.")
    yield from found
