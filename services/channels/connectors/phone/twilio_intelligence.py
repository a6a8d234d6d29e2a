"""Twilio Conversational (formerly Voice) Intelligence: a notice that a transcript is ready, and the
sentences once fetched. https://www.twilio.com/docs/conversational-intelligence/api
"""

import json
from hashlib import sha256
from typing import Any

from pydantic import Field

from services.channels.connectors import calls, fields
from services.channels.connectors.fetching import linked, payload, posted
from services.channels.connectors.port import (
    DAY_S,
    Connector,
    Context,
    Example,
    Fetch,
    InboundRequest,
    Page,
    Parsed,
    Settings,
    Told,
)
from services.channels.connectors.signatures import TwilioSignature
from shared.contracts import interactions
from shared.contracts.instants import parse_instant


class TwilioIntelligenceSettings(Settings):
    customer_channel: int = Field(
        default=1, description="The channel of the recording on which the customer speaks."
    )
    account_sid: str | None = Field(
        default=None,
        max_length=64,
        pattern=r"^AC[A-Za-z0-9]+$",
        description="The account's SID: with it, sentences are fetched.",
    )


SETUP = """\
1. In the Intelligence service set the webhook URL to the connector's inbound URL, method POST, and
   give each transcript the call's SID as `customer_key`: it becomes the conversation's key.
2. Put the account's auth token into `auth_token`; a list of two during rotation. Behind a proxy set
   `public_url` to the address exactly as Twilio calls it: Twilio signs it.
3. The notice names a transcript only, so it shows as a `must_fetch` note; its sentences are then
   fetched with the auth token, once `account_sid` is set. Twilio hardly repeats: add `#rc=3&rp=all` to the
   URL. Posting fetched sentences to the same URL, signed alike, makes them events.
4. For live text use the kind `twilio_transcription` instead.
"""

_SIGNATURE = TwilioSignature()
_READY = "voice_intelligence_transcript_available"


def parse(request: InboundRequest, settings: TwilioIntelligenceSettings, _: Context) -> Parsed:
    parsed = Parsed()
    payload = fields.decode_json(request.body, parsed)
    if payload is None:
        return parsed
    if _is_page(fields.obj(payload)):
        _sentences(fields.obj(payload), request, settings, parsed)
        return parsed
    transcript = fields.key(payload, "transcript_sid") or fields.key(payload, "transcriptSid")
    event = fields.text(payload, "event_type") or fields.text(payload, "eventType") or _READY
    if transcript is None:
        parsed.lose("missing_id", "The notice names no transcript.")
    elif event != _READY:
        parsed.note(
            "not_an_interaction", f"The event {event[:64]!r} of {transcript} is no message."
        )
    else:
        service = fields.key(payload, "service_sid")
        call = fields.key(payload, "customer_key")
        parsed.want("transcript", transcript, **fields.known(service=service, call=call))
    return parsed


def _is_page(payload: dict[str, Any]) -> bool:
    """Whether it holds sentences, or is a page on which there happen to be none."""
    listed = isinstance(payload.get("sentences"), list)
    return listed and bool(payload["sentences"] or not payload.get("event_type"))


def _sentences(
    payload: dict[str, Any],
    request: InboundRequest,
    settings: TwilioIntelligenceSettings,
    parsed: Parsed,
) -> None:
    """A page of `GET /v2/Transcripts/{sid}/Sentences`."""
    began = calls.instant(calls.told(request, "started_at"))
    for each in fields.items(payload, "sentences"):
        text, number = fields.text(each, "transcript"), fields.integer(each, "sentence_index")
        transcript = fields.key(payload, "transcript_sid") or fields.key(each, "transcript_sid")
        if text is None or number is None or transcript is None:
            parsed.lose("missing_id", "A sentence lacks its text, index or transcript.")
            continue
        channel = fields.integer(each, "media_channel")
        start, end = fields.number(each, "start_time"), fields.number(each, "end_time")
        event = calls.utterance(
            fields.key(payload, "customer_key") or transcript,
            f"{transcript}:{number}",
            text,
            role="customer" if channel == settings.customer_channel else "agent",
            index=number,
            start_ms=None if start is None else start * 1000,
            end_ms=None if end is None else end * 1000,
            began_us=began,
            confidence=fields.number(each, "confidence"),
            vendor=fields.known(id=fields.key(each, "sid"), transcript=transcript, index=number),
        )
        parsed.events.append(event)


def _fetched(told: Told) -> Page:
    """A page of sentences, with the call that the notice named."""
    found = fields.obj(payload(told))
    call = fields.known(transcript_sid=told.ids.get("key"), customer_key=told.ids.get("call"))
    then = linked(told, fields.text(found, "meta", "next_page_url"))
    return Page(payloads=[posted({**found, **call})], then=then)


URL = "https://omniroute.example/v1/workspaces/demo/connectors/intelligence/inbound"
AUTH_TOKEN = "example-auth-token"


def sign(payload: dict[str, Any], received_at_us: int, *, url: str = URL) -> InboundRequest:
    """A notice of ours as the request that Twilio would send."""
    body = json.dumps(payload).encode()
    signed = f"{url}{'&' if '?' in url else '?'}bodySHA256={sha256(body).hexdigest()}"
    headers = (
        ("Content-Type", "application/json"),
        (_SIGNATURE.header, _SIGNATURE.sign(AUTH_TOKEN, signed, ())),
    )
    return InboundRequest("POST", signed, headers, body, received_at_us)


def examples() -> tuple[Example, ...]:
    at_us = parse_instant("2026-03-02T09:15:00Z")
    secrets = {"auth_token": (AUTH_TOKEN,)}
    notice = {"transcript_sid": "GTexample", "customer_key": "CAexample", "event_type": _READY}
    said = [
        {"media_channel": 1, "sentence_index": 0, "transcript": "Hello", "start_time": 0.5},
        {"media_channel": 2, "sentence_index": 1, "transcript": "Good morning", "start_time": 2},
    ]
    sentences = {"transcript_sid": "GTexample", "customer_key": "CAexample", "sentences": said}
    dated = URL + "?started_at=2026-03-02T09:10:00Z"
    segment = interactions.TRANSCRIPT_SEGMENT
    return (
        Example("notice", sign(notice, at_us), secrets, ()),
        Example("sentences", sign(sentences, at_us, url=dated), secrets, (segment, segment)),
    )


CONNECTOR = Connector(
    kind="twilio_intelligence",
    channel="phone",
    title="Twilio Conversational Intelligence",
    setup=SETUP,
    signature=_SIGNATURE,
    parse=parse,
    examples=examples,
    settings=TwilioIntelligenceSettings,
    secrets={"auth_token": "Auth token of the Twilio account: signs each request."},
    retry_horizon_s=DAY_S,
    fetches=(
        Fetch(
            "transcript",
            "GET https://intelligence.twilio.com/v2/Transcripts/{key}/Sentences?PageSize=500",
            secret="auth_token",
            auth="basic:account_sid",
            needs=("account_sid",),
            read=_fetched,
        ),
    ),
)
