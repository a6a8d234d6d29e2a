"""What Twilio tells of a call beside its live transcription: a message left on the voicemail, and
what somebody said to a `<Gather>`.

https://www.twilio.com/docs/voice/twiml/record, https://www.twilio.com/docs/voice/twiml/gather
"""

from services.channels.connectors import calls, fields
from services.channels.connectors.identities import PHONE, identities, phone
from services.channels.connectors.port import InboundRequest, Normalised, Parsed
from services.channels.connectors.reading import digest_of, moment
from shared.contracts.interactions import Attachment, Author

_NAMES = ("AccountSid", "CallSid", "RecordingSid", "RecordingDuration", "TranscriptionSid",
          "TranscriptionStatus", "CallStatus", "Direction", "From", "To")  # fmt: skip


def read_call(form: dict[str, str], call: str, request: InboundRequest, parsed: Parsed) -> None:
    """Append what a form about the call `call` means that tells of no live transcription."""
    if form.get("TranscriptionEvent"):
        event = form["TranscriptionEvent"][:64]
        parsed.lose("unknown_event", f"TranscriptionEvent is {event!r}.")
    elif form.get("TranscriptionSid"):
        _transcribed(form, call, parsed)
    elif form.get("RecordingSid") or form.get("RecordingUrl"):
        _recorded(form, call, parsed)
    elif form.get("SpeechResult") or form.get("UnstableSpeechResult"):
        parsed.events.append(_spoken(form, call, request))
    elif form.get("CallStatus") or form.get("Digits"):
        status = form.get("CallStatus", "")[:32]
        parsed.note("not_an_interaction", f"The call's status {status!r} is no interaction.")
    else:
        parsed.lose("unknown_event", "The form tells neither of speech nor of the call's status.")


def _transcribed(form: dict[str, str], call: str, parsed: Parsed) -> None:
    """The text of a voicemail; where Twilio could make none, the recording is there to listen to."""
    event = _voicemail(form, call, f"transcription:{form['TranscriptionSid'][:512]}")
    event.text = fields.text(form, "TranscriptionText")
    if event.text is None:
        event.text, event.generated = "Voicemail (not transcribed)", True
    parsed.events.append(event)


def _recorded(form: dict[str, str], call: str, parsed: Parsed) -> None:
    """A recording by `<Record>` is a voicemail; every other is of a call that somebody takes."""
    source, status = form.get("RecordingSource", "RecordVerb"), form.get("RecordingStatus", "")
    if source != "RecordVerb" or status not in ("", "completed") or not form.get("RecordingUrl"):
        parsed.note("not_an_interaction", f"A recording ({source[:32]}, {status[:32]}) of {call}.")
        return
    own = form.get("RecordingSid") or form["RecordingUrl"]
    event = _voicemail(form, call, f"recording:{own[:512]}")
    length = fields.integer(form, "RecordingDuration")
    event.text = "Voicemail" if length is None else f"Voicemail ({length} s)"
    event.generated = True
    parsed.events.append(event)


def _caller(form: dict[str, str]) -> str | None:
    """Whoever called in, or was called."""
    outbound = form.get("Direction", "inbound").startswith("outbound")
    names = ("To", "Called") if outbound else ("From", "Caller")
    return next((said for name in names if (said := fields.key(form, name))), None)


def _voicemail(form: dict[str, str], call: str, vendor_id: str) -> Normalised:
    url = fields.text(form, "RecordingUrl")
    file = Attachment(content_type="audio/*", url=url, vendor_id=fields.key(form, "RecordingSid"))
    person = _caller(form)
    return Normalised(
        vendor_id=vendor_id,
        conversation_key=call,
        occurred_at_us=moment(form, "RecordingStartTime"),
        author=Author("customer", fields.text(form, "CallerName"), person),
        identities=identities(**{PHONE: phone(person)}),
        attachments=[file] if url else [],
        attributes={"voicemail": True},
        vendor={name: form[name][:512] for name in _NAMES if form.get(name)},
    )


def _spoken(form: dict[str, str], call: str, request: InboundRequest) -> Normalised:
    final = bool(form.get("SpeechResult"))
    told = request.header("I-Twilio-Idempotency-Token") or digest_of(sorted(form.items()))
    stable = form.get("StableSpeechResult", "")
    text = form.get("SpeechResult") or f"{stable} {form.get('UnstableSpeechResult', '')}".strip()
    person = _caller(form)
    return calls.utterance(
        call,
        f"{call}:gather:{told[:128]}",
        text,
        role="customer",
        index=fields.integer(form, "SequenceNumber") or 0,
        final=final,
        confidence=fields.number(form, "Confidence"),
        language=calls.language(form.get("Language")),
        author=Author("customer", id=person),
        identities=identities(**{PHONE: phone(person)}),
        vendor={name: form[name][:512] for name in _NAMES if form.get(name)},
    )
