"""AssemblyAI: a finished streaming session with all its turns, single stream messages, and the notice
that a recording is transcribed. https://www.assemblyai.com/docs/streaming/webhooks
"""

import json
from typing import Any

from pydantic import Field

from services.channels.connectors import calls, fields
from services.channels.connectors.port import (
    DAY_S,
    Connector,
    Context,
    Example,
    Fetch,
    InboundRequest,
    Parsed,
    Settings,
)
from services.channels.connectors.signatures import StaticToken
from shared.contracts import interactions
from shared.contracts.instants import parse_instant
from shared.contracts.interactions import Role


class AssemblyAiSettings(Settings):
    customer_speaker: str | None = Field(
        default=None,
        description="The speaker label or channel that is the customer; others are the agent. "
        "Without it every turn counts as the customer's.",
    )
    format_turns: bool = Field(
        default=False,
        description="Whether streams are opened with format_turns=true: then the end of a turn comes "
        "twice, and only the formatted one is final.",
    )


SETUP = """\
1. Choose a secret and give it as `webhook_auth_header_value`, with `webhook_auth_header_name`
   `X-Webhook-Secret` and the connector's inbound URL as `webhook_url`. Put it into `webhook_secret`.
2. AssemblyAI takes any 4xx for final: give the new secret here, as a list of two, before you use it.
3. For streaming add `?conversation_key=<call id>&started_at=<instant>` to the URL: turns count
   milliseconds from the start of the session.
4. The notice for a recording holds only an id and a status, so it shows as a `must_fetch` note; the
   transcript is then fetched with the secret `api_key`. Posting the fetched transcript to
   the same URL, with the same header, makes it events.
"""

_SIGNATURE = StaticToken("webhook_secret", "X-Webhook-Secret")


def parse(request: InboundRequest, settings: AssemblyAiSettings, _: Context) -> Parsed:
    parsed = Parsed()
    payload = fields.decode_json(request.body, parsed)
    if payload is None:
        return parsed
    message = fields.obj(payload)
    if fields.text(message, "message_type"):
        message = _as_turn(message)
    if fields.key(message, "transcript_id"):
        _notice(message, parsed)
    elif "messages" in message or fields.text(message, "type") is not None:
        _stream(message, request, settings, parsed)
    elif "transcript_id" in message:
        _notice(message, parsed)
    elif fields.text(message, "status") == "redacted_audio_ready":
        parsed.note("not_an_interaction", "The recording without personal data is ready.")
    elif "status" in message and "id" in message:
        _transcript(message, request, settings, parsed)
    else:
        parsed.lose("unusable_payload", "The payload is neither a session nor a notice.")
    return parsed


def _as_turn(old: dict[str, Any]) -> dict[str, Any]:
    """A message of the older streaming interface, as the newer would tell it."""
    kind = fields.text(old, "message_type") or ""
    if kind not in ("PartialTranscript", "FinalTranscript"):
        renamed = {"SessionBegins": "Begin", "SessionTerminated": "Termination"}
        return {**old, "type": renamed.get(kind, kind)}
    start, final = fields.integer(old, "audio_start") or 0, kind == "FinalTranscript"
    return {
        "type": "Turn",
        "session_id": fields.key(old, "session_id"),
        "turn_order": start,
        "transcript": fields.text(old, "text"),
        "end_of_turn": final,
        "turn_is_formatted": final,
        "words": [{"start": start, "end": fields.at(old, "audio_end")}],
    }


def _notice(message: dict[str, Any], parsed: Parsed) -> None:
    transcript, status = fields.key(message, "transcript_id"), fields.key(message, "status")
    if transcript is None or status is None:
        parsed.lose("missing_id", "The notice lacks its transcript or its status.")
    elif status == "completed":
        parsed.want("transcript", f"{transcript}:{status}", transcript_id=transcript, status=status)
    else:
        parsed.note("operation", f"The transcript {transcript} has the status {status}.")


def _stream(
    message: dict[str, Any], request: InboundRequest, settings: AssemblyAiSettings, parsed: Parsed
) -> None:
    """A whole session, or one message of its stream."""
    whole = "messages" in message and fields.text(message, "type") is None
    session = fields.key(message, "session_id") or fields.key(message, "id")
    call = calls.told(request, "conversation_key") or session
    named = call is not None
    if call is None:
        call = calls.short_hash(request.body)
        parsed.note(
            "missing_call", "The message names no session; add ?conversation_key= to the URL."
        )
    session = session or call
    found = _latest(calls.listed(parsed, message, "messages")) if whole else [message]
    for each in found:
        kind = fields.text(each, "type") or "Turn"
        if kind == "Turn":
            _turn(each, call, session, whole, request, settings, parsed)
        elif kind == "Begin":
            at_us = calls.instant(calls.told(request, "started_at"))
            vendor = fields.known(id=session, type=kind)
            start = calls.boundary(call, f"{call}:started", "started", at_us, vendor=vendor)
            parsed.events.append(start)
        elif kind == "Termination" and named:
            parsed.events.append(calls.boundary(call, f"{call}:ended", "ended", None))
        else:
            parsed.note("not_an_interaction", f"A message of the type {kind[:64]!r}.")
    if not (parsed.events or parsed.problems):
        parsed.note("silence", "A session without turns.")


