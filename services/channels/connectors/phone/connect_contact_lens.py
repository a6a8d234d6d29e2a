"""Amazon Connect Contact Lens: segments of a contact, live, as records of a Kinesis stream.

https://docs.aws.amazon.com/connect/latest/adminguide/contact-analysis-segment-streams.html
"""

import base64
import binascii
import json
from collections.abc import Iterator
from typing import Any

from services.channels.connectors import calls, fields
from services.channels.connectors.identities import PHONE, identities, phone
from services.channels.connectors.phone.contact_lens_analysis import as_record
from services.channels.connectors.port import (
    DAY_S,
    Answer,
    Connector,
    Context,
    Example,
    InboundRequest,
    Normalised,
    Parsed,
    Settings,
)
from services.channels.connectors.signatures import StaticToken
from shared.contracts import interactions
from shared.contracts.instants import SECOND_US, parse_instant
from shared.contracts.interactions import Role
from shared.contracts.topics import Channel

SETUP = """\
1. Turn on real-time analysis streaming to a Kinesis data stream (instance storage of the type
   `REAL_TIME_CONTACT_ANALYSIS_SEGMENTS`).
2. Let Amazon Data Firehose read that stream and deliver to the connector's inbound URL as an HTTP
   endpoint, content encoding off, with an access key of your choice that you put into `access_key`
   as well. Or post the records with that key in the header `X-Amz-Firehose-Access-Key`: one by one,
   as a list, or as Lambda gets them.
3. Firehose buffers for up to a minute (zero buffering is possible): for live text set it to 0 s.
4. Records carry no wall clock, only milliseconds from the start of the contact. Post Connect's
   contact events (EventBridge), or the event of a contact flow, to the same URL as well: they carry
   the caller's number and when the contact began and ended.
5. Files of contacts that were analysed afterwards may be posted too, each as it lies in the bucket.
"""

_ROLES: dict[str, Role] = {"CUSTOMER": "customer", "AGENT": "agent", "SYSTEM": "system"}
_Dated = tuple[Any, int | None]


def parse(request: InboundRequest, settings: Settings, _: Context) -> Parsed:
    parsed = Parsed()
    payload = fields.decode_json(request.body, parsed)
    for record, at_us in _records(payload, parsed):
        _record(fields.obj(record), at_us, parsed)
    if payload is not None and not (parsed.events or parsed.problems):
        parsed.lose("unusable_payload", "The payload holds no record of Contact Lens.")
    if isinstance(payload, dict) and "requestId" in payload:
        parsed.answer = _receipt(payload)
    return parsed


def _records(payload: Any, parsed: Parsed) -> Iterator[_Dated]:
    """The records, with when Kinesis had them: alone, as a list, from Firehose, from Lambda."""
    listed = [*fields.items(payload, "records"), *fields.items(payload, "Records")]
    if not listed:
        alone = payload if isinstance(payload, list) else [payload]
        yield from ((each, None) for each in alone[: fields.MAX_ITEMS] if isinstance(each, dict))
    for each in listed:
        data = fields.at(each, "data") or fields.at(each, "kinesis", "data")
        arrived = fields.number(each, "kinesis", "approximateArrivalTimestamp")
        known = arrived is not None and 0 <= arrived < 10**11
        at_us = round(arrived * SECOND_US) if known and arrived is not None else None
        try:
            content = base64.b64decode(data if isinstance(data, str) else "", validate=True)
        except (binascii.Error, ValueError):
            parsed.lose("broken_record", "A record's data is no base64.")
            continue
        record = fields.decode_json(content, parsed)
        if record is not None:
            yield record, at_us


def _receipt(payload: dict[str, Any]) -> Answer:
    """Firehose counts a delivery as failed unless its request id comes back."""
    known = {"requestId": fields.key(payload, "requestId") or "", "timestamp": 0}
    known["timestamp"] = fields.integer(payload, "timestamp") or 0
    return Answer(200, json.dumps(known), (("Content-Type", "application/json"),))


