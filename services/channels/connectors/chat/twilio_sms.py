"""Twilio Programmable Messaging: SMS, MMS, RCS and WhatsApp by a form per message or status.

https://www.twilio.com/docs/messaging/guides/webhook-request
"""

from typing import Any

from pydantic import Field

from services.channels.connectors import fields
from services.channels.connectors.answers import lines_of
from services.channels.connectors.chat import twilio_history
from services.channels.connectors.chat.twilio_forms import (
    ANSWERS,
    AUTH_TOKEN,
    MAX_MEDIA,
    SIGNATURE,
    form,
    request_of,
)
from services.channels.connectors.chat.twilio_streams import as_form, events_in
from services.channels.connectors.identities import PHONE, identities, phone
from services.channels.connectors.port import (
    Connector,
    Context,
    Example,
    InboundRequest,
    Normalised,
    Parsed,
    Settings,
)
from services.channels.connectors.reading import given, moment
from shared.contracts import interactions
from shared.contracts.instants import parse_instant
from shared.contracts.interactions import Attachment, Author, Delivery


class TwilioSmsSettings(Settings):
    region: str | None = Field(
        default=None, max_length=2, description="Country (ISO 3166) of numbers without a prefix."
    )
    account_sid: str | None = Field(
        default=None,
        max_length=64,
        pattern=r"^AC[A-Za-z0-9]+$",
        description="The account's SID: with it, what was missed is listed.",
    )


SETUP = """\
1. In the number's or messaging service's settings, enter the connector's inbound URL for incoming
   messages and as status callback; add `#rc=5&rp=all` to it, for Twilio otherwise tries once.
2. Put the account's auth token into `auth_token`; a list of two during rotation.
3. Behind a proxy, set `public_url` to the address exactly as Twilio calls it: Twilio signs it.
   A webhook sink of Event Streams may take the place of the forms; it tells of no files.

Twilio does not repeat what nobody answered: what was missed is listed every five minutes by the
Messages API, once `account_sid` is set. Twilio sends no time with a message: it is dated by its
arrival; one that was missed by the list. SMS can be neither edited nor withdrawn.
"""

_STATUSES = {
    "sent": "sent",
    "delivered": "delivered",
    "read": "read",
    "failed": "failed",
    "undelivered": "failed",
    "canceled": "failed",
}
_QUIET = (
    "queued",
    "accepted",
    "scheduled",
    "sending",
    "receiving",
    "received",
    "partially_delivered",
)
_NAMES = ("MessageSid", "SmsSid", "AccountSid", "MessagingServiceSid", "From", "To", "WaId",
          "MessageStatus", "SmsStatus", "ErrorCode", "OriginalRepliedMessageSid")  # fmt: skip


# WhatsApp's own names for the advertisement that somebody comes from.
_REFERRAL = {
    "body": "ReferralBody",
    "headline": "ReferralHeadline",
    "source_id": "ReferralSourceId",
    "source_type": "ReferralSourceType",
    "source_url": "ReferralSourceUrl",
    "media_url": "ReferralMediaUrl",
    "ctwa_clid": "ReferralCtwaClid",
}


def parse(request: InboundRequest, settings: TwilioSmsSettings, _: Context) -> Parsed:
    parsed = Parsed()
    if request.media_type in _STREAMED:
        streamed = events_in(fields.decode_json(request.body, Parsed()))
        for event in streamed:
            _streamed(event, settings, parsed)
        if streamed:
            return parsed
    values = form(request, parsed)
    if values:
        _read(values, settings, parsed)
    return parsed


_STREAMED = (
    "application/json",
    "application/cloudevents+json",
    "application/cloudevents-batch+json",
)


def _streamed(event: dict[str, Any], settings: TwilioSmsSettings, parsed: Parsed) -> None:
    values = as_form(event)
    if values is None:
        kind = (fields.text(event, "type") or "?")[:64]
        parsed.note("not_an_interaction", f"The event {kind!r} is no message.")
    else:
        _read(values, settings, parsed)


def _read(values: dict[str, Any], settings: TwilioSmsSettings, parsed: Parsed) -> None:
    sid = fields.key(values, "MessageSid") or fields.key(values, "SmsSid")
    sid = sid or fields.key(values, "SmsMessageSid")
    if sid is None:
        parsed.lose("missing_id", "The form has no MessageSid.")
        return
    status = (
        fields.text(values, "MessageStatus") or fields.text(values, "SmsStatus") or ""
    ).lower()
    if status and status != "received" and "Body" not in values:
        _status(values, sid, status, settings, parsed)
    elif fields.key(values, "From") is None:
        parsed.lose("missing_sender", "A message has no From.")
    else:
        _message(values, sid, settings, parsed)


def _event(
    values: dict[str, Any], vendor_id: str, theirs: str, ours: str | None, region: str | None
) -> Normalised:
    customer = fields.key(values, theirs) or ""
    number = customer.rpartition(":")[2]
    scheme = customer.rpartition(":")[0] or "sms"
    owner = fields.key(values, "MessagingServiceSid") or fields.key(values, ours or "") or ""
    wa_id = fields.key(values, "WaId")
    known = {scheme: wa_id or number, PHONE: phone(number, region)}
    return Normalised(
        vendor_id=vendor_id,
        conversation_key=f"{owner}:{customer}",
        occurred_at_us=moment(values, "DateSent"),
        author=Author("customer", fields.text(values, "ProfileName"), customer),
        identities=identities(**known),
        vendor=given(values, *_NAMES),
    )