def _latest(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A session's messages with each turn once, as it was last told: formatted, where it was."""
    last = {fields.key(each, "turn_order"): at for at, each in enumerate(messages)}
    return [
        each
        for at, each in enumerate(messages)
        if (order := fields.key(each, "turn_order")) is None or last[order] == at
    ]


def _turn(
    turn: dict[str, Any],
    call: str,
    session: str,
    whole: bool,
    request: InboundRequest,
    settings: AssemblyAiSettings,
    parsed: Parsed,
) -> None:
    number, text = fields.integer(turn, "turn_order"), fields.text(turn, "transcript")
    if number is None:
        parsed.lose("missing_id", "A turn has no turn_order.")
        return
    if text is None:
        parsed.note("silence", f"The turn {number} has no words.")
        return
    words = list(fields.items(turn, "words"))
    ended = fields.flag(turn, "end_of_turn")
    formatted = fields.flag(turn, "turn_is_formatted") or not settings.format_turns
    speaker = fields.key(turn, "speaker_label") or fields.key(turn, "channel")
    event = calls.utterance(
        call,
        f"{call}:{number}",  # single messages name no session
        text,
        role=_role(speaker, settings),
        index=number,
        final=whole or (ended and formatted),
        start_ms=fields.number(words[0], "start") if words else None,
        end_ms=fields.number(words[-1], "end") if words else None,
        began_us=calls.instant(calls.told(request, "started_at")),
        confidence=calls.confidence_in(words),
        language=calls.language(fields.text(turn, "language_code")),
        vendor=fields.known(
            session_id=session, turn_order=str(number), type="Turn", speaker=speaker
        ),
    )
    parsed.events.append(event)


def _role(speaker: str | None, settings: AssemblyAiSettings) -> Role:
    ours = settings.customer_speaker not in (None, speaker)
    return "agent" if ours else "customer"


def _transcript(
    message: dict[str, Any], request: InboundRequest, settings: AssemblyAiSettings, parsed: Parsed
) -> None:
    """A transcript as `GET /v2/transcript/{id}` gives it."""
    identity, status = fields.key(message, "id") or "", fields.key(message, "status")
    if status != "completed" or not identity:
        parsed.note("operation", f"The transcript {identity} has the status {status}.")
        return
    call = calls.told(request, "conversation_key") or identity
    said = calls.listed(parsed, message, "utterances") or [message]
    for number, each in enumerate(said):
        text = fields.text(each, "text")
        if text is None:
            continue
        speaker = fields.key(each, "speaker") or fields.key(each, "channel")
        event = calls.utterance(
            call,
            f"{identity}:{number}",
            text,
            role=_role(speaker, settings),
            index=number,
            start_ms=fields.number(each, "start"),
            end_ms=fields.number(each, "end"),
            began_us=calls.instant(calls.told(request, "started_at")),
            confidence=fields.number(each, "confidence"),
            language=calls.language(fields.text(message, "language_code")),
            vendor=fields.known(id=identity, index=str(number), speaker=speaker),
        )
        parsed.events.append(event)
    if not parsed.events:
        parsed.note("silence", f"The transcript {identity} has no words.")


URL = "https://omniroute.example/v1/workspaces/demo/connectors/assemblyai/inbound"
SECRET = "example-webhook-secret"


def request_of(payload: Any, received_at_us: int, *, url: str = URL) -> InboundRequest:
    """A payload of ours as the request that AssemblyAI would send."""
    headers = (("Content-Type", "application/json"), (_SIGNATURE.header, SECRET))
    return InboundRequest("POST", url, headers, json.dumps(payload).encode(), received_at_us)


def examples() -> tuple[Example, ...]:
    at_us = parse_instant("2026-03-02T09:15:00Z")
    secrets = {"webhook_secret": (SECRET,)}
    dated = URL + "?started_at=2026-03-02T09:14:00Z&conversation_key=call-1"
    words = [{"start": 480, "end": 900, "text": "Hello"}]

    def turn(number: int, text: str, ended: bool) -> dict[str, Any]:
        found = {"type": "Turn", "turn_order": number, "transcript": text, "words": words}
        return {**found, "end_of_turn": ended, "turn_is_formatted": ended}

    session = {"session_id": "session-1", "messages": [turn(0, "Hello.", True)]}
    notice = {"transcript_id": "transcript-1", "status": "completed"}
    return (
        Example(
            "partial turn",
            request_of(turn(0, "hel", False), at_us, url=dated),
            secrets,
            (interactions.TRANSCRIPT_PARTIAL,),
        ),
        Example(
            "session",
            request_of(session, at_us, url=dated),
            secrets,
            (interactions.TRANSCRIPT_SEGMENT,),
        ),
        Example("recording is ready", request_of(notice, at_us), secrets, ()),
    )


CONNECTOR = Connector(
    kind="assemblyai",
    channel="phone",
    title="AssemblyAI",
    setup=SETUP,
    signature=_SIGNATURE,
    parse=parse,
    examples=examples,
    settings=AssemblyAiSettings,
    secrets={
        "webhook_secret": "The value given as webhook_auth_header_value.",
        "api_key": "API key that fetches the transcript of a recording.",
    },
    retry_horizon_s=DAY_S,
    max_body_bytes=16 * 1024 * 1024,
    covers_body=False,
    fetches=(
        Fetch(
            "transcript",
            "GET https://api.assemblyai.com/v2/transcript/{transcript_id}",
            "api_key",
            auth="header:authorization",
        ),
    ),
)
