"""Twilio Event Streams: messages and their states as CloudEvents, told as the forms tell them.

https://www.twilio.com/docs/events/event-types/messaging
"""

from typing import Any

from services.channels.connectors import fields

_INBOUND = "com.twilio.messaging.inbound-message.received"
_STATES = "com.twilio.messaging.message."


def events_in(payload: Any) -> list[dict[str, Any]]:
    """The CloudEvents of a payload; none where it holds something else."""
    return [each for each in fields.items({"all": payload}, "all") if "specversion" in each]


def as_form(event: dict[str, Any]) -> dict[str, Any] | None:
    """The fields of the form that would have told the same; None for what is about no message."""
    kind = fields.text(event, "type") or ""
    if kind != _INBOUND and not kind.startswith(_STATES):
        return None
    data = fields.obj(event, "data")
    form = {f"{str(name)[:1].upper()}{str(name)[1:]}": value for name, value in data.items()}
    form["DateSent"] = data.get("timestamp") or event.get("time")
    if kind == _INBOUND:
        form["Body"] = fields.text(data, "body") or ""
    else:
        form.pop("Body", None)  # a form with words is a message
        form["MessageStatus"] = fields.text(data, "messageStatus") or kind.rpartition(".")[2]
    return form
