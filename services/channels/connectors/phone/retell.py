"""Retell AI: a voice agent's calls, turn by turn and when they end, and a chat agent's chats.

https://docs.retellai.com/features/webhook-overview
"""

import json
import re
from dataclasses import dataclass
from typing import Any

from services.channels.connectors import calls, fields
from services.channels.connectors.identities import PHONE, identities, phone
from services.channels.connectors.phone import retell_chat
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
from services.channels.connectors.signatures import any_same, decimal_us, digest, fresh
from shared.contracts import interactions
from shared.contracts.instants import parse_instant
from shared.contracts.interactions import Attachment, Author, Role

SETUP = """\
1. Set the webhook URL of the account, or of the agent, to the connector's inbound URL. For text while
   the call lasts add the event `transcript_updated`.
2. Put the API key that carries the webhook badge into `api_key`; a list of two during rotation.
3. Retell repeats three times only, and a call whose dial fails has no `call_started`. What was said
   is taken from `call_analyzed` and `chat_analyzed` too, so that it is there though one was missed.
4. Chats of chat agents (`chat_started`, `chat_ended`, `chat_analyzed`) are of the channel chat.
"""

_HEADER = "X-Retell-Signature"
_SIGNED = re.compile(r"v=([0-9]{1,16}),d=([0-9a-fA-F]{64})\Z")
_LINE = re.compile(r"(Agent|User|Transfer Target):[ \t]*(.*)\Z", re.DOTALL)
_ROLES: dict[str, Role] = {
    "user": "customer",
    "agent": "bot",
    "transfer_target": "agent",
    "transfer target": "agent",
}


@dataclass(frozen=True, slots=True)
class RetellSignature:
    """`v=<ms>,d=<hex HMAC-SHA256(API key, body + ms)>`, five minutes either way.

    https://docs.retellai.com/features/secure-webhook
    """

    secret: str = "api_key"
    tolerance_s: int = 300

    @property
    def secret_names(self) -> tuple[str, ...]:
        return (self.secret,)

    def verify(self, request: InboundRequest, secrets: Secrets) -> Verdict:
        known = secrets.get(self.secret, ())
        if not known:
            return "none"
        given = _SIGNED.match(request.header(_HEADER) or "")
        if given is None:
            return "invalid"
        stamp = decimal_us(given[1], 1000)
        if stamp is None or not fresh(stamp, request.received_at_us, self.tolerance_s):
            return "invalid"
        message = request.body + given[1].encode()
        expected = [digest("sha256", secret, message) for secret in known]
        return "valid" if any_same(expected, given[2].lower()) else "invalid"


_SIGNATURE = RetellSignature()


def parse(request: InboundRequest, settings: Settings, _: Context) -> Parsed:
    parsed = Parsed()
    payload = fields.decode_json(request.body, parsed)
    if payload is None:
        return parsed
    event, told = fields.text(payload, "event") or "", fields.obj(payload, "call")
    call = fields.key(told, "call_id")
    if not event:
        parsed.lose("unusable_payload", "The payload names no event.")
    elif event.startswith("chat_"):
        retell_chat.parse(event, fields.obj(payload, "chat"), parsed)
    elif event == "call_inbound":
        parsed.note("not_an_interaction", "Retell asks who takes a call; the call itself follows.")
    elif call is None:
        parsed.lose("missing_call", f"The event {event[:64]!r} names no call.")
    elif event == "call_started":
        parsed.events.append(_boundary(told, call, event, "started"))
    elif event == "transcript_updated":
        _turns(told, fields.obj(payload), call, parsed, over=False)
    elif event == "call_ended":
        _turns(told, fields.obj(payload), call, parsed, over=True)
        parsed.events.append(_ended(told, call, event, spoken=bool(parsed.events)))
    elif event == "call_analyzed":
        _turns(told, fields.obj(payload), call, parsed, over=True)
        _analysis(told, call, parsed)
    else:
        parsed.note("not_an_interaction", f"The event {event[:64]!r} of the call {call}.")
    return parsed


