"""Vapi: transcripts of a voice assistant's calls, their status and the report at their end.

https://docs.vapi.ai/server-url/events
"""

import json
import re
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from services.channels.connectors import calls, fields
from services.channels.connectors.identities import PHONE, identities, phone
from services.channels.connectors.port import (
    DAY_S,
    Connector,
    Context,
    Example,
    InboundRequest,
    Normalised,
    Parsed,
    Secrets,
    Settings,
    Verdict,
)
from services.channels.connectors.public_keys import bearer
from services.channels.connectors.signatures import any_same, digest
from shared.contracts import interactions
from shared.contracts.instants import parse_instant
from shared.contracts.interactions import Author, Role


class VapiSettings(Settings):
    segments_from: Literal["transcript", "report"] = Field(
        default="transcript",
        description="Where the text comes from: live transcript messages, or the messages in the "
        "report at the end of the call. Both would say everything twice.",
    )


SETUP = """\
1. Create a custom credential of the kind HMAC (SHA-256, header `x-vapi-signature`, payload: the body
   only, hexadecimal) and use it for the server URL, which is the connector's inbound URL; put its
   key into `server_secret`. A bearer token, or the older server secret in `X-Vapi-Secret`, works as
   well, but does not cover the body.
2. Choose the server messages `transcript[transcriptType="final"]`, `status-update` and
   `end-of-call-report`; partial transcripts are many: add them only for a live view.
3. Messages that want an answer (`assistant-request`, `tool-calls`, `transfer-destination-request`)
   get an empty one: send those to your own server.
4. `chat.created` brings what is written to an assistant, on the channel chat.
"""

_HEADER = "X-Vapi-Signature"
_TURN = re.compile(r"\n(?=(?:AI|User):)")
_LINE = re.compile(r"(AI|User):[ \t]*(.*)\Z", re.DOTALL)
_ROLES: dict[str, Role] = {"user": "customer", "assistant": "bot", "bot": "bot", "agent": "agent"}


@dataclass(frozen=True, slots=True)
class VapiCredential:
    """Whichever of Vapi's credentials a request carries: HMAC over the body, bearer, X-Vapi-Secret.

    https://docs.vapi.ai/server-url/server-authentication
    """

    secret: str = "server_secret"

    @property
    def secret_names(self) -> tuple[str, ...]:
        return (self.secret,)

    def verify(self, request: InboundRequest, secrets: Secrets) -> Verdict:
        known = secrets.get(self.secret, ())
        if not known:
            return "none"
        given = (request.header(_HEADER) or "").lower().removeprefix("sha256=")
        if given:
            expected = [digest("sha256", secret, request.body) for secret in known]
            return "valid" if any_same(expected, given) else "invalid"
        words = [bearer(request), request.header("x-vapi-secret") or ""]
        return "valid" if any(word and any_same(known, word) for word in words) else "invalid"


def parse(request: InboundRequest, settings: VapiSettings, _: Context) -> Parsed:
    parsed = Parsed()
    payload = fields.decode_json(request.body, parsed)
    if payload is None:
        return parsed
    message = fields.obj(payload, "message")
    kind = (fields.text(message, "type") or "").partition("[")[0]
    call = fields.key(message, "call", "id") or calls.told(request, "conversation_key")
    if not kind:
        parsed.lose("unusable_payload", "The payload holds no message with a type.")
    elif kind == "transcript":
        if call is None:
            parsed.note("missing_call", "The transcript names no call.")
        _transcript(message, call or calls.short_hash(request.body), settings, parsed)
    elif kind == "chat.created":
        _chat(message, parsed)
    elif kind in ("status-update", "end-of-call-report"):
        if call is None:
            parsed.lose("missing_call", f"The {kind} names no call.")
        elif kind == "status-update":
            _status(message, call, parsed)
        else:
            _report(message, call, settings, parsed)
    else:
        parsed.note("not_an_interaction", f"A message of the type {kind[:64]}.")
    return parsed


