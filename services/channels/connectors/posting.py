"""Payloads of ours as the requests that vendors would send: for examples and the demo."""

import json
from typing import Any

from services.channels.connectors.port import InboundRequest
from services.channels.connectors.signatures import BodyHmac, StandardWebhooks

URL = "https://omniroute.example/v1/workspaces/demo/connectors/example/inbound"
JSON_TYPE = ("Content-Type", "application/json")


def encoded(payload: Any) -> bytes:
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()


def posted(
    payload: Any, received_at_us: int, *headers: tuple[str, str], url: str = URL
) -> InboundRequest:
    """The request with these headers."""
    return InboundRequest("POST", url, (JSON_TYPE, *headers), encoded(payload), received_at_us)


def signed(
    scheme: BodyHmac, secret: str, payload: Any, received_at_us: int, *, url: str = URL
) -> InboundRequest:
    """The request signed by an HMAC scheme, a moment before it is received."""
    stamp = str(received_at_us // 1_000_000)
    headers = scheme.headers(secret, encoded(payload), stamp)
    return posted(payload, received_at_us, *headers, url=url)


def standard(
    scheme: StandardWebhooks, secret: str, identity: str, payload: Any, received_at_us: int
) -> InboundRequest:
    """The request as a Standard Webhooks sender would post it."""
    stamp = str(received_at_us // 1_000_000)
    signature = scheme.sign(secret, identity, stamp, encoded(payload))
    names = ("id", "timestamp", "signature")
    values = zip(names, (identity, stamp, signature), strict=True)
    return posted(
        payload, received_at_us, *((f"{scheme.headers}-{name}", text) for name, text in values)
    )