def _customer(told: dict[str, Any]) -> str | None:
    """The customer's number: whoever called in, or was called."""
    outbound = fields.text(told, "direction") == "outbound"
    return fields.key(told, "to_number" if outbound else "from_number")


def _vendor(told: dict[str, Any], call: str, event: str) -> dict[str, Any]:
    return fields.known(
        call_id=call,
        event=event,
        agent_id=fields.key(told, "agent_id"),
        direction=fields.key(told, "direction"),
        disconnection_reason=fields.key(told, "disconnection_reason"),
    )


def _boundary(told: dict[str, Any], call: str, event: str, which: Any) -> Normalised:
    number = _customer(told)
    at_us = calls.millis(told, "start_timestamp" if which == "started" else "end_timestamp")
    return calls.boundary(
        call,
        f"{call}:{event}",
        which,
        at_us,
        author=Author(role="customer", id=number),
        identities=identities(**{PHONE: phone(number)}),
        vendor=_vendor(told, call, event),
    )


def _ended(told: dict[str, Any], call: str, event: str, *, spoken: bool) -> Normalised:
    """The end; with the transcript as it stands where it cannot be told who said what."""
    ended = _boundary(told, call, event, "ended")
    if not spoken:
        ended.text = fields.text(told, "transcript")
    return ended


def _turns(
    told: dict[str, Any], payload: dict[str, Any], call: str, parsed: Parsed, *, over: bool
) -> None:
    """Turns so far. The last may still grow until the call is over, so until then it is partial."""
    found = [turn for turn in _listed(told, payload, parsed) if fields.text(turn, "role") in _ROLES]
    began = calls.millis(told, "start_timestamp")
    for number, turn in enumerate(found):
        text = fields.text(turn, "content")
        if text is None:
            continue
        role = _ROLES[fields.text(turn, "role") or "user"]
        words = list(fields.items(turn, "words"))
        start = fields.number(words[0], "start") if words else None
        end = fields.number(words[-1], "end") if words else None
        person = _customer(told) if role == "customer" else None
        event = calls.utterance(
            call,
            f"{call}:turn:{number}",
            text,
            role=role,
            index=number,
            final=over or number + 1 < len(found),
            start_ms=None if start is None else start * 1000,
            end_ms=None if end is None else end * 1000,
            began_us=began,
            occurred_at_us=began if start is None else None,
            author=Author(role=role, id=person),
            identities=identities(**{PHONE: phone(person)}),
            vendor={**_vendor(told, call, "turn"), "turn": str(number)},
        )
        parsed.events.append(event)
    _texted(told, payload, call, parsed)
    if not (found or over):
        parsed.note("silence", f"The call {call} has no turns yet.")


def _texted(told: dict[str, Any], payload: dict[str, Any], call: str, parsed: Parsed) -> None:
    """What the customer wrote by SMS while he spoke: told among the turns, but a message."""
    for source in (told, payload):
        for number, each in enumerate(calls.listed(parsed, source, "transcript_with_tool_calls")):
            if fields.text(each, "role") == "sms":
                _sms(each, fields.key(each, "message_id") or str(number), told, call, parsed)


def _sms(said: dict[str, Any], key: str, told: dict[str, Any], call: str, parsed: Parsed) -> None:
    person = _customer(told)
    media = [fields.text(each, "url") for each in fields.items(said, "multimedia")]
    event = Normalised(
        vendor_id=f"{call}:sms:{key}",
        conversation_key=call,
        occurred_at_us=calls.millis(said, "created_timestamp")
        or calls.millis(told, "start_timestamp"),
        author=Author(role="customer", id=person),
        text=fields.text(said, "content"),
        identities=identities(**{PHONE: phone(person)}),
        attachments=[Attachment(url=url) for url in media if url],
        vendor={**_vendor(told, call, "sms"), "id": key},
    )
    if event.text or event.attachments:
        parsed.events.append(event)


