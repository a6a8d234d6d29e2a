"""Deepgram: results of live transcription, one POST each and in no order, and of whole recordings.

https://developers.deepgram.com/docs/callback
"""

import json
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from pydantic import Field

from services.channels.connectors import calls, fields
from services.channels.connectors.credentials import basic_credentials, basic_header
from services.channels.connectors.port import (
    DAY_S,
    Connector,
    Context,
    Example,
    InboundRequest,
    Parsed,
    Secrets,
    Settings,
    Verdict,
)
from services.channels.connectors.signatures import any_same
from shared.contracts import interactions
from shared.contracts.instants import parse_instant
from shared.contracts.interactions import Role


class DeepgramSettings(Settings):
    customer_channel: int = Field(
        default=0, description="The audio channel on which the customer speaks."
    )
    customer_speaker: int | None = Field(
        default=None,
        description="The number that diarisation gives the customer, for audio of one channel.",
    )


SETUP = """\
1. Give the inbound URL as `callback`, with `user:password@` in it, and put `user:password` into
   `callback_secret`; or pass a secret of your own as `extra=callback_secret:<value>` and put that
   there. Deepgram no longer vouches for the header `dg-token`; it is accepted where it equals the
   secret. Ports 80, 443, 8080 and 8443 only.
2. Add `?conversation_key=<call id>&started_at=<instant>` to the URL: results name only Deepgram's
   request and count seconds from its start.
3. With `interim_results=true` partial text fills the live view. What is final is not revised;
   Deepgram repeats ten times, every 30 seconds.
"""


@dataclass(frozen=True, slots=True)
class CallbackSecret:
    """The secret as basic credentials, in metadata.extra.callback_secret, or as dg-token."""

    secret: str = "callback_secret"

    @property
    def secret_names(self) -> tuple[str, ...]:
        return (self.secret,)

    def verify(self, request: InboundRequest, secrets: Secrets) -> Verdict:
        known = secrets.get(self.secret, ())
        if not known:
            return "none"
        given = [basic_credentials(request), request.header("dg-token") or ""]
        if b"callback_secret" in request.body:
            payload = fields.decode_json(request.body, Parsed())
            given.append(fields.text(payload, "metadata", "extra", "callback_secret") or "")
        return "valid" if any(each and any_same(known, each) for each in given) else "invalid"


def parse(request: InboundRequest, settings: DeepgramSettings, _: Context) -> Parsed:
    parsed = Parsed()
    payload = fields.decode_json(request.body, parsed)
    if payload is None:
        return parsed
    message = fields.obj(payload)
    stream = fields.key(message, "metadata", "request_id") or fields.key(message, "request_id")
    call = calls.told(request, "conversation_key") or stream
    if call is None:
        call = calls.short_hash(request.body)
        parsed.note(
            "missing_call", "The result names no request; add ?conversation_key= to the URL."
        )
    about = _About(call, stream or call, request, settings)
    kind = fields.text(message, "type")
    if fields.obj(message, "results"):
        _recording(message, about, parsed)
    elif kind in (None, "Results") and fields.obj(message, "channel"):
        _result(message, about, parsed)
    elif kind == "TurnInfo":
        _turn(message, about, parsed)
    elif kind in _NOTICES:
        parsed.note("not_an_interaction", f"A message of the type {kind}.")
    elif "results" in message or "channel" in message:
        parsed.note("silence", "A result without words.")
    elif "err_code" in message:
        why = fields.text(message, "err_msg") or fields.text(message, "err_code") or "unknown"
        parsed.note("operation", f"Deepgram could not transcribe: {why[:200]}.")
    else:
        parsed.lose("unusable_payload", "The payload holds no result.")
    return parsed


_NOTICES = frozenset(
    {
        "UtteranceEnd",
        "SpeechStarted",
        "Metadata",
        "Finalize",
        "Error",
        "Warning",
        "FatalError",
        "Connected",
        "ConfigureSuccess",
        "ConfigureFailure",
    }
)


