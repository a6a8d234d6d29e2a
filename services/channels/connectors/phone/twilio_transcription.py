"""Twilio real-time transcription: a form per utterance of a call; voicemails too.

https://www.twilio.com/docs/voice/twiml/transcription
"""

from hashlib import sha256
from typing import Any, Literal
from urllib.parse import urlencode

from pydantic import Field

from services.channels.connectors import calls, fields
from services.channels.connectors.fetching import file
from services.channels.connectors.identities import PHONE, identities, phone
from services.channels.connectors.phone.twilio_voicemail import read_call
from services.channels.connectors.port import (
    DAY_S,
    Connector,
    Context,
    Example,
    Fetch,
    InboundRequest,
    Normalised,
    Parsed,
    Settings,
)
from services.channels.connectors.signatures import TwilioSignature, form_of
from shared.contracts import interactions
from shared.contracts.instants import parse_instant
from shared.contracts.interactions import Author, Segment

Track = Literal["inbound_track", "outbound_track"]


class TwilioTranscriptionSettings(Settings):
    customer_track: Track = Field(
        default="inbound_track",
        description="The track on which the customer speaks: inbound_track when customers call "
        "in, outbound_track when the call was placed to them.",
    )


SETUP = """\
1. Start the transcription with `<Start><Transcription statusCallbackUrl="…"/></Start>` and give it
   the connector's inbound URL. `partialResults="true"` fills the live view.
2. Put the account's auth token into the secret `auth_token`; a list of two during rotation.
3. Behind a proxy, set `public_url` to the address exactly as Twilio calls it: Twilio signs it.
4. Set `customer_track` to `outbound_track` for calls that you place.
5. Add `?from={caller}` to the URL where the caller's number should become an identity, and
   `#rc=3&rp=all` so that Twilio repeats what it could not deliver.
6. For voicemails give the URL to `<Record>` as `transcribeCallback` (the message with its text) or
   as `recordingStatusCallback` (the recording alone).
"""

_SIGNATURE = TwilioSignature()
_FIELDS = [
    "AccountSid",
    "CallSid",
    "TranscriptionSid",
    "TranscriptionEvent",
    "SequenceId",
    "Timestamp",
    "Track",
    "LanguageCode",
    "ProviderName",
    "Name",
]


def parse(request: InboundRequest, settings: TwilioTranscriptionSettings, _: Context) -> Parsed:
    parsed = Parsed()
    pairs = form_of(request.body)
    form = {name: fields.clean(value) for name, value in reversed(pairs or [])}
    call = fields.key(form, "CallSid")
    if call is None:
        parsed.lose("missing_call", "The form has no CallSid.")
        return parsed
    event = form.get("TranscriptionEvent", "")
    if event == "transcription-content":
        _content(parsed, form, call, settings, request)
    elif event in ("transcription-started", "transcription-stopped"):
        parsed.events.append(_boundary(form, call, event, request))
    elif event == "transcription-error":
        parsed.events.append(_error(form, call, request))
    else:
        read_call(form, call, request, parsed)
    return parsed


def _content(
    parsed: Parsed,
    form: dict[str, str],
    call: str,
    settings: TwilioTranscriptionSettings,
    request: InboundRequest,
) -> None:
    said, confidence = _transcript(form.get("TranscriptionData", ""))
    if said is None:
        if _silent(form.get("TranscriptionData", "")):
            parsed.note("silence", "An utterance without words.")
        else:
            parsed.lose("missing_transcript", "TranscriptionData holds no transcript.")
        return
    track = form.get("Track", "")
    if track not in ("inbound_track", "outbound_track"):
        parsed.note("unknown_track", f"Track is {track[:32]!r}; taken as the customer's.")
        track = settings.customer_track
    customer = track == settings.customer_track
    final = form.get("Final", "true").strip().lower() != "false"
    event = _normalised(form, call, request)
    event.type = interactions.TRANSCRIPT_SEGMENT if final else interactions.TRANSCRIPT_PARTIAL
    event.direction = "inbound" if customer else "outbound"
    event.author = Author(role="customer" if customer else "agent")
    event.text = said
    event.segment = Segment(
        index=fields.integer(form, "SequenceId") or 0,
        speaker=event.author.role,
        confidence=confidence,
    )
    parsed.events.append(event)


def _transcript(data: str) -> tuple[str | None, float | None]:
    """Text and confidence of TranscriptionData, JSON in a string."""
    if data.lstrip().startswith("{"):
        value = fields.decode_json(data.encode("utf-8", "replace"), Parsed())
        return fields.text(value, "transcript"), fields.number(value, "confidence")
    return data.strip() or None, None


