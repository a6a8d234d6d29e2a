"""Genesys AudioHook: transcript entities of a session, and its open and close.

https://developer.genesys.cloud/devapps/audiohook/
"""

import json
import re
from typing import Any, Literal

from pydantic import Field

from services.channels.connectors import calls, fields
from services.channels.connectors.http_signatures import HttpMessageSignature
from services.channels.connectors.identities import PHONE, identities, phone
from services.channels.connectors.port import (
    Answer,
    Connector,
    Context,
    Example,
    HandshakeExample,
    Handshaken,
    InboundRequest,
    Parsed,
    Secrets,
    Settings,
)
from shared.contracts import interactions
from shared.contracts.instants import parse_instant


class AudioHookSettings(Settings):
    customer_channel: Literal["external", "internal"] = Field(
        default="external", description="The side of the call on which the customer speaks."
    )


SETUP = """\
1. AudioHook is a WebSocket, which this connector does not speak: a bridge of yours accepts it and
   posts each JSON message to the connector's inbound URL, together with the request headers with
   which Genesys opened the session (`Host`, `Audiohook-*`, `X-Api-Key`, `Signature-Input`,
   `Signature`), which prove it. `public_url` must be the address that Genesys calls.
2. Put the client secret of the integration, base64 as Genesys takes it, into `client_secret`; a list
   of two during rotation. The signature covers the opening, not each message: keep the bridge inside.
3. A GET with those headers answers 200 when they are in order, 401 otherwise.
"""

_SIGNATURE = HttpMessageSignature()
_CHANNELS = {"0": "external", "1": "internal"}
_DURATION = re.compile(r"PT(?:(\d{1,5})H)?(?:(\d{1,6})M)?(?:(\d{1,8}(?:\.\d{1,9})?)S)?\Z")


def handshake(request: InboundRequest, secrets: Secrets, _: Settings) -> Handshaken | None:
    """The opening of a session: a GET that carries a signature."""
    if request.method.upper() != "GET" or request.header("signature") is None:
        return None
    verdict = _SIGNATURE.verify(request, secrets)
    return Handshaken(verdict, Answer(401) if verdict == "invalid" else Answer(200))


def milliseconds(duration: str | None) -> float | None:
    """An ISO 8601 duration of hours, minutes and seconds; None for anything else."""
    found = _DURATION.match(duration or "")
    if found is None or found.end() < 4:
        return None
    hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return (hours * 3600 + minutes * 60 + seconds) * 1000


def parse(request: InboundRequest, settings: AudioHookSettings, _: Context) -> Parsed:
    parsed = Parsed()
    payload = fields.decode_json(request.body, parsed)
    if payload is None:
        return parsed
    message, kind = fields.obj(payload), fields.text(payload, "type") or ""
    session = fields.key(message, "id") or request.header("audiohook-session-id")
    call = calls.told(request, "conversation_key") or session
    if session is None or call is None:
        parsed.lose("missing_call", "The message names no session.")
    elif kind == "event":
        for each in fields.items(message, "parameters", "entities"):
            _entity(call[:512], session, each, request, settings, parsed)
    elif kind in ("open", "opened"):
        _open(call[:512], session, fields.obj(message, "parameters"), parsed)
    elif kind in ("close", "closed", "disconnect"):
        vendor = fields.known(session=session, reason=fields.key(message, "parameters", "reason"))
        ended = calls.boundary(call[:512], f"{session}:ended", "ended", None, vendor=vendor)
        parsed.events.append(ended)
    elif kind in _QUIET:
        parsed.note("not_an_interaction", f"A message of the type {kind}.")
    else:
        parsed.lose("unknown_event", f"The type {kind[:64]!r} is not known.")
    if not (parsed.events or parsed.problems):
        parsed.note("not_an_interaction", "The event holds no transcript.")
    return parsed


_QUIET = ("ping", "pong", "error", "pause", "paused", "resume", "resumed", "discarded", "update",
          "updated", "dtmf", "playback_started", "playback_completed", "reconnect", "reconnecting",
          "reconnected")  # fmt: skip


def _open(call: str, session: str, told: dict[str, Any], parsed: Parsed) -> None:
    caller = phone((fields.text(told, "participant", "ani") or "").removeprefix("tel:"))
    vendor = fields.known(
        session=session,
        conversation_id=fields.key(told, "conversationId"),
        organization_id=fields.key(told, "organizationId"),
    )
    started = calls.boundary(call, f"{session}:started", "started", None, vendor=vendor)
    started.identities = identities(**{PHONE: caller})
    parsed.events.append(started)