def _contact(record: dict[str, Any], parsed: Parsed) -> bool:
    """What a contact flow or EventBridge tells of the contact itself; False for other records.

    Both come beside the stream, and EventBridge's in any order. They carry the caller's number and
    the wall clock, which segments lack.
    """
    told = fields.obj(record, "Details", "ContactData") or fields.obj(record, "detail")
    contact = fields.key(told, "ContactId") or fields.key(told, "contactId")
    kind = fields.text(record, "detail-type") or ""
    if kind and contact is None:
        parsed.note("not_an_interaction", f"The event {kind[:64]!r} is no interaction.")
        return True
    if contact is None:
        return False
    event = fields.key(told, "eventType") or "INITIATED"
    channel = (fields.key(told, "Channel") or fields.key(told, "channel") or "").upper()
    number = fields.key(told, "CustomerEndpoint", "Address")
    about: dict[str, Any] = {
        "identities": identities(**{PHONE: phone(number)}),
        "vendor": fields.known(contact_id=contact, event_type=event, channel=channel),
        "channel": _channel(channel),
    }
    at_us = calls.instant(fields.text(record, "time"))
    if event == "INITIATED":
        key = f"{contact}:initiated"
        parsed.events.append(calls.boundary(contact, key, "started", at_us, **about))
    elif event == "DISCONNECTED":
        key = f"{contact}:disconnected"
        parsed.events.append(calls.boundary(contact, key, "ended", at_us, **about))
    else:
        parsed.note("not_an_interaction", f"The contact {contact} is {event}.")
    return True


def _channel(name: str | None) -> Channel | None:
    """Contacts by chat come on the same stream."""
    return "chat" if (name or "").upper() == "CHAT" else None


def _record(record: dict[str, Any], at_us: int | None, parsed: Parsed) -> None:
    if _contact(record, parsed):
        return
    record = as_record(record) or record
    contact, kind = fields.key(record, "ContactId"), fields.text(record, "EventType")
    if contact is None or kind is None:
        parsed.lose("missing_id", "A record lacks its contact or its type.")
        return
    about: dict[str, Any] = {
        "vendor": fields.known(
            contact_id=contact,
            event_type=kind,
            channel=fields.key(record, "Channel"),
            instance_id=fields.key(record, "InstanceId"),
        ),
        "channel": _channel(fields.key(record, "Channel")),
    }
    if kind == "SEGMENTS":
        spoken = calls.language(fields.text(record, "LanguageCode"))
        for number, segment in enumerate(fields.items(record, "Segments")):
            _segment(contact, segment, {**about, "language": spoken}, at_us, number, parsed)
        if not (parsed.events or parsed.problems):
            parsed.note("not_an_interaction", f"Nothing new is known of the contact {contact}.")
    elif kind == "STARTED":
        parsed.events.append(
            calls.boundary(contact, f"{contact}:started", "started", at_us, **about)
        )
    elif kind in ("COMPLETED", "FAILED"):
        # Either is the last record of a contact; nothing else would end it here.
        text = (
            None if kind == "COMPLETED" else "Contact Lens could not analyse the contact further."
        )
        key = f"{contact}:{kind.lower()}"
        parsed.events.append(calls.boundary(contact, key, "ended", at_us, text=text, **about))
    else:
        parsed.lose("unknown_event", f"EventType is {kind[:64]!r}.")


def _segment(
    contact: str,
    segment: dict[str, Any],
    about: dict[str, Any],
    at_us: int | None,
    number: int,
    parsed: Parsed,
) -> None:
    if fields.obj(segment, "Utterance"):
        _said(contact, fields.obj(segment, "Utterance"), about, at_us, parsed, final=False)
    elif fields.obj(segment, "Transcript"):
        _said(contact, fields.obj(segment, "Transcript"), about, at_us, parsed, final=True)
    elif fields.obj(segment, "Categories"):
        names = fields.texts(segment, "Categories", "MatchedCategories")
        if names:
            _about(
                contact, f"Categories: {', '.join(names)}", about, at_us, parsed, categories=names
            )
    elif fields.obj(segment, "PostContactSummary"):
        summary = fields.text(segment, "PostContactSummary", "Content")
        if summary:
            _about(contact, f"Summary: {summary}", about, at_us, parsed)
    else:
        parsed.note("not_an_interaction", f"The segment {number} is no utterance.")


def _about(
    contact: str,
    text: str,
    about: dict[str, Any],
    at_us: int | None,
    parsed: Parsed,
    **attributes: Any,
) -> None:
    key = f"{contact}:about:{calls.short_hash(text)}"
    remark = calls.remark(
        contact,
        key,
        text,
        at_us,
        vendor=about["vendor"],
        attributes=attributes,
        channel=about["channel"],
    )
    parsed.events.append(remark)


def _said(
    contact: str,
    said: dict[str, Any],
    about: dict[str, Any],
    at_us: int | None,
    parsed: Parsed,
    *,
    final: bool,
) -> None:
    text = fields.text(said, "Content" if final else "PartialContent")
    identity = fields.key(said, "Id")
    transcript = identity if final else fields.key(said, "TranscriptId")
    if text is None or transcript is None:
        parsed.lose("missing_transcript", "A segment lacks its id or its text.")
        return
    role = fields.key(said, "ParticipantRole") or fields.key(said, "ParticipantId") or ""
    sentiment = fields.key(said, "Sentiment")
    parsed.events.append(_utterance(contact, transcript, role, text, said, about, at_us, final))
    parsed.events[-1].vendor |= fields.known(
        id=identity, transcript_id=transcript, sentiment=sentiment, issues=_issues(said, text)
    )


