"""What became of mails that were sent through SendGrid: its Event Webhook, at the same address.

https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event
"""

from typing import Any

from services.channels.connectors import fields
from services.channels.connectors.port import InboundRequest, Normalised, Parsed
from services.channels.connectors.reading import digest_of, given, moment, objects_of
from shared.contracts import interactions
from shared.contracts.interactions import Author, Delivery

_STATUS = {
    "processed": "sent",
    "delivered": "delivered",
    "open": "read",
    "bounce": "failed",
    "blocked": "failed",
    "dropped": "failed",
}


def is_events(request: InboundRequest) -> bool:
    """A mail comes as a form, events as JSON."""
    return request.media_type == "application/json" or request.body[:64].lstrip()[:1] == b"["


def read_events(request: InboundRequest) -> Parsed:
    parsed = Parsed()
    for raw in objects_of(request, parsed):
        _event(raw, parsed)
    if not parsed.events and not parsed.problems:
        parsed.note("empty", "The request holds no events.")
    return parsed


def _event(raw: dict[str, Any], parsed: Parsed) -> None:
    name = fields.text(raw, "event") or "?"
    status: Any = _STATUS.get(name)
    # The Message-ID, else SendGrid's own id, of which what follows the point tells the server only.
    mail = (fields.key(raw, "smtp-id") or "").strip("<> ")
    mail = mail or (fields.key(raw, "sg_message_id") or "").partition(".")[0]
    if name == "?":
        parsed.lose("unknown_event", "The JSON holds no event of SendGrid.")
    elif status is None:
        parsed.note("not_an_interaction", f"The event {name[:64]!r} is no message.")
    elif not mail:
        parsed.lose("missing_id", f"The event {name[:64]!r} names no mail.")
    else:
        own = fields.key(raw, "sg_event_id")
        why = fields.text(raw, "reason") or fields.text(raw, "response")
        event = Normalised(
            vendor_id=f"event:{own or digest_of(mail, name, raw.get('email'), raw.get('timestamp'))}",
            conversation_key=mail,
            type=interactions.DELIVERY_STATUS,
            occurred_at_us=moment(raw, "timestamp"),
            direction="outbound",
            author=Author("system"),
            delivery_status=Delivery(mail, status, why if status == "failed" else None),
            vendor=given(raw, "sg_event_id", "sg_message_id", "smtp-id", "email", "event"),
        )
        parsed.events.append(event)