def _entity(
    call: str,
    session: str,
    entity: dict[str, Any],
    request: InboundRequest,
    settings: AudioHookSettings,
    parsed: Parsed,
) -> None:
    if fields.text(entity, "type") != "transcript":
        parsed.note("not_an_interaction", f"An entity of the type {fields.key(entity, 'type')}.")
        return
    data = fields.obj(entity, "data")
    identity, best = fields.key(data, "id"), next(fields.items(data, "alternatives"), {})
    text = _display(best)
    if identity is None or text is None:
        parsed.lose("missing_transcript", "A transcript lacks its id or its text.")
        return
    side = fields.key(data, "channelId") or fields.key(data, "channel") or "external"
    side = _CHANNELS.get(side, side.lower())
    start, length = (milliseconds(fields.text(data, name)) for name in ("offset", "duration"))
    event = calls.utterance(
        call,
        f"{session}:{identity}",
        text,
        role="customer" if side == settings.customer_channel else "agent",
        index=round(start or 0),
        final=data.get("isFinal") is not False,
        start_ms=start,
        end_ms=None if start is None or length is None else start + length,
        began_us=calls.instant(calls.told(request, "started_at")),
        confidence=fields.number(best, "confidence"),
        language=calls.language(next(iter(fields.texts(best, "languages")), None)),
        vendor=fields.known(id=identity, session=session, channel=side),
    )
    parsed.events.append(event)


def _display(best: dict[str, Any]) -> str | None:
    """The text for people among the interpretations of an alternative."""
    found = list(fields.items(best, "interpretations"))
    shown = [each for each in found if fields.text(each, "type") == "display"]
    texts = (fields.text(each, "transcript") for each in (*shown, *found))
    return next((text for text in texts if text), fields.text(best, "transcript"))


URL = "https://omniroute.example/v1/workspaces/demo/connectors/audiohook/inbound"
_SECRET = "ZXhhbXBsZS1jbGllbnQtc2VjcmV0"
_DESCRIBED = (
    '("@request-target" "@authority" "audiohook-organization-id" "audiohook-session-id"'
    ' "x-api-key");keyid="example";alg="hmac-sha256";created={created};expires={expires}'
)


def sign(
    payload: Any, received_at_us: int, *, url: str = URL, method: str = "POST"
) -> InboundRequest:
    """A message of ours as the bridge would post it."""
    now = received_at_us // 1_000_000
    opened = (
        ("Content-Type", "application/json"),
        ("Host", "omniroute.example"),
        ("Audiohook-Organization-Id", "d7934305-0972-4844-938e-000000000001"),
        ("Audiohook-Session-Id", "30b0e395-84d3-4570-ac13-000000000001"),
        ("X-Api-Key", "example"),
    )
    body = b"" if payload is None else json.dumps(payload).encode()
    bare = InboundRequest(method, url, opened, body, received_at_us)
    described = _DESCRIBED.format(created=now, expires=now + 3600)
    headers = (*opened, *_SIGNATURE.sign(bare, _SECRET, described))
    return InboundRequest(method, url, headers, body, received_at_us)


def handshakes() -> tuple[HandshakeExample, ...]:
    request = sign(None, parse_instant("2026-03-02T09:15:00Z"), method="GET")
    return (HandshakeExample("opening", request, {"client_secret": (_SECRET,)}, Answer(200)),)


def examples() -> tuple[Example, ...]:
    at_us = parse_instant("2026-03-02T09:15:00Z")
    secrets = {"client_secret": (_SECRET,)}
    url = URL + "?started_at=2026-03-02T09:14:50Z"

    def message(kind: str, parameters: dict[str, Any]) -> dict[str, Any]:
        return {"version": "2", "type": kind, "seq": 1, "id": "session-1", "parameters": parameters}

    def heard(final: bool, text: str) -> dict[str, Any]:
        best = {"confidence": 0.9, "interpretations": [{"type": "display", "transcript": text}]}
        data = {"id": "t1", "channelId": 0, "isFinal": final, "alternatives": [best]}
        data |= {"offset": "PT1.2S", "duration": "PT2.3S"}
        return message("event", {"entities": [{"type": "transcript", "data": data}]})

    return (
        Example(
            "partial",
            sign(heard(False, "my invoice"), at_us, url=url),
            secrets,
            (interactions.TRANSCRIPT_PARTIAL,),
        ),
        Example(
            "final",
            sign(heard(True, "My invoice is wrong."), at_us, url=url),
            secrets,
            (interactions.TRANSCRIPT_SEGMENT,),
        ),
    )


CONNECTOR = Connector(
    kind="genesys_audiohook",
    channel="phone",
    title="Genesys AudioHook transcripts",
    setup=SETUP,
    signature=_SIGNATURE,
    parse=parse,
    examples=examples,
    settings=AudioHookSettings,
    secrets={"client_secret": "Client secret of the AudioHook integration, base64."},
    handshake=handshake,
    handshakes=handshakes,
    covers_body=False,
)
