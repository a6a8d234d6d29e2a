"""The bodies of the desktop's and the supervisor's calls, and how long what is in them may be.

What agents write goes into events, and an event that is too large for the bus would reach nobody.
"""

from typing import Annotated, Any, Literal

import msgspec

from services.router.domain.commands import TransferTo
from services.router.fields import PRIORITY_MAX
from shared.contracts.instants import is_ours, parse_instant
from shared.contracts.problems import invalid
from shared.contracts.topics import Channel
from shared.contracts.values import check_size, check_value

MAX_TAGS = 50
MAX_ATTRIBUTES_BYTES = 256 * 1024

Word = Annotated[str, msgspec.Meta(max_length=200)]
Language = Annotated[str, msgspec.Meta(max_length=35)]
Reason = Annotated[str, msgspec.Meta(max_length=1_000)]
Note = Annotated[str, msgspec.Meta(max_length=10_000)]
Tags = Annotated[list[Word], msgspec.Meta(max_length=MAX_TAGS)]
Priority = Annotated[float, msgspec.Meta(ge=-PRIORITY_MAX, le=PRIORITY_MAX)]


class PresenceBody(msgspec.Struct, forbid_unknown_fields=True):
    status: Literal["available", "away", "offline"]
    reason: Reason | None = None
    after_current: bool = False


class DeclineBody(msgspec.Struct, forbid_unknown_fields=True):
    reason: Reason | None = None
    retry_at: str | None = None


class NewTask(msgspec.Struct, forbid_unknown_fields=True):
    channel: Channel
    conversation_id: str | None = None
    customer_id: str | None = None
    kind: Word = "custom"
    not_before: str | None = None
    not_after: str | None = None
    attributes: dict[str, Any] | None = None
    priority: Priority | None = None
    text: str | None = None
    language: Language | None = None


class FinishBody(msgspec.Struct, forbid_unknown_fields=True):
    disposition: Reason | None = None
    tags: Tags | None = None
    note: Note | None = None


class TransferBody(msgspec.Struct, forbid_unknown_fields=True):
    to: TransferTo
    mode: Literal["blind", "warm"] = "blind"
    keep_place: bool = True
    requires: Literal["keep", "drop"] = "keep"
    note: Note | None = None
    attributes: dict[str, Any] | None = None


class ReasonBody(msgspec.Struct, forbid_unknown_fields=True):
    reason: Reason | None = None


class LevelBody(msgspec.Struct, forbid_unknown_fields=True):
    level: str | None = None


class AssignBody(msgspec.Struct, forbid_unknown_fields=True):
    agent: str
    override_capacity: bool = False


class PriorityBody(msgspec.Struct, forbid_unknown_fields=True):
    priority: Priority


class NothingBody(msgspec.Struct, forbid_unknown_fields=True):
    """Calls whose address says it all."""


def checked(attributes: dict[str, Any] | None) -> dict[str, Any]:
    """A task's attributes as sent. Raises Refused for what rules and readers cannot hold."""
    if not attributes:
        return {}
    for name, value in attributes.items():
        check_value(value, ("attributes", name))
    check_size(attributes, MAX_ATTRIBUTES_BYTES, "/attributes")
    return attributes


def check_destination(to: TransferTo) -> None:
    if sum(one is not None for one in (to.queue, to.agent, to.policy)) != 1:
        raise invalid("/to", "one_of", "Say where to, once.", "queue, agent or policy")


def instant_at(pointer: str, text: str | None) -> int | None:
    """Microseconds; None for None. Raises Refused."""
    if text is None:
        return None
    try:
        found = parse_instant(text)
    except ValueError as error:
        raise invalid(pointer, "instant", f"{error}.", "RFC 3339 with an offset") from error
    if not is_ours(found):
        raise invalid(pointer, "range", "The time is out of range.", "from 1970 to 9999")
    return found
