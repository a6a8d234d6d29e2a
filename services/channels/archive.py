"""The conversation archive: the core that turns interaction events into readable conversations.

It decides nothing and keeps nothing in memory. Each event becomes rows whose order of arrival does
not matter: a message's text and what edits or deletions say of it are separate columns, so that an
edit may come before its message. `rows` are written by `services.channels.archive_store`.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from shared.contracts import interactions
from shared.contracts.core import Entity, Input, Outcome, Row
from shared.contracts.deadletter import DEAD_LETTER, DeadLetter
from shared.contracts.instants import format_instant, parse_instant
from shared.contracts.interactions import Interaction

VERSION = "1"
MESSAGES = "message"
EDITS = "message_edit"
DELIVERIES = "message_delivery"
CONVERSATIONS = "conversation"
DEAD_LETTERS = "dead_letter"
CONVERSATION_AGENTS = "conversation_agent"

# What makes an agent a reader of a conversation.
_SHOWN_TO_AGENT = frozenset({"routing.offer.created.v1", "routing.task.assigned.v1"})

_interaction = msgspec.json.Decoder(Interaction)
_dead_letter = msgspec.json.Decoder(DeadLetter)
_builtins = msgspec.to_builtins


class _Shown(msgspec.Struct):
    """The part of an offer or assignment that matters here."""

    agent_id: str
    conversation_id: str | None = None


_shown = msgspec.json.Decoder(_Shown)


class ArchiveFactory:
    """Makes archive cores."""

    service = "archive"
    version = VERSION

    def create(self, workspace: str, seed: int) -> "ArchiveCore":
        return ArchiveCore(workspace)

    def heeds(self, event_type: str) -> bool:
        """Of routing only what shows a conversation to an agent."""
        return not event_type.startswith("routing.") or event_type in _SHOWN_TO_AGENT


class ArchiveCore:
    """One workspace's archive. Stateless but for the numbers the runtime keeps."""

    last_seq = 0

    def __init__(self, workspace: str) -> None:
        self.workspace = workspace

    def apply(self, now_us: int, number: int, what: Input) -> Outcome:
        if what.kind != "event":
            return Outcome()
        if what.name == DEAD_LETTER:
            return Outcome(rows=[_dead_letter_row(_dead_letter.decode(what.body), what.body)])
        if what.name.startswith("routing."):
            return Outcome(rows=list(_readers(what)))
        event = _interaction.decode(what.body)
        conversation = f"conversation:{event.conversation_id}"
        return Outcome(rows=list(_rows(what, event)), touched=[conversation])

    def wake_at_us(self) -> int | None:
        return None

    def changes(self) -> list[Entity]:
        return []

    def load(self, entities: Iterable[Entity]) -> None:
        """There is nothing to load."""

    def dump(self) -> list[Entity]:
        return []


def _readers(what: Input) -> Iterable[Row]:
    if what.name not in _SHOWN_TO_AGENT:
        return
    shown = _shown.decode(what.body)
    if shown.conversation_id is not None:
        yield Row(
            CONVERSATION_AGENTS,
            {
                "conversation_id": shown.conversation_id,
                "agent_id": shown.agent_id,
                "at_us": what.time_us,
            },
        )


def _rows(what: Input, event: Interaction) -> Iterable[Row]:
    received_us = parse_instant(event.received_at)
    time_us = what.time_us or received_us
    yield Row(CONVERSATIONS, _conversation(what.name, event, min(time_us, received_us)))
    if what.name in (interactions.MESSAGE, interactions.TRANSCRIPT_SEGMENT):
        yield Row(MESSAGES, message_values(what.name, event, time_us))
    elif what.name in (interactions.MESSAGE_EDITED, interactions.MESSAGE_DELETED):
        yield Row(EDITS, _edit(what.name, event, time_us))
    elif what.name == interactions.DELIVERY_STATUS and event.delivery_status is not None:
        yield Row(DELIVERIES, _delivery(event, time_us))


def _conversation(event_type: str, event: Interaction, time_us: int) -> dict[str, Any]:
    """`time_us` is at most that of arrival: what is dated ahead must not stay on top of the list."""
    ended = event_type == interactions.CONVERSATION_ENDED
    customer = event.author.role == "customer"
    return {
        "conversation_id": event.conversation_id,
        "connector": event.connector,
        "channel": event.channel,
        "conversation_key": event.conversation_key,
        "subject": event.subject,
        "language": event.language if customer else None,
        "customer_name": event.author.name if customer else None,
        "identities": [_builtins(one) for one in event.identities],
        "at_us": time_us,
        "ended_us": time_us if ended else None,
        "ended_reason": event.reason if ended else None,
        "feedback": _feedback(event, time_us),
    }


def _feedback(event: Interaction, time_us: int) -> dict[str, Any] | None:
    if event.survey is None:
        return None
    return {
        "survey": event.survey,
        "score": event.score,
        "comment": event.comment,
        "at": format_instant(time_us),
    }


def message_values(event_type: str, event: Interaction, time_us: int) -> dict[str, Any]:
    """What the archive keeps of a message or a final transcript segment."""
    return {
        "message_id": event.message_id,
        "conversation_id": event.conversation_id,
        "time_us": time_us,
        "received_us": parse_instant(event.received_at),
        "type": event_type,
        "direction": event.direction,
        "author": _builtins(event.author),
        "text": event.text,
        "html": event.html,
        "reply_text": event.reply_text,
        "subject": event.subject,
        "attachments": [_builtins(one) for one in event.attachments],
        "flags": list(event.flags),
        "language": event.language,
        "in_reply_to": event.in_reply_to,
        "segment": event.segment and _builtins(event.segment),
        "agent_id": event.agent_id,
        "task_id": event.task_id,
        "attributes": event.attributes,
        "revision": event.revision,
        "vendor_id": _vendor_id(event.vendor),
    }


def _vendor_id(vendor: dict[str, Any]) -> str | None:
    """The name by which the vendor's delivery statuses know a message."""
    found = vendor.get("id") or vendor.get("mid") or vendor.get("message_id")
    return found if isinstance(found, str) else None


def _edit(event_type: str, event: Interaction, time_us: int) -> dict[str, Any]:
    deleted = event_type == interactions.MESSAGE_DELETED
    return {
        "message_id": event.replaces_message_id or event.message_id,
        "conversation_id": event.conversation_id,
        "edit_us": time_us,
        "deleted": deleted,
        "edit_text": None if deleted else event.text,
        "edit_html": None if deleted else event.html,
    }


def _delivery(event: Interaction, time_us: int) -> dict[str, Any]:
    assert event.delivery_status is not None
    return {
        "conversation_id": event.conversation_id,
        "vendor_message_id": event.delivery_status.message_id,
        "at_us": time_us,
        "status": event.delivery_status.status,
        "error": event.delivery_status.error,
    }


def _dead_letter_row(letter: DeadLetter, body: bytes) -> Row:
    return Row(
        DEAD_LETTERS,
        {
            "id": letter.id,
            "failed_in": letter.failed_in,
            "reason": letter.reason,
            "detail": letter.detail,
            "at_us": parse_instant(letter.at),
            "topic": letter.topic,
            "connector": letter.connector,
            "event_id": letter.event_id,
            "body": body,
        },
    )