def _about(message: dict[str, Any], call: str) -> dict[str, Any]:
    number = phone(fields.text(message, "customer", "number"))
    number = number or phone(fields.text(message, "call", "customer", "number"))
    return {
        "identities": identities(**{PHONE: number}),
        "vendor": fields.known(call_id=call, type=fields.text(message, "type")),
    }


def _transcript(message: dict[str, Any], call: str, settings: VapiSettings, parsed: Parsed) -> None:
    text, role = fields.text(message, "transcript"), fields.text(message, "role") or "user"
    kind = fields.text(message, "transcriptType") or fields.text(message, "type") or ""
    final = "partial" not in kind
    if text is None:
        if fields.at(message, "transcript") == "":
            parsed.note("silence", "A transcript without words.")
        else:
            parsed.lose("missing_transcript", "The transcript has no text.")
        return
    if final and settings.segments_from == "report":
        parsed.note("not_an_interaction", "Text is taken from the report at the end of the call.")
        return
    at_us = calls.millis(message, "timestamp")
    turn = fields.key(message, "turnId") or fields.key(message, "timestamp")
    about = _about(message, call)
    event = calls.utterance(
        call,
        f"{call}:{role}:{turn or calls.short_hash(text)}",
        text,
        role=_ROLES.get(role, "bot"),
        final=final,
        occurred_at_us=at_us,
        identities=about["identities"] if role == "user" else [],
        vendor={**about["vendor"], "role": role, "final": final},
    )
    parsed.events.append(event)


def _status(message: dict[str, Any], call: str, parsed: Parsed) -> None:
    status = fields.key(message, "status")
    at_us, about = calls.millis(message, "timestamp"), _about(message, call)
    about["vendor"] |= fields.known(status=status, reason=fields.key(message, "endedReason"))
    if status == "in-progress":
        parsed.events.append(calls.boundary(call, f"{call}:started", "started", at_us, **about))
    elif status == "ended":
        parsed.events.append(calls.boundary(call, f"{call}:ended", "ended", at_us, **about))
    else:
        parsed.note("not_an_interaction", f"The call {call} is {status}.")


def _report(message: dict[str, Any], call: str, settings: VapiSettings, parsed: Parsed) -> None:
    """The report: the call's end, its summary, and its text where that is asked from here."""
    at_us, about = calls.millis(message, "timestamp"), _about(message, call)
    if settings.segments_from == "report":
        _messages(message, call, about, parsed)
    about["vendor"] |= fields.known(reason=fields.key(message, "endedReason"))
    parsed.events.append(calls.boundary(call, f"{call}:ended", "ended", at_us, **about))
    summary = fields.text(message, "summary") or fields.text(message, "analysis", "summary")
    if summary:
        text = f"Summary: {summary}"
        remark = calls.remark(call, f"{call}:report", text, at_us, vendor=about["vendor"])
        parsed.events.append(remark)


def _lines(message: dict[str, Any]) -> list[dict[str, Any]]:
    """The plain transcript of a report without messages, line by line."""
    plain = fields.text(message, "artifact", "transcript") or fields.text(message, "transcript")
    matched = [_LINE.match(line) for line in _TURN.split(plain or "")[: calls.MAX_TURNS]]
    roles = {"AI": "assistant", "User": "user"}
    return [{"role": roles[each[1]], "message": each[2].strip()} for each in matched if each]


def _chat(message: dict[str, Any], parsed: Parsed) -> None:
    """What was written to an assistant, and its answer: a message each, of the channel chat.

    https://docs.vapi.ai/chat/session-management
    """
    chat = fields.obj(message, "chat")
    own = fields.key(chat, "id")
    if own is None:
        parsed.lose("missing_chat", "The message names no chat.")
        return
    key = fields.key(chat, "sessionId") or fields.key(message, "session", "id") or own
    at_us = calls.millis(chat, "createdAt") or calls.millis(message, "timestamp")
    for side in ("input", "output"):
        for number, (role, text) in enumerate(_written(fields.at(chat, side), side)):
            event = Normalised(
                vendor_id=f"{own}:{side}:{number}",
                conversation_key=key,
                occurred_at_us=at_us,
                direction="inbound" if role == "customer" else "outbound",
                author=Author(role=role),
                text=text,
                vendor=fields.known(chat_id=own, session_id=key, id=f"{own}:{side}:{number}"),
                channel="chat",
            )
            parsed.events.append(event)
    if not parsed.events:
        parsed.note("silence", f"The chat {own} has no words.")


