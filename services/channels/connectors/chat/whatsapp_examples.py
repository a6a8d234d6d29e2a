"""WhatsApp payloads of ours, in the vendor's format and signed as the vendor does."""

import json
from typing import Any

from services.channels.connectors.port import Example, InboundRequest
from services.channels.connectors.signatures import HUB_SIGNATURE_256
from shared.contracts import interactions
from shared.contracts.instants import parse_instant

URL = "https://omniroute.example/v1/workspaces/demo/connectors/whatsapp-main/inbound"
APP_SECRET = "example-app-secret"
VERIFY_TOKEN = "example-verify-token"
_SECRETS = {"app_secret": (APP_SECRET,), "verify_token": (VERIFY_TOKEN,)}
_NUMBER_ID, _NUMBER, _CUSTOMER = "100000000000001", "4930123456", "4915112345678"


def sign(
    payload: dict[str, Any], received_at_us: int, *, url: str = URL, secret: str = APP_SECRET
) -> InboundRequest:
    """A payload of ours as the request that Meta would send."""
    body = json.dumps(payload, separators=(",", ":")).encode()
    headers = (
        ("Content-Type", "application/json"),
        (HUB_SIGNATURE_256.header, HUB_SIGNATURE_256.sign(secret, body)),
    )
    return InboundRequest("POST", url, headers, body, received_at_us)


def payload_of(
    part: str, *raw: dict[str, Any], customer: str = _CUSTOMER, name: str = "Kim Example"
) -> dict[str, Any]:
    """A payload with one change; `part` is messages, statuses, calls or message_echoes."""
    value = {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": _NUMBER, "phone_number_id": _NUMBER_ID},
        "contacts": [{"profile": {"name": name}, "wa_id": customer}],
        part: list(raw),
    }
    field = {"calls": "calls", "message_echoes": "smb_message_echoes"}.get(part, "messages")
    entry = {"id": "200000000000002", "changes": [{"value": value, "field": field}]}
    return {"object": "whatsapp_business_account", "entry": [entry]}


def message(wamid: str, kind: str, content: Any, at_us: int, **more: Any) -> dict[str, Any]:
    """One message of the customer."""
    stamp = str(at_us // 1_000_000)
    base = {"from": _CUSTOMER, "id": wamid, "timestamp": stamp, "type": kind}
    return {**base, kind: content, **more}


def examples() -> tuple[Example, ...]:
    at_us = parse_instant("2026-03-02T09:20:00Z")

    def one(
        name: str, part: str, raw: dict[str, Any], event: str, revises: str | None = None
    ) -> Example:
        request = sign(payload_of(part, raw), at_us + 800_000)
        return Example(name, request, _SECRETS, (event,), revises)

    def said(name: str, kind: str, content: Any, **more: Any) -> Example:
        raw = message(f"wamid.{name}", kind, content, at_us, **more)
        return one(name, "messages", raw, interactions.MESSAGE)

    edit = {
        "original_message_id": "wamid.text",
        "message": {"type": "text", "text": {"body": "My invoice 4711 is wrong"}},
    }
    revoke = {"original_message_id": "wamid.text"}
    stamp = str(at_us // 1_000_000)
    status = {
        "id": "wamid.out",
        "status": "delivered",
        "timestamp": stamp,
        "recipient_id": _CUSTOMER,
    }
    call = {
        "id": "wacid.1",
        "from": _CUSTOMER,
        "to": _NUMBER,
        "event": "connect",
        "timestamp": stamp,
        "direction": "USER_INITIATED",
    }
    echo = {
        "from": _NUMBER,
        "to": _CUSTOMER,
        "id": "wamid.echo",
        "timestamp": stamp,
        "type": "text",
        "text": {"body": "We look into it"},
    }
    return (
        said("text", "text", {"body": "My invoice is wrong"}),
        one(
            "edit",
            "messages",
            message("wamid.edit", "edit", edit, at_us),
            interactions.MESSAGE_EDITED,
            revises="text",
        ),
        one(
            "revoke",
            "messages",
            message("wamid.revoke", "revoke", revoke, at_us),
            interactions.MESSAGE_DELETED,
            revises="text",
        ),
        said("photo", "image", {"id": "300", "mime_type": "image/jpeg", "caption": "Look"}),
        said("place", "location", {"latitude": 52.52, "longitude": 13.405, "name": "Office"}),
        said("reaction", "reaction", {"message_id": "wamid.out", "emoji": "👍"}),
        said("button", "button", {"text": "Yes", "payload": "yes"}, context={"id": "wamid.out"}),
        one("status", "statuses", status, interactions.DELIVERY_STATUS),
        one("call", "calls", call, interactions.MESSAGE),
        one("echo", "message_echoes", echo, interactions.MESSAGE),
    )