def _utterance(
    contact: str,
    transcript: str,
    role: str,
    text: str,
    said: dict[str, Any],
    about: dict[str, Any],
    at_us: int | None,
    final: bool,
) -> Normalised:
    """An Utterance is a part of the Transcript it names, as heard so far."""
    start = fields.number(said, "BeginOffsetMillis")
    return calls.utterance(
        contact,
        f"{contact}:{transcript}:{role}",
        text,
        role=_ROLES.get(role, "system"),
        index=round(start) if start is not None and 0 <= start < 10**12 else 0,
        final=final,
        start_ms=start,
        end_ms=fields.number(said, "EndOffsetMillis"),
        occurred_at_us=calls.instant(fields.text(said, "AbsoluteTime")) or at_us,
        language=about["language"],
        channel=about["channel"],
        vendor={**about["vendor"], "participant_role": role},
    )


def _issues(said: dict[str, Any], text: str) -> list[str]:
    found: list[str] = []
    for each in fields.items(said, "IssuesDetected"):
        begin = fields.integer(each, "CharacterOffsets", "BeginOffsetChar")
        end = fields.integer(each, "CharacterOffsets", "EndOffsetChar")
        if begin is not None and end is not None and 0 <= begin < end:
            found.append(text[begin:end])
    return found[:20]


URL = "https://omniroute.example/v1/workspaces/demo/connectors/lens/inbound"
ACCESS_KEY = "example-access-key"
_SIGNATURE = StaticToken("access_key", "X-Amz-Firehose-Access-Key")


def request_of(payload: Any, received_at_us: int, *, url: str = URL) -> InboundRequest:
    """A payload of ours as the request that Firehose, or a forwarder, would send."""
    headers = (("Content-Type", "application/json"), (_SIGNATURE.header, ACCESS_KEY))
    return InboundRequest("POST", url, headers, json.dumps(payload).encode(), received_at_us)


def examples() -> tuple[Example, ...]:
    at_us = parse_instant("2026-03-02T09:15:00Z")
    secrets = {"access_key": (ACCESS_KEY,)}

    def record(kind: str, *segments: dict[str, Any]) -> dict[str, Any]:
        found = {
            "Version": "1.0.0",
            "Channel": "VOICE",
            "ContactId": "contact-1",
            "EventType": kind,
        }
        return {**found, "LanguageCode": "en-US", "Segments": segments} if segments else found

    def one(name: str, event: tuple[str, ...], found: dict[str, Any]) -> Example:
        data = base64.b64encode(json.dumps(found).encode()).decode()
        inner = {"data": data, "approximateArrivalTimestamp": at_us / SECOND_US - 1}
        return Example(name, request_of({"Records": [{"kinesis": inner}]}, at_us), secrets, event)

    heard = {
        "Id": "u1",
        "TranscriptId": "t1",
        "ParticipantRole": "CUSTOMER",
        "PartialContent": "My invoice",
        "BeginOffsetMillis": 1200,
        "EndOffsetMillis": 1900,
    }
    said = {**heard, "Id": "t1", "Content": "My invoice is wrong.", "Sentiment": "NEGATIVE"}
    named = {"MatchedCategories": ["Billing"]}
    segments = ({"Utterance": heard}, {"Transcript": said}, {"Categories": named})
    spoken = (
        interactions.TRANSCRIPT_PARTIAL,
        interactions.TRANSCRIPT_SEGMENT,
        interactions.MESSAGE,
    )
    return (
        one("started", (interactions.CONVERSATION_STARTED,), record("STARTED")),
        one("segments", spoken, record("SEGMENTS", *segments)),
        one("completed", (interactions.CONVERSATION_ENDED,), record("COMPLETED")),
    )


CONNECTOR = Connector(
    kind="connect_contact_lens",
    channel="phone",
    title="Amazon Connect Contact Lens (live segments)",
    setup=SETUP,
    signature=_SIGNATURE,
    parse=parse,
    examples=examples,
    secrets={"access_key": "Access key of the Firehose delivery, or of your forwarder."},
    retry_horizon_s=DAY_S,
    max_body_bytes=8 * 1024 * 1024,
    covers_body=False,
    other_channels=("chat",),
)