def _listed(told: dict[str, Any], payload: dict[str, Any], parsed: Parsed) -> list[dict[str, Any]]:
    """The turns of whichever list is there; else the lines of the plain transcript."""
    for source in (told, payload):
        for name in ("transcript_object", "transcript_with_tool_calls"):
            found = calls.listed(parsed, source, name)
            if found:
                return found
    plain = fields.text(told, "transcript") or ""
    lines = re.split(r"\n(?=(?:Agent|User|Transfer Target):)", plain)[: calls.MAX_TURNS]
    matched = [match for line in lines if (match := _LINE.match(line))]
    return [{"role": match[1].lower(), "content": match[2].strip()} for match in matched]


def _analysis(told: dict[str, Any], call: str, parsed: Parsed) -> None:
    analysis = fields.obj(told, "call_analysis")
    summary = fields.text(analysis, "call_summary")
    if summary is None:
        parsed.note("not_an_interaction", f"The analysis of the call {call} has no summary.")
        return
    sentiment = fields.key(analysis, "user_sentiment")
    remark = calls.remark(
        call,
        f"{call}:call_analyzed",
        f"Summary: {summary}",
        calls.millis(told, "end_timestamp"),
        attributes=fields.known(sentiment=sentiment),
        vendor=_vendor(told, call, "call_analyzed"),
    )
    parsed.events.append(remark)


URL = "https://omniroute.example/v1/workspaces/demo/connectors/retell/inbound"
API_KEY = "example-api-key"


def sign(payload: dict[str, Any], received_at_us: int, *, url: str = URL) -> InboundRequest:
    """An event of ours as the request that Retell would send."""
    body, stamp = json.dumps(payload).encode(), str(received_at_us // 1000)
    signature = digest("sha256", API_KEY, body + stamp.encode())
    headers = (("Content-Type", "application/json"), (_HEADER, f"v={stamp},d={signature}"))
    return InboundRequest("POST", url, headers, body, received_at_us)


def examples() -> tuple[Example, ...]:
    at_us = parse_instant("2026-03-02T09:15:00Z")
    secrets = {"api_key": (API_KEY,)}
    told = {
        "call_id": "call-1",
        "direction": "inbound",
        "from_number": "+4915112345678",
        "to_number": "+4930123456",
        "start_timestamp": at_us // 1000 - 60_000,
    }
    greeting = {"role": "agent", "content": "Acme, good morning."}
    answer = {
        "role": "user",
        "content": "My invoice is wrong.",
        "words": [{"start": 4.5, "end": 6}],
    }
    over = {"end_timestamp": at_us // 1000, "transcript_object": [greeting, answer]}

    def one(event: str, events: tuple[str, ...], **more: Any) -> Example:
        call = {**told, **more}
        return Example(event, sign({"event": event, "call": call}, at_us), secrets, events)

    analysis = {"call_summary": "A wrong invoice.", "user_sentiment": "Negative"}
    growing = {"transcript_object": [{"role": "agent", "content": "Acme, good"}]}
    segment, partial = interactions.TRANSCRIPT_SEGMENT, interactions.TRANSCRIPT_PARTIAL
    return (
        one("call_started", (interactions.CONVERSATION_STARTED,)),
        one("transcript_updated", (partial,), **growing),
        one("call_ended", (segment, segment, interactions.CONVERSATION_ENDED), **over),
        one(
            "call_analyzed",
            (interactions.MESSAGE,),
            end_timestamp=at_us // 1000,
            call_analysis=analysis,
        ),
        *(
            Example(event, sign(payload, at_us), secrets, events)
            for event, payload, events in retell_chat.examples(at_us)
        ),
    )


CONNECTOR = Connector(
    kind="retell",
    channel="phone",
    title="Retell AI",
    setup=SETUP,
    signature=_SIGNATURE,
    parse=parse,
    examples=examples,
    secrets={"api_key": "API key with the webhook badge: signs each request."},
    retry_horizon_s=DAY_S,
    max_body_bytes=8 * 1024 * 1024,
    other_channels=("chat",),
)