def _written(told: Any, side: str) -> list[tuple[Role, str]]:
    """(who, text) of a chat's input or output: a text, or messages; of tools nothing."""
    if isinstance(told, str):
        text = fields.clean(told)
        return [("customer" if side == "input" else "bot", text)] if text else []
    listed = fields.items({"told": told}, "told")
    found = [(fields.text(one, "role") or "", _content(one)) for one in listed]
    return [(_ROLES[role], text) for role, text in found if role in _ROLES and text]


def _content(said: dict[str, Any]) -> str | None:
    """The text of a message, whole or in parts."""
    parts = [fields.text(part, "text") for part in fields.items(said, "content")]
    return fields.text(said, "content") or "\n".join(part for part in parts if part) or None


def _messages(message: dict[str, Any], call: str, about: dict[str, Any], parsed: Parsed) -> None:
    found = calls.listed(parsed, message, "artifact", "messages")
    found = found or calls.listed(parsed, message, "messages") or _lines(message)
    for number, each in enumerate(found):
        role = fields.text(each, "role") or ""
        text = fields.text(each, "message") or fields.text(each, "content")
        if role not in _ROLES or text is None:
            continue
        start = fields.number(each, "secondsFromStart")
        event = calls.utterance(
            call,
            f"{call}:message:{number}",
            text,
            role=_ROLES[role],
            index=number,
            start_ms=None if start is None else start * 1000,
            occurred_at_us=calls.millis(each, "time"),
            author=Author(role=_ROLES[role]),
            identities=about["identities"] if role == "user" else [],
            vendor={**about["vendor"], "role": role},
        )
        parsed.events.append(event)


URL = "https://omniroute.example/v1/workspaces/demo/connectors/vapi/inbound"
SECRET = "example-server-secret"


def sign(message: dict[str, Any], received_at_us: int, *, url: str = URL) -> InboundRequest:
    """A message of ours as the request that Vapi would send."""
    body = json.dumps({"message": message}).encode()
    headers = (("Content-Type", "application/json"), (_HEADER, digest("sha256", SECRET, body)))
    return InboundRequest("POST", url, headers, body, received_at_us)


def examples() -> tuple[Example, ...]:
    at_us = parse_instant("2026-03-02T09:15:00Z")
    secrets = {"server_secret": (SECRET,)}

    def one(name: str, events: tuple[str, ...], after_ms: int, **message: Any) -> Example:
        call = {"id": "call-1", "customer": {"number": "+4915112345678"}}
        told = {"call": call, "timestamp": at_us // 1000 + after_ms, **message}
        return Example(name, sign(told, at_us + after_ms * 1000 + 300_000), secrets, events)

    said = {"type": "transcript", "role": "user"}
    partial = {"transcriptType": "partial", "transcript": "my invoice"}
    final = {"transcriptType": "final", "transcript": "My invoice is wrong."}
    report = {"type": "end-of-call-report", "endedReason": "hangup", "summary": "A wrong invoice."}
    started = {"type": "status-update", "status": "in-progress"}
    return (
        one("started", (interactions.CONVERSATION_STARTED,), 0, **started),
        one("partial", (interactions.TRANSCRIPT_PARTIAL,), 900, **said, **partial),
        one("final", (interactions.TRANSCRIPT_SEGMENT,), 1800, **said, **final),
        one("report", (interactions.CONVERSATION_ENDED, interactions.MESSAGE), 9000, **report),
    )


CONNECTOR = Connector(
    kind="vapi",
    channel="phone",
    title="Vapi",
    setup=SETUP,
    signature=VapiCredential(),
    parse=parse,
    examples=examples,
    settings=VapiSettings,
    secrets={"server_secret": "HMAC key, bearer token or server secret of the server URL."},
    retry_horizon_s=DAY_S,
    max_body_bytes=8 * 1024 * 1024,
    other_channels=("chat",),
)