def _message(values: dict[str, Any], sid: str, settings: TwilioSmsSettings, parsed: Parsed) -> None:
    event = _event(values, sid, "From", "To", settings.region)
    event.text = fields.text(values, "Body")
    event.attachments = _media(values)
    event.in_reply_to = fields.key(values, "OriginalRepliedMessageSid")
    event.attributes = fields.known(
        button=fields.text(values, "ButtonPayload") or fields.text(values, "ListId"),
        country=fields.text(values, "FromCountry"),
        forwarded=True if fields.text(values, "Forwarded") == "true" else None,
        referral={
            name: said for name, field in _REFERRAL.items() if (said := fields.text(values, field))
        },
    )
    place = _place(values)
    if place:
        event.attributes["location"] = place
    if not event.text and not event.attachments:
        _describe(event, values, place)
    if fields.text(values, "OptOutType"):
        event.attributes["opt_out"] = fields.text(values, "OptOutType")
    parsed.events.append(event)


def _describe(event: Normalised, values: dict[str, Any], place: dict[str, Any]) -> None:
    named = ("ButtonText", "ListTitle", "Label")
    event.text = next((text for name in named if (text := fields.text(values, name))), None)
    for name in ("FlowData", "InteractiveData"):
        event.text = event.text or lines_of(fields.text(values, name) or "{}")
    if place:
        spot = f"{place.get('latitude')}, {place.get('longitude')}"
        label = event.text or fields.text(values, "Address")
        event.text = f"Location: {label} ({spot})" if label else f"Location: {spot}"
        event.generated = True
    if not event.text:
        event.text, event.generated = "(empty message)", True
        event.flags = ["unsupported"]


def _place(values: dict[str, Any]) -> dict[str, Any]:
    return fields.known(
        latitude=fields.number(values, "Latitude"), longitude=fields.number(values, "Longitude")
    )


def _media(values: dict[str, Any]) -> list[Attachment]:
    count = min(fields.integer(values, "NumMedia") or 0, MAX_MEDIA)
    found = [
        Attachment(
            content_type=fields.text(values, f"MediaContentType{index}"),
            url=fields.text(values, f"MediaUrl{index}"),
            vendor_id=(fields.text(values, f"MediaUrl{index}") or "").rpartition("/")[2] or None,
        )
        for index in range(max(count, 0))
    ]
    return [each for each in found if each.url]


def _status(
    values: dict[str, Any], sid: str, status: str, settings: TwilioSmsSettings, parsed: Parsed
) -> None:
    known: Any = _STATUSES.get(status)
    if known is None:
        code = "not_an_interaction" if status in _QUIET else "unknown_status"
        parsed.note(code, f"The status {status[:32]!r} is not passed on.")
        return
    event = _event(values, f"{sid}:{status}", "To", "From", settings.region)
    event.type, event.direction = interactions.DELIVERY_STATUS, "outbound"
    event.author = Author("system")
    error = fields.text(values, "ErrorMessage") or fields.text(values, "ErrorCode")
    event.delivery_status = Delivery(message_id=sid, status=known, error=error)
    parsed.events.append(event)


def examples() -> tuple[Example, ...]:
    at_us = parse_instant("2026-03-02T09:20:00Z")
    common = {"AccountSid": "ACexample", "MessagingServiceSid": "MGexample"}
    said = {"From": "+4915112345678", "To": "+4930123456"}
    sent = {"From": "+4930123456", "To": "+4915112345678"}
    photo = {"NumMedia": 1, "MediaUrl0": "https://api.twilio.example/ME1", "Body": ""}
    secrets = {"auth_token": (AUTH_TOKEN,)}

    def one(name: str, event: str, **values: Any) -> Example:
        request = request_of({**common, "MessageSid": f"SM{name}", **values}, at_us)
        return Example(name, request, secrets, (event,))

    whatsapp = {"From": "whatsapp:+4915112345678", "WaId": "4915112345678", "Body": "Hi"}
    return (
        one("text", interactions.MESSAGE, **said, Body="Is my parcel there?", NumMedia=0),
        one("photo", interactions.MESSAGE, **said, **photo, MediaContentType0="image/jpeg"),
        one("whatsapp", interactions.MESSAGE, To="whatsapp:+4930123456", **whatsapp),
        one("status", interactions.DELIVERY_STATUS, **sent, MessageStatus="delivered"),
        one(
            "failed", interactions.DELIVERY_STATUS, **sent, MessageStatus="failed", ErrorCode=30003
        ),
    )


CONNECTOR = Connector(
    kind="twilio_sms",
    channel="chat",
    title="Twilio SMS, MMS and WhatsApp",
    setup=SETUP,
    signature=SIGNATURE,
    by_get=True,
    parse=parse,
    examples=examples,
    settings=TwilioSmsSettings,
    secrets={"auth_token": "Auth token of the Twilio account: signs each request."},
    answers=ANSWERS,
    dated=False,
    edits=False,
    fetches=twilio_history.SMS,
)
