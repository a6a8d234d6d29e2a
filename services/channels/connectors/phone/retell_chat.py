"""Retell AI's chat agents: what was written in a chat, told when it ends, by API or by SMS.

https://docs.retellai.com/features/webhook-overview, https://docs.retellai.com/api-references/get-chat
"""

import re
from typing import Any

from services.channels.connectors import calls, fields
from services.channels.connectors.identities import PHONE, identities, phone
from services.channels.connectors.port import Normalised, Parsed
from shared.contracts import interactions
from shared.contracts.interactions import Attachment, Author, Role

_LINE = re.compile(r"(Agent|User):[ \t]*(.*)\Z", re.DOTALL)
_ROLES: dict[str, Role] = {"user": "customer", "sms": "customer", "agent": "bot"}


def parse(event: str, told: dict[str, Any], parsed: Parsed) -> None:
    """Append what an event of a chat means. `told` is the chat as far as it is known."""
    chat = fields.key(told, "chat_id")
    if chat is None:
        parsed.lose("missing_chat", f"The event {event[:64]!r} names no chat.")
    elif event == "chat_started":
        parsed.events.append(_boundary(told, chat, event))
    elif event == "chat_ended":
        _messages(told, chat, parsed)
        parsed.events.append(_boundary(told, chat, event))
    elif event == "chat_analyzed":
        _messages(told, chat, parsed)
        _analysis(told, chat, parsed)
    else:
        parsed.note("not_an_interaction", f"The event {event[:64]!r} of the chat {chat}.")


def _boundary(told: dict[str, Any], chat: str, event: str) -> Normalised:
    which = "started" if event == "chat_started" else "ended"
    at_us = calls.millis(told, "start_timestamp" if which == "started" else "end_timestamp")
    return calls.boundary(
        chat, f"{chat}:{event}", which, at_us, vendor=_vendor(told, chat, event), channel="chat"
    )


def _vendor(told: dict[str, Any], chat: str, event: str) -> dict[str, Any]:
    return fields.known(
        chat_id=chat,
        event=event,
        agent_id=fields.key(told, "agent_id"),
        chat_type=fields.key(told, "chat_type"),
        chat_status=fields.key(told, "chat_status"),
    )


def _messages(told: dict[str, Any], chat: str, parsed: Parsed) -> None:
    """Each message, by its own id where it has one, else by its place."""
    number = fields.key(told, "from_number") or fields.key(told, "customer_number")
    for place, each in enumerate(_listed(told, parsed)):
        role = _ROLES.get(fields.text(each, "role") or "")
        text = fields.text(each, "content")
        urls = [fields.text(one, "url") for one in fields.items(each, "multimedia")]
        if role is None or not (text or any(urls)):
            continue
        own = fields.key(each, "message_id")
        at_us = calls.millis(each, "created_timestamp") or calls.millis(told, "start_timestamp")
        theirs = role == "customer"
        parsed.events.append(
            Normalised(
                vendor_id=f"{chat}:message:{own or place}",
                conversation_key=chat,
                occurred_at_us=at_us,
                direction="inbound" if theirs else "outbound",
                author=Author(role=role, id=number if theirs else None),
                text=text,
                identities=identities(**{PHONE: phone(number)}) if theirs else [],
                attachments=[Attachment(url=url) for url in urls if url],
                vendor={**_vendor(told, chat, "message"), "id": own or str(place)},
                channel="chat",
            )
        )


def _listed(told: dict[str, Any], parsed: Parsed) -> list[dict[str, Any]]:
    """The messages of whichever list is there; else the lines of the plain transcript."""
    for name in ("message_with_tool_calls", "transcript_object", "transcript_with_tool_calls"):
        found = calls.listed(parsed, told, name)
        if found:
            return found
    plain = fields.text(told, "transcript") or ""
    lines = re.split(r"\n(?=(?:Agent|User):)", plain)[: calls.MAX_TURNS]
    matched = [match for line in lines if (match := _LINE.match(line))]
    return [{"role": match[1].lower(), "content": match[2].strip()} for match in matched]


def _analysis(told: dict[str, Any], chat: str, parsed: Parsed) -> None:
    analysis = fields.obj(told, "chat_analysis")
    summary = fields.text(analysis, "chat_summary")
    if summary is None:
        parsed.note("not_an_interaction", f"The analysis of the chat {chat} has no summary.")
        return
    remark = calls.remark(
        chat,
        f"{chat}:chat_analyzed",
        f"Summary: {summary}",
        calls.millis(told, "end_timestamp"),
        attributes=fields.known(sentiment=fields.key(analysis, "user_sentiment")),
        vendor=_vendor(told, chat, "chat_analyzed"),
        channel="chat",
    )
    parsed.events.append(remark)


def examples(at_us: int) -> tuple[tuple[str, dict[str, Any], tuple[str, ...]], ...]:
    """(event, payload, what it becomes) of a chat of ours."""
    started = at_us // 1000 - 60_000
    told = {"chat_id": "chat-1", "agent_id": "agent-1", "start_timestamp": started}
    written = [
        {"role": "user", "message_id": "m1", "created_timestamp": started, "content": "Hello"},
        {"role": "agent", "message_id": "m2", "created_timestamp": started + 900, "content": "Hi!"},
    ]
    ended = {**told, "chat_status": "ended", "end_timestamp": at_us // 1000}
    message, analysis = interactions.MESSAGE, {"chat_summary": "A greeting."}
    return (
        (
            "chat_started",
            {"event": "chat_started", "chat": told},
            (interactions.CONVERSATION_STARTED,),
        ),
        (
            "chat_ended",
            {"event": "chat_ended", "chat": {**ended, "message_with_tool_calls": written}},
            (message, message, interactions.CONVERSATION_ENDED),
        ),
        (
            "chat_analyzed",
            {"event": "chat_analyzed", "chat": {**ended, "chat_analysis": analysis}},
            (message,),
        ),
    )
