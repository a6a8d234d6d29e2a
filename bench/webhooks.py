"""Vendors' webhooks as the benches post them: each another message, signed as the vendor signs."""

import json
import time
from collections.abc import Callable
from typing import Any

from services.channels.connectors import registry
from services.channels.connectors.chat import whatsapp_examples
from services.channels.connectors.signatures import BodyHmac

SECRET = "bench-secret"
_TEXT = "My invoice is wrong: I was charged twice in October. Can you help me?"
CUSTOMERS = 1000
# They stand for the message's and the customer's number in a template of a body.
_NUMBER = 918273645
_CUSTOMER = 817263544


def _whatsapp() -> dict[str, Any]:
    now_us = time.time_ns() // 1000
    raw = whatsapp_examples.message(f"wamid.{_NUMBER}", "text", {"body": _TEXT}, now_us)
    raw["from"] = f"49{_CUSTOMER}"
    return whatsapp_examples.payload_of("messages", raw, customer=f"49{_CUSTOMER}")


def _slack() -> dict[str, Any]:
    now_s = int(time.time())
    message = {
        "type": "message",
        "user": f"U{_CUSTOMER}",
        "text": _TEXT,
        "channel": f"D{_CUSTOMER}",
        "channel_type": "im",
        "ts": f"{now_s}.{_NUMBER}",
        "event_ts": f"{now_s}.{_NUMBER}",
        "team": "T01",
    }
    return {
        "token": "-",
        "team_id": "T01",
        "api_app_id": "A01",
        "event": message,
        "type": "event_callback",
        "event_id": f"Ev{_NUMBER}",
        "event_time": now_s,
        "authorizations": [{"team_id": "T01", "user_id": "U00", "is_bot": True}],
    }


_PAYLOADS: dict[str, Callable[[], dict[str, Any]]] = {
    "whatsapp_cloud": _whatsapp,
    "slack": _slack,
}


def secrets_of(kind: str) -> dict[str, str]:
    """The connector's secrets, all the same."""
    return dict.fromkeys(registry.get(kind).secrets, SECRET)


Webhook = Callable[[int], tuple[bytes, bytes]]
"""(a message's body, its signature's header lines) by its number."""


def webhook(kind: str) -> Webhook:
    """Makes a kind's webhooks, signed with the time of now. CUSTOMERS customers write in turn.
    Loads all connectors, which takes half a second. Raises Refused for an unknown kind.
    """
    scheme = registry.get(kind).signature
    assert isinstance(scheme, BodyHmac)
    text = json.dumps(_PAYLOADS[kind](), separators=(",", ":")).replace("%", "%%")
    template = text.replace(str(_NUMBER), "%(number)09d")
    template = template.replace(str(_CUSTOMER), "1%(customer)09d").encode()

    def one(number: int) -> tuple[bytes, bytes]:
        body = template % {b"number": number % 1_000_000_000, b"customer": number % CUSTOMERS}
        headers = scheme.headers(SECRET, body, str(int(time.time())))
        return body, "".join(f"{name}: {value}\r\n" for name, value in headers).encode()

    return one
