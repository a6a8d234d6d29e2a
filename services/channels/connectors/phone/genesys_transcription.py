"""Genesys Cloud: live transcripts, as a notification or as EventBridge wraps them.

https://developer.genesys.cloud/notificationsalerts/notifications/available-topics
"""

import json
from typing import Any, Literal

from pydantic import Field

from services.channels.connectors import calls, fields
from services.channels.connectors.port import (
    DAY_S,
    Connector,
    Context,
    Example,
    InboundRequest,
    Parsed,
    Settings,
)
from services.channels.connectors.signatures import StaticToken
from shared.contracts import interactions
from shared.contracts.instants import parse_instant


class GenesysTranscriptionSettings(Settings):
    customer_channel: Literal["EXTERNAL", "INTERNAL"] = Field(
        default="EXTERNAL", description="The side of the call on which the customer speaks."
    )


SETUP = """\
1. Turn on voice transcription, and the Amazon EventBridge integration for the topic
   `v2.conversations.{id}.transcription`.
2. Add an API destination with the connector's inbound URL and an API-key connection with the header
   `X-Api-Key`; put the key into `api_key`, a list of two during rotation.
3. Or post what the notification WebSocket sends, unchanged, with the same header.
"""

_SIGNATURE = StaticToken("api_key", "X-Api-Key")


def parse(request: InboundRequest, settings: GenesysTranscriptionSettings, _: Context) -> Parsed:
    parsed = Parsed()
    payload = fields.decode_json(request.body, parsed)
    if payload is None:
        return parsed
    for each in payload[: fields.MAX_ITEMS] if isinstance(payload, list) else [payload]:
        for body in _bodies(each):
            _event(body, settings, parsed)
    if not (parsed.events or parsed.problems):
        parsed.lose("unusable_payload", "The payload holds neither transcripts nor a status.")
    return parsed


def _bodies(payload: Any) -> list[dict[str, Any]]:
    """The notification inside of what wraps it; a bridge may hold several."""
    for path in (("detail", "eventBody"), ("eventBody",), ("detail",)):
        found = list(fields.items(payload, *path))
        if found:
            return found
    return [fields.obj(payload)]


def _event(body: dict[str, Any], settings: GenesysTranscriptionSettings, parsed: Parsed) -> None:
    call = fields.key(body, "conversationId") or fields.key(body, "id")
    found = [*fields.items(body, "transcripts"), *fields.items(body, "transcript")]
    status = fields.key(body, "status", "status")
    if call is None:
        if fields.text(body, "message") == "WebSocket Heartbeat":
            parsed.note("not_an_interaction", "A heartbeat.")
        else:
            parsed.lose("missing_call", "The event names no conversation.")
        return
    for each in found:
        _said(call, body, each, settings, parsed)
    if status == "SESSION_ENDED":
        session = fields.key(body, "communicationId") or "session"
        at_us = calls.instant(fields.text(body, "eventTime"))
        vendor = fields.known(conversation_id=call, communication_id=session, status=status)
        ended = calls.boundary(call, f"{call}:{session}:ended", "ended", at_us, vendor=vendor)
        parsed.events.append(ended)
    elif not found:
        parsed.note("not_an_interaction", f"The status is {status}.")


def _said(
    call: str,
    body: dict[str, Any],
    said: dict[str, Any],
    settings: GenesysTranscriptionSettings,
    parsed: Parsed,
) -> None:
    best = next(fields.items(said, "alternatives"), {})
    text = fields.text(best, "decoratedTranscript") or fields.text(best, "transcript")
    identity = fields.key(said, "utteranceId")
    if text is None and identity is not None and not fields.text(best, "transcript"):
        parsed.note("silence", f"The utterance {identity} has no words.")
        return
    if text is None or identity is None:
        parsed.lose("missing_transcript", "An utterance lacks its id or its text.")
        return
    began = calls.millis(body, "transcriptionStartTimeMs") or calls.millis(
        body, "sessionStartTimeMs"
    )
    start, length = fields.number(best, "offsetMs"), fields.number(best, "durationMs")
    side = fields.key(said, "channel")
    start_us = None if began is None or start is None else began + round(start * 1000)
    event = calls.utterance(
        call,
        f"{call}:{identity}",
        text,
        role="customer" if side in (settings.customer_channel, None) else "agent",
        index=round(start) if start is not None and 0 <= start < 10**12 else 0,
        final=said.get("isFinal") is not False,
        start_ms=start,
        end_ms=None if start is None or length is None else start + length,
        occurred_at_us=start_us or calls.instant(fields.text(body, "eventTime")),
        confidence=fields.number(best, "confidence"),
        language=calls.language(fields.text(said, "dialect")),
        vendor=fields.known(
            id=identity,
            conversation_id=call,
            communication_id=fields.key(body, "communicationId"),
            channel=side,
            utterance_start_ms=None if start_us is None else start_us // 1000,
            raw_transcript=fields.text(best, "transcript"),
        ),
    )
    parsed.events.append(event)


URL = "https://omniroute.example/v1/workspaces/demo/connectors/genesys/inbound"
API_KEY = "example-api-key"


def request_of(payload: Any, received_at_us: int, *, url: str = URL) -> InboundRequest:
    """A payload of ours as the request that EventBridge, or a forwarder, would send."""
    headers = (("Content-Type", "application/json"), (_SIGNATURE.header, API_KEY))
    return InboundRequest("POST", url, headers, json.dumps(payload).encode(), received_at_us)


def examples() -> tuple[Example, ...]:
    at_us = parse_instant("2026-03-02T09:15:00Z")
    secrets = {"api_key": (API_KEY,)}

    def body(final: bool, text: str, **more: Any) -> dict[str, Any]:
        heard = {"offsetMs": 1500, "durationMs": 900, "confidence": 0.9, "transcript": text}
        said = {
            "utteranceId": "u1",
            "isFinal": final,
            "channel": "EXTERNAL",
            "alternatives": [heard],
        }
        return {
            "eventTime": "2026-03-02T09:14:59.5Z",
            "conversationId": "conversation-1",
            "communicationId": "communication-1",
            "transcriptionStartTimeMs": at_us // 1000 - 60_000,
            "transcripts": [said],
            **more,
        }

    topic = "v2.conversations.conversation-1.transcription"
    partial = {"topicName": topic, "version": "2", "eventBody": body(False, "my invoice")}
    final = {"detail-type": topic, "detail": {"eventBody": body(True, "My invoice is wrong.")}}
    ended = body(True, "", transcripts=[], status={"offsetMs": 60_000, "status": "SESSION_ENDED"})
    return (
        Example(
            "notified", request_of(partial, at_us), secrets, (interactions.TRANSCRIPT_PARTIAL,)
        ),
        Example("bridged", request_of(final, at_us), secrets, (interactions.TRANSCRIPT_SEGMENT,)),
        Example(
            "ended",
            request_of({"eventBody": ended}, at_us),
            secrets,
            (interactions.CONVERSATION_ENDED,),
        ),
    )


CONNECTOR = Connector(
    kind="genesys_transcription",
    channel="phone",
    title="Genesys Cloud transcription",
    setup=SETUP,
    signature=_SIGNATURE,
    parse=parse,
    examples=examples,
    settings=GenesysTranscriptionSettings,
    secrets={"api_key": "Key that the API destination sends in X-Api-Key."},
    retry_horizon_s=DAY_S,
    covers_body=False,
)