@dataclass(frozen=True, slots=True)
class _About:
    call: str
    stream: str
    request: InboundRequest
    settings: DeepgramSettings

    @property
    def began_us(self) -> int | None:
        return calls.instant(calls.told(self.request, "started_at"))


def _role(channel: int, speaker: int | None, settings: DeepgramSettings) -> Role:
    if settings.customer_speaker is not None and speaker is not None:
        return "customer" if speaker == settings.customer_speaker else "agent"
    return "customer" if channel == settings.customer_channel else "agent"


def _result(message: dict[str, Any], about: _About, parsed: Parsed) -> None:
    """One result of a live stream: is_final closes a span of audio, speech_final ends an utterance."""
    best = next(fields.items(message, "channel", "alternatives"), {})
    text = fields.text(best, "transcript")
    start, length = fields.number(message, "start") or 0.0, fields.number(message, "duration")
    if text is None:
        parsed.note("silence", "A result without words.")
        return
    index = message.get("channel_index")
    channel = fields.integer({"at": index[0]}, "at") if isinstance(index, list) and index else 0
    speaker = next((fields.integer(each, "speaker") for each in fields.items(best, "words")), None)
    key = f"{about.stream}:{channel or 0}:{round(start * 1000)}"
    event = calls.utterance(
        about.call,
        key,
        text,
        role=_role(channel or 0, speaker, about.settings),
        index=round(start * 1000) if 0 <= start < 10**9 else 0,
        final=fields.flag(message, "is_final"),
        start_ms=start * 1000,
        end_ms=None if length is None else (start + length) * 1000,
        began_us=about.began_us,
        confidence=fields.number(best, "confidence"),
        language=calls.language(next(iter(fields.texts(best, "languages")), None)),
        vendor=fields.known(
            request_id=about.stream,
            channel=channel or 0,
            start=start,
            duration=length,
            speech_final=message.get("speech_final"),
            from_finalize=message.get("from_finalize"),
            speaker=speaker,
        ),
    )
    parsed.events.append(event)


def _turn(message: dict[str, Any], about: _About, parsed: Parsed) -> None:
    """A turn as Flux tells it: it may still grow until EndOfTurn. A turn that is resumed has not
    ended.

    https://developers.deepgram.com/docs/flux/quickstart
    """
    number, text = fields.integer(message, "turn_index"), fields.text(message, "transcript")
    if number is None or text is None:
        parsed.note("silence", "A turn without words.")
        return
    start = fields.number(message, "audio_window_start")
    end = fields.number(message, "audio_window_end")
    event = calls.utterance(
        about.call,
        f"{about.stream}:turn:{number}",
        text,
        role=_role(0, None, about.settings),
        index=number,
        final=fields.text(message, "event") == "EndOfTurn",
        start_ms=None if start is None else start * 1000,
        end_ms=None if end is None else end * 1000,
        began_us=about.began_us,
        confidence=calls.confidence_in(list(fields.items(message, "words"))),
        vendor=fields.known(request_id=about.stream, turn_index=str(number), type="TurnInfo"),
    )
    parsed.events.append(event)


def _recording(message: dict[str, Any], about: _About, parsed: Parsed) -> None:
    """A whole recording: its utterances, else the text of each channel, by speaker where that is told."""
    began = about.began_us or calls.instant(fields.text(message, "metadata", "created"))
    said = calls.listed(parsed, message, "results", "utterances") or _channels(message)
    for number, each in enumerate(said):
        text = fields.text(each, "transcript")
        if text is None:
            continue
        channel = fields.integer(each, "channel") or 0
        speaker = fields.integer(each, "speaker")
        start, end = fields.number(each, "start"), fields.number(each, "end")
        event = calls.utterance(
            about.call,
            f"{about.stream}:{channel}:{number}",
            text,
            role=_role(channel, speaker, about.settings),
            index=number,
            start_ms=None if start is None else start * 1000,
            end_ms=None if end is None else end * 1000,
            began_us=began,
            occurred_at_us=began if start is None else None,
            confidence=fields.number(each, "confidence"),
            language=calls.language(fields.text(each, "detected_language")),
            vendor=fields.known(
                request_id=about.stream, channel=channel, id=fields.key(each, "id"), speaker=speaker
            ),
        )
        parsed.events.append(event)
    if not parsed.events:
        parsed.note("silence", "A recording without words.")