def _silent(data: str) -> bool:
    """Whether a transcript is there, and empty."""
    value = fields.decode_json(data.encode("utf-8", "replace"), Parsed())
    return fields.at(value, "transcript") == ""


def _boundary(form: dict[str, str], call: str, name: str, request: InboundRequest) -> Normalised:
    event = _normalised(form, call, request)
    event.author = Author(role="system")
    if name == "transcription-started":
        event.type = interactions.CONVERSATION_STARTED
    else:
        event.type = interactions.CONVERSATION_ENDED
        event.reason = "ended"
    return event


def _error(form: dict[str, str], call: str, request: InboundRequest) -> Normalised:
    """A failed transcription leaves the call itself alive: agents see why no more text comes."""
    event = _normalised(form, call, request)
    event.author = Author(role="system")
    code = form.get("TranscriptionErrorCode", "")
    why = form.get("TranscriptionError") or "unknown error"
    event.text = f"Transcription failed: {why}{f' ({code})' if code else ''}"
    event.flags = ["suppress"]
    event.vendor |= fields.known(TranscriptionErrorCode=code)
    return event


def _normalised(form: dict[str, str], call: str, request: InboundRequest) -> Normalised:
    caller = phone(form.get("From") or form.get("Caller") or request.argument("from"))
    return Normalised(
        vendor_id=_vendor_id(form, call, request),
        conversation_key=call,
        occurred_at_us=_instant(form.get("Timestamp", "")),
        language=calls.language(form.get("LanguageCode")),
        identities=identities(**{PHONE: caller}),
        vendor={name: form[name][:512] for name in _FIELDS if form.get(name)},
    )


def _vendor_id(form: dict[str, str], call: str, request: InboundRequest) -> str:
    """(TranscriptionSid, SequenceId); a hash of the form where they are missing."""
    session, number = form.get("TranscriptionSid") or call, form.get("SequenceId")
    if number:
        return f"{session[:512]}:{number[:64]}"
    return f"{session[:512]}:{sha256(request.body).hexdigest()}"


def _instant(text: str) -> int | None:
    try:
        return parse_instant(text)
    except (ValueError, OverflowError):
        return None


URL = "https://omniroute.example/v1/workspaces/demo/connectors/calls/inbound"
AUTH_TOKEN = "example-auth-token"


def sign(
    form: dict[str, Any], received_at_us: int, *, url: str = URL, secret: str = AUTH_TOKEN
) -> InboundRequest:
    """A form of ours as the request that Twilio would send."""
    pairs = [(name, str(value)) for name, value in form.items()]
    headers = (
        ("Content-Type", "application/x-www-form-urlencoded; charset=UTF-8"),
        (_SIGNATURE.header, _SIGNATURE.sign(secret, url, pairs)),
    )
    return InboundRequest("POST", url, headers, urlencode(pairs).encode(), received_at_us)


def examples() -> tuple[Example, ...]:
    started = parse_instant("2026-03-02T09:15:00Z")
    common = {"AccountSid": "ACexample", "CallSid": "CAexample", "TranscriptionSid": "GTexample"}

    def one(number: int, name: str, events: tuple[str, ...], **more: Any) -> Example:
        stamp = {"SequenceId": number, "Timestamp": f"2026-03-02T09:15:0{number}.250000Z"}
        form = {**common, **stamp, "TranscriptionEvent": f"transcription-{name}", **more}
        request = sign(form, started + number * 1_000_000 + 500_000)
        return Example(f"{name} {number}", request, {"auth_token": (AUTH_TOKEN,)}, events)

    said = '{"transcript": "My invoice shows the wrong amount", "confidence": 0.94}'
    content = {"Track": "inbound_track", "TranscriptionData": said, "LanguageCode": "en-US"}
    return (
        one(1, "started", (interactions.CONVERSATION_STARTED,), LanguageCode="en-US"),
        one(2, "content", (interactions.TRANSCRIPT_PARTIAL,), Final="false", **content),
        one(3, "content", (interactions.TRANSCRIPT_SEGMENT,), Final="true", **content),
        one(4, "error", (interactions.MESSAGE,), TranscriptionError="engine unavailable"),
        one(5, "stopped", (interactions.CONVERSATION_ENDED,)),
    )


CONNECTOR = Connector(
    kind="twilio_transcription",
    channel="phone",
    title="Twilio real-time transcription",
    setup=SETUP,
    signature=_SIGNATURE,
    parse=parse,
    examples=examples,
    settings=TwilioTranscriptionSettings,
    secrets={"auth_token": "Auth token of the Twilio account: signs each request."},
    retry_horizon_s=DAY_S,
    fetches=(
        Fetch(
            "media",
            "GET {url}",
            secret="auth_token",
            auth="basic:AccountSid",
            hosts=("twilio.com",),
            read=file,
        ),
    ),
)