def _channels(message: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for number, each in enumerate(fields.items(message, "results", "channels")):
        best = next(fields.items(each, "alternatives"), {})
        words = list(fields.items(best, "words"))
        span = {"start": words[0].get("start"), "end": words[-1].get("end")} if words else {}
        about = {"detected_language": each.get("detected_language"), "channel": number}
        turns = _turns(words)
        if len(turns) > 1:
            found += [{**turn, **about} for turn in turns]
        else:
            found.append({**best, **span, **about})
    return found[: calls.MAX_TURNS]


def _turns(words: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The words of a channel in turns, where diarisation names the speaker of each."""
    if not any("speaker" in word for word in words):
        return []
    found: list[dict[str, Any]] = []
    for speaker, group in groupby(words, lambda word: fields.integer(word, "speaker")):
        said = list(group)
        shown = (fields.text(word, "punctuated_word") or fields.text(word, "word") for word in said)
        turn = {"transcript": " ".join(word for word in shown if word), "speaker": speaker}
        confidence = calls.confidence_in(said)
        span = {"start": said[0].get("start"), "end": said[-1].get("end")}
        found.append({**turn, **span, "confidence": confidence})
    return found


URL = "https://omniroute.example/v1/workspaces/demo/connectors/deepgram/inbound"
CREDENTIALS = "deepgram:example-password"


def request_of(payload: Any, received_at_us: int, *, url: str = URL) -> InboundRequest:
    """A result of ours as the request that Deepgram would send."""
    headers = (("Content-Type", "application/json"), basic_header(CREDENTIALS))
    return InboundRequest("POST", url, headers, json.dumps(payload).encode(), received_at_us)


def examples() -> tuple[Example, ...]:
    at_us = parse_instant("2026-03-02T09:15:00Z")
    secrets = {"callback_secret": (CREDENTIALS,)}
    live = URL + "?conversation_key=call-1&started_at=2026-03-02T09:14:50Z"

    def result(final: bool, text: str) -> dict[str, Any]:
        return {
            "type": "Results",
            "channel_index": [0, 2],
            "start": 5.99,
            "duration": 1.98,
            "is_final": final,
            "speech_final": final,
            "channel": {"alternatives": [{"transcript": text, "confidence": 0.99, "words": []}]},
            "metadata": {"request_id": "request-1"},
        }

    spoken = {
        "start": 0.5,
        "end": 2.0,
        "channel": 0,
        "transcript": "Good morning.",
        "confidence": 1,
    }
    recording = {
        "metadata": {"request_id": "request-2", "created": "2026-03-02T09:10:00Z"},
        "results": {"utterances": [spoken]},
    }
    return (
        Example(
            "interim",
            request_of(result(False, "tell me"), at_us, url=live),
            secrets,
            (interactions.TRANSCRIPT_PARTIAL,),
        ),
        Example(
            "final",
            request_of(result(True, "Tell me more."), at_us, url=live),
            secrets,
            (interactions.TRANSCRIPT_SEGMENT,),
        ),
        Example(
            "recording", request_of(recording, at_us), secrets, (interactions.TRANSCRIPT_SEGMENT,)
        ),
    )


CONNECTOR = Connector(
    kind="deepgram",
    channel="phone",
    title="Deepgram",
    setup=SETUP,
    signature=CallbackSecret(),
    parse=parse,
    examples=examples,
    settings=DeepgramSettings,
    secrets={"callback_secret": "`user:password` of the callback URL, or the extra secret."},
    retry_horizon_s=DAY_S,
    max_body_bytes=16 * 1024 * 1024,
    covers_body=False,
)
